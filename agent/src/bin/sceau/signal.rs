//! Signals that end a request.

use std::io::Write;
use std::os::unix::net::UnixStream;

use tokio::signal::unix::{SignalKind, signal};

/// A stream that delivers the number of each signal that should end the request: the terminal is put right before the process ends.
pub(crate) fn signals() -> std::io::Result<UnixStream> {
    let (ours, mut theirs) = UnixStream::pair()?;
    let (started_tx, started) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("signals".into())
        .stack_size(256 * 1024)
        .spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
            else {
                return;
            };
            runtime.block_on(async move {
                let kinds = (
                    signal(SignalKind::interrupt()),
                    signal(SignalKind::terminate()),
                    signal(SignalKind::hangup()),
                );
                let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = kinds else {
                    return;
                };
                let _ = started_tx.send(());
                loop {
                    let number = tokio::select! {
                        _ = interrupt.recv() => 2_u8,
                        _ = terminate.recv() => 15,
                        _ = hangup.recv() => 1,
                    };
                    if theirs.write_all(&[number]).is_err() {
                        return;
                    }
                }
            });
        })?;
    started
        .recv()
        .map_err(|_| std::io::Error::other("signals"))?;
    Ok(ours)
}
