//! `POST /add-checkpoint` (C2SP tlog-witness), the cosigned checkpoints for whoever collects them, health and metrics. Everyone may ask:
//! what is accepted is what the log signed.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sceau_proof::log::witness::{MAX_REQUEST, WitnessError};

use super::{Refused, Standing, Witness};

/// All routes.
pub fn router(witness: Arc<Witness>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add))
        .route("/{log}/checkpoint", get(cosigned))
        .route("/vkey", get(vkey))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(witness)
}

async fn add(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    match witness.add(&body).await {
        Ok(line) => (plain, line).into_response(),
        Err(Refused::Rule(WitnessError::Conflict { size } | WitnessError::Forked { size })) => (
            StatusCode::CONFLICT,
            [(header::CONTENT_TYPE, "text/x.tlog.size")],
            format!("{size}\n"),
        )
            .into_response(),
        Err(refused) => (status(&refused), plain, format!("{refused}\n")).into_response(),
    }
}

fn status(refused: &Refused) -> StatusCode {
    match refused {
        Refused::Rule(WitnessError::Malformed | WitnessError::OldSize) => StatusCode::BAD_REQUEST,
        Refused::Rule(WitnessError::Unsigned) | Refused::Distrusted => StatusCode::FORBIDDEN,
        Refused::Rule(WitnessError::Conflict { .. } | WitnessError::Forked { .. }) => {
            StatusCode::CONFLICT
        }
        Refused::Rule(WitnessError::Proof) => StatusCode::UNPROCESSABLE_ENTITY,
        Refused::UnknownLog => StatusCode::NOT_FOUND,
        Refused::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn cosigned(State(witness): State<Arc<Witness>>, Path(log): Path<String>) -> Response {
    match witness.cosigned(&log) {
        Some(Ok(note)) => (
            [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::CACHE_CONTROL, "no-cache"),
            ],
            note,
        )
            .into_response(),
        Some(Err(_)) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn vkey(State(witness): State<Arc<Witness>>) -> String {
    format!("{}\n", witness.verifying_key())
}

async fn metrics(State(witness): State<Arc<Witness>>) -> Response {
    let text = text(&witness.standing().await);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn text(standing: &[Standing]) -> String {
    let mut text = String::new();
    let mut family = |name: &str, help: &str, value: &dyn Fn(&Standing) -> u64| {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for log in standing {
            let origin = log.origin.replace('\\', "\\\\").replace('"', "\\\"");
            text.push_str(&format!("{name}{{log=\"{origin}\"}} {}\n", value(log)));
        }
    };
    family(
        "sceau_witness_size",
        "Entries in the last cosigned checkpoint",
        &|log| log.size,
    );
    family(
        "sceau_witness_forks",
        "Proofs of two histories that are kept; any one ends the cosigning",
        &|log| log.forks,
    );
    family(
        "sceau_witness_behind",
        "1 when the log shows less than it had signed",
        &|log| log.is_behind.into(),
    );
    family(
        "sceau_witness_follow_failures",
        "Rounds of following in a row that came to nothing",
        &|log| log.failures,
    );
    text
}
