use sceau_server::fact::Change;
use sceau_server::id::Role;
use sceau_server::store::console::Wanted;
use serde_json::json;
use time::Duration;
use time::format_description::well_known::Rfc3339;

use crate::api::Served;
use crate::conformance::log;
use crate::fixture::{Owner, Place};
use crate::handout::of_two_keys;
use crate::page::signed_in;

/// What lists promise on every store of those who lack a key.
pub(crate) async fn whoever_lacks_a_key_is_listed_alone(mut place: Place) {
    place.policy = of_two_keys();
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let manager = async |id: &str| -> Owner { place.invite(&desk, &alice, id, "manager").await };
    let dave = manager("dave").await;
    let frida = manager("frida").await;
    place.invitation(&desk, &alice, "eva", "auditor").await;
    place.invite(&desk, &alice, "carl", "auditor").await;
    let lacking = |words: &str| Wanted {
        words: words.to_owned(),
        lacking: true,
        ..Wanted::default()
    };
    let ids = async |wanted: &Wanted, count: i64| -> Vec<String> {
        let rows = desk.list_persons(wanted, count).await.unwrap();
        rows.iter().map(|row| row.id.to_string()).collect()
    };
    // Managers with one key, and whoever has none; one is enough for whom no role gives two.
    assert_eq!(ids(&lacking(""), 9).await, ["dave", "eva", "frida"]);
    assert_eq!(ids(&lacking(""), 2).await, ["dave", "eva"]);
    let after = Wanted {
        after: "eva".to_owned(),
        ..lacking("")
    };
    assert_eq!(ids(&after, 2).await, ["frida"]);
    assert_eq!(ids(&lacking("DAV"), 9).await, ["dave"]);
    let hidden: Vec<Role> = vec!["manager".parse().unwrap()];
    let hidden = Wanted {
        hidden,
        ..lacking("")
    };
    assert_eq!(ids(&hidden, 9).await, ["eva"]);
    // The number is that of all pages, whatever page is looked at, and whoever else is listed.
    for (wanted, many) in [
        (lacking(""), 3),
        (Wanted::default(), 3),
        (after, 3),
        (lacking("DAV"), 1),
        (hidden, 1),
    ] {
        assert_eq!(
            desk.count_lacking(&wanted).await.unwrap(),
            many,
            "{wanted:?}"
        );
    }

    // A second key; one of two that is revoked.
    let spare = manager("dave").await;
    assert_eq!(ids(&lacking(""), 9).await, ["eva", "frida"]);
    let revoke = json!({"key_id": spare.key, "reason": "lost"});
    let asked = alice.ask_own(&desk, "key.revoke", revoke).await.unwrap();
    alice.approve(&desk, &asked).await.unwrap();
    assert_eq!(ids(&lacking(""), 9).await, ["dave", "eva", "frida"]);
    // Nobody hands a key to somebody who is suspended.
    let suspend = json!({"person": dave.id});
    let asked = alice
        .ask_own(&desk, "person.suspend", suspend)
        .await
        .unwrap();
    alice.approve(&desk, &asked).await.unwrap();
    assert_eq!(ids(&lacking(""), 9).await, ["eva", "frida"]);
    // A role that has ended asks for nothing, from that instant on: nothing else has to happen.
    let until = desk.now() + Duration::minutes(5);
    let until = until.format(&Rfc3339).unwrap();
    let change = Change::read(frida.id.as_str(), "role:manager", &until).unwrap();
    desk.record_facts(vec![change], "import").await.unwrap();
    assert_eq!(ids(&lacking(""), 9).await, ["eva", "frida"]);
    place.clock.shift(Duration::minutes(6));
    assert_eq!(ids(&lacking(""), 9).await, ["eva"]);
}

#[tokio::test]
async fn the_console_lists_whoever_lacks_a_key_alone() {
    let served = Served::with(|place| place.policy = of_two_keys()).await;
    let (place, desk) = (&served.place, &served.desk);
    for (id, role) in [("dave", "manager"), ("carl", "auditor")] {
        place.invite(desk, &served.alice, id, role).await;
    }
    let alice = signed_in(&served, &served.alice).await;
    let all = alice.page("/console/persons").await.text();
    assert!(all.contains("carl") && all.contains("dave"), "{all}");
    // The number leads there; so does the form, by keyboard.
    let link = "<a href=\"/console/persons?after=&amp;keys=lacking\">1 person has fewer keys than their roles ask for.</a>";
    assert!(all.contains(link), "{all}");
    assert!(all.contains("<select id=\"keys\" name=\"keys\">"), "{all}");
    assert!(!all.contains("value=\"lacking\" selected"), "{all}");
    let some = alice.page("/console/persons?keys=lacking").await.text();
    assert!(
        some.contains("<td data-head=\"Person\"><a href=\"/console/persons/dave\">"),
        "{some}"
    );
    assert!(!some.contains("/console/persons/carl"), "{some}");
    assert!(
        some.contains("<p>1 person has fewer keys than their roles ask for.</p>"),
        "{some}"
    );
    assert!(some.contains("value=\"lacking\" selected"), "{some}");
    // The search narrows it, and the file is of the same list.
    let none = alice
        .page("/console/persons?keys=lacking&q=carl")
        .await
        .text();
    assert!(
        none.contains("Nothing matches.") && none.contains("<p>0 persons have"),
        "{none}"
    );
    assert!(
        some.contains("<input type=\"hidden\" name=\"keys\" value=\"lacking\">"),
        "{some}"
    );
    let file = alice
        .submit(
            "/console/persons?keys=lacking",
            "/console/persons/export",
            "keys=lacking",
        )
        .await;
    assert_eq!(file.status, 200, "{file:?}");
    let file = file.text();
    assert_eq!(file.lines().count(), 2, "{file}");
    assert!(
        file.lines().last().unwrap().starts_with("\"dave\","),
        "{file}"
    );
    let noted = log(desk).await;
    let noted = noted
        .iter()
        .find(|entry| entry.kind() == "console.exported");
    assert_eq!(noted.unwrap().data()["rows"], 1);
}

#[tokio::test]
async fn a_list_of_whoever_lacks_a_key_goes_on_page_by_page() {
    let served = Served::with(|place| place.policy = of_two_keys()).await;
    for number in 0..51 {
        let id = format!("m{number:02}");
        served
            .place
            .invitation(&served.desk, &served.alice, &id, "manager")
            .await;
        served.place.clock.shift(Duration::seconds(30));
    }
    let alice = signed_in(&served, &served.alice).await;
    let first = alice.page("/console/persons?keys=lacking").await.text();
    assert!(first.contains("51 persons have fewer keys"), "{first}");
    let next = "/console/persons?after=m49&amp;keys=lacking";
    assert!(first.contains(&format!("<a href=\"{next}\">")), "{first}");
    let second = alice.page(&next.replace("&amp;", "&")).await.text();
    assert!(second.contains("/console/persons/m50"), "{second}");
    assert!(!second.contains("/console/persons/m49"), "{second}");
    assert!(second.contains("51 persons have fewer keys"), "{second}");
}
