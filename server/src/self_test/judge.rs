//! What the self-test says: from what was found, whom this server does not reach, and the line that mends it. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::Protocol;
use crate::net::addresses;

/// Of no machine here (RFC 5737): somebody outside.
pub(crate) const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// What [`Reach`] says, which needs no trial.
pub(crate) const EARLY: &str = "outside";

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Check {
    /// `outside`, an address such as `udp 192.0.2.7:8080`, a name, `buffers`, `files`
    pub(crate) what: String,
    pub(crate) result: Verdict,
    /// What was found, in plain words.
    pub(crate) text: String,
    /// What to do about it; `null` where nothing is to be done.
    pub(crate) fix: Option<String>,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// As it may well be meant.
    Note,
    /// Somebody may be missing something.
    Warning,
}

/// All that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) reach: Reach,
    pub(crate) tried: Vec<Tried>,
    /// Names in `webrtc.advertise` that have no address, and why.
    pub(crate) nowhere: Vec<(String, String)>,
    /// Where media comes in by TCP.
    pub(crate) tcp: Option<SocketAddr>,
    /// Bytes that the kernel holds for each media socket, in and out, and how many were wanted.
    pub(crate) buffers: Option<((usize, usize), usize)>,
    pub(crate) files: Files,
}

/// Where viewers might come from.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) webrtc: Option<SocketAddr>,
    /// `webrtc.advertise` names something.
    pub(crate) advertised: bool,
    /// Addresses of this machine.
    pub(crate) own: Vec<IpAddr>,
}

/// An address that clients are told, and what came of a check that was sent there from here.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    /// It is none of this machine's own: `webrtc.advertise` names it.
    pub(crate) advertised: bool,
    /// Where this server listens.
    pub(crate) bound: SocketAddr,
    pub(crate) heard: Heard,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// This server's own answer.
    Answer,
    /// Nothing in time.
    Nothing,
    /// Somebody else's answer, or none that could be read.
    Stranger,
    /// It could not be sent, and why.
    Refused(String),
}

/// How many files may be open, and for what.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// `None`: any number.
    pub(crate) limit: Option<u64>,
    /// By key of the configuration.
    pub(crate) places: Vec<(&'static str, u64)>,
    /// For all else.
    pub(crate) rest: u64,
}

/// Everything there is to say.
pub(crate) fn judge(found: &Found) -> Vec<Check> {
    let mut all = vec![found.reach.check()];
    all.extend(found.nowhere.iter().map(|(host, why)| nowhere(host, why)));
    all.extend(found.tried.iter().map(Tried::check));
    let by_tcp = found.tried.iter().any(|tried| tried.protocol == Protocol::Tcp);
    all.extend(found.tcp.filter(|_| !by_tcp).map(no_tcp));
    all.extend(found.buffers.map(|((receive, send), wanted)| buffers(receive, send, wanted)));
    all.push(found.files.check());
    all
}

/// All is well, in one line; `None`: it is not.
pub(crate) fn well(all: &[Check]) -> Option<String> {
    let asked = all.iter().filter(|check| check.is_address()).count();
    let said = match asked {
        0 => "nothing to be reached by WebRTC".to_owned(),
        1 => "the address that clients are told answers".to_owned(),
        _ => format!("all {asked} addresses that clients are told answer"),
    };
    let fine = all.iter().all(|check| check.result != Verdict::Warning);
    fine.then(|| format!("self-test: {said}; buffers and open files suffice"))
}

impl Check {
    fn new(result: Verdict, what: &str, text: String, fix: Option<String>) -> Self {
        Self { what: what.to_owned(), result, text, fix }
    }

    fn ok(what: &str, text: String) -> Self {
        Self::new(Verdict::Ok, what, text, None)
    }

    fn warning(what: &str, text: String, fix: String) -> Self {
        Self::new(Verdict::Warning, what, text, Some(fix))
    }

    fn is_address(&self) -> bool {
        self.what.starts_with("udp ") || self.what.starts_with("tcp ")
    }
}

/// As a line for people.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.fix.as_ref().map_or(Ok(()), |fix| write!(f, "; to mend it: {fix}"))
    }
}

