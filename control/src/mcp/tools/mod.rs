//! The table of tools: those of the Modei client's methods, by the same names and with the
//! same inputs, and one more name of one of them.

mod catalog;
mod commerce;
mod constraints;
mod gates;
mod passports;
mod records;
mod schema;

pub use schema::described;

/// A tool: a request of the REST surface, described to a model.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What it may do to what is there.
    pub effect: Effect,
    /// The method and the path of its request. In the path stand arguments, each a segment.
    /// Of the others, GET and DELETE have them in the query, other methods in the body.
    pub http: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What it takes.
    pub arguments: &'static [Argument],
}

/// What a tool may do to what is there, as clients are told before they let a model use it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Nothing.
    Reads,
    /// It adds something, each time something more.
    Adds,
    /// It changes or ends something; doing so again changes nothing more.
    Sets,
    /// It changes or ends something, each time anew.
    Replaces,
}

/// An argument of a tool.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// The parameter, or the member of the body, that has it.
    pub sent_as: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it means.
    pub description: &'static str,
    /// Whether a call must have it.
    pub is_required: bool,
    /// Whether it is the whole body.
    pub is_body: bool,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// An object.
    Object,
    /// A list of strings.
    Texts,
    /// A list of objects.
    Objects,
}

/// All of them, by subject.
pub fn all() -> impl Iterator<Item = &'static Tool> {
    let subjects: [&'static [Tool]; 6] =
        [gates::TOOLS, passports::TOOLS, constraints::TOOLS, records::TOOLS, catalog::TOOLS, commerce::TOOLS];
    subjects.into_iter().flatten()
}

/// The tool of this name.
pub fn find(name: &str) -> Option<&'static Tool> {
    all().find(|tool| tool.name == name)
}

impl Tool {
    /// The argument of this name.
    pub fn argument(&self, name: &str) -> Option<&'static Argument> {
        self.arguments.iter().find(|argument| argument.name == name)
    }
}

impl Argument {
    const fn new(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Argument { name, sent_as: name, kind, description, is_required: false, is_body: false }
    }

    const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    const fn sent_as(mut self, name: &'static str) -> Self {
        self.sent_as = name;
        self
    }

    const fn whole_body(mut self) -> Self {
        self.is_body = true;
        self
    }
}

const fn text(name: &'static str, description: &'static str) -> Argument {
    Argument::new(name, Kind::Text, description)
}

const fn number(name: &'static str, description: &'static str) -> Argument {
    Argument::new(name, Kind::Number, description)
}

const fn flag(name: &'static str, description: &'static str) -> Argument {
    Argument::new(name, Kind::Flag, description)
}

const fn object(name: &'static str, description: &'static str) -> Argument {
    Argument::new(name, Kind::Object, description)
}

const fn texts(name: &'static str, description: &'static str) -> Argument {
    Argument::new(name, Kind::Texts, description)
}

const fn one_of(name: &'static str, values: &'static [&'static str], description: &'static str) -> Argument {
    Argument::new(name, Kind::OneOf(values), description)
}

const GATE: Argument = text("gate_id", "The gate's id").required();
const PASSPORT: Argument = text("passport_id", "The passport's id").required();
const LIMIT: Argument = number("limit", "How many at most, 1 to 1000");
