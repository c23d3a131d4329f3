//! The server: it listens, answers as scripted, and counts.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};

use crate::{Asked, Reply, Step};

/// A server on loopback. Dropping it stops it and breaks its connections.
#[derive(Debug)]
pub struct ToyServer {
    address: Option<SocketAddr>,
    log: Arc<Log>,
    listening: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Log {
    requests: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    endless: AtomicUsize,
    open: watch::Sender<usize>,
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

impl ToyServer {
    /// Listens on a free port of 127.0.0.1 and answers each request as `script` says.
    pub async fn start(
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script).await
    }

    /// Does the same at this address.
    pub async fn start_at(
        address: SocketAddr,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (log, script) = (Arc::new(Log::default()), Arc::new(script));
        let listening = tokio::spawn(listen(log.clone(), script, async move || {
            listener.accept().await.map(|(connection, _)| connection)
        }));
        Ok(Self {
            address: Some(address),
            log,
            listening,
        })
    }

    /// Listens on a Unix socket, which it makes at `path`.
    pub fn start_unix(
        path: &Path,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let (log, script) = (Arc::new(Log::default()), Arc::new(script));
        let listening = tokio::spawn(listen(log.clone(), script, async move || {
            listener.accept().await.map(|(connection, _)| connection)
        }));
        Ok(Self {
            address: None,
            log,
            listening,
        })
    }

    /// The address at which it listens.
    ///
    /// # Panics
    /// If it listens on a Unix socket.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("a TCP server")
    }

    /// The address as a URL.
    ///
    /// # Panics
    /// If it listens on a Unix socket.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Asked> {
        let requests = self.log.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of connections made so far.
    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// The number of bytes that clients have taken of [endless](Step::Endless) answers, and that lie in buffers.
    pub fn endless_bytes(&self) -> usize {
        self.log.endless.load(Ordering::Relaxed)
    }

    /// The number of open connections.
    pub fn open(&self) -> usize {
        *self.log.open.borrow()
    }

    /// Waits until exactly this many connections are open.
    pub async fn until_open(&self, connections: usize) {
        let mut open = self.log.open.subscribe();
        // The sender is in `self`, so it always exists.
        let _ = open.wait_for(|open| *open == connections).await;
    }
}

impl Drop for ToyServer {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// A connection that can be broken, so that the other side sees an error and not an end.
trait Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn reset(&self);
}

impl Connection for TcpStream {
    fn reset(&self) {
        // With a linger time of zero, closing sends RST.
        let _ = self.set_zero_linger();
    }
}

impl Connection for UnixStream {
    fn reset(&self) {}
}

async fn listen<C: Connection>(
    log: Arc<Log>,
    script: Arc<Script>,
    accept: impl AsyncFn() -> io::Result<C>,
) {
    // Dropped with this task, so that the connections end with the server.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok(connection) = accept().await {
        log.connections.fetch_add(1, Ordering::SeqCst);
        let (log, script) = (log.clone(), script.clone());
        connections.spawn(async move {
            let _open = Open::one_more(&log);
            // A client that goes away in the middle does not concern the server.
            let _ = serve(&log, &*script, connection).await;
        });
    }
}

/// Counts one open connection for as long as it lives.
struct Open<'a>(&'a Log);

impl<'a> Open<'a> {
    fn one_more(log: &'a Log) -> Self {
        log.open.send_modify(|open| *open += 1);
        Self(log)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

async fn serve<C: Connection>(log: &Log, script: &Script, connection: C) -> io::Result<()> {
    let mut connection = BufReader::new(connection);
    while let Some(asked) = Asked::read(&mut connection).await? {
        let reply = script(&asked);
        log.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(asked);
        for step in reply.into_steps() {
            match step {
                Step::Send(bytes) => send(&mut connection, &bytes).await?,
                Step::Drip(bytes, every) => {
                    for byte in bytes {
                        gone_or_after(&mut connection, every).await?;
                        send(&mut connection, &[byte]).await?;
                    }
                }
                Step::Endless(bytes) => loop {
                    send(&mut connection, &bytes).await?;
                    log.endless.fetch_add(bytes.len(), Ordering::Relaxed);
                },
                Step::Wait(time) => gone_or_after(&mut connection, time).await?,
                Step::Hang => gone_or_after(&mut connection, Duration::MAX).await?,
                Step::Close => return connection.shutdown().await,
                Step::Reset => {
                    connection.get_ref().reset();
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

async fn send(connection: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    connection.write_all(bytes).await?;
    connection.flush().await
}

/// Waits. Fails if the client goes away meanwhile, or sends something that was not requested.
async fn gone_or_after(
    connection: &mut (impl AsyncRead + Unpin),
    wait: Duration,
) -> io::Result<()> {
    tokio::select! {
        read = connection.read_u8() => Err(match read {
            Ok(_) => io::Error::other("the client sends before the answer has ended"),
            Err(error) => error,
        }),
        () = tokio::time::sleep(wait) => Ok(()),
    }
}
