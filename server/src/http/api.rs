//! `/api/v1`: what is live and how the server is, as JSON; `/metrics`, `/healthz`, `/readyz`.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use signaling::Problem;
use utoipa::{OpenApi, ToSchema};

use super::caller::Client;
use super::path::Path;
use super::reply::{Failure, ProblemBody, not_found};
use super::{Shared, endpoint};
use crate::access::Action;
use crate::self_test::Check;
use crate::{clock, metrics, status};

/// What does not change while the server runs.
#[derive(Clone, Debug)]
pub struct Info {
    /// Open sockets.
    pub listeners: Vec<Listener>,
    /// Media threads.
    pub shards: usize,
    /// The program that bridges codecs, or why there is none.
    pub worker: Result<transcode::Worker, String>,
    /// Caps.
    pub limits: Limits,
}

/// One open socket.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Listener {
    /// Its key in the configuration.
    pub key: &'static str,
    /// `tcp` or `udp`
    pub transport: &'static str,
    /// As it is, not as it was asked for: port 0 has become a real one.
    #[schema(value_type = String)]
    pub address: std::net::SocketAddr,
}

/// What the server takes at most.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Limits {
    /// WHIP sessions at once.
    pub publishers: usize,
    /// WHEP sessions at once.
    pub viewers: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Signalling requests per second and client address; 0: any number.
    pub requests_per_second: u32,
    /// TCP connections at once.
    pub connections: usize,
    /// RTMP and RTMPS connections at once, where they may come.
    pub rtmp_connections: usize,
}

/// The server itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Server {
    version: &'static str,
    uptime_seconds: u64,
    listeners: Vec<Listener>,
    /// Media threads.
    shards: usize,
    /// What the worker program that bridges codecs calls itself; `null` where none answers.
    worker: Option<String>,
    /// The encoders that it has, by their names in its libraries.
    encoders: Vec<String>,
    /// Why there are none; `null` where there are.
    encoders_problem: Option<String>,
    limits: Limits,
    /// What the server found when it asked itself whether viewers reach it, at the start and after each SIGHUP; `null` for
    /// about the first second.
    self_test: Option<Vec<Check>>,
    /// The signal to stop has come.
    draining: bool,
}

/// Proof that the caller may use the API; about one stream if the path names one.
pub(super) struct Allowed;

impl FromRequestParts<Shared> for Allowed {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, context: &Shared) -> Result<Self, Failure> {
        let client = Client::new(parts, &context.http.trusted_proxies);
        let path =
            Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, &()).await;
        let stream = match path.ok().and_then(|Path(mut path)| path.remove("stream")) {
            Some(text) => Some(endpoint::name(&text)?),
            None => None,
        };
        context.access.authorize(Action::Api, stream.as_ref(), &client.caller)?;
        Ok(Self)
    }
}

fn unknown(name: &stream::Name) -> Failure {
    not_found(format!("there is no stream {name}: nobody publishes or watches it"))
}

/// Version, uptime, open sockets, limits
#[utoipa::path(get, path = "/api/v1/server", tag = "server",
    responses((status = 200, body = Server), (status = "4XX", body = ProblemBody)))]
pub(super) async fn server(_: Allowed, State(context): State<Shared>) -> impl IntoResponse {
    let info = &context.info;
    let (worker, encoders, encoders_problem) = match context.encoders.found().await {
        Ok(about) if about.encoders.is_empty() => {
            let problem = format!("the libraries of {} have none that is known", about.program);
            (Some(about.program), Vec::new(), Some(problem))
        }
        Ok(about) => (Some(about.program), about.encoders, None),
        Err(problem) => (None, Vec::new(), Some(problem)),
    };
    Json(Server {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: clock::now().saturating_duration_since(context.started).as_secs(),
        listeners: info.listeners.clone(),
        shards: info.shards,
        worker,
        encoders,
        encoders_problem,
        limits: info.limits,
        self_test: context.self_test.borrow().as_deref().map(<[Check]>::to_vec),
        draining: context.is_draining(),
    })
}

/// Every stream
#[utoipa::path(get, path = "/api/v1/streams", tag = "streams",
    responses((status = 200, body = [status::Stream]), (status = "4XX", body = ProblemBody)))]
pub(super) async fn streams(_: Allowed, State(context): State<Shared>) -> impl IntoResponse {
    let mut streams = context.hub.streams().await;
    streams.iter_mut().for_each(|stream| context.live.tell(stream));
    Json(streams)
}

/// One stream
#[utoipa::path(get, path = "/api/v1/streams/{stream}", tag = "streams",
    params(("stream" = String, Path, description = "its name")),
    responses((status = 200, body = status::Stream), (status = "4XX", body = ProblemBody)))]
