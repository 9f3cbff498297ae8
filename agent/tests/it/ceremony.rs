//! Charter: ceremonies from end to end: real firmware behind a real pcscd, real terminals, and a server that verifies (or lies).

use rexpect::process::WaitStatus;
use rexpect::session::PtySession;
use serde_json::{Value, json};

use crate::relay::{KEY_ID, Relay, action};
use crate::workstation::{Workstation, eventually, with_virtual_keys};

pub(crate) const PIN: &str = "271828";

fn server(relay: &Relay) -> String {
    format!("server = \"{}\"\nperson = \"alice\"", relay.url())
}

fn end(mut terminal: PtySession) -> (i32, String) {
    let rest = terminal.exp_eof().unwrap();
    match terminal.process().wait().unwrap() {
        WaitStatus::Exited(_, code) => (code, rest),
        other => panic!("{other:?}: {rest}"),
    }
}

/// A workstation with an enrolled key, its PIN set through the terminal.
pub(crate) fn enrolled(relay: &Relay) -> Workstation {
    let workstation = Workstation::new(&server(relay)).with_key().start();
    let file = workstation.path("invitation");
    std::fs::write(&file, "c2VjcmV0LWludml0YXRpb24\n").unwrap();
    let mut terminal =
        workstation.terminal(&["enroll", "--invitation-file", file.to_str().unwrap()]);
    terminal.exp_string("Seal this action?").unwrap();
    terminal.send_line("y").unwrap();
    terminal.exp_string("New PIN:").unwrap();
    terminal.send_line(PIN).unwrap();
    terminal.exp_string("once more:").unwrap();
    terminal.send_line("314159").unwrap();
    terminal.exp_string("The two differ.").unwrap();
    terminal.exp_string("New PIN:").unwrap();
    terminal.send_line(PIN).unwrap();
    terminal.exp_string("once more:").unwrap();
    terminal.send_line(PIN).unwrap();
    let (code, rest) = end(terminal);
    assert_eq!(code, 0, "{rest}");
    assert!(
        rest.contains("Key enrolled") && !rest.contains(PIN),
        "{rest}"
    );
    relay.await_inbox();
    workstation
}

pub(crate) fn propose(relay: &Relay, workstation: &Workstation, seconds: i64) -> Value {
    let action = action("account.create", "alice", seconds, json!({}));
    relay.propose(&action);
    workstation.await_status("the action waits", |status| {
        status["pending"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["id"] == action["id"]))
    });
    action
}

fn pin(terminal: &mut PtySession, typed: &str) {
    terminal.exp_string("Seal this action?").unwrap();
    terminal.send_line("y").unwrap();
    terminal.exp_string("PIN of the key").unwrap();
    terminal.send_line(typed).unwrap();
}

pub(crate) fn path(action: &Value, what: &str) -> String {
    format!("/v1/actions/{}/{what}", action["id"].as_str().unwrap())
}

#[test]
fn key_is_enrolled_and_seals_exactly_the_action_that_was_shown() {
    if !with_virtual_keys("ceremony::key_is_enrolled_and_seals_exactly_the_action_that_was_shown") {
        return;
    }
    let relay = Relay::start();
    let workstation = enrolled(&relay);
    let keys = workstation.json(&["keys", "--json"]);
    let (pin_set, enrolled_as) = (
        &keys["keys"][0]["pin_set"],
        &keys["keys"][0]["enrolled"]["key_id"],
    );
    assert_eq!((pin_set, enrolled_as), (&json!(true), &json!(KEY_ID)));
    let action = propose(&relay, &workstation, 60);
    let mut terminal = workstation.terminal(&["approve"]);
    let shown = terminal.exp_string("Seal this action?").unwrap();
    assert!(
        shown.contains("Jean Dupont <j.dupont@ml.example>"),
        "{shown}"
    );
    terminal.send_line("y").unwrap();
    terminal.exp_string("PIN of the key").unwrap();
    terminal.send_line("000000").unwrap();
    terminal.exp_string("Wrong PIN.").unwrap();
    terminal.exp_string("Tries left: 7").unwrap();
    terminal.exp_string("PIN of the key").unwrap();
    terminal.send_line(PIN).unwrap();
    let (code, rest) = end(terminal);
    assert_eq!(code, 0, "{rest}");
    assert!(rest.contains("Sealed") && !rest.contains(PIN), "{rest}");
    let report = relay.await_request(&path(&action, "approvals"));
    assert_eq!(report["key_id"], KEY_ID);
    let verified = relay.verify(&action, &report).unwrap();
    assert!(verified.flags().up() && verified.flags().uv());
    assert_eq!(relay.requests("/v1/actions/"), 1);
}

