//! Everything that speaks HTTP: which route goes where, and what holds for all of them.
//!
//! WHIP and WHEP are decided by their crates; here bodies are bounded, clients recognised, access
//! asked, rates kept, and replies written. No route answers an error in another form than
//! `application/problem+json`.

mod api;
mod caller;
mod elsewhere;
mod encoders;
mod endpoint;
mod events;
pub(crate) mod files;
mod ice_servers;
mod layers;
mod limit;
mod pages;
mod path;
mod reply;
mod sessions;
mod stored;
#[cfg(test)]
mod tests;
mod way;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, options};
use tokio::net::TcpStream;
use tower_http::catch_panic::CatchPanicLayer;

pub use api::{Info, Limits, Listener};
pub(crate) use caller::{Peer, token_in};
pub(crate) use endpoint::{random_session, stream_name};
pub(crate) use limit::group;
pub(crate) use way::Way;

use crate::access::Access;
use crate::config;
use crate::hub::Hub;
use crate::live::Live;
use crate::metrics::Requests;
use crate::net::Refused;
use crate::tls::Tls;
use crate::{rtmp, self_test, serve};
use limit::Limiter;

/// What the routes need.
pub struct Context {
    hub: Hub,
    access: Arc<Access>,
    http: config::Http,
    /// False if `webrtc.listen` is off.
    webrtc: bool,
    info: Info,
    encoders: encoders::Encoders,
    started: Instant,
    limiter: Limiter,
    requests: Requests,
    closed: Arc<serve::Closed>,
    rtmp: Arc<rtmp::Counts>,
    live: Live,
    events: events::Hall,
    ice_servers: ice_servers::IceServers,
    draining: std::sync::atomic::AtomicBool,
    self_test: Arc<self_test::Results>,
}

impl Context {
    /// Ready to serve.
    pub fn new(hub: Hub, access: Arc<Access>, config: &config::Config, info: Info) -> Self {
        let data = config.data.dir(|name| std::env::var_os(name));
        Self {
            live: Live::new(hub.clone(), &config.live, &data, &config.http),
            hub,
            access,
            limiter: Limiter::new(config.http.rate, config.http.loopback_rate),
            http: config.http.clone(),
            webrtc: config.webrtc.listen.0.is_some(),
            encoders: encoders::Encoders::new(info.worker.clone()),
            info,
            started: crate::clock::now(),
            requests: Requests::default(),
            closed: Arc::default(),
            rtmp: Arc::default(),
            events: events::Hall::new(config.http.max_connections),
            ice_servers: ice_servers::IceServers::new(&config.webrtc),
            draining: false.into(),
            self_test: Arc::default(),
        }
    }

    /// The access rules.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// The same hub and rules for those who come by RTMP.
    pub(crate) fn door(&self, config: &config::Rtmp) -> rtmp::Door {
        let (hub, access) = (self.hub.clone(), Arc::clone(&self.access));
        rtmp::Door::new(hub, access, config, Arc::clone(&self.rtmp))
    }

    /// Where it is counted which connections were closed before they asked.
    pub(crate) fn closed(&self) -> Arc<serve::Closed> {
        Arc::clone(&self.closed)
    }

    /// A connection that carries media, see [`Hub::plug`].
    pub(crate) async fn plug(&self, stream: TcpStream, peer: SocketAddr) -> Result<(), Refused> {
        self.hub.plug(stream, peer).await
    }

    /// Where it is said what the self-test has found.
    pub(crate) fn self_test(&self) -> Arc<self_test::Results> {
        Arc::clone(&self.self_test)
    }

    /// From now on `/readyz` says 503 and nobody may begin to publish or watch.
    pub fn drain(&self) {
        self.draining.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Nothing is served any more: what was stored for it goes.
    pub async fn close(&self) {
        self.live.disk().closed().await;
    }

    fn is_draining(&self) -> bool {
        self.draining.load(std::sync::atomic::Ordering::Relaxed)
    }
}

type Shared = Arc<Context>;

/// Which routes a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routes {
    /// All, while `admin.listen` is off.
    All,
    /// Pages, WHIP, WHEP and HLS.
    Public,
    /// API, metrics and the admin page.
    Admin,
}

