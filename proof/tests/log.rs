//! The log from outside: another implementation's proofs, notes and tiles against ours, and the auditors' command over files that were tampered with.
//!
//! The other implementation is Cloudflare's (`tlog_tiles`, `signed_note`), a port of Go's checksum database. Nothing of it is in the product.

#![allow(clippy::unwrap_used, reason = "a test's own maker of logs")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sceau_proof::log::checkpoint::{self, cosign};
use sceau_proof::log::entry::Entry;
use sceau_proof::log::note::{KeyKind, SigningKey, VerifyingKey};
use sceau_proof::log::tile::{self, Row, Tile};
use sceau_proof::log::{
    Checkpoint, Hash, consistency_proof, inclusion_proof, leaf_hash, tree, verify_consistency,
    verify_inclusion,
};
use serde_json::Value;
use time::macros::datetime;
use tlog_tiles::tlog;

/// Their store of hashes, filled with their own functions.
struct Theirs(Vec<tlog::Hash>);

impl tlog::HashReader for Theirs {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog_tiles::Error> {
        Ok(indexes
            .iter()
            .map(|index| self.0[usize::try_from(*index).unwrap()])
            .collect())
    }
}

fn record(i: u64) -> Vec<u8> {
    format!("record {i}").into_bytes()
}

fn both(n: u64) -> (Vec<Hash>, Theirs) {
    let mut theirs = Theirs(Vec::new());
    for i in 0..n {
        let hashes = tlog::stored_hashes(i, &record(i), &theirs).unwrap();
        theirs.0.extend(hashes);
    }
    ((0..n).map(|i| leaf_hash(&record(i))).collect(), theirs)
}

fn ours(hashes: &[tlog::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(hash.0)).collect()
}

#[test]
fn proofs_are_the_same_and_each_verifies_the_others() {
    let n = 130;
    let (leaves, theirs) = both(n);
    for size in 1..=n {
        let root = tree::tree_root(&leaves, size).unwrap();
        let their_root = tlog::tree_hash(size, &theirs).unwrap();
        assert_eq!(root.0, their_root.0);
        for index in [0, size / 3, size / 2, size - 1] {
            let proof = inclusion_proof(&leaves, index, size).unwrap();
            let their_proof = tlog::prove_record(size, index, &theirs).unwrap();
            assert_eq!(proof, ours(&their_proof));
            let leaf = leaves[usize::try_from(index).unwrap()];
            assert_eq!(
                verify_inclusion(&leaf, index, size, &ours(&their_proof), &root),
                Ok(())
            );
            tlog::check_record(&their_proof, size, their_root, index, tlog::Hash(leaf.0)).unwrap();
        }
        for old in [1, size.div_ceil(3), size.div_ceil(2), size] {
            let old_root = tree::tree_root(&leaves, old).unwrap();
            let proof = consistency_proof(&leaves, old, size).unwrap();
            let their_proof = tlog::prove_tree(size, old, &theirs).unwrap();
            assert_eq!(proof, ours(&their_proof));
            assert_eq!(
                verify_consistency(old, &old_root, size, &root, &ours(&their_proof)),
                Ok(())
            );
            tlog::check_tree(&their_proof, size, their_root, old, tlog::Hash(old_root.0)).unwrap();
        }
    }
}

#[test]
fn tiles_are_the_same_files_with_the_same_bytes() {
    let (leaves, theirs) = both(1_000);
    // Theirs has Go's path, with the height and "data"; C2SP left the height out and says "entries".
    let translated = |tile: &tlog_tiles::Tile| tile.path().replacen("tile/8/", "tile/", 1);
    let mut count = 0;
    for tile in tlog_tiles::Tile::new_tiles(8, 0, 1_000) {
        let mine = Tile::parse(&translated(&tile)).unwrap();
        assert_eq!(
            tile.read_data(&theirs).unwrap(),
            tile::tile_bytes(&leaves, &mine).unwrap()
        );
        count += 1;
    }
    let mine = tile::changed_tiles(0, 1_000)
        .filter(|tile| tile.row != Row::Entries)
        .count();
    assert_eq!(count, mine);
}

