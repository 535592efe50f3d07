//! The console's files: HTML, styles and modules that are inside this program, so that the
//! pages are of its version and nothing is fetched from anybody else.

use crate::App;
use crate::error::{ApiError, ApiResult};
use axum::Router;
use axum::extract::Path;
use axum::http::header::{ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use portcullis_core::{base64, sha256};
use std::collections::HashMap;
use std::sync::LazyLock;

mod files {
    include!(concat!(env!("OUT_DIR"), "/console_files.rs"));
}

/// The routes of the files.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/console", get(|| async { moved("/console/") }))
        .route("/console/", get(|headers: HeaderMap| async move { page(&headers, "") }))
        .route("/console/audit", get(|| async { moved("/console/audit/") }))
        .route(
            "/console/{*path}",
            get(|headers: HeaderMap, Path(path): Path<String>| async move { page(&headers, &path) }),
        )
}

struct File {
    bytes: &'static [u8],
    /// RFC 9110, section 8.8.3: of its content, so that a new version is a new tag.
    tag: String,
}

static FILES: LazyLock<HashMap<&str, File>> = LazyLock::new(|| {
    let file =
        |bytes: &'static [u8]| File { bytes, tag: format!("\"{}\"", base64::encode_url(&sha256(bytes))) };
    files::FILES.iter().map(|(path, bytes)| (*path, file(bytes))).collect()
});

fn page(headers: &HeaderMap, path: &str) -> Response {
    let is_audit = path.starts_with("audit/");
    let name = match path {
        "audit/" if files::HAS_PACKAGE && FILES.contains_key("audit/index.html") => "audit/index.html",
        "audit/" => "audit-missing.html",
        path if is_page(path) => "index.html",
        path => path,
    };
    let mut response = file(headers, name).into_response();
    secure(response.headers_mut(), is_audit);
    response
}

/// Whether the one document shows it, by its address: a page's name, which no folder of files has, and
/// perhaps the id of what is on it, which may have any letters. The package has its folder also where this
/// program was built without it.
fn is_page(path: &str) -> bool {
    let name = path.split_once('/').map_or(path, |(name, _)| name);
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
    let folders = FILES.keys().filter_map(|file| Some(file.split_once('/')?.0));
    path.is_empty() || (is_name && folders.chain(["package"]).all(|folder| folder != name))
}

fn file(headers: &HeaderMap, name: &str) -> ApiResult<Response> {
    let file = FILES.get(name).ok_or_else(|| ApiError::not_found("file of the console", name))?;
    // Always asked for, and not sent again while it is the same.
    let kept = [(ETAG, file.tag.as_str()), (HeaderName::from_static("cache-control"), "no-cache")];
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    if known.flat_map(|tags| tags.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == file.tag) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    Ok((kept, [("content-type", content_type(name))], file.bytes).into_response())
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, kind)| kind) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

fn moved(to: &'static str) -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, to)]).into_response()
}

/// Nothing but what this service sends runs, is shown or is called; nobody frames it. The
/// audit page runs WebAssembly, and a worker.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
const AUDIT_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; worker-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
    form-action 'self'";

fn secure(headers: &mut HeaderMap, is_audit: bool) {
    for (name, value) in [
        ("content-security-policy", if is_audit { AUDIT_POLICY } else { POLICY }),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}
