//! An HTTP server that answers each call with the exact bytes that the test wrote.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper_0_14::{client::HttpConnector, http::uri::Scheme};
use ipfs_api_backend_hyper::{IpfsClient, TryFromUri};
use pinner_ipfs_api::{Builder, IpfsApiPinner};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// The answer to a call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Sends these bytes, then closes the connection.
    Bytes(Vec<u8>),
    /// Sends these bytes, and then nothing, until the client closes.
    AndSilence(Vec<u8>),
    /// Sends these bytes, and then the other bytes repeatedly, until the client closes.
    AndForEver(Vec<u8>, Vec<u8>),
}

/// A body in one chunk, its end, and these trailers, as Kubo sends it.
pub(crate) fn chunked(body: impl AsRef<[u8]>, trailers: &str) -> Reply {
    let body = body.as_ref();
    let mut bytes = CHUNKED.as_bytes().to_vec();
    if !body.is_empty() {
        bytes.extend(format!("{:x}\r\n", body.len()).into_bytes());
        bytes.extend(body);
        bytes.extend(b"\r\n");
    }
    bytes.extend(format!("0\r\n{trailers}\r\n").into_bytes());
    Reply::Bytes(bytes)
}

/// The head of a chunked answer.
pub(crate) const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTrailer: X-Stream-Error\r\nTransfer-Encoding: chunked\r\n\r\n";
/// The trailer of an answer that broke off.
pub(crate) const BROKE_OFF: &str = "X-Stream-Error: context deadline exceeded\r\n";

/// A refusal, as a command sends it.
pub(crate) fn refusal(message: &str) -> Reply {
    let body = serde_json::json!({ "Message": message, "Code": 0, "Type": "error" }).to_string();
    status("500 Internal Server Error", &body)
}

/// An answer with another status.
pub(crate) fn status(status: &str, body: &str) -> Reply {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
    Reply::Bytes(text.into_bytes())
}

type Answers = dyn Fn(&str) -> Option<Reply> + Send + Sync;

/// A server on loopback. Dropping it stops it.
pub(crate) struct Server {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Server {
    /// Answers by path and query (`block/get?arg=…`). Calls for which `answers` returns nothing, `version` for instance,
    /// are answered as Kubo 0.43 would.
    pub(crate) async fn start(
        answers: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (calls, open) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let (seen, connections) = (Arc::clone(&calls), Arc::clone(&open));
        let answers: Arc<Answers> = Arc::new(answers);
        let task = tokio::spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
                let connections = Arc::clone(&connections);
                served.spawn(async move {
                    connections.fetch_add(1, Ordering::SeqCst);
                    // Some tests make the client disconnect.
                    drop(serve(stream, answers.as_ref(), &seen).await);
                    connections.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self {
            address,
            calls,
            open,
            task: task.abort_handle(),
        })
    }

    pub(crate) fn client(&self) -> IpfsClient<HttpConnector> {
        let client = IpfsClient::from_host_and_port(Scheme::HTTP, "127.0.0.1", self.address.port());
        client.expect("an address")
    }

    /// Returns a builder with deadlines that are short enough for a test.
    pub(crate) fn builder(&self) -> Builder<HttpConnector> {
        let patience = Duration::from_millis(300);
        IpfsApiPinner::builder(self.client())
            .block_deadline(patience)
            .no_progress_deadline(patience)
    }

    pub(crate) async fn pinner(&self) -> IpfsApiPinner<HttpConnector> {
        self.builder().connect().await.expect("a node")
    }

    /// The calls so far whose path and query begin with `start`.
    pub(crate) fn calls(&self, start: &str) -> Vec<String> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls
            .iter()
            .filter(|call| call.starts_with(start))
            .cloned()
            .collect()
    }

    /// The number of open connections.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    answers: &Answers,
    seen: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let call = target.trim_start_matches("/api/v0/").to_owned();
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(call.clone());
    let reply = answers(&call).unwrap_or_else(|| usual(&call));
    match reply {
        Reply::Bytes(bytes) => stream.write_all(&bytes).await?,
        Reply::AndSilence(bytes) => {
            stream.write_all(&bytes).await?;
            // Waits until the client closes.
            while stream.read(&mut [0; 64]).await? > 0 {}
        }
        Reply::AndForEver(bytes, then) => {
            stream.write_all(&bytes).await?;
            loop {
                stream.write_all(&then).await?;
                tokio::task::yield_now().await;
            }
        }
    }
    stream.shutdown().await
}

/// The answers of a node without pins.
fn usual(call: &str) -> Reply {
    match call.split('?').next().unwrap_or_default() {
        "version" => chunked(
            r#"{"Version":"0.43.0","Commit":"","Repo":"18","System":"amd64/linux","Golang":"go1.26"}"#,
            "",
        ),
        "pin/ls" if call.contains("arg=") => refusal("path 'x' is not pinned"),
        "pin/ls" => chunked("{}\n", ""),
        "pin/rm" => refusal("not pinned or pinned indirectly"),
        "files/ls" | "files/rm" => refusal("file does not exist"),
        _ => status("404 Not Found", "404 page not found\n"),
    }
}
