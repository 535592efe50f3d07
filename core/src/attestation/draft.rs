//! What a record says.

use super::unsigned::Unsigned;
use super::write::{number, optional, text, time};
use crate::config::Mode;
use crate::live::hex;
use crate::time::UnixTime;
use alloc::string::String;
use alloc::vec::Vec;

/// What a decision's record says. Over-long parts are cut as the text is made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft {
    /// How the agent was let in, or was to be.
    pub access_mode: AccessMode,
    /// Who asked, as far as a credential was verified.
    pub agent: Option<Agent>,
    /// `appr_…`, where the decision is about a request that was held.
    pub approval_request_id: Option<String>,
    /// 16 random bytes: `attestation_id` is `att_` and their hex.
    pub id: [u8; 16],
    /// What was decided.
    pub decision: Decision,
    /// A refusal's own words.
    pub detail: Option<String>,
    /// Of a [`Decision::Gap`], and of no other: what it stands for.
    pub dropped: Option<Dropped>,
    /// The gate's id.
    pub gate_id: String,
    /// What people call it.
    pub gate_name: Option<String>,
    /// What was evaluated, in this order.
    pub guardrails: Vec<Evaluation>,
    /// Of a [`Decision::RequestHold`], and of no other.
    pub hold: Option<Hold>,
    /// The gate's mode.
    pub mode: Mode,
    /// A refusal's code.
    pub reason_code: Option<String>,
    /// Of a [`Decision::Consumption`], and of no other: the receipt that it stands for.
    pub receipt: Option<ReceiptName>,
    /// What was asked for; `None` of a gap alone.
    pub request: Option<AttestedRequest>,
    /// When it was decided.
    pub time: UnixTime,
}

/// Who asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agent {
    /// Its id, as its issuer has it.
    pub agent_id: String,
    /// Its name.
    pub agent_name: Option<String>,
    /// Its issuer.
    pub issuer_id: String,
    /// The id of its credential.
    pub passport_id: String,
    /// The issuer's tier, 1 to 3.
    pub tier: u8,
}

/// What was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AttestedRequest {
    /// The route's action.
    pub action: Option<String>,
    /// What the route costs, at most [`MAX_COST_CENTS`].
    pub cost_cents: u64,
    /// The method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The domain that it is for.
    pub target_domain: Option<String>,
}

/// One guardrail's result.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evaluation {
    /// The guardrail, as `core:rate:max_per_minute`.
    pub name: String,
    /// What it said.
    pub result: Outcome,
    /// In words for a person.
    pub detail: String,
}

/// A request that waits for a person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hold {
    /// The base64url thumbprint of the agent's key.
    pub agent_key: String,
    /// What an approval is bound to.
    pub binding: [u8; 32],
    /// Until when it can be approved.
    pub expires_at: UnixTime,
    /// What it is about, for a person.
    pub summary: String,
}

/// Which receipt a record stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReceiptName {
    /// 16 random bytes: `receipt_id` is `rcpt_` and their hex.
    pub id: [u8; 16],
    /// SHA-256 of its whole text.
    pub sha256: [u8; 32],
}

/// Decisions that were not recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dropped {
    /// How many, at most 2^53.
    pub count: u64,
    /// The first one's time.
    pub first_at: UnixTime,
    /// The last one's time.
    pub last_at: UnixTime,
}

/// The longest text of a record, in bytes.
pub const MAX_RECORD: usize = 4096;

/// The highest cost in a record: with fewer than 16 digits, a number of dollars with two
/// decimals is what RFC 8785 writes for the double next to it.
pub const MAX_COST_CENTS: u64 = 999_999_999_999_999;

/// The longest parts, in bytes as they are written. With all of them there is still room
/// for one evaluation.
const MAX_ID: usize = 256;
const MAX_NAME: usize = 128;
const MAX_SHORT: usize = 64;
const MAX_DETAIL: usize = 200;
const MAX_SUMMARY: usize = 300;
const MAX_METHOD: usize = 32;
const MAX_EVALUATION: usize = 160;

/// What chain hash, lane, number and signature take.
const MAX_PLACED: usize = 340;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Its name in a record.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The one of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some($name::$variant),)* _ => None }
            }
        }
    };
}

named! {
    /// How an agent was let in.
    AccessMode {
        /// A policy for agents without credential.
        Anonymous = "anonymous",
        /// A credential was verified.
        Credential = "credential",
        /// Refused before any credential was verified.
        None = "none",
        /// The route is public.
        Public = "public",
    }
}

/// Until something is known of who asks.
impl Default for AccessMode {
    fn default() -> Self {
        AccessMode::None
    }
}

named! {
    /// What was decided.
    Decision {
        /// The request went on.
        Allow = "allow",
        /// A person approved a request that was held.
        Approved = "approved",
        /// The request was refused.
        Block = "block",
        /// What went on was used, and has a receipt.
        Consumption = "consumption",
        /// A person refused a request that was held.
        Denied = "denied",
        /// Decisions before this were not recorded.
        Gap = "gap",
        /// The request waits for a person.
        RequestHold = "request_hold",
    }
}

named! {
    /// What a guardrail said.
    Outcome {
        /// Refused.
        Block = "block",
        /// Asked for a person.
        Hold = "hold",
        /// Kept.
        Pass = "pass",
        /// Noted only.
        Recorded = "recorded",
    }
}

