//! By ed25519-dalek, which decides at every gate.

use super::frequent::SignatureClaim;
use alloc::boxed::Box;
use alloc::vec::Vec;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{EdwardsBasepointTable, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::{BasepointTable, Identity};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha512};

pub(super) type Key = VerifyingKey;

pub(super) fn key(bytes: &[u8; 32]) -> Option<Key> {
    VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak())
}

pub(super) fn verify(key: &Key, message: &[u8], signature: &[u8; 64]) -> bool {
    key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
}

pub(super) fn public_key(seed: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(seed).verifying_key().to_bytes()
}

pub(super) fn sign(seed: &[u8; 32], message: &[u8]) -> [u8; 64] {
    SigningKey::from_bytes(seed).sign(message).to_bytes()
}

/// Multiples of a point, so that multiplying it takes no doubling: for each digit of `W` bits
/// that a scalar has, once to 2^(W-1) times what the digit stands for. Nothing that is secret
/// is multiplied by it: it takes as long as the scalar has digits that are not zero.
struct Multiples<const W: usize>(Vec<EdwardsPoint>);

impl<const W: usize> Multiples<W> {
    /// Half of what a digit can be: above it, digits count from above.
    const HALF: usize = 1 << (W - 1);
    const DIGITS: usize = 256_usize.div_ceil(W);

    #[expect(clippy::arithmetic_side_effects, reason = "points are a group")]
    fn new(point: EdwardsPoint) -> Self {
        let mut all = Vec::with_capacity(Self::DIGITS.saturating_mul(Self::HALF));
        let mut one = point;
        for _ in 0..Self::DIGITS {
            let mut multiple = one;
            for _ in 1..Self::HALF {
                all.push(multiple);
                multiple += one;
            }
            all.push(multiple);
            one = multiple + multiple;
        }
        Multiples(all)
    }

    /// `sum`, and `scalar` times the point.
    #[expect(clippy::arithmetic_side_effects, reason = "points are a group, and digits below 2^W + 1")]
    fn add_to(&self, mut sum: EdwardsPoint, scalar: &Scalar) -> EdwardsPoint {
        let mut carry = 0;
        for (multiples, place) in self.0.chunks_exact(Self::HALF).zip((0..).step_by(W)) {
            let digit = Self::digit(scalar.as_bytes(), place) + carry;
            carry = usize::from(digit > Self::HALF);
            let multiple = |times: usize| times.checked_sub(1).and_then(|at| multiples.get(at));
            if digit > Self::HALF {
                multiple(2 * Self::HALF - digit).inspect(|multiple| sum -= *multiple);
            } else {
                multiple(digit).inspect(|multiple| sum += *multiple);
            }
        }
        sum
    }

    /// The bits of a scalar from this place on.
    #[expect(clippy::arithmetic_side_effects, reason = "16 bits of which at most 8 are skipped")]
    fn digit(scalar: &[u8; 32], place: usize) -> usize {
        let at = |index: usize| scalar.get(index).copied().map_or(0, usize::from);
        let bits = at(place / 8) | at(place / 8 + 1) << 8;
        bits >> (place % 8) & (2 * Self::HALF - 1)
    }
}

/// Multiples of the base point: 640 KiB.
pub(super) struct Base(Multiples<8>);

impl Base {
    pub(super) fn new() -> Self {
        Base(Multiples::new(ED25519_BASEPOINT_POINT))
    }
}

/// Multiples of a public key, negated: 130 KiB.
pub(super) struct Table {
    bytes: [u8; 32],
    negated: Multiples<5>,
}

impl Table {
    pub(super) fn new(key: &Key) -> Self {
        #[expect(clippy::arithmetic_side_effects, reason = "a point of the curve")]
        let negated = Multiples::new(-key.to_edwards());
        Table { bytes: key.to_bytes(), negated }
    }

    /// What `R` must be for the claim to hold. `R` may not be of small order, and `S` must be below
    /// the group's order.
    fn expected(&self, base: &Base, claim: &SignatureClaim<'_>) -> Option<EdwardsPoint> {
        let signature = Signature::from_bytes(&claim.signature);
        let response = Option::<Scalar>::from(Scalar::from_canonical_bytes(*signature.s_bytes()))?;
        let hash = sha512(&[signature.r_bytes(), &self.bytes, &claim.message]);
        let challenge = Scalar::from_bytes_mod_order_wide(&hash);
        let expected = base.0.add_to(EdwardsPoint::identity(), &response);
        let expected = self.negated.add_to(expected, &challenge);
        (!expected.is_small_order()).then_some(expected)
    }
}

/// RFC 8032 section 5.1.7, as [`verify`] does it, without cofactor; that a key is not of small order
/// was seen when it was read. One inversion serves for the encodings of all.
pub(super) fn verify_all(base: &Base, claims: &[(&Table, &SignatureClaim<'_>)]) -> Vec<bool> {
    let expected: Vec<_> = claims.iter().map(|(table, claim)| table.expected(base, claim)).collect();
    let points: Vec<_> = expected.iter().flatten().copied().collect();
    let mut encoded = EdwardsPoint::compress_batch_alloc(&points).into_iter();
    let holds = |(expected, (_, claim)): (&Option<EdwardsPoint>, &(&Table, &SignatureClaim<'_>))| {
        let encoded = expected.and_then(|_| encoded.next());
        encoded.is_some_and(|encoded| claim.signature.starts_with(encoded.as_bytes()))
    };
    expected.iter().zip(claims).map(holds).collect()
}

/// What signing needs, worked out once.
pub(super) struct Prepared {
    secret: Scalar,
    prefix: [u8; 32],
    public_key: [u8; 32],
    table: Box<EdwardsBasepointTable>,
}

impl Prepared {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        let (secret, prefix) = expand(seed);
        let table = Box::new(EdwardsBasepointTable::create(&ED25519_BASEPOINT_POINT));
        let public_key = table.mul_base(&secret).compress().to_bytes();
        Prepared { secret, prefix, public_key, table }
    }

    /// RFC 8032 section 5.1.6, by constant-time multiplication.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let nonce = Scalar::from_bytes_mod_order_wide(&sha512(&[&self.prefix, message]));
        let commitment = self.table.mul_base(&nonce).compress().to_bytes();
        let hash = sha512(&[&commitment, &self.public_key, message]);
        let challenge = Scalar::from_bytes_mod_order_wide(&hash);
        #[expect(clippy::arithmetic_side_effects, reason = "arithmetic modulo the group's order")]
        let response = nonce + challenge * self.secret;
        Signature::from_components(commitment, response.to_bytes()).to_bytes()
    }

    pub(super) fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }
}

/// The secret scalar, and what nonces are made from.
fn expand(seed: &[u8; 32]) -> (Scalar, [u8; 32]) {
    let hash = sha512(&[seed]);
    let (mut secret, mut prefix) = ([0; 32], [0; 32]);
    let (first, second) = hash.split_at(32);
    secret.copy_from_slice(first);
    prefix.copy_from_slice(second);
    (Scalar::from_bytes_mod_order(clamp_integer(secret)), prefix)
}

fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
