//! Proofs of requests: what a gate takes for one, and what it refuses, each with its reason.

use portcullis_core::{
    BodyDigest, CLOCK_SKEW_MS, Denial, Holder, Proof, ProofDraft, ProofWindows, PublicKey, RequestHead,
    SecretKey, UnixTime, base64, nonce_wanted, sha256, verify_proof,
};
use proptest::prelude::*;

const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);
const AGENT: &str = "agent_self_0123456789abcdef";
const NONCE: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const PASSPORT: &str = ":eyJwYXNzcG9ydF9qc29uIjp7fX0=:";
const WINDOWS: ProofWindows = ProofWindows { skew_ms: CLOCK_SKEW_MS, life_ms: 300_000 };

/// A request with the headers of its proof.
#[derive(Clone, Debug)]
struct Request {
    method: Vec<u8>,
    authority: Vec<u8>,
    path: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Request {
    fn signed(draft: &ProofDraft<'_>) -> Self {
        let query = draft.query.map(|query| format!("?{query}")).unwrap_or_default();
        let mut headers = vec![(draft.credential.0.to_owned(), draft.credential.1.into())];
        headers.extend(
            draft.sign(&agent()).into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())),
        );
        Request {
            method: draft.method.into(),
            authority: draft.authority.into(),
            path: [draft.path, &query].concat().into(),
            headers,
        }
    }

    fn value(&mut self, name: &str) -> &mut Vec<u8> {
        let found = self.headers.iter_mut().find(|(other, _)| other == name);
        &mut found.unwrap_or_else(|| panic!("{name}")).1
    }

    /// With one header changed, as text.
    fn with(&self, name: &str, change: impl FnOnce(&str) -> String) -> Self {
        let mut other = self.clone();
        let value = other.value(name);
        *value = change(std::str::from_utf8(value).expect("text")).into_bytes();
        other
    }

    fn and(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.into(), value.into()));
        other
    }

    fn without(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(header, _)| header != name);
        other
    }

    fn verify_as(&self, key: &PublicKey, id: &str, now: UnixTime) -> Result<Option<Proof>, Denial> {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
        let head = RequestHead {
            method: &self.method,
            authority: &self.authority,
            path: &self.path,
            headers: &headers,
            source: None,
        };
        verify_proof(&head, "agent-passport", &Holder { key, id }, &WINDOWS, now)
    }

    fn verify(&self) -> Result<Option<Proof>, Denial> {
        self.verify_as(&public_key(&agent()), AGENT, NOW)
    }

    /// `ok`, `none`, or the reason's code.
    fn answer(&self) -> &'static str {
        answer(&self.verify())
    }
}

fn answer(result: &Result<Option<Proof>, Denial>) -> &'static str {
    match result {
        Ok(Some(_)) => "ok",
        Ok(None) => "none",
        Err(denial) => denial.reason.code(),
    }
}

fn agent() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

fn public_key(key: &SecretKey) -> PublicKey {
    PublicKey::from_bytes(&key.public_key()).expect("a key")
}

const DRAFT: ProofDraft<'_> = ProofDraft {
    method: "POST",
    authority: "api.example",
    path: "/flights",
    query: Some("from=BER&to=%C3%BC"),
    credential: ("agent-passport", PASSPORT),
    body: Some(b"{}"),
    key_id: AGENT,
    created: NOW,
    expires: None,
    nonce: NONCE,
};

/// A signature by the agent over this base and these parameters, whatever they say.
fn forged(parameters: &str, base: &str) -> String {
    let base = format!("{base}\"@signature-params\": {parameters}");
    format!("agent=:{}:", base64::encode(&agent().sign(base.as_bytes())))
}

/// The request without a body, signed with a list of components and parameters of one's own.
fn covering(components: &[&str], parameters: &str) -> Request {
    let bodiless = Request::signed(&ProofDraft { body: None, ..DRAFT });
    let base: String = components
        .iter()
        .map(|component| {
            let value = match *component {
                "\"@method\"" => "POST",
                "\"@authority\"" => "api.example",
                "\"@path\"" => "/flights",
                "\"@query\"" => "?from=BER&to=%C3%BC",
                "\"agent-passport\"" => PASSPORT,
                _ => "x",
            };
            format!("{component}: {value}\n")
        })
        .collect();
    let list = format!("({}){parameters}", components.join(" "));
    bodiless.with("signature-input", |_| format!("agent={list}")).with("signature", |_| forged(&list, &base))
}