impl Draft {
    /// The canonical text of all that its place in a lane does not say.
    pub fn unsigned(&self) -> Unsigned {
        let mut unsigned = Unsigned::begin();
        let out = &mut unsigned.text;
        text(out, "{\"access_mode\":", self.access_mode.name(), MAX_SHORT);
        match &self.agent {
            None => out.push_str(",\"agent\":null"),
            Some(agent) => agent.write(out),
        }
        if let Some(id) = &self.approval_request_id {
            text(out, ",\"approval_request_id\":", id, MAX_SHORT);
        }
        out.push_str(",\"attestation_id\":\"att_");
        out.push_str(&hex(&self.id));
        out.push('"');
        unsigned.cut(0);

        let out = &mut unsigned.text;
        text(out, ",\"decision\":", self.decision.name(), MAX_SHORT);
        optional(out, ",\"detail\":", self.detail.as_deref(), MAX_DETAIL);
        if let Some(dropped) = &self.dropped {
            number(out, ",\"dropped\":{\"count\":", dropped.count);
            time(out, ",\"first_at\":", dropped.first_at);
            time(out, ",\"last_at\":", dropped.last_at);
            out.push('}');
        }
        text(out, ",\"gate\":{\"gate_id\":", &self.gate_id, MAX_ID);
        optional(out, ",\"gate_name\":", self.gate_name.as_deref(), MAX_NAME);
        out.push_str("},\"guardrails_evaluated\":[");
        let guardrails = out.len();
        out.push(']');
        if let Some(hold) = &self.hold {
            text(out, ",\"hold\":{\"agent_key\":", &hold.agent_key, MAX_SHORT);
            text(out, ",\"binding\":", &hex(&hold.binding), MAX_SHORT);
            time(out, ",\"expires_at\":", hold.expires_at);
            text(out, ",\"summary\":", &hold.summary, MAX_SUMMARY);
            out.push('}');
        }
        unsigned.cut(1);

        let out = &mut unsigned.text;
        out.push_str(match self.mode {
            Mode::Enforce => ",\"mode\":\"enforce\"",
            Mode::Report => ",\"mode\":\"report\"",
        });
        optional(out, ",\"reason_code\":", self.reason_code.as_deref(), MAX_SHORT);
        if let Some(receipt) = &self.receipt {
            out.push_str(",\"receipt\":{\"receipt_id\":\"rcpt_");
            out.push_str(&hex(&receipt.id));
            text(out, "\",\"sha256\":", &hex(&receipt.sha256), MAX_SHORT);
            out.push('}');
        }
        match &self.request {
            None => out.push_str(",\"request\":null"),
            Some(request) => request.write(out),
        }
        unsigned.cut(2);

        let out = &mut unsigned.text;
        time(out, ",\"timestamp\":", self.time);
        out.push_str(",\"version\":\"1.0\"}");

        let room = MAX_RECORD.saturating_sub(MAX_PLACED).saturating_sub(out.len());
        unsigned.insert(guardrails, &evaluations(&self.guardrails, room));
        unsigned
    }
}

impl Agent {
    fn write(&self, out: &mut String) {
        text(out, ",\"agent\":{\"agent_id\":", &self.agent_id, MAX_ID);
        optional(out, ",\"agent_name\":", self.agent_name.as_deref(), MAX_NAME);
        text(out, ",\"issuer_id\":", &self.issuer_id, MAX_ID);
        text(out, ",\"passport_id\":", &self.passport_id, MAX_ID);
        out.push_str(match self.tier {
            0 | 1 => ",\"trust_tier\":\"L1\"}",
            2 => ",\"trust_tier\":\"L2\"}",
            _ => ",\"trust_tier\":\"L3\"}",
        });
    }
}

impl AttestedRequest {
    fn write(&self, out: &mut String) {
        let cents = self.cost_cents.min(MAX_COST_CENTS);
        optional(out, ",\"request\":{\"action\":", self.action.as_deref(), MAX_ID);
        number(out, ",\"cost_cents\":", cents);
        // Cents as dollars, without zeros at the end, as RFC 8785 writes the number.
        number(out, ",\"estimated_cost_usd\":", cents.div_euclid(100));
        let (tenths, hundredths) = (cents.div_euclid(10).rem_euclid(10), cents.rem_euclid(10));
        if tenths != 0 || hundredths != 0 {
            number(out, ".", tenths);
        }
        if hundredths != 0 {
            number(out, "", hundredths);
        }
        text(out, ",\"method\":", &self.method, MAX_METHOD);
        text(out, ",\"path\":", &self.path, MAX_ID);
        optional(out, ",\"target_domain\":", self.target_domain.as_deref(), MAX_ID);
        out.push('}');
    }
}

/// The elements of `guardrails_evaluated`, in `room` bytes. Where that is too little, what
/// passed goes first: what refused or held is what a record must say.
fn evaluations(all: &[Evaluation], room: usize) -> String {
    // What is read back is held to the same. A block is the last of all.
    const MOST: usize = 64;
    let mut texts: Vec<(bool, String)> = Vec::new();
    let mut length = 0_usize;
    for evaluation in all.iter().skip(all.len().saturating_sub(MOST)) {
        let mut out = String::new();
        text(&mut out, "{\"detail\":", &evaluation.detail, MAX_EVALUATION);
        text(&mut out, ",\"name\":", &evaluation.name, MAX_SHORT);
        text(&mut out, ",\"result\":", evaluation.result.name(), MAX_SHORT);
        out.push('}');
        length = length.saturating_add(out.len()).saturating_add(1);
        texts.push((matches!(evaluation.result, Outcome::Pass | Outcome::Recorded), out));
    }
    while length > room.saturating_add(1) {
        let at = texts.iter().position(|(passed, _)| *passed).unwrap_or(0);
        if at >= texts.len() {
            break;
        }
        let (_, removed) = texts.remove(at);
        length = length.saturating_sub(removed.len()).saturating_sub(1);
    }
    let mut joined = String::with_capacity(length);
    for (_, text) in &texts {
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(text);
    }
    joined
}
