//! The pages, embedded in the program: built by `web/`, served from memory.

use std::borrow::Cow;

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

use super::layers::{self, method_not_allowed};
use super::reply::{self, Failure};
use super::{Shared, endpoint};

#[derive(RustEmbed)]
#[folder = "../web/dist"]
struct Dist;

/// Files under this folder carry a hash of their content in their name.
const HASHED: &str = "assets/";

/// What a page may load and talk to: this server. `img-src` and `frame-ancestors` follow.
const POLICY: &str = "default-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; \
    base-uri 'none'; form-action 'self'; object-src 'none'; ";

/// Only the bare player may be framed, by anybody; its `?poster=` may come from anywhere.
const EMBED: &str = "img-src 'self' http: https: data: blob:; frame-ancestors *";
const OTHERS: &str = "img-src 'self' data: blob:; frame-ancestors 'none'";

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(|headers: HeaderMap| async move { page("index.html", &headers) }))
        .route("/publish/{stream}", get(publish))
        .route("/watch/{stream}", get(watch))
        .route("/embed/{stream}", get(embed))
        .route_layer(from_fn(layers::legible))
}

/// Lies beside the API, on whichever listener that is; the page is public, what it shows is not.
pub(super) fn admin() -> Router<Shared> {
    Router::new()
        .route("/admin", get(|headers: HeaderMap| async move { page("admin.html", &headers) }))
}

async fn publish(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Failure> {
    stream_page("publish.html", &name, &headers)
}

async fn watch(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Failure> {
    stream_page("watch.html", &name, &headers)
}

async fn embed(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Failure> {
    stream_page("embed.html", &name, &headers)
}

fn stream_page(file: &str, name: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    let Err(problem) = endpoint::name(name) else {
        return Ok(page(file, headers));
    };
    // A person gets the page, which says in its own words that this is no name.
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if !accepts.is_some_and(|types| types.contains("text/html")) {
        return Err(problem);
    }
    let mut response = page(file, &HeaderMap::new());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().remove(header::ETAG);
    Ok(response)
}

/// What no route is there for: an asset, or 404.
pub(super) async fn missing(request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let public = path.starts_with(HASHED) || !path.contains('/') && !path.ends_with(".html");
    match Dist::get(path).filter(|_| public) {
        Some(_) if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            let allow = [(header::ALLOW, "GET, HEAD")];
            (allow, method_not_allowed(request.method().clone()).await).into_response()
        }
        Some(file) => serve(path, file, request.headers()),
        None => {
            let detail = format!("there is nothing at {}", request.uri().path());
            reply::not_found(detail).into_response()
        }
    }
}

fn page(path: &str, headers: &HeaderMap) -> Response {
    match Dist::get(path) {
        Some(file) => serve(path, file, headers),
        None => reply::broken(&format!("the program was built without {path}")),
    }
}

fn serve(path: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{hex}\"");
    let mut response = if not_modified(headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match file.data {
            Cow::Borrowed(data) => data.into_response(),
            Cow::Owned(data) => data.into_response(),
        }
    };
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    let kind = file.metadata.mimetype();
    let charset = if kind.starts_with("text/") { "; charset=utf-8" } else { "" };
    set(header::CONTENT_TYPE, &format!("{kind}{charset}"));
    set(header::ETAG, &etag);
    let hashed = path.starts_with(HASHED);
    set(
        header::CACHE_CONTROL,
        if hashed { "public, max-age=31536000, immutable" } else { "no-cache" },
    );
    let rest = if path == "embed.html" { EMBED } else { OTHERS };
    set(header::CONTENT_SECURITY_POLICY, &format!("{POLICY}{rest}"));
    response
}

/// True if the client has what it asks for already.
fn not_modified(headers: &HeaderMap, etag: &str) -> bool {
    let listed = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    listed.is_some_and(|list| {
        list.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*")
    })
}
