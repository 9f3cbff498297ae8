//! What somebody tries who is inside, or sits in a colleague's session: attacks 7, 11 and 22.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    house::pending,
    http::{Answer, Client},
    process::eventually,
    stage::Stage,
    workstation::{PIN, Workstation, answers},
};

use std::time::Duration;

/// A signature that no key made.
fn forged() -> Value {
    let nothing = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    json!({"client_data_json": nothing, "authenticator_data": nothing, "signature": nothing})
}

/// The first live key of whoever this client speaks for.
fn first_key(person: &Client) -> Result<Value> {
    let me = person.get("/v1/me")?.json();
    let key = me["keys"][0]["key_id"].clone();
    ensure!(key.is_string(), "a key of theirs: {me}");
    Ok(key)
}

fn id_of(asked: &Answer) -> Result<String> {
    ensure!(asked.status == 201, "{} {}", asked.status, asked.text);
    let id = asked.json()["action"]["id"].as_str().map(str::to_owned);
    id.context("an action with an id")
}

/// What an action became, as somebody sees it who may.
fn look(who: &Client, action: &str) -> Result<Value> {
    Ok(who.get(&format!("/v1/actions/{action}"))?.json())
}

/// A colleague with a key and an agent, enrolled by the usual way.
fn colleague(
    stage: &Stage,
    number: u16,
    id: &str,
    name: &str,
    roles: &[&str],
) -> Result<Workstation> {
    let (house, admin, second) = (&stage.house, &stage.people.admin, &stage.people.second);
    let invitation = house.invite(admin, &[admin, second], id, name, roles)?;
    let model = &stage.models[usize::from(number % 2)];
    let mut workstation = Workstation::set_up(
        &stage.path(""),
        number,
        id,
        Some(model),
        &house.for_agents(),
    )?;
    workstation.start_agent()?;
    workstation.enroll(&invitation)?;
    Ok(workstation)
}

/// 7: whoever sits in the help desk's session wants a key of his own to be the manager's.
pub(super) fn enrolment_by_help_desk(stage: &mut Stage) -> Result<Vec<Value>> {
    let (house, people) = (&stage.house, &stage.people);
    let (operator, admin) = (&people.operator, &people.admin);
    let keys = |person: &Workstation| -> Result<usize> {
        let me = house.person(person)?.get("/v1/me")?.json();
        Ok(me["keys"].as_array().map_or(0, Vec::len))
    };
    let before = keys(&people.manager)?;
    let stolen = house.person(operator)?;
    let asked = stolen.post("/v1/enrolments", &json!({"person": {"id": "alice"}}))?;
    let action = id_of(&asked)?;
    ensure!(asked.json()["state"] == "pending", "{}", asked.text);

    // Without her key there is no seal, and without seals no invitation.
    let approval = json!({"key_id": first_key(&stolen)?, "response": forged()});
    let sealed = stolen.post(&format!("/v1/actions/{action}/approvals"), &approval)?;
    ensure!(sealed.status == 422, "{} {}", sealed.status, sealed.text);
    let guessed = house.api().post(
        "/v1/enrolments/open",
        &json!({"invitation": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}),
    )?;
    ensure!(guessed.status == 404, "{} {}", guessed.status, guessed.text);
    ensure!(look(&stolen, &action)?["result"].is_null(), "no invitation");

    // Nobody reaches above their rank, nor enrols for themselves.
    let mut denied = Vec::new();
    for (whom, reason) in [("admin-2", "higher-role"), ("odile", "no-key-for-oneself")] {
        let asked = stolen.post("/v1/enrolments", &json!({"person": {"id": whom}}))?;
        let told = asked.json();
        ensure!(
            told["state"] == "denied" && told["denial"]["reason"] == reason,
            "{whom}: {}",
            asked.text
        );
        denied.push(id_of(&asked)?);
    }

    // She is deceived, and touches: a manager's key takes an administrator besides, who asks her on the telephone.
    let (code, shown) = operator.approve(&action)?;
    ensure!(code == 0, "{shown}");
    let after = look(&house.person(admin)?, &action)?;
    ensure!(
        after["state"] == "pending" && after["result"].is_null(),
        "one seal is not enough: {after}"
    );
    let (_, shown) = admin.not_me(&action)?;
    ensure!(shown.contains("Alice Martin"), "whom it is about:\n{shown}");
    ensure!(
        look(&house.person(admin)?, &action)?["state"] == "refused",
        "one no ends it"
    );
    let again = stolen.post("/v1/enrolments", &json!({"person": {"id": "alice"}}))?;
    ensure!(
        again.status == 401,
        "the stolen session is over: {}",
        again.text
    );
    ensure!(keys(&people.manager)? == before, "no key was added");
    let (code, shown) = operator
        .sceau(&["sign-in"])?
        .answer(&answers("y", PIN, "1"))?;
    ensure!(code == 0, "she signs in anew:\n{shown}");
    Ok(vec![
        stage.logged(&["action.refused", &action])?,
        stage.logged(&["approval.rejected", &action])?,
        stage.logged(&["action.denied", &denied[0]])?,
        stage.logged(&["session.suspended", &action])?,
    ])
}

