//! Records as a table (RFC 4180).

use super::read::Stored;
use portcullis_core::attestation::Record;
use portcullis_core::base64;
use serde_json::Value;

/// The columns, by where they stand in a record.
const COLUMNS: &[(&str, &str)] = &[
    ("attestation_id", "/attestation_id"),
    ("gate_id", "/gate_id"),
    ("log_index", "/log_index"),
    ("timestamp", "/timestamp"),
    ("decision", "/decision"),
    ("reason_code", "/reason_code"),
    ("detail", "/detail"),
    ("access_mode", "/access_mode"),
    ("agent_id", "/agent_id"),
    ("agent_name", "/agent/agent_name"),
    ("passport_id", "/passport_id"),
    ("issuer_id", "/issuer_id"),
    ("trust_tier", "/agent/trust_tier"),
    ("action", "/action"),
    ("method", "/request/method"),
    ("path", "/request/path"),
    ("target_domain", "/request/target_domain"),
    ("cost_cents", "/request/cost_cents"),
    ("lane", "/lane"),
    ("sequence_number", "/sequence_number"),
    ("chain_hash", "/chain_hash"),
    ("key_id", "/signature/key_id"),
];

/// The line of names.
pub(super) fn head(out: &mut String) {
    for (name, _) in COLUMNS {
        out.push_str(name);
        out.push(',');
    }
    out.push_str("signature,attestation_json\r\n");
}

/// The line of a record.
pub(super) fn row(out: &mut String, record: &Stored) {
    let item = Value::Object(record.item());
    for (_, place) in COLUMNS {
        match item.pointer(place) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => cell(out, text),
            Some(other) => cell(out, &other.to_string()),
        }
        out.push(',');
    }
    if let Ok(read) = Record::read(record.text.as_bytes()) {
        cell(out, &base64::encode(read.signature()));
        out.push(',');
        cell(out, &read.signed_text());
    } else {
        out.push(',');
        cell(out, &record.text);
    }
    out.push_str("\r\n");
}

/// A cell. What a spreadsheet would take for a formula gets an apostrophe before it, as
/// agents choose much of what stands here.
fn cell(out: &mut String, text: &str) {
    out.push('"');
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        out.push('\'');
    }
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula_and_never_two() {
        let written = |text| {
            let mut out = String::new();
            cell(&mut out, text);
            out
        };
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"] {
            assert_eq!(written(text), format!("\"'{text}\""));
        }
        assert_eq!(written("a,\"b\"\r\nc"), "\"a,\"\"b\"\"\r\nc\"");
    }
}
