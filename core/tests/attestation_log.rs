//! The Merkle log, against the definitions of RFC 9162 written out, and against the vectors
//! that Certificate Transparency's implementations share.

use portcullis_core::attestation::log::{
    Frontier, Node, Plan, empty_root, node_hash, verify_consistency, verify_inclusion,
};
use portcullis_core::sha256;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Hash = [u8; 32];

/// RFC 9162 section 2.1.1.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// RFC 9162 section 2.1.3.1.
fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return vec![];
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    if index < left.len() {
        [naive_path(index, left), vec![naive_root(right)]].concat()
    } else {
        [naive_path(index - left.len(), right), vec![naive_root(left)]].concat()
    }
}

/// RFC 9162 section 2.1.4.1.
fn naive_subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { vec![] } else { vec![naive_root(leaves)] };
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    if old <= left.len() {
        [naive_subproof(old, left, whole), vec![naive_root(right)]].concat()
    } else {
        [naive_subproof(old - left.len(), right, false), vec![naive_root(left)]].concat()
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|number| sha256(&number.to_be_bytes())).collect()
}

/// What a service keeps, and the roots as the tree grew.
fn grown(leaves: &[Hash]) -> (BTreeMap<Node, Hash>, Vec<Hash>) {
    let (mut frontier, mut kept) = (Frontier::default(), BTreeMap::new());
    let mut roots = vec![frontier.root()];
    for leaf in leaves {
        frontier.push_keeping(*leaf, &mut |node, hash| assert_eq!(kept.insert(node, hash), None));
        roots.push(frontier.root());
    }
    (kept, roots)
}

const MOST: usize = 70;

#[test]
fn a_frontier_has_the_root_of_the_whole_tree_at_each_size() {
    let all = leaves(MOST);
    let (kept, roots) = grown(&all);
    for size in 0..=MOST {
        assert_eq!(roots[size], naive_root(&all[..size]), "{size}");
        let hashes = Plan::frontier(size as u64).hashes(|node| kept.get(&node).copied()).unwrap();
        let frontier = Frontier::new(size as u64, hashes).unwrap();
        assert_eq!(frontier.root(), roots[size], "{size}");
        assert_eq!(Frontier::from_text(&frontier.to_text()), Some(frontier));
    }
}

#[test]
fn inclusion_proofs_are_those_of_the_rfc_and_prove_nothing_else() {
    let all = leaves(MOST);
    let (kept, roots) = grown(&all);
    for size in 1..=MOST {
        for index in 0..size {
            let plan = Plan::inclusion(index as u64, size as u64).unwrap();
            let proof = plan.hashes(|node| kept.get(&node).copied()).unwrap();
            assert_eq!(proof, naive_path(index, &all[..size]), "{index} of {size}");
            let holds = |leaf: usize, index: usize, size: usize, proof: &[Hash], root: usize| {
                verify_inclusion(&all[leaf], index as u64, size as u64, proof, &roots[root])
            };
            assert!(holds(index, index, size, &proof, size));
            assert!(!holds((index + 1) % MOST, index, size, &proof, size));
            assert!(!holds(index, index, size, &proof, size - 1));
            assert!(!holds(index, size, size, &proof, size));
            assert!(size == 1 || !holds(index, (index + 1) % size, size, &proof, size));
            assert!(proof.is_empty() || !holds(index, index, size, &proof[1..], size));
            assert!(!holds(index, index, size, &[proof.as_slice(), &[all[0]]].concat(), size));
        }
        assert!(Plan::inclusion(size as u64, size as u64).is_none());
    }
}

