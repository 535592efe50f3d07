//! `portcullis-gate`: a small reverse proxy that runs the plugin for real, for
//! trying it out where there is no Envoy.

mod embedded;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match embedded::run(&embedded::Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis-gate: {error}");
            ExitCode::FAILURE
        }
    }
}