/// What one listener serves.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) router: Router,
    /// Where it serves files of streams, what they need: most of their requests never come to the router.
    pub(crate) files: Option<Arc<Context>>,
    pub(crate) tls: Option<Arc<Tls>>,
    /// How its requests come.
    pub(crate) way: Way,
}

impl Site {
    pub(crate) fn new(context: &Arc<Context>, routes: Routes, tls: Option<Arc<Tls>>) -> Self {
        let files = (routes != Routes::Admin).then(|| Arc::clone(context));
        Self { router: router(context, routes), files, tls, way: Way::Clear }
    }

    /// The same for a connection that came so.
    pub(crate) fn by(mut self, way: Way) -> Self {
        // Files have no word for who is at the wrong place; the routes do.
        self.files = self.files.filter(|_| !way.is_closed());
        Self { way, ..self }
    }
}

/// The routes of one listener.
pub fn router(context: &Arc<Context>, routes: Routes) -> Router {
    let mut router =
        Router::new().route("/healthz", get(api::healthz)).route("/readyz", get(api::readyz));
    if routes != Routes::Public {
        router = router.merge(admin()).merge(pages::admin());
    }
    if routes != Routes::Admin {
        router = router.merge(signalling(context)).merge(files(context)).merge(pages::router());
    }
    router
        .fallback(pages::missing)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(from_fn(way::insist))
        .layer(from_fn(layers::one_host))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn(layers::secure))
        .layer(from_fn_with_state(context.clone(), layers::count))
        .with_state(context.clone())
}

fn admin() -> Router<Shared> {
    Router::new()
        .route("/api/v1/openapi.json", get(api::openapi))
        .route("/api/v1/server", get(api::server))
        .route("/api/v1/streams", get(api::streams))
        .route("/api/v1/streams/{stream}", get(api::stream))
        .route("/api/v1/streams/{stream}/history", get(api::history))
        .route("/api/v1/streams/{stream}/viewers", get(api::viewers))
        .route("/api/v1/streams/{stream}/publisher", axum::routing::delete(api::kick))
        .route("/api/v1/sessions/{id}", axum::routing::delete(sessions::kick))
        .route("/api/v1/sessions/{id}/status", get(sessions::status))
        .route("/api/v1/sessions/{id}/health", get(sessions::health))
        .route("/api/v1/sessions/{id}/logs", get(sessions::logs))
        .route("/metrics", get(api::metrics))
        .route_layer(from_fn(layers::legible))
}

fn signalling(context: &Arc<Context>) -> Router<Shared> {
    Router::new()
        .route("/whip/{stream}", any(endpoint::whip))
        .route("/whip/{stream}/{session}", any(endpoint::whip_session))
        .route("/whep/{stream}", any(endpoint::whep))
        .route("/whep/{stream}/{session}", any(endpoint::whep_session))
        .route("/whep/{stream}/{session}/layer", any(endpoint::whep_layer))
        .route("/whep/{stream}/{session}/events", any(events::whep_events))
        .route_layer(from_fn(layers::legible))
        .route_layer(from_fn_with_state(context.clone(), layers::limit))
        .route_layer(from_fn(layers::time_out))
        .route_layer(from_fn_with_state(context.clone(), layers::cross_origin))
}

fn files(context: &Arc<Context>) -> Router<Shared> {
    let preflight = || {
        let around = from_fn_with_state(context.clone(), layers::cross_origin_files);
        options(files::preflight).layer(around)
    };
    Router::new()
        .route("/live/{stream}/index.m3u8", get(files::index).merge(preflight()))
        .route("/live/{stream}/{epoch}/{file}", get(files::file).merge(preflight()))
}
