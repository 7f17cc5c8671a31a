//! Who may publish, watch and use the API: the one [`Access::authorize`] seam that every protocol
//! asks.
//!
//! As soon as one rule of `[[access]]` is about an action, the rules decide about it alone: one that
//! matches the stream and grants is enough, without one the answer is no. While none is, watching is
//! open, and publishing and the API are for programs on this machine and for those who know the
//! token that the server made.

use std::net::IpAddr;
use std::sync::{Arc, RwLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::{Deserialize, Serialize, Serializer};
use signaling::Problem;

use crate::pattern::Pattern;

/// The keys of a rule.
pub const KEYS: &[&str] = &["action", "stream", "token", "open"];

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Send a stream.
    Publish,
    /// Receive one.
    Watch,
    /// Read and command the server.
    Api,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's address: the connection's peer, or what a trusted proxy says.
    pub address: IpAddr,
    /// `Ok` for a program on this machine that nothing stands in front of, else why it is none.
    pub local: Result<(), &'static str>,
    /// The token that came along.
    pub token: Option<String>,
    /// How it could have sent one.
    pub by: By,
}

/// What a caller speaks: that decides how it sends a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// In a header, or in the URL's query.
    Http,
    /// In a query behind the stream key.
    Rtmp,
}

impl By {
    const fn how(self) -> &'static str {
        match self {
            Self::Http => "send it as `Authorization: Bearer <token>` or as `?token=<token>`",
            Self::Rtmp => "write `?token=<token>` behind the stream key",
        }
    }
}

/// A text that must not be seen: it prints and serializes as `***`, unless it is empty.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn is(&self, other: &str) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), other.as_bytes()).is_ok()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

/// One `[[access]]` entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Rule {
    action: Action,
    stream: Pattern,
    grant: Grant,
}

#[derive(Clone, Debug)]
enum Grant {
    Open,
    Token(Secret),
}

/// A rule as the file says it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    action: Action,
    #[serde(default)]
    stream: Pattern,
    token: Option<Secret>,
    open: Option<bool>,
}

impl TryFrom<Written> for Rule {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let grant = match (written.token, written.open) {
            (Some(token), None) if token.0.is_empty() => return Err("the token is empty"),
            (Some(token), None) => Grant::Token(token),
            (None, Some(true)) => Grant::Open,
            (None, Some(false)) => return Err("open = false grants nothing; leave the rule out"),
            (Some(_), Some(_)) => return Err("a rule has either a token or open = true, not both"),
            (None, None) => return Err("a rule needs a token or open = true"),
        };
        Ok(Self { action: written.action, stream: written.stream, grant })
    }
}

impl From<Rule> for Written {
    fn from(rule: Rule) -> Self {
        let (token, open) = match rule.grant {
            Grant::Open => (None, Some(true)),
            Grant::Token(token) => (Some(token), None),
        };
        Self { action: rule.action, stream: rule.stream, token, open }
    }
}

impl Rule {
    /// A request that is about no single stream is matched by `*` only.
    fn matches(&self, stream: Option<&stream::Name>) -> bool {
        match stream {
            Some(name) => self.stream.matches(name),
            None => self.stream.is_any(),
        }
    }

    fn grants(&self, token: Option<&str>) -> bool {
        match (&self.grant, token) {
            (Grant::Open, _) => true,
            (Grant::Token(wanted), Some(token)) => wanted.is(token),
            (Grant::Token(_), None) => false,
        }
    }
}

/// The rules in force and the token that the server made.
#[derive(Debug)]
pub struct Access {
    rules: RwLock<Arc<[Rule]>>,
    made: Secret,
}

impl Access {
    /// `made` opens what has no rule.
    pub fn new(rules: Vec<Rule>, made: Secret) -> Self {
        Self { rules: RwLock::new(rules.into()), made }
    }

