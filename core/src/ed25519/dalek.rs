//! By ed25519-dalek, which decides at every gate.

use super::batch::SignatureClaim;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsBasepointTable, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::{BasepointTable, Identity, IsIdentity, VartimeMultiscalarMul};
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

pub(super) fn is_torsion_free(key: &Key) -> bool {
    key.to_edwards().is_torsion_free()
}

/// A signature whose numbers are read: `R`, `S`, and RFC 8032's `k`. What is left of section 5.1.7 is that
/// `[S]B = R + [k]A`, without cofactor.
pub(super) struct Claim<'k> {
    key: &'k Key,
    commitment: EdwardsPoint,
    response: Scalar,
    challenge: Scalar,
}

impl<'k> Claim<'k> {
    /// Of a key without a component of small order. `S` must be below the group's order, and `R` a point.
    pub(super) fn read(key: &'k Key, claim: &SignatureClaim<'_>) -> Option<Self> {
        let signature = Signature::from_bytes(&claim.signature);
        let response = Option::<Scalar>::from(Scalar::from_canonical_bytes(*signature.s_bytes()))?;
        let commitment = CompressedEdwardsY(*signature.r_bytes()).decompress()?;
        let hash = sha512(&[signature.r_bytes(), key.as_bytes(), &claim.message]);
        let challenge = Scalar::from_bytes_mod_order_wide(&hash);
        // The only point of small order for which the equation can hold by such a key.
        (!commitment.is_identity()).then_some(Claim { key, commitment, response, challenge })
    }

    pub(super) fn holds(&self) -> bool {
        #[expect(clippy::arithmetic_side_effects, reason = "a point of the curve")]
        let negated = -self.key.to_edwards();
        self.commitment
            == EdwardsPoint::vartime_double_scalar_mul_basepoint(&self.challenge, &negated, &self.response)
    }
}

/// Random numbers that nobody knows who makes signatures: for each that is judged, once.
pub(super) struct Coefficients {
    secret: [u8; 32],
    count: u64,
}

impl Coefficients {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Coefficients { secret, count: 0 }
    }

    /// 128 bits for the equation, and one for each sum of [`CHECKS`].
    fn next(&mut self) -> (Scalar, u32) {
        self.count = self.count.wrapping_add(1);
        let random = sha512(&[&self.secret, &self.count.to_le_bytes()]);
        let coefficient = random.first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes));
        let bits = random.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        (Scalar::from(coefficient), bits)
    }
}

/// Sums of some of the points, each of which may have no component of small order: one that has, or several
/// whose components would cancel each other, are in half of these sums by chance.
const CHECKS: usize = 32;

/// Whether all hold. Their equations are added up, each times a random number: what is wrong with any
/// stays, but for a component of small order, whose multiples may vanish. So it is seen apart from that
/// that no `R` has one; no key has, and where the equation holds in the rest of the group there is no
/// other way in which it could not hold.
#[expect(clippy::arithmetic_side_effects, reason = "points are a group, and scalars a field")]
pub(super) fn hold<'c>(
    claims: impl ExactSizeIterator<Item = &'c Claim<'c>>,
    coefficients: &mut Coefficients,
) -> bool {
    let mut keys: BTreeMap<&[u8; 32], (Scalar, EdwardsPoint)> = BTreeMap::new();
    let mut of_base = Scalar::ZERO;
    let mut scalars = Vec::with_capacity(claims.len());
    let mut drawn = Vec::with_capacity(claims.len());
    for claim in claims {
        let (coefficient, bits) = coefficients.next();
        of_base += coefficient * claim.response;
        let of_key =
            keys.entry(claim.key.as_bytes()).or_insert_with(|| (Scalar::ZERO, claim.key.to_edwards()));
        of_key.0 += coefficient * claim.challenge;
        scalars.push(coefficient);
        drawn.push((claim.commitment, bits));
    }
    if !are_torsion_free(&drawn) {
        return false;
    }
    scalars.push(-of_base);
    scalars.extend(keys.values().map(|(scalar, _)| *scalar));
    let points = drawn.iter().map(|(commitment, _)| *commitment);
    let points = points.chain([ED25519_BASEPOINT_POINT]).chain(keys.values().map(|(_, key)| *key));
    let points: Vec<_> = points.collect();
    EdwardsPoint::vartime_multiscalar_mul(&scalars, &points).is_identity()
}

