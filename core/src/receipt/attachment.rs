//! A receipt on its way to the ledger, with the text that the agent signed.

use super::ReceiptError;
use crate::json::{self, Limits, Object, Value, canonical_text};
use crate::live::{LiveError, Members};
use alloc::string::{String, ToString};

/// A receipt and its base, as they travel together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attachment {
    /// What the agent signed.
    pub base: String,
    /// The receipt's text.
    pub receipt: String,
}

/// The longest attachment as JSON, in bytes. A base has the credential in it: with a chain of
/// five hops 34 KiB.
pub const MAX_ATTACHMENT: usize = 64 * 1024;

impl Attachment {
    /// One line of JSON, without its newline.
    pub fn to_json(&self) -> String {
        let members =
            [("base", Value::from(self.base.as_str())), ("receipt", Value::from(self.receipt.as_str()))];
        canonical_text(&Object::from(members).into())
    }

    /// Whether this line of a batch, or of an export, can be nothing else.
    pub fn is_one(line: &[u8]) -> bool {
        line.starts_with(b"{\"base\"")
    }

    /// Reads it. Nothing of it is verified by that.
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`].
    pub fn read(line: &[u8]) -> Result<Self, ReceiptError> {
        const LIMITS: Limits = Limits { bytes: MAX_ATTACHMENT, depth: 1, values: 4 };
        let value = json::parse(line, LIMITS).map_err(|_| ReceiptError::Malformed("the line"))?;
        let read = || -> Result<Self, LiveError> {
            let members = Members::of(&value, &["base", "receipt"])?;
            let [base, receipt] = [members.text("base")?, members.text("receipt")?].map(ToString::to_string);
            Ok(Attachment { base, receipt })
        };
        read().map_err(|error| match error {
            LiveError::Member(name) => ReceiptError::Malformed(name),
            _ => ReceiptError::Malformed("an object of base and receipt"),
        })
    }
}
