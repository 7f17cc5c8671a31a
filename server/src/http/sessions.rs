//! `/api/v1/sessions/{id}`: how one session is, what is wrong with it and what happened to it, also
//! for a while after its end. `{id}` is the short form that the API shows; the secret of the
//! session's URL is neither asked for nor told.

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::Shared;
use super::caller::Client;
use super::reply::{Failure, ProblemBody, not_found};
use crate::access::Action;
use crate::hub::File;
use crate::{clock, status};

/// The session that a path names, for a caller who may use the API of its stream. Who may not is told
/// the same whether there is such a session or not.
pub(super) struct Found(File);

impl FromRequestParts<Shared> for Found {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, context: &Shared) -> Result<Self, Failure> {
        let client = Client::new(parts, &context.http.trusted_proxies);
        let id = Path::<String>::from_request_parts(parts, &()).await;
        let short = id.ok().and_then(|Path(id)| short(&id));
        let stream = match short {
            Some(short) => context.hub.session_stream(short).await,
            None => None,
        };
        context.access.authorize(Action::Api, stream.as_ref(), &client.caller)?;
        let file = match short {
            Some(short) => context.hub.session(short).await,
            None => None,
        };
        // The file may be of another session that has the same short id by now.
        file.filter(|file| Some(file.stream()) == stream.as_ref()).map(Self).ok_or_else(unknown)
    }
}

/// Eight hex digits, as `SessionId` prints them.
fn short(text: &str) -> Option<u32> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let ok = text.len() == 8 && text.bytes().all(hex);
    u32::from_str_radix(text, 16).ok().filter(|_| ok)
}

fn unknown() -> Failure {
    not_found(
        "there is no such session, live or lately ended; the id is the one that the API shows",
    )
}

/// State, transport and numbers of one session
#[utoipa::path(get, path = "/api/v1/sessions/{id}/status", tag = "sessions",
    params(("id" = String, Path, description = "the short id that the viewers' list shows")),
    responses((status = 200, body = status::Session), (status = "4XX", body = ProblemBody)))]
pub(super) async fn status(Found(file): Found) -> Json<status::Session> {
    Json(file.status())
}

/// What is wrong with one session, and what to do
#[utoipa::path(get, path = "/api/v1/sessions/{id}/health", tag = "sessions",
    params(("id" = String, Path, description = "the short id that the viewers' list shows")),
    responses((status = 200, body = status::Health), (status = "4XX", body = ProblemBody)))]
pub(super) async fn health(Found(file): Found) -> Json<status::Health> {
    Json(file.health(clock::now()))
}

/// The last 200 things that happened to one session, and why
#[utoipa::path(get, path = "/api/v1/sessions/{id}/logs", tag = "sessions",
    params(("id" = String, Path, description = "the short id that the viewers' list shows")),
    responses((status = 200, body = status::Logs), (status = "4XX", body = ProblemBody)))]
pub(super) async fn logs(Found(file): Found) -> Json<status::Logs> {
    Json(file.logs())
}

/// Disconnects one publisher or viewer
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "the short id that the viewers' list shows")),
    responses((status = 204), (status = "4XX", body = ProblemBody)))]
pub(super) async fn kick(
    Found(file): Found,
    State(context): State<Shared>,
) -> Result<StatusCode, Failure> {
    if context.hub.kick_session(file).await {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(not_found("the session has ended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_short_id_is_one() {
        assert_eq!(short("0000beef"), Some(0xbeef));
        for bad in ["", "beef", "0000beef0", "0000BEEF", "+000beef", "0000bee/", "0000beé"] {
            assert_eq!(short(bad), None, "{bad:?}");
        }
    }
}
