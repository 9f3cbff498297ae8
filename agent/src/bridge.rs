//! The bridge to a browser: the native-messaging host (Chromium's and Firefox' protocol: a length of four bytes in the machine's order, then JSON), and
//! the extension made for the configured server. All that can cross it is the id of one action; the agent fetches that action itself and shows it.
//!
//! Not trusted: whatever the browser sends (attack 16). The browser starts the host only for the extensions that its manifest names; the host looks
//! again at who it was started for, and at the origin of the page. Messages are bounded, and the first that is not understood ends it. What cannot be
//! known here: whether a program of the same person poses as the browser; it could as well talk to the socket, and all that it could ask for is a prompt.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use sceau_locale::foreign;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::Config;
use crate::locale::Language;

/// The extension's id in Chromium, from the public key in its manifest.
pub const CHROMIUM: &str = "iocinicilejjjajldnpbheonnobjnblg";
/// The extension's id in Firefox.
pub const FIREFOX: &str = "agent@sceau.fr";
/// The longest message that is read.
pub const MAX_MESSAGE: usize = 4096;
/// How long the agent may take to fetch the action.
const PATIENCE: Duration = Duration::from_secs(40);

/// What the extension may ask.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    take_over: Uuid,
    origin: String,
}

/// Why the bridge was not opened, or was closed.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// It was not started by a browser for our extension.
    Stranger,
    /// What came is not a message.
    Malformed,
    /// The system.
    Io(#[from] io::Error),
}

impl BridgeError {
    /// What a person reads.
    #[must_use]
    pub fn tell(&self, language: Language) -> String {
        match self {
            Self::Stranger => language.text("fault-bridge-stranger").into_owned(),
            Self::Malformed => language.text("fault-bridge-message").into_owned(),
            Self::Io(error) => foreign(language, &error.to_string()),
        }
    }
}

impl fmt::Display for BridgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tell(Language::En))
    }
}

/// Whether a browser started the host for our extension. Chromium names the extension's origin; Firefox its manifest and the extension's id.
///
/// # Errors
/// [`BridgeError::Stranger`].
pub fn started_for(arguments: &[String]) -> Result<(), BridgeError> {
    let chromium = format!("chrome-extension://{CHROMIUM}/");
    match arguments {
        [origin, ..] if *origin == chromium => Ok(()),
        [manifest, extension] if extension == FIREFOX && manifest.starts_with('/') => Ok(()),
        _ => Err(BridgeError::Stranger),
    }
}

/// Serves the browser until it closes the pipe.
///
/// # Errors
/// [`BridgeError::Malformed`]: the bridge is closed at the first message that is none.
pub fn serve(
    mut input: impl Read,
    mut output: impl Write,
    config: &Config,
    socket: &Path,
) -> Result<(), BridgeError> {
    while let Some(message) = read(&mut input)? {
        let message: Message =
            serde_json::from_slice(&message).map_err(|_| BridgeError::Malformed)?;
        let answer = take_over(&message, config, socket);
        write(&mut output, &answer)?;
    }
    Ok(())
}

fn take_over(message: &Message, config: &Config, socket: &Path) -> Value {
    if message.origin != config.server.text() {
        return json!({ "taken": false, "code": "another-origin" });
    }
    match summon(socket, message.take_over) {
        Ok(answer) if answer["done"].is_object() => json!({ "taken": true }),
        Ok(answer) => {
            let code = answer["error"]["code"].as_str().unwrap_or("refused");
            json!({ "taken": false, "code": code })
        }
        Err(_) => json!({ "taken": false, "code": "no-agent" }),
    }
}

