//! The variable parts of a route's path. What is no text (`%ff`) is refused with a problem, as everything is.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use signaling::Problem;

use super::reply::Failure;

/// As axum's own, which answers in plain text.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejected) => {
                let why = rejected.body_text();
                Err(Problem::new(400, "bad-path", "The path cannot be read", why).into())
            }
        }
    }
}