const COMPONENTS: [&str; 5] =
    ["\"@method\"", "\"@authority\"", "\"@path\"", "\"@query\"", "\"agent-passport\""];

fn parameters() -> String {
    let created = NOW.as_millis() / 1000;
    format!(";created={created};keyid=\"{AGENT}\";alg=\"ed25519\";nonce=\"{NONCE}\";tag=\"agent-proof\"")
}

#[test]
fn a_proof_that_was_made_here_holds_and_says_what_it_was_made_with() {
    let proof = Request::signed(&DRAFT).verify().expect("good").expect("there");
    assert_eq!((proof.created(), proof.nonce()), (NOW, NONCE));
    assert_eq!(proof.last_moment(), NOW.plus_millis(360_000));
    let wanted = proof.digest().expect("a digest");
    let mut body = BodyDigest::new(wanted);
    body.update(b"{");
    body.update(b"}");
    assert_eq!(body.check(wanted), Ok(()));
    let bodiless = Request::signed(&ProofDraft { body: None, ..DRAFT }).verify().expect("good");
    assert_eq!(bodiless.expect("there").digest(), None);
    let of_nothing = Request::signed(&ProofDraft { body: Some(b""), ..DRAFT }).verify().expect("good");
    let of_nothing = of_nothing.expect("there");
    let wanted = of_nothing.digest().expect("a digest");
    assert_eq!(BodyDigest::new(wanted).check(wanted), Ok(()));
}

#[test]
fn components_may_stand_in_any_order_and_each_must_stand_there() {
    assert_eq!(covering(&COMPONENTS, &parameters()).answer(), "ok");
    let mut reversed = COMPONENTS;
    reversed.reverse();
    assert_eq!(covering(&reversed, &parameters()).answer(), "ok");
    for left_out in COMPONENTS {
        let others: Vec<_> = COMPONENTS.into_iter().filter(|component| *component != left_out).collect();
        assert_eq!(covering(&others, &parameters()).answer(), "proof_component_missing", "{left_out}");
    }
    assert_eq!(covering(&[], &parameters()).answer(), "proof_component_missing");
    assert_eq!(Request::signed(&DRAFT).without("content-digest").answer(), "proof_component_missing");
    assert_eq!(Request::signed(&DRAFT).without("agent-passport").answer(), "proof_component_missing");
    let digest = format!("sha-256=:{}:", base64::encode(&sha256(b"x")));
    let uncovered = covering(&COMPONENTS, &parameters()).and("content-digest", &digest);
    assert_eq!(uncovered.answer(), "proof_component_missing");
}

#[test]
fn what_a_gate_cannot_check_is_refused_as_unknown() {
    for more in [
        "\"@method\"",
        "\"@scheme\"",
        "\"@target-uri\"",
        "\"authorization\"",
        "\"content-type\"",
        "\"Agent-Passport\"",
        "\"content-digest\";sf",
        "\"content-digest\";req",
        "\"@query-param\";name=\"a\"",
        "\"\"",
        "method",
        "1",
    ] {
        let components: Vec<_> = COMPONENTS.into_iter().chain([more]).collect();
        assert_eq!(covering(&components, &parameters()).answer(), "proof_component_unknown", "{more}");
    }
}

