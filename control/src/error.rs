//! What a caller is told when its request fails.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// A failed request. The `code` is stable, the message is for people.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// A stable name for what went wrong.
    pub code: &'static str,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// The member of the body that is at fault, as in `permissions[0]`.
    pub field: Option<String>,
    /// Whole seconds after which to try again.
    pub retry_after: Option<u64>,
    /// The number with which a lane of records goes on.
    pub next: Option<u64>,
}

/// The body of every answer that is no success. `error` and `message` are strings at the
/// top, as the Modei and the CapiscIO clients read them.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// A stable name for what went wrong.
    pub error: String,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// As `error`.
    pub code: String,
    /// The member of the body that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The number with which a lane of records goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// The id under which the service's log has this request.
    pub request_id: String,
}

/// What a handler answers.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// An error with a status, a code and a message.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        ApiError { status, code, message: message.into(), field: None, retry_after: None, next: None }
    }

    /// 401.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 404: there is no such thing.
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what} {id:.200}"))
    }

    /// 409.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 409: of what gates name themselves two have the id that is asked for.
    pub fn two_gates(code: &'static str) -> Self {
        let message = "gate_id: two gates have given this id: say which with ?gate_id=";
        let mut error = Self::new(StatusCode::CONFLICT, code, message);
        error.field = Some("gate_id".to_owned());
        error
    }

    /// 422: the body, or a parameter, has something wrong in `field`.
    pub fn invalid(field: impl Into<String>, problem: impl AsRef<str>) -> Self {
        let field = field.into();
        let message = format!("{field}: {}", problem.as_ref());
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message);
        error.field = Some(field);
        error
    }

    /// 429, for so many seconds.
    pub fn too_many(seconds: u64) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            format!("too many requests; try again in {seconds} s"),
        );
        error.retry_after = Some(seconds);
        error
    }
}

/// What fails inside is for the log; the caller learns that it was not its fault.
impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "a request failed inside");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the service failed; its log has the reason under this request's id",
        )
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        anyhow::Error::new(error).into()
    }
}

/// [`crate::server`] completes the body with the request's id.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl ApiError {
    /// The body, for the request of this id.
    pub(crate) fn body(&self, request_id: &str) -> Json<ErrorBody> {
        Json(ErrorBody {
            error: self.code.to_owned(),
            message: self.message.clone(),
            code: self.code.to_owned(),
            field: self.field.clone(),
            next: self.next,
            request_id: request_id.to_owned(),
        })
    }
}
