//! The shipped route files, line by line: what ProConnect's own back offices really send (PROCONNECT.md, "The privileged actions that exist today"),
//! as what action it is held, what its person reads, and what is counted of lists. A line that is missing here is not guarded.

use std::collections::BTreeMap;
use std::path::Path;

use http::{HeaderMap, HeaderValue, Method};

use super::{Application, Counting, Purpose};
use crate::gate::body::Fields;
use crate::gate::canon::{self, NotCanonical, Target};
use crate::gate::meaning::{Meaning, MeaningError, Reading};

/// How a request says its fields.
#[derive(Clone, Copy)]
enum Body {
    Empty,
    Form(&'static str),
    /// Fields as a form would write them, sent as multipart.
    Multipart(&'static str),
}
use Body::{Empty, Form, Multipart};

fn shipped(name: &str) -> Application {
    Application::load(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs/gate")
            .join(name),
    )
    .unwrap()
}

#[derive(Debug)]
enum Judged {
    Free,
    Undescribed,
    Held(Box<Meaning>),
}

#[derive(Debug, PartialEq)]
enum Not {
    Canonical(NotCanonical),
    Meant(MeaningError),
}

/// What the gate makes of a request, without a session and without look-ups.
fn judge(app: &Application, method: &str, target: &str, body: Body) -> Result<Judged, Not> {
    let mut headers = HeaderMap::new();
    let (kind, bytes) = match body {
        Empty => ("", Vec::new()),
        Form(text) => (
            "application/x-www-form-urlencoded",
            text.as_bytes().to_vec(),
        ),
        Multipart(text) => ("multipart/form-data; boundary=B", multipart(text)),
    };
    if !kind.is_empty() {
        headers.insert("content-type", HeaderValue::from_static(kind));
    }
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let target = Target::parse(&target.parse().unwrap()).map_err(Not::Canonical)?;
    let fields = Fields::read(&headers, &bytes).unwrap();
    let method = canon::effective_method(
        &method,
        &headers,
        target.query(),
        &fields.texts(),
        app.overrides,
    )
    .map_err(Not::Canonical)?;
    let Some(met) = app.find(&method, &target).map_err(Not::Canonical)? else {
        return Ok(Judged::Undescribed);
    };
    let hold = match &met.route.purpose {
        Purpose::Free { .. } => return Ok(Judged::Free),
        Purpose::Hold(hold) => hold,
        Purpose::Meter(_) => return Ok(Judged::Undescribed),
    };
    let reading =
        Reading::new(Some(hold), &met.path, &target, &headers, &fields).map_err(Not::Meant)?;
    let meaning = reading.describe(Some(hold), method.as_str(), &target, &BTreeMap::new());
    Ok(Judged::Held(Box::new(meaning)))
}

fn multipart(form: &str) -> Vec<u8> {
    let mut body = String::new();
    for (name, value) in canon::form_pairs(form).unwrap() {
        body.push_str(&format!(
            "--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str("--B--\r\n");
    body.into_bytes()
}

/// A line: method, target, fields, the action that it is, and what its person must read of it in French and English.
type Line = (
    &'static str,
    &'static str,
    Body,
    &'static str,
    &'static [&'static str],
);

/// Every line is held as its action, says what it does, and shows neither noise nor secrets.
fn holds(file: &str, lines: &[Line]) {
    let app = shipped(file);
    let schema = include_str!("../../../policy/actions.cedarschema");
    for (method, target, body, action, told) in lines {
        let line = format!("{method} {target}");
        let meaning = match judge(&app, method, target, *body) {
            Ok(Judged::Held(meaning)) => meaning,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(meaning.kind, *action, "{line}");
        assert!(
            schema.contains(&format!("\"{action}\"")),
            "{line}: the policy does not know {action}"
        );
        let (fr, en) = (meaning.words.fr.unwrap(), meaning.words.en.unwrap());
        for word in *told {
            assert!(
                fr.contains(word) || en.contains(word),
                "{line}: {word:?} in neither {fr:?} nor {en:?}"
            );
        }
        let params = serde_json::Value::Object(meaning.params).to_string();
        for quiet in ["page=1", "\"page\"", "_method", "_csrf", "_totp", "s3cret"] {
            assert!(
                !fr.contains(quiet) && !en.contains(quiet) && !params.contains(quiet),
                "{line}: {quiet} is told: {en} {params}"
            );
        }
        assert!(
            !fr.starts_with("Requête ") && !en.starts_with("Request "),
            "{line} has no words of its own"
        );
    }
}

#[test]
fn every_privileged_request_of_hyyypertool_is_held_as_what_it_is() {
    let lines: &[Line] = &[
        // Kind A: HTMX, urlencoded or empty, with `page` as noise in body or query.
        (
            "POST",
            "/admin/team",
            Form("email=a%40b.fr&role=admin&page=1"),
            "team.add",
            &["a@b.fr", "admin"],
        ),
        (
            "PATCH",
            "/admin/team/7",
            Form("role=moderator&page=1"),
            "team.change",
            &["7", "moderator"],
        ),
        (
            "PATCH",
            "/admin/team/7/disable",
            Empty,
            "team.disable",
            &["7"],
        ),
        (
            "PATCH",
            "/admin/team/7/enable",
            Form("page=1"),
            "team.enable",
            &["7"],
        ),
        (
            "DELETE",
            "/users/42?page=1",
            Empty,
            "user.delete",
            &["42", "for good"],
        ),
        (
            "PATCH",
            "/users/42/reset/mfa",
            Form("page=1"),
            "user.reset-mfa",
            &["42", "second factor"],
        ),
        (
            "PATCH",
            "/users/42/reset/password",
            Empty,
            "user.reset-password",
            &["42", "password"],
        ),
        (
            "PATCH",
            "/users/42/reset/email_verified",
            Empty,
            "user.reset-email",
            &["42", "locks them out"],
        ),
        (
            "PATCH",
            "/users/42/reset/france_connect",
            Empty,
            "user.reset-france-connect",
            &["42", "FranceConnect"],
        ),
        (
            "PATCH",
            "/moderations/3/processed",
            Empty,
            "moderation.process",
            &["3"],
        ),
        (
            "PATCH",
            "/moderations/3/reprocess",
            Empty,
            "moderation.reprocess",
            &[
                "AND remove the user from the organisation",
                "ET retirer l’utilisateur",
            ],
        ),
        (
            "PATCH",
            "/organizations/5/members/42",
            Form("verification_type=domain&page=1"),
            "organization.member-change",
            &["42", "“domain”"],
        ),
        (
            "PATCH",
            "/organizations/5/members/42",
            Form("is_external=true"),
            "organization.member-change",
            &["external: true"],
        ),
        (
            "DELETE",
            "/organizations/5/members/42?page=1",
            Empty,
            "organization.member-remove",
            &["42", "5"],
        ),
        (
            "PUT",
            "/organizations/5/domains",
            Form("domain=ml.example"),
            "organization.domain-add",
            &["ml.example", "will join"],
        ),
        (
            "PATCH",
            "/organizations/5/domains/9?type=verified&page=1",
            Empty,
            "organization.domain-change",
            &["“verified”", "by themselves", "members who have one"],
        ),
        (
            "DELETE",
            "/organizations/5/domains/9",
            Empty,
            "organization.domain-remove",
            &["9"],
        ),
        (
            "PUT",
            "/domains-deliverability",
            Form("problematic_email=x%40ml.example"),
            "deliverability.add",
            &["x@ml.example"],
        ),
        (
            "DELETE",
            "/domains-deliverability/ml.example",
            Empty,
            "deliverability.remove",
            &["ml.example"],
        ),
        (
            "PATCH",
            "/response-templates/4",
            Form("label=Refus&content=Bonjour"),
            "response-template.change",
            &["4", "Refus", "Bonjour"],
        ),
        (
            "DELETE",
            "/response-templates/4",
            Empty,
            "response-template.remove",
            &["4"],
        ),
        // Kind B: `fetch`, multipart. `add_domain` verifies the whole domain, which no field names.
        (
            "PATCH",
            "/moderations/3/validate",
            Multipart("add_member=AS_INTERNAL&add_domain=true&send_notification=true"),
            "moderation.validate",
            &[
                "AS_INTERNAL",
                "AND declare the whole domain",
                "ET déclarer vérifié tout le domaine",
                "notify the user",
            ],
        ),
        (
            "PATCH",
            "/moderations/3/validate",
            Multipart("add_member=AS_EXTERNAL&verification_type=proof_received"),
            "moderation.validate",
            &["AS_EXTERNAL", "proof_received"],
        ),
        (
            "PATCH",
            "/moderations/3/rejected",
            Multipart(
                "subject=Demande&end_user_reason=Domaine&allow_editing=false&message=Non&reason=Refus",
            ),
            "moderation.reject",
            &["Domaine", "Demande — Non", "Refus"],
        ),
        // Kind C: classic forms.
        (
            "POST",
            "/response-templates",
            Form("label=Refus&content=Bonjour&end_user_reason=x&allow_editing=true"),
            "response-template.create",
            &["Refus", "Bonjour", "allow_editing=true"],
        ),
        (
            "POST",
            "/organizations/new",
            Form("sirets=13002526500013"),
            "organization.look-up",
            &["13002526500013", "creating nothing"],
        ),
        (
            "POST",
            "/organizations/new/confirm",
            Form("sirets%5B%5D=13002526500013&sirets%5B%5D=21440109300015"),
            "organization.create",
            &["13002526500013, 21440109300015"],
        ),
    ];
    holds("hyyypertool.toml", lines);
    let app = shipped("hyyypertool.toml");
    let told = |body| match judge(&app, "PATCH", "/moderations/3/validate", Multipart(body)) {
        Ok(Judged::Held(meaning)) => meaning.words.en.unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(
        !told("add_member=AS_INTERNAL").contains("whole domain"),
        "what is not done is not told"
    );
}

#[test]
fn only_the_log_in_of_hyyypertool_is_free() {
    let app = shipped("hyyypertool.toml");
    assert!(matches!(
        judge(&app, "POST", "/auth/login", Empty),
        Ok(Judged::Free)
    ));
    let free = app
        .routes()
        .filter(|route| matches!(route.purpose, Purpose::Free { .. }));
    assert_eq!(free.count(), 1);
    for (method, target) in [
        ("PUT", "/auth/login"),
        ("POST", "/auth/login/callback"),
        ("POST", "/users/42"),
        ("PATCH", "/users/42"),
        ("POST", "/anything"),
    ] {
        let judged = judge(&app, method, target, Empty);
        assert!(
            matches!(judged, Ok(Judged::Undescribed)),
            "{method} {target}: {judged:?}"
        );
    }
    for near in [
        "/Users/42/reset/mfa",
        "/users/042/reset/mfa",
        "/users/4x/reset/mfa",
    ] {
        let judged = judge(&app, "PATCH", near, Empty);
        assert_eq!(
            judged.err(),
            Some(Not::Canonical(NotCanonical::NearMiss)),
            "{near}"
        );
    }
}

/// What tells of persons is counted; the fragments of a page as the page itself.
#[test]
fn every_list_and_page_of_persons_is_counted() {
    let app = shipped("hyyypertool.toml");
    for (path, record, way) in [
        ("/users", "user", "tbody tr"),
        ("/users/42", "user", "/users/42"),
        ("/users/42/moderations", "moderation", "tbody tr"),
        ("/users/42/organizations", "user", "/users/42"),
        ("/users/42/oidc_clients", "user", "/users/42"),
        ("/moderations", "moderation", "tbody tr"),
        ("/moderations/3", "moderation", "/moderations/3"),
        ("/moderations/3/email", "moderation", "/moderations/3"),
        (
            "/moderations/3/rejected/reason/4",
            "moderation",
            "/moderations/3",
        ),
        (
            "/moderations/3/duplicate_warning",
            "user",
            "a[href^='/users/']",
        ),
        ("/organizations/5/members", "user", "tbody tr"),
    ] {
        let target = Target::parse(&format!("{path}?page=2&page_size=50").parse().unwrap());
        let target = target.unwrap();
        let met = app.find(&Method::GET, &target).unwrap();
        let met = met.unwrap_or_else(|| panic!("{path} is not counted"));
        let Purpose::Meter(metered) = &met.route.purpose else {
            panic!("{path} is not counted")
        };
        assert_eq!(metered.record, record, "{path}");
        let counted = match &metered.countings[..] {
            [Counting::Css { selector, .. }] => selector.clone(),
            [Counting::Cost { records: 1, id }] => {
                let id = id.as_ref().unwrap();
                id.fill(|name| met.path.get(name).cloned().unwrap_or_default())
            }
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(counted, way, "{path}");
    }
}

/// As browsers send its forms: by POST, with the method in the body, or in the query of the form's address; with token, six digits and passwords.
#[test]
fn every_write_of_the_federation_is_held_as_what_it_is() {
    let lines: &[Line] = &[
        (
            "POST",
            "/account/create",
            Form(
                "_csrf=t&password=s3cret&secret=s3cret&username=jd&email=j%40d.fr&roles=operator&roles=security&_totp=123456",
            ),
            "account.create",
            &["jd", "j@d.fr", "operator, security"],
        ),
        (
            "POST",
            "/account/enrollment",
            Form("_method=PATCH&_csrf=t&password=s3cret&passwordConfirmation=s3cret&_totp=123456"),
            "account.enrollment",
            &["one’s own"],
        ),
        (
            "POST",
            "/account/enrollment/?_method=PATCH",
            Form("_csrf=t&password=s3cret&passwordConfirmation=s3cret&_totp=123456"),
            "account.enrollment",
            &["one’s own"],
        ),
        (
            "POST",
            "/account/7c9e6679-7425-40de-944b-e07fc1f90ae7",
            Form("_method=DELETE&_csrf=t&_totp=123456&username=jd"),
            "account.delete",
            &["7c9e6679", "jd"],
        ),
        (
            "POST",
            "/account/update-account/jd?_method=PATCH",
            Form(
                "_csrf=t&currentPassword=s3cret&password=s3cret&passwordConfirmation=s3cret&_totp=123456",
            ),
            "account.update",
            &["jd"],
        ),
        (
            "POST",
            "/identity-provider/create?_csrf=t",
            Form(
                "_csrf=t&name=Min&issuer=https%3A%2F%2Fi.fr&fqdns=a.fr%0D%0Ab.fr&client_secret=s3cret&amr=pwd&amr=mfa&_totp=123456",
            ),
            "identity-provider.create",
            &["Min", "https://i.fr", "a.fr"],
        ),
        (
            "POST",
            "/identity-provider/6512bd43d9caa6e02c990b0a?_method=PATCH",
            Form(
                "_csrf=t&name=Min&issuer=https%3A%2F%2Fi.fr&fqdns=a.fr&client_secret=s3cret&allowedAcr=eidas1&allowedAcr=eidas2&_totp=1",
            ),
            "identity-provider.update",
            &["6512bd43d9caa6e02c990b0a", "https://i.fr"],
        ),
        (
            "POST",
            "/identity-provider/6512bd43d9caa6e02c990b0a",
            Form("_method=DELETE&_csrf=t&_totp=123456&name=Min"),
            "identity-provider.delete",
            &["6512bd43d9caa6e02c990b0a", "Min"],
        ),
        (
            "POST",
            "/service-provider/update/6512bd43d9caa6e02c990b0a/secret?_method=PATCH",
            Form("name=Svc&key=k&client_secret=s3cret&_totp=123456&_csrf=t"),
            "service-provider.secret",
            &["6512bd43d9caa6e02c990b0a", "Svc"],
        ),
        (
            "POST",
            "/service-provider/create",
            Form(
                "name=Svc&redirectUri=https%3A%2F%2Fs.fr&scopes=openid&scopes=email&claims=amr&claims=acr&active=true&_totp=1&_csrf=t",
            ),
            "service-provider.create",
            &["Svc", "https://s.fr", "openid, email", "active=true"],
        ),
        (
            "POST",
            "/service-provider/delete",
            Form("deleteItems=1a&deleteItems=2b&name=Svc&_totp=123456&_csrf=t"),
            "service-provider.delete-many",
            &["1a, 2b", "Svc"],
        ),
        (
            "POST",
            "/service-provider/6512bd43d9caa6e02c990b0a",
            Form(
                "_method=PATCH&name=Svc&redirectUri=https%3A%2F%2Fs.fr&scopes=openid&scopes=email&_totp=1&_csrf=t",
            ),
            "service-provider.update",
            &["6512bd43d9caa6e02c990b0a", "openid, email"],
        ),
        (
            "POST",
            "/service-provider/6512bd43d9caa6e02c990b0a?_method=DELETE",
            Form("_csrf=t&_totp=123456&name=Svc"),
            "service-provider.delete",
            &["6512bd43d9caa6e02c990b0a", "Svc"],
        ),
        (
            "POST",
            "/federation-user/6512bd43d9caa6e02c990b0a/activate?_method=PATCH",
            Form("_csrf=t&_totp=123456&sub=s-1"),
            "federation-user.activate",
            &["s-1"],
        ),
        (
            "POST",
            "/federation-user/6512bd43d9caa6e02c990b0a/deactivate",
            Form("_method=PATCH&_csrf=t&_totp=123456&sub=s-1"),
            "federation-user.deactivate",
            &["s-1"],
        ),
        (
            "POST",
            "/configuration/indisponibilite",
            Form("message=Travaux&_totp=123456&_csrf=t"),
            "configuration.unavailability",
            &["message=Travaux"],
        ),
        (
            "POST",
            "/notification",
            Form("message=Travaux&_csrf=t"),
            "notification.change",
            &["message=Travaux"],
        ),
        (
            "POST",
            "/notification/update/3",
            Form("_method=PATCH&message=Travaux&_csrf=t"),
            "notification.change",
            &["message=Travaux"],
        ),
    ];
    holds("federation-admin.toml", lines);
}

#[test]
fn the_federations_method_has_one_meaning() {
    let app = shipped("federation-admin.toml");
    for (target, body) in [
        ("/login", "username=jd&password=x&_totp=1&_csrf=t"),
        ("/first-login/abc", "username=jd&password=x&_csrf=t"),
    ] {
        let judged = judge(&app, "POST", target, Form(body));
        assert!(matches!(judged, Ok(Judged::Free)), "{target}: {judged:?}");
    }
    let two = judge(
        &app,
        "POST",
        "/service-provider/6512bd43?_method=PATCH",
        Form("_method=DELETE"),
    );
    assert_eq!(
        two.err(),
        Some(Not::Canonical(NotCanonical::MethodOverride))
    );
    let login = judge(&app, "POST", "/login", Form("_method=DELETE&username=jd"));
    assert!(matches!(login, Ok(Judged::Undescribed)), "{login:?}");
    // Whichever way the application does not obey, it executes the POST: that must not be sealed as something else.
    for target in [
        "/account/create",
        "/identity-provider/create",
        "/service-provider/create",
        "/service-provider/delete",
    ] {
        for (query, body) in [
            ("?_method=DELETE", "a=b"),
            ("", "_method=DELETE"),
            ("?_method=PATCH", "a=b"),
            ("", "_method=PATCH"),
        ] {
            match judge(&app, "POST", &format!("{target}{query}"), Form(body)) {
                Ok(Judged::Held(meaning)) => assert_eq!(
                    meaning.kind,
                    crate::gate::meaning::UNDESCRIBED,
                    "{target}{query} {body}"
                ),
                other => panic!("{target}{query} {body}: {other:?}"),
            }
        }
    }
}
