//! End to end, over real sockets, with real key firmware behind a real PC/SC daemon. Each module has a charter in its first lines.
//! Run with `cargo xtask test [FILTER]`, which gives each test a loopback of its own.

mod attacks;
mod crash;
mod path;
mod peers;
mod refusals;
mod workstation;

use std::path::PathBuf;

use e2e::{
    house::{House, People},
    key::Model,
    place,
};

/// Everything that a scenario stands on; goes away with it.
struct Stage {
    house: House,
    people: People,
    folder: tempfile::TempDir,
    models: [Model; 2],
}

impl Stage {
    /// A house with four people, two models of key, everybody enrolled.
    fn set() -> anyhow::Result<Self> {
        let (folder, models) = makers()?;
        let house = House::found(folder.path(), &[&models[0], &models[1]])?;
        let people = house.people(folder.path(), [&models[0], &models[1]])?;
        Ok(Self {
            house,
            people,
            folder,
            models,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A temporary folder (short path: sockets live in it) and two test manufacturers in it.
fn makers() -> anyhow::Result<(tempfile::TempDir, [Model; 2])> {
    place::require_namespace();
    let folder = tempfile::Builder::new()
        .prefix("sceau-")
        .tempdir_in("/tmp")?;
    let models = [
        Model::make(
            &folder.path().join("model-a"),
            "Sceau Test Model A",
            "5cea0000-0000-4000-8000-00000000000a",
            &[],
        )?,
        Model::make(
            &folder.path().join("model-b"),
            "Sceau Test Model B",
            "5cea0000-0000-4000-8000-00000000000b",
            &[],
        )?,
    ];
    Ok((folder, models))
}
