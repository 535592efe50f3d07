//! Asking for leases, by the one worker that talks to the service for all.

use super::{TRIES, read, write};
use crate::fault::{HostFault, Place, Problem};
use crate::host::{self, Level};
use crate::live::{Line, Trouble, answered, backoff};
use crate::shared::HostStore;
use alloc::vec::Vec;
use core::cell::RefCell;
use portcullis_core::UnixTime;
use portcullis_core::live::{LiveTrust, MAX_ACCOUNTS, SpendAnswer, SpendAsk, SpendQuestion};
use portcullis_core::spend::Leases;

/// How often all pages are looked through: who was told to try again in a second finds a lease.
const PERIOD_MS: i64 = 500;

/// How long a call may take.
const DEADLINE_MS: u32 = 2_000;

/// When a call is given up that the host never ended: pages ask again by then.
const LOST_MS: i64 = 3_000;

/// This worker's questions.
#[derive(Default)]
pub(crate) struct SpendAsker {
    flight: Option<Flight>,
    /// Not before this time, in milliseconds.
    not_before: i64,
    failures: u32,
    in_trouble: bool,
}

struct Flight {
    token: u32,
    at: UnixTime,
    question: SpendQuestion,
    /// Of which page each part of the question is: pages in their order, with how many each has.
    pages: Vec<(u32, usize)>,
}

impl SpendAsker {
    /// Asks for what the pages want, if it is time.
    pub(crate) fn ask(&mut self, line: &Line, lane: [u8; 16], now: UnixTime) {
        if self.flight.as_ref().is_some_and(|flight| now < flight.at.plus_millis(LOST_MS))
            || now.as_millis() < self.not_before
        {
            return;
        }
        self.flight = None;
        self.not_before = now.plus_millis(PERIOD_MS).as_millis();
        match send(line, lane, now) {
            Ok(flight) => self.flight = flight,
            Err(fault) => self.failed(fault.into(), now),
        }
    }

    /// Takes the answer to a call, of `size` bytes. Whether it was one of spending.
    pub(crate) fn answered(&mut self, token: u32, size: usize, trust: &RefCell<LiveTrust>) -> bool {
        let Some(flight) = self.flight.take_if(|flight| flight.token == token) else { return false };
        let Ok(now) = host::now() else { return true };
        match accept(&flight, size, trust, now) {
            Ok(()) => {
                self.failures = 0;
                if core::mem::take(&mut self.in_trouble) {
                    host::log(Level::Info, "leases of spending are renewed again");
                }
            }
            Err(trouble) => self.failed(trouble, now),
        }
        true
    }

    fn failed(&mut self, trouble: Trouble, now: UnixTime) {
        self.not_before = now.plus_millis(backoff(self.failures)).as_millis();
        self.failures = self.failures.saturating_add(1);
        if !core::mem::replace(&mut self.in_trouble, true) {
            host::log(Level::Warn, &["leases of spending are not renewed: ", &trouble.0].concat());
        }
    }
}

fn send(line: &Line, lane: [u8; 16], now: UnixTime) -> Result<Option<Flight>, HostFault> {
    let (mut accounts, mut pages) = (Vec::new(), Vec::new());
    for page in 0..Leases::COUNT {
        let room = MAX_ACCOUNTS.saturating_sub(accounts.len());
        if room == 0 {
            break;
        }
        let (mut leases, cas) = read(&mut HostStore, page)?;
        if !leases.is_due(now) {
            continue;
        }
        let mut randomness = Ok(());
        let asks = leases.wanted(now, room, || {
            let mut id = [0; 16];
            randomness = randomness.and(host::random(&mut id));
            id
        });
        randomness?;
        // Before it is sent: what is reported as done is not spent any more. Where another worker was
        // first, the page asks next time.
        if write(&mut HostStore, page, &leases, cas)? && !asks.is_empty() {
            pages.push((page, asks.len()));
            accounts.extend(asks);
        }
    }
    if accounts.is_empty() {
        return Ok(None);
    }
    let mut random = [0; 16];
    host::random(&mut random)?;
    let question = SpendQuestion { accounts, lane, random };
    let token = line.post("spend", question.to_json().as_bytes(), None, DEADLINE_MS, now)?;
    Ok(Some(Flight { token, at: now, question, pages }))
}

fn accept(flight: &Flight, size: usize, trust: &RefCell<LiveTrust>, now: UnixTime) -> Result<(), Trouble> {
    let body = answered(size)?;
    let trust = trust.try_borrow().map_err(|_| REENTERED)?;
    let answer = flight.question.read_answer(&body, trust.gate(), trust.service_keys(), now)?;
    let (mut asks, mut grants) = (flight.question.accounts.as_slice(), answer.accounts.as_slice());
    for (page, count) in &flight.pages {
        let (of_page, rest) = asks.split_at_checked(*count).unwrap_or_default();
        let (granted, left) = grants.split_at_checked(*count).unwrap_or_default();
        (asks, grants) = (rest, left);
        settle(*page, of_page, &SpendAnswer { day: answer.day, accounts: granted.to_vec() }, now)?;
    }
    Ok(())
}

fn settle(page: u32, asks: &[SpendAsk], answer: &SpendAnswer, now: UnixTime) -> Result<(), HostFault> {
    for _ in 0..TRIES {
        let (mut leases, cas) = read(&mut HostStore, page)?;
        leases.settle(asks, answer, now);
        if write(&mut HostStore, page, &leases, cas)? {
            return Ok(());
        }
    }
    // The page asks again, and the service answers the same.
    Err(HostFault::new(Place::SetSharedData, Problem::PageChanges))
}

const REENTERED: HostFault = HostFault::new(Place::Host, Problem::Reentered);
