//! The memory of counts, as pages.

use portcullis_core::guardrails::Limits;
use portcullis_core::{
    Charged, CounterClass, CounterFault, CounterKey, CounterPage, CounterSecret, CounterTrace, Counters,
    LocalCounters, UnixTime, Usage,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SECRET: CounterSecret = CounterSecret::new([7; 32]);
/// 2026-06-01T12:00:00.000Z
const NOON: i64 = 1_780_315_200_000;
const NOW: UnixTime = UnixTime::from_millis(NOON);

fn key(agent: u32) -> CounterKey {
    CounterKey::of_agent("issuer", &agent.to_string(), "*", CounterClass::Vouched)
}

/// Traces. Which page they would be on does not matter to a page.
fn trace(agent: u32) -> CounterTrace {
    SECRET.trace(&key(agent))
}

const fn limits(minute: u32, hour: u32, day: u32) -> Limits {
    Limits([Some(minute), Some(hour), Some(day)])
}

#[test]
fn a_count_is_over_with_its_window_to_the_millisecond() {
    let mut counters = LocalCounters::new(SECRET);
    let all = limits(1, 2, 3);
    let charge = |counters: &mut LocalCounters, at| {
        counters.charge(&key(1), &all, UnixTime::from_millis(NOON + at)).unwrap()
    };
    assert_eq!(charge(&mut counters, 0), Charged::Done(Usage([1, 1, 1])));
    let over = |window, used| Charged::Over { window, used: Usage(used) };
    assert_eq!(charge(&mut counters, 59_999), over(0, [1, 1, 1]));
    assert_eq!(charge(&mut counters, 60_000), Charged::Done(Usage([1, 2, 2])));
    assert_eq!(charge(&mut counters, 120_000), over(1, [0, 2, 2]));
    assert_eq!(charge(&mut counters, 3_599_999), over(1, [0, 2, 2]));
    assert_eq!(charge(&mut counters, 3_600_000), Charged::Done(Usage([1, 1, 3])));
    let midnight = 12 * 3_600_000;
    assert_eq!(charge(&mut counters, midnight - 1), over(2, [0, 0, 3]));
    assert_eq!(charge(&mut counters, midnight), Charged::Done(Usage([1, 1, 1])));
    assert_eq!(counters.usage(&key(1), UnixTime::from_millis(NOON + midnight)), Ok(Usage([1, 1, 1])));
    assert_eq!(counters.usage(&key(2), NOW), Ok(Usage([0, 0, 0])));
}

#[test]
fn a_clock_that_is_set_back_begins_no_window_anew() {
    let mut page = CounterPage::empty();
    let all = limits(2, 2, 2);
    page.charge(&trace(1), &all, NOW).unwrap();
    let back = NOW.plus_millis(-7_200_000);
    assert_eq!(page.usage(&trace(1), back), Ok(Usage([1, 1, 1])));
    assert_eq!(page.charge(&trace(1), &all, back), Ok(Charged::Done(Usage([2, 2, 2]))));
    assert_eq!(page.charge(&trace(1), &all, NOW), Ok(Charged::Over { window: 0, used: Usage([2, 2, 2]) }));
}

#[test]
fn a_full_page_refuses_others_until_something_on_it_is_over() {
    let mut page = CounterPage::empty();
    let minute = Limits([Some(9), None, None]);
    for agent in 0..256 {
        assert!(matches!(page.charge(&trace(agent), &minute, NOW), Ok(Charged::Done(_))));
    }
    assert_eq!(page.as_bytes().len(), CounterPage::MAX_BYTES);
    assert_eq!(page.charge(&trace(999), &minute, NOW), Err(CounterFault::Full));
    // Those who are there go on, and nothing changed.
    assert_eq!(page.charge(&trace(5), &minute, NOW), Ok(Charged::Done(Usage([2, 0, 0]))));
    assert_eq!(page.len(), 256);
    // Only a minute is counted, so a minute later there is room.
    assert!(page.charge(&trace(999), &minute, NOW.plus_millis(60_000)).is_ok());
    assert_eq!(page.len(), 1);
}

#[test]
fn what_is_counted_by_the_day_stays_for_the_day() {
    let mut page = CounterPage::empty();
    for agent in 0..256 {
        page.charge(&trace(agent), &Limits([None, None, Some(9)]), NOW).unwrap();
    }
    let later = NOW.plus_millis(12 * 3_600_000 - 1);
    assert_eq!(page.charge(&trace(999), &limits(1, 1, 1), later), Err(CounterFault::Full));
    assert!(page.charge(&trace(999), &limits(1, 1, 1), later.plus_millis(1)).is_ok());
}

#[test]
fn a_hundred_thousand_agents_have_room_at_once() {
    let mut counters = LocalCounters::new(SECRET);
    for agent in 0..100_000 {
        let charged = counters.charge(&key(agent), &limits(1, 1, 1), NOW);
        assert!(matches!(charged, Ok(Charged::Done(_))), "{agent}: {charged:?}");
    }
    assert!(matches!(counters.charge(&key(0), &limits(1, 1, 1), NOW), Ok(Charged::Over { .. })));
}

#[test]
fn classes_share_no_page_and_pages_are_all_within_reach() {
    let mut pages: BTreeMap<u8, BTreeSet<u32>> = BTreeMap::new();
    for agent in 0..20_000_u32 {
        let name = agent.to_string();
        for (class, key) in [
            (0, CounterKey::of_agent("i", &name, "*", CounterClass::Vouched)),
            (1, CounterKey::of_agent("i", &name, "*", CounterClass::SelfIssued)),
            (2, CounterKey::of_source(name.as_bytes())),
        ] {
            let page = SECRET.trace(&key).page();
            assert!(page < CounterPage::COUNT);
            pages.entry(class).or_default().insert(page);
        }
    }
    let all: usize = pages.values().map(BTreeSet::len).sum();
    let distinct: BTreeSet<_> = pages.values().flatten().collect();
    assert_eq!(all, distinct.len());
    assert_eq!(u32::try_from(all).unwrap(), CounterPage::COUNT);
}

#[test]
fn keys_that_differ_in_any_part_or_in_where_one_ends_are_different() {
    let vouched = CounterClass::Vouched;
    let keys = [
        CounterKey::of_passport("a", "b", "c", vouched),
        CounterKey::of_passport("ab", "", "c", vouched),
        CounterKey::of_passport("a", "bc", "", vouched),
        CounterKey::of_passport("a", "b d", "c", vouched),
        CounterKey::of_agent("a", "b", "c", vouched),
        CounterKey::of_source(b"abc"),
    ];
    for (at, one) in keys.iter().enumerate() {
        assert!(keys.iter().skip(at + 1).all(|other| one != other), "{at}");
    }
}

#[test]
fn what_is_no_page_is_refused() {
    let mut page = CounterPage::empty();
    page.charge(&trace(1), &limits(1, 1, 1), NOW).unwrap();
    let bytes = page.as_bytes().to_vec();
    assert!(CounterPage::decode(bytes.clone()).is_ok());
    let mut other = bytes.clone();
    other[3] ^= 1;
    let long = [CounterPage::empty().as_bytes(), &[0; 257 * 28]].concat();
    for bad in [Vec::new(), bytes[..bytes.len() - 1].to_vec(), other, long] {
        assert!(matches!(CounterPage::decode(bad), Err(CounterFault::Unavailable(_))));
    }
    assert_eq!(format!("{SECRET:?}"), "CounterSecret");
    let beyond = UnixTime::from_millis(i64::MAX);
    assert!(matches!(page.usage(&trace(1), beyond), Err(CounterFault::Unavailable(_))));
    assert!(matches!(page.charge(&trace(1), &limits(1, 1, 1), beyond), Err(CounterFault::Unavailable(_))));
}

proptest! {
    #[test]
    fn counts_are_those_of_a_list_of_times(
        steps in proptest::collection::vec((0_u32..4, 0_i64..4_000_000, prop::array::uniform3(prop::option::of(0_u32..6))), 1..80)
    ) {
        let mut counters = LocalCounters::new(SECRET);
        // By agent and window: the times that were counted there.
        let mut times: BTreeMap<(u32, usize), Vec<i64>> = BTreeMap::new();
        let mut now = NOON;
        for (agent, later, limits) in steps {
            now += later;
            let mut used = [0; 3];
            for (window, length) in [60_000, 3_600_000, 86_400_000].into_iter().enumerate() {
                let counted = times.entry((agent, window)).or_default();
                let same = counted.iter().filter(|time| *time / length == now / length).count();
                used[window] = u32::try_from(same).unwrap();
            }
            let at = UnixTime::from_millis(now);
            prop_assert_eq!(counters.usage(&key(agent), at), Ok(Usage(used)));
            let over = (0..3).find(|window| limits[*window].is_some_and(|limit| used[*window] >= limit));
            let charged = counters.charge(&key(agent), &Limits(limits), at).unwrap();
            match over {
                Some(window) => prop_assert_eq!(charged, Charged::Over { window, used: Usage(used) }),
                None => {
                    for window in (0..3).filter(|window| limits[*window].is_some()) {
                        times.entry((agent, window)).or_default().push(now);
                        used[window] += 1;
                    }
                    prop_assert_eq!(charged, Charged::Done(Usage(used)));
                }
            }
        }
    }

    #[test]
    fn pages_of_any_bytes_never_end_the_process(bytes in proptest::collection::vec(any::<u8>(), 0..600), agent in 0_u32..9) {
        let mut bytes = bytes;
        bytes.splice(0..bytes.len().min(4), *b"pct1");
        if let Ok(mut page) = CounterPage::decode(bytes) {
            let _ = page.usage(&trace(agent), NOW);
            let _ = page.charge(&trace(agent), &limits(3, 3, 3), NOW);
            prop_assert!(CounterPage::decode(page.as_bytes().to_vec()).is_ok());
        }
    }
}
