//! Leases of spending: the page and the documents.

use portcullis_core::live::{LiveError, ServiceKeys, SpendAnswer, SpendAsk, SpendGrant, SpendQuestion};
use portcullis_core::spend::{
    LeaseFault, Leases, Rolling, SpendCaps, SpendNames, SpendUsed, SpendWindow, Taken, day_of, dollars,
    end_of_day,
};
use portcullis_core::{KeyConfig, SecretKey, UnixTime, base64};
use proptest::prelude::*;
use std::collections::HashMap;

const DAY_MS: i64 = 86_400_000;

/// 2026-03-01, at noon.
const NOON: UnixTime = UnixTime::from_millis(20_513 * DAY_MS + DAY_MS / 2);

const NAMES: SpendNames<'_> =
    SpendNames { issuer: "https://issuer.test", passport_id: "pp_1", permission: "flights:book" };

fn daily(cents: u64) -> SpendCaps {
    SpendCaps { daily_cents: Some(cents), ..SpendCaps::default() }
}

/// A service of a few lines: what is granted counts, whoever asks.
#[derive(Default)]
struct Service {
    leases: HashMap<(usize, [u8; 16]), Granted>,
}

/// Account, day, granted, spent, whether it is done.
type Granted = ([u8; 32], u64, u64, u64, bool);

impl Service {
    fn answer(&mut self, gate: usize, asks: &[SpendAsk], now: UnixTime) -> SpendAnswer {
        let day = day_of(now);
        let accounts = asks.iter().map(|ask| {
            for report in &ask.spent {
                if let Some(lease) = self.leases.get_mut(&(gate, report.lease)) {
                    lease.3 = lease.3.max(report.spent_cents);
                    lease.4 |= report.is_done;
                }
            }
            let used = self.used(&ask.account, day, ask.caps.rolling);
            let mut granted_cents = 0;
            let mut exhausted = None;
            if let Some(id) = ask.lease {
                if let Some(known) = self.leases.get(&(gate, id)) {
                    granted_cents = if known.4 { 0 } else { known.2 };
                } else {
                    let (room, window) = ask.caps.room(&used).unwrap();
                    granted_cents = ask.want_cents.min(room);
                    exhausted = (granted_cents < ask.want_cents).then_some(window);
                    if granted_cents > 0 {
                        self.leases.insert((gate, id), (ask.account, day, granted_cents, 0, false));
                    }
                }
            }
            SpendGrant { granted_cents, expires_at: end_of_day(day), exhausted, used }
        });
        SpendAnswer { day, accounts: accounts.collect() }
    }

    fn used(&self, account: &[u8; 32], day: u64, rolling: Option<Rolling>) -> SpendUsed {
        let since = |first: u64| {
            let counted = self.leases.values().filter(|lease| lease.0 == *account && lease.1 >= first);
            counted.map(|lease| if lease.4 { lease.3 } else { lease.2 }).sum()
        };
        let rolling = rolling.map_or(0, |rolling| since(day + 1 - u64::from(rolling.days)));
        SpendUsed { daily: since(day), rolling, total: since(0) }
    }
}

/// A gate's page, and leases with names of their own.
struct Gate {
    number: usize,
    page: Leases,
    names: u64,
}

impl Gate {
    fn new(number: usize) -> Self {
        Gate { number, page: Leases::default(), names: 0 }
    }

    fn take(&mut self, caps: &SpendCaps, cents: u64, now: UnixTime) -> Taken {
        self.page.take(&NAMES, caps, cents, now).unwrap()
    }

    fn wanted(&mut self, now: UnixTime) -> Vec<SpendAsk> {
        let names = &mut self.names;
        self.page.wanted(now, 64, || {
            *names += 1;
            let mut id = [0; 16];
            id[..8].copy_from_slice(&names.to_le_bytes());
            id
        })
    }

    fn tick(&mut self, service: &mut Service, now: UnixTime) -> usize {
        let asks = self.wanted(now);
        let answer = service.answer(self.number, &asks, now);
        self.page.settle(&asks, &answer, now);
        asks.len()
    }
}

