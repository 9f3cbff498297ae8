//! One Debian package: a folder laid out as the system will have it, and dpkg's own tools to close it.
//!
//! `install` has a line for each file: source, destination, and a mode where it is not 0644 (0755 for binaries). A source is a file of the
//! checkout, a whole folder (`…/`), `bin:NAME` for a binary, or `made:PATH` for what the binaries themselves wrote (man pages, completions):
//! `make` lists the commands that do, which get a folder as last argument. Everything under /etc is a conffile, as debhelper has it. Owner
//! root, one time for everything, names sorted by dpkg-deb, one thread of xz: the same bytes from the same content.

use std::{
    fs::{self, File, FileTimes, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};

use super::{Run, sbom::Contents};
use crate::step::{output, run};

/// Scripts that dpkg runs, where a package has them.
const SCRIPTS: [&str; 4] = ["preinst", "postinst", "prerm", "postrm"];

/// A package being laid out.
pub(super) struct Package<'r> {
    run: &'r Run,
    name: String,
    /// `dist/debian/NAME`.
    source: PathBuf,
    /// What will be `/`.
    tree: PathBuf,
    /// Binaries in it, relative to `/`.
    binaries: Vec<PathBuf>,
}

impl<'r> Package<'r> {
    /// Lays out everything but dpkg's own files.
    pub(super) fn stage(
        run: &'r Run,
        name: &str,
        binaries: &Path,
        contents: &Contents,
    ) -> Result<Self> {
        let tree = run.target.join("stage").join(name);
        if tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        let mut package = Self {
            run,
            name: name.to_owned(),
            source: run.root.join("dist/debian").join(name),
            tree,
            binaries: Vec::new(),
        };
        package.make(binaries)?;
        let list = fs::read_to_string(package.source.join("install"))?;
        for line in list.lines().map(str::trim) {
            if !line.is_empty() && !line.starts_with('#') {
                package
                    .install(line, binaries)
                    .with_context(|| format!("dist/debian/{name}/install: {line}"))?;
            }
        }
        let doc = format!("usr/share/doc/{name}");
        let own = fs::read(run.root.join("dist/debian/copyright"))?;
        package.write(&format!("{doc}/copyright"), &own, 0o644)?;
        let log = fs::read(run.root.join("dist/debian/changelog"))?;
        package.write(&format!("{doc}/changelog.gz"), &package.gzip(&log)?, 0o644)?;
        let licences = package.gzip(contents.licences()?.as_bytes())?;
        package.write(&format!("{doc}/third-party-licences.gz"), &licences, 0o644)?;
        Ok(package)
    }

    /// Where `make` writes.
    fn made(&self) -> PathBuf {
        let stage = self.run.target.join("stage");
        stage.join(format!("{}.made", self.name))
    }

