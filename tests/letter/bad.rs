//! Bad input, field by field: each request of WHIP and WHEP with one thing wrong, over sockets. Each is refused with a
//! problem (RFC 9457), none is an internal error, and who watches notices nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tests::http::send;
use tests::letter::{FRAGMENT, SDP, Stage, etag, fragment, offers};

/// What is wrong with an offer: what stands there, what instead, and what is answered. `*` in the second: also what is
/// behind the first, up to the end of its line, is replaced.
const OFFERS: &[(&str, &str, u16)] = &[
    ("v=0", "v=1", 400),
    ("v=0\r\n", "", 400),
    ("t=0 0", "nonsense", 400),
    ("t=0 0", "=0 0", 400),
    ("a=group:BUNDLE 0 1\r\n", "", 422),
    ("a=group:BUNDLE 0 1", "a=group:BUNDLE 0", 422),
    ("a=group:BUNDLE 0 1", "a=group:BUNDLE 7 8", 422),
    ("m=audio 9 ", "m=audio nine ", 400),
    ("m=audio 9 ", "m=audio 99999 ", 400),
    ("m=audio 9 ", "m=audio ", 400),
    ("UDP/TLS/RTP/SAVPF 111", "UDP/TLS/RTP/SAVPF", 400),
    ("UDP/TLS/RTP/SAVPF 111", "UDP/TLS/RTP/SAVPF 111 111", 400),
    ("UDP/TLS/RTP/SAVPF 111", "UDP/TLS/RTP/SAVPF 300", 400),
    ("UDP/TLS/RTP/SAVPF 111", "UDP/TLS/RTP/SAVPF 111 -1", 400),
    ("m=video", "m=audio", 422),
    ("a=mid:1", "a=mid:0", 400),
    ("a=mid:1", "a=mid:", 400),
    ("a=mid:1", "a=mid:a name that is too long", 400),
    ("a=ice-ufrag:", "a=x:", 400),
    ("a=ice-ufrag:", "a=ice-ufrag:*abc", 400),
    ("a=ice-ufrag:", "a=ice-ufrag:*with a space", 400),
    ("a=ice-pwd:", "a=x:", 400),
    ("a=ice-pwd:", "a=ice-pwd:*short", 400),
    ("a=fingerprint:", "a=x:", 400),
    ("a=fingerprint:", "a=fingerprint:*sha-256 00:11", 400),
    ("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 zz:", 400),
    ("a=fingerprint:sha-256 ", "a=fingerprint:sha-1 ", 400),
    ("a=setup:actpass", "a=setup:holdconn", 400),
    ("a=setup:actpass", "a=x:y", 400),
    ("a=rtcp-mux\r\n", "", 400),
    ("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus/0x/2", 400),
    ("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus", 400),
    ("a=extmap:", "a=extmap:one", 400),
    ("\r\na=mid:1", "\r\na=\u{1}mid:1", 400),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_field_of_an_offer_is_refused() {
    let stage = Stage::new("http.loopback_rate = 0").await;
    for (path, offer) in offers().await {
        for (what, instead, status) in OFFERS {
            assert!(offer.contains(what), "{what:?} is not in\n{offer}");
            let answer = stage.weir.offer(path, &broken(&offer, what, instead));
            assert_eq!(answer.status, *status, "{path} {what:?} -> {instead:?}: {}", answer.text());
            answer.problem(*status);
        }
        for (name, body) in [("nul", vec![0; 100]), ("latin-1", b"v=0\r\ns=\xe9\r\n".to_vec())] {
            let answer = send("POST", &stage.weir.at(path), &[("content-type", SDP)], &body);
            assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        }
        let huge = format!("{offer}{}", "a=x:y\r\n".repeat(20_000));
        stage.weir.offer(path, &huge).problem(413);
    }
    assert_eq!(stage.weir.state("other"), "gone");
    stage.goes_on().await;
}

/// Each time it stands there; `*` replaces the rest of those lines too.
fn broken(offer: &str, what: &str, instead: &str) -> String {
    let Some((head, tail)) = instead.split_once('*') else { return offer.replace(what, instead) };
    let line = |line: &str| match line.starts_with(what) {
        true => format!("{head}{tail}\r\n"),
        false => format!("{}\r\n", line.trim_end()),
    };
    offer.lines().map(line).collect()
}

/// Every line of an offer is left out, cut, doubled, lengthened and filled with noise in turn: whatever is not refused with
/// a problem is a session, and never anything else.
#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_an_offer_may_be_anything() {
    let stage = Stage::new("http.loopback_rate = 0").await;
    for (path, offer) in offers().await {
        let lines: Vec<&str> = offer.lines().map(str::trim_end).collect();
        let mut refused = 0;
        for (at, line) in lines.iter().enumerate() {
            let cut = &line[..line.len() / 2];
            let name = line.split([':', ' ']).next().unwrap_or_default();
            let (long, noise) =
                (format!("{line}{}", "9".repeat(5_000)), format!("{name}:\u{fffd}%s\\;,"));
            let minus = line.replace(|c: char| c.is_ascii_digit(), "-");
            for instead in [&[][..], &[cut], &[line, line], &[&long], &[&noise], &[&minus]] {
                let mut bad = lines.clone();
                bad.splice(at..=at, instead.iter().copied());
                let answer = stage.weir.offer(path, &(bad.join("\r\n") + "\r\n"));
                match answer.status {
                    201 => {
                        let session = answer.header("location").expect("a session").to_owned();
                        assert_eq!(send("DELETE", &session, &[], &[]).status, 200);
                    }
                    // A publisher in the moment in which the one before it goes.
                    status @ (400 | 409 | 413 | 422) => {
                        answer.problem(status);
                        refused += 1;
                    }
                    other => panic!("{path} {line:?} as {instead:?}: {other} {}", answer.text()),
                }
            }
        }
        assert!(refused > lines.len(), "only {refused} of {} were refused", 6 * lines.len());
    }
    stage.goes_on().await;
}

