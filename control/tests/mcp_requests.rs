//! Whatever a call's arguments are: the request that it makes is its tool's, with these
//! arguments in it and nothing else.

use axum::http::{Method, Uri};
use portcullis_control::mcp::request::{MAX_IN_TARGET, RestRequest, of_call};
use portcullis_control::mcp::tools::{self, Argument, Kind, Tool};
use proptest::prelude::*;
use proptest::sample::select;
use reqwest::Url;
use serde_json::{Map, Value, json};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_call_makes_its_tools_request_or_none(
        (tool, mut arguments) in call(any_value),
        more in proptest::option::weighted(0.1, hostile_text()),
    ) {
        arguments.extend(more.map(|name| (name, Value::Null)));
        match of_call(tool, arguments.clone()) {
            Ok(request) => is_of(tool, &arguments, &request),
            Err(refusal) => {
                let field = refusal.field.expect("an argument is at fault");
                let at_fault = |name: &str| format!("{name:.100}") == field;
                let at_fault = arguments.keys().any(|name| at_fault(name)) || required(tool).any(at_fault);
                prop_assert!(at_fault, "{field}");
                prop_assert!(refusal.message.len() < 1000);
            }
        }
    }

    #[test]
    fn arguments_of_their_kinds_are_taken((tool, arguments) in call(fitting_value)) {
        let missing = required(tool).find(|name| !arguments.contains_key(*name));
        match (of_call(tool, arguments.clone()), missing) {
            (Ok(request), None) => is_of(tool, &arguments, &request),
            (Err(refusal), Some(_)) => prop_assert!(refusal.message.ends_with(": is missing")),
            (answer, missing) => panic!("{missing:?} is missing, and {answer:?}"),
        }
    }
}

fn required(tool: &'static Tool) -> impl Iterator<Item = &'static str> {
    tool.arguments.iter().filter(|argument| argument.is_required).map(|argument| argument.name)
}

fn is_of(tool: &Tool, arguments: &Map<String, Value>, request: &RestRequest) {
    let (method, template) = tool.http.split_once(' ').unwrap();
    assert_eq!(request.method.as_str(), method);
    let given = |argument: &Argument| arguments.get(argument.name).filter(|value| !value.is_null()).cloned();
    assert!(arguments.keys().all(|name| tool.argument(name).is_some()), "an unknown one was taken");

    // Neither the service nor what is between reads another path or query out of it.
    let uri: Uri = request.target.parse().unwrap();
    let url = Url::parse(&format!("http://host{}", request.target)).unwrap();
    assert_eq!((url.path(), url.query()), (uri.path(), uri.query()));
    assert_eq!((url.host_str(), url.port(), url.fragment()), (Some("host"), None, None));
    assert_eq!(uri.path_and_query().unwrap().as_str(), request.target);

    let (wanted, segments): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), uri.path().split('/').collect());
    assert_eq!(wanted.len(), segments.len(), "{}", request.target);
    for (wanted, segment) in wanted.iter().zip(segments) {
        match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            None => assert_eq!(*wanted, segment),
            Some(name) => {
                let decoded = decoded(segment);
                assert!(!matches!(decoded.as_str(), "" | "." | ".."));
                assert!(!decoded.contains(|one: char| matches!(one, '/' | '\\') || one.is_control()));
                assert_eq!(decoded, text(&given(tool.argument(name).unwrap()).unwrap()));
            }
        }
    }

    let others: Vec<_> = tool
        .arguments
        .iter()
        .filter(|argument| !template.contains(&format!("{{{}}}", argument.name)))
        .filter_map(|argument| given(argument).map(|value| (argument, value)))
        .collect();
    let has_body = ![Method::GET, Method::DELETE].contains(&request.method);
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let body = request.body.clone();
    if has_body {
        let members: Map<String, Value> =
            others.iter().map(|(argument, value)| (argument.sent_as.to_owned(), value.clone())).collect();
        let whole = others.iter().find(|(argument, _)| argument.is_body).map(|(_, value)| value.clone());
        assert_eq!((pairs, body), (Vec::new(), Some(whole.unwrap_or(Value::Object(members)))));
    } else {
        let expected: Vec<_> =
            others.iter().map(|(argument, value)| (argument.sent_as.to_owned(), text(value))).collect();
        assert_eq!((pairs, body), (expected, None));
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// RFC 3986, section 2.1.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        match (first, more) {
            (b'%', [one, two, more @ ..]) => {
                let digits = [*one, *two];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = more;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A tool, and a call of it whose arguments `value` makes up.
fn call<S: Strategy<Value = Value> + 'static>(
    value: impl Fn(Kind) -> S + Clone,
) -> impl Strategy<Value = (&'static Tool, Map<String, Value>)> {
    let all: Vec<&'static Tool> = tools::all().collect();
    select(all).prop_flat_map(move |tool| {
        let value = value.clone();
        let arguments: Vec<_> = tool
            .arguments
            .iter()
            .map(|argument| {
                let name = argument.name.to_owned();
                proptest::option::weighted(0.9, value(argument.kind))
                    .prop_map(move |value| Some((name.clone(), value?)))
            })
            .collect();
        arguments.prop_map(move |arguments| (tool, arguments.into_iter().flatten().collect()))
    })
}

fn any_value(kind: Kind) -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => fitting_value(kind),
        3 => hostile_text().prop_map(Value::String),
        1 => any::<String>().prop_map(Value::String),
        1 => select(vec![json!(null), json!(true), json!([]), json!({}), json!(["a"]), json!({"..": "/"})]),
        1 => select(vec![json!(0.5), json!(-1.5), json!(1e300)]),
    ]
}

