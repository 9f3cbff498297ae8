//! What is compiled into a package: a CycloneDX 1.5 list from what cargo resolved on the lockfile, and the licence texts that the crates' authors
//! ask to be passed on. Crates that only build others are listed too, with scope `excluded`: they had a hand in it, and are not in it.
//!
//! Cargo unites features over the workspace, so that the list may name an optional crate too many; never one too few.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::step::output;

/// What cargo resolved, for this machine's target.
pub(super) struct Metadata {
    packages: BTreeMap<String, Value>,
    /// Package id → (dependency's id, whether it only builds).
    edges: BTreeMap<String, Vec<(String, bool)>>,
    /// (name, version) → SHA-256 of the crate's archive, from the lockfile.
    checksums: BTreeMap<(String, String), String>,
}

/// What one of our crates consists of.
pub(super) struct Contents<'m> {
    metadata: &'m Metadata,
    root: String,
    /// Id → whether it is in the binary.
    crates: BTreeMap<String, bool>,
}

impl Metadata {
    /// Asks cargo.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut version = Command::new("rustc");
        let said = output(version.arg("-vV"))?;
        let host = said.lines().find_map(|line| line.strip_prefix("host: "));
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(root)
            .args(["metadata", "--locked", "--format-version", "1"])
            .args(["--filter-platform", host.context("rustc names its host")?]);
        let resolved: Value = serde_json::from_str(&output(&mut cargo)?)?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let packages = list(&resolved["packages"])
            .into_iter()
            .map(|package| (text(&package["id"]), package))
            .collect();
        let edges = list(&resolved["resolve"]["nodes"])
            .into_iter()
            .map(|node| {
                (
                    text(&node["id"]),
                    node["deps"]
                        .as_array()
                        .map_or_else(Vec::new, |deps| deps.iter().filter_map(edge).collect()),
                )
            })
            .collect();
        Ok(Self {
            packages,
            edges,
            checksums: checksums(&fs::read_to_string(root.join("Cargo.lock"))?),
        })
    }

    /// Everything that one of our crates is made of.
    pub(super) fn of(&self, name: &str) -> Result<Contents<'_>> {
        let ours = self
            .packages
            .iter()
            .find(|(_, package)| package["name"] == name && package["source"].is_null());
        let root = ours.with_context(|| format!("no crate {name}"))?.0.clone();
        let mut crates = BTreeMap::new();
        let mut waiting = vec![(root.clone(), true)];
        while let Some((id, inside)) = waiting.pop() {
            match crates.get(&id) {
                Some(true) => continue,
                Some(false) if !inside => continue,
                _ => {}
            }
            crates.insert(id.clone(), inside);
            for (next, builds) in self.edges.get(&id).into_iter().flatten() {
                // Macros run in the compiler; what they are made of is not in the binary either.
                let within = inside && !builds && !self.is_macro(next);
                waiting.push((next.clone(), within));
            }
        }
        Ok(Contents {
            metadata: self,
            root,
            crates,
        })
    }

    fn is_macro(&self, id: &str) -> bool {
        let targets = self.packages.get(id).and_then(|p| p["targets"].as_array());
        targets.is_some_and(|targets| {
            targets.iter().any(|target| {
                let kinds = target["kind"].as_array();
                kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "proc-macro"))
            })
        })
    }
}

