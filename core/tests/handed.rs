//! What people hand over as a credential, by its bytes.

use portcullis_core::{Handed, Kind, Unrecognised, base64};

fn jws(header: &str, payload: &str) -> String {
    format!("{}.{}.AA", base64::encode_url(header.as_bytes()), base64::encode_url(payload.as_bytes()))
}

#[test]
fn each_form_is_told_by_its_bytes() {
    let passport = jws(r#"{"alg":"EdDSA","typ":"passport+jwt"}"#, "{}");
    let badge = jws("{}", r#"{"vc":{},"ial":"0"}"#);
    let signature = jws(r#"{"kid":"a"}"#, r#"{"iat":1,"exp":2}"#);
    for (text, kind) in [
        (r#"{"passport_json":{},"signature":"AA=="}"#.to_owned(), Kind::Passport),
        (" \n:AA==:\n".to_owned(), Kind::Passport),
        ("Agent-Passport: :AA==:".to_owned(), Kind::Passport),
        (passport.clone(), Kind::PassportJwt),
        (format!("authorization: bearer {passport}"), Kind::PassportJwt),
        (badge.clone(), Kind::Badge),
        (format!("X-CAPISCIO-BADGE: {badge}"), Kind::Badge),
        (signature.clone(), Kind::SimpleGuard),
        (format!("X-Capiscio-JWS:{signature}"), Kind::SimpleGuard),
        (format!("X-Capiscio-Badge: {signature}"), Kind::SimpleGuard),
    ] {
        assert_eq!(Handed::recognise(text.as_bytes()).unwrap().kind(), kind, "{text}");
    }
}

#[test]
fn what_is_damaged_is_refused_as_what_it_means_to_be_and_what_is_something_else_is_not() {
    let kind = |text: &str| Handed::recognise(text.as_bytes()).map(|found| found.kind());
    assert_eq!(kind(r#"{"passport_json":{"#), Ok(Kind::Passport), "cut off");
    assert_eq!(kind(r#"{"schema_version":"2","schema_version":"2"}"#), Ok(Kind::Passport), "a name twice");
    // A text of somebody else's with a signature somewhere in it.
    assert_eq!(kind(r#"{"catalogs":[{"signature":"AA=="}]}"#), Err(Unrecognised::Unknown));
    assert_eq!(kind(" \n"), Err(Unrecognised::Empty));
    assert_eq!(kind("eyJhbGciOiJIUzI1NiJ9.e30.AA"), Err(Unrecognised::OtherJwt));
    assert_eq!(kind(&"x".repeat(Handed::MAX_BYTES + 1)), Err(Unrecognised::TooLong));
}

#[test]
fn a_credential_travels_in_the_header_of_its_kind() {
    let header = |text: &str| Handed::recognise(text.as_bytes()).unwrap().header().unwrap();
    let json = r#"{"passport_json":{},"signature":"AA=="}"#;
    let (name, value) = header(json);
    assert_eq!(
        (name, value.as_str()),
        ("agent-passport", format!(":{}:", base64::encode(json.as_bytes())).as_str())
    );
    assert_eq!(Handed::recognise(value.as_bytes()).unwrap().text().unwrap(), json.as_bytes());
    let token = jws(r#"{"alg":"EdDSA","typ":"passport+jwt"}"#, r#"{"a":1}"#);
    assert_eq!(header(&token), ("authorization", format!("Bearer {token}")));
    assert_eq!(Handed::recognise(token.as_bytes()).unwrap().text().unwrap(), br#"{"a":1}"#);
    assert_eq!(Handed::header_value(b":cut").text(), None);
}
