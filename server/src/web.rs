//! Asking other machines: small, bounded, blocking requests over HTTPS (rustls on AWS-LC, the system's certificates), or plain HTTP on loopback.
//!
//! Trusts nothing that it gets: what is fetched here carries signatures of its own. Redirects are not followed: an administrator names the place.

use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// `Retry-After`, where it says seconds: it wants to be left alone for so long.
    pub(crate) pause: Option<Duration>,
}

/// A client. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Web {
    agent: ureq::Agent,
}

/// Whether this address may be asked: `https`, or `http` on loopback.
pub(crate) fn may_be_asked(url: &str) -> bool {
    let loopback = url.strip_prefix("http://").is_some_and(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        matches!(host, "127.0.0.1" | "localhost" | "[::1]") && port.parse::<u16>().is_ok()
    });
    loopback || url.starts_with("https://")
}

/// A client that calls itself `name`, for whole exchanges within `patience`. `added`: roots of web servers beside the system's, DER. Without `tls`
/// it speaks no https, and no roots are read.
pub(crate) fn client(name: &str, patience: Duration, tls: bool, added: &[Vec<u8>]) -> ureq::Agent {
    let mut config = ureq::Agent::config_builder()
        .timeout_connect(Some(patience.min(Duration::from_secs(10))))
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(format!("{name}/{}", env!("CARGO_PKG_VERSION")));
    if tls {
        let system = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = system
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .chain(
                added
                    .iter()
                    .map(|der| Certificate::from_der(der).to_owned()),
            )
            .collect();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        config = config.tls_config(
            TlsConfig::builder()
                .root_certs(RootCerts::Specific(Arc::new(roots)))
                .unversioned_rustls_crypto_provider(provider)
                .build(),
        );
    }
    config.build().new_agent()
}

/// The body of a 200 answer, within the budget.
///
/// # Errors
/// In words, for the administrator.
pub(crate) fn body(
    response: Result<http::Response<ureq::Body>, ureq::Error>,
    budget: usize,
) -> Result<Vec<u8>, String> {
    let found = answer(response, u64::try_from(budget).unwrap_or(u64::MAX))?;
    match found.status {
        200 => Ok(found.body),
        status => Err(format!("status {status}")),
    }
}

impl Web {
    /// `patience`: for a whole exchange. `name`: what the client calls itself.
    pub(crate) fn new(patience: Duration, name: &str) -> Self {
        Self {
            agent: client(name, patience, true, &[]),
        }
    }

    /// `GET`. Blocking.
    pub(crate) fn get(&self, url: &str, longest: u64) -> Result<Answer, String> {
        let response = self.agent.get(url).call();
        answer(response, longest)
    }

    /// Any method; a body for those that have one. What is more than `longest` of the answer is not read. Blocking.
    pub(crate) fn ask(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        longest: u64,
    ) -> Result<Answer, String> {
        use std::io::Read as _;

        let request = headers.iter().fold(
            http::Request::builder().method(method).uri(url),
            |request, (name, value)| request.header(*name, *value),
        );
        let said = |error: http::Error| error.to_string();
        let response = if method == "GET" {
            self.agent.run(request.body(()).map_err(said)?)
        } else {
            self.agent.run(request.body(body).map_err(said)?)
        };
        let response = response.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let pause = pause(response.headers());
        let mut body = Vec::new();
        let reader = response.into_body().into_reader();
        reader
            .take(longest)
            .read_to_end(&mut body)
            .map_err(|error| error.to_string())?;
        Ok(Answer {
            status,
            body,
            pause,
        })
    }

    /// `POST`. Blocking.
    pub(crate) fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        longest: u64,
    ) -> Result<Answer, String> {
        let request = headers
            .iter()
            .fold(self.agent.post(url), |request, (name, value)| {
                request.header(*name, *value)
            });
        answer(request.send(body), longest)
    }
}

fn answer(
    response: Result<http::Response<ureq::Body>, ureq::Error>,
    longest: u64,
) -> Result<Answer, String> {
    let response = response.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let pause = pause(response.headers());
    let body = response
        .into_body()
        .into_with_config()
        .limit(longest)
        .read_to_vec()
        .map_err(|error| error.to_string())?;
    Ok(Answer {
        status,
        body,
        pause,
    })
}

/// RFC 9110 §10.2.3, in seconds; a date is as good as nothing.
fn pause(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    let plain = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok().map(Duration::from_secs))?
}

#[cfg(test)]
mod tests {
    use super::{may_be_asked, pause};

    #[test]
    fn seconds_are_waited_for_and_nothing_else() {
        let told = |text: &'static str| {
            let value = http::HeaderValue::from_static(text);
            pause(&[(http::header::RETRY_AFTER, value)].into_iter().collect())
        };
        assert_eq!(told("120"), Some(std::time::Duration::from_secs(120)));
        for odd in [
            "",
            "-1",
            "1.5",
            "+1",
            "9999999999",
            "Fri, 31 Dec 1999 23:59:59 GMT",
        ] {
            assert_eq!(told(odd), None, "{odd}");
        }
        assert_eq!(pause(&http::HeaderMap::new()), None);
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for good in [
            "https://w.example/x",
            "http://127.0.0.1:8450",
            "http://localhost/x",
        ] {
            assert!(may_be_asked(good), "{good}");
        }
        for bad in [
            "http://w.example",
            "http://127.0.0.1.evil.example",
            "http://localhost:x",
            "ftp://x",
            "",
        ] {
            assert!(!may_be_asked(bad), "{bad}");
        }
    }
}