#[test]
fn seal_of_what_a_relay_shows_is_no_seal_of_what_the_server_recorded() {
    if !with_virtual_keys(
        "ceremony::seal_of_what_a_relay_shows_is_no_seal_of_what_the_server_recorded",
    ) {
        return;
    }
    let relay = Relay::start();
    let workstation = enrolled(&relay);
    // Attack 4: the record says "create an account", the relay shows "reset a password" under the same id.
    let recorded = action("account.create", "alice", 60, json!({}));
    let mut relayed = recorded.clone();
    relayed["type"] = json!("password.reset");
    relay.propose(&relayed);
    workstation.await_status("the action waits", |status| {
        status["pending"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    });
    let mut terminal = workstation.terminal(&["approve"]);
    let shown = terminal.exp_string("Seal this action?").unwrap();
    assert!(
        shown.contains("password.reset") && !shown.contains("account.create"),
        "{shown}"
    );
    terminal.send_line("y").unwrap();
    terminal.exp_string("PIN of the key").unwrap();
    terminal.send_line(PIN).unwrap();
    assert_eq!(end(terminal).0, 0);
    let report = relay.await_request(&path(&recorded, "approvals"));
    assert!(
        relay.verify(&relayed, &report).is_ok(),
        "what was shown was sealed"
    );
    assert!(
        relay.verify(&recorded, &report).is_err(),
        "and nothing else"
    );
}

#[test]
fn two_documents_under_one_id_are_both_dropped() {
    let relay = Relay::start();
    let workstation = Workstation::new(&server(&relay))
        .signed_in(&relay.url())
        .start();
    let first = propose(&relay, &workstation, 60);
    let mut second = first.clone();
    second["params"]["email"] = json!("mallory@evil.example");
    relay.propose(&second);
    workstation.await_log("two different actions under one id");
    assert_eq!(
        workstation.json(&["status", "--json"])["pending"],
        json!([])
    );
    relay.propose(&first);
    let other = propose(&relay, &workstation, 60);
    let pending = workstation.json(&["status", "--json"])["pending"].clone();
    assert_eq!(pending.as_array().map(Vec::len), Some(1));
    assert_eq!(pending[0]["id"], other["id"]);
}

#[test]
fn expired_and_invalid_actions_are_never_shown() {
    let relay = Relay::start();
    let workstation = Workstation::new(&server(&relay))
        .signed_in(&relay.url())
        .start();
    relay.propose(&action("account.create", "alice", 60, json!({ "v": 2 })));
    workstation.await_log("unknown version");
    let mut expired = action("account.create", "alice", 60, json!({}));
    expired["created_at"] = json!("2020-01-01T00:00:00Z");
    expired["expires_at"] = json!("2020-01-01T00:05:00Z");
    relay.propose(&expired);
    workstation.await_log("the action has expired");
    let honest = propose(&relay, &workstation, 60);
    assert_eq!(
        workstation.json(&["status", "--json"])["pending"][0]["id"],
        honest["id"]
    );
}

#[test]
fn refusal_reaches_the_server_with_its_reason_and_signs_nothing() {
    let relay = Relay::start();
    let workstation = Workstation::new(&server(&relay))
        .in_french()
        .signed_in(&relay.url())
        .start();
    let first = propose(&relay, &workstation, 60);
    let refused = workstation.json(&[
        "refuse",
        first["id"].as_str().unwrap(),
        "--reason",
        "not-me",
        "--json",
    ]);
    assert_eq!(refused["outcome"], "refused");
    assert_eq!(
        relay.await_request(&path(&first, "refusals")),
        json!({ "reason": "not-me" })
    );

    let second = propose(&relay, &workstation, 60);
    let mut terminal = workstation.terminal(&["approve"]);
    terminal.exp_string("Sceller cette action").unwrap();
    terminal.send_line("n").unwrap();
    // The terminal is read a byte at a time, each as a character: this is U+202F.
    terminal.exp_string("Pourquoi\u{e2}\u{80}\u{af}?").unwrap();
    terminal.send_line("2").unwrap();
    let (code, rest) = end(terminal);
    assert_eq!(code, 1, "{rest}");
    assert_eq!(
        relay.await_request(&path(&second, "refusals")),
        json!({ "reason": "mistake" })
    );
    assert_eq!(
        workstation.sceau(&["approve"]).status.code(),
        Some(2),
        "no terminal"
    );
}

#[test]
fn action_that_is_settled_elsewhere_leaves_the_terminal_at_once() {
    let relay = Relay::start();
    let workstation = Workstation::new(&server(&relay))
        .signed_in(&relay.url())
        .start();
    let action = propose(&relay, &workstation, 60);
    let mut terminal = workstation.terminal(&["approve"]);
    terminal.exp_string("Seal this action?").unwrap();
    relay.send(
        "settled",
        &json!({ "id": action["id"], "state": "refused" }),
    );
    terminal.exp_string("settled elsewhere (refused)").unwrap();
    assert_eq!(end(terminal).0, 1);
}

#[test]
fn three_wrong_pins_lock_the_key_and_the_server_hears_of_it() {
    if !with_virtual_keys("ceremony::three_wrong_pins_lock_the_key_and_the_server_hears_of_it") {
        return;
    }
    let relay = Relay::start();
    let workstation = enrolled(&relay);
    let action = propose(&relay, &workstation, 60);
    let mut terminal = workstation.terminal(&["approve"]);
    pin(&mut terminal, "000000");
    for left in ["7", "6"] {
        terminal.exp_string(&format!("Tries left: {left}")).unwrap();
        terminal.exp_string("PIN of the key").unwrap();
        terminal.send_line("000000").unwrap();
    }
    let (code, rest) = end(terminal);
    assert_eq!(code, 1, "{rest}");
    assert!(rest.contains("Take it out and put it back"), "{rest}");
    assert_eq!(
        relay.await_request("/v1/agent/reports"),
        json!({ "kind": "pin-blocked", "key_id": KEY_ID })
    );
    assert_eq!(relay.requests("/v1/actions/"), 0);
    // Replugged, the right PIN works again, and the action is still there.
    workstation.key("remove");
    workstation.await_status("the key is gone", |status| status["authenticators"] == 0);
    workstation.key("insert");
    let mut terminal = workstation.terminal(&["approve"]);
    pin(&mut terminal, PIN);
    assert_eq!(end(terminal).0, 0);
    relay
        .verify(&action, &relay.await_request(&path(&action, "approvals")))
        .unwrap();
}

#[test]
fn key_pulled_while_it_waits_for_a_touch_signs_nothing_and_the_action_stays() {
    if !with_virtual_keys(
        "ceremony::key_pulled_while_it_waits_for_a_touch_signs_nothing_and_the_action_stays",
    ) {
        return;
    }
    let relay = Relay::start();
    let workstation = enrolled(&relay);
    workstation.key("touch never");
    let action = propose(&relay, &workstation, 60);
    let mut terminal = workstation.terminal(&["approve"]);
    pin(&mut terminal, PIN);
    terminal.exp_string("Touch the key").unwrap();
    workstation.key("remove");
    let (code, rest) = end(terminal);
    assert_eq!(code, 3, "{rest}");
    assert!(
        rest.contains("The key was removed; nothing was signed"),
        "{rest}"
    );
    assert_eq!(relay.requests("/v1/actions/"), 0);
    // Without the key the next attempt waits for it, and goes on when it is put in.
    let mut terminal = workstation.terminal(&["approve"]);
    terminal.exp_string("Seal this action?").unwrap();
    terminal.send_line("y").unwrap();
    terminal.exp_string("Plug in or present your key").unwrap();
    workstation.key("touch approve");
    workstation.key("insert");
    terminal.exp_string("PIN of the key").unwrap();
    terminal.send_line(PIN).unwrap();
    assert_eq!(end(terminal).0, 0);
    relay
        .verify(&action, &relay.await_request(&path(&action, "approvals")))
        .unwrap();
}

#[test]
fn touch_is_cancelled_when_the_action_is_settled_or_the_terminal_goes_away() {
    if !with_virtual_keys(
        "ceremony::touch_is_cancelled_when_the_action_is_settled_or_the_terminal_goes_away",
    ) {
        return;
    }
    let relay = Relay::start();
    let workstation = enrolled(&relay);
    workstation.key("touch never");
    let action = propose(&relay, &workstation, 60);
    let pending = || workstation.key("status")["ports"]["fido"]["pending"].clone();
    for settled in [false, true] {
        let mut terminal = workstation.terminal(&["approve"]);
        pin(&mut terminal, PIN);
        terminal.exp_string("Touch the key").unwrap();
        assert_eq!(pending(), json!(true));
        if settled {
            relay.send(
                "settled",
                &json!({ "id": action["id"], "state": "refused" }),
            );
            terminal.exp_string("settled elsewhere").unwrap();
        } else {
            terminal.send_control('c').unwrap();
        }
        assert_ne!(end(terminal).0, 0);
        eventually("the key stops waiting", || {
            (pending() == json!(false)).then_some(())
        });
    }
    assert_eq!(relay.requests("/v1/actions/"), 0);
}

#[test]
fn person_signs_in_by_key_and_out_again() {
    if !with_virtual_keys("ceremony::person_signs_in_by_key_and_out_again") {
        return;
    }
    let relay = Relay::start();
    let workstation = enrolled(&relay);
    assert_eq!(workstation.sceau(&["sign-out"]).status.code(), Some(0));
    assert!(!workstation.path("state/sceau/session").exists());
    assert_eq!(
        workstation.json(&["status", "--json"])["inbox"],
        "signed-out"
    );
    let mut terminal = workstation.terminal(&["sign-in"]);
    pin(&mut terminal, PIN);
    let (code, rest) = end(terminal);
    assert_eq!(code, 0, "{rest}");
    let action = relay.sign_in_action();
    relay
        .verify(&action, &relay.await_request(&path(&action, "approvals")))
        .unwrap();
    workstation.await_status("connected", |status| status["inbox"] == "connected");
    assert!(workstation.path("state/sceau/session").exists());
}

#[test]
fn restarted_pcscd_is_found_again_and_the_daemon_neither_leaks_nor_polls() {
    if !with_virtual_keys(
        "ceremony::restarted_pcscd_is_found_again_and_the_daemon_neither_leaks_nor_polls",
    ) {
        return;
    }
    let relay = Relay::start();
    let mut workstation = enrolled(&relay);
    let held = |workstation: &Workstation| {
        ["fd", "task"].map(|what| {
            std::fs::read_dir(format!("/proc/{}/{what}", workstation.pid()))
                .unwrap()
                .count()
        })
    };
    let restart = |workstation: &mut Workstation| {
        workstation.kill_pcscd();
        workstation.await_status("pcscd is gone", |status| {
            status["pcscd"] == false && status["authenticators"] == 0
        });
        workstation.start_pcscd();
        workstation.key("insert");
        workstation.await_status("the key is back", |status| status["authenticators"] == 1);
    };
    workstation.await_status("settled", |status| status["inbox"] == "connected");
    restart(&mut workstation);
    // Connections of the enrolment are still kept, or are not any more, as the moment has it.
    let before = eventually("settled", || {
        let now = held(&workstation);
        std::thread::sleep(std::time::Duration::from_secs(1));
        (held(&workstation) == now).then_some(now)
    });
    for _ in 0..5 {
        restart(&mut workstation);
    }
    eventually("no leak", || {
        let now = held(&workstation);
        (now[0] <= before[0] && now[1] <= before[1]).then_some(())
    });
    let switches = |workstation: &Workstation| {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", workstation.pid()))
            .unwrap()
            .flatten()
        {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap();
            sum += status
                .lines()
                .filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
                .map(|n| n.trim().parse::<u64>().unwrap())
                .sum::<u64>();
        }
        sum
    };
    let start = switches(&workstation);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(switches(&workstation), start, "idle means asleep");
}

#[test]
fn key_swapped_between_prompt_and_touch_is_never_shown_the_pin() {
    if !with_virtual_keys("ceremony::key_swapped_between_prompt_and_touch_is_never_shown_the_pin") {
        return;
    }
    let relay = Relay::start();
    let mut workstation = enrolled(&relay);
    workstation.another_key("other.sock");
    let action = propose(&relay, &workstation, 60);
    let mut terminal = workstation.terminal(&["approve"]);
    terminal.exp_string("Seal this action?").unwrap();
    terminal.send_line("y").unwrap();
    terminal.exp_string("PIN of the key").unwrap();
    workstation.key("remove");
    workstation.say("other.sock", "insert");
    terminal.send_line(PIN).unwrap();
    let (code, rest) = end(terminal);
    assert_eq!(code, 3, "{rest}");
    assert!(
        rest.contains("The key was removed; nothing was signed"),
        "{rest}"
    );
    let other = workstation.say("other.sock", "status")["ports"]["fido"].clone();
    assert_eq!(other["requests"], 0, "the other key never blinked");
    assert_eq!(relay.requests(&path(&action, "")), 0);
}

#[test]
fn hostile_cards_cost_bounded_time_and_memory_and_the_next_honest_one_works() {
    if !with_virtual_keys(
        "ceremony::hostile_cards_cost_bounded_time_and_memory_and_the_next_honest_one_works",
    ) {
        return;
    }
    let relay = Relay::start();
    let workstation = enrolled(&relay);
    let modes = [
        "endless61",
        "endless6c",
        "endless-keep-alive",
        "wrong-tags",
        "huge-lengths",
        "random-status",
        "noise",
        "truncated",
        "short-status",
        "flood",
        "silent",
        "echo",
    ];
    let memory = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", workstation.pid())).unwrap();
        status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse::<u64>()
            .unwrap()
    };
    let before = memory();
    for mode in modes {
        workstation.key("remove");
        workstation.await_status("no key", |status| status["authenticators"] == 0);
        workstation.key(&format!("misbehave {mode}"));
        workstation.key("insert");
        eventually(mode, || {
            let keys = workstation.json(&["keys", "--json"]);
            (keys["keys"][0]["state"] == "unusable").then_some(())
        });
    }
    workstation.key("remove");
    workstation.key("misbehave none");
    workstation.key("insert");
    workstation.await_status("an honest key", |status| status["authenticators"] == 1);
    assert!(
        memory() < before + 16 * 1024,
        "{} kB, {before} kB before",
        memory()
    );
    // One that breaks between the question and the PIN is named, and may be put in again.
    let action = propose(&relay, &workstation, 60);
    let mut terminal = workstation.terminal(&["approve"]);
    terminal.exp_string("Seal this action?").unwrap();
    workstation.key("misbehave noise");
    terminal.send_line("y").unwrap();
    terminal
        .exp_string("no answer that can be used: pull it out and put it in again")
        .unwrap();
    workstation.key("misbehave none");
    workstation.key("remove");
    workstation.key("insert");
    terminal.exp_string("PIN of the key").unwrap();
    terminal.send_line(PIN).unwrap();
    assert_eq!(end(terminal).0, 0);
    relay
        .verify(&action, &relay.await_request(&path(&action, "approvals")))
        .unwrap();
}