    /// Puts other rules in force.
    pub fn reload(&self, rules: Vec<Rule>) {
        *self.rules.write().expect("nobody panics while holding this lock") = rules.into();
    }

    /// The token that the server made, if it opens anything.
    pub fn made_token(&self) -> Option<&str> {
        let rules = self.rules();
        let needed = |action| !rules.iter().any(|rule| rule.action == action);
        (needed(Action::Publish) || needed(Action::Api)).then(|| self.made.reveal())
    }

    /// May `caller` do this? `stream` is `None` for what is about no single stream.
    pub fn authorize(
        &self,
        action: Action,
        stream: Option<&stream::Name>,
        caller: &Caller,
    ) -> Result<(), Problem> {
        let rules = self.rules();
        let mut about = rules.iter().filter(|rule| rule.action == action).peekable();
        let token = caller.token.as_deref();
        if about.peek().is_none() {
            return match (action, caller.local, token) {
                (Action::Watch, _, _) | (_, Ok(()), _) => Ok(()),
                (_, _, Some(token)) if self.made.is(token) => Ok(()),
                (_, Err(why), _) => Err(denied(caller, Some(why))),
            };
        }
        let granted = about.any(|rule| rule.matches(stream) && rule.grants(token));
        if granted { Ok(()) } else { Err(denied(caller, None)) }
    }

    /// True if everybody may do this, without being asked who it is: watching, while no rule is about it.
    pub fn is_open(&self, action: Action) -> bool {
        let rules = self.rules.read().expect("nobody panics while holding this lock");
        action == Action::Watch && !rules.iter().any(|rule| rule.action == action)
    }

    fn rules(&self) -> Arc<[Rule]> {
        self.rules.read().expect("nobody panics while holding this lock").clone()
    }
}

