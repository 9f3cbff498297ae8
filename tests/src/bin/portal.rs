//! The sample service as a process: `portal --listen 127.0.0.1:8080 --account 'Alice Martin:alice@ml.example:manager:password'`.
//!
//! Prints one line, `listening on http://ADDRESS`, when it serves. Passwords on the command line are a sample's licence: it has no secrets.

use std::process::ExitCode;

use e2e::portal::{Portal, serve};

const USAGE: &str = "portal [--listen ADDRESS] [--files N] [--account NAME:EMAIL:ROLE:PASSWORD]…

A sample habilitation portal: accounts, rights, files, its own password log-in. In memory.

Example: portal --listen 127.0.0.1:8080 --files 1600000 --account 'Alice Martin:alice@ml.example:manager:tulipe'";

struct Options {
    listen: String,
    files: u64,
    accounts: Vec<[String; 4]>,
}

fn options(mut args: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        listen: "127.0.0.1:0".to_owned(),
        files: 1_000,
        accounts: Vec::new(),
    };
    while let Some(flag) = args.next() {
        let value = args.next()?;
        match flag.as_str() {
            "--listen" => options.listen = value,
            "--files" => options.files = value.parse().ok()?,
            "--account" => options.accounts.push(
                value
                    .splitn(4, ':')
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
                    .try_into()
                    .ok()?,
            ),
            _ => return None,
        }
    }
    Some(options)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    if std::env::args().any(|arg| arg == "--help") {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let Some(options) = options(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    let portal = Portal::new(options.files);
    for [name, email, role, password] in &options.accounts {
        portal.add(name, email, role, password);
    }
    let listener = tokio::net::TcpListener::bind(&options.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    serve(portal, listener, std::future::pending()).await?;
    Ok(ExitCode::SUCCESS)
}
