//! Which pages may use a session. A browser adds the cookie to whatever is sent here, so a
//! cookie says who, and not that the console asked: what changes something must come from
//! the very origin that signed in, with a header that no other site's page can add without
//! being asked for leave (CORS), which is given to nobody.

use crate::Settings;
use crate::error::{ApiError, ApiResult};
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};

/// The header of the console's own requests: `active` where a person has just done something,
/// `waiting` where the page asks by itself.
pub const HEADER: &str = "x-portcullis-console";

/// That a page of this origin sent a request with a session's cookie.
///
/// # Errors
/// 403 where another page may have.
pub fn check(parts: &Parts, origin: &str) -> ApiResult<()> {
    check_site(&parts.headers)?;
    if is_safe(&parts.method) {
        return Ok(());
    }
    check_header(&parts.headers)?;
    match header(&parts.headers, ORIGIN.as_str()) {
        Some(sent) if sent == origin => Ok(()),
        _ => Err(refused("its Origin is not the page's that signed in")),
    }
}

/// The origin of the page that wants to sign in, which must be of this service: of the host
/// that it calls, or of the public URL.
///
/// # Errors
/// 403 where another page may have sent it.
pub fn signing_in(parts: &Parts, settings: &Settings) -> ApiResult<String> {
    check_site(&parts.headers)?;
    check_header(&parts.headers)?;
    let origin = header(&parts.headers, ORIGIN.as_str()).unwrap_or_default();
    let host = parts.uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| header(&parts.headers, HOST.as_str())).unwrap_or_default();
    // Before a proxy that ends TLS the service does not know the scheme; the browser does.
    let is_tls = settings.tls_cert.is_some();
    let of_host = match origin.split_once("://") {
        Some(("https", rest)) => rest == host,
        Some(("http", rest)) => rest == host && !is_tls,
        _ => false,
    };
    if of_host || origin == settings.public_url {
        return Ok(origin.to_owned());
    }
    Err(refused("its Origin is not this service's: see --public-url"))
}

/// Browsers say what they know of a request's sender (Fetch Metadata). `none` is a person's
/// own doing, as a typed address.
fn check_site(headers: &HeaderMap) -> ApiResult<()> {
    match header(headers, "sec-fetch-site") {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err(refused("a page of another origin sent it")),
    }
}

fn check_header(headers: &HeaderMap) -> ApiResult<()> {
    match header(headers, HEADER) {
        Some(_) => Ok(()),
        None => Err(refused(&format!("the header {HEADER} is missing"))),
    }
}

fn refused(why: &str) -> ApiError {
    ApiError::forbidden(format!("the request is not the console's own: {why}"))
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
