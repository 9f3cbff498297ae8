//! Charter: who may talk to the daemon, and how much (attack 16). No authenticator is needed here.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::workstation::Workstation;

fn workstation() -> Workstation {
    // Nobody listens at port 9; nothing here needs the server.
    Workstation::new("server = \"http://127.0.0.1:9\"").start()
}

/// What the daemon answers to these bytes until it closes, or `None` if it does not close.
fn answer(workstation: &Workstation, bytes: &[u8]) -> Option<String> {
    let mut stream = UnixStream::connect(workstation.socket()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    drop(stream.write_all(bytes));
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Ok(_) => {}
        // Closed with something of ours unread.
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(_) => return None,
    }
    Some(String::from_utf8(text).unwrap())
}

#[test]
fn request_of_a_browser_is_cut_off_without_an_answer() {
    let workstation = workstation();
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\n\r\n{\"op\":\"status\"}\n",
        "\u{16}\u{3}\u{1}",
        "[1]\n",
    ] {
        assert_eq!(
            answer(&workstation, request.as_bytes()).as_deref(),
            Some(""),
            "{request:?}"
        );
    }
    assert!(
        answer(&workstation, b"{\"op\":\"status\"}\n")
            .is_some_and(|text| text.starts_with("{\"done\":"))
    );
}

#[test]
fn endless_line_is_cut_off_and_malformed_request_is_told_so() {
    let workstation = workstation();
    let mut endless = b"{\"op\":\"".to_vec();
    endless.extend(std::iter::repeat_n(b'a', 100_000));
    assert_eq!(answer(&workstation, &endless).as_deref(), Some(""));
    for request in [
        "{}\n",
        "{\"op\":\"reset\"}\n",
        "{\"op\":\"refuse\",\"id\":\"x\",\"reason\":\"other\"}\n",
        "{\"op\"\n",
    ] {
        let text = answer(&workstation, request.as_bytes()).unwrap();
        assert!(
            text.contains("\"code\":\"bad-request\"") && text.contains("\"exit\":2"),
            "{request:?}: {text}"
        );
    }
}

#[test]
fn clients_are_bounded_and_those_that_leave_make_room() {
    let workstation = workstation();
    let idle: Vec<UnixStream> = (0..8)
        .map(|_| UnixStream::connect(workstation.socket()).unwrap())
        .collect();
    assert_eq!(
        answer(&workstation, b"{\"op\":\"status\"}\n").as_deref(),
        Some("")
    );
    drop(idle);
    workstation.await_status("room again", |_| true);
}

#[test]
fn socket_and_its_directory_are_the_owners_alone() {
    let workstation = workstation();
    let mode = |name: &str| {
        std::fs::metadata(workstation.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode("runtime/sceau"), mode("runtime/sceau/agent.sock")),
        (0o700, 0o600)
    );
    let second = workstation
        .command(env!("CARGO_BIN_EXE_sceau-agent"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(3), "{second:?}");
    workstation.await_status("the first daemon still answers", |_| true);
}

#[test]
fn another_user_is_refused_even_where_file_modes_let_him_in() {
    let workstation = workstation();
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "SKIPPED: another_user_is_refused_even_where_file_modes_let_him_in: needs root to become another user"
        );
        return;
    }
    let open = |name: &str, mode| {
        std::fs::set_permissions(
            workstation.path(name),
            std::fs::Permissions::from_mode(mode),
        )
        .unwrap()
    };
    for (name, mode) in [
        ("", 0o755),
        ("runtime", 0o755),
        ("runtime/sceau", 0o755),
        ("runtime/sceau/agent.sock", 0o666),
    ] {
        open(name, mode);
    }
    let ask = |uid: &str| {
        let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ntry:\n s.sendall(b'{\"op\":\"status\"}\\n')\n print(len(s.recv(9999)))\nexcept (BrokenPipeError,ConnectionResetError):\n print(0)";
        let out = Command::new("setpriv")
            .args([
                "--reuid",
                uid,
                "--clear-groups",
                "/usr/bin/python3",
                "-c",
                script,
            ])
            .arg(workstation.socket())
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout)
            .unwrap()
            .trim()
            .parse::<usize>()
            .unwrap()
    };
    assert!(ask("0") > 0, "the script works for the owner");
    assert_eq!(ask("65534"), 0);
}

#[test]
fn command_says_what_is_missing_with_its_exit_code() {
    let workstation = workstation();
    let code = |arguments: &[&str]| workstation.sceau(arguments).status.code();
    assert_eq!(code(&["approve"]), Some(2), "no terminal, no PIN");
    assert_eq!(code(&["refuse", "not-an-id"]), Some(2));
    assert_eq!(
        code(&["refuse", "0197a1f2-6c1e-7cc3-98c4-dc0c0c07398f"]),
        Some(1),
        "signed out"
    );
    assert_eq!(code(&["enroll", "--invitation-file", "/nowhere"]), Some(2));
    assert_eq!(code(&["status"]), Some(0));
    let mut workstation = workstation;
    workstation.kill();
    assert_eq!(workstation.sceau(&["status"]).status.code(), Some(3));
}