#[test]
fn parameters_are_those_that_proofs_have_each_once_and_of_its_type() {
    let good = parameters();
    let created = NOW.as_millis() / 1000;
    for (from, to, expected) in [
        ("", "", "ok"),
        (";tag", &format!(";expires={};tag", created + 1), "ok"),
        (";tag", "; tag", "ok"),
        (";created=", ";created=0", "ok"),
        (&format!(";created={created}"), "", "proof_malformed"),
        (";keyid=\"agent_self_0123456789abcdef\"", "", "proof_malformed"),
        (";alg=\"ed25519\"", "", "proof_malformed"),
        ("\"ed25519\"", "\"rsa-pss-sha512\"", "proof_algorithm_unsupported"),
        ("\"ed25519\"", "\"hmac-sha256\"", "proof_algorithm_unsupported"),
        ("\"ed25519\"", "\"ED25519\"", "proof_algorithm_unsupported"),
        ("\"ed25519\"", "ed25519", "proof_malformed"),
        (";tag=\"agent-proof\"", "", "proof_ambiguous"),
        ("\"agent-proof\"", "\"other\"", "proof_ambiguous"),
        ("\"agent-proof\"", "agent-proof", "proof_ambiguous"),
        (";nonce=\"AAAAAAAAAAAAAAAAAAAAAA\"", "", "proof_nonce_missing"),
        ("\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"\"", "proof_nonce_too_short"),
        ("\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"AAAAAAAAAAAAAAAAAAAAA\"", "proof_nonce_too_short"),
        ("\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"AAAAAAAAAAAAAAAAAAAAA=\"", "proof_nonce_too_short"),
        ("\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"AAAAAAAAAAAAAAAAAAAAAA==\"", "ok"),
        ("\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"AAAAAAAAAAAAAAAAAAAAAA===\"", "proof_malformed"),
        ("\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"AAAAAAAAAAAAAAAAAAAAA A\"", "proof_malformed"),
        ("\"AAAAAAAAAAAAAAAAAAAAAA\"", &format!("\"{}\"", "-_+/".repeat(64)), "ok"),
        ("\"AAAAAAAAAAAAAAAAAAAAAA\"", &format!("\"{}\"", "A".repeat(257)), "proof_malformed"),
        ("\"AAAAAAAAAAAAAAAAAAAAAA\"", "1234567890123", "proof_malformed"),
        (";tag", ";x=1;tag", "proof_malformed"),
        (";tag", ";x;tag", "proof_malformed"),
        (";tag", ";keyid=\"x\";tag", "proof_malformed"),
        (";tag", ";tag=\"agent-proof\";tag", "proof_malformed"),
        (";tag", &format!(";expires={};tag", created - 1), "proof_malformed"),
        (";tag", ";expires=\"1\";tag", "proof_malformed"),
        (";created=", ";created=1.", "proof_malformed"),
        (&format!("={created}"), "", "proof_malformed"),
        (AGENT, "agent_other", "proof_key_mismatch"),
    ] {
        let changed = if from.is_empty() { good.clone() } else { good.replacen(from, to, 1) };
        // What is signed is the text as it would be written again.
        let written = changed.replace("; ", ";").replace("=01", "=1");
        let request = covering(&COMPONENTS, &written)
            .with("signature-input", |input| input.replace(&written, &changed));
        assert_eq!(request.answer(), expected, "{from} -> {to}");
    }
}

#[test]
fn a_proof_is_good_for_its_window_and_no_longer_than_its_own_expiry() {
    let key = public_key(&agent());
    let expiring = ProofDraft { expires: Some(NOW.plus_millis(10_000)), ..DRAFT };
    for (draft, after, expected) in [
        (DRAFT, -60_000, "ok"),
        (DRAFT, -60_001, "proof_not_yet_valid"),
        (DRAFT, 359_999, "ok"),
        (DRAFT, 360_000, "proof_expired"),
        (expiring, 69_999, "ok"),
        (expiring, 70_000, "proof_expired"),
        (ProofDraft { expires: Some(NOW.plus_millis(3_600_000)), ..DRAFT }, 360_000, "proof_expired"),
    ] {
        let now = NOW.plus_millis(after);
        let result = Request::signed(&draft).verify_as(&key, AGENT, now);
        assert_eq!(answer(&result), expected, "{after}");
        // The same question about a proof that was good when its head came.
        let early = Request::signed(&draft).verify().expect("good").expect("there");
        let again = early.check_window(now).map_or_else(|denial| denial.reason.code(), |()| "ok");
        assert_eq!(again, expected, "{after}");
    }
    for seconds in ["999999999999999", "-999999999999999"] {
        let request =
            covering(&COMPONENTS, &parameters().replace(&(NOW.as_millis() / 1000).to_string(), seconds));
        assert!(["proof_expired", "proof_not_yet_valid"].contains(&request.answer()));
    }
}

