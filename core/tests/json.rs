//! The strict parser and RFC 8785.

use portcullis_core::json::{Fault, Limits, Number, Value, canonical_text, parse};
use proptest::prelude::*;

const LIMITS: Limits = Limits { bytes: 4096, depth: 8, values: 64 };

fn fault(text: &str) -> Fault {
    parse(text.as_bytes(), LIMITS).expect_err(text).fault
}

/// The canonical text of any double, of those too that no parser here would give.
fn written(value: f64) -> String {
    canonical_text(&Value::Number(Number::new(value).expect("finite")))
}

fn canonical(text: &str) -> String {
    canonical_text(&parse(text.as_bytes(), LIMITS).expect(text))
}

#[test]
fn two_members_of_one_name_are_refused_whatever_their_case() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"A":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"key":1,"\u212aey":2}"#,
        r#"{"iss":1,"i\u017f\u017f":2}"#,
        r#"[{"x":{"b":1,"c":2,"B":3}}]"#,
    ] {
        assert_eq!(fault(text), Fault::AmbiguousMember, "{text}");
    }
    let many: Vec<String> = (0..40).map(|index| format!("\"m{index}\":0")).collect();
    let text = format!("{{{},\"M39\":0}}", many.join(","));
    assert_eq!(fault(&text), Fault::AmbiguousMember);
    assert!(parse(format!("{{{}}}", many.join(",")).as_bytes(), LIMITS).is_ok());
}

#[test]
fn names_that_differ_only_in_unicode_normalisation_stay_distinct() {
    assert_eq!(canonical("{\"\u{e9}\":1,\"e\u{301}\":2}"), "{\"e\u{301}\":2,\"\u{e9}\":1}");
}

#[test]
fn integers_beyond_two_to_the_53_are_refused_and_those_up_to_it_are_not() {
    for text in [
        "9007199254740993",
        "-9007199254740993",
        "18446744073709551616",
        "9007199254740994.0",
        "1e20",
        "-999999999999999900000.0",
        "1e400",
        "-1e400",
    ] {
        assert_eq!(fault(text), Fault::InexactNumber, "{text}");
    }
    assert_eq!(canonical("9007199254740992"), "9007199254740992");
    assert_eq!(canonical("-9007199254740992"), "-9007199254740992");
    assert_eq!(canonical("1e21"), "1e+21");
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "--1",
        "-",
        "tru",
        "nulll",
        "NaN",
        "Infinity",
        "\"\t\"",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"abc",
        "[1 2]",
        "{\"a\" 1}",
        "\u{feff}1",
        "/**/1",
        "\u{a0}1",
    ] {
        let fault = fault(text);
        assert!(matches!(fault, Fault::Syntax | Fault::TrailingBytes), "{text}: {fault:?}");
    }
    assert_eq!(fault("1 1"), Fault::TrailingBytes);
    assert_eq!(fault("{} x"), Fault::TrailingBytes);
    assert_eq!(parse(b"\"\xff\"", LIMITS).unwrap_err().fault, Fault::NotUtf8);
}

#[test]
fn half_of_a_surrogate_pair_is_refused_and_a_whole_one_is_one_character() {
    for text in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\ud800x""#,
        r#""\udc00\ud800""#,
        r#""\ud83d\n""#,
    ] {
        assert_eq!(fault(text), Fault::LoneSurrogate, "{text}");
    }
    assert_eq!(canonical(r#""\ud83d\ude00""#), "\"\u{1f600}\"");
}

#[test]
fn every_budget_is_kept_to_the_unit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(nested(8).as_bytes(), LIMITS).is_ok());
    assert_eq!(fault(&nested(9)), Fault::TooDeep);
    let list = |values: usize| format!("[{}]", vec!["0"; values - 1].join(","));
    assert!(parse(list(64).as_bytes(), LIMITS).is_ok());
    assert_eq!(fault(&list(65)), Fault::TooManyValues);
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert!(parse(long(4096).as_bytes(), LIMITS).is_ok());
    assert_eq!(fault(&long(4097)), Fault::TooLong);
}

