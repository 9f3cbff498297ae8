//! A small HTTP client for scenarios: every status is an answer, nothing is followed, cookies are kept when asked.

use std::{sync::Mutex, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;
use ureq::{
    Agent,
    http::{Request, Response},
};

/// An answer: status, headers, body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names (lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON, or null.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The first header of that (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A client of one server: base address, headers that it always sends, and its cookies.
pub struct Client {
    agent: Agent,
    base: String,
    headers: Vec<(String, String)>,
    cookies: Mutex<Vec<(String, String)>>,
}

impl Client {
    /// A client of `base` (`http://127.0.0.1:8080`).
    #[must_use]
    pub fn new(base: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(150)))
            .build()
            .into();
        Self {
            agent,
            base: base.to_owned(),
            headers: Vec::new(),
            cookies: Mutex::new(Vec::new()),
        }
    }

    /// The same, always sending this header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, with this bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// Another client with the same cookies: what a thief of the cookie jar has.
    #[must_use]
    pub fn stolen(&self) -> Self {
        let thief = Self::new(&self.base);
        let jar = self
            .cookies
            .lock()
            .map(|jar| jar.clone())
            .unwrap_or_default();
        Self {
            cookies: Mutex::new(jar),
            ..thief
        }
    }

    /// Sends one request; `body` is a content type and bytes.
    ///
    /// # Errors
    /// When no answer comes (refused connection, time-out).
    pub fn send(
        &self,
        method: &str,
        path: &str,
        extra: &[(&str, &str)],
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in extra {
            request = request.header(*name, *value);
        }
        let cookies = self.cookie_header();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        if let Some((content_type, _)) = body {
            request = request.header("content-type", content_type);
        }
        let bytes = body.map_or_else(Vec::new, |(_, bytes)| bytes.to_vec());
        let agent = &self.agent;
        let response = if bytes.is_empty() && body.is_none() {
            agent.run(request.body(())?)
        } else {
            agent.run(request.body(bytes)?)
        };
        self.answer(response.with_context(|| format!("{method} {}{path}", self.base))?)
    }

    /// GET.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, &[], None)
    }

    /// GET of something that is not text.
    ///
    /// # Errors
    /// When no answer comes, or it is not 200.
    pub fn get_bytes(&self, path: &str) -> Result<Vec<u8>> {
        let mut response = self.agent.run(
            Request::builder()
                .uri(format!("{}{path}", self.base))
                .body(())?,
        )?;
        anyhow::ensure!(response.status() == 200, "{path}: {}", response.status());
        Ok(response.body_mut().read_to_vec()?)
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(
            "POST",
            path,
            &[],
            Some(("application/json", body.to_string().as_bytes())),
        )
    }

    fn answer(&self, mut response: Response<ureq::Body>) -> Result<Answer> {
        let headers: Vec<(String, String)> = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        for (_, cookie) in headers.iter().filter(|(name, _)| name == "set-cookie") {
            self.keep(cookie);
        }
        Ok(Answer {
            status: response.status().as_u16(),
            headers,
            text: response.body_mut().read_to_string()?,
        })
    }

    fn keep(&self, cookie: &str) {
        let pair = cookie.split(';').next().unwrap_or_default();
        if let (Some((name, value)), Ok(mut jar)) = (pair.split_once('='), self.cookies.lock()) {
            jar.retain(|(have, _)| have != name.trim());
            jar.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }

    /// Its cookies, as in `Cookie`.
    #[must_use]
    pub fn cookie_header(&self) -> String {
        let jar = self
            .cookies
            .lock()
            .map(|jar| jar.clone())
            .unwrap_or_default();
        jar.iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ")
    }
}
