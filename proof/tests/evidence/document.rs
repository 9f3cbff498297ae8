//! docs/evidence.md: its walk-through, its independent checker; and time stamps.

use std::io::Write as _;
use std::process::{Command, Stdio};

use sceau_proof::base64url;
use sceau_proof::evidence::*;
use sceau_proof::log::entry::sha256;
use serde_json::json;

use super::{NOW, Scene, action, failed, judge, scene};

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap();
    let length = if length < 0x80 {
        vec![length.to_be_bytes()[1]]
    } else {
        [&[0x82][..], &length.to_be_bytes()].concat()
    };
    [&[tag][..], &length, &content].concat()
}

/// A token with this imprint, without certificates or signature, which are not looked at.
fn time_stamp(imprint: &[u8]) -> String {
    let sha256 = der(
        0x30,
        &[&[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], &[5, 0]],
    );
    let info = der(
        0x30,
        &[
            &[2, 1, 1],
            &[6, 3, 0x2a, 3, 4],
            &der(0x30, &[&sha256, &der(4, &[imprint])]),
            &[2, 1, 9],
        ],
    );
    let tst_info = [
        0x06, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 0x10, 1, 4,
    ];
    let encapsulated = der(0x30, &[&tst_info, &der(0xa0, &[&der(4, &[&info])])]);
    let signed = der(
        0x30,
        &[
            &[2, 1, 3],
            &der(0x31, &[&sha256]),
            &encapsulated,
            &der(0x31, &[]),
        ],
    );
    let signed_data = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    base64url::encode(der(0x30, &[&signed_data, &der(0xa0, &[&signed])]))
}

#[test]
fn a_time_stamp_counts_for_the_checkpoint_that_it_is_of() {
    let mut scene = scene();
    let (text, _) = scene.bundle.log.checkpoint.split_once("\n\n").unwrap();
    let imprint = sha256(format!("{text}\n").as_bytes());
    scene.bundle.timestamps = vec![time_stamp(&imprint)];
    let report = judge(&scene, &scene.bundle.to_json().unwrap());
    assert!(report.accepted(), "{:#?}", report.checks());
    let last = report.checks().last().unwrap();
    assert_eq!(
        (last.check.as_str(), last.result),
        ("timestamp 0", Outcome::NotEvaluated)
    );
    for other in [
        time_stamp(&[1; 32]),
        time_stamp(&[1; 20]),
        "MAA".to_owned(),
        String::new(),
    ] {
        scene.bundle.timestamps = vec![other];
        assert_eq!(
            failed(&judge(&scene, &scene.bundle.to_json().unwrap())),
            ["timestamp 0"]
        );
    }
}

proptest::proptest! {
    /// Hostile bytes, and bundles with a piece torn out or doubled: a verdict, never a panic.
    #[test]
    fn hostile_bundles_get_a_verdict(at in 0.0..1.0_f64, length in 0_usize..200, junk in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
        static SCENE: std::sync::OnceLock<(Scene, Vec<u8>)> = std::sync::OnceLock::new();
        let (scene, good) = SCENE.get_or_init(|| {
            let scene = scene();
            let bytes = scene.bundle.to_json().unwrap();
            (scene, bytes)
        });
        let start = (at * good.len() as f64) as usize;
        let end = (start + length).min(good.len());
        let torn = [&good[..start], &junk, &good[end..]].concat();
        proptest::prop_assert!(torn == *good || !judge(scene, &torn).accepted());
        proptest::prop_assert!(!judge(scene, &junk).accepted());
    }
}

