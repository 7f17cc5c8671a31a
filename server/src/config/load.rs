//! Lays the sources over each other: defaults < file < environment < flags.
//!
//! Every error names its source: file and line, variable, or flag.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::{Config, KEYS, Kind, ice, keys, kind};

/// Where values come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`
    pub file: Option<PathBuf>,
    /// The process's environment; names that do not start with `WEIR_` are ignored.
    pub environment: Vec<(String, String)>,
    /// Keys and values given as flags.
    pub flags: Vec<(&'static str, String)>,
}

/// What is wrong, and in which source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says something that is not understood.
    #[error("{}, line {line}: {message}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What.
        message: String,
    },
    /// A variable or flag says something that is not understood.
    #[error("{name}: {message}")]
    Override {
        /// The variable or flag.
        name: String,
        /// What.
        message: String,
    },
    /// All values are valid, but not together.
    #[error("{0}")]
    Together(String),
}

/// Reads the file if there is one and lays environment and flags over it.
pub fn load(sources: &Sources) -> Result<Config, Error> {
    let text = match &sources.file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.clone(), source })?,
        None => String::new(),
    };
    let path = sources.file.as_deref().unwrap_or(Path::new(""));
    let (mut table, mut config) = parse(&text).map_err(|(offset, message)| Error::File {
        path: path.to_owned(),
        line: text[..offset.min(text.len())].matches('\n').count() + 1,
        message,
    })?;
    for (name, key, value) in overrides(sources)? {
        config = overlay(&mut table, key, &value)
            .map_err(|message| Error::Override { name, message })?;
    }
    together(&config).map_err(Error::Together)?;
    Ok(config)
}

/// What cannot be seen from one value alone.
fn together(config: &Config) -> Result<(), String> {
    if config.http.listen.0.is_none() && config.admin.listen.0.is_none() {
        return Err("http.listen and admin.listen are both off: nothing to serve".to_owned());
    }
    config.live.check()?;
    ice::check(&config.webrtc)?;
    config.tls.check()?;
    if config.rtmp.tls_listen.0.is_some() && !config.tls.is_on() {
        return Err(
            "rtmp.tls_listen needs a certificate: set tls.cert and tls.key, or tls.acme".to_owned()
        );
    }
    if config.http.listen.0.is_none() && !config.tls.acme.is_empty() {
        return Err(
            "tls.acme needs http.listen: that is where the authority connects to".to_owned()
        );
    }
    Ok(())
}

/// What the file says; on errors the byte offset and the reason.
fn parse(text: &str) -> Result<(Table, Config), (usize, String)> {
    let located = |e: toml::de::Error| (e.span().map_or(0, |s| s.start), e.message().to_owned());
    let spanned = DeTable::parse(text).map_err(located)?;
    known(spanned.get_ref(), "")?;
    Ok((toml::from_str(text).map_err(located)?, toml::from_str(text).map_err(located)?))
}

