//! The misbehaving proxy, in front of a small server: what each fault looks like to a client.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use kubo_daemon::{
    Answer, Error, Result, Rpc,
    proxy::{Fault, Proxy, Times},
};

/// The body of the answers to `/length` and `/chunked`.
const BODY: &[u8] = b"ghijklmnop";

/// Answers by the path, keeps connections open, and counts them. `/wait` answers once the client is gone.
struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
    hung_up: Arc<AtomicUsize>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let (connections, hung_up) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let server = Self {
            url,
            connections: Arc::clone(&connections),
            hung_up: Arc::clone(&hung_up),
        };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(std::result::Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let hung_up = Arc::clone(&hung_up);
                thread::spawn(move || serve(&stream, &hung_up));
            }
        });
        server
    }

    fn proxy(&self) -> Proxy {
        Proxy::before(&self.url).expect("a proxy")
    }
}

fn serve(stream: &TcpStream, hung_up: &AtomicUsize) -> std::io::Result<()> {
    let (mut from, mut to) = (BufReader::new(stream), stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if from.read_line(&mut first)? == 0 {
            return Ok(());
        }
        loop {
            let mut field = String::new();
            from.read_line(&mut field)?;
            if let Some(text) = field.strip_prefix("Content-Length: ") {
                length = text.trim().parse().expect("a length");
            }
            if field == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        match first.split(' ').nth(1).expect("a path") {
            "/length" => {
                write!(
                    to,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    BODY.len()
                )?;
                to.write_all(BODY)?;
            }
            "/chunked" => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Note\r\n";
                write!(
                    to,
                    "{head}\r\n4\r\nghij\r\n6\r\nklmnop\r\n0\r\nX-Note: behind\r\n\r\n"
                )?;
            }
            "/echo" => {
                write!(to, "HTTP/1.1 201 Made\r\ncontent-length: {length}\r\n\r\n")?;
                to.write_all(&body)?;
            }
            "/wait" => {
                let gone = stream.peek(&mut [0])?;
                assert_eq!(gone, 0, "nothing is sent behind the request");
                hung_up.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            other => panic!("{other}"),
        }
    }
}

/// Sends a request on a connection of its own.
fn get(proxy: &Proxy, path: &str) -> Result<Answer> {
    let port = proxy
        .url()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    Rpc::at(port.expect("a port")).send("GET", path, None)
}

/// Sends a request and reads until the connection ends or is silent.
fn raw(proxy: &Proxy, path: &str) -> (Vec<u8>, bool) {
    let mut stream = connect(proxy);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("sending");
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a timeout");
    let (mut all, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (all, true),
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(_) => return (all, false),
        }
    }
}

fn connect(proxy: &Proxy) -> TcpStream {
    let url = proxy.url();
    TcpStream::connect(url.strip_prefix("http://").expect("a URL")).expect("connecting")
}

#[test]
fn what_has_no_fault_goes_through_over_kept_connections() -> Result<()> {
    let server = Server::start();
    let proxy = server.proxy();
    let stream = connect(&proxy);
    let (mut from, mut to) = (BufReader::new(&stream), &stream);
    for _ in 0..3 {
        write!(
            to,
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
        )
        .expect("sent");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            from.read_line(&mut head).expect("a head");
        }
        assert_eq!(head, "HTTP/1.1 201 Made\r\ncontent-length: 4\r\n\r\n");
        let mut body = [0; 4];
        from.read_exact(&mut body).expect("a body");
        assert_eq!(&body, b"body");
    }
    assert_eq!((proxy.connections(), proxy.requests("POST /echo")), (1, 3));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);

    let chunked = get(&proxy, "/chunked")?;
    assert_eq!(chunked.body, BODY);
    assert_eq!(
        chunked.trailers,
        [("X-Note".to_owned(), "behind".to_owned())]
    );
    assert_eq!(get(&proxy, "/length")?.body, BODY);
    assert_eq!(proxy.connections(), 3);
    assert_eq!(proxy.log()[3..], ["GET /chunked", "GET /length"]);
    Ok(())
}

#[test]
fn only_the_requests_that_were_named_are_disturbed() -> Result<()> {
    let server = Server::start();
    let proxy = server.proxy();
    let second = proxy.fault("GET /length", Times::Nth(2), Fault::status(500, "scripted"));
    let rest = proxy.fault(
        "/length",
        Times::From(2),
        Fault::too_many_requests(Duration::from_secs(7)),
    );
    let answers: Vec<_> = (0..4)
        .map(|_| get(&proxy, "/length"))
        .collect::<Result<_>>()?;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    // The second rule applies if the first does not take the request.
    assert_eq!(statuses, [200, 500, 429, 429]);
    assert_eq!(answers[1].body, b"scripted");
    assert_eq!(answers[2].field("retry-after"), Some("7"));
    assert_eq!((second.hits(), rest.hits()), (1, 2));
    assert_eq!(get(&proxy, "/chunked")?.status, 200);
    proxy.clear();
    assert_eq!(get(&proxy, "/length")?.status, 200);
    proxy.fault("", Times::First(1), Fault::status(403, "no"));
    assert_eq!(get(&proxy, "/length")?.status, 403);
    assert_eq!(get(&proxy, "/length")?.status, 200);
    Ok(())
}