fn denied(caller: &Caller, not_local: Option<&str>) -> Problem {
    let how = caller.by.how();
    let which = match not_local {
        Some(why) => format!("{why}, so this needs the token that weir printed at its start"),
        None => "this needs a token".to_owned(),
    };
    if caller.token.is_some() {
        Problem::new(
            403,
            "wrong-token",
            "Not allowed",
            format!("{which}; the one given is another: {how}"),
        )
    } else {
        Problem::new(401, "token-needed", "Not allowed without a token", format!("{which}; {how}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(rules: &str) -> Access {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            access: Vec<Rule>,
        }
        let file: File = toml::from_str(rules).unwrap();
        Access::new(file.access, Secret::new("made".into()))
    }

    fn caller(local: bool, token: Option<&str>) -> Caller {
        Caller {
            address: "192.0.2.1".parse().unwrap(),
            local: if local { Ok(()) } else { Err("you are elsewhere") },
            token: token.map(str::to_owned),
            by: By::Http,
        }
    }

    /// 0 for granted, else the status.
    fn ask(access: &Access, action: Action, stream: &str, local: bool, token: Option<&str>) -> u16 {
        let name = stream::Name::new(stream).ok();
        match access.authorize(action, name.as_ref(), &caller(local, token)) {
            Ok(()) => 0,
            Err(problem) => problem.status,
        }
    }

    #[test]
    fn without_rules_watching_is_open_and_the_rest_is_for_this_machine() {
        let none = access("");
        for (action, local, token, expected) in [
            (Action::Watch, false, None, 0),
            (Action::Watch, false, Some("bad"), 0),
            (Action::Publish, true, None, 0),
            (Action::Publish, false, None, 401),
            (Action::Publish, false, Some("bad"), 403),
            (Action::Publish, false, Some(""), 403),
            (Action::Publish, false, Some("made"), 0),
            (Action::Api, true, None, 0),
            (Action::Api, false, None, 401),
            (Action::Api, false, Some("made"), 0),
        ] {
            assert_eq!(ask(&none, action, "demo", local, token), expected, "{action:?} {token:?}");
        }
        assert_eq!(none.made_token(), Some("made"));
    }

    #[test]
    fn a_refusal_says_how_this_caller_sends_a_token() {
        let none = access("");
        for token in [None, Some("bad")] {
            for (by, says, says_not) in [
                (By::Http, "Authorization: Bearer", "stream key"),
                (By::Rtmp, "`?token=<token>` behind the stream key", "Bearer"),
            ] {
                let caller = Caller { by, ..caller(false, token) };
                let detail = none.authorize(Action::Publish, None, &caller).unwrap_err().detail;
                assert!(detail.contains(says) && !detail.contains(says_not), "{detail}");
            }
        }
    }

    #[test]
    fn rules_about_an_action_replace_its_default_for_every_stream() {
        let rules = access(
            "[[access]]\naction='publish'\nstream='show-*'\ntoken='a'\n\
             [[access]]\naction='publish'\nstream='show-2'\ntoken='b'\n\
             [[access]]\naction='watch'\nstream='show-*'\ntoken='w'\n\
             [[access]]\naction='watch'\nstream='free-*'\nopen=true\n",
        );
        for (action, stream, local, token, expected) in [
            (Action::Publish, "show-1", true, None, 401),
            (Action::Publish, "show-1", true, Some("a"), 0),
            (Action::Publish, "show-1", false, Some("b"), 403),
            (Action::Publish, "show-1", false, Some("made"), 403),
            (Action::Publish, "show-2", false, Some("a"), 0),
            (Action::Publish, "show-2", false, Some("b"), 0),
            (Action::Publish, "demo", true, None, 401),
            (Action::Publish, "demo", false, Some("a"), 403),
            (Action::Publish, "demo", true, Some("made"), 403),
            (Action::Watch, "show-1", true, None, 401),
            (Action::Watch, "show-1", false, Some("w"), 0),
            (Action::Watch, "demo", false, None, 401),
            (Action::Watch, "free-1", false, None, 0),
            (Action::Api, "", true, None, 0),
            (Action::Api, "", false, Some("made"), 0),
        ] {
            let got = ask(&rules, action, stream, local, token);
            assert_eq!(got, expected, "{action:?} {stream} {local} {token:?}");
        }
        rules.reload(access("[[access]]\naction='publish'\ntoken='c'\n").rules().to_vec());
        assert_eq!(ask(&rules, Action::Publish, "demo", true, Some("c")), 0);
        assert_eq!(ask(&rules, Action::Watch, "show-1", false, None), 0);
    }

    #[test]
    fn what_is_about_no_single_stream_is_matched_by_a_star_only() {
        let one = access("[[access]]\naction='api'\nstream='show'\ntoken='a'\n");
        assert_eq!(ask(&one, Action::Api, "show", true, Some("a")), 0);
        assert_eq!(ask(&one, Action::Api, "", true, Some("a")), 403);
    }

    #[test]
    fn the_made_token_is_told_only_while_it_opens_something() {
        let half = access("[[access]]\naction='publish'\ntoken='a'\n");
        assert_eq!(half.made_token(), Some("made"));
        let covered = access(
            "[[access]]\naction='publish'\ntoken='a'\n[[access]]\naction='api'\ntoken='b'\n",
        );
        assert_eq!(covered.made_token(), None);
    }

    #[test]
    fn rules_that_say_nothing_or_too_much_are_refused() {
        for text in [
            "action='publish'",
            "action='publish'\nopen=false",
            "action='publish'\ntoken=''",
            "action='publish'\ntoken='a'\nopen=true",
            "action='delete'\nopen=true",
            "action='watch'\nstream=''\nopen=true",
            "action='watch'\nstream='a/b'\nopen=true",
            "token='a'",
        ] {
            assert!(toml::from_str::<Rule>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let rule: Rule = toml::from_str("action='watch'\ntoken='hidden'").unwrap();
        assert!(!format!("{rule:?}").contains("hidden"));
    }
}
