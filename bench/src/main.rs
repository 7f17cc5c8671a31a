//! `weir-bench`: load on any WHIP/WHEP server, and what it did with it.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match bench::cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