#[test]
fn only_the_credentials_key_and_id_make_its_proof() {
    let request = Request::signed(&DRAFT);
    let other = public_key(&SecretKey::from_seed([8; 32]));
    assert_eq!(answer(&request.verify_as(&other, AGENT, NOW)), "proof_signature_invalid");
    assert_eq!(answer(&request.verify_as(&public_key(&agent()), "agent_b", NOW)), "proof_key_mismatch");
}

#[test]
fn a_request_without_the_label_and_the_tag_has_no_proof() {
    let bare = Request::signed(&DRAFT).without("signature").without("signature-input");
    assert_eq!(bare.answer(), "none");
    let of_others = bare
        .and("signature-input", "sig1=(\"@method\" \"x\";sf;key=\"a\");created=1;x=?1;y=1.5;z=*t, b=()")
        .and("signature", "sig1=:AAAA:;a=tok/en, b=::");
    assert_eq!(of_others.answer(), "none");
    // Older drafts of others use the same header for something else.
    assert_eq!(bare.and("signature", "keyId=\"a\",signature=\"b\"").answer(), "none");
}

#[test]
fn signatures_of_others_beside_a_proof_change_nothing_in_any_form_of_the_headers() {
    let request = Request::signed(&DRAFT);
    let other_input = "other=(\"@method\";req \"date\");tag=\"other\";keyid=\"\\\"\\\\\"";
    assert_eq!(request.and("signature-input", other_input).and("signature", "other=:AAAA:").answer(), "ok");
    let joined = request
        .with("signature-input", |input| format!("{other_input} ,\t{input}"))
        .with("signature", |signature| format!(" {signature},other=:AAAA: "));
    assert_eq!(joined.answer(), "ok");
    let spaced =
        request.with("signature-input", |input| input.replacen('(', "(  ", 1).replacen(')', "  )", 1));
    assert_eq!(spaced.answer(), "ok", "white space in a list is not signed");
}

#[test]
fn two_signatures_that_could_each_be_the_proof_are_refused_as_ambiguous() {
    let request = Request::signed(&DRAFT);
    let input = String::from_utf8(request.clone().value("signature-input").clone()).expect("text");
    let signature = String::from_utf8(request.clone().value("signature").clone()).expect("text");
    for other in [
        request.and("signature-input", &input),
        request.and("signature", &signature),
        request.with("signature-input", |input| format!("{input}, {input}")),
        request.with("signature", |signature| format!("{signature}, {signature}")),
        request.and("signature-input", "x=();tag=\"agent-proof\"").and("signature", "x=:AAAA:"),
        request
            .with("signature-input", |input| input.replacen("agent=", "other=", 1))
            .with("signature", |signature| signature.replacen("agent=", "other=", 1)),
        request.with("signature-input", |input| input.replacen("agent-proof", "other", 1)),
    ] {
        assert_eq!(other.answer(), "proof_ambiguous", "{other:?}");
    }
}

