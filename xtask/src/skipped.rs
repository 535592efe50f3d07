//! How a test says that it cannot run here.

use std::fs::File;
use std::io::Write;

/// Writes down that a test is skipped, and why: `cargo xtask test` prints it, and counts it so.
pub fn tell(test: &str, reason: &str) {
    println!("SKIPPED {test}: {reason}");
    if let Some(file) = std::env::var_os("PORTCULLIS_SKIPPED") {
        let file = File::options().append(true).open(file);
        // Whoever counts made the file.
        let _ = file.and_then(|mut file| writeln!(file, "{test}: {reason}"));
    }
}