    fn make(&self, binaries: &Path) -> Result<()> {
        let Ok(list) = fs::read_to_string(self.source.join("make")) else {
            return Ok(());
        };
        let made = self.made();
        if made.exists() {
            fs::remove_dir_all(&made)?;
        }
        fs::create_dir_all(&made)?;
        for line in list.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let program = words.next().context("make: an empty line")?;
            let mut command = self.run.tool(&binaries.join(program).to_string_lossy());
            run(command.args(words).arg(&made))?;
        }
        Ok(())
    }

    fn install(&mut self, line: &str, binaries: &Path) -> Result<()> {
        let mut words = line.split_whitespace();
        let (Some(source), Some(destination)) = (words.next(), words.next()) else {
            bail!("a source and a destination");
        };
        let mode = words.next().map(|mode| u32::from_str_radix(mode, 8));
        let mode = mode.transpose().context("an octal mode")?;
        ensure!(words.next().is_none(), "three words at most");
        let destination = destination.trim_start_matches('/');
        if let Some(name) = source.strip_prefix("bin:") {
            let bytes = fs::read(binaries.join(name))
                .with_context(|| format!("{name} is not built in {}", binaries.display()))?;
            self.write(destination, &bytes, mode.unwrap_or(0o755))?;
            // Symbols of the test profile are most of its size.
            if self.run.debug {
                run(Command::new("strip").arg(self.tree.join(destination)))?;
            }
            self.binaries.push(destination.into());
            return Ok(());
        }
        let path = match source.strip_prefix("made:") {
            Some(name) => self.made().join(name),
            None => self.run.root.join(source),
        };
        self.copy(&path, destination, mode.unwrap_or(0o644))
            .with_context(|| path.display().to_string())
    }

    /// A file, or a folder with all that is in it; man pages are compressed.
    fn copy(&self, from: &Path, destination: &str, mode: u32) -> Result<()> {
        if from.is_dir() {
            let mut entries: Vec<_> = fs::read_dir(from)?.collect::<Result<_, _>>()?;
            entries.sort_by_key(std::fs::DirEntry::file_name);
            ensure!(!entries.is_empty(), "an empty folder");
            for entry in entries {
                let name = entry.file_name();
                let below = Path::new(destination).join(name);
                self.copy(&entry.path(), &below.to_string_lossy(), mode)?;
            }
            return Ok(());
        }
        let bytes = fs::read(from)?;
        if destination.starts_with("usr/share/man/") {
            let name = format!("{destination}.gz");
            return self.write(&name, &self.gzip(&bytes)?, 0o644);
        }
        self.write(destination, &bytes, mode)
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let path = self.tree.join(name);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok(())
    }

    /// Without name and time, as Debian compresses documents.
    fn gzip(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let input = self.run.target.join("stage/to-compress");
        fs::create_dir_all(input.parent().context("a folder")?)?;
        fs::write(&input, bytes)?;
        let out = Command::new("gzip")
            .args(["-9n", "-c"])
            .arg(&input)
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(out.status.success(), "gzip ended with {}", out.status);
        Ok(out.stdout)
    }

    /// Adds dpkg's files and closes the package; returns its path.
    pub(super) fn build(self) -> Result<PathBuf> {
        let files = self.files()?;
        let mut sums = String::new();
        let mut size = 0;
        for name in files.iter() {
            let path = self.tree.join(name);
            size += fs::metadata(&path)?.len().div_ceil(1024);
            let sum = output(Command::new("md5sum").arg(&path))?;
            let sum = sum.split(' ').next().unwrap_or_default();
            sums.push_str(&format!("{sum}  {}\n", name.display()));
        }
        let conffiles: String = files
            .iter()
            .filter(|name| name.starts_with("etc"))
            .map(|name| format!("/{}\n", name.display()))
            .collect();
        let template = fs::read_to_string(self.source.join("control"))?;
        let control = template
            .replace("${version}", &self.run.version)
            .replace("${architecture}", &self.run.architecture)
            .replace("${size}", &size.to_string())
            .replace("${shlibs:Depends}", &self.libraries()?);
        ensure!(!control.contains("${"), "control: an unknown variable");
        self.write("DEBIAN/control", control.as_bytes(), 0o644)?;
        self.write("DEBIAN/md5sums", sums.as_bytes(), 0o644)?;
        if !conffiles.is_empty() {
            self.write("DEBIAN/conffiles", conffiles.as_bytes(), 0o644)?;
        }
        for script in SCRIPTS {
            if let Ok(text) = fs::read(self.source.join(script)) {
                self.write(&format!("DEBIAN/{script}"), &text, 0o755)?;
            }
        }
        self.settle(&self.tree)?;
        let deb = self.run.file(&self.name, "deb");
        let pack: &[&str] = if self.run.debug {
            &["-Znone"]
        } else {
            &["-Zxz", "-z6", "--threads-max=1"]
        };
        run(self
            .run
            .tool("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .args(pack)
            .arg(&self.tree)
            .arg(&deb)
            .stdout(Stdio::null()))?;
        Ok(deb)
    }

    /// The files so far, relative to `/`, sorted.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut folders = vec![self.tree.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&self.tree)?.to_owned());
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// The packages of the libraries that the binaries are linked with, in the versions that have their symbols.
    fn libraries(&self) -> Result<String> {
        let place = self.run.target.join("stage").join("shlibdeps");
        fs::create_dir_all(place.join("debian"))?;
        // dpkg-shlibdeps wants to stand in a source package.
        fs::write(
            place.join("debian/control"),
            format!(
                "Source: sceau\n\nPackage: {}\nArchitecture: any\n",
                self.name
            ),
        )?;
        let mut command = self.run.tool("dpkg-shlibdeps");
        command.current_dir(&place).arg("-O");
        for binary in &self.binaries {
            command.arg(self.tree.canonicalize()?.join(binary));
        }
        let said = output(&mut command)?;
        let depends = said.trim().strip_prefix("shlibs:Depends=");
        Ok(depends.context("dpkg-shlibdeps said nothing")?.to_owned())
    }

    /// One time for everything, and folders that everyone may enter.
    fn settle(&self, folder: &Path) -> Result<()> {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(self.run.epoch);
        let times = FileTimes::new().set_accessed(then).set_modified(then);
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.settle(&path)?;
            } else {
                File::open(&path)?.set_times(times)?;
            }
        }
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
        File::open(folder)?.set_times(times)?;
        Ok(())
    }
}
