//! Receipts, and what carries them.

use super::attestation::SIGNER;
use super::{Answer, altered, key};
use portcullis_core::receipt::{Attachment, SignedReceipt};
use portcullis_core::{PublicKey, sha256};

/// Reads bytes as a receipt and as what carries one; a receipt is then signed, and nothing that is
/// not it may pass for it.
pub fn receipt(input: &[u8]) -> Answer {
    if let Ok(attachment) = Attachment::read(input) {
        let line = attachment.to_json();
        assert!(Attachment::is_one(line.as_bytes()) && !line.contains('\n'));
        assert_eq!(Attachment::read(line.as_bytes()), Ok(attachment));
        return Answer::Accepted;
    }
    let Ok(read) = SignedReceipt::read(input) else { return Answer::Refused };
    assert_eq!(read.text().as_bytes(), input);
    let value: serde_json::Value = serde_json::from_slice(input).expect("JSON to others too");
    let charge = &value["charge"];
    let (total, fee) = (charge["total_cents"].as_u64(), charge["platform_fee_cents"].as_u64());
    assert!(fee <= total, "a part is more than the whole");
    assert_eq!(value["receipt_id"], read.receipt.receipt_id());

    assert_eq!(unsigned(&read.receipt.sign(&SIGNER)), unsigned(read.text()), "it is what would be written");
    let base = String::from_utf8_lossy(input);
    let mut receipt = read.receipt;
    receipt.proof.base_sha256 = sha256(base.as_bytes());
    receipt.proof.signature = key("agent").sign(base.as_bytes());
    assert!(receipt.verify_proof(&base).is_err(), "a receipt is no text that agents sign");
    let text = receipt.sign(&SIGNER);
    let signed = SignedReceipt::read(text.as_bytes()).expect("what was read can be made");
    assert_eq!(signed.receipt, receipt);
    let key = PublicKey::from_bytes(SIGNER.public_key()).expect("a key");
    assert_eq!(signed.verify(&key), Ok(()));
    for copy in altered(text.as_bytes()) {
        let holds = SignedReceipt::read(&copy).is_ok_and(|copy| copy.verify(&key).is_ok());
        assert!(!holds, "{}", String::from_utf8_lossy(&copy));
    }
    Answer::Accepted
}

/// A receipt's text without its signature; no string has quotes that are not escaped.
fn unsigned(text: &str) -> (&str, &str) {
    let (before, seal) = text.split_once(",\"signature\":{").expect("a signature");
    (before, seal.split_once('}').expect("its end").1)
}
