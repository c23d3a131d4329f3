//! A port that forwards to another port, and counts the connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// Forwards to a server until it is stopped or dropped. Its connections end with it.
pub(crate) struct Forwarder {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Forwarder {
    /// Listens on a free port, and forwards to the server at this URL (`http://host:port`).
    pub(crate) async fn start(url: &str) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), url).await
    }

    pub(crate) async fn start_at(address: SocketAddr, url: &str) -> Self {
        let target = url.strip_prefix("http://").expect("a URL").to_owned();
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let running = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let target = target.clone();
                open.spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(target).await {
                        // The connection ends when either side closes.
                        let _ = copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        Self {
            address,
            connections,
            running,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Stops listening, and breaks the open connections.
    pub(crate) async fn stop(mut self) {
        self.running.abort();
        let _ = (&mut self.running).await;
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.running.abort();
    }
}
