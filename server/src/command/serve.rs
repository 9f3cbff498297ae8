//! `sceau-server serve`: the API, and the gate when it is configured. Nothing listens before everything was read and checked.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{CommandError, ConfigFile, load_config, open_desk};
use crate::api::Api;
use crate::dormancy;
use crate::gate::Gate;
use crate::listen;
use crate::metadata::Keeper;
use crate::metrics::Metrics;
use crate::oauth::OAuth;
use crate::page::Pages;
use crate::piv;
use crate::port::Ports;
use crate::provider::{Loaded, Provider};
use crate::rate::Burst;
use crate::signal::Signals;
use crate::stream::Feed;
use crate::supervisor;

/// Serve the API, and the gate when `[gate]` is configured.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sceau-server serve --config /etc/sceau/sceau.toml")]
pub struct Serve {
    #[command(flatten)]
    config: ConfigFile,
}

async fn bind(address: SocketAddr) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| CommandError::Listen { address, error })
}

impl Serve {
    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run(self, ports: Ports) -> Result<(), CommandError> {
        let config = load_config(&self.config)?;
        let tls = match (&config.server.tls_cert, &config.server.tls_key) {
            (Some(certificate), Some(key)) => Some(listen::tls(certificate, key)?),
            _ => None,
        };
        let feeds = config
            .stream
            .iter()
            .map(Feed::new)
            .collect::<Result<Vec<_>, _>>()?;
        let clients = config.oauth_clients()?;
        let desk = open_desk(&config, ports.clone(), false).await?;
        let (own_ports, oauth_ports) = (ports.clone(), ports.clone());
        let ending = desk.clone();
        let keeper = match &config.metadata {
            Some(section) => {
                let mut keeper = Keeper::new(section, desk.clone(), ports)?;
                keeper.start().await?;
                Some(keeper)
            }
            None => None,
        };
        let (judged, sleeping) = (desk.clone(), desk.clone());
        let streams: Vec<_> = feeds
            .into_iter()
            .map(|feed| tokio::spawn(feed.run(desk.clone())))
            .collect();
        let gate = match &config.gate {
            Some(settings) => Some((
                Gate::new(desk.clone(), settings)?,
                bind(settings.listen).await?,
            )),
            None => None,
        };
        let services = config
            .service
            .iter()
            .filter_map(|service| {
                let token = service.token_sha256.as_ref()?;
                let digest = hex::decode(token).ok()?.try_into().ok()?;
                Some((service.id.clone(), digest))
            })
            .collect();
        let window = config.limit.window.0;
        let refill = window / i32::try_from(config.limit.strangers.max(1)).unwrap_or(i32::MAX);
        let strangers = Burst::new(config.limit.strangers, refill);
        let provider = match &config.provider {
            Some(settings) => Some(Provider::new(
                desk.clone(),
                own_ports,
                Loaded::read(settings, true)?,
                Burst::new(config.limit.strangers, refill),
            )),
            None => None,
        };
        let speaking = clients.iter().map(|client| client.id().clone()).collect();
        let oauth = (!clients.is_empty()).then(|| {
            let strangers = Burst::new(config.limit.strangers, refill);
            OAuth::new(desk.clone(), oauth_ports, clients, strangers)
        });
        let back = gate.as_ref().map(|(gate, _)| gate.origins());
        let budgets = gate.as_ref().map(|(gate, _)| gate.budgets());
        let pages = Pages::new(
            desk.clone(),
            Burst::new(config.limit.strangers, refill),
            back.unwrap_or_default(),
        )
        .with_budgets(budgets.unwrap_or_default());
        let signals = match &config.signal {
            Some(settings) => Some(Signals::start(desk.clone(), settings).await?),
            None => None,
        };
        let api = Api::new(
            desk,
            services,
            &config.server.rp_name,
            strangers,
            Arc::new(Metrics::default()),
        )
        .speaking_oauth(speaking);
        let api = match &signals {
            Some(signals) => api.with_signals(Arc::clone(signals)),
            None => api,
        };
        let listener = bind(config.server.listen).await?;
        tracing::info!(address = %config.server.listen, tls = tls.is_some(), gate = gate.is_some(), "serving");
        supervisor::ready(&format!("serving on {}", config.server.listen));

        let stop = CancellationToken::new();
        let ended = stop.clone();
        let waiting = tokio::spawn(async move {
            let reason = signal().await;
            tracing::info!(?reason, "stopping");
            supervisor::stopping();
            ended.cancel();
        });
        let alive = tokio::spawn(supervisor::alive());
        let telling = signals.map(|signals| tokio::spawn(signals.run()));
        let judging = tokio::spawn(piv::watch(judged, stop.clone().cancelled_owned()));
        let resting = config.dormancy.map(|rule| {
            tokio::spawn(dormancy::watch(
                sleeping,
                rule,
                stop.clone().cancelled_owned(),
            ))
        });
        let keeping = keeper.map(|keeper| tokio::spawn(keeper.run(stop.clone().cancelled_owned())));
        let api = listen::serve(
            listener,
            tls,
            [provider.map(Provider::router), oauth.map(OAuth::router)]
                .into_iter()
                .flatten()
                .fold(api.router().merge(pages.router()), axum::Router::merge),
            config.server.connections,
            stop.clone().cancelled_owned(),
        );
        let gate = async {
            match gate {
                Some((gate, listener)) => {
                    gate.serve(listener, stop.clone().cancelled_owned()).await
                }
                None => Ok(()),
            }
        };
        let served = tokio::try_join!(api, gate);
        waiting.abort();
        alive.abort();
        judging.abort();
        if let Some(resting) = resting {
            resting.abort();
        }
        if let Some(keeping) = keeping {
            keeping.abort();
        }
        for stream in streams.into_iter().chain(telling) {
            stream.abort();
        }
        ending.stopping().await?;
        served?;
        Ok(())
    }
}

async fn signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