/// Whether sums of points by their random bits are all in the group that the base point generates.
#[expect(clippy::arithmetic_side_effects, reason = "points are a group, and shifts by less than the bits")]
fn are_torsion_free(points: &[(EdwardsPoint, u32)]) -> bool {
    // Sums that are made together: an addition for each point, and two for each of the buckets.
    let together = if points.len() < 512 { 4 } else { 8 };
    (0..CHECKS).step_by(together).all(|first| {
        let mut buckets = alloc::vec![EdwardsPoint::identity(); 1 << together];
        for (point, bits) in points {
            let bucket = usize::try_from(bits >> first).map_or(0, |bits| bits & ((1 << together) - 1));
            buckets.get_mut(bucket).into_iter().for_each(|sum| *sum += point);
        }
        // Of the buckets whose number has the highest bit: that sum. Then of halves, without this bit.
        let mut rest = buckets.as_mut_slice();
        while let Some((without, with)) =
            rest.split_at_mut_checked(rest.len() / 2).filter(|(half, _)| !half.is_empty())
        {
            let sum = with.iter().fold(EdwardsPoint::identity(), |sum, point| sum + point);
            if !sum.is_torsion_free() {
                return false;
            }
            without.iter_mut().zip(with).for_each(|(sum, point)| *sum += &*point);
            rest = without;
        }
        true
    })
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

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "points are a group, and scalars a field")]
mod tests {
    use super::*;
    use crate::ed25519::{BatchVerifier, PublicKey, SecretKey};
    use alloc::vec;
    use curve25519_dalek::constants::EIGHT_TORSION;

    /// A signature whose `R` has a component of small order: by RFC 8032's equation with cofactor it is
    /// good, by that without it is not.
    fn claim(message: u8, component: EdwardsPoint) -> SignatureClaim<'static> {
        let (secret, prefix) = expand(&[7; 32]);
        let key = SecretKey::from_seed([7; 32]).public_key();
        let nonce = Scalar::from_bytes_mod_order_wide(&sha512(&[&prefix, &[message]]));
        let commitment = (EdwardsPoint::mul_base(&nonce) + component).compress().to_bytes();
        let challenge = Scalar::from_bytes_mod_order_wide(&sha512(&[&commitment, &key, &[message]]));
        let signature = Signature::from_components(commitment, (nonce + challenge * secret).to_bytes());
        SignatureClaim { key, message: alloc::vec![message].into(), signature: signature.to_bytes() }
    }

    #[test]
    fn components_of_small_order_are_found_also_where_they_cancel_each_other() {
        let good: Vec<_> =
            (0..255).cycle().take(600).map(|message| claim(message, EdwardsPoint::identity())).collect();
        let mut judged = Vec::new();
        for component in EIGHT_TORSION.into_iter().skip(1) {
            // Together they add up to nothing, by whichever coefficients are alike.
            let bad = [
                claim(255, component),
                claim(255, -component),
                claim(255, component),
                claim(255, -component),
            ];
            for bad in &bad {
                let key = PublicKey::from_bytes(&bad.key).unwrap();
                assert!(!key.verify(&bad.message, &bad.signature));
            }
            // So few that four sums are made together, and so many that eight are.
            for (secret, count) in (0..30).map(|secret| (secret, 70)).chain([(30, 600), (31, 600)]) {
                let claims = [&good[..count], &bad].concat();
                let verdicts = BatchVerifier::new([secret; 32]).verify(&claims);
                judged.push(verdicts == [vec![true; count], vec![false; 4]].concat());
            }
        }
        assert_eq!(judged, [true; 7 * 32]);
    }

    #[test]
    fn what_would_cancel_each_other_without_coefficients_is_found() {
        let mut claims: Vec<_> = (0..70).map(|message| claim(message, EdwardsPoint::identity())).collect();
        // One S is larger by one, and another smaller.
        for (place, change) in [(3, Scalar::ONE), (40, -Scalar::ONE)] {
            let signature: &mut [u8; 64] = &mut claims[place].signature;
            let response = Scalar::from_canonical_bytes(*signature.last_chunk().unwrap()).unwrap();
            signature[32..].copy_from_slice((response + change).as_bytes());
        }
        let verdicts = BatchVerifier::new([1; 32]).verify(&claims);
        let wrong: Vec<_> = (0..70).filter(|place| !verdicts[*place]).collect();
        assert_eq!(wrong, [3, 40]);
    }

    #[test]
    fn an_r_that_is_no_number_of_a_signature_is_refused_alone_and_with_others() {
        // By whoever chooses S as k times the secret, RFC 8032's equation holds for an R of nothing.
        let (secret, _) = expand(&[7; 32]);
        let key = SecretKey::from_seed([7; 32]).public_key();
        let commitment = EdwardsPoint::identity().compress().to_bytes();
        let challenge = Scalar::from_bytes_mod_order_wide(&sha512(&[&commitment, &key, b"m"]));
        let signature = Signature::from_components(commitment, (challenge * secret).to_bytes()).to_bytes();
        let bad = SignatureClaim { key, message: b"m".as_slice().into(), signature };
        assert!(!PublicKey::from_bytes(&key).unwrap().verify(b"m", &signature));
        let mut claims: Vec<_> = (0..70).map(|message| claim(message, EdwardsPoint::identity())).collect();
        claims.push(bad.clone());
        assert_eq!(BatchVerifier::new([1; 32]).verify(&claims).last(), Some(&false));
        assert_eq!(BatchVerifier::new([1; 32]).verify(&[bad]), [false]);
    }
}
