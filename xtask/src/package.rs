//! `cargo xtask package`: the Debian packages, each with a list of what is in it (SBOM) and the licences of what is compiled into it.
//!
//! What goes where is in `dist/debian/PACKAGE/` (control, install, maintainer scripts) and `dist/debian/changelog` (version and date, as
//! Debian has it): this module only follows them. Same sources, same compiler, same bytes: `--check-reproducible` builds twice, elsewhere.

mod binary;
mod deb;
mod sbom;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    place,
    setup::{self, Need},
    step::{Steps, output, run},
};

/// A package, the crate that its binaries come from.
const PACKAGES: [(&str, &str); 4] = [
    ("sceau-agent", "sceau-agent"),
    ("sceau-server", "sceau-server"),
    ("sceau-verify", "sceau-proof"),
    ("sceau-witness", "sceau-server"),
];

/// What a person asked for.
#[derive(Default)]
struct Options {
    /// The binaries of the one build profile, for tests: nothing is built again, nothing is compressed.
    debug: bool,
    /// Another version than the changelog's, for tests of upgrades.
    version: Option<String>,
    /// Where the packages go, instead of `<target>/packages`.
    out: Option<PathBuf>,
    /// Build twice, in different places, and compare.
    check_reproducible: bool,
}

impl Options {
    fn read(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let value = words.next().map(|value| (*value).to_owned());
                value.with_context(|| format!("package: {word} needs a value"))
            };
            match *word {
                "--debug" => options.debug = true,
                "--check-reproducible" => options.check_reproducible = true,
                "--version" => options.version = Some(value()?),
                "--out" => options.out = Some(place::root().join(value()?)),
                _ => bail!(
                    "package: {word} is not understood (known: --check-reproducible, --debug, --version V, --out DIR)"
                ),
            }
        }
        ensure!(
            !(options.debug && options.check_reproducible),
            "package: --debug packages are for tests, and are not checked"
        );
        Ok(options)
    }
}

/// What one run makes packages from.
struct Run {
    /// The checkout.
    root: PathBuf,
    /// What cargo builds into, of this run alone.
    target: PathBuf,
    /// Where the packages go.
    out: PathBuf,
    version: String,
    /// Seconds since 1970: the time of everything in the packages.
    epoch: u64,
    /// `amd64`, `arm64`.
    architecture: String,
    debug: bool,
}

/// Makes the packages.
///
/// # Errors
/// Unknown options; whatever does not build, is missing, or differs.
pub fn package(steps: &mut Steps, words: &[&str]) -> Result<()> {
    let options = Options::read(words)?;
    steps.step("set-up", || setup::setup(Need::Package))?;
    let out = options
        .out
        .clone()
        .unwrap_or_else(|| place::target().join("packages"));
    let here = Run::at(
        place::root(),
        place::target().join("package"),
        out,
        &options,
    )?;
    let made = here.make(steps)?;
    for path in &made {
        println!(
            "{} ({} kB)",
            path.display(),
            fs::metadata(path)?.len() / 1024
        );
    }
    if options.check_reproducible {
        let elsewhere = place::target().join("package-elsewhere");
        let copy = elsewhere.join("another/and-longer/path");
        steps.step("copy of the checkout", || copy_of(&here.root, &copy))?;
        let there = Run::at(
            copy,
            elsewhere.join("built"),
            elsewhere.join("packages"),
            &options,
        )?;
        let again = there.make(steps)?;
        steps.step("compared", || compare(&made, &again))?;
    }
    Ok(())
}

/// The packages of the version that the tests upgrade from, or to (`version`), from the binaries of the one build profile.
///
/// # Errors
/// When something of them is missing.
pub fn for_tests(out: PathBuf, version: Option<&str>) -> Result<()> {
    let options = Options {
        debug: true,
        version: version.map(str::to_owned),
        ..Options::default()
    };
    let run = Run::at(place::root(), out.clone(), out, &options)?;
    run.make(&mut Steps::default()).map(drop)
}

