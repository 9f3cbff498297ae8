//! `/log/checkpoint`, `/log/tile/…` (docs/log.md): the log for auditors and witnesses. It holds no personal data; anyone may read it.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use sceau_proof::log::tile::Tile;

use super::Problem;
use crate::desk::Desk;

/// The newest checkpoint.
#[utoipa::path(get, path = "/log/checkpoint", responses((status = 200, description = "a signed note", content_type = "text/plain")))]
pub(super) async fn checkpoint(State(desk): State<Desk>) -> Result<Response, Problem> {
    let note = desk.checkpoint().await?;
    Ok((
        [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        note,
    )
        .into_response())
}

/// The log's verifier key. Whoever checks the log has it from somewhere else; agents without configuration keep the first one.
#[utoipa::path(get, path = "/log/vkey", responses((status = 200, description = "a verifier key", content_type = "text/plain")))]
pub(super) async fn vkey(State(desk): State<Desk>) -> Response {
    (
        [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        format!("{}\n", desk.log_vkey()),
    )
        .into_response()
}

/// One file of the log. Full ones never change.
#[utoipa::path(get, path = "/log/tile/{path}", params(("path" = String, Path)),
    responses((status = 200, description = "hashes or entries", content_type = "application/octet-stream"), (status = 404, body = super::problem::ProblemBody)))]
pub(super) async fn tile(
    State(desk): State<Desk>,
    axum::extract::Path(path): axum::extract::Path<String>,
) -> Result<Response, Problem> {
    let tile = Tile::parse(&format!("tile/{path}")).map_err(|_| Problem::not_found())?;
    let bytes = desk.log_tile(&tile).await?.ok_or(Problem::not_found())?;
    let caching = "public, max-age=31536000, immutable";
    Ok((
        [
            (header::CONTENT_TYPE, "application/octet-stream"),
            (header::CACHE_CONTROL, caching),
        ],
        bytes,
    )
        .into_response())
}
