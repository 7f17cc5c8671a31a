//! Who may use WHIP and WHEP from a page of another site, over real HTTP: `http.cors_origins`
//! (the Fetch standard's CORS protocol, as WHIP asks for in RFC 9725 section 4.7).

use tests::http::{Answer, send};
use tests::{Weir, weir};

const SHOP: &str = "https://shop.example";

fn preflight(weir: &Weir, path: &str, origin: &str) -> Answer {
    let asks = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    send("OPTIONS", &weir.at(path), &asks, &[])
}

fn cors(answer: &Answer) -> Vec<&str> {
    let names = answer.headers.iter().map(|(name, _)| name.as_str());
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[test]
fn any_site_by_default() {
    let weir = Weir::start();
    for path in ["/whip/demo", "/whep/demo"] {
        let answer = preflight(&weir, path, SHOP);
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let fields = answer.header("access-control-allow-headers").unwrap_or_default();
        assert!(fields.contains("Authorization") && fields.contains("Content-Type"), "{fields}");
    }
    // What is no business of other sites stays so.
    assert_eq!(cors(&preflight(&weir, "/api/v1/streams", SHOP)), [""; 0]);
}

#[test]
fn only_the_listed_sites() {
    let weir =
        Weir::with(&["--http-cors-origins", "https://shop.example,http://localhost:3000"], "");
    for origin in [SHOP, "http://localhost:3000"] {
        let answer = preflight(&weir, "/whep/demo", origin);
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("vary"), Some("Origin"));
        assert!(cors(&answer).contains(&"access-control-allow-headers"));
    }
    for origin in
        ["https://evil.example", "http://shop.example", "https://shop.example:444", "null"]
    {
        let answer = preflight(&weir, "/whep/demo", origin);
        assert_eq!(cors(&answer), [""; 0], "{origin}");
    }
    // The answer itself, a refusal here: readable for the one, not for the other.
    let post = |origin| {
        let fields = [("content-type", "application/sdp"), ("origin", origin)];
        send("POST", &weir.at("/whep/demo"), &fields, b"v=0")
    };
    let answer = post(SHOP);
    answer.problem(422);
    assert_eq!(answer.header("access-control-allow-origin"), Some(SHOP));
    let answer = post("https://evil.example");
    answer.problem(422);
    assert_eq!(cors(&answer), [""; 0]);
}

#[test]
fn what_is_no_origin_is_an_error_at_the_start() {
    let config = "http.cors_origins = ['https://shop.example/page']";
    let (status, out, err) = weir::run(&["check", "--config", "c.toml"], &[("c.toml", config)]);
    assert_eq!(status.code(), Some(2), "{out}{err}");
    assert!(format!("{out}{err}").contains("is no origin"), "{out}{err}");
}
