//! Leases of spending: gates together never spend more than a cap.

use crate::common::Bench;
use crate::common::gates::{enrolled, signed, text};
use crate::common::passports::{agent, now, self_issued};
use portcullis_core::live::{LeaseSpent, ServiceKeys, SpendAsk, SpendGrant, SpendQuestion};
use portcullis_core::spend::{Leases, Rolling, SpendCaps, SpendNames, SpendUsed, SpendWindow, Taken, day_of};
use portcullis_core::{SecretKey, base64};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use xtask::http::Response;
use xtask::on_every_database;

on_every_database!(
    what_is_granted_counts_and_what_is_given_back_does_not,
    a_lease_is_granted_once_however_often_it_is_asked_for,
    each_cap_says_when_it_is_used_up,
    days_before_count_in_their_windows,
    eight_that_ask_at_once_never_get_more_than_the_cap,
    gates_with_their_books_never_spend_more_than_the_cap,
    a_gate_reports_its_own_leases_and_asks_for_itself_alone,
    questions_of_another_form_are_refused,
    a_passports_state_is_told_and_set_back,
    there_is_room_for_so_many_accounts,
    what_is_over_is_forgotten_and_what_is_held_stays_counted,
    a_backup_has_what_was_spent,
);

/// A gate as a proxy runs it, but for the proxy.
struct Gate {
    id: String,
    key: SecretKey,
    keys: ServiceKeys,
}

impl Gate {
    fn enrolled(bench: &Bench, id: &str, seed: u8) -> Self {
        let key = SecretKey::from_seed([seed; 32]);
        let config = enrolled(bench, id, &key);
        Gate { id: id.to_owned(), key, keys: ServiceKeys::new(&config.service.keys).unwrap() }
    }

    fn send(&self, to: SocketAddr, body: &str) -> Response {
        let path = format!("/gate/v1/gates/{}/spend", self.id);
        signed(to, &self.key, ("POST", &path, "", body.as_bytes()), now(), random())
    }

    fn ask_all(&self, to: SocketAddr, accounts: Vec<SpendAsk>) -> Vec<SpendGrant> {
        let asked = SpendQuestion { accounts, lane: [1; 16], random: random() };
        let answer = self.send(to, &asked.to_json());
        assert_eq!(answer.status, 200, "{}", text(&answer));
        assert_eq!(answer.header("content-type"), Some("application/jose"));
        let answer = asked.read_answer(&answer.body, &self.id, &self.keys, now()).unwrap();
        assert_eq!(answer.day, day_of(now()));
        answer.accounts
    }

    fn ask(&self, to: SocketAddr, ask: SpendAsk) -> SpendGrant {
        self.ask_all(to, vec![ask])[0]
    }
}

const NAMES: SpendNames<'_> =
    SpendNames { issuer: "https://issuer.test", passport_id: "pp_1", permission: "flights:book" };

/// A lease of so much, with a name of its own, of an account of these caps.
fn about(names: SpendNames<'_>, caps: SpendCaps, want_cents: u64) -> SpendAsk {
    SpendAsk {
        account: names.id(),
        issuer: names.issuer.to_owned(),
        passport_id: names.passport_id.to_owned(),
        permission: names.permission.to_owned(),
        caps,
        lease: Some(random()),
        want_cents,
        spent: Vec::new(),
    }
}

/// What was spent of a lease, and nothing asked for.
fn report(asked: &SpendAsk, spent_cents: u64, is_done: bool) -> SpendAsk {
    let spent = vec![LeaseSpent { lease: asked.lease.unwrap(), spent_cents, is_done }];
    SpendAsk { lease: None, want_cents: 0, spent, ..asked.clone() }
}

fn daily(cents: u64) -> SpendCaps {
    SpendCaps { daily_cents: Some(cents), ..SpendCaps::default() }
}

fn random() -> [u8; 16] {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    bytes
}

fn restarted(mut bench: Bench) -> Bench {
    let (key, control) = (bench.service.key.clone(), bench.control.clone());
    bench.service.end().unwrap();
    bench.service = control.start_with_key(&key).unwrap();
    bench
}

