//! How often each caller may call, and how often in vain.

use crate::error::{ApiError, ApiResult};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who calls too often, and who with credentials that are not good.
pub struct Limits {
    limiter: DefaultKeyedRateLimiter<String>,
    domains: DefaultKeyedRateLimiter<String>,
    nonces: DefaultKeyedRateLimiter<String>,
    spend: DefaultKeyedRateLimiter<String>,
    records: DefaultKeyedRateLimiter<String>,
    failures_per_minute: u32,
    failures: Mutex<HashMap<(IpAddr, Credential), Failures>>,
}

/// What a request brings to say who sends it. Each kind fails for itself: a script with a
/// wrong key does not lock out the gates behind the same address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Credential {
    /// An API key.
    Key,
    /// A signature.
    Signature,
}

/// What failed from an address within a minute.
#[derive(Clone, Copy)]
struct Failures {
    since: Instant,
    count: u32,
}

/// A caller may save up so many seconds' worth: a console that opens, a batch that starts.
const BURST_SECONDS: u32 = 5;

/// Looks for a domain's token, per issuer and minute: whoever sets a record tries a few
/// times, and hosts of others are not to be asked at will.
const DOMAIN_CHECKS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Past so many callers, those who have not called lately are forgotten.
const KEPT_CALLERS: usize = 10_000;

const WINDOW: Duration = Duration::from_secs(60);

impl Limits {
    /// Limits of so many requests a second for a caller, so many questions about nonces, as
    /// many about spending, and batches of records a second for a gate, and so many failed
    /// requests a minute for an address.
    pub fn new(
        per_second: u32,
        nonces_per_second: u32,
        batches_per_second: u32,
        failures_per_minute: u32,
    ) -> Self {
        let quota = |per_second| {
            let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
            let burst = rate.saturating_mul(NonZeroU32::new(BURST_SECONDS).unwrap_or(NonZeroU32::MIN));
            Quota::per_second(rate).allow_burst(burst)
        };
        Limits {
            limiter: RateLimiter::keyed(quota(per_second)),
            domains: RateLimiter::keyed(Quota::per_minute(DOMAIN_CHECKS)),
            nonces: RateLimiter::keyed(quota(nonces_per_second)),
            spend: RateLimiter::keyed(quota(nonces_per_second)),
            records: RateLimiter::keyed(quota(batches_per_second)),
            failures_per_minute,
            failures: Mutex::default(),
        }
    }

    /// Counts a call of `caller`: an API key's id, a gate's, or an address.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check(&self, caller: &str) -> ApiResult<()> {
        check(&self.limiter, caller)
    }

    /// Counts a look for the token of the domain of `issuer`.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check_domain(&self, issuer: &str) -> ApiResult<()> {
        check(&self.domains, issuer)
    }

    /// Counts a question of `gate` about a nonce.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check_nonces(&self, gate: &str) -> ApiResult<()> {
        check(&self.nonces, gate)
    }

    /// Counts a question of `gate` about spending.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check_spend(&self, gate: &str) -> ApiResult<()> {
        check(&self.spend, gate)
    }

    /// Counts a call of `gate` that brings records.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check_records(&self, gate: &str) -> ApiResult<()> {
        check(&self.records, gate)
    }

    /// Counts a call from an address that says nothing of who sends it.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub fn check_address(&self, address: IpAddr) -> ApiResult<()> {
        // Apart from what handlers count by address.
        self.check(&format!("all of {}", network(address)))
    }

    /// Whether credentials from this address are looked at.
    ///
    /// # Errors
    /// 429 with the seconds to wait, where too many failed within a minute.
    pub fn check_failures(&self, address: IpAddr, credential: Credential) -> ApiResult<()> {
        let failed = self.lock().get(&(network(address), credential)).copied();
        let Some(failed) = failed.filter(|failed| failed.count >= self.failures_per_minute) else {
            return Ok(());
        };
        match WINDOW.checked_sub(failed.since.elapsed()) {
            Some(left) => Err(ApiError::too_many(left.as_secs().saturating_add(1))),
            None => Ok(()),
        }
    }

    /// Counts credentials from this address that were not good.
    pub fn failed(&self, address: IpAddr, credential: Credential) {
        let now = Instant::now();
        let mut all = self.lock();
        if all.len() >= KEPT_CALLERS {
            all.retain(|_, failed| failed.since.elapsed() < WINDOW);
            if all.len() >= KEPT_CALLERS {
                // Ten thousand networks that fail within a minute: each may begin anew,
                // which is better than memory without end. Keys of 256 bits stay safe.
                all.clear();
            }
        }
        let failed = all.entry((network(address), credential)).or_insert(Failures { since: now, count: 0 });
        if failed.since.elapsed() >= WINDOW {
            *failed = Failures { since: now, count: 0 };
        }
        failed.count = failed.count.saturating_add(1);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(IpAddr, Credential), Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(limiter: &DefaultKeyedRateLimiter<String>, who: &str) -> ApiResult<()> {
    if limiter.len() > KEPT_CALLERS {
        limiter.retain_recent();
    }
    limiter.check_key(&who.to_owned()).map_err(|until| {
        let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
        ApiError::too_many(wait.as_secs().saturating_add(1))
    })
}

/// Whom an address stands for: of IPv6, whoever has a /64 has all of it.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address @ IpAddr::V4(_) => address,
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Limits({} callers)", self.limiter.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_an_ipv6_network_share_their_failures_and_others_do_not() {
        let limits = Limits::new(1, 1, 1, 1);
        let address = |text: &str| text.parse::<IpAddr>().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        limits.failed(address("2001:db8::1"), Credential::Key);
        assert!(limits.check_failures(address("2001:db8::2"), Credential::Key).is_err());
        assert!(limits.check_failures(address("2001:db8:0:1::1"), Credential::Key).is_ok());
        assert!(limits.check_failures(address("2001:db8::1"), Credential::Signature).is_ok());
        limits.failed(address("::ffff:192.0.2.1"), Credential::Key);
        assert!(limits.check_failures(address("192.0.2.1"), Credential::Key).is_err());
    }
}
