//! `webrtc.advertise`: addresses that clients are told besides this machine's own. Where a name leads changes (a line at
//! home gets another address), so names are looked up again and again; one that cannot be keeps what it had.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::{Advertise, Protocol};

/// From one look to the next.
const AGAIN: Duration = Duration::from_secs(60);
/// The same while there is a name without any address.
const SOON: Duration = Duration::from_secs(5);
/// The start does not wait longer for names.
const FIRST: Duration = Duration::from_secs(2);

/// What the entries stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Candidates by UDP.
    pub udp: Vec<SocketAddr>,
    /// Candidates by TCP.
    pub tcp: Vec<SocketAddr>,
    /// Names that have no address, and why.
    pub nowhere: Vec<(String, String)>,
}

/// What the entries stand for now.
#[derive(Clone, Debug)]
pub struct Advertised(watch::Receiver<Told>);

impl Advertised {
    /// Now.
    pub fn now(&self) -> Told {
        self.0.borrow().clone()
    }
}

impl Default for Advertised {
    /// Nothing.
    fn default() -> Self {
        Self(watch::channel(Told::default()).1)
    }
}

/// What is known of the entries.
#[derive(Debug)]
struct Book {
    entries: Vec<Advertise>,
    /// Ports of entries without one; `None`: there is nothing by TCP.
    udp: u16,
    tcp: Option<u16>,
    names: BTreeMap<String, Name>,
}

#[derive(Debug, Default)]
struct Name {
    addresses: Vec<IpAddr>,
    problem: Option<String>,
    looked: bool,
}

/// What there is to say of a name.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Moved(String),
    Lost(String),
}

impl Book {
    fn new(entries: &[Advertise], udp: u16, tcp: Option<u16>) -> Self {
        let hosts = entries.iter().map(|entry| entry.host.clone());
        let names = hosts.filter(|host| host.parse::<IpAddr>().is_err());
        let names = names.map(|host| (host, Name::default())).collect();
        Self { entries: entries.to_vec(), udp, tcp, names }
    }

    /// A look has found this.
    fn note(&mut self, host: &str, found: Result<Vec<IpAddr>, String>) -> Option<News> {
        let name = self.names.get_mut(host)?;
        let first = !std::mem::replace(&mut name.looked, true);
        let found = found.and_then(|mut all| {
            all.retain(|ip| !ip.is_unspecified());
            if all.is_empty() { Err("it has no address".to_owned()) } else { Ok(all) }
        });
        let before = list(&name.addresses);
        match found {
            Ok(all) => {
                name.problem = None;
                // Name servers turn the order round; that is no change.
                let same = |a: &[IpAddr], b: &[IpAddr]| a.iter().all(|ip| b.contains(ip));
                if same(&all, &name.addresses) && same(&name.addresses, &all) {
                    return None;
                }
                name.addresses = all;
                let was = if before.is_empty() { before } else { format!(" and was {before}") };
                let now = list(&name.addresses);
                let text = format!("{host} is {now} now{was}: sessions are told so from now on");
                (!first).then_some(News::Moved(text))
            }
            Err(why) => {
                let known = name.problem.replace(why.clone()).is_some();
                let rest = match before.is_empty() {
                    true => "clients are not told it until it can".to_owned(),
                    false => format!("{before} stays in use"),
                };
                let text = format!("{host} cannot be looked up ({why}); {rest}");
                (!known).then_some(News::Lost(text))
            }
        }
    }

    fn told(&self) -> Told {
        let nowhere = self.names.iter().filter(|(_, name)| name.addresses.is_empty());
        let nowhere = nowhere.map(|(host, name)| {
            (host.clone(), name.problem.clone().unwrap_or_else(|| "nobody has looked".to_owned()))
        });
        Told {
            udp: self.of(Protocol::Udp, self.udp),
            tcp: self.tcp.map(|port| self.of(Protocol::Tcp, port)).unwrap_or_default(),
            nowhere: nowhere.collect(),
        }
    }

    fn of(&self, protocol: Protocol, port: u16) -> Vec<SocketAddr> {
        let mut all = Vec::new();
        for entry in self.entries.iter().filter(|e| e.protocol.is_none_or(|p| p == protocol)) {
            let fixed = entry.host.parse().ok().into_iter();
            let named = self.names.get(&entry.host).into_iter().flat_map(|name| &name.addresses);
            for ip in fixed.chain(named.copied()).filter(|ip: &IpAddr| !ip.is_unspecified()) {
                let address = SocketAddr::new(ip, entry.port.unwrap_or(port));
                if !all.contains(&address) {
                    all.push(address);
                }
            }
        }
        all
    }
}