#[test]
fn a_first_request_waits_for_a_lease_and_the_next_are_taken_without_a_question() {
    let (mut service, mut gate, caps) = (Service::default(), Gate::new(0), daily(10_000));
    assert_eq!(gate.take(&caps, 50, NOON), Taken::Pending);
    assert!(gate.page.is_due(NOON));
    let asks = gate.wanted(NOON);
    assert_eq!(asks.len(), 1);
    assert_eq!((asks[0].account, asks[0].want_cents), (NAMES.id(), 500), "ten requests' worth");
    assert!(!gate.page.is_due(NOON), "what is under way is not asked again at once");
    let answer = service.answer(0, &asks, NOON);
    gate.page.settle(&asks, &answer, NOON);
    let Taken::Taken(Some(level)) = gate.take(&caps, 50, NOON) else { panic!("it is granted") };
    assert_eq!(level.text(), "$0.50/$100.00 daily spend used");
    for _ in 0..5 {
        assert!(matches!(gate.take(&caps, 50, NOON), Taken::Taken(Some(_))));
    }
    // Less than half is left: asked for ahead of need.
    assert_eq!(gate.tick(&mut service, NOON), 1);
    for _ in 0..14 {
        assert!(matches!(gate.take(&caps, 50, NOON), Taken::Taken(Some(_))));
    }
    assert_eq!(gate.take(&caps, 50, NOON), Taken::Pending);
}

#[test]
fn a_cap_that_is_used_up_refuses_at_once_and_says_how_far() {
    let (mut service, mut gate, caps) = (Service::default(), Gate::new(0), daily(100));
    let mut spent = 0;
    for _ in 0..20 {
        match gate.take(&caps, 30, NOON) {
            Taken::Taken(_) => spent += 30,
            Taken::Pending => _ = gate.tick(&mut service, NOON),
            Taken::Exhausted(level) => {
                assert_eq!((level.window, level.used_cents, level.cap_cents), (SpendWindow::Daily, 90, 100));
            }
        }
    }
    assert_eq!(spent, 90);
    assert!(matches!(gate.take(&caps, 10, NOON), Taken::Taken(_)), "a smaller one fits what is left");
    // It is not asked for with each refusal, and again after ten seconds.
    gate.tick(&mut service, NOON);
    assert!(matches!(gate.take(&caps, 30, NOON), Taken::Exhausted(_)));
    assert!(!gate.page.is_due(NOON.plus_millis(1000)));
    assert!(gate.page.is_due(NOON.plus_millis(10_000)));
    // Another day has money of its own.
    let tomorrow = NOON.plus_millis(DAY_MS);
    assert_eq!(gate.take(&caps, 30, tomorrow), Taken::Pending);
    gate.tick(&mut service, tomorrow);
    assert!(matches!(gate.take(&caps, 30, tomorrow), Taken::Taken(_)));
}

#[test]
fn what_costs_more_than_a_cap_is_refused_without_a_question() {
    let mut gate = Gate::new(0);
    let caps = SpendCaps { total_cents: Some(40), ..daily(100) };
    let Taken::Exhausted(level) = gate.take(&caps, 50, NOON) else { panic!("it is above the cap") };
    assert_eq!((level.window, level.cap_cents), (SpendWindow::Total, 40));
    assert!(gate.page.is_empty());
    assert_eq!(gate.take(&caps, 0, NOON), Taken::Taken(None), "what costs nothing asks nobody");
    assert_eq!(gate.take(&SpendCaps::default(), 50, NOON), Taken::Taken(None), "nor what has no cap");
}

#[test]
fn what_was_granted_under_some_caps_is_not_used_under_others() {
    let (mut service, mut gate) = (Service::default(), Gate::new(0));
    gate.take(&daily(10_000), 50, NOON);
    gate.tick(&mut service, NOON);
    assert!(matches!(gate.take(&daily(10_000), 50, NOON), Taken::Taken(_)));
    // A delegated passport with a smaller cap, on the same account: of 400 cents the root
    // holds 500 already.
    assert_eq!(gate.take(&daily(400), 50, NOON), Taken::Pending);
    gate.tick(&mut service, NOON);
    assert!(matches!(gate.take(&daily(400), 50, NOON), Taken::Exhausted(_)));
}