#[test]
fn daemon_that_was_killed_takes_up_its_session_and_the_pending_action_again() {
    if !with_virtual_keys(
        "ceremony::daemon_that_was_killed_takes_up_its_session_and_the_pending_action_again",
    ) {
        return;
    }
    let relay = Relay::start();
    let mut workstation = enrolled(&relay);
    workstation.key("touch never");
    let action = propose(&relay, &workstation, 60);
    let mut terminal = workstation.terminal(&["approve"]);
    pin(&mut terminal, PIN);
    terminal.exp_string("Touch the key").unwrap();
    workstation.kill();
    assert_eq!(end(terminal).0, 3);
    workstation.key("touch approve");
    let workstation = workstation.start();
    workstation.await_status("the action is there again", |status| {
        status["pending"][0]["id"] == action["id"]
    });
    let mut terminal = workstation.terminal(&["approve"]);
    pin(&mut terminal, PIN);
    assert_eq!(end(terminal).0, 0);
    assert_eq!(relay.requests(&path(&action, "approvals")), 1);
    relay
        .verify(&action, &relay.await_request(&path(&action, "approvals")))
        .unwrap();
}

#[test]
fn action_that_is_asked_for_right_after_a_start_waits_for_the_greeting_that_names_the_keys() {
    if !with_virtual_keys(
        "ceremony::action_that_is_asked_for_right_after_a_start_waits_for_the_greeting_that_names_the_keys",
    ) {
        return;
    }
    let relay = Relay::start();
    let mut workstation = enrolled(&relay);
    workstation.kill();
    relay.greet_after(std::time::Duration::from_millis(1500));
    let action = action("account.create", "alice", 60, json!({}));
    relay.record(&action);
    let workstation = workstation.start();
    let mut terminal = workstation.terminal(&["approve", action["id"].as_str().unwrap()]);
    pin(&mut terminal, PIN);
    let (code, rest) = end(terminal);
    assert_eq!(code, 0, "{rest}");
    let report = relay.await_request(&path(&action, "approvals"));
    relay.verify(&action, &report).unwrap();
}

