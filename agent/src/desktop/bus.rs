//! `fr.sceau.Agent1` on the session bus: what panels and scripts may know. No PINs, no texts of actions, and nothing can be approved here.

use tokio::sync::mpsc::UnboundedSender;
use zbus::object_server::InterfaceRef;

use crate::socket::watch::Snapshot;

/// The name.
const NAME: &str = "fr.sceau.Agent1";
/// The one object.
const PATH: &str = "/fr/sceau/Agent1";

/// The object.
pub(super) struct Agent1 {
    snapshot: Snapshot,
    show: UnboundedSender<()>,
}

#[zbus::interface(name = "fr.sceau.Agent1")]
impl Agent1 {
    /// `no-agent`, `signed-out`, `connecting`, `connected` or `lost`.
    #[zbus(property)]
    fn status(&self) -> String {
        status(&self.snapshot).to_owned()
    }

    /// How many actions await the person.
    #[zbus(property)]
    fn pending(&self) -> u32 {
        u32::try_from(self.snapshot.waiting.len()).unwrap_or(u32::MAX)
    }

    /// The authenticators that are there: name, transport, state.
    #[zbus(property)]
    fn keys(&self) -> Vec<(String, String, String)> {
        let keys = self.snapshot.keys.iter();
        keys.map(|key| (key.name.clone(), key.transport.clone(), key.state.clone()))
            .collect()
    }

    /// Shows the person the oldest action that waits, though it was put off before.
    fn show(&self) {
        // Nobody listens any more only when this process is ending.
        let _ = self.show.send(());
    }
}

fn status(snapshot: &Snapshot) -> &str {
    if snapshot.inbox.is_empty() {
        "no-agent"
    } else {
        &snapshot.inbox
    }
}

/// Takes the name, with the object behind it.
///
/// # Errors
/// [`zbus::Error::NameTaken`]: another process has it; the bus's.
pub(super) async fn serve(show: UnboundedSender<()>) -> zbus::Result<zbus::Connection> {
    let agent = Agent1 {
        snapshot: Snapshot::default(),
        show,
    };
    zbus::connection::Builder::session()?
        .serve_at(PATH, agent)?
        .name(NAME)?
        .build()
        .await
}

/// Tells the bus what changed.
///
/// # Errors
/// The bus's.
pub(super) async fn tell(bus: &zbus::Connection, snapshot: &Snapshot) -> zbus::Result<()> {
    let object: InterfaceRef<Agent1> = bus.object_server().interface(PATH).await?;
    let mut agent = object.get_mut().await;
    let before = std::mem::replace(&mut agent.snapshot, snapshot.clone());
    let emitter = object.signal_emitter();
    if status(&before) != status(snapshot) {
        agent.status_changed(emitter).await?;
    }
    if before.waiting.len() != snapshot.waiting.len() {
        agent.pending_changed(emitter).await?;
    }
    if before.keys != snapshot.keys {
        agent.keys_changed(emitter).await?;
    }
    Ok(())
}