#[test]
fn what_is_no_structured_field_is_refused_as_malformed() {
    let request = Request::signed(&DRAFT);
    let input = |change: &dyn Fn(&str) -> String| request.with("signature-input", change);
    let signature = |change: &dyn Fn(&str) -> String| request.with("signature", change);
    // Beside the proof, under a label of both headers.
    let beside =
        |input: &str, signature: &str| request.and("signature-input", input).and("signature", signature);
    assert_eq!(beside("b=()", "b=:AAAA:").answer(), "ok");
    for other in [
        input(&|_| String::new()),
        input(&|input| format!("{input},")),
        input(&|input| format!(",{input}")),
        input(&|input| format!("{input}, ,b=()")),
        input(&|input| format!("{input};")),
        input(&|input| format!("{input} x")),
        input(&|input| input.replacen("agent=", "Agent=", 1)),
        input(&|input| input.replacen("agent=", "agent =", 1)),
        input(&|input| input.replacen("agent=", "agent= ", 1)),
        input(&|input| input.replacen(" \"@path\"", "\"@path\"", 1)),
        input(&|input| input.replacen(" \"@path\"", "\t\"@path\"", 1)),
        input(&|input| input.replacen(')', "", 1)),
        input(&|input| input.replacen("@method\"", "@method", 1)),
        input(&|input| input.replacen("@method", "@me\\thod", 1)),
        input(&|input| input.replacen("@method", "@m\u{e9}thod", 1)),
        input(&|input| input.replacen(";created=", ";created =", 1)),
        input(&|input| input.replacen(";created=", " ;created=", 1)),
        input(&|input| input.replacen(";created=", ";created=+", 1)),
        input(&|input| input.replacen(";created=", ";created=--", 1)),
        input(&|input| input.replacen(";created=", ";created=1234567", 1)),
        beside("b=1", "b=:AAAA:"),
        beside("b", "b=:AAAA:"),
        beside("b=(;a)", "b=:AAAA:"),
        beside("b=();a=?2", "b=:AAAA:"),
        beside("b=();a=1.2345", "b=:AAAA:"),
        beside("b=();a=@1", "b=:AAAA:"),
        beside("b=();a;a", "b=:AAAA:"),
        beside("b=();a=:A:", "b=:AAAA:"),
        signature(&|_| String::new()),
        signature(&|_| "agent".into()),
        signature(&|_| "agent=\"AAAA\"".into()),
        signature(&|_| "agent=(:AAAA:)".into()),
        signature(&|_| "agent=:AAAA:".into()),
        signature(&|_| "other=:AAAA:".into()),
        signature(&|signature| signature.replacen("==:", ":", 1)),
        signature(&|signature| signature.replacen("==:", "=:", 1)),
        signature(&|signature| signature.replacen("==:", "==", 1)),
        signature(&|signature| signature.replacen(":", ": ", 1)),
        signature(&|signature| signature.replacen("==:", "AA==:", 1)),
        beside("b=()", "b=1"),
        beside("b=()", "b=:A:"),
        beside("b=()", "b=:AAA:"),
        beside("b=()", "b=:AA-_:"),
        request.without("signature"),
        request.and("signature-input", ""),
        request.with("signature-input", |input| {
            input.replacen("agent=", "other=", 1).replacen("agent-proof", "other", 1)
        }),
        request.and("signature-input", "b=()"),
        request.and("signature", "b=:AAAA:"),
        request.and("signature-input", "b=()").and("signature", "c=:AAAA:"),
    ] {
        assert_eq!(other.answer(), "proof_malformed", "{other:?}");
    }
    // Bits after the last byte that are not zero are a second way to write the same bytes.
    let (text, place) = {
        let text = String::from_utf8(request.clone().value("signature").clone()).expect("text");
        let place = text.len() - 4;
        (text, place)
    };
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let last = digits.find(&text[place..=place]).expect("a digit");
    let twin = format!("{}{}==:", &text[..place], &digits[last + 1..last + 2]);
    assert_eq!(signature(&|_| twin.clone()).answer(), "proof_malformed");
}

#[test]
fn fields_are_read_up_to_their_bounds() {
    let request = Request::signed(&DRAFT);
    let others = |count: usize| {
        (0..count).fold(request.clone(), |request, index| {
            request.and("signature-input", &format!("o{index}=()")).and("signature", &format!("o{index}=::"))
        })
    };
    assert_eq!(others(7).answer(), "ok");
    assert_eq!(others(8).answer(), "proof_malformed");
    let beside = request.and("signature", "o=::");
    let components = |count: usize| format!("o=({})", vec!["\"a\""; count].join(" "));
    assert_eq!(beside.and("signature-input", &components(16)).answer(), "ok");
    assert_eq!(beside.and("signature-input", &components(17)).answer(), "proof_malformed");
    let many = |count: usize| (0..count).fold("o=()".to_owned(), |text, index| format!("{text};p{index}"));
    assert_eq!(beside.and("signature-input", &many(16)).answer(), "ok");
    assert_eq!(beside.and("signature-input", &many(17)).answer(), "proof_malformed");
    let length = request.clone().value("signature-input").len();
    let long = |bytes: usize| {
        let text = "o=();a=\"\"";
        format!("o=();a=\"{}\"", "x".repeat(bytes - length - text.len()))
    };
    assert_eq!(beside.and("signature-input", &long(8192)).answer(), "ok");
    assert_eq!(beside.and("signature-input", &long(8193)).answer(), "proof_malformed");
}

