//! Proofs of requests against an independent implementation of RFC 9421: what it signs,
//! the gate takes, and the other way round; and of what was altered on the way, the gate
//! takes nothing that the other refuses.

use crate::sdk::Sdk;
use portcullis_core::{
    BodyDigest, Holder, ProofDraft, ProofWindows, PublicKey, RequestHead, SecretKey, UnixTime, base64,
    sha256, verify_proof,
};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Each way.
const REQUESTS: u32 = 300;

const AGENT: &str = "did:web:agents.example:flights";

/// What a seed makes of it, so that a failure can be had again.
struct Dice {
    seed: u32,
    rolled: u32,
}

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.rolled += 1;
        let bytes = sha256(format!("{} {}", self.seed, self.rolled).as_bytes());
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize % sides
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }

    fn text(&mut self, of: &[&str], lengths: std::ops::Range<usize>) -> String {
        let length = lengths.start + self.roll(lengths.len());
        (0..length).map(|_| self.one(of)).collect()
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.roll(at + 1));
        }
    }
}

const WORDS: [&str; 20] = [
    "a", "Z", "7", "-", ".", "_", "~", "%20", "%C3%BC", "%2b", "!", "$", "'", "(", ")", "*", "+", ",", ":",
    "@",
];
const BASE64URL: [&str; 8] = ["a", "B", "9", "-", "_", "x", "Q", "0"];

#[derive(Clone, Debug)]
struct Request {
    method: String,
    scheme: &'static str,
    authority: String,
    path: String,
    query: Option<String>,
    carrier: &'static str,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    nonce: String,
    created: i64,
    expires: Option<i64>,
}

impl Request {
    fn any(dice: &mut Dice) -> Self {
        let (scheme, port) = dice.one(&[("http", ":80"), ("https", ":443")]);
        let host = dice.one(&["api.example", "API.Example", "xn--flge-1ra.example", "127.0.0.1", "[::1]"]);
        let port = dice.one(&["", port, ":8443"]);
        let carrier = dice.one(&["agent-passport", "authorization", "x-capiscio-badge"]);
        let credential = dice.text(&["eyJ", "a", "+", "/", "=", " ", ":", "\"", "\\", ";"], 1..60);
        let created = seconds(now()) - dice.one(&[0, 1, 30, 100]);
        Request {
            method: dice.one(&["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]).into(),
            scheme,
            authority: format!("{host}{port}"),
            path: (0..=dice.roll(4)).map(|_| format!("/{}", dice.text(&WORDS, 0..4))).collect(),
            query: match dice.roll(4) {
                0 => None,
                1 => Some(String::new()),
                _ => Some(dice.text(&[WORDS.as_slice(), &["=", "&", "/", "?"]].concat(), 1..12)),
            },
            carrier,
            headers: vec![
                (carrier.into(), credential.trim().into()),
                ("content-type".into(), "application/json".into()),
            ],
            body: dice.one(&[None, Some(0), Some(1), Some(5000)]).map(|length| vec![b'x'; length]),
            nonce: dice.text(&BASE64URL, 22..80),
            created,
            expires: dice.one(&[None, Some(created + 250)]),
        }
    }

    fn target(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.path)
    }

    fn components(&self) -> Vec<&'static str> {
        let mut all = vec!["@method", "@authority", "@path", "@query", self.carrier];
        all.extend(self.body.is_some().then_some("content-digest"));
        all
    }

    fn to_json(&self) -> Value {
        let url = format!("{}://{}{}", self.scheme, self.authority, self.target());
        json!({ "method": self.method, "url": url, "headers": self.headers })
    }

    fn body_text(&self) -> Option<String> {
        self.body.as_deref().map(base64::encode)
    }

    fn signed_there(&mut self, sdk: &mut Sdk, dice: &mut Dice) {
        let mut components = self.components();
        dice.shuffle(&mut components);
        let digests = dice.one(&[["sha-256"].as_slice(), &["sha-512"], &["sha-512", "sha-256"]]);
        let seed: String = agent().seed().iter().map(|byte| format!("{byte:02x}")).collect();
        let answer = sdk.ask(
            "sign",
            json!({
                "request": self.to_json(), "body": self.body_text(), "digests": digests,
                "seed": seed, "key_id": AGENT, "created": self.created, "expires": self.expires,
                "nonce": self.nonce, "components": components, "beside": dice.roll(3) == 0,
            }),
        );
        let headers: Vec<(String, String)> = serde_json::from_value(answer["headers"].clone()).unwrap();
        self.headers = headers.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    }