#[test]
fn notes_and_checkpoints_are_read_by_the_other_implementation_and_theirs_by_ours() {
    let key = SigningKey::from_seed("log.example/sceau", KeyKind::Log, &[5; 32]).unwrap();
    let root = leaf_hash(b"x");
    let note = Checkpoint::new("log.example/sceau", 7, root)
        .sign(&key)
        .unwrap()
        .to_string();
    let verifier = signed_note::StandardVerifier::new(&key.verifying_key().to_string()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    let theirs = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
    let (verified, unverified) = theirs.verify(&known).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    let read = tlog_tiles::Checkpoint::from_bytes(theirs.text()).unwrap();
    assert_eq!(
        (read.origin(), read.size(), read.hash().0),
        ("log.example/sceau", 7, root.0)
    );

    // PRIVATE+KEY+name+id+base64(0x01 ‖ seed), of the same seed.
    use base64::Engine as _;
    let public = key.verifying_key().to_string();
    let id = public.split('+').nth(1).unwrap();
    let seed = base64::engine::general_purpose::STANDARD.encode([&[1_u8][..], &[5; 32]].concat());
    let signer =
        signed_note::StandardSigner::new(&format!("PRIVATE+KEY+log.example/sceau+{id}+{seed}"))
            .unwrap();
    let text = Checkpoint::new("log.example/sceau", 7, root).text();
    let mut made = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
    made.add_sigs(&[&signer]).unwrap();
    assert_eq!(made.to_bytes(), note.as_bytes());
    assert!(checkpoint::open(&made.to_bytes(), key.verifying_key(), &[]).is_ok());
}

/// A log as static files, in memory.
struct Site {
    files: BTreeMap<String, Vec<u8>>,
    key: VerifyingKey,
}

fn signing_key() -> SigningKey {
    SigningKey::from_seed("log.example/sceau", KeyKind::Log, &[6; 32]).unwrap()
}

fn entry(i: u64, variant: u64) -> Vec<u8> {
    let at = datetime!(2026-11-21 20:00 UTC) + time::Duration::seconds(i64::try_from(i).unwrap());
    Entry::new(at, "session.opened")
        .subject("session", i)
        .datum("variant", variant)
        .to_bytes()
        .unwrap()
}

fn site(entries: &[Vec<u8>]) -> Site {
    let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let size = leaves.len() as u64;
    let mut files = BTreeMap::new();
    for tile in tile::changed_tiles(0, size) {
        let bytes = match tile.row {
            Row::Hashes(_) => tile::tile_bytes(&leaves, &tile).unwrap(),
            Row::Entries => {
                let first = usize::try_from(tile.index * 256).unwrap();
                tile::bundle(
                    entries[first..first + usize::from(tile.width)]
                        .iter()
                        .map(Vec::as_slice),
                )
                .unwrap()
            }
        };
        files.insert(tile.path(), bytes);
    }
    let mut note = Checkpoint::new(
        "log.example/sceau",
        size,
        tree::tree_root(&leaves, size).unwrap(),
    )
    .sign(&signing_key())
    .unwrap();
    cosign(
        &mut note,
        &SigningKey::from_seed("w", KeyKind::Witness, &[1; 32]).unwrap(),
        1,
    )
    .unwrap();
    files.insert("checkpoint".to_owned(), note.to_string().into_bytes());
    Site {
        files,
        key: signing_key().verifying_key().clone(),
    }
}

fn honest(n: u64) -> Vec<Vec<u8>> {
    (0..n).map(|i| entry(i, 0)).collect()
}

impl Site {
    fn write(&self, folder: &Path) -> PathBuf {
        for (path, bytes) in &self.files {
            let file = folder.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        folder.to_owned()
    }

    /// Exit status, and the object printed.
    fn ask(&self, from: Option<&[u8]>) -> (i32, Value) {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        let mut command = Command::new(env!("CARGO_BIN_EXE_sceau-verify"));
        command
            .arg("log")
            .arg(folder.path())
            .args(["--log-key", &self.key.to_string()]);
        if let Some(note) = from {
            let file = folder.path().join("earlier");
            std::fs::write(&file, note).unwrap();
            command.arg("--from").arg(file);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (
            output.status.code().unwrap(),
            serde_json::from_str(&text).unwrap(),
        )
    }

    fn reason(&self, from: Option<&[u8]>) -> (String, Option<u64>) {
        let (status, object) = self.ask(from);
        assert_eq!(status == 0, object["verdict"] == "consistent", "{object}");
        (
            object["reason"].as_str().unwrap_or("unreadable").to_owned(),
            object["index"].as_u64(),
        )
    }
}

#[test]
fn the_command_accepts_an_honest_log_of_any_size_and_resumes() {
    for n in [0, 1, 255, 256, 257, 700] {
        let (status, object) = site(&honest(n)).ask(None);
        assert_eq!(
            (status, &object["verdict"], object["size"].as_u64()),
            (0, &"consistent".into(), Some(n)),
            "{object}"
        );
    }
    let now = site(&honest(700));
    for old in [0, 1, 256, 300, 699, 700] {
        let earlier = site(&honest(old));
        assert_eq!(
            now.reason(Some(&earlier.files["checkpoint"])).0,
            "consistent",
            "{old}"
        );
    }
}

#[test]
fn roll_backs_and_forks_are_seen_from_an_earlier_checkpoint() {
    let earlier = site(&honest(600));
    let note = &earlier.files["checkpoint"];
    assert_eq!(site(&honest(599)).reason(Some(note)).0, "rewritten");
    let mut forked = honest(700);
    forked[10] = entry(10, 1);
    assert_eq!(site(&forked).reason(None).0, "consistent");
    assert_eq!(site(&forked).reason(Some(note)).0, "rewritten");
}

#[test]
fn the_first_entry_that_does_not_belong_is_named() {
    let honest = honest(700);
    let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut site = site(&honest);
        let mut entries = honest.clone();
        change(&mut entries);
        // The files of the entries alone are changed, as by someone who edits what people read.
        let changed = self::site(&entries);
        site.files
            .retain(|path, _| !path.starts_with("tile/entries/"));
        site.files.extend(
            changed
                .files
                .into_iter()
                .filter(|(path, _)| path.starts_with("tile/entries/")),
        );
        site.reason(None)
    };
    assert_eq!(
        with(&|it| it[300] = entry(300, 1)),
        ("entry-not-in-tree".to_owned(), Some(300))
    );
    assert_eq!(
        with(&|it| it.swap(511, 512)),
        ("entry-not-in-tree".to_owned(), Some(511))
    );
    assert_eq!(with(&|it| drop(it.remove(256))).1, Some(256));
    assert_eq!(with(&|it| it.truncate(500)).0, "entry-missing");
    assert_eq!(
        with(&|it| it[699].push(b' ')),
        ("entry-malformed".to_owned(), Some(699))
    );
    assert_eq!(
        with(&|it| it.insert(0, entry(0, 1))),
        ("entry-not-in-tree".to_owned(), Some(0))
    );
    let mut wrong = site(&honest);
    wrong.key = SigningKey::from_seed("log.example/sceau", KeyKind::Log, &[7; 32])
        .unwrap()
        .verifying_key()
        .clone();
    assert_eq!(wrong.reason(None).0, "checkpoint-unsigned");
    let mut wrong = site(&honest);
    wrong.files.get_mut("tile/1/000.p/2").unwrap()[40] ^= 1;
    assert_eq!(
        wrong.reason(None),
        ("tile-inconsistent".to_owned(), Some(256))
    );
}

/// Serves a site's files, one request per connection, until the process ends.
fn serve(files: BTreeMap<String, Vec<u8>>, tls: Option<Arc<rustls::ServerConfig>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let _ = match &tls {
                None => answer(stream, &files),
                Some(tls) => {
                    let connection = rustls::ServerConnection::new(tls.clone()).unwrap();
                    answer(rustls::StreamOwned::new(connection, stream), &files)
                }
            };
        }
    });
    port
}

