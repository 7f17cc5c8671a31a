//! Where clients are told to come, and whether the server answers there: `webrtc.advertise` in all its forms, several
//! addresses of both families, names that move, ports that are mapped, and what the self-test at the start says of it.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::clip::{Clip, Codec};
use tests::peer::By;
use tests::publisher::Show;
use tests::relay::{Impairment, Relay};
use tests::viewer::Wish;
use tests::{Publisher, Viewer, Weir, http, sdp};

/// So few that this machine's limit of open files is enough.
const SMALL: &str =
    "http.max_connections = 50\nwebrtc.tcp_connections = 50\nrtmp.max_connections = 50\n";
const HERE: [&str; 2] = ["127.0.0.1:0", "127.0.0.1:0"];

async fn publish(weir: &Weir, by: By) -> Publisher {
    let show = Show { by, ..Show::of(Clip::small(Codec::Vp8)) };
    Publisher::showing(weir, "show", show).await
}

/// Media comes to a viewer that gets through so.
async fn watch(weir: &Weir, by: By) -> Viewer {
    let viewer = Viewer::wishing(weir, "show", Wish { by, ..Wish::default() }).await;
    viewer.more_video(30).await;
    viewer
}

/// The candidates of an answer to a new viewer, by UDP and by TCP.
async fn told(weir: &Weir) -> [Vec<SocketAddr>; 2] {
    let offer = Viewer::silent(&Wish::default()).await.offer().await;
    let answer = weir.offer("/whep/show", &offer);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let text = answer.text();
    let video = sdp::section(&text, "video").expect("it was offered");
    ["udp", "tcp"].map(|protocol| sdp::candidates_by(video, protocol))
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn of<'a>(found: &'a [Value], what: &str) -> Option<&'a Value> {
    found.iter().find(|check| check["what"] == what)
}