fn state(bench: &Bench, passport: &str) -> Value {
    let (status, state) = bench.call("GET", &format!("/api/passports/{passport}/state"), None);
    assert_eq!(status, 200, "{state}");
    state
}

fn what_is_granted_counts_and_what_is_given_back_does_not(database: Option<&str>) {
    let bench = Bench::new(database);
    let (one, other) = (Gate::enrolled(&bench, "gate_a", 1), Gate::enrolled(&bench, "gate_b", 2));
    let to = bench.service.address;
    let first = about(NAMES, daily(1000), 600);
    let grant = one.ask(to, first.clone());
    assert_eq!((grant.granted_cents, grant.exhausted, grant.used), (600, None, SpendUsed::default()));
    // Of what one gate holds the other gets nothing.
    let second = about(NAMES, daily(1000), 600);
    let grant = other.ask(to, second.clone());
    assert_eq!((grant.granted_cents, grant.exhausted), (400, Some(SpendWindow::Daily)));
    assert_eq!((grant.used.daily, grant.used.total), (600, 600), "what the other holds counts as used");
    assert_eq!(other.ask(to, about(NAMES, daily(1000), 1)).granted_cents, 0);
    // What is reported as spent stays counted, and what is given back is free again.
    let grant = one.ask(to, report(&first, 250, false));
    assert_eq!((grant.granted_cents, grant.used.daily), (0, 400), "without its own lease");
    assert_eq!(other.ask(to, about(NAMES, daily(1000), 1)).granted_cents, 0);
    one.ask(to, report(&first, 250, true));
    let grant = other.ask(to, about(NAMES, daily(1000), 600));
    assert_eq!(grant.granted_cents, 350);
    // It is not the process that remembers.
    let bench = restarted(bench);
    let to = bench.service.address;
    assert_eq!(one.ask(to, about(NAMES, daily(1000), 1)).granted_cents, 0);
    let larger = about(NAMES, daily(1001), 600);
    assert_eq!(one.ask(to, larger).granted_cents, 1, "each question is judged by its own caps");
    let metrics = text(&bench.service.call("GET", "/metrics", None).unwrap());
    for line in [
        "portcullis_spend_leases_total{answer=\"exhausted\"} 2",
        "portcullis_spend_accounts{gate=\"gate_a\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

fn a_lease_is_granted_once_however_often_it_is_asked_for(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    let asked = about(NAMES, daily(1000), 300);
    for _ in 0..3 {
        let grant = gate.ask(to, asked.clone());
        assert_eq!((grant.granted_cents, grant.used.daily), (300, 0));
    }
    let bench = restarted(bench);
    let to = bench.service.address;
    assert_eq!(gate.ask(to, asked.clone()).granted_cents, 300);
    // Reports are taken up once too, and none takes anything back.
    for spent in [100, 100, 40] {
        gate.ask(to, report(&asked, spent, false));
    }
    assert_eq!(state(&bench, "pp_1")["cost_cumulative_cents"], 100);
    for _ in 0..2 {
        gate.ask(to, report(&asked, 120, true));
    }
    assert_eq!(gate.ask(to, asked.clone()).granted_cents, 0, "it was given back");
    assert_eq!(gate.ask(to, about(NAMES, daily(1000), 1000)).granted_cents, 880);
    // The last one does not either, and none says that more was spent than was granted.
    let names = SpendNames { passport_id: "pp_2", ..NAMES };
    for (reports, spent) in [(&[(100, false), (40, true)][..], 100), (&[(5000, true)], 400)] {
        let held = about(names, daily(1000), 300);
        assert_eq!(gate.ask(to, held.clone()).granted_cents, 300);
        for (spent, is_done) in reports {
            gate.ask(to, report(&held, *spent, *is_done));
        }
        assert_eq!(state(&bench, "pp_2")["cost_cumulative_cents"], spent);
    }
}

fn each_cap_says_when_it_is_used_up(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    let all = SpendCaps {
        daily_cents: Some(500),
        rolling: Some(Rolling { days: 30, cents: 800 }),
        total_cents: Some(900),
    };
    let cases = [
        (SpendWindow::Daily, all),
        (SpendWindow::Rolling, SpendCaps { daily_cents: Some(5000), ..all }),
        (SpendWindow::Total, SpendCaps { daily_cents: Some(5000), rolling: None, ..all }),
    ];
    for (index, (window, caps)) in cases.into_iter().enumerate() {
        let id = format!("pp_{index}");
        let grant = gate.ask(to, about(SpendNames { passport_id: &id, ..NAMES }, caps, 1000));
        let cap = caps.each().map(|(_, cents)| cents).min().unwrap();
        assert_eq!((grant.granted_cents, grant.exhausted), (cap, Some(window)));
    }
    // Another permission has an account of its own, another issuer's passport too.
    for names in [
        SpendNames { permission: "flights:cancel", passport_id: "pp_0", ..NAMES },
        SpendNames { issuer: "https://other.test", passport_id: "pp_0", ..NAMES },
    ] {
        assert_eq!(gate.ask(to, about(names, all, 500)).granted_cents, 500);
    }
}

fn days_before_count_in_their_windows(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    let rolling = |days, cents| SpendCaps { rolling: Some(Rolling { days, cents }), ..SpendCaps::default() };
    let asked = about(NAMES, rolling(7, 1000), 400);
    assert_eq!(gate.ask(to, asked.clone()).granted_cents, 400);
    // As if that had been six days ago.
    for table in ["spend_days", "spend_leases"] {
        bench.sql(&format!("UPDATE {table} SET day = day - 6"));
    }
    let grant = gate.ask(to, about(NAMES, rolling(7, 1000), 1000));
    assert_eq!((grant.granted_cents, grant.used.rolling, grant.used.daily), (600, 400, 0));
    assert_eq!(
        gate.ask(to, about(NAMES, rolling(6, 1000), 1000)).granted_cents,
        400,
        "six days do not reach"
    );
    assert_eq!(gate.ask(to, about(NAMES, daily(1500), 1000)).granted_cents, 500);
    let total = SpendCaps { total_cents: Some(2000), ..SpendCaps::default() };
    assert_eq!(gate.ask(to, about(NAMES, total, 1000)).granted_cents, 100);
    // What it gives back so late counts on its own day.
    gate.ask(to, report(&asked, 0, true));
    assert_eq!(gate.ask(to, about(NAMES, daily(1700), 1000)).granted_cents, 100);
}

fn eight_that_ask_at_once_never_get_more_than_the_cap(database: Option<&str>) {
    let bench = Bench::with(database, &["--nonce-rate", "10000"]);
    let gates: Vec<Gate> =
        (1..=8).map(|seed| Gate::enrolled(&bench, &format!("gate_{seed}"), seed)).collect();
    let mut instances = vec![bench.service.address];
    // SQLite serves one instance.
    let second = database.map(|_| {
        let mut control = bench.control.clone();
        [control.address] = xtask::net::free().unwrap();
        control.start_with_key(&bench.service.key).unwrap()
    });
    instances.extend(second.iter().map(|service| service.address));
    let other = SpendNames { permission: "flights:cancel", ..NAMES };
    let granted: Vec<[u64; 2]> = std::thread::scope(|scope| {
        let ask = |index: usize| {
            let (gate, to) = (&gates[index], instances[index % instances.len()]);
            scope.spawn(move || {
                let mut sums = [0; 2];
                for turn in 0..12 {
                    // In the one order and in the other.
                    let both = [about(NAMES, daily(1000), 37), about(other, daily(500), 29)];
                    let mut asked = both.to_vec();
                    if (index + turn) % 2 == 1 {
                        asked.reverse();
                    }
                    let grants = gate.ask_all(to, asked.clone());
                    for (ask, grant) in asked.iter().zip(grants) {
                        sums[usize::from(ask.account == other.id())] += grant.granted_cents;
                    }
                }
                sums
            })
        };
        let all: Vec<_> = (0..8).map(ask).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let sum = |index: usize| granted.iter().map(|sums| sums[index]).sum::<u64>();
    assert_eq!((sum(0), sum(1)), (1000, 500));
}

fn gates_with_their_books_never_spend_more_than_the_cap(database: Option<&str>) {
    let bench = Bench::with(database, &["--nonce-rate", "10000"]);
    let gates: Vec<Gate> =
        (1..=3).map(|seed| Gate::enrolled(&bench, &format!("gate_{seed}"), seed)).collect();
    let to = bench.service.address;
    let spent: u64 = std::thread::scope(|scope| {
        let run = |index: usize| {
            let gate = &gates[index];
            scope.spawn(move || {
                let (mut page, mut spent, mut later) = (Leases::default(), 0, 0);
                for turn in 0..400 {
                    // A gate that heard nothing asks again after three seconds.
                    let at = now().plus_millis(later);
                    if let Taken::Taken(_) = page.take(&NAMES, &daily(2000), 10, at).unwrap() {
                        spent += 10;
                    }
                    if page.is_due(at) {
                        let asked = SpendQuestion {
                            accounts: page.wanted(at, 64, random),
                            lane: [1; 16],
                            random: random(),
                        };
                        let answer = gate.send(to, &asked.to_json());
                        if turn % 7 == 3 {
                            later += 3000;
                            continue;
                        }
                        let answer = asked.read_answer(&answer.body, &gate.id, &gate.keys, now()).unwrap();
                        page.settle(&asked.accounts, &answer, at);
                    }
                }
                spent
            })
        };
        let all: Vec<_> = (0..3).map(run).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!(spent <= 2000, "{spent} cents of 2000");
    assert!(spent >= 1000, "{spent} cents: most of it can be spent all the same");
}

fn a_gate_reports_its_own_leases_and_asks_for_itself_alone(database: Option<&str>) {
    let bench = Bench::new(database);
    let (one, other) = (Gate::enrolled(&bench, "gate_a", 1), Gate::enrolled(&bench, "gate_b", 2));
    let to = bench.service.address;
    let asked = about(NAMES, daily(1000), 1000);
    assert_eq!(one.ask(to, asked.clone()).granted_cents, 1000);
    // Another gate gives nothing back that is not its own; nor a gate of another account.
    other.ask(to, report(&asked, 0, true));
    let elsewhere = SpendNames { permission: "flights:cancel", ..NAMES };
    let stray = SpendAsk { spent: report(&asked, 0, true).spent, ..about(elsewhere, daily(10), 1) };
    one.ask(to, stray);
    assert_eq!(other.ask(to, about(NAMES, daily(1000), 1)).granted_cents, 0);
    // Nor does a lease count twice that is told of twice, nor is one granted again that is given back.
    let own = about(SpendNames { passport_id: "pp_own", ..NAMES }, daily(1000), 1000);
    assert_eq!(other.ask(to, own.clone()).granted_cents, 1000);
    let once = report(&own, 0, true);
    let twice = SpendAsk { spent: [once.spent.clone(), once.spent.clone()].concat(), ..once.clone() };
    let told = SpendQuestion { accounts: vec![twice], lane: [1; 16], random: random() };
    assert_eq!(other.send(to, &told.to_json()).status, 422);
    let again = SpendAsk { lease: own.lease, want_cents: 1000, ..once.clone() };
    let granted = other.ask_all(to, vec![once, again]);
    assert_eq!([granted[0].granted_cents, granted[1].granted_cents], [0, 0]);
    // Nor where one account tells of its lease and asks for it.
    let both = about(SpendNames { passport_id: "pp_both", ..NAMES }, daily(1000), 1000);
    assert_eq!(other.ask(to, both.clone()).granted_cents, 1000);
    let both = SpendAsk { lease: both.lease, want_cents: 1000, ..report(&both, 0, true) };
    assert_eq!(other.ask(to, both).granted_cents, 0);
    let grants = [&one, &other].map(|gate| {
        let more = about(SpendNames { passport_id: "pp_own", ..NAMES }, daily(1000), 1000);
        gate.ask(to, more).granted_cents
    });
    assert_eq!(grants, [1000, 0]);
    // A gate that says it spent more than it was granted is not believed.
    one.ask(to, report(&asked, 5000, false));
    assert_eq!(state(&bench, "pp_1")["cost_cumulative_cents"], 1000);
    let question = SpendQuestion { accounts: Vec::new(), lane: [1; 16], random: random() }.to_json();
    let call = ("POST", "/gate/v1/gates/gate_b/spend", "", question.as_bytes());
    assert_eq!(signed(to, &one.key, call, now(), random()).status, 403);
    let stranger = SecretKey::from_seed([9; 32]);
    assert_eq!(signed(to, &stranger, call, now(), random()).status, 401);
}

fn questions_of_another_form_are_refused(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    let asked =
        SpendQuestion { accounts: vec![about(NAMES, daily(1000), 300)], lane: [1; 16], random: random() };
    let good = asked.to_json();
    let nul = SpendNames { permission: "flights:\0", ..NAMES };
    let nul = SpendQuestion { accounts: vec![about(nul, daily(1000), 300)], ..asked };
    for (body, field) in [
        ("[]".to_owned(), "body"),
        ("{}".to_owned(), "accounts"),
        (good.replace("flights:book", "flights:cancel"), "account"),
        (good.replace("\"want_cents\":300", "\"want_cents\":-1"), "want_cents"),
        (good.replace("\"rolling\":null", "\"rolling\":{\"cents\":1,\"days\":0}"), "days"),
        (nul.to_json(), "accounts"),
    ] {
        let answer = gate.send(to, &body);
        assert_eq!(answer.status, 422, "{body}");
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(told["field"], field, "{told}");
    }
    assert_eq!(gate.send(to, &good).status, 200);
}

fn a_passports_state_is_told_and_set_back(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    assert_eq!(bench.call("GET", "/api/passports/pp_1/state", None).0, 404);
    let caps = SpendCaps {
        daily_cents: Some(1000),
        rolling: Some(Rolling { days: 30, cents: 2000 }),
        total_cents: Some(3000),
    };
    let asked = about(NAMES, caps, 1000);
    gate.ask(to, asked.clone());
    gate.ask(to, report(&asked, 250, false));
    let told = state(&bench, "pp_1");
    assert_eq!(told["passport_id"], "pp_1");
    assert_eq!((&told["window_type"], &told["cost_cumulative_cents"]), (&json!("daily"), &json!(250)));
    let windows = told["windows"].as_array().unwrap();
    let names: Vec<_> = windows.iter().map(|window| window["window_type"].as_str().unwrap()).collect();
    assert_eq!(names, ["daily", "rolling", "total"]);
    for (window, cap) in windows.iter().zip([1000, 2000, 3000]) {
        assert_eq!(
            (&window["cost_cumulative_cents"], &window["held_cents"], &window["cap_cents"]),
            (&json!(250), &json!(750), &json!(cap)),
            "{window}"
        );
    }
    // One window is set back; the others count on, with what is held for good.
    let reset = |body: Value| bench.call("POST", "/api/passports/pp_1/state/reset", Some(body));
    assert_eq!(reset(json!({"window_type": "daily"})), (200, json!({"reset": true})));
    gate.ask(to, report(&asked, 300, true));
    let grant = gate.ask(to, about(NAMES, caps, 3000));
    assert_eq!(grant.granted_cents, 1000);
    assert_eq!((grant.used.daily, grant.used.rolling, grant.used.total), (0, 1000, 1000));
    assert_eq!(gate.ask(to, about(NAMES, caps, 1)).exhausted, Some(SpendWindow::Daily));
    // All of them.
    assert_eq!(reset(json!({})).0, 200);
    assert_eq!(state(&bench, "pp_1")["windows"][2]["cost_cumulative_cents"], 0);
    assert_eq!(gate.ask(to, about(NAMES, caps, 3000)).granted_cents, 1000);
    assert_eq!(reset(json!({"window_type": "weekly"})).0, 422);
    // Two issuers with the same id are told apart by name.
    gate.ask(to, about(SpendNames { issuer: "https://other.test", ..NAMES }, caps, 10));
    assert_eq!(bench.call("GET", "/api/passports/pp_1/state", None).0, 409);
    let (status, told) =
        bench.call("GET", "/api/passports/pp_1/state?issuer_id=https%3A%2F%2Fother.test", None);
    assert_eq!((status, &told["windows"][0]["held_cents"]), (200, &json!(10)));
    // And an agent that gives its own passport the id of another issuer's does not hide that one.
    gate.ask(to, about(SpendNames { passport_id: "pp_2", ..NAMES }, caps, 10));
    assert_eq!(bench.call("GET", "/api/passports/pp_2/state", None).0, 200);
    let own = self_issued(&agent(4), "pp_2", &["read"]);
    assert_eq!(bench.call("POST", "/api/passports/register", Some(own)).0, 200);
    let reset_2 = |query: &str| {
        bench.call("POST", &format!("/api/passports/pp_2/state/reset{query}"), Some(json!({}))).0
    };
    assert_eq!((reset_2(""), reset_2("?issuer_id=https%3A%2F%2Fissuer.test")), (409, 200));
    let (_, audit) = bench.call("GET", "/api/v1/audit", None);
    assert!(audit.to_string().contains("passport.reset_state"), "{audit}");
}

fn there_is_room_for_so_many_accounts(database: Option<&str>) {
    let bench = Bench::with(database, &["--most-spend-accounts", "4"]);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    let grant = |issuer: &str, passport_id: &str| {
        let names = SpendNames { issuer, passport_id, ..NAMES };
        gate.ask(to, about(names, daily(1000), 5))
    };
    assert_eq!(grant("self:a", "pp_1").granted_cents, 5);
    let none = grant("self:b", "pp_2");
    assert_eq!((none.granted_cents, none.exhausted), (0, None), "of four, self-issued passports have one");
    assert_eq!(grant("did:key:z", "pp_2").granted_cents, 0, "with those that keys name");
    assert_eq!(grant(NAMES.issuer, "pp_1 pp_2").granted_cents, 0, "with those that were delegated");
    for passport in ["pp_3", "pp_4", "pp_5"] {
        assert_eq!(grant(NAMES.issuer, passport).granted_cents, 5);
    }
    assert_eq!(grant(NAMES.issuer, "pp_6").granted_cents, 0);
    assert_eq!(grant(NAMES.issuer, "pp_5").granted_cents, 5, "those that are there go on");
}

fn what_is_over_is_forgotten_and_what_is_held_stays_counted(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let total = SpendCaps { total_cents: Some(1000), ..SpendCaps::default() };
    let asked = about(NAMES, total, 400);
    gate.ask(bench.service.address, asked.clone());
    let short = SpendNames { passport_id: "pp_2", ..NAMES };
    gate.ask(bench.service.address, about(short, daily(1000), 400));
    for table in ["spend_days", "spend_leases"] {
        bench.sql(&format!("UPDATE {table} SET day = day - 9"));
    }
    bench.sql("UPDATE spend_accounts SET used_day = used_day - 9");
    // It is done at the start.
    let bench = restarted(bench);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while bench.call("GET", "/api/passports/pp_2/state", None).0 != 404 {
        assert!(std::time::Instant::now() < deadline, "an account without a window is still there");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // A gate that comes so late gives nothing back.
    let to = bench.service.address;
    gate.ask(to, report(&asked, 0, true));
    assert_eq!(gate.ask(to, about(NAMES, total, 1000)).granted_cents, 600);
}

fn a_backup_has_what_was_spent(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let asked = about(NAMES, daily(1000), 400);
    gate.ask(bench.service.address, asked.clone());
    let file = bench.folder.path().join("backup.jsonl");
    let output = std::process::Command::new(&bench.control.program)
        .args(["backup", "--to", file.to_str().unwrap(), "--database", &bench.control.database])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let backup = std::fs::read_to_string(&file).unwrap();
    for row in [base64::encode_url(&NAMES.id()), base64::encode_url(&asked.lease.unwrap())] {
        assert!(backup.contains(&row), "{row}");
    }
}
