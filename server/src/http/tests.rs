//! The routes, asked without a network; the hub behind them is the real one on a loopback socket.

mod events;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::access::Secret;
use crate::config::Config;
use crate::{hub, net};

const WATCH: &str = include_str!("../../../signaling/fixtures/chromium-watch.sdp");
const SDP: (&str, &str) = ("content-type", "application/sdp");

pub(crate) struct Server {
    pub(crate) context: Arc<Context>,
    routes: Routes,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Server {
    pub(crate) fn new(toml: &str) -> Self {
        let config: Config = toml::from_str(toml).unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let settings = hub::Config {
            stream: stream::Config::default(),
            max_publishers: 1,
            max_viewers: 1,
            wait_for_publisher: config.webrtc.wait_for_publisher,
            advertise: crate::advertise::Advertised::default(),
            tcp: None,
            worker: None,
            bridges: crate::bridges::Limit::of_cores(1),
            sfu: sfu::Config::default(),
        };
        let hub = hub::start(settings, vec![net::Socket::new(socket).unwrap()]).unwrap();
        let limits = Limits {
            publishers: 1,
            viewers: 1,
            body_bytes: config.http.body_limit,
            requests_per_second: config.http.rate,
            connections: 1,
            rtmp_connections: config.rtmp.max_connections,
        };
        let worker = transcode::find(config.transcode.program(), None)
            .map(|path| transcode::Worker::new(path, &config.transcode.limits()))
            .map_err(|missing| missing.to_string());
        let info = Info { listeners: Vec::new(), shards: 1, worker, limits };
        let access = Access::new(config.access.clone(), Secret::new("made".into()));
        Self {
            context: Arc::new(Context::new(hub, Arc::new(access), &config, info)),
            routes: Routes::All,
        }
    }

    /// From a program on this machine.
    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        self.ask_from("127.0.0.1:5", method, path, fields, body).await
    }

    async fn ask_from(
        &self,
        peer: &str,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost:1");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(Peer(peer.parse().unwrap()));
        Answer::of(router(&self.context, self.routes).oneshot(request).await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    fn is_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], status);
        for field in ["type", "title", "detail"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        }
    }
}

#[tokio::test]
async fn an_offer_becomes_a_session_with_an_absolute_url() {
    let server = Server::new("");
    let answer = server.ask("POST", "/whep/demo", &[SDP], WATCH).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let location = answer.header("location").to_owned();
    assert!(location.starts_with("http://localhost:1/whep/demo/"), "{location}");
    assert!(answer.header("link").starts_with(&format!("<{location}/layer>")));
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.header("access-control-expose-headers").contains("Location"));
    let path = location.strip_prefix("http://localhost:1").unwrap();
    let layer = format!("{path}/layer");
    let json = ("content-type", "application/json");
    assert_eq!(server.ask("POST", &layer, &[json], "{\"encodingId\":\"h\"}").await.status, 200);
    server.ask("POST", &layer, &[json], "{\"spatialLayerId\":1}").await.is_problem(422);
    let elsewhere = path.replace("demo", "other");
    server.ask("DELETE", &elsewhere, &[], "").await.is_problem(404);
    assert_eq!(server.ask("DELETE", path, &[], "").await.status, 200);
    server.ask("DELETE", path, &[], "").await.is_problem(404);
}

#[tokio::test]
async fn the_encoders_are_the_workers_or_it_is_said_why_there_are_none() {
    let told = async |server: &Server| -> serde_json::Value {
        serde_json::from_str(&server.get("/api/v1/server").await.body).unwrap()
    };
    let none = told(&Server::new("")).await;
    assert_eq!(none["encoders"], serde_json::json!([]));
    assert!(none["encoders_problem"].as_str().unwrap().contains("transcode.worker"), "{none}");
    let broken = Server::new("transcode.worker = '/bin/false'");
    let said = told(&broken).await;
    let why = said["encoders_problem"].as_str().unwrap();
    assert!(why.contains("/bin/false: the worker ended with code 1"), "{said}");
    assert!(said["worker"].is_null());
    assert_eq!(told(&broken).await["encoders_problem"], why);
}

