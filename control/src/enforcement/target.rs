//! What an action is upon, as callers write it.

use crate::error::{ApiError, ApiResult};
use portcullis_core::normal_path;

/// A host and a path, as guardrails look at them; empty where nothing is said of them, which
/// no allowlist has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Target {
    /// The host, or another name, in lower case, without a port.
    pub host: String,
    /// The path, decoded, without its query.
    pub path: String,
}

impl Target {
    /// Reads a URL, a path, a host with a path or without, or any other name.
    ///
    /// # Errors
    /// 422 for a path that is in no normal form, and for names of users in a URL.
    pub fn read(text: &str) -> ApiResult<Self> {
        let wrong = |problem: &str| ApiError::invalid("target", problem);
        if text.chars().any(|letter| letter.is_control() || DIRECTIONS.contains(&letter)) {
            return Err(wrong("must be of letters that are seen"));
        }
        let (is_url, rest) = match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => (true, rest),
            _ => (false, text),
        };
        let (authority, target) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at_checked(at).unwrap_or((rest, "")),
            None => (rest, ""),
        };
        let host = host(authority).ok_or_else(|| wrong(FORM))?;
        // A name with a dot, or with a path, is meant for a host.
        let is_host = is_url || !target.is_empty() || host.contains('.');
        if (is_url && host.is_empty()) || (is_host && !is_plain(&host)) {
            return Err(wrong(FORM));
        }
        let path = match target {
            "" => String::new(),
            target if target.starts_with('?') => "/".to_owned(),
            target => normal_path(target.as_bytes()).map_err(wrong)?.into_owned(),
        };
        Ok(Target { host, path })
    }
}

const FORM: &str =
    "must be a host, a path, a URL without a user's name, or another name without : @ \\ # and %";

/// Marks that turn the direction of text: what a person reads is another name then.
const DIRECTIONS: [char; 12] = [
    '\u{061c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// In lower case, without port and the dot of the root, which make it no other host. `None`
/// for what other readers may take for another one.
fn host(authority: &str) -> Option<String> {
    if authority.contains(['@', '\\', '#', '%']) {
        return None;
    }
    let (name, port) = match authority.rsplit_once(':') {
        // An address of IPv6 in its brackets.
        Some(_) if authority.ends_with(']') => (authority, None),
        Some((name, port)) => (name, Some(port)),
        None => (authority, None),
    };
    let is_port =
        |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_address = name.starts_with('[') && name.ends_with(']');
    if !port.is_none_or(is_port) || (name.contains(':') && !is_address) {
        return None;
    }
    Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

/// Whether it is a host as all readers write it: labels of ASCII letters, digits, `-` and `_`
/// with a dot between them, or an address; or none at all. What ends in a number is an address to
/// many readers, however it is written (`0x7f.1`, `2130706433`), and must be one.
fn is_plain(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None if ends_in_number(host) => host.parse::<std::net::Ipv4Addr>().is_ok(),
        None => host.is_empty() || host.split('.').all(is_label),
    }
}

/// As WHATWG's URL standard has it, section 3.5.
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let digits = last.strip_prefix("0x").map(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits.unwrap_or_else(|| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn hosts_and_paths_are_found_in_whatever_way_they_are_written() {
        for (text, host, path) in [
            ("", "", ""),
            ("/docs", "", "/docs"),
            ("API.example.com", "api.example.com", ""),
            ("api.example.com.", "api.example.com", ""),
            ("api.example.com:8443/a%20b?c=d", "api.example.com", "/a b"),
            ("https://Api.example.com:443", "api.example.com", ""),
            ("https://api.example.com/v1/x", "api.example.com", "/v1/x"),
            ("https://api.example.com?x=/y", "api.example.com", "/"),
            ("https://[2001:db8::1]:8443/", "[2001:db8::1]", "/"),
            ("[2001:db8::1]", "[2001:db8::1]", ""),
            ("https://127.0.0.1/x", "127.0.0.1", "/x"),
            ("Invoice 55", "invoice 55", ""),
            ("55", "55", ""),
            ("/docs?next=https://good.example/ok", "", "/docs"),
            ("evil.example/steal?next=https://good.example/ok", "evil.example", "/steal"),
        ] {
            let read = Target::read(text).unwrap();
            assert_eq!((read.host.as_str(), read.path.as_str()), (host, path), "{text}");
        }
    }

    #[test]
    fn what_two_readers_may_read_differently_is_refused() {
        for text in [
            "https://good.example@evil.example/",
            "https:///x",
            "good.example\\@evil.example",
            "good.example#.evil.example",
            "/a/../b",
            "/a%2fb",
            "//x",
            "/a;b",
            "evil.example#://good.example/",
            "https:/evil.example/",
            "https:evil.example",
            "https://%65vil.example/",
            "https://ev\til.example/",
            "evil.example..",
            "\u{ff45}vil.example",
            "https://\u{ff45}vil/",
            "a\0b",
            "a\u{202e}b",
            "https://[::1/",
            "https://[evil.example]/",
            "https://0x7f.1/",
            "0x7f.1",
            "127.1",
            "127.0.0.01",
            "https://2130706433/",
            "https://0x/",
        ] {
            assert!(Target::read(text).is_err(), "{text}");
        }
    }
}
