//! A proxy on loopback that misbehaves as scripted. It stands between a client under test and a real node, or any other
//! HTTP/1.1 server, to see how the client handles a bad one.
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
//! A message without a fault passes unchanged: status, fields, body and trailers. Only the boundaries of chunks may
//! change. A client's disconnect is passed on as well: the server sees its connection close.

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

/// The state that its threads share.
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
    /// Both ends of each open connection, with the number of the client's connection.
    open: Vec<(usize, TcpStream)>,
    ended: bool,
}

impl Proxy {
    /// Starts a proxy in front of the server at `url`: `http://127.0.0.1:PORT`, as in
    /// [`Daemon::api_url`](crate::Daemon::api_url). The server is not contacted yet: it may start later, or never.
    ///
    /// # Errors
    /// If the URL has another form, or there is no port to listen on.
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
                    // The client sees the failure of its connection; nobody else needs it.
                    let _ = relay::serve(&shared, number, &client);
                    shared.lock().open.retain(|(open, _)| *open != number);
                });
            }
        });
        Ok(Self { shared, port })
    }

    /// The URL at which it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same as a multiaddr: `/ip4/127.0.0.1/tcp/PORT`.
    pub fn multiaddr(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}", self.port)
    }

    /// From now on, applies `fault` to requests whose `METHOD /path?query` contains `pattern`, to as many as `times`
    /// says. If several rules match, the oldest one takes the request.
    pub fn fault(&self, pattern: &str, times: Times, fault: Fault) -> Rule {
        let rule = Rule::new(pattern, times, fault);
        self.shared.lock().rules.push(rule.clone());
        rule
    }

    /// Removes all faults: later requests pass unchanged. Requests in progress continue as they began.
    pub fn clear(&self) {
        self.shared.lock().rules.clear();
    }

    /// The number of connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// The number of requests so far whose `METHOD /path?query` contains `pattern`. An empty pattern counts all.
    pub fn requests(&self, pattern: &str) -> usize {
        let state = self.shared.lock();
        let requests = state.requests.iter();
        requests.filter(|line| line.contains(pattern)).count()
    }

    /// The requests so far, `METHOD /path?query`, in order of arrival.
    pub fn log(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }

    /// Closes every open connection, as a server does when it restarts.
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
        // Wakes the thread that accepts connections, which may be gone.
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

    /// Registers a client and returns its number, or `None` once the proxy has ended.
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

    /// Records a request and returns the fault to apply, if any.
    fn requested(&self, line: String) -> Option<Fault> {
        let mut state = self.lock();
        let fault = state.rules.iter().find_map(|rule| rule.take(&line));
        state.requests.push(line);
        fault
    }

    /// Waits. Returns `false` if the proxy ends first.
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
    /// Keeps a second handle, so that another thread can close the connection.
    fn keep(&mut self, number: usize, stream: &TcpStream) {
        self.open.extend(stream.try_clone().map(|it| (number, it)));
    }

    fn hang_up(&mut self) {
        for (_, stream) in self.open.drain(..) {
            // The connection may have ended.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}
