//! Where a request stands in a trace of its client's (W3C Trace Context).

use crate::pairs::Pair;

/// The `traceparent` of a request, if it has one, of version 00 and well-formed (section 3.2). A
/// stranger wrote it: it goes with calls that are made for the request, and decides nothing.
pub(crate) fn parent<'h>(headers: &[Pair<'h>]) -> Option<&'h str> {
    let mut values = headers.iter().filter(|(name, _)| *name == b"traceparent").map(|(_, value)| *value);
    let text = core::str::from_utf8(values.next()?).ok()?;
    let mut parts = text.split('-');
    let [version, trace, parent, flags] = [(); 4].map(|()| parts.next().unwrap_or_default());
    let is_hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &str, length| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let is_good = version == "00" && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2);
    (is_good && parts.next().is_none() && values.next().is_none()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_taken_whole_or_not_at_all() {
        let of = |values: &[&'static str]| {
            let headers: Vec<Pair<'_>> =
                values.iter().map(|value| (&b"traceparent"[..], value.as_bytes())).collect();
            parent(&headers)
        };
        assert_eq!(of(&[GOOD]), Some(GOOD));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[GOOD, GOOD]), None, "which one counts?");
        for bad in [
            "",
            "00",
            "----",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47366-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx: y",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
    }
}
