//! Verifying receipts with the texts beside them, many at a time.

use super::proof::chain_claims_in;
use super::{ReceiptError, SignedReceipt};
use crate::ed25519::{BatchVerifier, PublicKey};
use crate::modei::ChainClaims;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Verifies receipts of the same gates and agents, and keeps what it needs of these.
#[derive(Debug)]
pub struct ReceiptVerifier {
    signatures: BatchVerifier,
    passports: Passports,
}

/// A receipt, and what stands beside it.
#[derive(Clone, Copy, Debug)]
pub struct WithBase<'r> {
    /// The receipt.
    pub signed: &'r SignedReceipt,
    /// The key that must have signed it.
    pub key: &'r PublicKey,
    /// What the agent has signed.
    pub base: &'r str,
}

impl ReceiptVerifier {
    /// A verifier with a secret of its own, from a cryptographic random source: [`BatchVerifier::new`].
    pub fn new(secret: [u8; 32]) -> Self {
        ReceiptVerifier { signatures: BatchVerifier::new(secret), passports: Passports::default() }
    }

    /// Checks both sides of each receipt, as [`SignedReceipt::verify`] and
    /// [`Receipt::verify_proof`](super::Receipt::verify_proof) do: of a thousand together each takes
    /// less time than alone. Answers, in their order, the id of the passport at the root of the one in
    /// the base, where that is a request: the allowances of a chain are its root's.
    ///
    /// Each is answered by itself: [`ReceiptError::KeyUnknown`],
    /// [`ReceiptError::SignatureInvalid`], or an error of `verify_proof`.
    pub fn verify(&mut self, receipts: &[WithBase<'_>]) -> Vec<Result<Option<String>, ReceiptError>> {
        let mut claims = Vec::with_capacity(receipts.len().saturating_mul(2));
        let found: Vec<_> = receipts
            .iter()
            .map(|WithBase { signed, key, base }| {
                claims.push(signed.makers_claim(key)?);
                let root = signed.receipt.check_base(base, |line| self.passports.in_line(line));
                if root.is_ok() {
                    claims.push(signed.receipt.agents_claim(base));
                }
                Ok(root)
            })
            .collect();
        let mut verdicts = self.signatures.verify(&claims).into_iter();
        let mut holds = || verdicts.next() == Some(true);
        found
            .into_iter()
            .map(|found| {
                let root = found?;
                let (is_made, is_asked) = (holds(), root.is_ok() && holds());
                if !is_made {
                    return Err(ReceiptError::SignatureInvalid);
                }
                root.and_then(|root| if is_asked { Ok(root) } else { Err(ReceiptError::ProofInvalid) })
            })
            .collect()
    }
}

/// What passports say, by the lines that they came in: an agent has the same one in each request.
#[derive(Default)]
struct Passports {
    lines: BTreeMap<String, ChainClaims>,
    bytes: usize,
}

impl Passports {
    /// Of lines: of two kilobytes, as most have, those of 4,000 agents.
    const MOST_BYTES: usize = 8 << 20;

    fn in_line(&mut self, line: &str) -> Option<ChainClaims> {
        if let Some(claims) = self.lines.get(line) {
            return Some(claims.clone());
        }
        let claims = chain_claims_in(line)?;
        if self.bytes.saturating_add(line.len()) > Self::MOST_BYTES {
            *self = Passports::default();
        }
        self.bytes = self.bytes.saturating_add(line.len());
        self.lines.insert(line.to_string(), claims.clone());
        Some(claims)
    }
}

impl core::fmt::Debug for Passports {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "Passports({} of them)", self.lines.len())
    }
}
