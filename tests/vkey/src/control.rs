//! The control socket: how a test plugs, pulls and touches. One line of words in, one line of JSON out.
//!
//! See the README for the commands. Nothing here needs sleeping: `insert` and `wait` return when it has happened.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::firmware::Device;
use crate::touch::Mode;

/// How long `insert` and `wait` wait unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a device meets the host: a reader's slot or a USB port.
pub trait Port: Send + Sync {
    /// `fido`, `piv`, `usb`.
    fn name(&self) -> &'static str;
    /// The device in it.
    fn device(&self) -> &Arc<Device>;
    /// Plugs it in; returns whether the host has seen it in time.
    fn insert(&self, timeout: Duration) -> bool;
    /// Pulls it; returns when it is out.
    fn remove(&self);
    /// Whether it is in and seen by the host.
    fn is_ready(&self) -> bool;
    /// APDUs or messages so far.
    fn exchanges(&self) -> u64;
    /// Changes its manners; refused where this mode is not on offer.
    fn misbehave(&self, mode: Option<&str>) -> Result<(), String>;
}

/// Listens on this path and serves every connection until the process ends.
pub fn serve(path: &Path, ports: Vec<Arc<dyn Port>>) -> anyhow::Result<()> {
    if UnixStream::connect(path).is_err() {
        fs::remove_file(path).ok();
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("listening on {}", path.display()))?;
    let ports: Arc<[Arc<dyn Port>]> = ports.into();
    println!("{}", json!({"ready": true, "control": path}));
    for stream in listener.incoming() {
        let ports = Arc::clone(&ports);
        let path = path.to_owned();
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || converse(stream?, &ports, &path))?;
    }
    Ok(())
}

fn converse(
    mut stream: UnixStream,
    ports: &[Arc<dyn Port>],
    path: &PathBuf,
) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    for line in lines {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        if words == ["quit"] {
            ports.iter().for_each(|port| port.remove());
            fs::remove_file(path).ok();
            stream.write_all(b"{\"ok\":true}\n")?;
            std::process::exit(0);
        }
        let answer = match command(&words, ports) {
            Ok(Value::Object(mut answer)) => {
                answer.entry("ok").or_insert(Value::Bool(true));
                Value::Object(answer)
            }
            Ok(answer) => json!({"ok": true, "answer": answer}),
            Err(error) => json!({"ok": false, "error": format!("{error:#}")}),
        };
        stream.write_all(format!("{answer}\n").as_bytes())?;
    }
    Ok(())
}

fn command(words: &[&str], ports: &[Arc<dyn Port>]) -> anyhow::Result<Value> {
    let (last, all_but_last) = words
        .split_last()
        .map_or((None, words), |(last, rest)| (Some(*last), rest));
    let named: Vec<&Arc<dyn Port>> = ports
        .iter()
        .filter(|port| Some(port.name()) == last)
        .collect();
    let (words, chosen) = if named.is_empty() {
        (words, ports.iter().collect())
    } else {
        (all_but_last, named)
    };
    let finger = chosen.first().context("no device")?.device();
    let finger = &finger.touch;
    match words {
        ["status"] => Ok(status(&chosen)),
        ["insert"] => insert(&chosen, PATIENCE),
        ["insert", timeout] => insert(&chosen, milliseconds(timeout)?),
        ["remove"] => {
            chosen.iter().for_each(|port| port.remove());
            Ok(json!({}))
        }
        ["touch", "press"] => Ok(json!({"ok": finger.press()})),
        ["touch", "cancel"] => Ok(json!({"ok": finger.cancel()})),
        ["touch", mode @ ..] => {
            let mode: Mode = mode.join(" ").parse().map_err(anyhow::Error::msg)?;
            chosen
                .iter()
                .for_each(|port| port.device().touch.set_mode(mode));
            Ok(json!({}))
        }
        ["wait", "pending", timeout @ ..] => wait(finger, None, timeout),
        ["wait", "requests", count, timeout @ ..] => wait(finger, Some(count.parse()?), timeout),
        ["misbehave", "none"] => misbehave(&chosen, None),
        ["misbehave", mode] => misbehave(&chosen, Some(mode)),
        _ => anyhow::bail!("unknown command: {}", words.join(" ")),
    }
}

fn insert(ports: &[&Arc<dyn Port>], timeout: Duration) -> anyhow::Result<Value> {
    for port in ports {
        anyhow::ensure!(
            port.insert(timeout),
            "{}: nobody has seen it yet",
            port.name()
        );
    }
    Ok(json!({}))
}

fn misbehave(ports: &[&Arc<dyn Port>], mode: Option<&str>) -> anyhow::Result<Value> {
    for port in ports {
        port.misbehave(mode)
            .map_err(|error| anyhow::anyhow!("{}: {error}", port.name()))?;
    }
    Ok(json!({}))
}

fn wait(
    finger: &crate::touch::Touch,
    count: Option<u64>,
    timeout: &[&str],
) -> anyhow::Result<Value> {
    let timeout = match timeout {
        [] => PATIENCE,
        [timeout] => milliseconds(timeout)?,
        _ => anyhow::bail!("one time-out is enough"),
    };
    let (reached, snapshot) = finger.wait(count, timeout);
    Ok(json!({"ok": reached, "pending": snapshot.pending, "requests": snapshot.requests}))
}

fn milliseconds(text: &str) -> anyhow::Result<Duration> {
    Ok(Duration::from_millis(text.parse().with_context(|| {
        format!("not a number of milliseconds: {text}")
    })?))
}

fn status(ports: &[&Arc<dyn Port>]) -> Value {
    let ports: Map<String, Value> = ports
        .iter()
        .map(|port| {
            let finger = port.device().touch.snapshot();
            let state = json!({
                "ready": port.is_ready(),
                "exchanges": port.exchanges(),
                "boots": port.device().boots(),
                "worked_us": u64::try_from(port.device().worked().as_micros()).unwrap_or(u64::MAX),
                "touch": finger.mode.to_string(),
                "pending": finger.pending,
                "requests": finger.requests,
                "touches": finger.touches,
                "winks": finger.winks,
            });
            (port.name().to_owned(), state)
        })
        .collect();
    json!({"ports": ports})
}

/// The client's side: says the words, prints the answer; whether it was a yes.
pub fn say(path: &Path, words: &[String]) -> anyhow::Result<bool> {
    let mut stream =
        UnixStream::connect(path).with_context(|| format!("connecting to {}", path.display()))?;
    stream.write_all(format!("{}\n", words.join(" ")).as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    print!("{answer}");
    let answer: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
    Ok(answer.get("ok") == Some(&Value::Bool(true)))
}