fn list(all: &[IpAddr]) -> String {
    all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" and ")
}

/// Who looks names up.
pub(crate) trait Lookup {
    /// The addresses of a name, or why there are none.
    fn look(
        &self,
        host: String,
    ) -> impl Future<Output = Result<Vec<IpAddr>, String>> + Send + 'static;
}

impl<L, F> Lookup for L
where
    L: Fn(String) -> F,
    F: Future<Output = Result<Vec<IpAddr>, String>> + Send + 'static,
{
    fn look(
        &self,
        host: String,
    ) -> impl Future<Output = Result<Vec<IpAddr>, String>> + Send + 'static {
        self(host)
    }
}

/// Keeps what clients are told up to date.
#[derive(Debug)]
pub(crate) struct Lookout<L> {
    book: Book,
    told: watch::Sender<Told>,
    lookup: L,
}

/// Looks names up once, and hands out who goes on with that.
pub(crate) async fn open<L: Lookup>(
    entries: &[Advertise],
    (udp, tcp): (u16, Option<u16>),
    lookup: L,
) -> (Advertised, Lookout<L>) {
    let (told, now) = watch::channel(Told::default());
    let mut lookout = Lookout { book: Book::new(entries, udp, tcp), told, lookup };
    lookout.look(FIRST).await;
    (Advertised(now), lookout)
}

impl<L: Lookup> Lookout<L> {
    /// Looks again every minute, and when `now` says so; `after` hears of each change and of each such wish.
    pub(crate) async fn run(
        mut self,
        now: Arc<Notify>,
        after: Arc<Notify>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let pause = match (self.book.names.is_empty(), self.told.borrow().nowhere.is_empty()) {
                (true, _) => Duration::MAX,
                (_, true) => AGAIN,
                (_, false) => SOON,
            };
            let asked = tokio::select! {
                asked = timeout(pause, now.notified()) => asked.is_ok(),
                _ = stop.wait_for(|stop| *stop) => return,
            };
            // Nothing else waits for it.
            if self.look(AGAIN).await || asked {
                after.notify_one();
            }
        }
    }

    /// One look at all names, each within this time; true if something is other than before.
    async fn look(&mut self, limit: Duration) -> bool {
        let mut looks = JoinSet::new();
        for host in self.book.names.keys() {
            let (host, found) = (host.clone(), self.lookup.look(host.clone()));
            looks.spawn(async move {
                let late = |_| Err("no name server answers in time".to_owned());
                (host, timeout(limit, found).await.unwrap_or_else(late))
            });
        }
        while let Some(looked) = looks.join_next().await {
            let Ok((host, found)) = looked else { continue };
            match self.book.note(&host, found) {
                Some(News::Moved(text)) => tracing::info!("webrtc.advertise: {text}"),
                Some(News::Lost(text)) => tracing::warn!("webrtc.advertise: {text}"),
                None => {}
            }
        }
        let told = self.book.told();
        self.told.send_if_modified(|before| {
            let changed = *before != told;
            *before = told;
            changed
        })
    }
}