    fn signed_here(&mut self) {
        let time = |seconds: i64| UnixTime::from_millis(seconds * 1000);
        let draft = ProofDraft {
            method: &self.method,
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            credential: (&self.headers[0].0, &self.headers[0].1),
            body: self.body.as_deref(),
            key_id: AGENT,
            created: time(self.created),
            expires: self.expires.map(time),
            nonce: &self.nonce,
        };
        let proof = draft.sign(&agent());
        self.headers.extend(proof.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }

    /// The gate's verdict: the nonce, or why not.
    fn judged_here(&self) -> Result<String, String> {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let target = self.target();
        let head = RequestHead {
            method: self.method.as_bytes(),
            authority: self.authority.as_bytes(),
            path: target.as_bytes(),
            headers: &headers,
            source: None,
        };
        let key = public_key();
        let holder = Holder { key: &key, id: AGENT };
        let windows = ProofWindows { skew_ms: 60_000, life_ms: 300_000 };
        let proof = verify_proof(&head, self.carrier, &holder, &windows, now());
        let proof = proof.map_err(|denial| denial.to_string())?.ok_or("no proof")?;
        match (proof.digest(), &self.body) {
            (Some(wanted), body) => {
                let mut digest = BodyDigest::new(wanted);
                digest.update(body.as_deref().unwrap_or_default());
                digest.check(wanted).map_err(|denial| denial.to_string())?;
            }
            (None, Some(body)) if !body.is_empty() => return Err("the body is not signed".into()),
            (None, _) => {}
        }
        Ok(proof.nonce().to_owned())
    }

    /// The other's verdict.
    fn judged_there(&self, sdk: &mut Sdk) -> Result<String, String> {
        let key: String = public_key().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let answer = sdk.ask(
            "verify",
            json!({
                "request": self.to_json(), "body": self.body_text(), "public_key": key,
                "key_id": AGENT, "components": self.components(),
            }),
        );
        match answer["nonce"].as_str() {
            Some(nonce) => Ok(nonce.to_owned()),
            None => Err(answer["error"].to_string()),
        }
    }

    /// The same request with something in it that its agent did not sign.
    fn altered(&self, dice: &mut Dice) -> Self {
        let mut other = self.clone();
        match dice.roll(8) {
            0 => other.method = if self.method == "GET" { "POST".into() } else { "GET".into() },
            1 => other.authority = "other.example".into(),
            2 => other.path.push('x'),
            3 => other.query = Some(format!("{}x", self.query.as_deref().unwrap_or_default())),
            4 => other.body = Some([self.body.as_deref().unwrap_or_default(), b"y"].concat()),
            _ => {
                let at = dice.roll(other.headers.len());
                let value = &mut other.headers[at].1;
                let mut characters: Vec<_> = value.chars().collect();
                let place = dice.roll(characters.len().max(1));
                let new = char::from(b' ' + u8::try_from(dice.roll(95)).unwrap());
                match dice.roll(3) {
                    0 => characters.insert(place, new),
                    1 if !characters.is_empty() => drop(characters.remove(place)),
                    _ if !characters.is_empty() => characters[place] = new,
                    _ => characters.push(new),
                }
                *value = characters.into_iter().collect();
            }
        }
        other
    }
}

fn agent() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

fn public_key() -> PublicKey {
    PublicKey::from_bytes(&agent().public_key()).unwrap()
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap())
}

fn seconds(time: UnixTime) -> i64 {
    time.as_millis() / 1000
}

#[test]
fn what_another_implementation_signs_the_gate_takes() {
    let mut sdk = Sdk::running("http_signatures.py");
    for seed in 0..REQUESTS {
        let mut dice = Dice { seed, rolled: 0 };
        let mut request = Request::any(&mut dice);
        request.signed_there(&mut sdk, &mut dice);
        assert_eq!(request.judged_here(), Ok(request.nonce.clone()), "seed {seed}: {request:?}");
        compare_altered(&mut sdk, &mut dice, &request);
    }
}

#[test]
fn what_is_signed_here_another_implementation_takes() {
    let mut sdk = Sdk::running("http_signatures.py");
    for seed in 0..REQUESTS {
        let mut dice = Dice { seed, rolled: 1_000_000 };
        let mut request = Request::any(&mut dice);
        request.signed_here();
        assert_eq!(request.judged_here(), Ok(request.nonce.clone()), "seed {seed}: {request:?}");
        assert_eq!(request.judged_there(&mut sdk), Ok(request.nonce.clone()), "seed {seed}: {request:?}");
        compare_altered(&mut sdk, &mut dice, &request);
    }
}

/// The gate may be the stricter one, for instance about white space that means nothing,
/// but never takes what the other refuses.
fn compare_altered(sdk: &mut Sdk, dice: &mut Dice, request: &Request) {
    let altered = request.altered(dice);
    let (here, there) = (altered.judged_here(), altered.judged_there(sdk));
    assert!(here.is_err() || here == there, "{here:?} here, {there:?} there: {altered:?}");
    let signed = |request: &Request| {
        let names = request.components();
        let covered = request.headers.iter().filter(|(name, _)| names.contains(&name.as_str()));
        // White space around a value is no part of it.
        let covered = covered.map(|(name, value)| (name.clone(), value.trim().to_owned()));
        (request.method.clone(), request.authority.clone(), request.target(), covered.collect::<Vec<_>>())
    };
    assert!(here.is_err() || signed(request) == signed(&altered), "taken, although altered: {altered:?}");
}