#[test]
fn a_lease_is_not_used_after_its_day() {
    let (mut service, mut gate, caps) = (Service::default(), Gate::new(0), daily(10_000));
    let late = end_of_day(day_of(NOON)).plus_millis(-1000);
    gate.take(&caps, 50, late);
    gate.tick(&mut service, late);
    assert!(matches!(gate.take(&caps, 50, late), Taken::Taken(_)));
    assert_eq!(gate.take(&caps, 50, late.plus_millis(1000)), Taken::Pending);
    // What is left of it is given back.
    let asks = gate.wanted(late.plus_millis(1000));
    assert!(asks[0].spent[0].is_done && asks[0].spent[0].spent_cents == 50);
}

#[test]
fn what_nobody_uses_is_given_back_and_then_forgotten() {
    let (mut service, mut gate, caps) = (Service::default(), Gate::new(0), daily(1000));
    gate.take(&caps, 50, NOON);
    gate.tick(&mut service, NOON);
    gate.take(&caps, 50, NOON);
    assert_eq!(service.used(&NAMES.id(), day_of(NOON), None).daily, 250);
    let later = NOON.plus_millis(300_000);
    gate.tick(&mut service, later);
    assert_eq!(service.used(&NAMES.id(), day_of(NOON), None).daily, 50);
    gate.tick(&mut service, later);
    assert!(gate.page.is_empty());
}

#[test]
fn what_is_reported_as_done_is_not_spent_any_more() {
    let (mut service, mut gate, caps) = (Service::default(), Gate::new(0), daily(1000));
    gate.take(&caps, 50, NOON);
    gate.tick(&mut service, NOON);
    let later = NOON.plus_millis(300_000);
    let asks = gate.wanted(later);
    assert!(asks[0].spent[0].is_done);
    // Before the answer comes.
    assert_eq!(gate.take(&caps, 50, later), Taken::Pending);
    let answer = service.answer(0, &asks, later);
    gate.page.settle(&asks, &answer, later);
    assert_eq!(gate.take(&caps, 50, later), Taken::Pending);
}

#[test]
fn an_answer_that_was_lost_grants_the_same_again_and_a_second_answer_nothing() {
    let (mut service, mut gate, caps) = (Service::default(), Gate::new(0), daily(1000));
    gate.take(&caps, 50, NOON);
    let lost = gate.wanted(NOON);
    let first = service.answer(0, &lost, NOON);
    assert!(gate.wanted(NOON.plus_millis(2000)).is_empty());
    let again = gate.wanted(NOON.plus_millis(3000));
    assert_eq!(again[0].lease, lost[0].lease);
    let second = service.answer(0, &again, NOON);
    assert_eq!(service.leases.len(), 1);
    gate.page.settle(&again, &second, NOON);
    let settled = gate.page.clone();
    gate.page.settle(&lost, &first, NOON);
    gate.page.settle(&again, &second, NOON);
    assert_eq!(gate.page, settled);
}

#[test]
fn what_is_given_back_can_be_spent_again() {
    let (mut service, mut gate, caps) = (Service::default(), Gate::new(0), daily(100));
    gate.take(&caps, 100, NOON);
    gate.tick(&mut service, NOON);
    assert!(matches!(gate.take(&caps, 100, NOON), Taken::Taken(_)));
    assert_eq!(gate.take(&caps, 100, NOON), Taken::Pending);
    gate.page.give_back(&NAMES, &caps, 100, NOON);
    assert!(matches!(gate.take(&caps, 100, NOON), Taken::Taken(_)));
}