fn summon(socket: &Path, id: Uuid) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    writeln!(stream, "{}", json!({ "op": "summon", "id": id }))?;
    let mut line = String::new();
    BufReader::new(stream.take(64 * 1024)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// One message; `None` at the end of the pipe.
fn read(input: &mut impl Read) -> Result<Option<Vec<u8>>, BridgeError> {
    let mut length = [0; 4];
    let first = loop {
        match input.read(length.get_mut(..1).unwrap_or_default()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if first == 0 {
        return Ok(None);
    }
    let cut = |e: io::Error| match e.kind() {
        io::ErrorKind::UnexpectedEof => BridgeError::Malformed,
        _ => BridgeError::Io(e),
    };
    input
        .read_exact(length.get_mut(1..).unwrap_or_default())
        .map_err(cut)?;
    let length = usize::try_from(u32::from_ne_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE {
        return Err(BridgeError::Malformed);
    }
    let mut message = vec![0; length];
    input.read_exact(&mut message).map_err(cut)?;
    Ok(Some(message))
}

fn write(output: &mut impl Write, answer: &Value) -> Result<(), BridgeError> {
    let text = answer.to_string();
    let length = u32::try_from(text.len()).map_err(|_| BridgeError::Malformed)?;
    output.write_all(&length.to_ne_bytes())?;
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}

/// Writes the extension for the configured server into a folder: its scripts run in that server's pages alone.
///
/// # Errors
/// The system's; a server whose address a browser would write otherwise.
pub fn write_extension(config: &Config, folder: &Path) -> io::Result<()> {
    let server = config.server.text();
    // Match patterns know no ports in Firefox; the origin is compared whole, in the extension and in the host.
    let scheme = if config.server.tls { "https" } else { "http" };
    let pattern = format!("{scheme}://{}/*", config.server.host);
    let files = [
        ("manifest.json", include_str!("../extension/manifest.json")),
        ("background.js", include_str!("../extension/background.js")),
        ("content.js", include_str!("../extension/content.js")),
    ];
    std::fs::create_dir_all(folder)?;
    for (name, text) in files {
        let text = text
            .replace("https://sceau.invalid/*", &pattern)
            .replace("https://sceau.invalid", &server);
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::parse("server = \"https://sceau.example:8443\"\nrp_id = \"sceau.example\"\n")
            .unwrap()
    }

    fn served(input: &[u8]) -> (Result<(), BridgeError>, Vec<u8>) {
        let mut output = Vec::new();
        let end = serve(
            input,
            &mut output,
            &config(),
            Path::new("/nowhere/agent.sock"),
        );
        (end, output)
    }

    /// What was answered, framed rightly.
    fn answered(output: &[u8]) -> Value {
        let (length, text) = output.split_at(4);
        assert_eq!(
            usize::try_from(u32::from_ne_bytes(length.try_into().unwrap())).unwrap(),
            text.len()
        );
        serde_json::from_slice(text).unwrap()
    }

    fn framed(text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [&length.to_ne_bytes()[..], text.as_bytes()].concat()
    }

    const ID: &str = "0197a1f2-6c1e-7cc3-98c4-dc0c0c07398f";

    #[test]
    fn only_our_extension_opens_the_bridge() {
        let started = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
            started_for(&arguments).is_ok()
        };
        let ours = format!("chrome-extension://{CHROMIUM}/");
        assert!(started(&[&ours]));
        assert!(started(&[&ours, "--parent-window=0"]));
        assert!(started(&[
            "/usr/lib/mozilla/native-messaging-hosts/fr.sceau.agent.json",
            FIREFOX
        ]));
        let other = format!("chrome-extension://{}/", "a".repeat(32));
        let longer = format!("{ours}x");
        let cases: [&[&str]; 7] = [
            &[],
            &[&other],
            &[&longer],
            &["https://sceau.example:8443/"],
            &["/x.json", "other@sceau.fr"],
            &["x.json", FIREFOX],
            &[FIREFOX],
        ];
        for arguments in cases {
            assert!(!started(arguments), "{arguments:?}");
        }
    }

    #[test]
    fn hostile_messages_end_the_bridge_without_an_answer() {
        let good = format!(r#"{{"take_over":"{ID}","origin":"https://sceau.example:8443"}}"#);
        let mut long = (u32::try_from(MAX_MESSAGE).unwrap() + 1)
            .to_ne_bytes()
            .to_vec();
        long.extend(std::iter::repeat_n(b' ', MAX_MESSAGE + 1));
        let cases: Vec<Vec<u8>> = vec![
            long,
            u32::MAX.to_ne_bytes().to_vec(),
            vec![1, 2],
            framed(&good)[..20].to_vec(),
            framed(""),
            framed("[]"),
            framed(r#"{"op":"status"}"#),
            framed(&good.replace('}', r#","op":"approve"}"#)),
            framed(&good.replace(ID, "../../v1/me")),
            framed(r#"{"take_over":1,"origin":"https://sceau.example:8443"}"#),
            framed("\u{0}"),
            framed(&"[".repeat(4000)),
        ];
        for case in cases {
            let (end, output) = served(&case);
            assert!(
                matches!(end, Err(BridgeError::Malformed)),
                "{case:?}: {end:?}"
            );
            assert!(output.is_empty());
        }
        assert!(served(&[]).0.is_ok());
    }

    #[test]
    fn page_of_another_origin_reaches_nobody() {
        for origin in [
            "https://evil.example",
            "https://sceau.example",
            "http://sceau.example:8443",
            "https://sceau.example:8443/",
            "null",
        ] {
            let message = json!({ "take_over": ID, "origin": origin }).to_string();
            let (end, output) = served(&framed(&message));
            assert!(end.is_ok());
            assert_eq!(
                answered(&output),
                json!({"code": "another-origin", "taken": false}),
                "{origin}"
            );
        }
        let ours = json!({ "take_over": ID, "origin": "https://sceau.example:8443" }).to_string();
        assert_eq!(
            answered(&served(&framed(&ours)).1),
            json!({"code": "no-agent", "taken": false})
        );
    }

    #[test]
    fn extension_is_made_for_the_configured_server_and_manifests_name_it() {
        let place = tempfile::tempdir().unwrap();
        write_extension(&config(), place.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
        let manifest: Value = serde_json::from_str(&read("manifest.json")).unwrap();
        assert_eq!(
            manifest["content_scripts"][0]["matches"],
            json!(["https://sceau.example/*"])
        );
        assert_eq!(manifest["permissions"], json!(["nativeMessaging"]));
        assert!(
            manifest["host_permissions"].is_null() && manifest["externally_connectable"].is_null()
        );
        assert!(read("background.js").contains(r#"const SERVER = "https://sceau.example:8443";"#));
        assert!(!read("background.js").contains("sceau.invalid"));
        // Chromium's id is the beginning of the digest of the key in the manifest.
        use base64::Engine;
        let key = base64::engine::general_purpose::STANDARD
            .decode(manifest["key"].as_str().unwrap())
            .unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key);
        let letter = |nibble: u8| char::from(b'a' + nibble);
        let id: String = digest.as_ref()[..16]
            .iter()
            .flat_map(|byte| [letter(byte >> 4), letter(byte & 15)])
            .collect();
        assert_eq!(id, CHROMIUM);
        let chromium: Value =
            serde_json::from_str(include_str!("../dist/native-messaging/chromium.json")).unwrap();
        assert_eq!(
            chromium["allowed_origins"],
            json!([format!("chrome-extension://{id}/")])
        );
        let firefox: Value =
            serde_json::from_str(include_str!("../dist/native-messaging/firefox.json")).unwrap();
        assert_eq!(firefox["allowed_extensions"], json!([FIREFOX]));
        assert_eq!(
            manifest["browser_specific_settings"]["gecko"]["id"],
            FIREFOX
        );
    }
}