#[test]
fn a_digest_is_of_a_known_algorithm_in_its_one_form() {
    let request = Request::signed(&DRAFT);
    let d256 = base64::encode(&sha256(b"{}"));
    let d512 = base64::encode(&[0; 64]);
    for (value, expected) in [
        (format!("sha-256=:{d256}:"), "ok"),
        (format!("sha-512=:{d512}:"), "digest_of_other"),
        (format!("sha-256=:{d256}:, sha-512=:{d512}:"), "digest_of_other"),
        (format!("md5=:{d256}:"), "digest_algorithm_unsupported"),
        (format!("sha-256=:{d256}:, sha=:AAAA:"), "digest_algorithm_unsupported"),
        (format!("sha-256=:{d256}:, sha-256=:{d256}:"), "digest_malformed"),
        (format!("sha-256=:{d256}:;a"), "digest_malformed"),
        (format!("sha-256={d256}"), "digest_malformed"),
        (format!("SHA-256=:{d256}:"), "digest_malformed"),
        (format!("sha-256=:{d512}:"), "digest_malformed"),
        (format!("sha-512=:{d256}:"), "digest_malformed"),
        (format!("sha-256=:{}:", d256.trim_end_matches('=')), "digest_malformed"),
        ("sha-256".into(), "digest_malformed"),
        ("sha-256=(:AAAA:)".into(), "digest_malformed"),
        (String::new(), "digest_malformed"),
        ("x".repeat(9000), "digest_malformed"),
    ] {
        // A digest that can be read, and is not the signed one, is a signature that fails.
        let expected = if expected == "digest_of_other" { "proof_signature_invalid" } else { expected };
        assert_eq!(request.with("content-digest", |_| value.clone()).answer(), expected, "{value}");
    }
}

#[test]
fn a_body_must_fit_every_digest_that_is_named() {
    // FIPS 180-4, of "abc".
    let d256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    let d512 = "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
    let other = base64::encode(&[1; 64]);
    for (digest, body, expected) in [
        (format!("sha-256=:{d256}:"), "abc", true),
        (format!("sha-512=:{d512}:"), "abc", true),
        (format!("sha-512=:{d512}:, sha-256=:{d256}:"), "abc", true),
        (format!("sha-256=:{d256}:, sha-512=:{other}:"), "abc", false),
        (format!("sha-256=:{}:, sha-512=:{d512}:", base64::encode(&[1; 32])), "abc", false),
        (format!("sha-256=:{d256}:"), "abd", false),
        (format!("sha-512=:{d512}:"), "abcd", false),
        (format!("sha-512=:{d512}:"), "", false),
    ] {
        let base = format!(
            "\"@method\": POST\n\"@authority\": api.example\n\"@path\": /flights\n\
             \"@query\": ?from=BER&to=%C3%BC\n\"agent-passport\": {PASSPORT}\n\"content-digest\": {digest}\n"
        );
        let list = format!("({} \"content-digest\"){}", COMPONENTS.join(" "), parameters());
        let request = Request::signed(&DRAFT)
            .with("content-digest", |_| digest.clone())
            .with("signature-input", |_| format!("agent={list}"))
            .with("signature", |_| forged(&list, &base));
        let proof = request.verify().expect("good").expect("there");
        let wanted = proof.digest().expect("a digest");
        let mut hashes = BodyDigest::new(wanted);
        hashes.update(body.as_bytes());
        let judged = hashes.check(wanted).map_err(|denial| denial.reason.code());
        assert_eq!(judged, if expected { Ok(()) } else { Err("body_digest_mismatch") }, "{digest} {body}");
    }
}

#[test]
fn a_line_break_in_a_component_cannot_make_two_of_one() {
    let smuggling = ProofDraft { path: "/a\n\"@query\": ?", ..DRAFT };
    assert_eq!(Request::signed(&smuggling).answer(), "proof_component_missing");
}