fn answer(mut stream: impl Read + Write, files: &BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let path = text
        .strip_prefix("GET /log/")
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or_default();
    let (status, body) = files
        .get(path)
        .map_or(("404 Not Found", &b"no"[..]), |body| ("200 OK", body));
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    stream.flush()
}

fn ask_url(url: &str, certificates: Option<&Path>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sceau-verify"));
    command.args([
        "log",
        url,
        "--log-key",
        &signing_key().verifying_key().to_string(),
    ]);
    command
        .env_remove("http_proxy")
        .env_remove("https_proxy")
        .env_remove("HTTP_PROXY")
        .env_remove("HTTPS_PROXY");
    command.env_remove("all_proxy").env_remove("ALL_PROXY");
    if let Some(file) = certificates {
        command.env("SSL_CERT_FILE", file);
    }
    let output = command.output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[test]
fn a_log_is_read_from_a_web_server_with_and_without_tls() {
    let good = site(&honest(300));
    let port = serve(good.files.clone(), None);
    assert_eq!(
        ask_url(&format!("http://127.0.0.1:{port}/log/"), None).0,
        Some(0)
    );
    let mut bad = good.files.clone();
    bad.get_mut("tile/entries/000").unwrap()[30] ^= 1;
    let port = serve(bad, None);
    assert_eq!(
        ask_url(&format!("http://127.0.0.1:{port}/log"), None).0,
        Some(1)
    );

    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certified.cert.der().clone()], key)
    .unwrap();
    let port = serve(good.files, Some(Arc::new(tls)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, certified.cert.pem()).unwrap();
    let url = format!("https://localhost:{port}/log");
    let (status, text) = ask_url(&url, Some(&file));
    assert_eq!(status, Some(0), "{text}");
    // A certificate that the system does not know, and a server that is not there: unavailable, not a verdict.
    assert_eq!(ask_url(&url, None).0, Some(3));
    assert_eq!(ask_url("http://127.0.0.1:1/log", None).0, Some(3));
}

