//! `weir`: reads flags, starts the library, says what went wrong.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::cli::{self, Task};
use server::{app, config};
use tracing_subscriber::EnvFilter;

/// Of a wrong command line or configuration.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let task = match cli::parse(std::env::args_os(), std::env::vars_os()) {
        Ok(task) => task,
        // Prints help and version too; exits 0 or 2.
        Err(e) => e.exit(),
    };
    let (Task::Check(sources) | Task::Serve(sources)) = &task;
    let config = match config::load(sources) {
        Ok(config) => config,
        Err(e) => {
            eprintln!("weir: {e}");
            return ExitCode::from(USAGE);
        }
    };
    let done = match task {
        Task::Check(_) => write!(std::io::stdout(), "{}", config.to_toml()).context("cannot print"),
        Task::Serve(sources) => serve(config, sources),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("weir: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// As many open files as the system lets us have: each connection is one.
fn raise_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn serve(config: config::Config, sources: config::Sources) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    raise_files();
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let done = runtime.block_on(app::run(config, sources));
    // Whatever still runs had its time.
    runtime.shutdown_background();
    Ok(done?)
}