#[test]
fn an_answer_to_an_older_question_grants_nothing_to_a_newer_one() {
    let (mut service, mut gate, caps) = (Service::default(), Gate::new(0), daily(10_000));
    gate.take(&caps, 50, NOON);
    let first = gate.wanted(NOON);
    let answer = service.answer(0, &first, NOON);
    gate.page.settle(&first, &answer, NOON);
    for _ in 0..10 {
        assert!(matches!(gate.take(&caps, 50, NOON), Taken::Taken(_)));
    }
    // Another lease is asked for, and nothing granted yet.
    assert_eq!(gate.take(&caps, 50, NOON), Taken::Pending);
    let second = gate.wanted(NOON);
    assert_ne!(second[0].lease, first[0].lease);
    gate.page.settle(&first, &answer, NOON);
    assert_eq!(gate.take(&caps, 50, NOON), Taken::Pending);
    // Nor does one that comes while nothing is asked.
    let granted = service.answer(0, &second, NOON);
    gate.page.settle(&second, &granted, NOON);
    let settled = gate.page.clone();
    gate.page.settle(&first, &answer, NOON.plus_millis(1000));
    assert_eq!(gate.page, settled);
}

#[test]
fn what_is_given_back_is_no_more_than_was_taken_and_nothing_to_a_lease_that_is_over() {
    let (mut service, mut gate, caps) = (Service::default(), Gate::new(0), daily(10_000));
    gate.take(&caps, 50, NOON);
    gate.tick(&mut service, NOON);
    // Two leases: the second is asked for when less than half of the first is left, and both
    // are used up.
    for _ in 0..6 {
        assert!(matches!(gate.take(&caps, 50, NOON), Taken::Taken(_)));
    }
    gate.tick(&mut service, NOON);
    let mut taken = 6 * 50;
    while matches!(gate.take(&caps, 50, NOON), Taken::Taken(_)) {
        taken += 50;
    }
    assert_eq!(taken, 1000);
    gate.page.give_back(&NAMES, &caps, 50, NOON);
    assert!(matches!(gate.take(&caps, 50, NOON), Taken::Taken(_)));
    assert_eq!(gate.take(&caps, 50, NOON), Taken::Pending);
    // After the day it counts as spent.
    let spent = |asks: &[SpendAsk]| asks[0].spent.iter().map(|spent| spent.spent_cents).sum::<u64>();
    let tomorrow = end_of_day(day_of(NOON));
    gate.page.give_back(&NAMES, &caps, 50, tomorrow);
    assert_eq!(spent(&gate.wanted(tomorrow)), taken);
}

#[test]
fn what_is_spent_is_reported_within_half_a_minute_and_once() {
    let (mut service, mut gate, caps) = (Service::default(), Gate::new(0), daily(10_000));
    gate.take(&caps, 50, NOON);
    gate.tick(&mut service, NOON);
    gate.take(&caps, 50, NOON);
    assert!(!gate.page.is_due(NOON.plus_millis(29_000)));
    let later = NOON.plus_millis(30_000);
    assert!(gate.page.is_due(later));
    let asks = gate.wanted(later);
    assert_eq!((asks[0].lease, asks[0].spent[0].spent_cents, asks[0].spent[0].is_done), (None, 50, false));
    let answer = service.answer(0, &asks, later);
    gate.page.settle(&asks, &answer, later);
    assert!(!gate.page.is_due(later.plus_millis(60_000)), "nothing was spent since");
}

#[test]
fn a_page_of_more_accounts_than_it_may_have_is_damaged() {
    let mut gate = Gate::new(0);
    let ids: Vec<String> = (0..32).map(|index| format!("pp_{index}")).collect();
    for id in &ids {
        let names = SpendNames { passport_id: id, ..NAMES };
        assert_eq!(gate.page.take(&names, &daily(100), 1, NOON), Ok(Taken::Pending));
    }
    let full = gate.page.encode();
    assert!(Leases::decode(&full).is_ok());
    let mut one = Leases::default();
    one.take(&NAMES, &daily(100), 1, NOON).unwrap();
    assert_eq!(Leases::decode(&[&full, &one.encode()[4..]].concat()), Err(LeaseFault::Damaged));
}