#[test]
fn the_nonce_that_a_gate_asks_for_is_found_in_its_accept_signature() {
    let wanted = "agent=(\"@method\" \"@path\");created;keyid=\"a\";nonce=\"abc-_\";tag=\"agent-proof\"";
    assert_eq!(nonce_wanted(wanted), Some("abc-_"));
    assert_eq!(nonce_wanted(&format!("other=();nonce=\"x\", {wanted}")), Some("abc-_"));
    for without in
        ["", "agent=()", "agent=();nonce", "agent=();nonce=abc", "other=();nonce=\"x\"", "agent=();nonce=\"x"]
    {
        assert_eq!(nonce_wanted(without), None, "{without}");
    }
}

fn text(pattern: &'static str) -> impl Strategy<Value = String> {
    proptest::string::string_regex(pattern).expect("a pattern")
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_one_changed_byte_of_it_refuses(
        method in text("(GET|POST|PUT|DELETE|PATCH)"),
        authority in text("[a-z]{1,8}\\.example(:8[0-9]{3})?"),
        path in text("(/[a-zA-Z0-9._~%-]{1,6}){1,3}"),
        query in proptest::option::of(text("[a-zA-Z0-9=&?/%-]{0,12}")),
        credential in text(":[a-zA-Z0-9+/]{8,40}:"),
        body in proptest::option::of(prop::collection::vec(any::<u8>(), 0..64)),
        nonce in text("[a-zA-Z0-9_-]{22,43}"),
        expires in proptest::option::of(1_i64..1000),
        place in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let draft = ProofDraft {
            method: &method,
            authority: &authority,
            path: &path,
            query: query.as_deref(),
            credential: ("agent-passport", &credential),
            body: body.as_deref(),
            key_id: AGENT,
            created: NOW,
            expires: expires.map(|seconds| NOW.plus_millis(seconds * 1000)),
            nonce: &nonce,
        };
        let request = Request::signed(&draft);
        let proof = request.verify().expect("good").expect("there");
        prop_assert_eq!(proof.nonce(), nonce);
        prop_assert_eq!(proof.digest().is_some(), body.is_some());

        for index in 0..request.headers.len() + 3 {
            let mut changed = request.clone();
            let part = match index {
                0 => &mut changed.method,
                1 => &mut changed.authority,
                2 => &mut changed.path,
                other => &mut changed.headers[other - 3].1,
            };
            let at = place.index(part.len());
            let before = part[at];
            part[at] ^= flip;
            // An authority is the same in capitals.
            let same = index == 1 && part[at].eq_ignore_ascii_case(&before);
            let answer = changed.answer();
            prop_assert!(same || answer != "ok", "{changed:?}");
        }
        if let Some(body) = body {
            let wanted = proof.digest().expect("a digest");
            let check = |bytes: &[u8]| {
                let mut digest = BodyDigest::new(wanted);
                bytes.chunks(7).for_each(|chunk| digest.update(chunk));
                digest.check(wanted).is_ok()
            };
            prop_assert!(check(&body));
            let mut other = body.clone();
            other.push(0);
            prop_assert!(!check(&other));
        }
    }

    #[test]
    fn a_header_cut_short_anywhere_is_refused(at in any::<prop::sample::Index>(), which in 0_usize..3) {
        let request = Request::signed(&DRAFT);
        let name = ["signature-input", "signature", "content-digest"][which];
        let cut = request.with(name, |value| value[..at.index(value.len())].to_owned());
        prop_assert!(!["ok", "none"].contains(&cut.answer()), "{cut:?}");
    }

    #[test]
    fn garbage_in_the_headers_is_never_a_proof(
        input in prop::collection::vec(any::<u8>(), 0..80),
        likely in text("[a-c*]=\\(?(\"@?[a-z]\"|:[A-Za-z]{0,4}=?:|-?[0-9.]{1,4}|\\?[01]|[ ;,=()])*"),
    ) {
        let request = Request::signed(&DRAFT);
        for name in ["signature-input", "signature", "content-digest"] {
            for garbage in [&input, likely.as_bytes()] {
                let mut other = request.clone();
                *other.value(name) = garbage.to_vec();
                prop_assert_ne!(other.answer(), "ok");
            }
        }
    }
}
