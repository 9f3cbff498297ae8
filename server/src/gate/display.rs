//! Look-ups: a name to show, from a page of the application fetched with the caller's own session.
//!
//! The answer is the application's, about something that its users may have named: it is shown bounded and written out
//! like any other received text (`meaning::shown`).

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use crate::gate::canon::Target;
use crate::gate::client::full;
use crate::gate::forward::request_headers;
use crate::gate::passage::Asked;

/// The most of a look-up's answer that is read, and how long it may take.
const DISPLAY_LIMIT: usize = 256 * 1024;
const DISPLAY_TIMEOUT: Duration = Duration::from_secs(4);

/// A name to show: a page of the application, fetched with the caller's own cookies. Absent when anything is odd.
pub(super) async fn look_up(
    asked: &Asked<'_>,
    headers: &HeaderMap,
    page: &str,
    json: Option<&str>,
) -> Option<String> {
    let uri: Uri = page.parse().ok()?;
    Target::parse(&uri).ok()?;
    let mut given = HeaderMap::new();
    for name in ["cookie", "authorization", "accept-language", "user-agent"] {
        for value in headers.get_all(name) {
            given.append(http::HeaderName::from_static(name), value.clone());
        }
    }
    let accept = if json.is_some() {
        "application/json"
    } else {
        "text/html"
    };
    let mut request = Request::new(full(bytes::Bytes::new()));
    *request.uri_mut() = uri;
    *request.headers_mut() = request_headers(&given, &asked.origin, asked.person());
    request
        .headers_mut()
        .insert("accept", HeaderValue::from_static(accept));
    let fetched = async {
        let response = asked.site.forwarder.stream(request).await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        match json {
            Some(pointer) => {
                let body = Limited::new(response.into_body(), DISPLAY_LIMIT);
                let bytes = body.collect().await.ok()?.to_bytes();
                let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
                value.pointer(pointer)?.as_str().map(str::to_owned)
            }
            None => title(&as_far_as_the_title(response.into_body()).await?),
        }
    };
    tokio::time::timeout(DISPLAY_TIMEOUT, fetched).await.ok()?
}

/// The beginning of a page: however long it is, its title stands at the top.
async fn as_far_as_the_title(mut body: Incoming) -> Option<String> {
    let mut bytes = Vec::new();
    while bytes.len() < DISPLAY_LIMIT {
        let Some(frame) = body.frame().await else {
            break;
        };
        if let Ok(data) = frame.ok()?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if String::from_utf8_lossy(&bytes)
            .to_ascii_lowercase()
            .contains("</title")
        {
            break;
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The text of a page's `<title>`, with the five entities that escaping makes.
fn title(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let open = lower.find("<title")?;
    let start = open + lower.get(open..)?.find('>')? + 1;
    let end = start + lower.get(start..)?.find("</title")?;
    let text = html
        .get(start..end)?
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_found_and_read() {
        assert_eq!(
            title("<html><TITLE lang=fr> Jean\n Dupont &amp; fils</Title>").as_deref(),
            Some("Jean Dupont & fils")
        );
        for none in ["", "<title>", "<title></title>", "no"] {
            assert_eq!(title(none), None, "{none}");
        }
    }
}
