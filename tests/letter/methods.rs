//! GET, OPTIONS, HEAD and PATCH: lines 10 to 17.

use tests::http::{self, send};
use tests::letter::{FRAGMENT, SDP, Stage, etag, fragment, patch};

const SITE: &str = "https://shop.example";

#[tokio::test(flavor = "multi_thread")]
async fn whip_10_get_is_2xx_and_nothing() {
    let stage = Stage::new("").await;
    let mut urls = vec![stage.weir.at("/whip/other"), stage.weir.at("/whep/show")];
    urls.extend(stage.sessions().map(|(_, session)| session.resource.clone()));
    for url in &urls {
        for answer in [send("GET", url, &[], &[]), http::by_two("GET", url, &[], &[])] {
            assert!((200..300).contains(&answer.status), "{url}: {}", answer.status);
            assert_eq!(answer.body, [0; 0], "{url}");
        }
        let head = send("HEAD", url, &[], &[]);
        assert!((200..300).contains(&head.status), "{url}: {}", head.status);
    }
    for protocol in ["whip", "whep"] {
        let url = stage.weir.at(&format!("/{protocol}/show/00000000000000000000000000000000"));
        send("GET", &url, &[], &[]).problem(404);
    }
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_11_pages_of_other_sites_may_use_every_url() {
    let stage = Stage::new("").await;
    let session = |protocol: usize| stage.sessions()[protocol].1.resource.clone();
    let viewers = session(1);
    for (url, methods, accepts) in [
        (stage.weir.at("/whip/other"), &["POST", "GET", "HEAD"][..], ("accept-post", SDP)),
        (stage.weir.at("/whep/show"), &["POST", "GET", "HEAD"], ("accept-post", SDP)),
        (session(0), &["PATCH", "DELETE", "GET"], ("accept-patch", FRAGMENT)),
        (session(1), &["PATCH", "DELETE", "GET"], ("accept-patch", FRAGMENT)),
        (format!("{viewers}/layer"), &["POST"], ("accept-post", "application/json")),
        (
            format!("{viewers}/events"),
            &["POST", "GET", "DELETE"],
            ("accept-post", "application/json"),
        ),
    ] {
        let asks = [
            ("origin", SITE),
            ("access-control-request-method", methods[0]),
            ("access-control-request-headers", "authorization,content-type,if-match"),
        ];
        // As a preflight, and as a client that asks what is possible.
        for fields in [&asks[..], &asks[..1], &[]] {
            let answer = send("OPTIONS", &url, fields, &[]);
            assert!([200, 204].contains(&answer.status), "{url}: {}", answer.status);
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{url}");
            let allowed = answer.header("access-control-allow-methods").unwrap_or_default();
            assert!(methods.iter().all(|m| allowed.contains(m)), "{url}: {allowed}");
            let fields = answer.header("access-control-allow-headers").unwrap_or_default();
            for field in ["Authorization", "Content-Type", "If-Match"] {
                assert!(fields.contains(field), "{url}: {fields}");
            }
            assert_eq!(answer.header(accepts.0), Some(accepts.1), "{url}");
        }
    }
    // What comes of it may be read: of the 201, and of a refusal.
    let refused = stage.weir.offer("/whip/other", "no offer");
    for answer in [&stage.publisher.session.answer, &stage.viewer.session.answer, &refused] {
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
        for field in ["Location", "ETag", "Link", "Retry-After"] {
            assert!(exposed.contains(field), "{field} is not in {exposed}");
        }
    }
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whep_13_head_says_what_a_post_wants() {
    let stage = Stage::new("").await;
    for path in ["/whep/show", "/whip/other"] {
        let url = stage.weir.at(path);
        for answer in [send("HEAD", &url, &[], &[]), http::by_two("HEAD", &url, &[], &[])] {
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(SDP)), "{path}");
            assert_eq!(answer.body, [0; 0], "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_14_a_patch_of_another_type_or_without_sense_is_refused() {
    let stage = Stage::new("").await;
    for (_, session) in stage.sessions() {
        let good = fragment(session, &[]);
        for media in [None, Some(SDP), Some("application/json"), Some("")] {
            let mut fields = vec![("if-match", etag(session))];
            fields.extend(media.map(|m| ("content-type", m)));
            let answer = send("PATCH", &session.resource, &fields, good.as_bytes());
            answer.problem(415);
            assert_eq!(answer.header("accept-patch"), Some(FRAGMENT));
        }
        let no_password = tests::letter::without(&good, &["a=ice-pwd"]);
        for bad in ["", "hello", "a=mid:0\r\n", "m=audio\r\n", &no_password] {
            patch(session, etag(session), bad).problem(400);
        }
        let fields = [("content-type", FRAGMENT), ("if-match", etag(session))];
        send("PATCH", &session.resource, &fields, &[0xff, 0xfe]).problem(400);
    }
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_16_a_patch_needs_the_entity_tag() {
    let stage = Stage::new("").await;
    for (_, session) in stage.sessions() {
        let good = fragment(session, &[]);
        let bare = [("content-type", FRAGMENT)];
        send("PATCH", &session.resource, &bare, good.as_bytes()).problem(428);
        let tag = etag(session);
        let weak = format!("W/{tag}");
        for other in ["\"old\"", &weak, "\"\"", tag.trim_matches('"')] {
            patch(session, other, &good).problem(412);
        }
        assert_eq!(patch(session, &format!("\"old\", {tag}"), &good).status, 204);
    }
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_17_trickled_candidates_are_taken_and_useless_ones_dropped() {
    // Names that only the client's own network can resolve are no hindrance in the offer either.
    let hidden =
        |offer: &str| offer.replace(" 127.0.0.1 ", " 3f0b6f1e-3f9e-4f7a-9d1c-000000000001.local ");
    let stage = Stage::bent("", hidden).await;
    for (_, session) in stage.sessions() {
        assert!(session.offer.contains(".local "), "{}", session.offer);
        let many: Vec<String> =
            (1..100).map(|i| format!("{i} 1 udp 1 192.0.2.{i} 9 typ host")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for candidates in [
            &["1 1 udp 2122260223 192.0.2.1 61764 typ host generation 0"][..],
            &["1 1 udp 2122260223 3f0b6f1e-3f9e-4f7a-9d1c-5c1e2d3a4b5c.local 61764 typ host"],
            &["1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active"],
            &["1 1 udp 1 2001:db8::1 9 typ srflx raddr :: rport 0", "2 1 x 1 nowhere 0 typ what"],
            &many,
            &[],
        ] {
            let answer = patch(session, etag(session), &fragment(session, candidates));
            assert_eq!(answer.status, 204, "{candidates:?}: {}", answer.text());
            assert_eq!((answer.body.len(), answer.header("etag")), (0, None));
        }
    }
    stage.goes_on().await;
}
