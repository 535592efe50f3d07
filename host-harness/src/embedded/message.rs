//! Between hyper's messages and the header maps of the ABI.

use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::http::{request, response};
use hyper::{Method, Request, Response, StatusCode, Uri};
use portcullis_harness::Headers;

use super::limits;

/// Fields that concern one connection only (RFC 9110, section 7.6.1), and the
/// trailers' announcement, since trailers end here.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request's head as the plugin sees it, or the status that refuses it.
pub(super) fn request_map(head: &request::Parts) -> Result<Headers, StatusCode> {
    if head.method == Method::CONNECT || head.headers.contains_key(UPGRADE) {
        // As Envoy answers upgrades that no listener allows.
        return Err(StatusCode::FORBIDDEN);
    }
    if size(head) > limits::REQUEST_HEAD {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let mut map = Headers::default();
    map.add(":authority", authority(head)?.as_bytes());
    map.add(":path", head.uri.path_and_query().map_or("/", |path| path.as_str()));
    map.add(":method", head.method.as_str());
    map.add(":scheme", "http");
    add_end_to_end(&mut map, &head.headers, |name| name == HOST);
    Ok(map)
}

/// What the plugin let through, as a request to the upstream. `None` if the
/// plugin put something there that HTTP cannot carry.
pub(super) fn upstream_request<B>(map: &Headers, upstream: &str, body: B) -> Option<Request<B>> {
    let path = map.value(b":path")?;
    let uri = Uri::builder().scheme("http").authority(upstream).path_and_query(path).build().ok()?;
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(map.value(b":method")?).ok()?;
    *request.uri_mut() = uri;
    *request.headers_mut() = header_map(map)?;
    let authority = HeaderValue::from_bytes(map.value(b":authority")?).ok()?;
    request.headers_mut().insert(HOST, authority);
    Some(request)
}

/// The upstream's response head as the plugin sees it.
pub(super) fn response_map(head: &response::Parts) -> Headers {
    let mut map = Headers::default();
    map.add(":status", head.status.as_str());
    add_end_to_end(&mut map, &head.headers, |_| false);
    map
}

/// What the plugin let through, as a response to the client.
pub(super) fn client_response<B>(map: &Headers, body: B) -> Option<Response<B>> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_bytes(map.value(b":status")?).ok()?;
    *response.headers_mut() = header_map(map)?;
    Some(response)
}

/// About as many bytes as the head had on the wire.
fn size(head: &request::Parts) -> usize {
    // ": " and the line's end
    const AROUND: usize = 4;
    let line = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let fields = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len().saturating_add(value.len()).saturating_add(AROUND));
    fields.fold(line, usize::saturating_add)
}

/// The one authority that the request is for: an absolute target's, which then
/// has to agree with `Host` (RFC 9112, section 3.2), or else the only `Host`.
fn authority(head: &request::Parts) -> Result<String, StatusCode> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next().ok_or(StatusCode::BAD_REQUEST)?;
    let host = host.to_str().map_err(|_| StatusCode::BAD_REQUEST)?;
    let of_target = head.uri.authority().map(|authority| authority.as_str());
    if hosts.next().is_some() || of_target.is_some_and(|authority| authority != host) {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(host.to_owned())
}

fn add_end_to_end(map: &mut Headers, headers: &HeaderMap, skip: impl Fn(&HeaderName) -> bool) {
    let nominated = nominated(headers);
    for (name, value) in headers {
        let is_hop =
            HOP_BY_HOP.contains(&name.as_str()) || nominated.iter().any(|other| other == name.as_str());
        if !is_hop && !skip(name) {
            map.add(name.as_str(), value.as_bytes());
        }
    }
}

/// The fields that `Connection` says belong to this connection.
fn nominated(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect()
}

/// Pseudo-headers and hop-by-hop fields stay behind, whoever put them there.
fn header_map(map: &Headers) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in map.iter().filter(|(name, _)| !name.starts_with(b":")) {
        let name = HeaderName::from_bytes(name).ok()?;
        if !HOP_BY_HOP.contains(&name.as_str()) {
            headers.append(name, HeaderValue::from_bytes(value).ok()?);
        }
    }
    Some(headers)
}
