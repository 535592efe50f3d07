//! Messages that a gate takes for one thing are that to Python's json too, by which servers of the
//! official package read them.

use portcullis_core::base64;
use portcullis_tests::doors::{Answer, DOORS};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

const SCRIPT: &str = "
import base64, json, sys
print(json.dumps([json.loads(base64.b64decode(text)) for text in json.load(sys.stdin)]))
";

#[test]
fn what_a_gate_reads_in_a_message_python_reads_in_it_too() {
    let door = DOORS.iter().find(|door| door.name == "mcp").unwrap();
    let kept = std::fs::read_dir(door.corpus()).unwrap();
    let inputs = kept.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    // What is worth a look beside them: escapes, numbers, and what readers take for white space.
    let more = [
        r#"{"jsonrpc":"2.0","id":"\u00e9\ud83d\ude00\/","method":"tools/call","params":{"name":"op\u0065n"}}"#,
        r#"{"jsonrpc":"2.0","id":9007199254740992,"method":"ping","params":{"a":[1e2,-0.5,1E-3,0.1,[],{}]}}"#,
        "\r\n\t {\"jsonrpc\" :\t\"2.0\",\n\"id\": 0 ,\"method\":\"x\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":\"\u{2028}\u{7f}\u{feff}\",\"method\":\"\u{10ffff}\"}",
    ];
    let inputs = inputs.chain(more.map(|text| text.as_bytes().to_vec()));
    let taken: Vec<_> = inputs.filter(|input| (door.open)(input) == Answer::Accepted).collect();
    assert!(taken.len() > more.len() + 10, "only {} are taken", taken.len());

    let python = std::env::var_os("PORTCULLIS_PYTHON").expect("PORTCULLIS_PYTHON: run `cargo xtask test`");
    let mut command = Command::new(python);
    let mut child =
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let encoded: Vec<_> = taken.iter().map(|input| base64::encode(input)).collect();
    child.stdin.take().unwrap().write_all(Value::from(encoded).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let theirs: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(theirs.len(), taken.len());
    for (input, theirs) in taken.iter().zip(&theirs) {
        let here: Value = serde_json::from_slice(input).unwrap();
        assert_eq!(here, *theirs, "{}", String::from_utf8_lossy(input));
    }
}
