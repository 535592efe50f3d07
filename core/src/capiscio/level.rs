//! Trust levels and identity assurance levels.

/// How well an issuer knows an agent (RFC-002 section 5). Written as a string, and
/// compared by this table's order only.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// `"0"`, self-signed: nobody but the agent says so.
    SelfSigned,
    /// `"1"`, registered: an account at the registry.
    Registered,
    /// `"2"`, domain validated.
    DomainValidated,
    /// `"3"`, organization validated.
    OrganizationValidated,
    /// `"4"`, extended validated.
    ExtendedValidated,
}

/// The table: the strings and what they mean.
const LEVELS: [(&str, Level); 5] = [
    ("0", Level::SelfSigned),
    ("1", Level::Registered),
    ("2", Level::DomainValidated),
    ("3", Level::OrganizationValidated),
    ("4", Level::ExtendedValidated),
];

impl Level {
    /// The level that is written as `text`; never by reading a number.
    pub fn from_text(text: &str) -> Option<Self> {
        LEVELS.into_iter().find(|(written, _)| *written == text).map(|(_, level)| level)
    }

    /// How it is written.
    pub fn text(self) -> &'static str {
        match self {
            Level::SelfSigned => "0",
            Level::Registered => "1",
            Level::DomainValidated => "2",
            Level::OrganizationValidated => "3",
            Level::ExtendedValidated => "4",
        }
    }
}

/// How a badge's issuer knows that the agent holds the badge's key (RFC-002 section
/// 7.2.1).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ial {
    /// `"0"`: an account said so.
    AccountAttested,
    /// `"1"`: the agent proved it.
    ProofOfPossession,
}

impl Ial {
    /// The assurance that is written as `text`.
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Ial::AccountAttested),
            "1" => Some(Ial::ProofOfPossession),
            _ => None,
        }
    }

    /// How it is written.
    pub fn text(self) -> &'static str {
        match self {
            Ial::AccountAttested => "0",
            Ial::ProofOfPossession => "1",
        }
    }
}