/// Fails at the first key that nobody knows.
fn known(table: &DeTable<'_>, prefix: &str) -> Result<(), (usize, String)> {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        keys::check(&key).map_err(|reason| (name.span().start, reason))?;
        let below = format!("{key}.");
        match value.get_ref() {
            DeValue::Table(part) => known(part, &below)?,
            DeValue::Array(list) => {
                for item in list {
                    if let DeValue::Table(item) = item.get_ref() {
                        known(item, &below)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Environment, then flags: name as the user wrote it, key, text.
fn overrides(sources: &Sources) -> Result<Vec<(String, &'static str, String)>, Error> {
    let mut all = Vec::new();
    for (name, value) in &sources.environment {
        let found =
            variable(name).map_err(|message| Error::Override { name: name.clone(), message })?;
        all.extend(found.map(|key| (name.clone(), key, value.clone())));
    }
    for (key, value) in &sources.flags {
        all.push((format!("--{}", flag(key)), key, value.clone()));
    }
    Ok(all)
}

/// The flag of a key: `http.public_url` is `http-public-url`.
pub(crate) fn flag(key: &str) -> String {
    key.replace(['.', '_'], "-")
}

/// The key that a variable's name stands for; `None` if it is none of ours.
fn variable(name: &str) -> Result<Option<&'static str>, String> {
    let Some(rest) = name.strip_prefix("WEIR_") else { return Ok(None) };
    let rest = rest.to_ascii_lowercase();
    let key = rest.replace("__", ".");
    if let Some((known, _)) = KEYS.iter().find(|(known, _)| *known == key) {
        return Ok(Some(known));
    }
    if rest.contains("__") {
        return match keys::check(&key) {
            Err(reason) => Err(reason),
            Ok(()) => Err(format!("{key} can be set in the file only")),
        };
    }
    // One underscore too few is the likely typo; other names that begin alike are not ours.
    match KEYS.iter().find(|(known, _)| known.replace('.', "_") == rest) {
        Some((known, _)) => {
            let meant = known.replace('.', "__").to_ascii_uppercase();
            Err(format!("unknown variable; did you mean WEIR_{meant}?"))
        }
        None => Ok(None),
    }
}

fn overlay(table: &mut Table, key: &'static str, text: &str) -> Result<Config, String> {
    let value = match kind(key).expect("only known keys come here") {
        Kind::Text => Value::String(text.to_owned()),
        Kind::Number => {
            Value::Integer(text.parse().map_err(|_| format!("{text:?} is not a whole number"))?)
        }
        Kind::Switch => {
            Value::Boolean(text.parse().map_err(|_| format!("{text:?} is not true or false"))?)
        }
        Kind::List => text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| Value::String(item.to_owned()))
            .collect::<Vec<_>>()
            .into(),
    };
    keys::set(table, key, value);
    Config::deserialize(table.clone()).map_err(|e| e.message().to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn file(text: &str) -> Result<Config, (usize, String)> {
        parse(text).map(|(_, config)| config)
    }

    fn from(environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config, Error> {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        load(&Sources {
            file: None,
            environment: environment.iter().map(own).collect(),
            flags: flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        })
    }

    #[test]
    fn defaults_need_no_source() {
        let config = from(&[], &[]).unwrap();
        assert_eq!(config.http.listen.to_string(), "[::]:8080");
        assert_eq!(config.webrtc.listen.to_string(), "[::]:8080");
        assert_eq!(config.server.drain_timeout, Duration::from_secs(10));
        assert!(config.webrtc.wait_for_publisher);
        assert!(config.access.is_empty());
    }

    #[test]
    fn flags_win_over_environment_and_that_over_the_file() {
        let mut path = std::env::temp_dir();
        path.push(format!("weir-config-{}.toml", std::process::id()));
        std::fs::write(&path, "[http]\nlisten='127.0.0.1:1'\nrate=1\nbody_limit=1000\n").unwrap();
        let mut sources = Sources { file: Some(path.clone()), ..Sources::default() };
        sources.environment = vec![
            ("WEIR_HTTP__LISTEN".into(), "127.0.0.1:2".into()),
            ("WEIR_HTTP__RATE".into(), "2".into()),
            ("PATH".into(), "/bin".into()),
        ];
        sources.flags = vec![("http.listen", "127.0.0.1:3".into())];
        let config = load(&sources);
        std::fs::remove_file(&path).unwrap();
        let http = config.unwrap().http;
        assert_eq!(
            (http.listen.to_string().as_str(), http.rate, http.body_limit),
            ("127.0.0.1:3", 2, 1000)
        );
    }

    #[test]
    fn every_kind_of_value_comes_from_the_environment() {
        let config = from(
            &[
                ("WEIR_WEBRTC__ADVERTISE", "203.0.113.7, udp/live.example.org:9000"),
                ("WEIR_WEBRTC__WAIT_FOR_PUBLISHER", "false"),
                ("WEIR_WEBRTC__MAX_VIEWERS", "7"),
                ("WEIR_SERVER__DRAIN_TIMEOUT", "500ms"),
                ("WEIR_HTTP__LISTEN", ""),
                ("WEIR_ADMIN__LISTEN", "127.0.0.1:0"),
            ],
            &[],
        )
        .unwrap();
        assert_eq!(config.webrtc.advertise.len(), 2);
        assert!(!config.webrtc.wait_for_publisher);
        assert_eq!(config.webrtc.max_viewers, 7);
        assert_eq!(config.server.drain_timeout, Duration::from_millis(500));
        assert_eq!(config.http.listen.0, None);
    }

    #[test]
    fn errors_say_which_source_and_what_was_meant() {
        let says = |environment: &[(&str, &str)], flags: &[(&'static str, &str)]| {
            from(environment, flags).unwrap_err().to_string()
        };
        assert_eq!(
            says(&[("WEIR_HTTP__LISTN", "x")], &[]),
            "WEIR_HTTP__LISTN: unknown key http.listn; did you mean http.listen?"
        );
        assert_eq!(
            says(&[("WEIR_HTTP_LISTEN", "x")], &[]),
            "WEIR_HTTP_LISTEN: unknown variable; did you mean WEIR_HTTP__LISTEN?"
        );
        assert!(says(&[("WEIR_HTTP__RATE", "many")], &[]).starts_with("WEIR_HTTP__RATE: "));
        assert!(says(&[], &[("http.listen", "8080")]).starts_with("--http-listen: \"8080\""));
        assert!(says(&[("WEIR_HTTP__LISTEN", "")], &[]).contains("nothing to serve"));
    }

    #[test]
    fn encrypted_listeners_want_a_certificate_and_its_key() {
        let says = |flags: &[(&'static str, &str)]| from(&[], flags).map(|_| ());
        let error = |flags| says(flags).unwrap_err().to_string();
        assert!(error(&[("rtmp.tls_listen", "[::]:1936")]).contains("tls.cert and tls.key"));
        assert!(error(&[("tls.cert", "a.pem")]).contains("tls.key"));
        assert!(error(&[("tls.key", "a.pem")]).contains("tls.cert"));
        let both = [("tls.cert", "a.pem"), ("tls.key", "b.pem"), ("rtmp.tls_listen", "[::]:1936")];
        assert!(says(&both).is_ok());
    }

    #[test]
    fn lengths_of_files_are_what_players_take() {
        let says = |key, value| from(&[], &[(key, value)]).map(|_| ()).map_err(|e| e.to_string());
        for (key, good, bad) in [
            ("live.segment", ["0s", "1s", "20s"], "500ms"),
            ("live.part", ["0s", "100ms", "1s"], "3s"),
            ("live.window", ["0s", "6h", "24h"], "25h"),
        ] {
            good.iter().for_each(|value| assert_eq!(says(key, value), Ok(())));
            assert!(says(key, bad).unwrap_err().starts_with(key));
        }
        let both = |segment, part| from(&[], &[("live.segment", segment), ("live.part", part)]);
        assert!(both("4s", "2s").is_ok());
        assert!(both("1s", "600ms").unwrap_err().to_string().contains("half of live.segment"));
        assert!(says("live.preset", "nearest").is_err() && says("live.start", "never").is_err());
    }

    #[test]
    fn file_errors_say_the_line() {
        let line = |text: &str| {
            let (offset, message) = file(text).unwrap_err();
            (text[..offset].matches('\n').count() + 1, message)
        };
        let (at, message) = line("[http]\nrate = 1\nlisen = '[::]:1'\n");
        assert_eq!(
            (at, message.as_str()),
            (3, "unknown key http.lisen; did you mean http.listen?")
        );
        assert_eq!(line("\n[http]\nlisten = 7\n").0, 3);
        assert_eq!(line("\n[http]\nlisten = 'x'\n").0, 3);
        assert_eq!(line("[http\n").0, 1);
        assert_eq!(line("[server]\ndrain_timeout = 'soon'\n").0, 2);
        let (at, message) =
            line("[[access]]\naction = 'watch'\nopen = true\n[[access]]\nacton = 'api'\n");
        assert_eq!(
            (at, message.as_str()),
            (5, "unknown key access.acton; did you mean access.action?")
        );
        assert_eq!(
            line("[live]\nwindow = '1m'\n[[live.streams]]\nstream = 'tv'\nwindw = '1h'\n"),
            (5, "unknown key live.streams.windw; did you mean live.streams.window?".to_owned())
        );
        assert_eq!(line("[[live.streams]]\nstream = 'tv'\nwindow = 'long'\n").0, 3);
        assert!(line("[srt]\nlisten = ''\n").1.starts_with("unknown key srt"));
        assert!(line("[[access]]\naction = 'watch'\njwt = 'x'\n").1.contains("not there yet"));
    }

    #[test]
    fn what_is_printed_reads_back_and_hides_secrets() {
        let text = "[http]\npublic_url='https://a.example'\n\
                    [webrtc]\nice_servers=['turn:t.example']\nturn_secret='north-secret'\n\
                    [live]\npart='250ms'\n[[live.streams]]\nstream='tv-*'\npreset='far'\nwindow='2h'\n\
                    [[access]]\naction='publish'\ntoken='0123456789-secret'\n";
        let printed = file(text).unwrap().to_toml();
        assert!(!printed.contains("-secret"), "{printed}");
        let again = file(&printed).unwrap();
        assert_eq!(again.http.public_url.to_string(), "https://a.example");
        assert_eq!(again.access.len(), 1);
        assert_eq!((again.live.streams.len(), again.to_toml()), (1, printed));
    }

    #[test]
    fn a_reload_names_what_needs_a_restart() {
        let old = file("").unwrap();
        let new = file(
            "[http]\nrate=5\n[[live.streams]]\nstream='tv'\nwindow='1h'\n[data]\ndir='/x'\n[[access]]\naction='watch'\nopen=true\n",
        );
        assert_eq!(old.needs_restart(&new.unwrap()), ["http.rate", "data.dir", "live.streams"]);
    }
}