/// The shell lines of docs/evidence.md, "By hand", run as they stand.
#[test]
fn the_documented_walk_through_works() {
    for tool in ["bash", "jq", "openssl", "basenc"] {
        let found = Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if found.is_err() {
            eprintln!("SKIPPED: {tool} is not there");
            return;
        }
    }
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/evidence.md");
    let page = std::fs::read_to_string(page).unwrap();
    let lines = page
        .split("```sh\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let walk = |scene: &Scene| {
        std::fs::write(
            folder.path().join("evidence.json"),
            scene.bundle.to_json().unwrap(),
        )
        .unwrap();
        std::fs::write(folder.path().join("log.vkey"), scene.log.to_string()).unwrap();
        let output = Command::new("bash")
            .args(["-c", lines])
            .current_dir(folder.path())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    let mut scene = scene();
    let text = walk(&scene);
    for word in [
        "challenge OK",
        "Verified OK",
        "entry OK",
        "Signature Verified Successfully",
        "inclusion OK",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    scene.bundle.action = action("account.create", "amartin", "attacker", 9, NOW);
    let text = walk(&scene);
    assert!(
        !text.contains("challenge OK") && !text.contains("entry OK"),
        "{text}"
    );
}

#[test]
fn the_independent_checker_agrees() {
    let script =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers/evidence_check.py");
    let ready = Command::new("python3")
        .args(["-c", "import cryptography"])
        .stderr(Stdio::null())
        .status();
    if !ready.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: python3 with the package `cryptography` is not there");
        return;
    }
    let scene = scene();
    let folder = tempfile::tempdir().unwrap();
    for (i, anchor) in scene.anchors.iter().enumerate() {
        std::fs::write(
            folder.path().join(format!("{i}.der")),
            anchor.certificate.der(),
        )
        .unwrap();
    }
    let ask = |bundle: &Bundle| {
        let mut child = Command::new("python3")
            .arg(&script)
            .args([
                "-",
                "--log-key",
                &scene.log.to_string(),
                "--witness",
                &scene.witness.to_string(),
                "--roots",
            ])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(&bundle.to_json().unwrap())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (status, text) = ask(&scene.bundle);
    assert_eq!(status, Some(0), "{text}");
    let (text, _) = scene.bundle.log.checkpoint.split_once("\n\n").unwrap();
    let imprint = sha256(format!("{text}\n").as_bytes());
    let mut stamped = scene.bundle.clone();
    stamped.timestamps = vec![time_stamp(&imprint)];
    let (status, text) = ask(&stamped);
    assert_eq!(status, Some(0), "{text}");
    for check in ["approval 0 metadata", "permit", "timestamp 0"] {
        assert!(text.contains(&format!("passed   {check}\n")), "{text}");
    }
    let mut under_way = scene.bundle.clone();
    under_way.log.entries.pop();
    under_way.state = State::Executing;
    let (status, text) = ask(&under_way);
    assert_eq!(status, Some(0), "{text}");
    let lies: [&dyn Fn(&mut Bundle); 14] = [
        &|it| it.state = State::Executing,
        &|it| {
            it.log.entries.truncate(6);
            it.state = State::Executing;
        },
        &|it| drop(it.log.entries.pop()),
        &|it| it.permit.as_mut().unwrap().jws = it.permit.as_ref().unwrap().jws.replace('.', "A."),
        &|it| it.permit.as_mut().unwrap().issuer = "https://evil.example".into(),
        &|it| it.timestamps = vec![time_stamp(&[1; 32])],
        &|it| it.action = action("account.create", "amartin", "attacker", 9, NOW),
        &|it| it.state = State::Approved,
        &|it| it.policy.decision["requirement"]["approvals"] = json!(1),
        &|it| it.approvals[0].person = "amartin".into(),
        &|it| it.approvals[0].response["signature"] = json!("AAAA"),
        &|it| it.approvals[1].key["origins"] = json!([]),
        &|it| it.log.entries[1].index += 1,
        &|it| it.log.checkpoint = it.log.checkpoint.replacen("sceau", "socau", 1),
    ];
    for (i, lie) in lies.iter().enumerate() {
        let mut bundle = scene.bundle.clone();
        lie(&mut bundle);
        let (status, text) = ask(&bundle);
        assert_eq!(status, Some(1), "lie {i}: {text}");
    }
}
