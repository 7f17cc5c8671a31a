//! Streams that other nodes have: an offer for one is sent there by 307 (RFC 9725 section 4.5; never 301 or 302, which make
//! a GET of a POST). The session then is that node's, and nothing of it comes back here.

use axum::http::Uri;
use signaling::{Problem, Reply};

use crate::config::Elsewhere;

/// So often an offer is sent on; after that it goes in circles.
const HOPS: u8 = 3;
/// The parameter that counts.
const COUNT: &str = "hops=";
const TOKEN: &str = "token=";

/// Where an offer to `/{protocol}/{stream}` goes; `None`: it is for this node. `token` is what it came with.
///
/// # Errors
/// 503 if it goes in circles.
pub(super) fn redirect(
    nodes: &[Elsewhere],
    protocol: &str,
    stream: &stream::Name,
    uri: &Uri,
    token: Option<&str>,
) -> Result<Option<Reply>, Problem> {
    let Some(node) = nodes.iter().find(|node| node.has(stream)) else { return Ok(None) };
    let given = || uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let count = given().find_map(|pair| pair.strip_prefix(COUNT));
    let hops = count.map_or(Ok(0), str::parse::<u8>).unwrap_or(HOPS);
    if hops >= HOPS {
        let detail =
            format!("{stream} was looked for on {hops} nodes, each of which named another");
        let problem = Problem::new(503, "nowhere", "No node has this stream", detail);
        return Err(problem.retry_after(5));
    }
    let mut query: Vec<String> =
        given().filter(|pair| !pair.starts_with(COUNT)).map(str::to_owned).collect();
    // Browsers take `Authorization` off a request that goes to another origin.
    if let Some(token) = token.filter(|_| !given().any(|pair| pair.starts_with(TOKEN))) {
        query.push(format!("{TOKEN}{}", escaped(token)));
    }
    query.push(format!("{COUNT}{}", hops + 1));
    let location = format!("{}/{protocol}/{stream}?{}", node.url(), query.join("&"));
    let detail = format!("{} has this stream", node.url());
    tracing::info!(stream = %stream, to = node.url(), "an offer is sent to another node");
    let moved = Problem::new(307, "elsewhere", "On another node", detail);
    Ok(Some(moved.to_reply().with("Location", location)))
}

/// How many nodes have sent an offer on until now.
pub(super) fn hops(uri: &Uri) -> u8 {
    let mut given = uri.query().unwrap_or_default().split('&');
    let count = given.find_map(|pair| pair.strip_prefix(COUNT));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Percent-encoded (RFC 3986 section 2.1), but for what no part of a URI gives a meaning.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |all, byte| match byte {
        b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => {
            all + char::from(b).encode_utf8(&mut [0; 4])
        }
        b => all + &format!("%{b:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, uri: &str, token: Option<&str>) -> Result<Option<String>, u16> {
        let nodes: Vec<Elsewhere> =
            ["show-*=https://b.example", "show-1=https://c.example", "x=http://d:8080/weir"]
                .iter()
                .map(|text| text.parse().unwrap())
                .collect();
        let (name, uri) = (stream::Name::new(name).unwrap(), uri.parse().unwrap());
        let reply =
            redirect(&nodes, "whep", &name, &uri, token).map_err(|problem| problem.status)?;
        Ok(reply.map(|reply| {
            assert_eq!(reply.status, 307);
            reply.header("location").unwrap().to_owned()
        }))
    }

    #[test]
    fn the_first_node_that_has_it_with_what_came() {
        for (name, uri, token, location) in [
            ("demo", "/whep/demo", None, None),
            ("show-1", "/whep/show-1", None, Some("https://b.example/whep/show-1?hops=1")),
            ("x", "/whep/x?a=b&c", None, Some("http://d:8080/weir/whep/x?a=b&c&hops=1")),
            ("x", "/whep/x?hops=1&a=b", None, Some("http://d:8080/weir/whep/x?a=b&hops=2")),
            (
                "x",
                "/whep/x",
                Some("a+b/ä"),
                Some("http://d:8080/weir/whep/x?token=a%2Bb%2F%C3%A4&hops=1"),
            ),
            ("x", "/whep/x?token=q", Some("q"), Some("http://d:8080/weir/whep/x?token=q&hops=1")),
        ] {
            assert_eq!(ask(name, uri, token), Ok(location.map(str::to_owned)), "{uri}");
        }
        for uri in ["/whep/x?hops=3", "/whep/x?hops=255", "/whep/x?hops=x", "/whep/x?hops="] {
            assert_eq!(ask("x", uri, None), Err(503), "{uri}");
        }
        assert_eq!(ask("demo", "/whep/demo?hops=9", None), Ok(None), "it has arrived");
    }
}
