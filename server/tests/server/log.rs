//! The log as outsiders have it: exported, witnessed, cosigned.

mod aftermath;
mod mutation;
mod stream;
pub(crate) mod witnessed;

use std::path::Path;

use sceau_proof::log::audit::{self, Audit};
use sceau_proof::log::note::{KeyKind, SigningKey as LogKey};
use sceau_proof::log::tile;
use sceau_proof::log::{Checkpoint, Hash, checkpoint};
use sceau_server::export::{ExportError, export};
use sceau_server::port::Ports;
use sceau_server::store::{Durability, Store, StoreOptions};
use sceau_server::witness::{self, config::Config};

use crate::fixture::{Hand, ORIGIN, Place, System};

fn log_key() -> LogKey {
    LogKey::from_seed(ORIGIN, KeyKind::Log, &[7; 32]).unwrap()
}

pub(crate) async fn open(url: &str) -> Store {
    let options = StoreOptions {
        url: url.to_owned(),
        durability: Durability::Full,
        readers: 4,
    };
    Store::open(&options, true).await.unwrap()
}

/// Reads a folder as an auditor does; how many entries lead to its checkpoint.
fn audited(folder: &Path) -> u64 {
    let note = std::fs::read(folder.join("checkpoint")).unwrap();
    let target = checkpoint::open(&note, log_key().verifying_key(), &[]).unwrap();
    let size = target.size();
    let mut audit = Audit::new(target, None).unwrap();
    for bundle in audit::bundles(0, size) {
        let bytes = std::fs::read(folder.join(bundle.path())).unwrap();
        for entry in tile::entries(&bytes, bundle.width).unwrap() {
            audit
                .entry(entry, |node| {
                    let (index, offset) = tile::position(node.index);
                    let tile = tile::tile_at(tile::Row::Hashes(node.level / 8), index, size)?;
                    let bytes = std::fs::read(folder.join(tile.path())).ok()?;
                    Some(Hash(bytes.as_chunks::<32>().0[usize::from(offset)]))
                })
                .unwrap();
        }
    }
    audit.finish().unwrap().size()
}

#[tokio::test]
async fn an_export_is_the_whole_log_and_goes_on_where_it_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::within(folder.path());
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let store = open(&place.url).await;
    let out = folder.path().join("out");
    let first = export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    assert_eq!(audited(&out), first.size);
    for n in 0..130 {
        let record = alice.ask(&desk, "account.create").await.unwrap();
        if n % 40 == 0 {
            alice.approve(&desk, &record).await.unwrap();
        }
    }
    let again = export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    assert_eq!((again.from, audited(&out)), (first.size, again.size));
    // As after a cut: files are there, the checkpoint is not.
    std::fs::remove_file(out.join("checkpoint")).unwrap();
    for _ in 0..150 {
        alice.ask(&desk, "account.create").await.unwrap();
    }
    let third = export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    assert_eq!((third.from, audited(&out)), (0, third.size));
    assert!(third.size > 256);
    // What is full needs no partial beside it.
    assert!(out.join("tile/0/000").is_file() && !out.join("tile/0/000.p").exists());
    let nothing_new = export(&store, &log_key(), &out, |_, _| {}).await.unwrap();
    assert_eq!((nothing_new.from, nothing_new.files), (third.size, 0));

    // Another log's key, another history, a longer one: the folder is evidence, and stays.
    let stranger = LogKey::from_seed(ORIGIN, KeyKind::Log, &[8; 32]).unwrap();
    assert!(matches!(
        export(&store, &stranger, &out, |_, _| {}).await,
        Err(ExportError::Stranger(_))
    ));
    for (size, root) in [(third.size, Hash::default()), (third.size + 1, third.root)] {
        let before = Checkpoint::new(ORIGIN, size, root)
            .sign(&log_key())
            .unwrap();
        std::fs::write(out.join("checkpoint"), before.to_string()).unwrap();
        let refused = export(&store, &log_key(), &out, |_, _| {})
            .await
            .unwrap_err();
        assert!(
            matches!(
                refused,
                ExportError::Forked(_) | ExportError::RolledBack { .. }
            ),
            "{refused}"
        );
        assert_eq!(
            std::fs::read_to_string(out.join("checkpoint")).unwrap(),
            before.to_string()
        );
    }
}

/// A witness in a folder that knows the test's log.
pub(crate) fn witness_in(folder: &Path, name: &str, url: Option<&str>) -> Config {
    let url = url
        .map(|url| format!("url = \"{url}\"\n"))
        .unwrap_or_default();
    let text = format!(
        "name = \"{name}\"\nkey = \"key\"\nvkey = \"vkey\"\nstate = \"state\"\ninterval = \"100ms\"\n[[log]]\nvkeys = [\"{}\"]\n{url}",
        log_key().verifying_key()
    );
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("witness.toml"), text).unwrap();
    let config = Config::load(&folder.join("witness.toml")).unwrap();
    if !config.key.exists() {
        witness::init(&config, &ports()).unwrap();
    }
    config
}

pub(crate) fn ports() -> Ports {
    Ports::new(Hand::new(), System)
}

/// Writes into the store behind the server's back, as whoever has its file can.
pub(crate) async fn tamper(url: &str, sql: &str) {
    use sqlx::Connection as _;

    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}
