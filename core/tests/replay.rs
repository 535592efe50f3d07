//! The memory of what was used, as pages.

use portcullis_core::{
    LocalReplay, Novelty, Once, Replay, ReplayFault, ReplayPage, ReplaySecret, Trace, UnixTime,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const SECRET: ReplaySecret = ReplaySecret::new([7; 32]);
const NOW: UnixTime = UnixTime::from_millis(1_800_000_000_500);

fn once(key: u8, token: u32, until: UnixTime) -> Once {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&token.to_le_bytes());
    Once { key: [key; 32], token: bytes, until, self_issued: false }
}

/// Traces of a key. Which page they would be on does not matter to a page.
fn traces(key: u8) -> impl Iterator<Item = Trace> {
    (0..).map(move |token| SECRET.trace(&once(key, token, NOW.plus_millis(60_000))))
}

#[test]
fn a_second_use_is_seen_with_the_second_of_the_first() {
    let mut replay = LocalReplay::new(SECRET);
    let once = once(1, 1, NOW.plus_millis(60_000));
    assert_eq!(replay.insert(&once, NOW), Ok(Novelty::New));
    let first = UnixTime::from_millis(1_800_000_000_000);
    assert_eq!(replay.insert(&once, NOW.plus_millis(60_000)), Ok(Novelty::Seen { first }));
}

#[test]
fn a_key_has_a_quarter_of_a_page_and_others_the_rest() {
    let mut page = ReplayPage::empty();
    for key in 0..4 {
        for trace in traces(key).take(128) {
            assert_eq!(page.insert(&trace, NOW), Ok(Novelty::New));
        }
        let more = traces(key).nth(128).unwrap();
        assert_eq!(page.insert(&more, NOW), Err(ReplayFault::QuotaExceeded));
    }
    assert_eq!(page.as_bytes().len(), ReplayPage::MAX_BYTES);
    let other = traces(9).next().unwrap();
    assert_eq!(page.insert(&other, NOW), Err(ReplayFault::Full));
    assert!(matches!(page.insert(&traces(0).next().unwrap(), NOW), Ok(Novelty::Seen { .. })));
    let later = SECRET.trace(&once(9, 0, NOW.plus_millis(120_000)));
    assert_eq!(page.insert(&later, NOW.plus_millis(61_000)), Ok(Novelty::New));
    assert_eq!(page.len(), 1);
}

#[test]
fn what_a_clock_has_dropped_does_not_come_back_when_it_is_set_back() {
    let mut page = ReplayPage::empty();
    let used = SECRET.trace(&once(1, 1, NOW.plus_millis(60_000)));
    page.insert(&used, NOW).unwrap();
    let later = SECRET.trace(&once(1, 2, NOW.plus_millis(900_000)));
    page.insert(&later, NOW.plus_millis(600_000)).unwrap();
    assert!(matches!(page.insert(&used, NOW), Err(ReplayFault::Unavailable(_))));
    let longer = SECRET.trace(&once(1, 3, NOW.plus_millis(62_000)));
    assert_eq!(page.insert(&longer, NOW), Ok(Novelty::New));
}

#[test]
fn what_is_over_or_out_of_reach_is_refused() {
    let mut page = ReplayPage::empty();
    for until in [NOW.plus_millis(-1000), UnixTime::from_millis(-1), UnixTime::from_millis(i64::MAX)] {
        let answer = page.insert(&SECRET.trace(&once(1, 1, until)), NOW);
        assert!(matches!(answer, Err(ReplayFault::Unavailable(_))), "{until:?}");
    }
    assert!(page.is_empty());
}

#[test]
fn self_issued_keys_have_pages_of_their_own_and_all_pages_are_used() {
    let mut pages = BTreeMap::<bool, Vec<u32>>::new();
    for token in 0..20_000 {
        for self_issued in [false, true] {
            let once = Once { self_issued, ..once(1, token, NOW) };
            pages.entry(self_issued).or_default().push(SECRET.trace(&once).page());
        }
    }
    for list in pages.values_mut() {
        list.sort_unstable();
        list.dedup();
    }
    assert_eq!(pages[&false], (0..1024).collect::<Vec<_>>());
    assert_eq!(pages[&true], (1024..ReplayPage::COUNT).collect::<Vec<_>>());
}

#[test]
fn the_secret_does_not_show() {
    assert_eq!(format!("{SECRET:?}"), "ReplaySecret");
}

proptest! {
    #[test]
    fn any_bytes_are_a_page_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), fit in any::<bool>()) {
        let mut bytes = bytes;
        if fit && bytes.len() >= 8 {
            bytes[..4].copy_from_slice(b"prp1");
        }
        if let Ok(mut page) = ReplayPage::decode(bytes) {
            let _ = page.insert(&SECRET.trace(&once(1, 1, NOW)), NOW);
            prop_assert!(ReplayPage::decode(page.as_bytes().to_vec()).is_ok());
        }
    }

    #[test]
    fn nothing_is_forgotten_before_its_time(
        steps in prop::collection::vec((0u8..4, 0u32..60, 0i64..5000, 0i64..20_000), 1..300),
    ) {
        let mut replay = LocalReplay::new(SECRET);
        let mut used = BTreeMap::<(u8, u32), UnixTime>::new();
        let mut now = NOW;
        for (key, token, passed, life) in steps {
            now = now.plus_millis(passed);
            let until = now.plus_millis(life);
            let answer = replay.insert(&once(key, token, until), now);
            match answer {
                Ok(Novelty::New) => {
                    let before = used.insert((key, token), until);
                    prop_assert!(before.is_none_or(|before| before < now), "used twice");
                }
                Ok(Novelty::Seen { first }) => prop_assert!(first <= now && used.contains_key(&(key, token))),
                Err(fault) => prop_assert!(false, "{fault:?}"),
            }
        }
    }
}
