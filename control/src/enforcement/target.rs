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
        let (is_url, rest) = match text.split_once("://") {
            Some((_, rest)) => (true, rest),
            None => (false, text),
        };
        let (authority, target) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at_checked(at).unwrap_or((rest, "")),
            None => (rest, ""),
        };
        if authority.contains(['@', '\\', '#']) || (is_url && authority.is_empty()) {
            return Err(wrong("must be a host, a path or a URL, without a user's name"));
        }
        let path = match target {
            "" => String::new(),
            target if target.starts_with('?') => "/".to_owned(),
            target => normal_path(target.as_bytes()).map_err(wrong)?.into_owned(),
        };
        Ok(Target { host: host(authority), path })
    }
}

/// Without port and the dot of the root: neither makes it another host.
fn host(authority: &str) -> String {
    let port = authority.rsplit_once(':').filter(|(name, port)| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']'))
    });
    let name = port.map_or(authority, |(name, _)| name);
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
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
            ("Invoice 55", "invoice 55", ""),
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
        ] {
            assert!(Target::read(text).is_err(), "{text}");
        }
    }
}
