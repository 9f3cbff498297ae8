//! Charter: `sceau doctor` finds planted faults, and names the remedy of each.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::Value;

use crate::relay::{Relay, TOKEN};
use crate::workstation::Workstation;

/// What the doctor found, by code; with the remedy.
fn doctor(workstation: &Workstation, more: &[(&str, Option<&str>)]) -> BTreeMap<String, String> {
    let mut command = workstation.command(env!("CARGO_BIN_EXE_sceau"));
    for (name, value) in more {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let out = command
        .args(["doctor", "--json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{out:?}"));
    let all = told["findings"].as_array().unwrap();
    let is_sound = all.iter().all(|one| one["state"] != "fault");
    assert_eq!(out.status.code(), Some(i32::from(!is_sound)), "{told}");
    assert_eq!(told["sound"], is_sound);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.iter()
        .map(|one| (text(&one["code"]), text(&one["remedy"])))
        .collect()
}

fn configured(text: &str) -> Workstation {
    let workstation = Workstation::new("");
    std::fs::write(workstation.path("config/sceau/agent.toml"), text).unwrap();
    workstation
}

#[test]
fn each_planted_fault_is_found_with_its_remedy() {
    let base = "server = \"http://127.0.0.1:9\"\nrp_id = \"sceau.example\"\n";
    let mut planted = 0;
    let mut expect = |code: &str, remedy: &str, found: BTreeMap<String, String>| {
        let told = found.get(code);
        assert!(
            told.is_some_and(|told| told.contains(remedy)),
            "{code}: {found:?}"
        );
        planted += 1;
    };
    // The configuration.
    let nothing = configured(base);
    std::fs::remove_file(nothing.path("config/sceau/agent.toml")).unwrap();
    expect(
        "configuration-missing",
        "agent.example.toml",
        doctor(&nothing, &[]),
    );
    let with = |line: &str| doctor(&configured(&format!("{base}{line}\n")), &[]);
    expect(
        "configuration-malformed",
        "agent.example.toml",
        with("pni = 1"),
    );
    expect(
        "configuration-pin",
        "base64url",
        with("spki_sha256 = [\"AAAA\"]"),
    );
    expect(
        "ca-file-unusable",
        "PEM",
        doctor(
            &configured(
                "server = \"https://127.0.0.1:9\"\nrp_id = \"sceau.example\"\nca_file = \"/nowhere.pem\"\n",
            ),
            &[],
        ),
    );
    expect(
        "configuration-server",
        "https://",
        doctor(
            &configured("server = \"http://sceau.example\"\nrp_id = \"sceau.example\"\n"),
            &[],
        ),
    );
    expect(
        "configuration-rp-id",
        "lower case",
        doctor(
            &configured("server = \"https://127.0.0.1:9\"\nrp_id = \"https://Sceau\"\n"),
            &[],
        ),
    );
    expect(
        "relying-party-elsewhere",
        "rp_id",
        doctor(
            &configured(
                "server = \"https://127.0.0.1:9\"\nrp_id = \"other.example\"\nspki_sha256 = [\"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU\"]\n",
            ),
            &[],
        ),
    );
    // The server.
    expect("server-silent", "firewall", doctor(&configured(base), &[]));
    expect(
        "server-unresolved",
        "getent",
        doctor(
            &configured(
                "server = \"https://no-such-host.invalid\"\nrp_id = \"no-such-host.invalid\"\nspki_sha256 = [\"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU\"]\n",
            ),
            &[],
        ),
    );
    let (port, certificate) = tls();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    std::fs::write(&other, certificate_of("other.example").0).unwrap();
    let there = format!("server = \"https://localhost:{port}\"\nrp_id = \"localhost\"\n");
    expect(
        "server-untrusted",
        "ca_file",
        doctor(
            &configured(&format!("{there}ca_file = \"{}\"\n", other.display())),
            &[],
        ),
    );
    expect(
        "server-other-key",
        "pin",
        doctor(
            &configured(&format!(
                "{there}spki_sha256 = [\"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU\"]\n"
            )),
            &[],
        ),
    );
    let own = folder.path().join("own.pem");
    std::fs::write(&own, certificate).unwrap();
    expect(
        "clock-wrong",
        "set-ntp",
        doctor(
            &configured(&format!("{there}ca_file = \"{}\"\n", own.display())),
            &[],
        ),
    );
    // The agent and its session.
    let absent = configured(base);
    expect(
        "agent-absent",
        "systemctl --user enable",
        doctor(&absent, &[]),
    );
    expect(
        "runtime-directory-missing",
        "logind",
        doctor(&absent, &[("XDG_RUNTIME_DIR", None)]),
    );
    let relay = Relay::start();
    let open = Workstation::new(&format!("server = \"{}\"", relay.url())).signed_in(&relay.url());
    std::fs::set_permissions(
        open.path("state/sceau/session"),
        std::fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    expect("session-file-open", "chmod 600", doctor(&open, &[]));
    let running = Workstation::new("server = \"http://127.0.0.1:9\"").start();
    std::fs::write(
        running.path("config/sceau/agent.toml"),
        base.replace(":9", ":10"),
    )
    .unwrap();
    let found = doctor(&running, &[]);
    expect("agent-of-another-server", "restart", found.clone());
    expect("signed-out", "sceau sign-in", found);
    // The machine.
    expect("pcscd-absent", "apt install pcscd", doctor(&absent, &[]));
    expect(
        "pinentry-absent",
        "apt install pinentry",
        doctor(&absent, &[("PATH", Some("/nowhere"))]),
    );
    let textual = folder.path().join("pinentry-curses");
    std::fs::write(&textual, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&textual, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(&textual, folder.path().join("pinentry")).unwrap();
    let path = folder.path().to_str().unwrap();
    expect(
        "pinentry-without-windows",
        "pinentry-gnome3",
        doctor(&absent, &[("PATH", Some(path)), ("DISPLAY", Some(":0"))]),
    );
    expect(
        "session-bus-absent",
        "dbus-user-session",
        doctor(
            &absent,
            &[
                ("DISPLAY", Some(":0")),
                ("DBUS_SESSION_BUS_ADDRESS", Some("unix:path=/nowhere/bus")),
            ],
        ),
    );
    if let Some((mut bus, address)) = session_bus() {
        let on_the_bus = [
            ("DISPLAY", Some(":0")),
            ("DBUS_SESSION_BUS_ADDRESS", Some(address.as_str())),
        ];
        let found = doctor(&absent, &on_the_bus);
        bus.kill().unwrap();
        bus.wait().unwrap();
        let code = if found.contains_key("notification-server-absent") {
            ("notification-server-absent", "dunst")
        } else {
            // A server that the bus would start is installed here.
            ("desktop-absent", "systemctl --user enable")
        };
        expect(code.0, code.1, found);
    } else {
        eprintln!("SKIPPED: doctor's look at the session bus: dbus-daemon is missing");
    }
    assert!(planted >= 12, "{planted}");
    eprintln!("{planted} planted faults found");
}

#[test]
fn sound_parts_are_said_to_be_so_in_both_languages() {
    let relay = Relay::start();
    let workstation = Workstation::new(&format!("server = \"{}\"", relay.url()))
        .signed_in(&relay.url())
        .start();
    relay.await_inbox();
    let found = doctor(&workstation, &[]);
    for code in [
        "configured",
        "agent-running",
        "signed-in",
        "pinentry-there",
        "desktop-none",
    ] {
        assert!(found.contains_key(code), "{code}: {found:?}");
    }
    let english = workstation.sceau(&["doctor"]);
    let english = String::from_utf8_lossy(&english.stdout).into_owned();
    assert!(english.contains("✓ agent"), "{english}");
    assert!(english.contains("→ sudo apt install pcscd"), "{english}");
    let french = workstation.in_french().sceau(&["doctor"]);
    assert!(String::from_utf8_lossy(&french.stdout).contains("L’agent répond"));
}

fn certificate_of(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A TLS server whose clock is a day late; its port and its certificate.
fn tls() -> (u16, String) {
    use rustls_pki_types::pem::PemObject;
    let (certificate, key) = certificate_of("localhost");
    let chain =
        vec![rustls_pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = std::sync::Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream);
            let mut request = [0; 1024];
            if std::io::Read::read(&mut tls, &mut request).is_ok() {
                drop(tls.write_all(b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2015 19:00:00 GMT\r\ncontent-length: 0\r\n\r\n"));
            }
        }
    });
    (port, certificate)
}

fn session_bus() -> Option<(std::process::Child, String)> {
    use std::io::BufRead;
    let mut bus = std::process::Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut line = String::new();
    std::io::BufReader::new(bus.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    Some((bus, line.trim().to_owned()))
}

#[test]
fn token_of_the_fixture_is_never_told() {
    let relay = Relay::start();
    let workstation =
        Workstation::new(&format!("server = \"{}\"", relay.url())).signed_in(&relay.url());
    let out = workstation.sceau(&["doctor", "--json"]);
    assert!(!String::from_utf8_lossy(&out.stdout).contains(TOKEN));
}
