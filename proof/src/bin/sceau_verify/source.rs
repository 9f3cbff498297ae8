//! Where a log's files come from: a folder, or a web server (the only thing for which `sceau-verify` goes to a network, and only when given a URL).
//!
//! TLS is rustls on AWS-LC with the system's certificates. Nothing rests on it: what is fetched must lead to the log's signature.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::{Failure, read_input};

/// The longest file of a log: a full bundle of the longest entries.
const MAX_FILE: u64 = 256 * 65_537;
const PATIENCE: Duration = Duration::from_secs(30);

/// A log's static files.
pub(crate) enum Source {
    /// Below a folder.
    Folder(PathBuf),
    /// Below a URL, which ends in `/`.
    Web { agent: ureq::Agent, base: String },
}

impl Source {
    /// A URL begins with `http://` or `https://`; everything else is a folder.
    pub(crate) fn new(text: &str) -> Result<Source, Failure> {
        if !text.starts_with("https://") && !text.starts_with("http://") {
            return Ok(Source::Folder(PathBuf::from(text)));
        }
        let found = rustls_native_certs::load_native_certs();
        let roots: Vec<_> = found
            .certs
            .iter()
            .map(|it| Certificate::from_der(it).to_owned())
            .collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(3)
            .user_agent(concat!("sceau-verify/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Source::Web {
            agent,
            base: format!("{}/", text.trim_end_matches('/')),
        })
    }

    /// The whole file at a path below the log's prefix; None when there is none.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Source::Folder(folder) => {
                let file = folder.join(path);
                match std::fs::metadata(&file) {
                    Ok(_) => read_input(&file).map(Some),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Failure::Unavailable(format!("{}: {error}", file.display()))),
                }
            }
            Source::Web { agent, base } => {
                let url = format!("{base}{path}");
                let unavailable =
                    |error: ureq::Error| Failure::Unavailable(format!("{url}: {error}"));
                let response = agent.get(&url).call().map_err(unavailable)?;
                match response.status().as_u16() {
                    200 => {}
                    404 | 410 => return Ok(None),
                    status => return Err(Failure::Unavailable(format!("{url}: status {status}"))),
                }
                let body = response.into_body().into_with_config().limit(MAX_FILE);
                body.read_to_vec().map(Some).map_err(unavailable)
            }
        }
    }
}
