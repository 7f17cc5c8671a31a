//! The routes of the events extension.

use std::time::Duration;

use signaling::SessionId;

use super::*;

const JSON: (&str, &str) = ("content-type", "application/json");

/// A session and the path of its events.
async fn session(server: &Server) -> (String, String) {
    let answer = server.ask("POST", "/whep/demo", &[SDP], WATCH).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let path = answer.header("location").strip_prefix("http://localhost:1").unwrap().to_owned();
    let events = format!("{path}/events");
    (path, events)
}

async fn listen(server: &Server, path: &str) -> Response {
    let mut request =
        Request::builder().uri(path).header("host", "localhost").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer("127.0.0.1:5".parse().unwrap()));
    router(&server.context, server.routes).oneshot(request).await.unwrap()
}

/// What comes next; `None` at the end.
async fn heard(response: &mut Response) -> Option<String> {
    let frame = response.body_mut().frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_viewer_listens_until_its_session_ends() {
    let server = Server::new("");
    let (path, events) = session(&server).await;
    let made = server.ask("POST", &events, &[JSON], "[\"viewercount\"]").await;
    assert_eq!((made.status, made.body.as_str()), (201, ""));
    assert_eq!(made.header("location"), format!("http://localhost:1{events}"));
    assert_eq!(made.header("access-control-allow-origin"), "*");

    let mut stream = listen(&server, &events).await;
    let field = |name: &str| stream.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(stream.status(), 200);
    assert_eq!(field("content-type"), "text/event-stream");
    assert_eq!(field("cache-control"), "no-store");
    assert_eq!(field("access-control-allow-origin"), "*");
    assert_eq!(heard(&mut stream).await.unwrap(), ":\n\n");
    let count = heard(&mut stream).await.unwrap();
    assert_eq!(count, "event: viewercount\ndata: {\"viewercount\":1}\n\n");
    assert!(server.get("/metrics").await.body.contains("\nweir_event_streams 1\n"));

    let mut newer = listen(&server, &events).await;
    assert_eq!(heard(&mut stream).await, None, "a newer reader ends the older one");
    drop(stream);
    assert_eq!(server.ask("DELETE", &path, &[], "").await.status, 200);
    assert_eq!(heard(&mut newer).await.unwrap(), ":\n\n");
    assert_eq!(heard(&mut newer).await, Some(count));
    assert_eq!(heard(&mut newer).await, None);
    drop(newer);
    assert!(server.get("/metrics").await.body.contains("\nweir_event_streams 0\n"));
    server.get(&events).await.is_problem(404);
    server.ask("POST", &events, &[JSON], "[]").await.is_problem(404);
}

#[tokio::test]
async fn a_silent_event_stream_is_kept_alive() {
    let server = Server::new("");
    let (path, events) = session(&server).await;
    assert_eq!(server.ask("POST", &events, &[JSON], "[]").await.status, 201);
    let name = endpoint::name("demo").ok().unwrap();
    let session = SessionId::parse(path.rsplit('/').next().unwrap()).unwrap();
    let listener = server.context.hub.listen(&name, session).await.unwrap();
    let seat = server.context.events.enter().unwrap();
    let mut stream = super::super::events::answer(listener, seat, Duration::from_millis(1));
    for _ in 0..4 {
        assert_eq!(heard(&mut stream).await.unwrap(), ":\n\n");
    }
    assert_eq!(server.ask("DELETE", &path, &[], "").await.status, 200);
    while heard(&mut stream).await.is_some() {}
}

#[tokio::test]
async fn an_event_stream_ends_by_delete_and_when_the_server_stops() {
    let server = Server::new("");
    let (_path, events) = session(&server).await;
    let mut stream = listen(&server, &events).await;
    assert_eq!(server.ask("DELETE", &events, &[], "").await.status, 200);
    while heard(&mut stream).await.is_some() {}
    server.get(&events).await.is_problem(404);

    assert_eq!(server.ask("POST", &events, &[], "").await.status, 201);
    let mut stream = listen(&server, &events).await;
    assert_eq!(heard(&mut stream).await.unwrap(), ":\n\n");
    server.context.hub.drain().await;
    let mut last = String::new();
    while let Some(text) = heard(&mut stream).await {
        last = text;
    }
    assert_eq!(last, "event: reconnect\ndata: {\"reason\":\"stopping\"}\n\n");
}

#[tokio::test]
async fn what_is_no_request_for_events_is_refused() {
    let server = Server::new("");
    let (path, events) = session(&server).await;
    server.ask("POST", &events, &[JSON], "[\"active\",\"scte35\"]").await.is_problem(400);
    server.ask("POST", &events, &[JSON], "{}").await.is_problem(400);
    server.ask("POST", &events, &[SDP], "v=0").await.is_problem(415);
    server.ask("PUT", &events, &[], "").await.is_problem(405);
    let preflight = server.ask("OPTIONS", &events, &[], "").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, "*"));
    server.get(&events.replace("demo", "other")).await.is_problem(404);
    server.get("/whep/demo/0123/events").await.is_problem(404);
    server.get(&events.replace("/whep/", "/whip/")).await.is_problem(404);
    assert_eq!(server.ask("DELETE", &path, &[], "").await.status, 200);
}

#[tokio::test]
async fn event_streams_leave_connections_for_signalling() {
    let mut server = Server::new("http.max_connections = 2");
    let (_path, events) = session(&server).await;
    let stream = listen(&server, &events).await;
    assert_eq!(stream.status(), 200);
    let full = server.get(&events).await;
    full.is_problem(503);
    assert_ne!(full.header("retry-after"), "");
    drop(stream);
    assert_eq!(listen(&server, &events).await.status(), 200);
    // Nobody listens on an admin listener.
    server.routes = Routes::Admin;
    server.get(&events).await.is_problem(404);
}