#[tokio::test]
async fn urls_follow_the_public_url_or_a_trusted_proxy() {
    let server = Server::new("http.public_url = 'https://live.example/x'");
    let answer = server.ask("POST", "/whep/demo", &[SDP], WATCH).await;
    assert!(answer.header("location").starts_with("https://live.example/x/whep/demo/"));
    let server = Server::new("http.trusted_proxies = ['10.0.0.1']");
    let fields = [SDP, ("x-forwarded-host", "live.example"), ("x-forwarded-proto", "https")];
    let answer = server.ask_from("10.0.0.1:5", "POST", "/whep/demo", &fields, WATCH).await;
    assert!(answer.header("location").starts_with("https://live.example/whep/demo/"));
}

#[tokio::test]
async fn without_a_publisher_viewers_wait_or_are_told() {
    let server = Server::new("webrtc.wait_for_publisher = false");
    let answer = server.ask("POST", "/whep/demo", &[SDP], WATCH).await;
    answer.is_problem(409);
    assert_ne!(answer.header("retry-after"), "");
}

#[tokio::test]
async fn strangers_need_the_token_and_other_pages_too() {
    let server = Server::new("");
    let (stranger, bearer) = ("192.0.2.1:5", ("authorization", "Bearer made"));
    for (method, path) in [
        ("POST", "/whip/demo"),
        ("GET", "/api/v1/server"),
        ("GET", "/api/v1/streams"),
        ("GET", "/api/v1/streams/demo"),
        ("GET", "/api/v1/streams/demo/viewers"),
        ("DELETE", "/api/v1/streams/demo/publisher"),
        ("GET", "/metrics"),
    ] {
        let answer = server.ask_from(stranger, method, path, &[SDP], "").await;
        answer.is_problem(401);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        let wrong = [SDP, ("authorization", "Bearer wrong")];
        server.ask_from(stranger, method, path, &wrong, "").await.is_problem(403);
        let right = server.ask_from(stranger, method, path, &[SDP, bearer], "").await;
        assert!(![401, 403].contains(&right.status), "{method} {path}");
        let page = [SDP, ("origin", "https://evil.example")];
        server.ask(method, path, &page, "").await.is_problem(401);
        let here = server.ask(method, path, &[SDP], "").await;
        assert!(![401, 403].contains(&here.status), "{method} {path}");
    }
    let watch = server.ask_from(stranger, "POST", "/whep/demo", &[SDP], WATCH).await;
    assert_eq!(watch.status, 201, "watching is open");
    for path in ["/", "/healthz", "/readyz", "/watch/demo", "/admin", "/api/v1/openapi.json"] {
        let answer = server.ask_from(stranger, "GET", path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let preflight = server.ask_from(stranger, "OPTIONS", "/whip/demo", &[], "").await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-headers").contains("Authorization"));
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let server = Server::new("http.body_limit = 100");
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/assets/nothing.js", 404),
        ("GET", "/index.html", 404),
        ("GET", "/api/v1/streams/none", 404),
        ("GET", "/api/v1/streams/none/viewers", 404),
        ("DELETE", "/api/v1/streams/none/publisher", 404),
        ("GET", "/api/v1/streams/a%20b", 400),
        ("GET", "/watch/a%20b", 400),
        ("POST", "/whip/a%20b", 400),
        ("GET", "/live/%ff/index.m3u8", 400),
        ("GET", "/live/show/%c3/v0.m3u8", 400),
        ("POST", "/whip/%ff", 400),
        ("DELETE", "/whep/demo/%ff", 400),
        ("GET", "/watch/%ff", 400),
        ("GET", "/api/v1/streams/%ff", 400),
        ("GET", "/api/v1/sessions/%ff/status", 400),
        ("PUT", "/whip/demo", 405),
        ("PUT", "/api/v1/streams", 405),
        ("POST", "/", 405),
        ("DELETE", "/whip/demo/zz", 404),
        ("DELETE", "/whip/demo/00000000000000000000000000000000", 404),
        ("GET", "/whep/demo/00000000000000000000000000000000/layer", 404),
    ] {
        server.ask(method, path, &[], "").await.is_problem(status);
    }
    server.ask("POST", "/whep/demo", &[SDP], &"x".repeat(101)).await.is_problem(413);
    server.ask("POST", "/whep/demo", &[("content-type", "text/plain")], "x").await.is_problem(415);
    let answer = server.ask("PUT", "/api/v1/streams", &[], "").await;
    assert!(answer.header("allow").contains("GET"));
}

#[tokio::test]
async fn only_the_sites_of_a_list_may_use_whip_and_whep() {
    let server = Server::new("http.cors_origins = ['https://shop.example', 'http://a.example:81']");
    let cors = |answer: &Answer| {
        let names =
            answer.headers.keys().filter(|name| name.as_str().starts_with("access-control"));
        names.count()
    };
    for path in ["/whip/demo", "/whep/demo"] {
        let preflight = async |origin: &str| {
            let asks = [("origin", origin), ("access-control-request-method", "POST")];
            server.ask("OPTIONS", path, &asks, "").await
        };
        for origin in ["https://shop.example", "http://a.example:81"] {
            let answer = preflight(origin).await;
            assert_eq!(answer.status, 204);
            assert_eq!(answer.header("access-control-allow-origin"), origin);
            assert!(answer.header("access-control-allow-methods").contains("POST"));
            assert_eq!(answer.header("vary"), "Origin");
        }
        for origin in ["https://evil.example", "http://shop.example", "http://a.example", "null"] {
            let answer = preflight(origin).await;
            assert_eq!((answer.status, cors(&answer)), (204, 0), "{origin}");
            assert_eq!(answer.header("vary"), "Origin");
        }
    }
    let post = async |origin: &str| {
        server.ask("POST", "/whep/demo", &[SDP, ("origin", origin)], "v=0").await
    };
    let answer = post("https://shop.example").await;
    answer.is_problem(422);
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");
    assert!(answer.header("access-control-expose-headers").contains("Location"));
    assert_eq!(cors(&post("https://evil.example").await), 0, "problems say nothing either");
    let own = server.ask("OPTIONS", "/whep/demo", &[], "").await;
    assert_eq!(cors(&own), 0, "a page of our own sends no Origin with GET, and needs nothing");
    let nobody = Server::new("http.cors_origins = []");
    let asks = [("origin", "https://shop.example")];
    assert_eq!(cors(&nobody.ask("OPTIONS", "/whep/demo", &asks, "").await), 0);
}

#[tokio::test]
async fn a_flood_is_told_to_wait() {
    let server = Server::new("http.rate = 1");
    let flood = async |peer: &str| {
        let mut last = None;
        for _ in 0..11 {
            last = Some(server.ask_from(peer, "POST", "/whep/demo", &[SDP], "v=0").await);
        }
        last.unwrap()
    };
    let answer = flood("192.0.2.1:5").await;
    answer.is_problem(429);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_ne!(flood("127.0.0.1:5").await.status, 429, "this machine has a rate of its own");
    assert_eq!(server.ask_from("192.0.2.1:5", "GET", "/", &[], "").await.status, 200);
}

#[tokio::test]
async fn a_stopping_server_takes_nobody_new() {
    let server = Server::new("");
    assert_eq!(server.get("/readyz").await.status, 200);
    server.context.drain();
    server.get("/readyz").await.is_problem(503);
    for path in ["/whip/demo", "/whep/demo"] {
        let answer = server.ask("POST", path, &[SDP], WATCH).await;
        answer.is_problem(503);
        assert_ne!(answer.header("retry-after"), "");
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn without_webrtc_nobody_publishes_or_watches() {
    let server = Server::new("webrtc.listen = ''");
    server.ask("POST", "/whep/demo", &[SDP], WATCH).await.is_problem(503);
}

#[tokio::test]
async fn an_admin_listener_takes_the_api_away() {
    let mut server = Server::new("");
    let admin = ["/api/v1/server", "/metrics", "/api/v1/openapi.json", "/admin"];
    server.routes = Routes::Public;
    for path in admin {
        server.get(path).await.is_problem(404);
    }
    assert_eq!(server.get("/").await.status, 200);
    server.routes = Routes::Admin;
    for path in admin {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    server.ask("POST", "/whep/demo", &[SDP], WATCH).await.is_problem(404);
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_person_at_a_bad_address_gets_a_page_and_a_program_a_problem() {
    let server = Server::new("");
    let person = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let answer = server.ask("GET", "/watch/two%20words", &person, "").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("<html"), "{}", answer.body);
    assert!(!answer.headers.contains_key("etag"), "the next page at this address is another");
    let answer = server.ask("GET", "/watch/two%20words", &[("accept", "*/*")], "").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("bad-stream-name"), "{}", answer.body);
}

#[tokio::test]
async fn pages_are_kept_by_browsers_and_loaded_from_here_only() {
    let server = Server::new("");
    let nobody = ["/", "/publish/a", "/watch/a", "/admin"].map(|path| (path, "'none'"));
    for (path, frames) in nobody.into_iter().chain([("/embed/a", "*")]) {
        let page = server.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("cache-control"), "no-cache");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert!(policy.ends_with(&format!("frame-ancestors {frames}")), "{policy}");
        let again = [("if-none-match", page.header("etag"))];
        assert_eq!(server.ask("GET", path, &again, "").await.status, 304);
    }
    let home = server.get("/").await.body;
    let asset = home.split('"').find(|part| part.starts_with("/assets/")).unwrap();
    let asset = server.get(asset).await;
    assert_eq!(asset.status, 200);
    assert!(asset.header("cache-control").contains("immutable"));
}

#[tokio::test]
async fn answers_are_counted_by_route() {
    let server = Server::new("");
    server.get("/watch/one").await;
    server.get("/watch/two").await;
    server.get("/nothing").await;
    let text = server.get("/metrics").await.body;
    let sample =
        "weir_http_requests_total{method=\"GET\",route=\"/watch/{stream}\",status=\"200\"} 2";
    assert!(text.contains(sample), "{text}");
    assert!(text.contains("route=\"other\",status=\"404\"} 1"), "{text}");
}

#[tokio::test]
async fn a_panic_is_one_answer() {
    async fn broken() -> StatusCode {
        panic!("by intent")
    }
    let router = Router::new().route("/", get(broken));
    let router: Router = router.layer(CatchPanicLayer::custom(layers::panicked));
    let request = Request::builder().uri("/").body(Body::empty()).unwrap();
    Answer::of(router.oneshot(request).await.unwrap()).await.is_problem(500);
}

#[tokio::test]
async fn files_of_no_stream_are_problems_that_nobody_keeps() {
    let server = Server::new("");
    for (path, status) in [
        ("/live/demo/index.m3u8", 404),
        ("/live/demo/abc/v0.m3u8", 404),
        ("/live/demo/abc/..%2f..%2fetc", 404),
        ("/live/../index.m3u8", 404),
        ("/live/a%2Fb/index.m3u8", 400),
        ("/live/demo/abc/v0/x", 404),
    ] {
        let answer = server.get(path).await;
        answer.is_problem(status);
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    assert!(server.context.live.totals().streams == 0);
    let answer = server.ask("POST", "/live/demo/index.m3u8", &[], "").await;
    answer.is_problem(405);
    let asks = [("origin", "https://a.example"), ("access-control-request-method", "GET")];
    let answer = server.ask("OPTIONS", "/live/demo/index.m3u8", &asks, "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.header("access-control-allow-headers").contains("Range"));
    let answer = server.ask("GET", "/live/demo/abc/v0.m3u8", &asks, "").await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.header("access-control-expose-headers").contains("Age, Date"));
}

#[tokio::test]
async fn who_may_not_watch_gets_no_files() {
    let server = Server::new("[[access]]\naction='watch'\ntoken='a b'\n");
    server.get("/live/demo/index.m3u8").await.is_problem(401);
    server.get("/live/demo/abc/v0-1.m4s?token=x").await.is_problem(403);
    server.get("/live/demo/index.m3u8?token=a%20b").await.is_problem(404);
}