/// Texts that mean something to whoever reads URLs, joined.
fn hostile_text() -> impl Strategy<Value = String> {
    let parts = [
        "",
        ".",
        "..",
        "/",
        "\\",
        "%2e",
        "%2E%2e",
        "%2f",
        "%5c",
        "%00",
        "%",
        "?",
        "#",
        "&",
        "=",
        ";",
        "+",
        " ",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{202e}",
        "é",
        "🚪",
        "@",
        ":",
        "//",
        "http://evil.example",
        "{gate_id}",
        "{passport_id}",
        "gate_a",
        "'",
        "\"",
        "<",
        ">",
        "|",
        "^",
        "`",
        "~",
        "-",
        "_",
        "*",
        "$",
        "!",
        "(",
        ",",
    ];
    proptest::collection::vec(select(parts.to_vec()), 0..6).prop_map(|parts| parts.concat())
}

/// A value of the kind that a segment may have too.
fn fitting_value(kind: Kind) -> BoxedStrategy<Value> {
    let bounded = |text: &String| {
        !matches!(text.as_str(), "" | "." | "..")
            && text.len() <= MAX_IN_TARGET
            && !text.contains(|one: char| matches!(one, '/' | '\\') || one.is_control())
    };
    let texts = prop_oneof![hostile_text(), any::<String>(), "\\PC{1,300}"].prop_filter("a segment", bounded);
    match kind {
        Kind::Text | Kind::OneOf(_) => texts.prop_map(Value::String).boxed(),
        Kind::Number => {
            prop_oneof![any::<i64>().prop_map(Value::from), any::<u64>().prop_map(Value::from)].boxed()
        }
        Kind::Flag => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::Object => select(vec![json!({}), json!({"a": [1, {"b": null}]})]).boxed(),
        Kind::Texts => select(vec![json!([]), json!(["a", "../b"])]).boxed(),
        Kind::Objects => select(vec![json!([]), json!([{"permission_key": "a:b"}])]).boxed(),
    }
}

#[test]
fn numbers_that_are_whole_are_written_so_and_others_stay() {
    let tool = tools::find("discover_services").unwrap();
    for (number, expected) in [
        (json!(10.0), "10"),
        (json!(-0.0), "0"),
        (json!(1e15), "1000000000000000"),
        (json!(1.5), "1.5"),
        (json!(9_007_199_254_740_992.0), "9007199254740992.0"),
        (json!(u64::MAX), "18446744073709551615"),
    ] {
        let arguments = json!({"capability": "a:b", "limit": number}).as_object().unwrap().clone();
        let target = of_call(tool, arguments).unwrap().target;
        assert_eq!(target, format!("/api/discover?capability=a%3Ab&limit={expected}"));
    }
}

#[test]
fn each_tools_target_fits_with_every_argument_at_its_longest() {
    for tool in tools::all() {
        let longest = |argument: &Argument| match argument.kind {
            Kind::Text | Kind::OneOf(_) => json!("\u{e9}".repeat(MAX_IN_TARGET / 2)),
            Kind::Number => json!(i64::MIN),
            Kind::Flag => json!(true),
            Kind::Object => json!({}),
            Kind::Texts | Kind::Objects => json!([]),
        };
        let arguments: Map<String, Value> =
            tool.arguments.iter().map(|argument| (argument.name.to_owned(), longest(argument))).collect();
        is_of(tool, &arguments, &of_call(tool, arguments.clone()).unwrap());
    }
}