/// Method, path, header fields, body and what is answered. `{whip}` and `{whep}` are the sessions that are there, `{other}`
/// one that is not; `{tag}` is the session's entity tag, `{offer}` an offer, `{fragment}` a fragment.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str, u16);

const TYPE: &str = "content-type";
const JSON: (&str, &str) = (TYPE, "application/json");
const OFFER: (&str, &str) = (TYPE, SDP);
const TRICKLE: (&str, &str) = (TYPE, FRAGMENT);
const TAG: (&str, &str) = ("if-match", "{tag}");

const REQUESTS: &[Row] = &[
    // The endpoint.
    ("POST", "/whip/other", &[], "{offer}", 415),
    ("POST", "/whip/other", &[(TYPE, "application/sdp/2")], "{offer}", 415),
    ("POST", "/whip/other", &[(TYPE, "multipart/form-data; boundary=x")], "{offer}", 415),
    ("POST", "/whep/show", &[(TYPE, "\"application/sdp\"")], "{offer}", 415),
    ("POST", "/whip/no%20name", &[OFFER], "{offer}", 400),
    ("POST", "/whip/%ff", &[OFFER], "{offer}", 400),
    ("POST", "/whep/..%2f..%2fetc", &[OFFER], "{offer}", 400),
    ("POST", "/whip/", &[OFFER], "{offer}", 404),
    ("POST", "/whip", &[OFFER], "{offer}", 404),
    ("PUT", "/whip/other", &[OFFER], "{offer}", 405),
    ("PATCH", "/whep/show", &[TRICKLE, TAG], "{fragment}", 405),
    ("DELETE", "/whip/show", &[], "", 405),
    ("TRACE", "/whep/show", &[], "", 405),
    // A session.
    ("POST", "{whip}", &[OFFER], "{offer}", 405),
    ("PUT", "{whep}", &[TRICKLE, TAG], "{fragment}", 405),
    ("PATCH", "{whip}", &[TAG], "{fragment}", 415),
    ("PATCH", "{whep}", &[OFFER, TAG], "{fragment}", 415),
    ("PATCH", "{whep}", &[JSON, TAG], "{}", 415),
    ("PATCH", "{whip}", &[TRICKLE], "{fragment}", 428),
    ("PATCH", "{whip}", &[TRICKLE, ("if-match", "")], "{fragment}", 412),
    ("PATCH", "{whep}", &[TRICKLE, ("if-match", "W/{tag}")], "{fragment}", 412),
    ("PATCH", "{whep}", &[TRICKLE, ("if-match", "{tag}x")], "{fragment}", 412),
    ("PATCH", "{whip}", &[TRICKLE, TAG], "", 400),
    ("PATCH", "{whip}", &[TRICKLE, TAG], "hello", 400),
    ("PATCH", "{whep}", &[TRICKLE, TAG], "{offer}=", 400),
    ("PATCH", "{other}", &[TRICKLE, TAG], "{fragment}", 404),
    ("DELETE", "{other}", &[], "", 404),
    ("GET", "{other}", &[], "", 404),
    ("DELETE", "/whip/show/0", &[], "", 404),
    ("DELETE", "/whep/show/ffffffffffffffffffffffffffffffffff", &[], "", 404),
    ("DELETE", "/whep/show/+000000000000000000000000000000f", &[], "", 404),
    // The layers.
    ("POST", "{whep}/layer", &[], "{}", 415),
    ("POST", "{whep}/layer", &[OFFER], "{}", 415),
    ("POST", "{whep}/layer", &[JSON], "", 400),
    ("POST", "{whep}/layer", &[JSON], "[]", 400),
    ("POST", "{whep}/layer", &[JSON], "{\"encodingId\":1}", 400),
    ("POST", "{whep}/layer", &[JSON], "{\"encodingId\":\"no/such\"}", 400),
    ("POST", "{whep}/layer", &[JSON], "{\"maxWidth\":\"640\"}", 400),
    ("POST", "{whep}/layer", &[JSON], "{\"maxHeight\":-1}", 400),
    ("POST", "{whep}/layer", &[JSON], "{\"maxHeight\":1e400}", 400),
    ("POST", "{whep}/layer", &[JSON], "{\"mediaId\":\"9\"}", 422),
    ("POST", "{whep}/layer", &[JSON], "{\"spatialLayerId\":0}", 422),
    ("GET", "{whep}/layer", &[], "", 405),
    ("POST", "{whip}/layer", &[JSON], "{}", 404),
    ("POST", "{other}/layer", &[JSON], "{}", 404),
    // The events.
    ("POST", "{whep}/events", &[OFFER], "[\"active\"]", 415),
    ("POST", "{whep}/events", &[JSON], "[\"scte35\"]", 400),
    ("POST", "{whep}/events", &[JSON], "{}", 400),
    ("POST", "{whep}/events", &[JSON], "[[[[", 400),
    ("PUT", "{whep}/events", &[JSON], "[]", 405),
    ("GET", "{other}/events", &[], "", 404),
    ("DELETE", "{other}/events", &[], "", 404),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_field_of_a_request_is_refused() {
    let stage = Stage::new("http.loopback_rate = 0").await;
    let [(_, publish), (_, watch)] = offers().await;
    let other = stage.weir.at("/whep/show/0123456789abcdef0123456789abcdef");
    let [(_, whip), (_, whep)] = stage.sessions();
    for (method, path, fields, body, status) in REQUESTS {
        let (session, offer) = match path.contains("whip") {
            true => (whip, &publish),
            false => (whep, &watch),
        };
        let fill = |text: &str| {
            text.replace("{whip}", &whip.resource)
                .replace("{whep}", &whep.resource)
                .replace("{other}", &other)
                .replace("{tag}", etag(session))
                .replace("{offer}", offer)
                .replace("{fragment}", &fragment(session, &[]))
        };
        let path = fill(path);
        let url = if path.starts_with('/') { stage.weir.at(&path) } else { path };
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, fill(value))).collect();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = send(method, &url, &fields, fill(body).as_bytes());
        assert_eq!(answer.status, *status, "{method} {url} {fields:?} {body}: {}", answer.text());
        answer.problem(*status);
        assert!(*status != 405 || answer.header("allow").is_some(), "{method} {url}: no Allow");
    }
    stage.goes_on().await;
}

