//! The desktop's notifications (org.freedesktop.Notifications 1.2), over the session bus.
//!
//! The notification server is the session's; what it is given is an action's one sentence, without markup. It decides nothing: *see* opens the
//! dialog, *refuse* asks why in the dialog.

use std::collections::HashMap;

use futures_util::{Stream, StreamExt, stream};
use zbus::zvariant::Value;

use super::dialog::without_markup;

#[zbus::proxy(
    interface = "org.freedesktop.Notifications",
    default_service = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications",
    gen_blocking = false
)]
trait Notifications {
    #[allow(clippy::too_many_arguments, reason = "the specification's signature")]
    fn notify(
        &self,
        app_name: &str,
        replaces_id: u32,
        app_icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: HashMap<&str, Value<'_>>,
        expire_timeout: i32,
    ) -> zbus::Result<u32>;
    fn close_notification(&self, id: u32) -> zbus::Result<()>;
    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;
    #[zbus(signal)]
    fn action_invoked(&self, id: u32, action_key: String) -> zbus::Result<()>;
    #[zbus(signal)]
    fn notification_closed(&self, id: u32, reason: u32) -> zbus::Result<()>;
}

/// What the person did with a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Chose this action.
    Chosen(u32, String),
    /// Closed it, or it went away by itself.
    Closed(u32),
}

/// How much a notification insists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Goes away by itself.
    Low,
    /// Stays while it holds.
    Normal,
    /// Stays until it is answered.
    Critical,
}

/// The way to the notification server.
pub(super) struct Voice {
    proxy: NotificationsProxy<'static>,
}

impl Voice {
    /// Over this bus; nothing is asked of the server yet.
    ///
    /// # Errors
    /// The bus's.
    pub(super) async fn new(bus: &zbus::Connection) -> zbus::Result<Self> {
        Ok(Self {
            proxy: NotificationsProxy::builder(bus)
                .cache_properties(zbus::proxy::CacheProperties::No)
                .build()
                .await?,
        })
    }

    /// What people do with notifications, everybody's.
    ///
    /// # Errors
    /// The bus's.
    pub(super) async fn events(&self) -> zbus::Result<impl Stream<Item = Event> + Unpin + use<>> {
        let chosen = self.proxy.receive_action_invoked().await?;
        let closed = self.proxy.receive_notification_closed().await?;
        let chosen = chosen.filter_map(|signal| async move {
            let signal = signal.args().ok()?;
            Some(Event::Chosen(signal.id, signal.action_key))
        });
        let closed = closed.filter_map(|signal| async move {
            let signal = signal.args().ok()?;
            Some(Event::Closed(signal.id))
        });
        Ok(stream::select(chosen.boxed(), closed.boxed()))
    }

    /// Shows one, in the place of `replaces` when it is not 0; `actions` are key and label in turn. `None`: there is no server, or it cannot show
    /// the actions.
    pub(super) async fn show(
        &self,
        replaces: u32,
        summary: &str,
        body: &str,
        actions: &[&str],
        urgency: Urgency,
    ) -> Option<u32> {
        let told = |e: &zbus::Error| tracing::debug!(error = %e, "no notification");
        let capabilities = self.proxy.get_capabilities().await.inspect_err(told).ok()?;
        let can = |what: &str| capabilities.iter().any(|capability| capability == what);
        if !actions.is_empty() && !can("actions") {
            return None;
        }
        let body = without_markup(body, can("body-markup"));
        let (level, lasts) = match urgency {
            Urgency::Low => (0_u8, 6000),
            Urgency::Normal => (1, 0),
            Urgency::Critical => (2, 0),
        };
        let hints = HashMap::from([
            ("urgency", Value::from(level)),
            ("category", Value::from("device")),
            ("desktop-entry", Value::from("sceau-desktop")),
        ]);
        self.proxy
            .notify(
                "Sceau",
                replaces,
                "dialog-password",
                summary,
                &body,
                actions,
                hints,
                lasts,
            )
            .await
            .inspect_err(told)
            .ok()
    }

    /// Takes one away.
    pub(super) async fn close(&self, id: u32) {
        // One that is gone already needs nothing.
        drop(self.proxy.close_notification(id).await);
    }
}
