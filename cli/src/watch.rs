//! `portcullis watch`.

use crate::gate::Reach;
use crate::output::{self, Answer, Verdict, shown};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

/// The variable in the environment that holds an API key of the service.
const VARIABLE: &str = "PORTCULLIS_API_KEY";

/// Show the decisions of a gate as they are recorded
///
/// One line for each, or with --json one JSON object in a line. The API key is taken from
/// the environment, PORTCULLIS_API_KEY, and needs the scope `audit`. Goes on until it is
/// ended, over failures of the connection too, from where it was.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    reach: Reach,
    /// The gate's id
    #[arg(long, value_name = "ID")]
    gate: String,
    /// This decision only: allow, block, request_hold, approved, denied or gap
    #[arg(long, value_name = "DECISION")]
    decision: Option<String>,
    /// Begin after this place of the gate's log, instead of with what comes next
    #[arg(long, value_name = "INDEX")]
    after: Option<u64>,
    /// End after so many decisions
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
}

/// The service tells at least every 15 seconds that it is there.
const SILENCE: Duration = Duration::from_secs(45);

/// Between two connections, while the service does not answer.
const PAUSE: Duration = Duration::from_secs(2);

/// The longest line: a record of 4 KiB as it is and as what was signed, escaped, and 16 KiB
/// that were reported.
const MAX_LINE: u64 = 256 * 1024;

/// How far it has come.
struct Watch<'a> {
    args: &'a Args,
    key: String,
    as_json: bool,
    last: Option<u64>,
    seen: u64,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// All that was wanted is there, or nobody reads on.
    Done,
    /// The service ended it, as it does now and then.
    Regular,
}

/// Follows until it has seen enough, or the service refuses.
pub(crate) fn run(args: &Args, as_json: bool) -> Result<Answer> {
    let is_id =
        |text: &String| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_id(&args.gate) || !args.decision.as_ref().is_none_or(is_id) {
        bail!("--gate and --decision have letters, digits and - _ . only");
    }
    let key = std::env::var(VARIABLE).with_context(|| format!("{VARIABLE} is not set"))?;
    let mut watch = Watch { args, key: key.trim().to_owned(), as_json, last: args.after, seen: 0 };
    loop {
        match watch.connect()? {
            Ok(End::Done) => break,
            Ok(End::Regular) => {}
            Err(error) => {
                output::note(&format!("{error:#}; trying again"));
                std::thread::sleep(PAUSE);
            }
        }
    }
    Ok(Answer::given(Verdict::Done))
}

impl Watch<'_> {
    /// One connection. The outer error is one that does not go away by itself.
    fn connect(&mut self) -> Result<Result<End>> {
        let mut query = format!("gate_id={}", self.args.gate);
        if let Some(decision) = &self.args.decision {
            query.push_str(&format!("&decision={decision}"));
        }
        let mut request = self
            .args
            .reach
            .get("/api/v1/decisions/stream", &query, SILENCE)?
            .header("authorization", format!("Bearer {}", self.key))
            .header("accept", "text/event-stream");
        if let Some(last) = self.last {
            request = request.header("last-event-id", last.to_string());
        }
        let mut answer = match request.call() {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(anyhow::Error::new(error).context("no answer from the service"))),
        };
        let status = answer.status();
        if status.is_client_error() && status != 429 {
            let text = answer.body_mut().with_config().limit(MAX_LINE).read_to_string().unwrap_or_default();
            let told: Value = serde_json::from_str(&text).unwrap_or_default();
            let message = told.get("message").and_then(Value::as_str).unwrap_or("it does not say why");
            bail!("the service refuses ({}): {message}", status.as_u16());
        }
        if !status.is_success() {
            return Ok(Err(anyhow::anyhow!("the service answers {}", status.as_u16())));
        }
        Ok(self.read(BufReader::new(answer.into_body().into_reader())))
    }

    /// Reads events (HTML, section 9.2.6) as far as the service makes them.
    fn read(&mut self, mut reader: impl BufRead) -> Result<End> {
        let mut id = None;
        loop {
            let mut line = String::new();
            let length = reader.by_ref().take(MAX_LINE).read_line(&mut line);
            match length.context("the connection failed")? {
                0 => return Ok(End::Regular),
                length if length as u64 == MAX_LINE => bail!("the service sent a line that is too long"),
                _ => {}
            }
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse::<u64>().ok();
            } else if let Some(data) = line.strip_prefix("data: ") {
                if !self.show(data)? {
                    return Ok(End::Done);
                }
                // Only what was shown is not asked for again.
                self.last = id.or(self.last);
                self.seen = self.seen.saturating_add(1);
                if self.args.count.is_some_and(|count| self.seen >= count) {
                    return Ok(End::Done);
                }
            }
        }
    }

    /// Answers whether anybody reads on.
    fn show(&self, data: &str) -> Result<bool> {
        let row: Value = serde_json::from_str(data).context("the service sent what is no record")?;
        if self.as_json {
            return Ok(output::line(&row.to_string()));
        }
        // What is not there is a dash, so that columns stay where they are.
        let member = |place: &str| {
            let text = row.pointer(place).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.map_or_else(|| "-".to_owned(), shown)
        };
        let line = format!(
            "{} {:<12} {} {} {} {} {}",
            member("/timestamp"),
            member("/decision"),
            member("/agent_id"),
            member("/action"),
            member("/request/path"),
            member("/reason_code"),
            member("/attestation_id"),
        );
        Ok(output::line(&line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn read(more: &[&str], stream: &[u8]) -> (Result<End>, Option<u64>, u64) {
        let given = ["watch", "--service", "http://127.0.0.1:1", "--gate", "gate_a"];
        let cli = Cli::try_parse_from(given.iter().chain(more)).unwrap();
        let mut watch =
            Watch { args: &cli.args, key: String::new(), as_json: true, last: cli.args.after, seen: 0 };
        let end = watch.read(stream);
        (end, watch.last, watch.seen)
    }

    #[test]
    fn events_are_counted_and_their_places_kept_for_the_next_connection() {
        let stream =
            b": nothing new\n\nid: 7\nevent: decision\ndata: {}\n\nid: 9\r\ndata: {\"a\":1}\r\n\r\nid: 10\n";
        let (end, last, seen) = read(&["--after", "6"], stream);
        assert_eq!((end.unwrap(), last, seen), (End::Regular, Some(9), 2), "what was not whole comes again");
        let (end, last, seen) = read(&["--count", "1"], stream);
        assert_eq!((end.unwrap(), last, seen), (End::Done, Some(7), 1));
    }

    #[test]
    fn what_is_no_record_or_too_long_ends_a_connection() {
        assert!(read(&[], b"id: 1\ndata: {\n").0.is_err());
        let long = vec![b'a'; usize::try_from(MAX_LINE).unwrap()];
        assert!(read(&[], &long).0.is_err());
    }
}