#[test]
fn who_waits_is_shown_each_action_once_as_it_arrives() {
    let relay = Relay::start();
    let workstation = Workstation::new(&server(&relay))
        .signed_in(&relay.url())
        .start();
    let mut terminal = workstation.terminal(&["wait", "--json"]);
    let first = propose(&relay, &workstation, 60);
    terminal.exp_string(first["id"].as_str().unwrap()).unwrap();
    terminal.exp_string("Seal this action?").unwrap();
    let second = propose(&relay, &workstation, 60);
    terminal.send_line("l").unwrap();
    terminal.exp_string("\"outcome\":\"later\"").unwrap();
    terminal.exp_string(second["id"].as_str().unwrap()).unwrap();
    terminal.exp_string("Seal this action?").unwrap();
    terminal.send_line("n").unwrap();
    terminal.exp_string("Why?").unwrap();
    terminal.send_line("1").unwrap();
    terminal.exp_string("\"outcome\":\"refused\"").unwrap();
    assert_eq!(
        relay.await_request(&path(&second, "refusals")),
        json!({ "reason": "not-me" })
    );
    terminal.send_control('c').unwrap();
    assert_eq!(end(terminal).0, 130);
    let pending = workstation.json(&["status", "--json"])["pending"].clone();
    assert_eq!(
        (pending.as_array().map(Vec::len), &pending[0]["id"]),
        (Some(1), &first["id"])
    );
}
