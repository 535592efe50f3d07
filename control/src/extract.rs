//! What handlers take from a request.

use crate::error::ApiError;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// A JSON body. What does not fit is answered with 422 and the member's path. An empty
/// body is `{}`, since the Modei client sends bodiless requests with a JSON content type.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes =
            axum::body::Bytes::from_request(request, state).await.map_err(|rejection| {
                match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => {
                        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too large")
                    }
                    _ => ApiError::new(StatusCode::BAD_REQUEST, "unreadable", "the body did not come whole"),
                }
            })?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        // PostgreSQL's text has no such character.
        if text.windows(NUL.len()).any(|part| part == NUL) {
            return Err(ApiError::invalid("body", "must not have the character U+0000"));
        }
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { "body".to_owned() } else { path };
            ApiError::invalid(field, error.into_inner().to_string())
        })?;
        reader.end().map_err(|_| ApiError::invalid("body", "something follows the JSON value"))?;
        Ok(Body(value))
    }
}

const NUL: &[u8] = br"\u0000";

/// The query's parameters; 422 where they do not fit.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Query(value))
            .map_err(|rejection| ApiError::invalid("query", rejection.body_text()))
    }
}

/// The path's parameters; what cannot be decoded is not there.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Path(value))
            .map_err(|_| ApiError::new(StatusCode::NOT_FOUND, "not_found", "the path cannot be read"))
    }
}
