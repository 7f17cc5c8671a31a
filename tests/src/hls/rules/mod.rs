//! The checklist of the audience path, one rule per line of it. A rule says how often it could be looked at, or
//! what breaks it. Nothing is asked here: all is in the recording.

use super::seen::Seen;
use super::watch::Recording;

mod http;
mod media;
mod multivariant;
mod playlist;
mod reload;

/// A line of the checklist.
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// How often it was looked at, or what breaks it.
    pub check: fn(&Seen<'_>) -> Result<usize, String>,
}

/// All lines but those that a stream must end for, see [`ENDING`].
pub fn watching() -> impl Iterator<Item = &'static Rule> {
    let all = [playlist::RULES, multivariant::RULES, reload::RULES, http::RULES, media::RULES];
    all.into_iter().flatten()
}

/// Lines that can be looked at when a publisher was lost and when the stream is over.
pub fn ending() -> impl Iterator<Item = &'static Rule> {
    reload::ENDING.iter()
}

/// Rules that are broken, or that nothing was found to look at for.
pub fn broken<'r>(recording: &Recording, rules: impl Iterator<Item = &'r Rule>) -> Vec<String> {
    let seen = match Seen::new(recording) {
        Ok(seen) => seen,
        Err(why) => return vec![format!("readable: {why}")],
    };
    let verdict = |rule: &Rule| match (rule.check)(&seen) {
        Ok(0) => Some(format!("{}: nothing of it was seen", rule.name)),
        Ok(_) => None,
        Err(why) => Some(format!("{}: {why}", rule.name)),
    };
    rules.filter_map(verdict).collect()
}

/// Counts what is looked at, and stops at what is wrong.
#[derive(Default)]
struct Count(usize);

impl Count {
    fn check(&mut self, right: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
        self.0 += 1;
        if right { Ok(()) } else { Err(wrong()) }
    }
}
