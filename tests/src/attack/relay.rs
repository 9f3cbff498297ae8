//! A relay between agent and server that swaps one word for another of the same length in what the server says.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Result, ensure};

/// A running relay; lives as long as the process.
pub(crate) struct Relay {
    address: SocketAddr,
    swapped: Arc<AtomicU64>,
}

impl Relay {
    /// Relays to `server`, showing `to` wherever the server says `from`.
    pub(crate) fn start(
        server: &'static str,
        from: &'static [u8],
        to: &'static [u8],
    ) -> Result<Self> {
        ensure!(
            from.len() == to.len(),
            "lengths in the stream must not change"
        );
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let swapped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&swapped);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone())
                else {
                    continue;
                };
                thread::spawn(move || pump(from_client, to_server, |_| {}));
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    pump(server, client, |bytes| {
                        while let Some(at) =
                            bytes.windows(from.len()).position(|window| window == from)
                        {
                            bytes[at..at + from.len()].copy_from_slice(to);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                });
            }
        });
        Ok(Self { address, swapped })
    }

    /// Where agents are pointed.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many words it swapped.
    pub(crate) fn swapped(&self) -> u64 {
        self.swapped.load(Ordering::Relaxed)
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&mut [u8])) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        change(&mut buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
