//! What the service manager is told (sd_notify(3)): ready, stopping, still alive. Where nobody listens, each of these is nothing.
//!
//! Trusts `NOTIFY_SOCKET` and `WATCHDOG_USEC` of the environment, which are the manager's.

use std::time::Duration;

use sd_notify::NotifyState;

/// Requests are served from now on; `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// No new requests; those under way are finished.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the runtime still turns, twice in each of the manager's periods; never returns where a period is set.
pub async fn alive() {
    let mut period = 0;
    if !sd_notify::watchdog_enabled(false, &mut period) {
        return;
    }
    let mut tick = tokio::time::interval(Duration::from_micros(period / 2));
    loop {
        tick.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(%error, "the service manager does not listen");
    }
}