impl Reach {
    /// What can be told before anything is tried.
    pub(crate) fn check(&self) -> Check {
        const WHAT: &str = EARLY;
        let Some(webrtc) = self.webrtc else {
            let text = "webrtc.listen is off: nobody can publish or watch".to_owned();
            return Check::warning(WHAT, text, "webrtc.listen = \"[::]:8080\"".to_owned());
        };
        if self.advertised {
            return Check::ok(WHAT, "webrtc.advertise names where viewers outside come".to_owned());
        }
        let port = webrtc.port();
        if webrtc.ip().to_canonical().is_loopback() {
            let text = format!("only this machine gets media: webrtc.listen is {webrtc}");
            return Check::warning(WHAT, text, format!("webrtc.listen = \"[::]:{port}\""));
        }
        let told = addresses::candidates(OUTSIDE, webrtc, &[], &self.own);
        let public = |v4: bool| told.iter().find(|a| a.is_ipv4() == v4 && is_public(a.ip()));
        let fix = format!(
            "webrtc.advertise = [\"the public address that leads here\"], and udp port {port} of it forwarded to this machine"
        );
        match (public(true), public(false)) {
            (Some(address), _) => Check::ok(WHAT, format!("viewers outside are told {address}")),
            (None, Some(six)) => {
                let text = format!(
                    "of this machine's addresses only IPv6 ones are public ({six}): media does not reach other networks without IPv6"
                );
                let fix = fix.replace("public address", "public IPv4 address");
                Check::warning(WHAT, text, fix)
            }
            (None, None) => {
                let text =
                    "this machine has no public address: media does not reach other networks";
                Check::warning(WHAT, text.to_owned(), fix)
            }
        }
    }
}

impl Tried {
    fn check(&self) -> Check {
        let what = format!("{} {}", self.protocol, self.address);
        let lost = self.address.ip().to_canonical().is_loopback()
            && !self.bound.ip().to_canonical().is_loopback();
        if self.advertised && lost {
            let text = format!("webrtc.advertise leads to {what}, where only this machine comes");
            let fix = "name an address, or a name that /etc/hosts does not give to this machine's own loopback";
            return Check::warning(&what, text, fix.to_owned());
        }
        let trouble = match &self.heard {
            Heard::Answer => return Check::ok(&what, format!("{what} answers from here")),
            Heard::Nothing => "does not answer from here".to_owned(),
            Heard::Stranger => "is answered by somebody else than this server".to_owned(),
            Heard::Refused(why) => format!("cannot be reached from here ({why})"),
        };
        let (protocol, port) = (self.protocol, self.bound.port());
        let allowed =
            format!("allowed in the firewall (such as: sudo ufw allow {port}/{protocol})");
        if self.advertised {
            let text = format!(
                "{what} of webrtc.advertise {trouble}. Many routers do not lead back in who comes from inside: if media \
                 reaches viewers outside all the same, this means nothing"
            );
            let fix = format!(
                "{what} forwarded to {protocol} port {port} of this machine, and that {allowed}"
            );
            return Check::warning(&what, text, fix);
        }
        let text = format!(
            "{what}, an address of this machine, {trouble}: viewers get no media there, because of a firewall or another \
             program that has the port"
        );
        Check::warning(&what, text, format!("{protocol} port {port} {allowed}"))
    }
}

fn nowhere(host: &str, why: &str) -> Check {
    let what = format!("webrtc.advertise {host}");
    let text =
        format!("{host} in webrtc.advertise cannot be looked up ({why}): clients are not told it");
    let fix = format!(
        "a DNS record for {host}, or its address in webrtc.advertise; it is looked up again by itself"
    );
    Check::warning(&what, text, fix)
}

fn no_tcp(bound: SocketAddr) -> Check {
    let text = format!(
        "viewers outside are told no address by TCP, since http.listen is {bound}: who has no UDP gets HLS"
    );
    let fix = "webrtc.advertise = [\"tcp/host:port\"], where that port is forwarded to http.listen as it comes".to_owned();
    Check::new(Verdict::Note, "tcp", text, Some(fix))
}

fn buffers(receive: usize, send: usize, wanted: usize) -> Check {
    const WHAT: &str = "buffers";
    let small = [(receive, "in", "rmem_max"), (send, "out", "wmem_max")];
    let small: Vec<_> = small.into_iter().filter(|(granted, ..)| *granted < wanted).collect();
    let list = |one: &dyn Fn(&(usize, &str, &str)) -> String, between: &str| {
        small.iter().map(one).collect::<Vec<_>>().join(between)
    };
    let wanted_kib = wanted >> 10;
    if small.is_empty() {
        return Check::ok(WHAT, format!("the kernel holds {wanted_kib} KiB for each media socket"));
    }
    let held = list(&|(granted, way, _)| format!("{} KiB {way}", granted >> 10), " and ");
    let lines = list(&|(_, _, key)| format!("net.core.{key}={wanted}"), " ");
    let text = format!(
        "the kernel holds only {held} for each media socket, of {wanted_kib} KiB wanted, and loses packets in bursts"
    );
    let fix = format!(
        "sudo sysctl -w {lines} (on the host of a container; in /etc/sysctl.d for after the next boot), and a restart"
    );
    Check::warning(WHAT, text, fix)
}