/// A dependency, unless it is for tests alone; and whether it only builds.
fn edge(dependency: &Value) -> Option<(String, bool)> {
    let kinds = dependency["dep_kinds"].as_array()?;
    let is = |kind: &Value| kinds.iter().any(|entry| entry["kind"] == *kind);
    if is(&Value::Null) {
        Some((text(&dependency["pkg"]), false))
    } else if is(&json!("build")) {
        Some((text(&dependency["pkg"]), true))
    } else {
        None
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn checksums(lockfile: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let found = block.lines().find_map(|line| line.strip_prefix(key));
        found.map(|value| value.trim_matches('"').to_owned())
    };
    lockfile
        .split("[[package]]")
        .filter_map(|block| {
            let named = (value(block, "name = ")?, value(block, "version = ")?);
            Some((named, value(block, "checksum = ")?))
        })
        .collect()
}

/// Package URL of a crate.
fn purl(package: &Value) -> String {
    let version = text(&package["version"]).replace('+', "%2B");
    format!("pkg:cargo/{}@{version}", text(&package["name"]))
}

impl Contents<'_> {
    fn package(&self, id: &str) -> &Value {
        &self.metadata.packages[id]
    }

    /// The list, as CycloneDX 1.5 JSON, of the package `name`.
    pub(super) fn cyclonedx(&self, name: &str, version: &str, epoch: u64) -> Result<String> {
        let others = || self.crates.iter().filter(|(id, _)| **id != self.root);
        let components: Vec<Value> = others()
            .map(|(id, inside)| self.component(id, *inside))
            .collect();
        let dependencies: Vec<Value> = self
            .crates
            .keys()
            .map(|id| {
                let on: BTreeSet<String> = self
                    .metadata
                    .edges
                    .get(id)
                    .into_iter()
                    .flatten()
                    .filter(|(next, _)| self.crates.contains_key(next))
                    .map(|(next, _)| purl(self.package(next)))
                    .collect();
                json!({"ref": purl(self.package(id)), "dependsOn": on})
            })
            .collect();
        let mut time = Command::new("date");
        time.args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d", &format!("@{epoch}")]);
        let list = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "timestamp": output(&mut time)?.trim(),
                "component": {
                    "type": "application", "bom-ref": purl(self.package(&self.root)), "name": name, "version": version,
                    "purl": format!("pkg:deb/{name}@{}", version.replace('+', "%2B")),
                    "licenses": [{"expression": text(&self.package(&self.root)["license"])}],
                },
            },
            "components": components,
            "dependencies": dependencies,
        });
        Ok(format!("{}\n", serde_json::to_string_pretty(&list)?))
    }

    fn component(&self, id: &str, inside: bool) -> Value {
        let package = self.package(id);
        let (name, version) = (text(&package["name"]), text(&package["version"]));
        let mut component = json!({
            "type": "library", "bom-ref": purl(package), "name": name, "version": version, "purl": purl(package),
            "scope": if inside { "required" } else { "excluded" },
        });
        if let Some(licence) = package["license"].as_str() {
            // `MIT/Apache-2.0` is how it was written before SPDX expressions.
            component["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
        }
        if let Some(sum) = self.metadata.checksums.get(&(name, version)) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
        }
        if let Some(repository) = package["repository"].as_str() {
            component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
        }
        component
    }

    /// Name, version, licence and the licence files of every crate in the binary; a text that several have is given once.
    pub(super) fn licences(&self) -> Result<String> {
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut without = Vec::new();
        for (id, _) in self.crates.iter().filter(|(_, inside)| **inside) {
            let package = self.package(id);
            if package["source"].is_null() {
                continue;
            }
            let title = format!(
                "{} {} ({})",
                text(&package["name"]),
                text(&package["version"]),
                package["license"].as_str().unwrap_or("see its text")
            );
            let files = licence_files(Path::new(&text(&package["manifest_path"])))?;
            if files.is_empty() {
                without.push(title.clone());
            }
            for file in files {
                let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
                texts.entry(text).or_default().push(title.clone());
            }
        }
        if texts.is_empty() {
            bail!("no crate has a licence file: are the sources there?");
        }
        let mut sections: Vec<(Vec<String>, String)> =
            texts.into_iter().map(|(text, who)| (who, text)).collect();
        sections.sort();
        let mut out = String::from(
            "Crates that are compiled into this program, and their licences. The machine-readable list is the CycloneDX file beside the package.\n",
        );
        if !without.is_empty() {
            out.push_str("\nWithout a licence file of their own:\n");
        }
        for title in without {
            out.push_str(&format!("  {title}\n"));
        }
        for (who, text) in sections {
            out.push_str(&format!(
                "\n{}\n{}\n\n{}\n",
                "=".repeat(72),
                who.join("\n"),
                text.trim_end()
            ));
        }
        Ok(out)
    }
}

fn licence_files(manifest: &Path) -> Result<Vec<PathBuf>> {
    let folder = manifest.parent().context("a folder")?;
    let mut found: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = name.to_uppercase();
            path.is_file()
                && [
                    "LICENSE",
                    "LICENCE",
                    "COPYING",
                    "COPYRIGHT",
                    "NOTICE",
                    "UNLICENSE",
                ]
                .iter()
                .any(|word| name.starts_with(word))
        })
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lockfile_gives_each_crate_its_checksum() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\nchecksum = \"00ff\"\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n";
        let sums = checksums(lock);
        assert_eq!(sums.len(), 1);
        assert_eq!(sums[&("a".into(), "1.0.0".into())], "00ff");
    }

    #[test]
    fn what_only_tests_need_is_no_part_of_the_program() {
        let of = |kinds: Value| edge(&json!({"pkg": "x", "dep_kinds": kinds}));
        assert_eq!(of(json!([{"kind": "dev"}])), None);
        assert_eq!(of(json!([{"kind": "build"}])), Some(("x".into(), true)));
        assert_eq!(
            of(json!([{"kind": "dev"}, {"kind": null}])),
            Some(("x".into(), false))
        );
    }
}
