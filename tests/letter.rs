//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) to the letter, against the running program over sockets: a test for
//! each line of `docs/whip-whep.md`, named after it. A session that is accepted counts only if media flows in it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tests::clip::{Clip, Codec};
use tests::peer::Post;
use tests::publisher::Show;
use tests::viewer::Wish;
use tests::{Publisher, Viewer, Weir, http};

#[path = "letter/bad.rs"]
mod bad;
#[path = "letter/ice.rs"]
mod ice;
#[path = "letter/life.rs"]
mod life;
#[path = "letter/methods.rs"]
mod methods;
#[path = "letter/post.rs"]
mod post;
#[path = "letter/restart.rs"]
mod restart;
#[path = "letter/whep.rs"]
mod whep;

/// By HTTP/2 a request has `:authority` and no Host (RFC 9113 section 8.3.1), as with every browser once there is TLS.
#[tokio::test(flavor = "multi_thread")]
async fn http_2_publishes_and_plays() {
    let weir = Weir::start();
    let post = Post { by_two: true, ..Post::default() };
    let show = Show { post, ..Show::of(Clip::small(Codec::Vp8)) };
    let publisher = Publisher::showing(&weir, "show", show).await;
    let viewer = Viewer::wishing(&weir, "show", Wish { post, ..Wish::default() }).await;
    viewer.more_video(30).await;
    for (session, path) in [(&publisher.session, "/whip/show/"), (&viewer.session, "/whep/show/")] {
        let begin = weir.at(path);
        assert!(session.resource.starts_with(&begin), "{} {begin}", session.resource);
    }
    // Whoever is on this machine needs no token, by whatever HTTP.
    assert_eq!(http::by_two("GET", &weir.at("/api/v1/streams"), &[], &[]).status, 200);
    let deleted = http::by_two("DELETE", &viewer.session.resource, &[], &[]);
    assert_eq!(deleted.status, 200, "{}", deleted.text());
}

#[test]
fn a_request_for_two_hosts_is_for_none() {
    let weir = Weir::start();
    let host = weir.url.trim_start_matches("http://").to_owned();
    for (target, hosts, status) in [
        (format!("http://{host}/api/v1/streams"), vec![host.clone()], 200),
        (format!("http://{host}/api/v1/streams"), vec!["elsewhere.example".to_owned()], 400),
        ("http://elsewhere.example/whip/show".to_owned(), vec![host.clone()], 400),
        ("/api/v1/streams".to_owned(), vec![host.clone(), host.clone()], 400),
    ] {
        let mut socket = TcpStream::connect(&host).expect("it listens");
        let fields: String = hosts.iter().map(|h| format!("Host: {h}\r\n")).collect();
        let request = format!("GET {target} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("a small request");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("text");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}{answer}");
        assert!(status == 200 || answer.contains("urn:weir:problem:bad-host"), "{answer}");
    }
}
