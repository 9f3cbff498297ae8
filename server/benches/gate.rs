//! What the gate costs traffic that is not privileged, beside nginx as a plain reverse proxy and nginx that asks the gate for each request
//! (`auth_request`), in the same run on the same application. `cargo xtask bench gate`; needs nginx.
//!
//! A signed-in person's GETs of a page of 4 KiB, HTTP/1.1 on kept connections over loopback. Client and
//! application share the machine's cores with whatever is measured. *Throughput*: as many requests as come. *Added*: at half of the gate's rate, paced, how
//! much longer the 50th and 99th of a hundred answers take than straight from the application.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench owns its clock, fails loudly and prints"
)]
#![allow(dead_code, reason = "shared with the tests")]

#[path = "../tests/gate/authenticator.rs"]
mod authenticator;
#[path = "../tests/gate/house.rs"]
mod house;
#[path = "../tests/gate/upstream.rs"]
mod upstream;
#[path = "../tests/gate/wire.rs"]
mod wire;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use house::{House, Plan};

/// Kept connections.
const CONNECTIONS: usize = 32;
/// How long each figure is measured.
const SPAN: Duration = Duration::from_secs(4);
const PAGE: &[u8] = &[b'x'; 4096];
/// Of nginx' throughput, and of time.
const GOAL_RATE: f64 = 0.7;
const GOAL_ADDED: f64 = 1.0;

struct Front {
    name: &'static str,
    address: SocketAddr,
}

/// nginx, ended with this.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let met = runtime.block_on(bench());
    runtime.shutdown_background();
    std::process::exit(i32::from(!met));
}

async fn bench() -> bool {
    let application = application().await;
    let [plain, asking] = [free().await, free().await];
    let house = House::plan(Plan {
        upstream: Some(format!("http://{application}")),
        head: "forward_auth = true".to_owned(),
        ..Plan::default()
    })
    .await;
    let cookie = house.sign_in(&house.alice).await;
    let folder = tempfile::tempdir().unwrap();
    let gate = house.address;
    let _nginx = nginx(folder.path(), application, gate, plain, asking).await;
    let fronts = [
        Front {
            name: "straight",
            address: application,
        },
        Front {
            name: "gate",
            address: gate,
        },
        Front {
            name: "nginx, proxy_pass",
            address: plain,
        },
        Front {
            name: "nginx, auth_request",
            address: asking,
        },
    ];
    let host = house.host();
    let mut rates = Vec::new();
    for front in &fronts {
        // A moment for connections and caches; it is not counted.
        flood(front.address, &host, &cookie, Duration::from_millis(500)).await;
        rates.push(flood(front.address, &host, &cookie, SPAN).await);
    }
    let half = rates[1] / 2.0;
    let mut waits = Vec::new();
    for front in &fronts {
        waits.push(paced(front.address, &host, &cookie, half).await);
    }
    println!(
        "{CONNECTIONS} connections, {} bytes a page; paced at {half:.0}/s",
        PAGE.len()
    );
    println!(
        "{:>20} {:>10} {:>7}   p50 / p99, added p50 / p99",
        "", "requests/s", "ratio"
    );
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    for ((front, rate), (p50, p99)) in fronts.iter().zip(&rates).zip(&waits) {
        println!(
            "{:>20} {rate:>10.0} {:>7.2}   {:.2} / {:.2} ms, {:+.2} / {:+.2} ms",
            front.name,
            rate / rates[2],
            ms(*p50),
            ms(*p99),
            ms(*p50) - ms(waits[0].0),
            ms(*p99) - ms(waits[0].1),
        );
    }
    let (ratio, added) = (rates[1] / rates[2], ms(waits[1].1) - ms(waits[0].1));
    let met = ratio >= GOAL_RATE && added <= GOAL_ADDED;
    println!(
        "goal: the gate at {GOAL_RATE} of nginx' rate or more, and at most {GOAL_ADDED} ms added at the 99th: {}",
        if met { "met" } else { "MISSED" }
    );
    met
}

/// An address that nobody has.
async fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// The application: one page.
async fn application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let page = service_fn(|_: Request<hyper::body::Incoming>| async {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(PAGE))))
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), page)
                    .await;
            });
        }
    });
    address
}

async fn nginx(
    folder: &std::path::Path,
    application: SocketAddr,
    gate: SocketAddr,
    plain: SocketAddr,
    asking: SocketAddr,
) -> Nginx {
    let at = folder.display();
    let proxy = "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $http_host;";
    let text = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr crit;\nevents {{ worker_connections 4096; }}\nhttp {{ access_log off; keepalive_requests 10000000;\n\
         client_body_temp_path {at}/1; proxy_temp_path {at}/2; fastcgi_temp_path {at}/3; uwsgi_temp_path {at}/4; scgi_temp_path {at}/5;\n\
         upstream application {{ server {application}; keepalive 64; keepalive_requests 10000000; }}\n\
         upstream gate {{ server {gate}; keepalive 64; keepalive_requests 10000000; }}\n\
         server {{ listen {plain}; location / {{ proxy_pass http://application; {proxy} }} }}\n\
         server {{ listen {asking}; location / {{ auth_request /verify; proxy_pass http://application; {proxy} }}\n\
         location = /verify {{ internal; proxy_pass http://gate/gate/verify; proxy_pass_request_body off; proxy_set_header Content-Length \"\";\n\
         proxy_set_header X-Original-Method $request_method; proxy_set_header X-Original-URI $request_uri; {proxy} }} }} }}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let child = Command::new("nginx")
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .spawn()
        .expect("nginx is installed by `cargo xtask setup`");
    for _ in 0..100 {
        if TcpStream::connect(asking).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Nginx(child)
}

async fn connect(to: SocketAddr) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

async fn get(sender: &mut SendRequest<Empty<Bytes>>, host: &str, cookie: &str) {
    sender.ready().await.unwrap();
    let request = Request::get("/page")
        .header("host", host)
        .header("cookie", cookie)
        .header("accept", "text/html")
        .body(Empty::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), PAGE.len());
}

/// Answers each second when nobody waits.
async fn flood(to: SocketAddr, host: &str, cookie: &str, span: Duration) -> f64 {
    let end = Instant::now() + span;
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (host, cookie) = (host.to_owned(), cookie.to_owned());
            tokio::spawn(async move {
                let mut sender = connect(to).await;
                let mut count = 0_u64;
                while Instant::now() < end {
                    get(&mut sender, &host, &cookie).await;
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut all = 0;
    for task in tasks {
        all += task.await.unwrap();
    }
    all as f64 / span.as_secs_f64()
}

/// The 50th and 99th of a hundred waits, when so many requests come each second, evenly.
async fn paced(to: SocketAddr, host: &str, cookie: &str, rate: f64) -> (Duration, Duration) {
    let step = Duration::from_secs_f64(CONNECTIONS as f64 / rate);
    let start = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (host, cookie) = (host.to_owned(), cookie.to_owned());
            tokio::spawn(async move {
                let mut sender = connect(to).await;
                let mut waits = Vec::new();
                let mut due = start + step.mul_f64(number as f64 / CONNECTIONS as f64);
                while start.elapsed() < SPAN {
                    tokio::time::sleep_until(due.into()).await;
                    let begun = Instant::now();
                    get(&mut sender, &host, &cookie).await;
                    waits.push(begun.elapsed());
                    due += step;
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    waits.sort_unstable();
    (waits[waits.len() / 2], waits[waits.len() * 99 / 100])
}
