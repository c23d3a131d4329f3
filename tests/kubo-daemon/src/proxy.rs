//! A proxy on loopback that misbehaves as it is told: what stands between a client under test and a real node, or
//! any other HTTP/1.1 server, to see what the client makes of a bad one.
//!
//! ```no_run
//! # fn test(node: &kubo_daemon::Daemon) -> kubo_daemon::Result<()> {
//! use kubo_daemon::proxy::{Fault, Proxy, Times};
//!
//! let proxy = Proxy::before(&node.api_url())?;
//! let cut = proxy.fault("POST /api/v0/block/get", Times::Nth(2), Fault::Cut { after_bytes: 1000 });
//! // … the client under test is given proxy.url(), and asks …
//! assert_eq!(cut.hits(), 1);
//! assert!(proxy.connections() < proxy.requests("block/get"));
//! # Ok(())
//! # }
//! ```
//!
//! What has no fault goes through as it is: status, fields, body and trailers; only where chunks begin may change. A
//! client that hangs up is passed on as well: the server sees its connection close.

mod fault;
mod relay;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

pub use self::fault::{Fault, Rule, Times};
use crate::{Error, Result};

/// The proxy. Dropping it ends its connections.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

/// What its threads share.
struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    /// Signalled at the end.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    connections: usize,
    requests: Vec<String>,
    /// Both ends of what is open, with the number of the client's connection.
    open: Vec<(usize, TcpStream)>,
    ended: bool,
}

impl Proxy {
    /// In front of the server at `url`: `http://127.0.0.1:PORT`, as [`Daemon::api_url`](crate::Daemon::api_url) has
    /// it. Nothing is asked of the server: it may start later, or never.
    ///
    /// # Errors
    /// Where the URL is of another form, or there is no port to listen on.
    pub fn before(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").unwrap_or(url);
        let server = address.trim_end_matches('/').parse();
        let server = server.map_err(|_| Error::unreadable(url, "not http://ADDRESS:PORT"))?;
        let cannot = || Error::io("listen for a proxy");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(cannot())?;
        let port = listener.local_addr().map_err(cannot())?.port();
        let shared = Arc::new(Shared {
            server,
            state: Mutex::default(),
            ended: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { continue };
                let Some(number) = accepting.opened(&client) else {
                    break;
                };
                let shared = Arc::clone(&accepting);
                thread::spawn(move || {
                    // A connection's failure is the client's to see; nobody else waits for it.
                    let _ = relay::serve(&shared, number, &client);
                    shared.lock().open.retain(|(open, _)| *open != number);
                });
            }
        });
        Ok(Self { shared, port })
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same as a multiaddr: `/ip4/127.0.0.1/tcp/PORT`.
    pub fn multiaddr(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}", self.port)
    }

    /// From now on, does `fault` to requests whose `METHOD /path?query` contains `pattern`, as many of them as
    /// `times` says. Of several rules that match, the oldest takes the request.
    pub fn fault(&self, pattern: &str, times: Times, fault: Fault) -> Rule {
        let rule = Rule::new(pattern, times, fault);
        self.shared.lock().rules.push(rule.clone());
        rule
    }

    /// Takes out all faults: what comes from now on goes through. What is under way goes on as it began.
    pub fn clear(&self) {
        self.shared.lock().rules.clear();
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// How many requests came so far whose `METHOD /path?query` contains `pattern`; all of them for the empty one.
    pub fn requests(&self, pattern: &str) -> usize {
        let state = self.shared.lock();
        let requests = state.requests.iter();
        requests.filter(|line| line.contains(pattern)).count()
    }

    /// The requests so far, `METHOD /path?query`, in the order in which they came.
    pub fn log(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }

    /// Closes every connection that is open, as a server does that restarts.
    pub fn hang_up(&self) {
        self.shared.lock().hang_up();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.hang_up();
        drop(state);
        self.shared.ended.notify_all();
        // Wakes the thread that accepts; it may be gone.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("port", &self.port)
            .field("server", &self.shared.server)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a client in and gives its number; `None` at the end.
    fn opened(&self, client: &TcpStream) -> Option<usize> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        state.connections += 1;
        let number = state.connections;
        state.keep(number, client);
        Some(number)
    }

    /// Notes a request and says what is to happen to it.
    fn requested(&self, line: String) -> Option<Fault> {
        let mut state = self.lock();
        let fault = state.rules.iter().find_map(|rule| rule.take(&line));
        state.requests.push(line);
        fault
    }

    /// Waits; false where the end comes first.
    fn wait(&self, how_long: Duration) -> bool {
        let until = Instant::now() + how_long;
        let mut state = self.lock();
        while !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let waited = self.ended.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

impl State {
    /// Keeps a second handle, to be able to close it from elsewhere.
    fn keep(&mut self, number: usize, stream: &TcpStream) {
        self.open.extend(stream.try_clone().map(|it| (number, it)));
    }

    fn hang_up(&mut self) {
        for (_, stream) in self.open.drain(..) {
            // It may have ended.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}
