//! What all workers of one proxy process know: when it began, and a secret of its own.
//! Challenges are made and known again by these alone, so that making one costs no memory.

use crate::base64;
use crate::counters::CounterSecret;
use crate::denial::Denial;
use crate::ed25519::{hmac_sha256, sha256};
use crate::reason::Reason;
use crate::replay::ReplaySecret;
use crate::time::UnixTime;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A proxy's process, as its workers share it.
#[derive(Clone)]
pub struct Process {
    secret: [u8; 32],
    began: UnixTime,
}

/// A challenge: its form, when it is over, what makes it unlike any other, three hints and a
/// code over all of it and what it is for.
///
/// | bytes | |
/// |---|---|
/// | 1 | [`FORM`] |
/// | 8 | when it is over, milliseconds since 1970, big endian |
/// | 16 | random |
/// | 4, 4, 4 | hints: of the gate, the agent's key, the process |
/// | 16 | HMAC-SHA-256, its first half |
///
/// The hints only say what is wrong with a challenge that is for something else. None of
/// them makes one good.
struct Challenge<'c> {
    signed: &'c [u8],
    expires: [u8; 8],
    hints: [[u8; 4]; 3],
    code: &'c [u8; 16],
}

/// The form of challenges: another form must have another number.
const FORM: u8 = 1;

/// What of a challenge the code is over.
const SIGNED: usize = 1 + 8 + 16 + 3 * 4;

impl Process {
    /// The size of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 40;

    /// A process that began at `began`; the secret must be random and be told to nobody.
    pub const fn new(secret: [u8; 32], began: UnixTime) -> Self {
        Process { secret, began }
    }

    /// When it began. Of what was used before nothing is known.
    pub fn began(&self) -> UnixTime {
        self.began
    }

    /// What keys the memory of what was used.
    pub fn replay_secret(&self) -> ReplaySecret {
        ReplaySecret::new(hmac_sha256(&self.secret, b"replay"))
    }

    /// What keys the memory of counts.
    pub fn counter_secret(&self) -> CounterSecret {
        CounterSecret::new(hmac_sha256(&self.secret, b"counters"))
    }

    /// What keys the memory of what may be spent.
    pub fn spend_secret(&self) -> [u8; 32] {
        hmac_sha256(&self.secret, b"spend")
    }

    /// The id of the lane in which the decisions of this process for a gate are recorded, and
    /// for which approvals count.
    pub fn lane(&self, gate: &str) -> [u8; 16] {
        let message = [b"records lane", gate.as_bytes()].concat();
        hmac_sha256(&self.secret, &message).first_chunk().copied().unwrap_or_default()
    }

    /// The 40 bytes by which workers share it: the secret, then the time in milliseconds,
    /// big endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.secret.to_vec();
        bytes.extend_from_slice(&self.began.as_millis().to_be_bytes());
        bytes
    }

    /// Reads them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (secret, began) = bytes.split_first_chunk()?;
        let began = i64::from_be_bytes(began.try_into().ok()?);
        Some(Process { secret: *secret, began: UnixTime::from_millis(began) })
    }

    /// A challenge of this gate for the agent whose key has this SHA-256 thumbprint, to be
    /// the nonce of a proof until `expires`. `random` makes it unlike any other.
    ///
    /// 71 characters of base64url, without padding.
    pub fn challenge(&self, gate: &str, agent: &[u8; 32], expires: UnixTime, random: &[u8; 16]) -> String {
        let mut bytes = Vec::with_capacity(SIGNED.saturating_add(16));
        bytes.push(FORM);
        bytes.extend_from_slice(&expires.as_millis().to_be_bytes());
        bytes.extend_from_slice(random);
        bytes.extend_from_slice(self.hints(gate, agent).as_flattened());
        let code = self.code(&bytes, gate, agent);
        bytes.extend_from_slice(&code);
        base64::encode_url(&bytes)
    }

    /// Whether `nonce` is a challenge of this process and gate for this agent that is not
    /// over at `now`: no clock but the process's own is in it, so no skew is allowed. Answers
    /// when it will be over.
    ///
    /// # Errors
    /// `challenge_unknown`, `challenge_process_mismatch`, `challenge_gate_mismatch`,
    /// `challenge_key_mismatch` or `challenge_expired`.
    pub(crate) fn check_challenge(
        &self,
        nonce: &str,
        gate: &str,
        agent: &[u8; 32],
        now: UnixTime,
    ) -> Result<UnixTime, Denial> {
        let bytes = base64::decode_url(nonce).unwrap_or_default();
        let unknown = || Denial::new(Reason::ChallengeUnknown, "the nonce is none of this gate's challenges");
        let challenge = Challenge::read(&bytes).ok_or_else(unknown)?;
        const REASONS: [(Reason, &str); 3] = [
            (Reason::ChallengeGateMismatch, "the challenge was made by another gate"),
            (Reason::ChallengeKeyMismatch, "the challenge was made for another agent key"),
            (Reason::ChallengeProcessMismatch, "the challenge was made by another process"),
        ];
        for ((hint, own), (reason, detail)) in
            challenge.hints.iter().zip(self.hints(gate, agent)).zip(REASONS)
        {
            if *hint != own {
                return Err(Denial::new(reason, detail));
            }
        }
        if !is_same(&self.code(challenge.signed, gate, agent), challenge.code) {
            return Err(unknown());
        }
        let expires = UnixTime::from_millis(i64::from_be_bytes(challenge.expires));
        if expires < now {
            let detail = format!("the challenge was good until {expires}, and now is {now}");
            return Err(Denial::new(Reason::ChallengeExpired, detail));
        }
        Ok(expires)
    }

    fn hints(&self, gate: &str, agent: &[u8; 32]) -> [[u8; 4]; 3] {
        [sha256(gate.as_bytes()), *agent, hmac_sha256(&self.secret, b"process")]
            .map(|hash| hash.first_chunk().copied().unwrap_or_default())
    }

    /// INVARIANT: what stands before and between the two thumbprints has one length, so that
    /// no two inputs are the same bytes.
    fn code(&self, signed: &[u8], gate: &str, agent: &[u8; 32]) -> [u8; 16] {
        let message = [b"challenge", signed, &sha256(gate.as_bytes()), agent].concat();
        hmac_sha256(&self.secret, &message).first_chunk().copied().unwrap_or_default()
    }
}