#[test]
fn consistency_proofs_are_those_of_the_rfc_and_prove_nothing_else() {
    let all = leaves(MOST);
    let (kept, roots) = grown(&all);
    for new in 1..=MOST {
        for old in 1..=new {
            let plan = Plan::consistency(old as u64, new as u64).unwrap();
            let proof = plan.hashes(|node| kept.get(&node).copied()).unwrap();
            assert_eq!(proof, naive_subproof(old, &all[..new], true), "{old} in {new}");
            let holds = |old_root: &Hash, new_root: &Hash, proof: &[Hash]| {
                verify_consistency(old as u64, old_root, new as u64, new_root, proof)
            };
            assert!(holds(&roots[old], &roots[new], &proof), "{old} in {new}");
            assert!(!holds(&all[0], &roots[new], &proof) || old == 1, "{old} in {new}");
            assert!(!holds(&roots[old], &all[1], &proof), "{old} in {new}");
            for changed in 0..proof.len() {
                let mut proof = proof.clone();
                proof[changed][0] ^= 1;
                assert!(!holds(&roots[old], &roots[new], &proof), "{old} in {new}");
            }
            assert!(!holds(&roots[old], &roots[new], &[proof.as_slice(), &[all[0]]].concat()));
            assert!(proof.is_empty() || !holds(&roots[old], &roots[new], &proof[1..]));
        }
        assert!(Plan::consistency(new as u64 + 1, new as u64).is_none());
        assert!(verify_consistency(0, &empty_root(), new as u64, &roots[new], &[]));
        assert!(!verify_consistency(0, &all[0], new as u64, &roots[new], &[]));
        assert!(!verify_consistency(new as u64 + 1, &roots[new], new as u64, &roots[new], &[]));
    }
}

/// The eight leaves, the roots and the proofs of google/certificate-transparency's reference
/// tests, which implementations of RFC 6962 and RFC 9162 have taken over since.
#[test]
fn the_published_vectors_hold() {
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let hash = |text: &str| -> Hash { hex(text).try_into().unwrap() };
    let inputs =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let all: Vec<Hash> = inputs.iter().map(|input| sha256(&[vec![0], hex(input)].concat())).collect();
    let (kept, roots) = grown(&all);
    let published = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    assert_eq!(roots, published.map(hash));
    let proved = |plan: Option<Plan>| plan.unwrap().hashes(|node| kept.get(&node).copied()).unwrap();
    for (index, size, proof) in [
        (0, 1, vec![]),
        (
            1,
            5,
            vec![
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
        (2, 3, vec!["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
        (
            5,
            8,
            vec![
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
    ] {
        let proof: Vec<Hash> = proof.into_iter().map(hash).collect();
        assert_eq!(proved(Plan::inclusion(index, size)), proof);
        assert!(verify_inclusion(&all[index as usize], index, size, &proof, &roots[size as usize]));
    }
    for (old, new, proof) in [
        (1, 1, vec![]),
        (
            1,
            8,
            vec![
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            vec![
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            vec![
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ] {
        let proof: Vec<Hash> = proof.into_iter().map(hash).collect();
        assert_eq!(proved(Plan::consistency(old, new)), proof);
        assert!(verify_consistency(old, &roots[old as usize], new, &roots[new as usize], &proof));
    }
}

#[test]
fn a_frontier_that_does_not_fit_its_size_is_none() {
    assert!(Frontier::new(3, leaves(1)).is_none());
    assert!(Frontier::new(u64::MAX, leaves(63)).is_none());
    let text = Frontier::new(3, leaves(2)).unwrap().to_text();
    for text in ["", "x", "1", "+0", "00", " 0", "0 ", &text[1..], &format!("{text} "), &format!("0{text}")] {
        assert!(Frontier::from_text(text).is_none(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_size_and_no_proof_makes_the_judges_fail(
        old in any::<u64>(), new in any::<u64>(), count in 0_usize..70
    ) {
        let proof = leaves(count);
        let root = [7; 32];
        prop_assert!(!verify_inclusion(&root, old, new, &proof, &[8; 32]));
        prop_assert!(!verify_consistency(old, &root, new, &[8; 32], &proof));
        if let Some(plan) = Plan::consistency(old, new) {
            prop_assert!(plan.nodes().count() <= 64 * 64);
        }
    }
}
