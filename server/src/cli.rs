//! Flags and subcommands. Every configuration key has its flag: `http.listen` is `--http-listen`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};

use crate::config::{KEYS, Sources, flag};

/// What to do.
#[derive(Debug)]
pub enum Task {
    /// Serve.
    Serve(Sources),
    /// Validate and print the effective configuration.
    Check(Sources),
}

/// Reads the command line; `--help`, `--version` and mistakes come back as clap's error.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Task, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let environment = environment
        .into_iter()
        .map(|(name, value)| (text(&name), text(&value)))
        .filter(|(name, _)| name.starts_with("WEIR_"))
        .collect();
    Ok(match matches.subcommand() {
        Some((_, inner)) => Task::Check(sources(inner, environment)),
        None => Task::Serve(sources(&matches, environment)),
    })
}

fn text(os: &OsString) -> String {
    os.to_string_lossy().into_owned()
}

fn sources(matches: &ArgMatches, environment: Vec<(String, String)>) -> Sources {
    let value = |key| matches.get_one::<String>(key).cloned();
    Sources {
        file: matches.get_one::<PathBuf>("config").cloned(),
        environment,
        flags: KEYS.iter().filter_map(|(key, _)| Some((*key, value(key)?))).collect(),
    }
}

fn command() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(ValueParser::path_buf())
        .global(true)
        .help("TOML file");
    let flags = KEYS.iter().map(|(key, help)| {
        Arg::new(*key)
            .long(flag(key))
            .value_name("VALUE")
            .allow_hyphen_values(true)
            .global(true)
            .hide_short_help(false)
            .help(*help)
    });
    Command::new("weir")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Takes a live stream in by WHIP and forwards it to WebRTC viewers by WHEP")
        .after_help(
            "Every flag is also a key of the file (--http-listen is listen in [http]) and an \
             environment variable (WEIR_HTTP__LISTEN). Flags win over the environment, that over \
             the file. Lists are separated by commas. RUST_LOG sets what is logged.",
        )
        .subcommand(
            Command::new("check").about(
                "Validates the configuration and prints it: exit code 0, or 2 with the error",
            ),
        )
        .arg(config)
        .args(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Task, clap::Error> {
        let arguments = ["weir"].iter().chain(arguments).map(OsString::from);
        let environment = [("WEIR_HTTP__RATE", "3"), ("HOME", "/root")];
        parse(arguments, environment.map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn flags_work_before_and_after_the_subcommand() {
        for arguments in [
            ["--config", "a.toml", "--http-listen", "[::]:1", "check"],
            ["check", "--config", "a.toml", "--http-listen", "[::]:1"],
        ] {
            let Task::Check(sources) = run(&arguments).unwrap() else { panic!("{arguments:?}") };
            assert_eq!(sources.file, Some("a.toml".into()));
            assert_eq!(sources.flags, [("http.listen", "[::]:1".to_owned())]);
            assert_eq!(sources.environment, [("WEIR_HTTP__RATE".to_owned(), "3".to_owned())]);
        }
    }

    #[test]
    fn an_empty_value_is_a_value() {
        let Task::Serve(sources) = run(&["--webrtc-listen", ""]).unwrap() else { panic!() };
        assert_eq!(sources.flags, [("webrtc.listen", String::new())]);
    }

    #[test]
    fn mistakes_help_and_version_end_the_program() {
        use clap::error::ErrorKind;
        for (arguments, kind) in [
            (&["--http-lisen", "x"][..], ErrorKind::UnknownArgument),
            (&["--help"], ErrorKind::DisplayHelp),
            (&["--version"], ErrorKind::DisplayVersion),
            (&["--http-listen"], ErrorKind::InvalidValue),
        ] {
            assert_eq!(run(arguments).unwrap_err().kind(), kind, "{arguments:?}");
        }
        command().debug_assert();
    }
}