#[test]
fn how_far_a_cap_is_used_begins_anew_with_its_day() {
    let caps = SpendCaps { total_cents: Some(100_000), ..daily(100) };
    let (mut service, mut gate) = (Service::default(), Gate::new(0));
    let mut last = None;
    for now in [NOON, NOON.plus_millis(DAY_MS)] {
        gate.take(&caps, 50, now);
        gate.tick(&mut service, now);
        let Taken::Taken(level) = gate.take(&caps, 50, now) else { panic!("it is granted") };
        last = level;
    }
    assert_eq!(last.unwrap().text(), "$0.50/$1.00 daily spend used");
}

#[test]
fn a_page_has_so_many_accounts_and_those_that_hold_nothing_make_room() {
    let mut gate = Gate::new(0);
    let ids: Vec<String> = (0..40).map(|index| format!("pp_{index}")).collect();
    let names = |index: usize| SpendNames { passport_id: &ids[index], ..NAMES };
    for index in 0..32 {
        assert_eq!(gate.page.take(&names(index), &daily(100), 1, NOON), Ok(Taken::Pending));
    }
    // Nothing is under way yet, so the one that was used longest ago goes.
    assert_eq!(gate.page.take(&names(32), &daily(100), 1, NOON), Ok(Taken::Pending));
    assert_eq!(gate.wanted(NOON).len(), 32);
    assert_eq!(gate.page.take(&names(33), &daily(100), 1, NOON), Err(LeaseFault::Full));
    let long = "x".repeat(1024);
    let names = SpendNames { permission: &long, ..NAMES };
    assert_eq!(Leases::default().take(&names, &daily(100), 1, NOON), Err(LeaseFault::LongNames));
}

#[test]
fn bytes_that_are_no_page_are_refused() {
    let (mut service, mut gate) = (Service::default(), Gate::new(0));
    let caps = SpendCaps { rolling: Some(Rolling { days: 30, cents: 5000 }), ..daily(1000) };
    gate.take(&caps, 50, NOON);
    gate.tick(&mut service, NOON);
    gate.take(&caps, 50, NOON);
    let bytes = gate.page.encode();
    assert!(bytes.len() < Leases::MAX_BYTES);
    assert_eq!(Leases::decode(&bytes).unwrap(), gate.page);
    for length in (0..bytes.len()).filter(|length| *length != 4) {
        assert_eq!(Leases::decode(&bytes[..length]), Err(LeaseFault::Damaged), "{length}");
    }
}

#[test]
fn pages_of_self_issued_passports_are_apart() {
    for account in 0..=255 {
        let page = |is_made_up| Leases::page_of(&[account; 32], is_made_up, &[7; 32]);
        assert!(page(false) < 128 && (128..Leases::COUNT).contains(&page(true)));
    }
    let pages = |secret| (0..=255).map(move |account| Leases::page_of(&[account; 32], false, &[secret; 32]));
    assert!(pages(1).ne(pages(2)), "nobody can tell without the secret");
}

#[test]
fn money_is_written_in_dollars() {
    assert_eq!([0, 5, 50, 1250].map(dollars), ["$0.00", "$0.05", "$0.50", "$12.50"]);
}

fn service_keys(key: &SecretKey) -> ServiceKeys {
    let key = KeyConfig {
        key_id: "trust_1".to_owned(),
        public_key: base64::encode(&key.public_key()),
        not_before: None,
        not_after: None,
    };
    ServiceKeys::new(&[key]).unwrap()
}

fn question() -> SpendQuestion {
    let ask = |lease, rolling| SpendAsk {
        account: NAMES.id(),
        issuer: NAMES.issuer.to_owned(),
        passport_id: NAMES.passport_id.to_owned(),
        permission: NAMES.permission.to_owned(),
        caps: SpendCaps { rolling, ..daily(1000) },
        lease,
        want_cents: if lease.is_some() { 250 } else { 0 },
        spent: vec![portcullis_core::live::LeaseSpent { lease: [4; 16], spent_cents: 7, is_done: true }],
    };
    let rolling = Some(Rolling { days: 30, cents: 5000 });
    SpendQuestion {
        accounts: vec![ask(Some([3; 16]), None), ask(None, rolling)],
        lane: [1; 16],
        random: [2; 16],
    }
}

