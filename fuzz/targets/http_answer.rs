//! Any bytes as the answer of a server: `pinner-http` returns a whole body or an error by its deadline, and never more
//! than the limit.
//!
//! An answer that is read as a whole equals the same answer read as a stream. The server listens on a Unix socket,
//! since a connection for each attempt would use up the ports of TCP. It takes the request, sends the input and closes
//! the connection.

#![no_main]

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use fuzzed::{memory::bounded, seeds};
use libfuzzer_sys::fuzz_target;
use pinner_http::{Answer, Client, Endpoint, HeaderMap, HttpError, RetryPolicy, header};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    runtime::Runtime,
    time::Instant,
};

/// Read buffers double as they grow, and headers are kept twice.
const PER_BYTE: usize = 64;

/// The largest body that is accepted, in bytes. It is more than an input has, so that only an announced length exceeds
/// it.
const LIMIT: usize = 1024 * 1024;

/// The deadline. An answer that is available takes no time; a wait that the server asks for exceeds the deadline.
const PATIENCE: Duration = Duration::from_millis(900);

struct Server {
    runtime: Runtime,
    socket: PathBuf,
    answer: Arc<Mutex<Vec<u8>>>,
    _folder: TempDir,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("socket");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let answer = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let _inside = runtime.enter();
        UnixListener::bind(&socket).expect("a socket")
    };
    runtime.spawn(serve(listener, answer.clone()));
    Server {
        runtime,
        socket,
        answer,
        _folder: folder,
    }
});

async fn serve(listener: UnixListener, answer: Arc<Mutex<Vec<u8>>>) {
    loop {
        let Ok((mut connection, _)) = listener.accept().await else {
            continue;
        };
        let mut request = [0; 4096];
        // A request without a body arrives in one piece.
        let _ = connection.read(&mut request).await;
        let answer = answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // The client may have closed the connection after the first bytes.
        let _ = connection.write_all(&answer).await;
    }
}

fuzz_target!(
    init: seeds::write_if_asked(answers),
    |data: &[u8]| {
        let server = &*SERVER;
        *server.answer.lock().unwrap_or_else(PoisonError::into_inner) = data.to_vec();
        bounded(data.len(), PER_BYTE, || server.runtime.block_on(check(&server.socket)));
    }
);

fn answers() -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Stream-Error\r\n\r\n\
         5\r\nhello\r\n1;a=b\r\n\n\r\n0\r\nX-Stream-Error: broken\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"a\":1}\n{\"b\":2}\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\n\r\nuntil it closes",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nLocation: https://example.org/x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 429 Too Many\r\nRetry-After: 120\r\nContent-Length: 4\r\n\r\nlate",
        "HTTP/1.1 429 Too Many\r\nRetry-After: 18446744073709551615\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Busy\r\nRetry-After: Wed, 21 Oct 2037 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\nContent-Length: 36\r\n\r\n\
         {\"Message\":\"x\",\"Code\":0,\"Type\":\"err\"}",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ]
    .map(|answer| answer.as_bytes().to_vec())
    .to_vec()
}

fn client(socket: &PathBuf) -> Client {
    let endpoint = Endpoint::unix(socket).expect("an absolute path");
    // A new client for each call: with a kept connection that the server has closed, the result would depend on chance.
    Client::builder(endpoint).build().expect("no TLS is needed")
}

async fn check(socket: &PathBuf) {
    let whole = whole(socket).await;
    let streamed = stream(socket).await;
    match (&whole, &streamed) {
        (Ok(answer), Ok((body, trailers))) => {
            assert_eq!((&answer.body, &answer.trailers), (body, trailers));
            assert!(answer.status.is_success() && body.len() <= LIMIT);
            assert!(!answer.trailers.contains_key("x-stream-error"));
            check_length(answer);
        }
        // Timing depends on chance, and a stream has no limit.
        (Err(HttpError::TimedOut { .. } | HttpError::TooLarge { .. }), _)
        | (_, Err(HttpError::TimedOut { .. })) => {}
        (Err(one), Err(other)) => assert_eq!(
            std::mem::discriminant(one),
            std::mem::discriminant(other),
            "{one:?} {other:?}"
        ),
        (one, other) => panic!("{one:?} {other:?}"),
    }
    for error in [whole.err(), streamed.err()].into_iter().flatten() {
        assert!(error.to_string().len() < 8 * 1024, "{error}");
        let _ = error.into_pinner("read").to_string();
    }
}

/// Asserts that an announced length is the body's.
fn check_length(answer: &Answer) {
    let headers = &answer.headers;
    if headers.contains_key(header::TRANSFER_ENCODING) || answer.status.as_u16() == 204 {
        return;
    }
    let length = headers.get(header::CONTENT_LENGTH);
    if let Some(length) = length.and_then(|length| length.to_str().ok()) {
        assert_eq!(length.parse(), Ok(answer.body.len()));
    }
}

async fn whole(socket: &PathBuf) -> Result<Answer, HttpError> {
    let once_more = RetryPolicy::NEVER.with_attempts(2);
    let request = client(socket).get("x").retry(once_more);
    request.whole(LIMIT, Instant::now() + PATIENCE).await
}

async fn stream(socket: &PathBuf) -> Result<(Bytes, HeaderMap), HttpError> {
    let request = client(socket).get("x").retry(RetryPolicy::NEVER);
    let begin = Instant::now() + PATIENCE;
    let mut streamed = request.stream(begin, PATIENCE).await?;
    let mut body = Vec::new();
    while let Some(chunk) = streamed.chunk().await? {
        assert!(!chunk.is_empty());
        body.extend_from_slice(&chunk);
    }
    Ok((body.into(), streamed.trailers().clone()))
}