/// Every byte of every file matters: none of these is found by luck, and each is found by a check with a name.
#[test]
fn random_damage_to_the_files_is_always_found() {
    let good = site(&honest(300));
    let paths: Vec<_> = good.files.keys().cloned().collect();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut seed = 0x5cea_u64;
    let mut random = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for round in 0..250 {
        let mut site = Site {
            files: good.files.clone(),
            key: good.key.clone(),
        };
        let path = &paths[random(paths.len())];
        let bytes = site.files.get_mut(path).unwrap();
        let at = random(bytes.len());
        match round % 5 {
            0 | 1 => bytes[at] ^= 1 << random(8),
            2 => bytes.truncate(at),
            3 => drop(bytes.remove(at)),
            _ => bytes.insert(at, bytes[at].wrapping_add(1)),
        }
        // The witness's line is not asked for here: damage to it alone changes nothing that this command judges.
        let witness = path == "checkpoint" && at > site.files[path].len().saturating_sub(110);
        let (reason, _) = site.reason(None);
        assert!(
            reason != "consistent" || witness,
            "{path} at {at}, round {round}"
        );
        *reasons.entry(reason).or_default() += 1;
    }
    eprintln!("found by: {reasons:?}");
    assert!(reasons.len() >= 5, "{reasons:?}");
}

proptest::proptest! {
    /// What strangers send to a reader of the log: refused or read back the same, never a panic.
    #[test]
    fn hostile_notes_paths_bundles_and_entries_are_refused_or_canonical(text in "[a-z0-9/.x+=\u{2014} \n\"{}:,-]{0,80}", bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        for input in [text.as_bytes(), bytes.as_slice()] {
            if let Ok(note) = sceau_proof::log::note::Note::parse(input) {
                proptest::prop_assert_eq!(note.to_string().into_bytes(), input.to_vec());
            }
            if let Ok(entry) = Entry::parse(input) {
                proptest::prop_assert_eq!(entry.to_bytes().unwrap(), input.to_vec());
            }
            let _ = tile::entries(input, 3);
            let _ = sceau_proof::log::Frontier::from_bytes(input);
        }
        if let Ok(tile) = Tile::parse(&text) {
            proptest::prop_assert_eq!(tile.path(), text.clone());
        }
        if let Ok(read) = Checkpoint::parse(&text) {
            proptest::prop_assert_eq!(read.text(), text.clone());
        }
        let _ = VerifyingKey::parse(&text);
    }
}