/// Asks the system.
pub(crate) async fn lookup(host: String) -> Result<Vec<IpAddr>, String> {
    let found = tokio::net::lookup_host((host.as_str(), 0)).await;
    found.map(|all| all.map(|address| address.ip()).collect()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn ips(all: &[&str]) -> Vec<IpAddr> {
        all.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    fn book(entries: &[&str], tcp: Option<u16>) -> Book {
        let entries: Vec<Advertise> = entries.iter().map(|e| e.parse().unwrap()).collect();
        Book::new(&entries, 8080, tcp)
    }

    fn shown(all: &[SocketAddr]) -> Vec<String> {
        all.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn every_form_stands_for_its_addresses() {
        for (entry, udp, tcp) in [
            ("192.0.2.7", &["192.0.2.7:8080"][..], &["192.0.2.7:80"][..]),
            ("192.0.2.7:9", &["192.0.2.7:9"], &["192.0.2.7:9"]),
            ("udp/192.0.2.7:9", &["192.0.2.7:9"], &[]),
            ("tcp/192.0.2.7:9", &[], &["192.0.2.7:9"]),
            ("udp/192.0.2.7", &["192.0.2.7:8080"], &[]),
            ("2001:db8::7", &["[2001:db8::7]:8080"], &["[2001:db8::7]:80"]),
            ("[2001:db8::7]", &["[2001:db8::7]:8080"], &["[2001:db8::7]:80"]),
            ("[2001:db8::7]:9", &["[2001:db8::7]:9"], &["[2001:db8::7]:9"]),
            ("tcp/[2001:db8::7]:9", &[], &["[2001:db8::7]:9"]),
            ("0.0.0.0", &[], &[]),
        ] {
            let told = book(&[entry, entry], Some(80)).told();
            assert_eq!((shown(&told.udp), shown(&told.tcp)), (own(udp), own(tcp)), "{entry}");
            assert_eq!(shown(&book(&[entry], None).told().tcp), own(&[]), "{entry}");
        }
        let mut named = book(&["a.example:9", "tcp/b.example", "a.example"], Some(80));
        assert_eq!(named.told().nowhere.len(), 2);
        assert_eq!(named.note("a.example", Ok(ips(&["192.0.2.1", "2001:db8::1"]))), None);
        let told = named.told();
        let all =
            ["192.0.2.1:9", "[2001:db8::1]:9", "192.0.2.1:8080", "[2001:db8::1]:8080"].as_slice();
        assert_eq!((shown(&told.udp), told.nowhere.len()), (own(all), 1));
        assert_eq!(told.tcp.len(), 4);
    }

    fn own(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_name_that_moves_is_followed_and_one_that_is_lost_keeps_its_addresses() {
        let mut book = book(&["a.example"], None);
        let gone = || Err("no such name".to_owned());
        let text = |news| match news {
            Some(News::Moved(text) | News::Lost(text)) => text,
            None => String::new(),
        };
        assert!(text(book.note("a.example", gone())).contains("not told it"));
        assert_eq!(book.told().nowhere, [("a.example".to_owned(), "no such name".to_owned())]);
        assert_eq!(book.note("a.example", gone()), None, "said once");
        let found = text(book.note("a.example", Ok(ips(&["192.0.2.1", "192.0.2.2"]))));
        assert!(found.starts_with("a.example is 192.0.2.1 and 192.0.2.2 now: "), "{found}");
        assert_eq!(book.note("a.example", Ok(ips(&["192.0.2.2", "192.0.2.1"]))), None, "turned");
        assert_eq!(shown(&book.told().udp), ["192.0.2.1:8080", "192.0.2.2:8080"]);
        for (nothing, said) in [(gone(), true), (Ok(vec![]), false), (Ok(ips(&["::"])), false)] {
            assert_eq!(book.note("a.example", nothing).is_some(), said);
            assert_eq!((book.told().udp.len(), book.told().nowhere.len()), (2, 0));
        }
        let moved = text(book.note("a.example", Ok(ips(&["192.0.2.3"]))));
        assert!(moved.contains("is 192.0.2.3 now and was 192.0.2.1 and 192.0.2.2"), "{moved}");
        assert_eq!(shown(&book.told().udp), ["192.0.2.3:8080"]);
        let lost = text(book.note("a.example", gone()));
        assert!(lost.contains("(no such name); 192.0.2.3 stays in use"), "{lost}");
        assert_eq!(book.note("b.example", Ok(ips(&["192.0.2.9"]))), None, "nobody asked for it");
    }

    #[tokio::test]
    async fn who_asks_for_a_look_gets_one_and_names_that_are_slow_hold_nobody_up() {
        let answers = Arc::new(Mutex::new(vec![Ok(ips(&["192.0.2.2"])), Ok(ips(&["192.0.2.1"]))]));
        let lookup = |host: String| {
            let next = if host == "a.example" { answers.lock().unwrap().pop() } else { None };
            async move {
                match next {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        };
        let entries = ["a.example", "slow.example"].map(|e| e.parse().unwrap());
        let started = crate::clock::now();
        let (advertised, lookout) = open(&entries, (8080, None), lookup).await;
        assert!(crate::clock::now() - started < FIRST * 2);
        assert_eq!(shown(&advertised.now().udp), ["192.0.2.1:8080"]);
        let why = "no name server answers in time".to_owned();
        assert_eq!(advertised.now().nowhere, [("slow.example".to_owned(), why)]);
        drop(lookout);

        answers.lock().unwrap().push(Ok(ips(&["192.0.2.1"])));
        let (advertised, lookout) = open(&entries[..1], (8080, None), lookup).await;
        let (now, after) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (stop, stopped) = watch::channel(false);
        let ask = async {
            now.notify_one();
            after.notified().await;
            assert_eq!(shown(&advertised.now().udp), ["192.0.2.2:8080"]);
            let _ = stop.send(true);
        };
        tokio::join!(lookout.run(Arc::clone(&now), Arc::clone(&after), stopped), ask);
    }
}