/// Nothing of the secret is shown.
impl fmt::Debug for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Process(began {})", self.began)
    }
}

impl<'c> Challenge<'c> {
    fn read(bytes: &'c [u8]) -> Option<Self> {
        let (signed, code) = bytes.split_last_chunk()?;
        let (form, rest) = signed.split_first()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (_random, hints) = rest.split_first_chunk::<16>()?;
        let (hints, excess) = hints.as_chunks();
        if *form != FORM || !excess.is_empty() {
            return None;
        }
        Some(Challenge { signed, expires: *expires, hints: hints.try_into().ok()?, code })
    }
}

/// In the same time, whatever differs.
fn is_same(one: &[u8; 16], other: &[u8; 16]) -> bool {
    u128::from_ne_bytes(*one) == u128::from_ne_bytes(*other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);
    const AGENT: [u8; 32] = [5; 32];

    fn process(secret: u8) -> Process {
        Process::new([secret; 32], NOW)
    }

    fn challenge() -> String {
        process(1).challenge("gate_a", &AGENT, NOW.plus_millis(60_000), &[9; 16])
    }

    fn check(process: &Process, nonce: &str, gate: &str, agent: &[u8; 32], now: UnixTime) -> Option<Reason> {
        process.check_challenge(nonce, gate, agent, now).err().map(|denial| denial.reason)
    }

    #[test]
    fn a_challenge_is_good_until_its_time_is_over_and_no_longer() {
        let nonce = challenge();
        assert_eq!(nonce.len(), 71);
        let end = NOW.plus_millis(60_000);
        assert_eq!(process(1).check_challenge(&nonce, "gate_a", &AGENT, NOW).unwrap(), end);
        assert_eq!(check(&process(1), &nonce, "gate_a", &AGENT, end), None);
        let after = end.plus_millis(1);
        assert_eq!(check(&process(1), &nonce, "gate_a", &AGENT, after), Some(Reason::ChallengeExpired));
    }

    #[test]
    fn a_challenge_of_another_process_gate_or_agent_is_told_apart() {
        let nonce = challenge();
        for (process, gate, agent, reason) in [
            (process(2), "gate_a", AGENT, Reason::ChallengeProcessMismatch),
            (process(1), "gate_b", AGENT, Reason::ChallengeGateMismatch),
            (process(1), "gate_a", [6; 32], Reason::ChallengeKeyMismatch),
        ] {
            assert_eq!(check(&process, &nonce, gate, &agent, NOW), Some(reason));
        }
    }

    #[test]
    fn hints_that_fit_make_no_challenge_good() {
        // Another gate, process and agent, whose hints are made to fit.
        let wanted = process(1).hints("gate_a", &AGENT);
        for (process, gate, agent) in
            [(process(2), "gate_a", AGENT), (process(1), "gate_b", AGENT), (process(1), "gate_a", [6; 32])]
        {
            let nonce = process.challenge(gate, &agent, NOW.plus_millis(60_000), &[9; 16]);
            let mut bytes = base64::decode_url(&nonce).unwrap();
            bytes[25..37].copy_from_slice(wanted.as_flattened());
            let forged = base64::encode_url(&bytes);
            let found = check(&self::process(1), &forged, "gate_a", &AGENT, NOW);
            assert_eq!(found, Some(Reason::ChallengeUnknown));
        }
    }

    #[test]
    fn no_bit_of_a_challenge_can_be_changed() {
        let bytes = base64::decode_url(&challenge()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let nonce = base64::encode_url(&changed);
            assert!(check(&process(1), &nonce, "gate_a", &AGENT, NOW).is_some(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_no_challenge_at_all_is_unknown() {
        let nonce = challenge();
        let (longer, padded) = (format!("{nonce}A"), format!("{nonce}="));
        let shorter = nonce.get(..70).unwrap();
        for text in ["", "AAAA", shorter, &longer, &padded] {
            assert_eq!(check(&process(1), text, "gate_a", &AGENT, NOW), Some(Reason::ChallengeUnknown));
        }
    }

    #[test]
    fn workers_share_it_as_forty_bytes() {
        let bytes = process(1).to_bytes();
        assert_eq!(bytes.len(), Process::BYTES);
        let read = Process::from_bytes(&bytes).unwrap();
        assert_eq!(read.began(), NOW);
        assert_eq!(check(&read, &challenge(), "gate_a", &AGENT, NOW), None);
        assert!(Process::from_bytes(&bytes[1..]).is_none());
        assert!(Process::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_none());
    }
}