#[test]
fn bodies_are_cut_stalled_shortened_and_changed() -> Result<()> {
    let server = Server::start();
    for path in ["/length", "/chunked"] {
        let proxy = server.proxy();
        let once = |fault| proxy.fault(path, Times::Every, fault);
        let body_is_cut = |seen: &[u8]| {
            let text = String::from_utf8_lossy(seen);
            let (_, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(
                body.contains("ghi") && !body.contains('j'),
                "{path}: {body}"
            );
        };

        once(Fault::Cut { after_bytes: 3 });
        assert!(matches!(get(&proxy, path), Err(Error::Io { .. })), "{path}");
        let (bytes, ended) = raw(&proxy, path);
        body_is_cut(&bytes);
        assert!(ended, "{path}");

        proxy.clear();
        once(Fault::Stall { after_bytes: 3 });
        let (bytes, ended) = raw(&proxy, path);
        body_is_cut(&bytes);
        assert!(!ended, "{path}");

        proxy.clear();
        once(Fault::Truncate { after_bytes: 3 });
        let answer = get(&proxy, path)?;
        assert_eq!((answer.status, &*answer.body), (200, &b"ghi"[..]), "{path}");
        assert_eq!(answer.trailers, [], "{path}");

        proxy.clear();
        once(Fault::Change { at_byte: 5 });
        assert_eq!(get(&proxy, path)?.body, b"ghijk\x93mnop", "{path}");

        proxy.clear();
        once(Fault::Drip {
            every: Duration::from_millis(10),
        });
        let before = Instant::now();
        assert_eq!(get(&proxy, path)?.body, BODY, "{path}");
        assert!(before.elapsed() >= Duration::from_millis(100), "{path}");

        proxy.clear();
        once(Fault::Delay(Duration::from_millis(100)));
        let before = Instant::now();
        assert_eq!(get(&proxy, path)?.body, BODY, "{path}");
        assert!(before.elapsed() >= Duration::from_millis(100), "{path}");
    }
    Ok(())
}

#[test]
fn the_server_is_not_asked_for_what_is_not_answered() {
    let server = Server::start();
    let proxy = server.proxy();
    proxy.fault("", Times::Nth(1), Fault::Close);
    proxy.fault("", Times::Nth(1), Fault::Garbage);
    proxy.fault("", Times::Nth(1), Fault::Silence);
    assert_eq!(raw(&proxy, "/length"), (Vec::new(), true));
    let (garbage, ended) = raw(&proxy, "/length");
    assert!(ended && garbage.starts_with(&[0x16]));
    assert_eq!(raw(&proxy, "/length"), (Vec::new(), false));
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
    assert!(!raw(&proxy, "/length").0.is_empty());
}

#[test]
fn a_client_that_hangs_up_is_passed_on() {
    let server = Server::start();
    let proxy = server.proxy();
    let mut stream = connect(&proxy);
    write!(stream, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").expect("sending");
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(60), "{what}");
            thread::sleep(Duration::from_millis(1));
        }
    };
    until("it is asked", &|| {
        server.connections.load(Ordering::SeqCst) == 1
    });
    assert_eq!(server.hung_up.load(Ordering::SeqCst), 0);
    drop(stream);
    until("it sees the end", &|| {
        server.hung_up.load(Ordering::SeqCst) == 1
    });
}

#[test]
fn the_end_of_the_proxy_ends_its_connections() {
    let server = Server::start();
    let proxy = server.proxy();
    proxy.fault("", Times::Every, Fault::Delay(Duration::from_secs(3600)));
    let mut stream = connect(&proxy);
    write!(stream, "GET /length HTTP/1.1\r\nHost: x\r\n\r\n").expect("sending");
    while proxy.requests("") == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let port = proxy.url();
    drop(proxy);
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    let gone = || TcpStream::connect(port.strip_prefix("http://").expect("a URL")).is_err();
    while !gone() {
        thread::sleep(Duration::from_millis(1));
    }

    // No server is there: the client sees its connection close.
    let nobody = Proxy::before(&port).expect("a proxy");
    assert_eq!(raw(&nobody, "/length"), (Vec::new(), true));
    assert!(Proxy::before("unix:/socket").is_err());
}