fn is(found: &[Value], what: &str, result: &str) -> bool {
    of(found, what).is_some_and(|check| check["result"] == result)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_of_advertise_is_told() {
    let weir = Weir::configured(
        "webrtc.advertise = ['192.0.2.7', '198.51.100.7:9', 'udp/198.51.100.8:10', 'tcp/198.51.100.9:11', '2001:db8::7', \
         '[2001:db8::8]:12', 'udp/[2001:db8::9]:13', 'udp/localhost:14']",
    );
    let port = |key: &str| at(&weir.listener(key)).port();
    let (udp_port, tcp_port) = (port("webrtc.listen"), port("http.listen"));
    let [udp, tcp] = told(&weir).await;
    let (named, fixed): (Vec<SocketAddr>, _) = udp.into_iter().partition(|a| a.port() == 14);
    assert!(!named.is_empty() && named.iter().all(|a| a.ip().is_loopback()), "{named:?}");
    let both = |port: u16| {
        [
            at(&format!("192.0.2.7:{port}")),
            at("198.51.100.7:9"),
            at(&format!("[2001:db8::7]:{port}")),
        ]
    };
    let [first, second, third] = both(udp_port);
    let own = at(&format!("127.0.0.1:{udp_port}"));
    let more = ["198.51.100.8:10", "[2001:db8::8]:12", "[2001:db8::9]:13"].map(at);
    assert_eq!(fixed, [first, second, more[0], third, more[1], more[2], own]);
    let [first, second, third] = both(tcp_port);
    assert_eq!(tcp, [first, second, at("198.51.100.9:11"), third], "four at most");
}

/// As behind a router that forwards other ports than ours; the self-test sees whether it does.
#[tokio::test(flavor = "multi_thread")]
async fn media_flows_through_mapped_ports() {
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let streams = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let udp = datagrams.local_addr().expect("bound");
    let tcp = streams.local_addr().expect("bound");
    let entries = format!("webrtc.advertise = ['udp/{udp}', 'tcp/{tcp}']\n{SMALL}");
    let weir = Weir::configured(&entries);
    let [by_udp, by_tcp] = [format!("udp {udp}"), format!("tcp {tcp}")];
    let dead =
        weir.self_test(|found| is(found, &by_udp, "warning") && is(found, &by_tcp, "warning"));
    let server = at(&weir.listener("webrtc.listen"));
    assert!(is(&dead, &format!("udp {server}"), "ok"), "{dead:#?}");
    let said = of(&dead, &by_udp).expect("it is there");
    let fix = format!("{by_udp} forwarded to udp port {} of this machine", server.port());
    assert!(said["fix"].as_str().is_some_and(|text| text.starts_with(&fix)), "{said}");
    assert!(said["text"].as_str().is_some_and(|text| text.contains("from inside")), "{said}");
    let log = weir.log();
    assert!(
        log.contains(&format!("  warning  {by_udp} of webrtc.advertise")),
        "at the start: {log}"
    );
    assert!(log.contains(&format!("self-test: {by_udp} of webrtc.advertise")), "in the log: {log}");

    datagrams.set_nonblocking(true).expect("a socket");
    let datagrams = tokio::net::UdpSocket::from_std(datagrams).expect("a socket");
    let mapped = Relay::behind(datagrams, server, Impairment::NONE, 1).await;
    let forward = tokio::spawn(forward(streams, at(weir.host())));
    weir.reload("self-test: ");
    weir.self_test(|found| is(found, &by_udp, "ok") && is(found, &by_tcp, "ok"));

    // The mapping is for one client at a time.
    let _publisher = publish(&weir, By::To(server)).await;
    assert_eq!(told(&weir).await, [vec![udp, server], vec![tcp, at(weir.host())]]);
    let carried = || mapped.down.seen.load(std::sync::atomic::Ordering::Relaxed);
    let before = carried();
    let viewer = watch(&weir, By::To(udp)).await;
    assert!(carried() >= before + 30);
    viewer.leave().await;
    watch(&weir, By::Wire).await;
    forward.abort();
}

/// Does as a router with a port that leads elsewhere.
async fn forward(streams: TcpListener, to: SocketAddr) {
    streams.set_nonblocking(true).expect("a socket");
    let streams = tokio::net::TcpListener::from_std(streams).expect("a socket");
    while let Ok((mut near, _)) = streams.accept().await {
        tokio::spawn(async move {
            let mut far = tokio::net::TcpStream::connect(to).await.expect("it listens");
            // Either side may end it as it likes.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn media_flows_by_each_address_of_both_families() {
    let weir = Weir::listening(["127.0.0.1:0", "[::]:0"], "");
    let by = By::To(at(&weir.listener("webrtc.listen").replace("[::]", "[::1]")));
    let _publisher = publish(&weir, by).await;
    let [udp, _] = told(&weir).await;
    assert!(udp.iter().any(SocketAddr::is_ipv4) && udp.iter().any(SocketAddr::is_ipv6), "{udp:?}");
    for address in udp {
        let viewer = watch(&weir, By::To(address)).await;
        let id = &viewer.session.resource.rsplit('/').next().expect("a URL")[..8];
        let status = weir.get(&format!("/api/v1/sessions/{id}/status")).json();
        assert_eq!(status["transport"]["local"], address.to_string(), "{status:#}");
    }
}

/// What a machine looks names up in, for one that runs [`Weir::after`] this.
struct Names(PathBuf);

impl Names {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("weir-names-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let names = Self(folder);
        std::fs::write(names.0.join("nsswitch.conf"), "hosts: files\n").expect("a small file");
        names.say("");
        names
    }

    /// From now on.
    fn say(&self, lines: &str) {
        // In place: what is mounted is this file.
        std::fs::write(self.0.join("hosts"), lines).expect("a small file");
    }

    fn line(&self) -> String {
        let mount = |file: &str| {
            let ours = self.0.join(file);
            assert!(Path::new("/etc").join(file).exists(), "this test needs /etc/{file}");
            format!("mount --bind {} /etc/{file}", ours.display())
        };
        format!("{} && {}", mount("hosts"), mount("nsswitch.conf"))
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_moves_is_followed_and_one_that_is_lost_stays_where_it_was() {
    let names = Names::new("moves");
    let listen = ["127.0.0.1:0", "0.0.0.0:0"];
    let weir =
        Weir::after(&names.line(), true, listen, "webrtc.advertise = ['udp/show.example']\n");
    let lost = weir.self_test(|_| true);
    assert!(is(&lost, "webrtc.advertise show.example", "warning"), "{lost:#?}");
    let log = weir.log();
    assert!(
        log.contains("show.example cannot be looked up") && log.contains("a DNS record"),
        "{log}"
    );

    let _publisher = publish(&weir, By::Udp).await;
    let port = at(&weir.listener("webrtc.listen")).port();
    let [first, second] = [2, 3].map(|host| SocketAddr::from(([127, 0, 0, host], port)));
    names.say("127.0.0.2 show.example\n");
    weir.reload("show.example is 127.0.0.2 now");
    assert_eq!(told(&weir).await[0][0], first);
    let early = watch(&weir, By::To(first)).await;

    names.say("127.0.0.3 show.example\n");
    weir.reload("show.example is 127.0.0.3 now and was 127.0.0.2");
    assert_eq!(told(&weir).await[0][0], second);
    let late = watch(&weir, By::To(second)).await;

    names.say("");
    weir.reload("127.0.0.3 stays in use");
    assert_eq!(told(&weir).await[0][0], second);
    early.more_video(30).await;
    late.more_video(30).await;
    // Nobody else comes to a loopback address, whatever it answers.
    let found = weir.self_test(|found| is(found, &format!("udp {second}"), "warning"));
    assert!(of(&found, "webrtc.advertise show.example").is_none(), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_self_test_finds_each_address_and_says_one_line_when_all_is_well() {
    let all = format!("webrtc.advertise = ['tcp/127.0.0.1']\n{SMALL}");
    for (listen, toml, least) in
        [(HERE, &*all, 2), (["0.0.0.0:0", "0.0.0.0:0"], SMALL, 2), (["[::]:0", "[::]:0"], SMALL, 2)]
    {
        let weir = Weir::listening(listen, toml);
        let found = weir.self_test(|_| true);
        let asked = found.iter().filter(|check| {
            let what = check["what"].as_str().unwrap_or_default();
            what.starts_with("udp ") || what.starts_with("tcp ")
        });
        assert!(asked.clone().count() >= least, "{found:#?}");
        assert!(asked.clone().all(|check| check["result"] == "ok"), "{found:#?}");
        assert!(is(&found, "files", "ok"), "{found:#?}");
        // How large buffers may be, and whether this machine has a public address, no test decides.
        let warnings: Vec<&str> = found
            .iter()
            .filter(|check| check["result"] == "warning")
            .filter_map(|check| check["what"].as_str())
            .collect();
        let may = if toml == all { &["buffers"][..] } else { &["buffers", "outside"] };
        assert!(warnings.iter().all(|what| may.contains(what)), "{found:#?}");
        let log = weir.log();
        assert_eq!(log.matches("self-test: ").count(), warnings.len().max(1), "{log}");
        assert_eq!(weir.metric("weir_dropped_total"), 0.0, "its checks are nobody's loss");
    }
}

#[test]
fn too_few_open_files_are_said_with_what_mends_it() {
    let weir = Weir::after("ulimit -n 300", false, HERE, "");
    let found = weir.self_test(|_| true);
    let files = of(&found, "files").expect("it is looked at");
    assert_eq!(files["result"], "warning");
    let text = files["text"].as_str().unwrap_or_default();
    for word in ["only 300 files", "http.max_connections (10000)", "webrtc.tcp_connections (10000)"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    let fix = files["fix"].as_str().unwrap_or_default();
    assert!(fix.contains("LimitNOFILE=21") && fix.contains("ulimit -n 21"), "{fix}");
    let log = weir.log();
    assert!(log.contains(&format!("  warning  {text}; to mend it: {fix}")), "{log}");
}

/// An offer to watch that a proxy passes on, with these fields.
async fn passed_on(url: &str, fields: &[(&str, &str)]) -> http::Answer {
    let offer = Viewer::silent(&Wish::default()).await.offer().await;
    let mut all = vec![("content-type", "application/sdp")];
    all.extend(fields);
    http::send("POST", url, &all, offer.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_urls_and_addresses_are_the_clients() {
    let far = [
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-host", "live.example"),
        ("x-forwarded-proto", "https"),
    ];
    let standard = [("forwarded", "for=198.51.100.1;host=live.example;proto=https")];
    let trusting = "http.trusted_proxies = ['127.0.0.1']";
    // The operator's own listener says where the other one is; a public URL does not.
    let public = "http.public_url = 'https://live.example/weir'\nadmin.listen = '127.0.0.1:0'";
    let (outer, near) = ("https://live.example/whep/show/", "/whep/show/");
    for (toml, fields, begin, trusted) in [
        (trusting, &far[..], outer.to_owned(), true),
        (trusting, &standard, outer.to_owned(), true),
        ("", &far, near.to_owned(), false),
        ("http.trusted_proxies = ['192.0.2.0/24']", &far, near.to_owned(), false),
        (public, &[], "https://live.example/weir/whep/show/".to_owned(), false),
        (public, &far, "https://live.example/weir/whep/show/".to_owned(), false),
    ] {
        let weir = Weir::listening(["127.0.0.1:0", "0.0.0.0:0"], toml);
        let server = format!("http://{}", weir.listener("http.listen"));
        let begin = if begin.starts_with('/') { format!("{server}{begin}") } else { begin };
        let answer = passed_on(&format!("{server}/whep/show"), fields).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let location = answer.header("location").unwrap_or_default().to_owned();
        assert!(location.starts_with(&begin), "{toml} {fields:?}: {location}");
        for link in answer.all("link") {
            assert!(link.starts_with(&format!("<{location}/")), "{link}");
        }
        // Whoever is elsewhere is told no loopback address, and is not the operator.
        let loopback = sdp::candidates(&answer.text()).iter().any(|a| a.ip().is_loopback());
        assert_eq!(loopback, !trusted, "{}", answer.text());
        let api = http::send("GET", &weir.at("/api/v1/streams"), fields, &[]);
        let local = fields.is_empty();
        assert_eq!(api.status, if local { 200 } else { 401 }, "{toml} {fields:?}");
        // The session is there under the path that a proxy passes on.
        let (_, id) = location.rsplit_once('/').expect("a URL");
        let here = format!("{server}/whep/show/{id}");
        assert_eq!(http::send("DELETE", &here, fields, &[]).status, 200);
    }
}
