//! What a person sees while something takes long: one line per step, with the
//! step's own last line of output beside it, and its output only if it fails.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::children::Running;

/// Runs `work` as one step and prints how long it took.
pub(crate) fn step<T>(title: &str, work: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
    let step = Step::new(title);
    let began = Instant::now();
    let result = work(&step);
    step.bar.finish_and_clear();
    if result.is_ok() {
        eprintln!("  {title} ({:.1} s)", began.elapsed().as_secs_f64());
    }
    result
}

/// A step under way.
pub(crate) struct Step {
    bar: ProgressBar,
}

impl Step {
    /// Runs `command` to its end. Its output goes beside the spinner, and into
    /// the error if it fails.
    pub(crate) fn command(&self, command: &mut Command) -> Result<()> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = shown(command);
        let running = Running::start(command, &name)?;
        let (stdout, stderr) = running.with(|child| (child.stdout.take(), child.stderr.take()));
        let (sender, lines) = channel();
        forward(stdout.context("no standard output")?, sender.clone());
        forward(stderr.context("no standard error")?, sender);

        let mut tail = VecDeque::with_capacity(TAIL_LINES);
        for line in lines {
            self.bar.set_message(line.trim().to_owned());
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line);
        }
        let status = running.with(std::process::Child::wait)?;
        if !status.success() {
            bail!("`{name}` failed ({status}):\n{}", Vec::from(tail).join("\n"));
        }
        Ok(())
    }

    fn new(title: &str) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new_spinner()
        } else {
            eprintln!("  {title} …");
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg:.dim}") {
            bar.set_style(style);
        }
        bar.set_prefix(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar }
    }
}

/// A command as a person would type it, without the folder of its program.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Reads on a thread of its own: a child blocks when one of its pipes is full.
fn forward(pipe: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
}

/// Enough for a compiler's error with its notes; the whole log would bury it.
const TAIL_LINES: usize = 60;
