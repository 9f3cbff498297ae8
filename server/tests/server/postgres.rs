//! Debian's PostgreSQL on a private socket, as an unprivileged user, `fsync` on, no TCP. Started by the test that needs it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where its log is, in its folder.
const LOG: &str = "log";

/// A running cluster, stopped and removed when dropped.
pub(crate) struct Postgres {
    server: Child,
    folder: tempfile::TempDir,
    databases: u32,
}

fn binaries() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|item| Some(item.ok()?.path().join("bin")))
        .collect();
    versions.sort();
    versions
        .into_iter()
        .rev()
        .find(|bin| bin.join("initdb").exists())
}

/// PostgreSQL refuses to run as root: then it runs as the user that Debian's package made.
fn unprivileged(program: &Path) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid=postgres",
                "--regid=postgres",
                "--init-groups",
                "--inh-caps=-all",
                "--",
            ])
            .arg(program);
        command
    } else {
        Command::new(program)
    }
}

impl Postgres {
    /// Starts a cluster; `None`, said aloud, where PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = binaries() else {
            eprintln!("SKIPPED: no PostgreSQL in /usr/lib/postgresql");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            let owned = Command::new("chown")
                .arg("postgres:postgres")
                .arg(folder.path())
                .status()
                .unwrap();
            assert!(owned.success());
        }
        let data = folder.path().join("data");
        let made = unprivileged(&bin.join("initdb"))
            .args([
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--username=postgres",
                "-D",
            ])
            .arg(&data)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb");
        let server = unprivileged(&bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=on",
                "-c",
                "log_min_messages=log",
                "-c",
                "log_statement=all",
                "-c",
                "log_parameter_max_length=0",
            ])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join(LOG)).unwrap())
            .spawn()
            .unwrap();
        let socket = folder.path().join(".s.PGSQL.5432");
        for _ in 0..600 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Self {
            server,
            folder,
            databases: 0,
        })
    }

    /// Where its socket is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The statements that it was given, each once, white space collapsed.
    pub(crate) fn statements(&self) -> std::collections::BTreeSet<String> {
        let log = std::fs::read(self.folder.path().join(LOG)).unwrap();
        let log = String::from_utf8_lossy(&log);
        let mut found = std::collections::BTreeSet::new();
        // What goes on in a further line begins with a tab.
        for line in log.replace("\n\t", " ").lines() {
            let statement = line
                .split_once("execute ")
                .and_then(|(_, rest)| rest.split_once(": "))
                .or_else(|| line.split_once("statement: "));
            if let Some((_, statement)) = statement {
                found.insert(statement.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
        found
    }

    fn url(&self, database: &str) -> String {
        format!(
            "postgres:///{database}?host={}&user=postgres",
            self.folder.path().display()
        )
    }

    /// A new database.
    pub(crate) async fn database(&mut self) -> String {
        use sqlx::Connection as _;

        self.databases += 1;
        let name = format!("sceau{}", self.databases);
        let mut tries = 0;
        let mut connection = loop {
            match sqlx::postgres::PgConnection::connect(&self.url("postgres")).await {
                Ok(connection) => break connection,
                Err(_) if tries < 100 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => panic!("PostgreSQL does not answer: {error}"),
            }
        };
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate shutdown of the one process that was started here; setpriv became it.
        if let Some(pid) = i32::try_from(self.server.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.server.wait();
    }
}
