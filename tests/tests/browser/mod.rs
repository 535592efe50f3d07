//! Scripts of `tests/browser/` in real Chromium.

use crate::live_stand::given;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use xtask::chromium;
use xtask::workspace::Workspace;

/// A Chromium, and a Node.js that drives it.
pub struct Browser {
    chromium: PathBuf,
    workspace: Workspace,
}

impl Browser {
    /// For the test `name`. Without a Chromium it is written down as skipped.
    pub fn for_test(name: &str) -> Option<Self> {
        let chromium = chromium::for_test(name)?;
        Some(Browser { chromium, workspace: Workspace::find().unwrap() })
    }

    /// Runs a script on this scene; what it said, where it throws. Pictures go to `target/browser/`.
    pub fn run(&self, script: &str, scene: &Value) {
        let folder = self.workspace.target_folder("browser").unwrap();
        let log = folder.join(script).with_extension("log");
        let output = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(given("PORTCULLIS_NODE"));
        command.arg(self.script(script)).envs(self.environment(scene));
        let mut child =
            command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if began.elapsed() > DEADLINE {
                // Chromium ends with the pipe that it is driven by.
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(status.is_some_and(|status| status.success()), "{script} ended with {status:?}:\n{said}");
    }

    /// The text of a program that runs a script on this scene, with arguments of its own.
    pub fn program(&self, script: &str, scene: &Value) -> String {
        let quoted = |text: &OsStr| format!("'{}'", text.to_string_lossy().replace('\'', "'\\''"));
        let environment = self.environment(scene).map(|(name, value)| format!("{name}={}", quoted(&value)));
        let node = given("PORTCULLIS_NODE");
        let script = self.script(script);
        let (node, script) = (quoted(node.as_os_str()), quoted(script.as_os_str()));
        format!("#!/bin/sh\n{} exec {node} {script} \"$@\"\n", environment.join(" "))
    }

    fn script(&self, script: &str) -> PathBuf {
        self.workspace.root.join("tests/browser").join(script)
    }

    fn environment(&self, scene: &Value) -> [(&'static str, OsString); 4] {
        [
            (chromium::VARIABLE, self.chromium.clone().into()),
            ("PORTCULLIS_NODE_PACKAGES", given("PORTCULLIS_NODE_PACKAGES").into()),
            ("PORTCULLIS_SCREENSHOTS", self.workspace.target_folder("browser").unwrap().into()),
            ("PORTCULLIS_SCENE", scene.to_string().into()),
        ]
    }
}

/// Four times what the longest script takes on a machine that does nothing else.
const DEADLINE: Duration = Duration::from_secs(480);
