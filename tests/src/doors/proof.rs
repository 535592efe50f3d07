//! The proof of a request, as it is and signed for the fuzzer.

use super::{Answer, NOW, RequestText, altered, key};
use portcullis_core::{
    CLOCK_SKEW_MS, Denial, Holder, Proof, ProofWindows, PublicKey, Reason, UnixTime, base64, nonce_wanted,
    verify_proof,
};
use std::sync::LazyLock;

/// Whose proofs these are; the key is `key("agent 0")`.
const AGENT: &str = "agent_0";
const CARRIER: &str = "agent-passport";
const WINDOWS: ProofWindows = ProofWindows { skew_ms: CLOCK_SKEW_MS, life_ms: 300_000 };

static KEY: LazyLock<PublicKey> = LazyLock::new(|| public_key("agent 0"));
static OTHER_KEY: LazyLock<PublicKey> = LazyLock::new(|| public_key("agent 1"));

fn public_key(owner: &str) -> PublicKey {
    PublicKey::from_bytes(&key(owner).public_key()).expect("a key")
}

/// Judges a request as it stands; then with what its `Signature-Input` says signed by the
/// agent. What passes is held against the RFC read anew, as simply as can be.
pub fn proof(input: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(input);
    if let Some(nonce) = nonce_wanted(&text) {
        assert!(text.contains(&format!("nonce=\"{nonce}\"")));
    }
    let request = RequestText::read(input);
    let as_it_stands = judge(&request);
    let made = signed(&request).map(|request| judge(&request));
    as_it_stands.or(made.unwrap_or(Answer::Refused))
}

fn verdict(request: &RequestText, key: &PublicKey, id: &str, now: UnixTime) -> Result<Option<Proof>, Denial> {
    request.with(|head| verify_proof(head, CARRIER, &Holder { key, id }, &WINDOWS, now))
}

fn judge(request: &RequestText) -> Answer {
    let Ok(Some(proof)) = verdict(request, &KEY, AGENT, NOW) else { return Answer::Refused };
    assert_eq!(proof.check_window(NOW), Ok(()));
    assert!((1..=420_000).contains(&(proof.last_moment().as_millis() - NOW.as_millis())));
    let refused = |key, id, now| verdict(request, key, id, now).expect_err("not this proof's").reason;
    assert_eq!(refused(&KEY, AGENT, proof.last_moment()), Reason::ProofExpired);
    assert_eq!(refused(&OTHER_KEY, AGENT, NOW), Reason::ProofSignatureInvalid);
    assert_eq!(refused(&KEY, "agent_1", NOW), Reason::ProofKeyMismatch);
    check_input(request, &proof);
    check_neighbours(request);
    Answer::Accepted
}

/// What the proof says, looked for in the text.
fn check_input(request: &RequestText, proof: &Proof) {
    let values: Vec<_> = request.values("signature-input").collect();
    let text = String::from_utf8(values.join(&b", "[..])).expect("structured fields are ASCII");
    for part in ["agent=(", "alg=\"ed25519\"", "tag=\"agent-proof\"", &format!("\"{AGENT}\"")] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(text.contains(&format!("nonce=\"{}\"", proof.nonce())));
    assert!((22..=256).contains(&proof.nonce().len()));
    assert_eq!(proof.digest().is_some(), request.values("content-digest").next().is_some());
    // In a string of another signature the same characters are something else.
    let [_, list] = text.split("agent=(").collect::<Vec<_>>()[..] else { return };
    let list = list.split(')').next().expect("a list");
    let mut covered: Vec<_> = list.split_whitespace().collect();
    covered.sort_unstable();
    let mut needed = vec!["\"@authority\"", "\"@method\"", "\"@path\"", "\"@query\"", "\"agent-passport\""];
    needed.extend(proof.digest().map(|_| "\"content-digest\""));
    assert_eq!(covered, needed);
}

/// No other request has the same proof, but one that the RFC does not tell from it.
fn check_neighbours(request: &RequestText) {
    let own = COMPONENTS.map(|name| value(request, name));
    let change = |part: fn(&mut RequestText) -> Option<&mut Vec<u8>>| {
        let mut request = request.clone();
        let Some(bytes) = part(&mut request).map(|bytes| bytes.clone()) else { return };
        for copy in altered(&bytes) {
            part(&mut request).expect("it was there").clone_from(&copy);
            let is_same = COMPONENTS.map(|name| value(&request, name)) == own;
            let passes = matches!(verdict(&request, &KEY, AGENT, NOW), Ok(Some(_)));
            assert!(is_same || !passes, "the proof of another request than {request:?}");
        }
    };
    change(|request| Some(&mut request.method));
    change(|request| Some(&mut request.authority));
    change(|request| Some(&mut request.path));
    change(|request| header(request, CARRIER));
    change(|request| header(request, "content-digest"));
}

fn header<'r>(request: &'r mut RequestText, wanted: &str) -> Option<&'r mut Vec<u8>> {
    request.headers.iter_mut().find(|(name, _)| name == wanted.as_bytes()).map(|(_, value)| value)
}

const COMPONENTS: [&str; 6] = ["@method", "@authority", "@path", "@query", CARRIER, "content-digest"];

/// RFC 9421 sections 2.1 and 2.2.
fn value(request: &RequestText, name: &str) -> Option<Vec<u8>> {
    let at = request.path.iter().position(|byte| *byte == b'?').unwrap_or(request.path.len());
    let (path, query) = request.path.split_at(at);
    Some(match name {
        "@method" => request.method.clone(),
        "@authority" => {
            let lower = request.authority.to_ascii_lowercase();
            let port = [b":443".as_slice(), b":80"].into_iter().find(|port| lower.ends_with(port));
            lower[..lower.len() - port.map_or(0, <[u8]>::len)].to_vec()
        }
        "@path" => if path.is_empty() { b"/" } else { path }.to_vec(),
        "@query" => if query.is_empty() { b"?" } else { query }.to_vec(),
        _ => {
            let is_space = |byte: &u8| *byte == b' ' || *byte == b'\t';
            let trimmed = |value: &[u8]| {
                let from = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
                let until = value.iter().rposition(|byte| !is_space(byte)).map_or(from, |at| at + 1);
                value[from..until].to_vec()
            };
            let values: Vec<_> = request.values(name).map(trimmed).collect();
            (!values.is_empty()).then(|| values.join(&b", "[..]))?
        }
    })
}

/// The request with what its first `Signature-Input` lists signed by the agent, where that
/// has no signature but this.
fn signed(request: &RequestText) -> Option<RequestText> {
    let input = request.values("signature-input").next()?;
    let parameters = std::str::from_utf8(input).ok()?.strip_prefix("agent=")?;
    let list = parameters.strip_prefix('(')?.split(')').next()?;
    let mut base = Vec::new();
    for component in list.split_whitespace() {
        let name = component.strip_prefix('"')?.strip_suffix('"')?;
        base.extend(format!("\"{name}\": ").as_bytes());
        base.extend(value(request, name)?);
        base.push(b'\n');
    }
    base.extend(format!("\"@signature-params\": {parameters}").as_bytes());
    let signature = format!("agent=:{}:", base64::encode(&key("agent 0").sign(&base)));
    let mut signed = request.clone();
    signed.headers.retain(|(name, _)| name != b"signature");
    signed.headers.push((b"signature".to_vec(), signature.into_bytes()));
    Some(signed)
}