impl Files {
    fn check(&self) -> Check {
        const WHAT: &str = "files";
        let wanted = self.places.iter().fold(self.rest, |sum, (_, n)| sum.saturating_add(*n));
        let Some(limit) = self.limit.filter(|limit| *limit < wanted) else {
            return Check::ok(
                WHAT,
                format!("{wanted} files may be open, as many as can be needed"),
            );
        };
        let keys: Vec<String> = self.places.iter().map(|(key, n)| format!("{key} ({n})")).collect();
        let text = format!(
            "only {limit} files may be open, and {wanted} would be if all of {} came: who comes beyond is not served",
            keys.join(" and ")
        );
        let fix = format!(
            "LimitNOFILE={wanted} in a systemd unit, --ulimit nofile={wanted} for Docker, ulimit -n {wanted} in a shell; or \
             smaller maxima"
        );
        Check::warning(WHAT, text, fix)
    }
}

/// Neither private (RFC 1918), shared (RFC 6598) nor unique local (RFC 4193).
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || (a == 100 && b & 0xc0 == 64))
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// What it says, its words all there.
    #[track_caller]
    fn says(check: &Check, result: Verdict, words: &[&str]) {
        let line = check.to_string();
        assert_eq!(check.result, result, "{line}");
        assert_eq!(check.fix.is_some(), result != Verdict::Ok, "{line}");
        assert!(words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
    }

    #[test]
    fn whom_it_reaches_outside() {
        use Verdict::{Ok, Warning};
        /// `webrtc.listen`, whether something is advertised, own addresses; what is said.
        type Row = (&'static str, bool, &'static [&'static str], Verdict, &'static [&'static str]);
        let rows: [Row; 13] = [
            (
                "",
                false,
                &["203.0.113.7"],
                Warning,
                &["webrtc.listen is off", "webrtc.listen = \"[::]:8080\""],
            ),
            (
                "127.0.0.1:9",
                false,
                &["203.0.113.7"],
                Warning,
                &["only this machine", "webrtc.listen = \"[::]:9\""],
            ),
            ("[::ffff:127.0.0.1]:9", false, &["203.0.113.7"], Warning, &["only this machine"]),
            ("127.0.0.1:9", true, &[], Ok, &["webrtc.advertise"]),
            (
                "[::]:8080",
                false,
                &["192.168.1.5"],
                Warning,
                &["no public", "webrtc.advertise = [\"", "udp port 8080"],
            ),
            ("[::]:8080", false, &[], Warning, &["no public address"]),
            (
                "[::]:8080",
                false,
                &["100.64.0.1", "fd00::1", "fe80::1"],
                Warning,
                &["no public address"],
            ),
            ("[::]:8080", true, &["192.168.1.5"], Ok, &["webrtc.advertise"]),
            ("[::]:8080", false, &["192.168.1.5", "203.0.113.7"], Ok, &["203.0.113.7:8080"]),
            (
                "[::]:8080",
                false,
                &["192.168.1.5", "2001:db8::7"],
                Warning,
                &["without IPv6", "[2001:db8::7]:8080", "IPv4 address"],
            ),
            (
                "0.0.0.0:8080",
                false,
                &["192.168.1.5", "2001:db8::7"],
                Warning,
                &["no public address"],
            ),
            (
                "192.168.1.5:8080",
                false,
                &["192.168.1.5", "203.0.113.7"],
                Warning,
                &["no public address"],
            ),
            ("203.0.113.7:8080", false, &["192.168.1.5"], Ok, &["203.0.113.7:8080"]),
        ];
        for (listen, advertised, own, result, words) in rows {
            let own = own.iter().map(|ip| ip.parse().unwrap()).collect();
            let reach = Reach { webrtc: listen.parse().ok(), advertised, own };
            says(&reach.check(), result, words);
        }
    }

    fn tried(address: &str, advertised: bool, heard: Heard) -> Tried {
        let (protocol, bound) = (Protocol::Udp, at("[::]:8080"));
        Tried { protocol, address: at(address), advertised, bound, heard }
    }

    #[test]
    fn what_an_address_answers() {
        use Verdict::{Ok, Warning};
        let refused = || Heard::Refused("nothing listens there".to_owned());
        let (own, mapped) = ("192.0.2.1:8080", "203.0.113.5:4000");
        let rows: [(Tried, Verdict, &[&str]); 8] = [
            (tried(own, false, Heard::Answer), Ok, &["udp 192.0.2.1:8080 answers"]),
            (tried(mapped, true, Heard::Answer), Ok, &["udp 203.0.113.5:4000 answers"]),
            (tried("127.0.0.1:8080", false, Heard::Answer), Ok, &["answers"]),
            (
                tried(own, false, Heard::Nothing),
                Warning,
                &["an address of this machine", "does not answer", "sudo ufw allow 8080/udp"],
            ),
            (
                tried(own, false, refused()),
                Warning,
                &["(nothing listens there)", "another program"],
            ),
            (
                tried(mapped, true, Heard::Nothing),
                Warning,
                &[
                    "from inside",
                    "this means nothing",
                    "udp 203.0.113.5:4000 forwarded to udp port 8080",
                ],
            ),
            (tried(mapped, true, Heard::Stranger), Warning, &["somebody else", "webrtc.advertise"]),
            (
                tried("127.0.1.1:8080", true, Heard::Answer),
                Warning,
                &["only this machine", "/etc/hosts"],
            ),
        ];
        for (tried, result, words) in rows {
            says(&tried.check(), result, words);
        }
        let here =
            Tried { bound: at("127.0.0.1:8080"), ..tried("127.0.0.1:9", true, Heard::Answer) };
        says(&here.check(), Ok, &["answers"]);
    }

    fn files(limit: u64) -> Files {
        let places = vec![("http.max_connections", 10_000), ("rtmp.max_connections", 1_000)];
        Files { limit: Some(limit), places, rest: 100 }
    }

    #[test]
    fn buffers_and_files_are_named_with_the_line_that_mends_them() {
        use Verdict::{Ok, Warning};
        let wanted = 4 << 20;
        says(&buffers(wanted, wanted, wanted), Ok, &["4096 KiB"]);
        let both = [
            "only 128 KiB in and 64 KiB out",
            "net.core.rmem_max=4194304 net.core.wmem_max=4194304",
        ];
        says(&buffers(128 << 10, 64 << 10, wanted), Warning, &both);
        let out = buffers(wanted, 208 << 10, wanted);
        says(&out, Warning, &["only 208 KiB out", "sysctl -w net.core.wmem_max=4194304 "]);
        assert!(!out.to_string().contains("rmem_max"));

        says(&files(11_100).check(), Ok, &["11100"]);
        says(&Files { limit: None, ..files(0) }.check(), Ok, &["11100"]);
        let few = [
            "only 1024 files",
            "http.max_connections (10000)",
            "LimitNOFILE=11100",
            "ulimit -n 11100",
        ];
        says(&files(1024).check(), Warning, &few);
        let many = Files { places: vec![("a", u64::MAX), ("b", 1)], ..files(9) };
        says(&many.check(), Warning, &["only 9 files"]);
    }

    #[test]
    fn all_is_said_in_one_line_when_all_is_well() {
        let found = Found {
            reach: Reach {
                webrtc: Some(at("[::]:8080")),
                advertised: false,
                own: vec!["203.0.113.7".parse().unwrap()],
            },
            tried: vec![tried("203.0.113.7:8080", false, Heard::Answer)],
            nowhere: Vec::new(),
            tcp: Some(at("127.0.0.1:80")),
            buffers: Some(((4 << 20, 4 << 20), 4 << 20)),
            files: files(20_000),
        };
        let all = judge(&found);
        let whats: Vec<&str> = all.iter().map(|check| check.what.as_str()).collect();
        assert_eq!(whats, ["outside", "udp 203.0.113.7:8080", "tcp", "buffers", "files"]);
        says(&all[2], Verdict::Note, &["http.listen is 127.0.0.1:80", "tcp/host:port"]);
        let line =
            "self-test: the address that clients are told answers; buffers and open files suffice";
        assert_eq!(well(&all).as_deref(), Some(line));

        let by_tcp = Tried { protocol: Protocol::Tcp, ..found.tried[0].clone() };
        let nowhere = vec![("a.example".to_owned(), "no such name".to_owned())];
        let more = Found { tried: vec![found.tried[0].clone(), by_tcp], nowhere, ..found };
        let all = judge(&more);
        says(&all[1], Verdict::Warning, &["a.example", "(no such name)", "a DNS record"]);
        assert_eq!(all[3].what, "tcp 203.0.113.7:8080");
        assert_eq!((all.len(), well(&all)), (6, None));
        let well = well(&judge(&Found { nowhere: Vec::new(), ..more }));
        assert!(well.is_some_and(|line| line.contains("all 2 addresses")));
    }
}