#[test]
fn a_question_is_read_as_it_was_written_and_its_answer_is_one_to_it_alone() {
    let (key, asked) = (SecretKey::from_seed([1; 32]), question());
    assert_eq!(SpendQuestion::read(asked.to_json().as_bytes()).unwrap(), asked);
    let grant = |granted_cents| SpendGrant {
        granted_cents,
        expires_at: end_of_day(day_of(NOON)),
        exhausted: Some(if granted_cents > 0 { SpendWindow::Daily } else { SpendWindow::Total }),
        used: SpendUsed { daily: 1, rolling: 2, total: 3 },
    };
    let answer = SpendAnswer { day: day_of(NOON), accounts: vec![grant(100), grant(0)] };
    let token = asked.answer("gate_a", &answer, NOON, &key, "trust_1");
    let keys = service_keys(&key);
    let read = |asked: &SpendQuestion, gate: &str, now| asked.read_answer(token.as_bytes(), gate, &keys, now);
    assert_eq!(read(&asked, "gate_a", NOON).unwrap(), answer);
    assert_eq!(read(&asked, "gate_b", NOON), Err(LiveError::WrongGate));
    for change in [
        |asked: &mut SpendQuestion| asked.random = [9; 16],
        |asked: &mut SpendQuestion| asked.accounts[0].lease = Some([9; 16]),
        |asked: &mut SpendQuestion| asked.accounts[0].account = [9; 32],
        |asked: &mut SpendQuestion| _ = asked.accounts.pop(),
    ] {
        let mut other = asked.clone();
        change(&mut other);
        assert_eq!(read(&other, "gate_a", NOON), Err(LiveError::WrongEcho));
    }
    let mut less = asked.clone();
    less.accounts[0].want_cents = 99;
    assert_eq!(read(&less, "gate_a", NOON).unwrap_err().code(), "mismatch");
    // Where no lease is asked for, none is granted, however much would do.
    let mut none = asked.clone();
    none.accounts[1].want_cents = 100;
    let answer = SpendAnswer { day: day_of(NOON), accounts: vec![grant(100), grant(1)] };
    let given = none.answer("gate_a", &answer, NOON, &key, "trust_1");
    assert_eq!(none.read_answer(given.as_bytes(), "gate_a", &keys, NOON).unwrap_err().code(), "mismatch");
    for late in [-61_000, 61_000] {
        assert_eq!(read(&asked, "gate_a", NOON.plus_millis(late)).unwrap_err().code(), "mismatch");
    }
    let other = service_keys(&SecretKey::from_seed([2; 32]));
    assert_eq!(asked.read_answer(token.as_bytes(), "gate_a", &other, NOON), Err(LiveError::Signature));
}

#[test]
fn a_question_of_another_form_is_refused() {
    let asked = question();
    let mut named = asked.clone();
    named.accounts[0].permission = "flights:cancel".to_owned();
    assert_eq!(SpendQuestion::read(named.to_json().as_bytes()), Err(LiveError::Member("account")));
    let mut many = asked.clone();
    many.accounts = vec![asked.accounts[0].clone(); 65];
    assert_eq!(SpendQuestion::read(many.to_json().as_bytes()), Err(LiveError::Member("accounts")));
    let mut long = asked.clone();
    long.accounts[0].spent = vec![asked.accounts[0].spent[0]; 9];
    assert_eq!(SpendQuestion::read(long.to_json().as_bytes()), Err(LiveError::Member("spent")));
    let days = asked.to_json().replace("\"days\":30", "\"days\":367");
    assert_eq!(SpendQuestion::read(days.as_bytes()), Err(LiveError::Member("days")));
    let more = asked.to_json().replacen("{", "{\"more\":1,", 1);
    assert_eq!(SpendQuestion::read(more.as_bytes()).unwrap_err().code(), "unreadable");
    assert_eq!(SpendQuestion::read(&asked.to_json().as_bytes()[1..]).unwrap_err().code(), "unreadable");
}

