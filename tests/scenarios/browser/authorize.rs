//! A service without the gate sends its user here to seal what it has pushed, and gets them back: the service speaks by openid-client, the user by keyboard alone.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Story;
use crate::services::{BACK, Service, details, speak};

/// What a service's page is called with, by name.
fn query(url: &str) -> Result<Vec<(String, String)>> {
    let (_, query) = url.split_once('?').context("a query")?;
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    query
        .split('&')
        .map(|text| pair(text).with_context(|| text.to_owned()))
        .collect()
}

impl Story {
    /// The manager, at the service: sent here, refused by a key that does not answer, sealed, led back; refused by hand; and what is used up.
    pub(super) fn a_service_sends_its_user_here_and_gets_them_back(&mut self) -> Result<()> {
        let mut service = Service::start(self.folder.path())?;
        speak(&self.house, &service)?;
        self.house.kill_server();
        self.house.start_server()?;
        let found = service.ask(&json!({"op": "discover"}))?;
        ensure!(found["issuer"] == "https://sceau.example", "{found}");
        let browser = &self.browser;
        browser.ask(&json!({"op": "tab", "who": "alice", "as": "user"}))?;

        let page = self.sent(&mut service, "Jean Dupont")?;
        browser.judge_both("user", "oauth-waiting")?;
        // Too early: it says so, and goes on waiting.
        browser.press("user", "#next")?;
        browser.reads("user", "Votre agent vous demande de sceller cette action.")?;
        browser.press("user", "main a[target=_blank]")?;
        let shown = browser.ask(&json!({"op": "popup", "who": "user", "as": "sealing"}))?;
        ensure!(shown["text"].to_string().contains("Jean Dupont"), "{shown}");
        browser.key("sealing", "unknown-pin")?;
        browser.press("sealing", "#approve")?;
        browser.reads("sealing", "La clé n’a pas répondu.")?;
        browser.judge("sealing", "oauth-no-key")?;
        let waits = browser.ask(&json!({"op": "look", "who": "user"}))?;
        ensure!(waits["url"] == page.as_str(), "still there: {waits}");
        browser.key("sealing", "here")?;
        browser.press("sealing", "#approve")?;
        browser.sees("sealing", "approved")?;
        let back = self.back(&["code", "state", "iss"])?;
        let granted = service.ask(&json!({"op": "finish", "url": back}))?;
        let permit = granted["access_token"]
            .as_str()
            .with_context(|| granted.to_string())?;
        let claims = service.ask(&json!({"op": "verify", "permit": permit}))?;
        ensure!(
            claims["sub"] == "alice" && claims["acr"] == "eidas3",
            "{claims}"
        );

        // Gone back to, the page leads nowhere any more.
        browser.go("user", &page)?;
        browser.reads("user", "Demande déjà utilisée")?;
        browser.judge_both("user", "oauth-used")?;
        browser.go(
            "user",
            "/oauth/authorize?client_id=portal&request_uri=urn:x",
        )?;
        browser.reads("user", "Rien à sceller ici")?;
        browser.judge_both("user", "oauth-nothing")?;

        // A refusal is the service's to tell.
        self.sent(&mut service, "Marie Durand")?;
        browser.press("user", "main a[target=_blank]")?;
        browser.ask(&json!({"op": "popup", "who": "user", "as": "refusing"}))?;
        browser.press("refusing", "#mistake")?;
        browser.sees("refusing", "refused")?;
        let back = self.back(&["error", "error_description", "state", "iss"])?;
        let refused = service.ask(&json!({"op": "finish", "url": back}))?;
        ensure!(refused["error"] == "access_denied", "{refused}");
        println!(
            "a refusal reaches the service as {}",
            refused["description"]
        );
        Ok(())
    }

    /// The service pushes, and sends its user; the page where they wait.
    fn sent(&self, service: &mut Service, name: &str) -> Result<String> {
        let begun = service.ask(&json!({"op": "begin", "details": details(name)}))?;
        let url = begun["url"].as_str().with_context(|| begun.to_string())?;
        let there = self.browser.go("user", url)?;
        let page = there["url"].as_str().unwrap_or_default().to_owned();
        ensure!(
            page.starts_with("https://sceau.example/oauth/authorize/"),
            "{there}"
        );
        self.browser.reads("user", "En attente de la clé")?;
        ensure!(
            !there["text"].to_string().contains(name),
            "who may read it has to say who they are: {there}"
        );
        Ok(page)
    }

    /// The user is at the service again, with these and no others.
    fn back(&self, names: &[&str]) -> Result<String> {
        let there: Value = self
            .browser
            .ask(&json!({"op": "until", "who": "user", "url": BACK}))?;
        let url = there["url"].as_str().unwrap_or_default().to_owned();
        let pairs = query(&url)?;
        let found: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        ensure!(found == names, "{url}");
        ensure!(
            pairs.contains(&("iss".to_owned(), "https%3A%2F%2Fsceau.example".to_owned())),
            "{url}"
        );
        Ok(url)
    }
}
