use std::collections::VecDeque;
use std::fmt;

/// What a VM was asked and what it asked of its host, in order, as lines:
///
/// ```text
/// > proxy_on_request_headers(stream 2, 4 headers, end of stream)
///   proxy_get_header_map_value(RequestHeaders, ":path") = Ok "/flights"
///   proxy_remove_header_map_value(RequestHeaders, "x-gate-tier") = Ok
/// < Continue
/// ```
///
/// Bytes are shown in quotes when they are text of at most 80 bytes, otherwise
/// by their length. A call answered by a fault ends in `(fault)`.
#[derive(Clone, Debug)]
pub struct Trace {
    lines: VecDeque<String>,
    limit: usize,
    dropped: u64,
}

impl Trace {
    pub(crate) fn new(limit: usize) -> Self {
        Self { lines: VecDeque::new(), limit, dropped: 0 }
    }

    /// All lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The host calls alone, without the callbacks around them and without
    /// indentation.
    pub fn calls(&self) -> Vec<&str> {
        self.lines().filter_map(|line| line.strip_prefix("  ")).collect()
    }

    /// The host calls of one name.
    pub fn calls_of(&self, name: &str) -> Vec<&str> {
        let is_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('('));
        self.calls().into_iter().filter(is_it).collect()
    }

    /// How many lines fell out at the beginning because there were more than
    /// [`Host::trace_limit`](crate::Host::trace_limit).
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets everything, so that the next lines are the next request's.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.dropped = 0;
    }

    pub(crate) fn is_on(&self) -> bool {
        self.limit > 0
    }

    pub(crate) fn push(&mut self, line: String) {
        if !self.is_on() {
            return;
        }
        if self.lines.len() >= self.limit {
            self.lines.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.lines.push_back(line);
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Bytes as the trace shows them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    // Long enough for names, paths and ids; a credential or a body is longer.
    const LONGEST: usize = 80;
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST);
    match text {
        Some(text) if !text.chars().any(char::is_control) => format!("{text:?}"),
        Some(_) | None => format!("<{} bytes>", bytes.len()),
    }
}
