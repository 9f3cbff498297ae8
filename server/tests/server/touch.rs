//! Keys that know touch alone (U2F): the model policy says whether they are enrolled, and the store keeps what they cannot show.

use sceau_server::action::{Caller, State};
use sceau_server::desk::DeskError;

use crate::authenticator::Credential;
use crate::conformance::{count, log};
use crate::fixture::{Owner, Place};

/// A key that speaks U2F alone: refused by default, for what it lacks; where the model policy takes it, it counts where touch is enough, and nowhere else.
pub(crate) async fn a_key_by_touch_alone_counts_where_touch_is_enough(mut place: Place) {
    let desk = place.desk("one").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let secret = place.invitation(&desk, &alice, "odile", "reader").await;
    let opened = desk.open_enrolment(&secret).await.unwrap();
    assert!(opened.verifies_user);
    let refused = place
        .register(&desk, &secret, Credential::make_by_u2f)
        .await;
    assert_eq!(refused.err().unwrap().reason, "user-not-verified");
    assert_eq!(count(&log(&desk).await, "enrolment.refused"), 1);
    drop(desk);

    place.models = Some(BY_TOUCH.to_owned());
    let desk = place.desk("two").await.unwrap();
    let opened = desk.open_enrolment(&secret).await.unwrap();
    assert!(!opened.verifies_user);
    let odile = place
        .register(&desk, &secret, Credential::make_by_u2f)
        .await;
    let odile = odile.unwrap_or_else(|refused| panic!("{refused:?}"));
    // Another role of the same policy still asks for verification.
    let secret = place.invitation(&desk, &alice, "marc", "manager").await;
    let refused = place
        .register(&desk, &secret, Credential::make_by_u2f)
        .await;
    assert_eq!(refused.err().unwrap().reason, "user-not-verified");

    // Nor is the session that came with the key at a level that takes a PIN.
    for (owner, level) in [(&odile, "eidas1"), (&alice, "eidas3")] {
        let session = desk.session(&owner.token).await.unwrap().unwrap();
        let caller = Caller::Gate {
            service: "portal".parse().unwrap(),
            session: session.id,
        };
        let asked = owner.ask_by(&desk, "note.touch", caller).await.unwrap();
        let facts = asked.decided.unwrap().facts;
        assert_eq!(facts.session.unwrap().acr, level, "{}", owner.id);
    }

    let by_touch = odile.ask(&desk, "note.touch").await.unwrap();
    let approved = odile.approve(&desk, &by_touch).await.unwrap();
    assert_eq!(approved.state, State::Approved);
    let by_pin = odile.ask(&desk, "note.write").await.unwrap();
    assert_eq!(
        odile.approve(&desk, &by_pin).await.err(),
        Some(DeskError::NotAnApprover("key-without-user-verification"))
    );
    // What a signature claims of itself beyond what the enrolment proved is not believed.
    let boasting = Owner {
        credential: odile.credential.boasting(),
        ..odile
    };
    assert_eq!(
        boasting.approve(&desk, &by_pin).await.err(),
        Some(DeskError::NotAnApprover("key-without-user-verification"))
    );
}

/// The built-in policy, but that only managers' keys must verify their user.
const BY_TOUCH: &str = r#"
version = 1
[everyone]
attestation = ["basic", "attca"]
formats = ["packed", "fido-u2f"]
algorithms = [-7]
user_verification = "optional"
backup_eligible = "refused"
weak_signatures = "refused"
trust = "required"
key_protection = []
minimum_certification = "none"
retired = "existing"
metadata_grace_days = 30
[role.manager]
user_verification = "required"
"#;