/// What may happen to gates that share an account.
#[derive(Clone, Debug)]
enum Event {
    Take {
        gate: usize,
        caps: usize,
        cents: u64,
    },
    GiveBack {
        gate: usize,
    },
    /// `answered`: 0 the question is lost, 1 the answer is, else neither.
    Tick {
        gate: usize,
        answered: u8,
    },
    Crash {
        gate: usize,
    },
    Wait {
        seconds: i64,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..3_usize, 0..3_usize, 1..60_u64).prop_map(|(gate, caps, cents)| Event::Take { gate, caps, cents }),
        1 => (0..3_usize).prop_map(|gate| Event::GiveBack { gate }),
        6 => (0..3_usize, 0..6_u8).prop_map(|(gate, answered)| Event::Tick { gate, answered }),
        1 => (0..3_usize).prop_map(|gate| Event::Crash { gate }),
        4 => prop_oneof![0..5_i64, 100..400_i64, 20_000..90_000_i64].prop_map(|seconds| Event::Wait { seconds }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_lost_and_whoever_dies_no_cap_is_overrun(events in proptest::collection::vec(event(), 1..300)) {
        let all = [
            SpendCaps { daily_cents: Some(300), rolling: Some(Rolling { days: 3, cents: 700 }), total_cents: Some(1500) },
            daily(200),
            SpendCaps { total_cents: Some(900), ..SpendCaps::default() },
        ];
        let mut service = Service::default();
        let mut gates: Vec<Gate> = (0..3).map(Gate::new).collect();
        let mut now = NOON;
        // What was taken: day, cents, under which caps.
        let mut taken: Vec<(u64, u64, usize)> = Vec::new();
        let mut last: [Option<(usize, u64, usize)>; 3] = [None; 3];
        for event in events {
            match event {
                Event::Take { gate, caps, cents } => {
                    let decoded = Leases::decode(&gates[gate].page.encode()).unwrap();
                    prop_assert_eq!(&decoded, &gates[gate].page);
                    gates[gate].page = decoded;
                    if let Taken::Taken(_) = gates[gate].take(&all[caps], cents, now) {
                        taken.push((day_of(now), cents, caps));
                        last[gate] = Some((caps, cents, taken.len() - 1));
                        let since = |first: u64, under: &[usize]| -> u64 {
                            let counted = taken.iter().filter(|(day, _, caps)| *day >= first && under.contains(caps));
                            counted.map(|(_, cents, _)| cents).sum()
                        };
                        let day = day_of(now);
                        for (index, caps) in all.iter().enumerate() {
                            let under = [index];
                            prop_assert!(caps.daily_cents.is_none_or(|cap| since(day, &under) <= cap));
                            prop_assert!(caps.total_cents.is_none_or(|cap| since(0, &under) <= cap));
                            prop_assert!(caps.rolling.is_none_or(|r| since(day + 1 - u64::from(r.days), &under) <= r.cents));
                        }
                        // Together no more than the largest of them lets through.
                        prop_assert!(since(day, &[0, 1]) <= 300);
                        prop_assert!(since(0, &[0, 2]) <= 1500);
                    }
                }
                Event::GiveBack { gate } => {
                    if let Some((caps, cents, index)) = last[gate].take() {
                        gates[gate].page.give_back(&NAMES, &all[caps], cents, now);
                        taken[index].1 = 0;
                    }
                }
                Event::Tick { gate, answered } => {
                    let asks = gates[gate].wanted(now);
                    prop_assert!(asks.iter().all(|ask| ask.spent.len() <= 8));
                    if answered != 0 {
                        let answer = service.answer(gate, &asks, now);
                        if answered != 1 {
                            gates[gate].page.settle(&asks, &answer, now);
                        }
                    }
                }
                Event::Crash { gate } => {
                    gates[gate].page = Leases::default();
                    last[gate] = None;
                }
                Event::Wait { seconds } => now = now.plus_millis(seconds * 1000),
            }
        }
    }
}
