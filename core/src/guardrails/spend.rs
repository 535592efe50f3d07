//! Caps on what is spent: accounts, and the memory that keeps them.

use crate::base64;
use crate::ed25519::sha256;
use crate::json::{Object, Value, canonical_text};
use crate::time::UnixTime;
use alloc::string::String;

/// Within which time spending adds up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Window {
    /// A day in UTC.
    Daily,
    /// So many days back from now: 1 to 366.
    Rolling(u16),
    /// All time.
    Total,
}

/// A cap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cap {
    /// What may be spent within the window, in cents.
    pub cents: u64,
    /// The window.
    pub window: Window,
}

/// At most one cap of each kind of window.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Caps {
    /// In cents.
    pub daily: Option<u64>,
    /// Days, 1 to 366, and cents.
    pub rolling: Option<(u16, u64)>,
    /// In cents.
    pub total: Option<u64>,
}

/// Where spending adds up: one for each passport of a chain that sets caps for a
/// permission, and one for each agent where the gate itself sets some.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SpendAccount {
    /// The issuer at the root.
    pub issuer: String,
    /// The ids of the passports from the root to the one that set the caps, with spaces
    /// between, which no id has. Where the gate set them, the agent's id.
    pub passport_id: String,
    /// The permission; `*`, or `NAMESPACE*`, where the gate set the caps.
    pub permission: String,
    /// The caps.
    pub caps: Caps,
}

/// What was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Taken {
    /// What is spent within the window of `cap` by now, this included, in cents.
    pub spent: u64,
    /// The cap that is nearest to being reached.
    pub cap: Cap,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpendFault {
    /// Nothing is at hand to take from, and more was asked for: try again in a second.
    Pending,
    /// A cap would be passed.
    Exhausted {
        /// What is spent within its window already, in cents.
        spent: u64,
        /// Which.
        cap: Cap,
    },
    /// The memory does not answer as it should.
    Unavailable(&'static str),
}

/// A memory of what was spent.
pub trait Spend {
    /// Takes `cents`, at least 1, from an account, or nothing at all.
    ///
    /// # Errors
    /// [`SpendFault`]; whoever asked must then refuse.
    fn take(&mut self, account: &SpendAccount, cents: u64, now: UnixTime) -> Result<Taken, SpendFault>;

    /// Gives back what was taken at the same time `now` for a request that is refused after
    /// all. What cannot be given back stays spent.
    fn give_back(&mut self, account: &SpendAccount, cents: u64, now: UnixTime);
}

impl Window {
    /// The longest rolling window: a leap year.
    pub const MOST_DAYS: u16 = 366;

    pub(super) const MONTH: Window = Window::Rolling(30);
}

impl Caps {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Caps::default()
    }

    /// The caps there are.
    pub fn iter(&self) -> impl Iterator<Item = Cap> {
        let daily = self.daily.map(|cents| Cap { cents, window: Window::Daily });
        let rolling = self.rolling.map(|(days, cents)| Cap { cents, window: Window::Rolling(days) });
        let total = self.total.map(|cents| Cap { cents, window: Window::Total });
        [daily, rolling, total].into_iter().flatten()
    }

    /// Adds a cap that holds as well. Of two rolling windows the longer with the lower
    /// amount keeps both.
    pub(crate) fn tighten(&mut self, cap: Cap) {
        let lower = |known: Option<u64>| Some(known.map_or(cap.cents, |known| known.min(cap.cents)));
        match cap.window {
            Window::Daily => self.daily = lower(self.daily),
            Window::Rolling(days) => {
                let (known, cents) = self.rolling.unwrap_or((days, cap.cents));
                self.rolling = Some((known.max(days), cents.min(cap.cents)));
            }
            Window::Total => self.total = lower(self.total),
        }
    }

    /// What of these caps is not kept already by `others`.
    pub(crate) fn beyond(&self, others: &Caps) -> Caps {
        let lower =
            |cap: Option<u64>, other: Option<u64>| cap.filter(|cap| other.is_none_or(|other| *cap < other));
        let is_kept = |(days, cents): &(u16, u64)| {
            others.rolling.is_some_and(|(longer, lower)| longer >= *days && lower <= *cents)
        };
        Caps {
            daily: lower(self.daily, others.daily),
            rolling: self.rolling.filter(|rolling| !is_kept(rolling)),
            total: lower(self.total, others.total),
        }
    }
}

impl SpendAccount {
    /// Its stable id: base64url of the SHA-256 of the RFC 8785 text of `issuer`,
    /// `passport_id` and `permission`.
    pub fn id(&self) -> String {
        let text = |text| Value::from(text);
        let named = Object::from([
            ("issuer", text(self.issuer.as_str())),
            ("passport_id", text(&self.passport_id)),
            ("permission", text(&self.permission)),
        ]);
        base64::encode_url(&sha256(canonical_text(&named.into()).as_bytes()))
    }
}