#[test]
fn members_are_ordered_by_utf16_code_units() {
    // RFC 8785 section 3.2.3.
    let text = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
    let names: Vec<String> = parse(text.as_bytes(), LIMITS)
        .unwrap()
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, _)| name.into())
        .collect();
    assert_eq!(names, ["\r", "1", "\u{80}", "\u{f6}", "\u{20ac}", "\u{1f600}", "\u{fb33}"]);
}

#[test]
fn strings_are_written_with_the_shortest_escapes() {
    // RFC 8785 section 3.2.2.2.
    let text = r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\u0008\u000c\r\t\u007f""#;
    assert_eq!(canonical(text), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\f\\r\\t\u{7f}\"");
}

#[test]
fn numbers_are_written_as_ecmascript_writes_them() {
    // RFC 8785 appendix B, by their bits.
    for (bits, text) in [
        (0x0000_0000_0000_0000_u64, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        assert_eq!(written(f64::from_bits(bits)), text, "{bits:#x}");
    }
}

proptest! {
    #[test]
    fn any_double_reads_back_from_its_text_which_is_as_short_as_can_be(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let ours = written(value);
        prop_assert_eq!(ours.parse::<f64>().unwrap(), value);
        // `core` writes the shortest digits too, though not always the same ones.
        let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
        let exponent = ours.split_once('e').map_or("", |(_, exponent)| exponent);
        let significant = ours.split('e').next().unwrap().trim_start_matches(['-', '0', '.']);
        let significant = if exponent.is_empty() && !ours.contains('.') { significant.trim_end_matches('0') } else { significant };
        let shortest = format!("{value:e}");
        prop_assert_eq!(digits(significant), digits(shortest.split('e').next().unwrap().trim_start_matches(['-', '0'])), "{}", ours);
    }

    #[test]
    fn of_two_equally_close_texts_the_even_one_is_written(quarters in (1_u64 << 52)..(1_u64 << 53)) {
        // A double in this range has two fractional bits, and 17 digits hold one
        // decimal: a quarter lies exactly between two of them.
        #[allow(clippy::cast_precision_loss, reason = "below 2^53")]
        let value = quarters as f64 / 4.0;
        let whole = quarters / 4;
        let expected = match quarters % 4 {
            0 => format!("{whole}"),
            1 => format!("{whole}.2"),
            2 => format!("{whole}.5"),
            _ => format!("{whole}.8"),
        };
        prop_assert_eq!(written(value), expected);
    }

    #[test]
    fn canonical_text_is_a_fixed_point_and_says_the_same(value in any_json()) {
        let text = value.to_string();
        let limits = Limits { bytes: 1 << 20, depth: 64, values: 1 << 16 };
        let parsed = parse(text.as_bytes(), limits);
        prop_assume!(parsed.is_ok());
        let once = canonical_text(&parsed.clone().unwrap());
        let again = parse(once.as_bytes(), limits).unwrap();
        prop_assert_eq!(&again, &parsed.unwrap());
        prop_assert_eq!(&once, &canonical_text(&again));
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&once).unwrap(), value);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, LIMITS);
    }

    #[test]
    fn json_like_bytes_are_accepted_only_if_another_strict_parser_accepts_them(text in r#"[\[\]{}",:0-9a-c\\ud.eE+\- \n]{0,24}"#) {
        if parse(text.as_bytes(), LIMITS).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn a_number_that_was_written_with_a_fraction_is_no_integer() {
    let number = |text: &str| match parse(text.as_bytes(), LIMITS).unwrap() {
        Value::Number(number) => number.as_integer(),
        other => panic!("{other:?}"),
    };
    assert_eq!(number("2"), Some(2));
    assert_eq!(number("2.0"), None);
    assert_eq!(number("2e0"), None);
}