impl Run {
    fn at(root: PathBuf, target: PathBuf, out: PathBuf, options: &Options) -> Result<Self> {
        let said = |field: &str| -> Result<String> {
            let mut command = Command::new("dpkg-parsechangelog");
            command.args(["-l", "dist/debian/changelog", "-S", field]);
            Ok(output(command.current_dir(&root))?.trim().to_owned())
        };
        let (version, epoch) = (said("Version")?, said("Timestamp")?.parse()?);
        let ours = crate_version(&root)?;
        ensure!(
            version == ours,
            "dist/debian/changelog says {version}, Cargo.toml {ours}"
        );
        let mut ask = Command::new("dpkg");
        Ok(Self {
            root,
            target,
            out,
            version: options.version.clone().unwrap_or(version),
            epoch,
            architecture: output(ask.arg("--print-architecture"))?.trim().to_owned(),
            debug: options.debug,
        })
    }

    fn make(&self, steps: &mut Steps) -> Result<Vec<PathBuf>> {
        let binaries = if self.debug {
            place::target().join("debug")
        } else {
            steps.step("build: release", || binary::build(self))?
        };
        fs::create_dir_all(&self.out)?;
        let metadata = sbom::Metadata::read(&self.root)?;
        let mut made = Vec::new();
        for (name, from) in PACKAGES {
            let (deb, list) = steps.step(&format!("package: {name}"), || {
                let contents = metadata.of(from)?;
                let list = self.file(name, "cdx.json");
                fs::write(&list, contents.cyclonedx(name, &self.version, self.epoch)?)?;
                let deb = deb::Package::stage(self, name, &binaries, &contents)?.build()?;
                Ok((deb, list))
            })?;
            made.extend([deb, list]);
        }
        // Those of tests are not compressed, which is an error there.
        if !self.debug {
            steps.step("lintian", || {
                let debs = made
                    .iter()
                    .filter(|path| path.extension() == Some("deb".as_ref()));
                let options = ["--allow-root", "--fail-on", "error,warning"];
                run(self.tool("lintian").args(options).args(debs))
            })?;
        }
        Ok(made)
    }

    /// A file beside the packages.
    fn file(&self, name: &str, extension: &str) -> PathBuf {
        let (version, architecture) = (&self.version, &self.architecture);
        self.out
            .join(format!("{name}_{version}_{architecture}.{extension}"))
    }

    /// A tool that must not see this run's moment, place or language.
    fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC");
        command
    }
}

/// The version in the workspace's Cargo.toml.
fn crate_version(root: &Path) -> Result<String> {
    let text = fs::read_to_string(root.join("Cargo.toml"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("version = "));
    let version = line.context("Cargo.toml has no version")?;
    Ok(version.trim_matches('"').to_owned())
}

/// Copies what git knows and does not ignore; without git, everything but target folders.
fn copy_of(root: &Path, copy: &Path) -> Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    let mut list = Command::new("git");
    list.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    for name in output(list.current_dir(root))?.split_terminator('\0') {
        let (from, to) = (root.join(name), copy.join(name));
        // Deleted, not yet committed.
        if !from.exists() {
            continue;
        }
        fs::create_dir_all(to.parent().context("a folder")?)?;
        fs::copy(&from, &to).with_context(|| name.to_owned())?;
    }
    Ok(())
}

fn compare(one: &[PathBuf], other: &[PathBuf]) -> Result<()> {
    let mut differ = BTreeMap::new();
    ensure!(one.len() == other.len(), "another number of files");
    for (one, other) in one.iter().zip(other) {
        let same = fs::read(one)? == fs::read(other)?;
        println!(
            "{}  {}",
            if same { "same bytes" } else { "DIFFERS   " },
            one.file_name().unwrap_or_default().display()
        );
        if !same {
            differ.insert(one, other);
        }
    }
    if differ.is_empty() {
        return Ok(());
    }
    // The nearest thing to an explanation that every machine has.
    for (one, other) in &differ {
        drop(run(Command::new("cmp").args([one, other])));
    }
    bail!("not reproducible: {} of {} files", differ.len(), one.len())
}