/// What no client library sends: the bytes of a request, and how its answer begins. `{host}` is ours.
const WIRE: &[(&str, &str)] = &[
    ("POST /whip/other HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "),
    (
        "POST /whip/other HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 400 ",
    ),
    ("POST /whip/other HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 "),
    (
        "POST /whip/other HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 400 ",
    ),
    (
        "POST /whip/other HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 400 ",
    ),
    (
        "POST /whip/other HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: what\r\n\r\n",
        "HTTP/1.1 400 ",
    ),
    ("POST /whip/other HTTP/9.9\r\nHost: {host}\r\n\r\n", "HTTP/1.1 400 "),
    ("PO ST /whip/other HTTP/1.1\r\nHost: {host}\r\n\r\n", "HTTP/1.1 400 "),
    ("POST /whip/other HTTP/1.1\r\nHost {host}\r\n\r\n", "HTTP/1.1 400 "),
    ("POST /whip/other HTTP/1.1\r\nHost: {host}\r\nX: \u{0}\r\n\r\n", "HTTP/1.1 400 "),
    ("\r\n\r\n\r\nnothing\r\n\r\n", "HTTP/1.1 400 "),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_refused() {
    let stage = Stage::new("").await;
    let host = stage.weir.url.trim_start_matches("http://").to_owned();
    for (text, expected) in WIRE {
        let mut socket = TcpStream::connect(&host).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(15))).expect("a time limit");
        let text = text.replace("{host}", &host);
        socket.write_all(text.as_bytes()).expect("a few bytes");
        let mut answer = [0; 13];
        socket.read_exact(&mut answer).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(String::from_utf8_lossy(&answer), *expected, "{text:?}");
    }
    stage.goes_on().await;
}
