//! Logs in the package for JavaScript: exports as the command line judges them, checkpoints,
//! and proofs; and what is not of its form.

use crate::log::{BEGIN, GATE, Log, gate_key, key_config, service_key};
use crate::web_stand;
use crate::web_stand::{Package, Thrown, bytes, command_line, node};
use portcullis_core::attestation::log::{Node, Plan};
use portcullis_core::attestation::{Hash, Record};
use portcullis_core::{UnixTime, base64};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const END: UnixTime = BEGIN.plus_millis(3_600_000);

fn keys() -> Value {
    let served = |config: portcullis_core::KeyConfig| json!({"key_id": config.key_id, "public_key": config.public_key});
    json!({
        "keys": [served(key_config(&gate_key(1), None))],
        "service_keys": [served(key_config(&service_key(), None))],
    })
}

fn jsonl(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn object(lines: &[String]) -> String {
    let (first, rest) = lines.split_first().unwrap();
    let (last, middle) = rest.split_last().unwrap();
    let strings: Vec<_> = middle.iter().map(|line| Value::from(line.as_str()).to_string()).collect();
    format!("{{\"header\":{first},\"lines\":[\n{}\n],\"trailer\":{last}}}\n", strings.join(",\n"))
}

/// The file in pieces of so many bytes.
fn pieces(text: &str, size: usize) -> Value {
    text.as_bytes().chunks(size).map(bytes).collect()
}

#[test]
fn an_export_is_judged_in_javascript_as_on_the_command_line_however_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys.json"), keys().to_string()).unwrap();
    let mut package = Package::start();
    let honest = Log::grown(40).export(END);
    let changed = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = honest.clone();
        change(&mut lines);
        lines
    };
    let cases = [
        ("whole", honest.clone()),
        ("a record taken out", changed(&|lines| drop(lines.remove(9)))),
        ("a record changed", changed(&|lines| lines[9] = lines[9].replace("\"GET\"", "\"PUT\""))),
        ("records swapped", changed(&|lines| lines.swap(9, 10))),
        ("a record twice", changed(&|lines| lines.insert(9, lines[9].clone()))),
        ("no trailer", changed(&|lines| drop(lines.pop()))),
        ("no JSON", changed(&|lines| lines[9] = "{".into())),
        ("an empty line", changed(&|lines| lines.insert(9, String::new()))),
        ("markup", changed(&|lines| lines[9] = lines[9].replace("/6", "<img src=x onerror=alert(1)>"))),
    ];
    for (name, lines) in cases {
        for text in [jsonl(&lines), object(&lines)] {
            if lines.len() < honest.len() && name == "no trailer" && text.starts_with("{\"header\"") {
                continue;
            }
            let (_, told) =
                command_line(folder.path(), &["audit", "verify", "-", "--keys", "keys.json"], &text);
            assert!(told["valid"].is_boolean(), "{name}: {told}");
            assert_eq!(told["valid"] == true, name == "whole", "{name}: {told}");
            for size in [7, 1000, text.len()] {
                let found = package
                    .ask("audit", &[json!({"keys": keys().to_string()}), pieces(&text, size)])
                    .unwrap();
                assert_eq!(found["verdict"], told, "{name}, in pieces of {size}");
                let first = &found["found"][0];
                let is_at_the_end = told["valid"] == true || told["line"].is_null();
                assert_eq!(first.is_null(), is_at_the_end, "{name}: {first}");
                if !first.is_null() {
                    for member in ["reason_code", "line", "index", "record", "detail"] {
                        assert_eq!(first[member], told[member], "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn after_the_first_broken_line_the_others_are_judged_by_themselves() {
    let mut lines = Log::grown(40).export(END);
    for at in [9, 20, 30] {
        lines[at] = lines[at].replace("\"GET\"", "\"PUT\"");
    }
    let mut package = Package::start();
    let given: Vec<_> = lines.iter().map(|line| Value::from(line.as_str())).collect();
    let found = package.ask("lines", &[json!({"keys": keys()}), given.into()]).unwrap();
    let wrong: Vec<_> = found["found"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|found| !found.is_null())
        .map(|found| (found["line"].as_u64().unwrap(), found["reason_code"].as_str().unwrap()))
        .collect();
    assert_eq!(wrong, [(10, "signature_invalid"), (21, "signature_invalid"), (31, "signature_invalid")]);
    assert_eq!(found["verdict"]["line"], 10);
    assert!(found["found"][20]["index"].is_null(), "where it is in the log is not known any more");
    assert!(found["found"][20]["record"]["attestation_id"].as_str().unwrap().starts_with("att_"));
}

#[test]
fn a_log_that_is_not_the_kept_checkpoints_grown_is_found() {
    let mut package = Package::start();
    let export = jsonl(&Log::grown(40).export(END));
    let audit = |package: &mut Package, checkpoint: &str, export: &str| {
        package.call("verifyChain", &[export.into(), json!({"keys": keys(), "checkpoint": checkpoint})])
    };
    let older = Log::grown(16).checkpoint(BEGIN);
    assert_eq!(audit(&mut package, &older, &export).unwrap()["extends_older"], true);
    let mut rewritten = Log::default();
    (0..16).for_each(|id| drop(rewritten.decide(1, id + 100)));
    let found = audit(&mut package, &rewritten.checkpoint(BEGIN), &export).unwrap();
    assert_eq!(found["reason_code"], "checkpoint_inconsistent");
    let thrown = audit(&mut package, "nothing", &export).unwrap_err();
    assert_eq!(thrown.code, "CHECKPOINT_INVALID");
    let partial = export.replacen("\"complete\":true", "\"complete\":false", 1);
    assert_eq!(audit(&mut package, &older, &partial).unwrap_err().code, "CHECKPOINT_NOT_COMPARABLE");
}

/// A log's tree, with all of its nodes, and the notes of each size.
struct Tree {
    records: Vec<String>,
    nodes: BTreeMap<Node, Hash>,
    notes: Vec<String>,
}

impl Tree {
    fn grown(count: u64) -> Self {
        let log = Log::grown(count);
        let records: Vec<_> =
            log.lines.iter().filter(|line| line.starts_with("{\"access_mode")).cloned().collect();
        let (mut nodes, mut growing) = (BTreeMap::new(), Log::default());
        let mut notes = vec![growing.checkpoint(BEGIN)];
        for record in &records {
            let leaf = Record::read(record.as_bytes()).unwrap().leaf();
            growing.frontier.push_keeping(leaf, &mut |node, hash| {
                nodes.insert(node, hash);
            });
            notes.push(growing.checkpoint(BEGIN));
        }
        Tree { records, nodes, notes }
    }

    fn hashes(&self, plan: &Plan) -> Vec<String> {
        let hashes = plan.hashes(|node| self.nodes.get(&node).copied()).unwrap();
        hashes.iter().map(|hash| base64::encode_url(hash)).collect()
    }
}

#[test]
fn checkpoints_and_proofs_hold_for_what_they_are_about_and_for_nothing_else() {
    let mut package = Package::start();
    let tree = Tree::grown(11);
    let by = json!({"gate": GATE, "serviceKeys": keys()["service_keys"]});
    let read = package.call("verifyCheckpoint", &[tree.notes[11].as_str().into(), by.clone()]).unwrap();
    assert_eq!((&read["valid"], &read["checkpoint"]["size"]), (&json!(true), &json!(11)));
    let forged = tree.notes[11].replace("\n11\n", "\n12\n");
    let refused = package.call("verifyCheckpoint", &[forged.into(), by.clone()]).unwrap();
    assert_eq!((&refused["valid"], &refused["reason_code"]), (&json!(false), &json!("checkpoint_invalid")));

    for index in 0..11_u64 {
        let hashes = tree.hashes(&Plan::inclusion(index, 11).unwrap());
        let proof = json!({"index": index, "size": 11, "hashes": hashes, "checkpoint": tree.notes[11]});
        for (record, holds) in [(index, true), ((index + 1) % 11, false)] {
            let mut options = by.clone();
            options["record"] = tree.records[usize::try_from(record).unwrap()].as_str().into();
            let found = package.call("verifyInclusion", &[proof.clone(), options]).unwrap();
            assert_eq!(found["valid"], holds, "{index}: {found}");
            assert_eq!(found["reason_code"].is_null(), holds);
        }
    }
    for old in 0..=11_usize {
        let hashes = tree.hashes(&Plan::consistency(old.try_into().unwrap(), 11).unwrap());
        let note = |size: usize| tree.notes[size].as_str();
        let grown = json!({"older": note(old), "newer": note(11), "hashes": hashes});
        let found = package.call("verifyConsistency", &[grown, by.clone()]).unwrap();
        assert_eq!(found["valid"], true, "{old}: {found}");
        let mut other = Log::default();
        (0..=old).for_each(|id| drop(other.decide(1, 100 + u64::try_from(id).unwrap())));
        let forked = json!({"older": other.checkpoint(BEGIN), "newer": note(11), "hashes": hashes});
        let found = package.call("verifyConsistency", &[forked, by.clone()]).unwrap();
        assert_eq!(found["reason_code"], "checkpoint_inconsistent", "{old}: {found}");
    }
}

#[test]
fn what_is_not_of_its_form_is_an_error_that_says_what_and_where() {
    let mut package = Package::start();
    let mut thrown = |name: &str, given: &[Value]| -> Thrown {
        package.call(name, given).expect_err(&format!("{name} of {given:?}"))
    };
    let all_bytes: Vec<u8> = (0..=255).collect();
    for (name, given, code, says) in [
        ("verifyCredential", vec![json!("")], "NOT_A_CREDENTIAL", "it is empty"),
        ("verifyCredential", vec![bytes(&all_bytes)], "NOT_A_CREDENTIAL", "expected is a passport"),
        ("verifyCredential", vec![json!(7)], "INVALID_ARGUMENT", "credential must be a string"),
        ("verifyPassport", vec![json!("{"), json!({"trust": "{\"a\":"})], "INVALID_TRUST", "byte 5"),
        ("verifyPassport", vec![json!("{"), json!({"at": "today"})], "INVALID_ARGUMENT", "options.at"),
        ("verifyPassport", vec![json!("{"), json!({"audiences": []})], "INVALID_ARGUMENT", "audiences"),
        ("verifyPassport", vec![json!("a.b.c")], "NOT_A_CREDENTIAL", "expected is"),
        ("verifyChain", vec![json!("{}"), json!({"keys": {}})], "INVALID_ARGUMENT", "keys.keys"),
        ("verifyChain", vec![json!("\u{0}"), json!({"keys": keys()})], "NOT_AN_EXPORT", "line 1"),
        ("verifyChain", vec![json!(""), json!({"keys": keys()})], "NOT_AN_EXPORT", "line 1"),
        (
            "verifyChain",
            vec![json!("{}"), json!({"keys": {"keys": [other_key("AA")], "service_keys": []}})],
            "INVALID_KEYS",
            "keys[0].key_id",
        ),
        (
            "verifyCheckpoint",
            vec![json!("a note"), json!({"gate": GATE, "serviceKeys": [other_key("AA")]})],
            "INVALID_KEYS",
            "service.keys",
        ),
        ("verifyProof", vec![json!({"url": "/a"})], "INVALID_ARGUMENT", "url must be absolute"),
        ("selfIssue", vec![json!({"key": "AA", "permissions": []})], "INVALID_ARGUMENT", "32 bytes"),
        (
            "selfIssue",
            vec![json!({"key": base64::encode(&[0; 32]), "permissions": []})],
            "INVALID_ARGUMENT",
            "32 bytes",
        ),
    ] {
        let thrown = thrown(name, &given);
        assert_eq!(thrown.code, code, "{name} {given:?}: {thrown:?}");
        assert!(thrown.detail.contains(says), "{name} {given:?}: {thrown:?}");
    }
    // The package is as good as before.
    assert_eq!(package.ask("text", &[json!("{\"b\":1,\"a\":2}")]).unwrap()["text"], "{\"a\":2,\"b\":1}");
    let faulty = package.ask("text", &[json!("{\"a\":1,}")]).unwrap_err();
    assert_eq!(faulty.code, "INVALID_JSON");
    let catalog = package.call("verifyCatalog", &["{".into()]).unwrap();
    assert_eq!(catalog["valid"], false);
}

/// A key as the service serves them.
fn other_key(public_key: &str) -> Value {
    json!({"key_id": "k1", "public_key": public_key})
}

#[test]
fn nothing_is_judged_before_the_package_is_ready_and_nothing_after_an_audit_has_ended() {
    let output = node()
        .args(["--input-type=module", "-e", BEFORE_AND_AFTER])
        .env("KEYS", keys().to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let codes: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = |code: &str, count: usize| Value::from(vec![code; count]);
    assert_eq!(codes["before"], all("NOT_READY", 5), "{codes}");
    assert_eq!(codes["nothing_read"], all("NOT_AN_EXPORT", 1), "{codes}");
    assert_eq!(codes["ended"], all("ALREADY_FINISHED", 4), "{codes}");
    assert_eq!(codes["others"], all("none", 1), "another audit goes on: {codes}");
}

/// The codes of what is thrown, before `init` and after `finish`.
const BEFORE_AND_AFTER: &str = r#"
    import * as portcullis from "portcullis-web";

    const keys = JSON.parse(process.env.KEYS);
    async function codes(...works) {
        const all = works.map(async (work) => work());
        return (await Promise.allSettled(all)).map(({ reason }) =>
            reason instanceof portcullis.PortcullisError ? reason.code : String(reason ?? "none"));
    }
    const before = await codes(
        () => portcullis.canonicalize("{}"),
        () => portcullis.verifyCredential(""),
        () => portcullis.generateCredentials(),
        () => new portcullis.TrustMaterial({}),
        () => new portcullis.LogAudit({ keys }),
    );
    await portcullis.init();
    const audit = new portcullis.LogAudit({ keys });
    const other = new portcullis.LogAudit({ keys });
    const nothing_read = await codes(() => audit.finish());
    const ended = await codes(
        () => audit.push("{}"),
        () => audit.write("{}"),
        () => audit.progress,
        () => audit.finish(),
    );
    const others = await codes(() => other.progress);
    console.log(JSON.stringify({ before, nothing_read, ended, others }));
"#;

#[test]
fn every_code_that_is_thrown_stands_in_its_document_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let of_folder = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let sources =
            entries.filter(|path| path.extension().is_some_and(|kind| kind == "rs" || kind == "js"));
        sources.flat_map(|path| codes_of(&read(&path))).collect()
    };
    let told = |document: &str| -> BTreeSet<String> {
        let text = read(&root.join("docs").join(document));
        let first = |row: &str| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned());
        text.lines().filter_map(first).filter(|code| is_code(code)).collect()
    };
    let (web, edge) = (told("web.md"), told("edge.md"));
    let (of_web, of_edge, of_both) = (of_folder("web/src"), of_folder("edge/src"), of_folder("web/js"));
    assert!(of_web.len() > 6 && of_edge.len() > 2 && of_both.len() > 2, "{of_web:?} {of_edge:?} {of_both:?}");
    assert_eq!(of_web.difference(&web).next(), None, "not in docs/web.md");
    assert_eq!(of_edge.difference(&edge).next(), None, "not in docs/edge.md");
    let all: BTreeSet<_> = web.union(&edge).cloned().collect();
    let thrown: BTreeSet<_> = of_web.into_iter().chain(of_edge).chain(of_both).collect();
    assert_eq!(thrown, all, "what is thrown, and what docs/web.md and docs/edge.md tell of");
}

/// The codes that a source gives to the errors that it makes.
fn codes_of(source: &str) -> Vec<String> {
    let made = ["Unusable::new(", "code: ", "PortcullisError("].into_iter();
    let rests = made.flat_map(|maker| source.split(maker).skip(1));
    let code = |rest: &str| Some(rest.trim_start().strip_prefix('"')?.split_once('"')?.0.to_owned());
    rests.filter_map(code).inspect(|code| assert!(is_code(code), "{code} is no code")).collect()
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

#[test]
fn the_package_makes_no_code_from_strings_and_no_markup() {
    let folder = web_stand::project().join("node_modules/portcullis-web");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in ["LICENSE", "README.md", "index.d.ts", "index.js", "package.json", "portcullis_bg.wasm"] {
        assert!(names.contains(&name.to_owned()), "{name} is missing of {names:?}");
    }
    for name in names.iter().filter(|name| name.ends_with(".js")) {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        for forbidden in ["eval(", "new Function", "innerHTML", "outerHTML", "document.write"] {
            assert!(!text.contains(forbidden), "{name} has {forbidden}");
        }
    }
    // That the flag under which all of these tests run forbids what it shall.
    let forbidden = node().args(["-e", "new Function('return 1')()"]).output().unwrap();
    assert!(!forbidden.status.success());
}
