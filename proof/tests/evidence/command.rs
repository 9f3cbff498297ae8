//! `sceau-verify evidence` as an auditor runs it: the lines that people read, beside the object that programs read.

use std::process::Command;

use serde_json::Value;

use super::{Scene, scene};

/// Exit status, the object, and the lines for people.
fn verify(scene: &Scene, bundle: &[u8]) -> (i32, Value, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evidence.json");
    std::fs::write(&file, bundle).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sceau-verify"))
        .arg("evidence")
        .arg(&file)
        .args(["--log-key", &scene.log.to_string()])
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stderr).unwrap();
    (
        output.status.code().unwrap(),
        serde_json::from_slice(&output.stdout).unwrap(),
        lines.lines().map(str::to_owned).collect(),
    )
}

#[test]
fn each_check_has_a_line_in_columns_that_says_what_the_object_says() {
    let scene = scene();
    let (code, object, lines) = verify(&scene, &scene.bundle.to_json().unwrap());
    let checks = object["checks"].as_array().unwrap();
    assert_eq!((code, lines.len()), (0, checks.len()), "{lines:?}");
    for (line, check) in lines.iter().zip(checks) {
        let (result, rest) = line.split_at(14);
        let (name, detail) = rest.split_at(26);
        assert_eq!(
            result.trim_end().replace(' ', "-").to_lowercase(),
            check["result"].as_str().unwrap(),
            "{line}"
        );
        assert_eq!(name.trim_end(), check["check"].as_str().unwrap(), "{line}");
        assert!(name.ends_with(' ') && !detail.starts_with(' '), "{line}");
    }
}
