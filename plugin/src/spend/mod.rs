//! What may still be spent, as the workers of a proxy know it together: pages of leases, which one
//! worker renews ahead of need (`ask`).

mod ask;

pub(crate) use ask::SpendAsker;

use crate::fault::{HostFault, Place, Problem};
use crate::replay::SharedReplay;
use crate::shared::{self, Store, get, replace};
use alloc::format;
use alloc::string::String;
use portcullis_core::UnixTime;
use portcullis_core::guardrails::{Cap, Spend, SpendAccount, SpendFault, Taken, Window};
use portcullis_core::spend::{
    self, LeaseFault, Leases, Rolling, SpendCaps, SpendLevel, SpendNames, SpendWindow,
};

/// How often a page is read and changed before it is given up. Accounts of one page meet there, and
/// each time that one fails another has succeeded.
const TRIES: u32 = 64;

impl<S: Store> Spend for SharedReplay<S> {
    fn take(&mut self, account: &SpendAccount, cents: u64, now: UnixTime) -> Result<Taken, SpendFault> {
        let (names, caps) = told(account);
        let page = self.page_of(account)?;
        for _ in 0..TRIES {
            let (mut leases, cas) = read(&mut self.store, page).map_err(unavailable)?;
            let before = leases.clone();
            let taken = leases.take(&names, &caps, cents, now).map_err(fault)?;
            // Of what the page need not know nothing is written.
            let is_written =
                leases == before || write(&mut self.store, page, &leases, cas).map_err(unavailable)?;
            match taken {
                _ if !is_written => {}
                spend::Taken::Taken(Some(level)) => {
                    return Ok(Taken { spent: level.used_cents, cap: cap(&level, account) });
                }
                spend::Taken::Taken(None) => return Err(SpendFault::Unavailable("an account has no caps")),
                spend::Taken::Pending => return Err(SpendFault::Pending),
                spend::Taken::Exhausted(level) => {
                    return Err(SpendFault::Exhausted { spent: level.used_cents, cap: cap(&level, account) });
                }
            }
        }
        Err(SpendFault::Unavailable("the memory of what was spent changes too often"))
    }

    fn give_back(&mut self, account: &SpendAccount, cents: u64, now: UnixTime) {
        let (names, caps) = told(account);
        let Ok(page) = self.page_of(account) else { return };
        for _ in 0..TRIES {
            // What cannot be given back stays spent.
            let Ok((mut leases, cas)) = read(&mut self.store, page) else { return };
            leases.give_back(&names, &caps, cents, now);
            if write(&mut self.store, page, &leases, cas) != Ok(false) {
                return;
            }
        }
    }
}

impl<S: Store> SharedReplay<S> {
    fn page_of(&mut self, account: &SpendAccount) -> Result<u32, SpendFault> {
        let process = self.process().map_err(|_| UNREADABLE)?;
        let (names, _) = told(account);
        Ok(Leases::page_of(&names.id(), names.is_made_up(), &process.spend_secret()))
    }
}

const UNREADABLE: SpendFault = SpendFault::Unavailable("the memory of what was spent cannot be read");

fn name(page: u32) -> String {
    shared::name(&format!("spend.{page}"))
}

/// A page, empty where there is none yet, and its CAS.
fn read(store: &mut impl Store, page: u32) -> Result<(Leases, Option<u32>), HostFault> {
    let Some((bytes, cas)) = get(store, &name(page))? else { return Ok((Leases::default(), None)) };
    let leases = Leases::decode(&bytes);
    let leases = leases.map_err(|_| HostFault::new(Place::GetSharedData, Problem::OtherValue))?;
    Ok((leases, Some(cas)))
}

/// Whether it was written; otherwise another worker was first.
fn write(store: &mut impl Store, page: u32, leases: &Leases, cas: Option<u32>) -> Result<bool, HostFault> {
    replace(store, &name(page), &leases.encode(), cas)
}

fn told(account: &SpendAccount) -> (SpendNames<'_>, SpendCaps) {
    let SpendAccount { issuer, passport_id, permission, caps } = account;
    let caps = SpendCaps {
        daily_cents: caps.daily,
        rolling: caps.rolling.map(|(days, cents)| Rolling { days, cents }),
        total_cents: caps.total,
    };
    (SpendNames { issuer, passport_id, permission }, caps)
}

fn cap(level: &SpendLevel, account: &SpendAccount) -> Cap {
    let window = match level.window {
        SpendWindow::Daily => Window::Daily,
        SpendWindow::Rolling => Window::Rolling(account.caps.rolling.map_or(1, |(days, _)| days)),
        SpendWindow::Total => Window::Total,
    };
    Cap { cents: level.cap_cents, window }
}

fn fault(fault: LeaseFault) -> SpendFault {
    SpendFault::Unavailable(match fault {
        LeaseFault::Damaged => "a page of what was spent is damaged",
        LeaseFault::Full => "there is no room for more that spend",
        LeaseFault::LongNames => "issuer, passports and permission have too long names",
    })
}

fn unavailable(_: HostFault) -> SpendFault {
    UNREADABLE
}