pub(super) async fn stream(
    _: Allowed,
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<status::Stream>, Failure> {
    let name = endpoint::name(&name)?;
    let mut stream = context.hub.stream(&name).await.ok_or_else(|| unknown(&name))?;
    context.live.tell(&mut stream);
    Ok(Json(stream))
}

/// Its last five minutes, for charts
#[utoipa::path(get, path = "/api/v1/streams/{stream}/history", tag = "streams",
    params(("stream" = String, Path, description = "its name")),
    responses((status = 200, body = status::History), (status = "4XX", body = ProblemBody)))]
pub(super) async fn history(
    _: Allowed,
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<status::History>, Failure> {
    let name = endpoint::name(&name)?;
    context.hub.history(&name).await.map(Json).ok_or_else(|| unknown(&name))
}

/// Its viewers
#[utoipa::path(get, path = "/api/v1/streams/{stream}/viewers", tag = "streams",
    params(("stream" = String, Path, description = "its name")),
    responses((status = 200, body = [status::Viewer]), (status = "4XX", body = ProblemBody)))]
pub(super) async fn viewers(
    _: Allowed,
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Vec<status::Viewer>>, Failure> {
    let name = endpoint::name(&name)?;
    context.hub.viewers(&name).await.map(Json).ok_or_else(|| unknown(&name))
}

/// Disconnects the publisher
#[utoipa::path(delete, path = "/api/v1/streams/{stream}/publisher", tag = "streams",
    params(("stream" = String, Path, description = "its name")),
    responses((status = 204), (status = "4XX", body = ProblemBody)))]
pub(super) async fn kick(
    _: Allowed,
    State(context): State<Shared>,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    let name = endpoint::name(&name)?;
    if context.hub.kick_publisher(&name).await {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(not_found(format!("nobody publishes {name}")))
}

/// Counters as Prometheus reads them
#[utoipa::path(get, path = "/metrics", tag = "server",
    responses((status = 200, content_type = "text/plain", body = String), (status = "4XX", body = ProblemBody)))]
pub(super) async fn metrics(_: Allowed, State(context): State<Shared>) -> impl IntoResponse {
    let totals = context.hub.totals().await;
    let uptime = clock::now().saturating_duration_since(context.started).as_secs_f64();
    let rest = metrics::Rest {
        event_streams: context.events.taken(),
        requests: &context.requests,
        closed: &context.closed,
        rtmp: &context.rtmp,
        live: context.live.totals(),
        uptime_seconds: uptime,
    };
    let text = metrics::render(&totals, &rest);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text)
}

/// 200 while the process answers
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 while the server takes work, 503 while it stops
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200), (status = 503, body = ProblemBody)))]
pub(super) async fn readyz(State(context): State<Shared>) -> Response {
    match ready(&context) {
        Ok(()) => "ready\n".into_response(),
        Err(problem) => Failure(problem).into_response(),
    }
}

/// 503 while the server stops.
pub(super) fn ready(context: &Shared) -> Result<(), Problem> {
    if !context.is_draining() {
        return Ok(());
    }
    let detail = "the server is stopping and takes nobody new";
    Err(Problem::new(503, "draining", "Stopping", detail).retry_after(5))
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Weir", description = "What is live on this server, and how it is."),
    paths(
        server,
        streams,
        stream,
        history,
        viewers,
        kick,
        metrics,
        healthz,
        readyz,
        super::sessions::status,
        super::sessions::health,
        super::sessions::logs,
        super::sessions::kick
    )
)]
struct Description;

/// This API's description.
pub(super) async fn openapi() -> impl IntoResponse {
    Json(Description::openapi())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_names_every_route_and_shape() {
        let text = Description::openapi().to_json().unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        for path in [
            "/api/v1/server",
            "/api/v1/streams",
            "/api/v1/streams/{stream}",
            "/api/v1/streams/{stream}/history",
            "/api/v1/streams/{stream}/viewers",
            "/api/v1/streams/{stream}/publisher",
            "/api/v1/sessions/{id}",
            "/api/v1/sessions/{id}/status",
            "/api/v1/sessions/{id}/health",
            "/api/v1/sessions/{id}/logs",
            "/metrics",
            "/healthz",
            "/readyz",
        ] {
            assert!(json["paths"][path].is_object(), "{path}");
        }
        for schema in [
            "Stream", "History", "Sample", "Viewer", "Server", "Problem", "Track", "Encoding",
            "Session", "Health", "Logs",
        ] {
            assert!(json["components"]["schemas"][schema].is_object(), "{schema}: {text}");
        }
    }
}