/// 11: an administrator, alone, wants what takes two; first with his own key twice, then with an accomplice whom he had made.
pub(super) fn insider_alone(stage: &mut Stage) -> Result<Vec<Value>> {
    let accomplice = colleague(
        stage,
        20,
        "complice",
        "Camille Complice",
        &["administrator"],
    )?;
    let (house, insider) = (&stage.house, &stage.people.admin);
    let his = house.person(insider)?;
    let asked = his.post(
        "/v1/enrolments",
        &json!({"person": {"id": "taupe", "display": "Tom Taupe", "roles": ["manager"]}}),
    )?;
    let action = id_of(&asked)?;
    let (code, shown) = insider.approve(&action)?;
    ensure!(code == 0, "{shown}");
    ensure!(look(&his, &action)?["state"] == "pending", "it takes two");

    for (who, client, reason) in [
        ("his own key again", &his, "already-approved"),
        (
            "his accomplice's",
            &house.person(&accomplice)?,
            "descendant",
        ),
    ] {
        let approval = json!({"key_id": first_key(client)?, "response": forged()});
        let answer = client.post(&format!("/v1/actions/{action}/approvals"), &approval)?;
        ensure!(
            answer.status == 403 && answer.json()["reason"] == reason,
            "{who}: {} {}",
            answer.status,
            answer.text
        );
    }
    let (code, shown) = accomplice.approve(&action)?;
    ensure!(code != 0, "with a real touch neither:\n{shown}");
    let after = look(&his, &action)?;
    ensure!(
        after["state"] == "pending" && after["approvals"].as_array().map(Vec::len) == Some(1),
        "{after}"
    );
    let awaited = after["awaited"].to_string();
    ensure!(
        awaited.contains("admin-2")
            && !awaited.contains("complice")
            && !awaited.contains("admin-1"),
        "whom it awaits: {awaited}"
    );
    let second = &stage.people.second;
    eventually("the other one is asked", Duration::from_secs(10), || {
        pending(second).is_ok_and(|waiting| waiting.contains(&action))
    })?;
    let refused = second
        .command("sceau")
        .args(["refuse", &action, "--reason", "other"])
        .output()?;
    ensure!(
        refused.status.success(),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );
    Ok(vec![
        stage.logged(&["approval.rejected", "descendant", &action])?,
        stage.logged(&["approval.rejected", "already-approved", &action])?,
        stage.logged(&["action.refused", &action])?,
    ])
}

/// 22: what is there for emergencies is no way around: resetting a second factor, and breaking the glass.
pub(super) fn recovery(stage: &mut Stage) -> Result<Vec<Value>> {
    let bruno = colleague(
        stage,
        21,
        "bruno",
        "Bruno Bris",
        &["break-glass", "moderator"],
    )?;
    let claire = colleague(stage, 22, "claire", "Claire Verre", &["break-glass"])?;
    let diane = colleague(stage, 23, "diane", "Diane Glace", &["break-glass"])?;
    let (house, admin) = (&stage.house, &stage.people.admin);
    let his = house.person(&bruno)?;

    // A moderator, alone, resets a user's second factor: it waits for a colleague.
    let asked = house.moderation().post(
        "/v1/actions",
        &json!({"type": "user.reset-mfa", "requester": "bruno", "target": {"kind": "user", "id": "7", "display": "Jean Dupont"}, "params": {}}),
    )?;
    let reset = id_of(&asked)?;
    house.awaited(&bruno)?;
    let (code, shown) = bruno.approve(&reset)?;
    ensure!(code == 0, "{shown}");
    let after = look(&house.moderation(), &reset)?;
    ensure!(
        after["state"] == "pending" && after["permit"].is_null(),
        "one seal is not enough: {after}"
    );

    // The glass: no reason no request; one key, or a stolen session, opens nothing.
    let open = [
        "break-glass",
        "open",
        "--role",
        "administrator",
        "--minutes",
        "10",
        "--reason",
    ];
    let (code, shown) = bruno
        .sceau(&[&open[..], &["help"]].concat())?
        .answer(&answers("y", PIN, "1"))?;
    ensure!(code != 0, "a word is no reason:\n{shown}");
    let reason = "both administrators are ill and an account must be closed";
    let waiting = pending(&bruno)?;
    let (code, shown) = bruno
        .sceau(&[&open[..], &[reason]].concat())?
        .answer(&answers("y", PIN, "1"))?;
    ensure!(code == 0 && shown.contains(reason), "{shown}");
    let glass = house.awaited_beside(&claire, &waiting)?;
    let holds = || -> Result<bool> {
        let me = his.get("/v1/me")?.json();
        Ok(me["person"]["roles"].to_string().contains("administrator"))
    };
    let (code, shown) = claire.approve(&glass)?;
    ensure!(
        code == 0 && !holds()?,
        "two of three are not enough:\n{shown}"
    );
    let (code, shown) = diane.approve(&glass)?;
    ensure!(code == 0 && holds()?, "the quorum lends the role:\n{shown}");

    // Everyone is alerted, and nothing is opened again before somebody has looked.
    let review = house.awaited(admin)?;
    let (code, shown) = bruno
        .sceau(&[&open[..], &[reason]].concat())?
        .answer(&answers("y", PIN, "1"))?;
    ensure!(code != 0, "reviewed first:\n{shown}");
    let own = json!({"key_id": first_key(&his)?, "response": forged()});
    let own = his.post(&format!("/v1/actions/{review}/approvals"), &own)?;
    ensure!(
        own.status == 403 && own.json()["reason"] == "self-approval",
        "who holds the role now does not review himself: {} {}",
        own.status,
        own.text
    );
    let (code, shown) = admin
        .sceau(&["break-glass", "review"])?
        .answer(&answers("y", PIN, "1"))?;
    ensure!(code == 0 && shown.contains("Bruno Bris"), "{shown}");
    let refused = admin
        .command("sceau")
        .args(["refuse", &reset, "--reason", "other"])
        .output()?;
    ensure!(
        refused.status.success(),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );
    Ok(vec![
        stage.logged(&["alert.break-glass", &glass])?,
        stage.logged(&["break-glass.reviewed", &glass])?,
        stage.logged(&["action.refused", &reset])?,
    ])
}
