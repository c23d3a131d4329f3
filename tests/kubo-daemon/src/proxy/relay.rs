//! One client's connection: each request goes to the server and its answer comes back, with the scripted faults.

use std::{
    io::{self, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{Fault, Shared};
use crate::http::{Framing, Head, read_body};

/// Bytes that no reader takes for HTTP.
const GARBAGE: &[u8] = b"\x16\x03\x01\x02\0\x01\0\xfc\r\n\r\n\0\xff\xfe";

/// Serves one client until one of the sides closes.
///
/// # Errors
/// If one side closes in the middle. The other side sees that too.
pub(super) fn serve(shared: &Shared, number: usize, client: &TcpStream) -> io::Result<()> {
    let served = serve_until_closed(shared, number, client);
    // The proxy keeps a second handle, so dropping this one would not close the connection.
    let closed = client.shutdown(Shutdown::Both);
    served.and(closed)
}

/// Whether a connection can take the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Next,
    Close,
}

fn serve_until_closed(shared: &Shared, number: usize, client: &TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut requests = BufReader::new(client);
    let mut server = None;
    while let Some(request) = Head::read(&mut requests)? {
        let mut words = request.first.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next());
        let method = method.to_owned();
        let line = format!("{method} {}", path.unwrap_or_default());
        let fault = shared.requested(line);
        let exchange = |fault| Exchange {
            shared,
            number,
            client,
            method: &method,
            fault,
        };
        if fault.as_ref().is_some_and(is_before_the_server) {
            // The whole body is read: closing a connection with unread bytes would reset it, and the answer would be
            // lost.
            read_body(&mut requests, request.request_framing()?, |_| Ok(()))?;
        }
        let then = match fault {
            Some(Fault::Close) => Then::Close,
            Some(Fault::Silence) => hold(&mut requests)?,
            Some(Fault::Garbage) => {
                (&*client).write_all(GARBAGE)?;
                Then::Close
            }
            Some(Fault::Answer {
                status,
                fields,
                body,
            }) => answer(client, &method, status, &fields, &body)?,
            Some(Fault::Delay(how_long)) => {
                if !shared.wait(how_long) {
                    return Ok(());
                }
                exchange(None).run(&mut server, &request, &mut requests)?
            }
            fault => exchange(fault).run(&mut server, &request, &mut requests)?,
        };
        if then == Then::Close || says_close(&request) {
            break;
        }
    }
    if let Some(server) = server {
        // The server may have closed first.
        let _ = server.get_ref().server.shutdown(Shutdown::Both);
    }
    Ok(())
}

fn is_before_the_server(fault: &Fault) -> bool {
    match fault {
        Fault::Close | Fault::Silence | Fault::Garbage | Fault::Answer { .. } => true,
        Fault::Delay(_)
        | Fault::Cut { .. }
        | Fault::Stall { .. }
        | Fault::Truncate { .. }
        | Fault::Change { .. }
        | Fault::Drip { .. } => false,
    }
}

fn says_close(head: &Head) -> bool {
    head.field("connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

/// Sends nothing until the client closes.
fn hold(client: &mut impl Read) -> io::Result<Then> {
    let mut buffer = [0; 1024];
    while client.read(&mut buffer)? > 0 {}
    Ok(Then::Close)
}

fn answer(
    mut client: &TcpStream,
    method: &str,
    status: u16,
    fields: &[(String, String)],
    body: &[u8],
) -> io::Result<Then> {
    let head = Head {
        first: format!("HTTP/1.1 {status} Scripted"),
        fields: fields.to_vec(),
    };
    let length = ("Content-Length".to_owned(), body.len().to_string());
    let mut message = write_head(&head, Some(length));
    if method != "HEAD" {
        message.extend_from_slice(body);
    }
    client.write_all(&message)?;
    Ok(Then::Next)
}

/// Writes a head. `length` replaces the field of that name.
fn write_head(head: &Head, length: Option<(String, String)>) -> Vec<u8> {
    let mut text = format!("{}\r\n", head.first);
    let kept = |name: &str| length.is_none() || !name.eq_ignore_ascii_case("content-length");
    let fields = head.fields.iter().filter(|(name, _)| kept(name));
    for (name, value) in fields.chain(&length) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The server's side. A thread that waits for the server also notices when the client disconnects.
struct Watched<'c> {
    server: TcpStream,
    client: &'c TcpStream,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut watched = [
            PollFd::new(&self.server, PollFlags::IN),
            PollFd::new(self.client, PollFlags::IN),
        ];
        rustix::io::retry_on_intr(|| poll(&mut watched, None))?;
        let [server, client] = watched.map(|it| it.revents());
        if server.is_empty() && !client.is_empty() && self.client.peek(&mut [0])? == 0 {
            return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
        }
        // A client that already sends its next request waits its turn.
        self.server.read(buffer)
    }
}

/// One request and its answer.
struct Exchange<'s, 'c> {
    shared: &'s Shared,
    /// The number of the client's connection.
    number: usize,
    client: &'c TcpStream,
    method: &'s str,
    fault: Option<Fault>,
}

impl<'c> Exchange<'_, 'c> {
    fn run(
        &self,
        kept: &mut Option<BufReader<Watched<'c>>>,
        request: &Head,
        requests: &mut BufReader<&TcpStream>,
    ) -> io::Result<Then> {
        let server = match kept {
            // The server may have closed an idle connection.
            Some(server) if is_open(&server.get_ref().server) => server,
            Some(_) | None => kept.insert(self.connect()?),
        };
        let mut to_server = &server.get_ref().server;
        to_server.write_all(&write_head(request, None))?;
        let framing = request.request_framing()?;
        forward(requests, framing, &mut to_server, |_, _| Ok(Go::On))?;

        let (answer, framing) = loop {
            let early = || io::Error::from(io::ErrorKind::UnexpectedEof);
            let answer = Head::read(server)?.ok_or_else(early)?;
            let framing = answer.answer_framing(self.method)?;
            if !(100..200).contains(&answer.status()?) {
                break (answer, framing);
            }
            let mut client = self.client;
            client.write_all(&write_head(&answer, None))?;
        };
        let length = match (framing, &self.fault) {
            (Framing::Length(whole), Some(Fault::Truncate { after_bytes })) => {
                Some(whole.min(*after_bytes))
            }
            (Framing::Length(_) | Framing::Chunked | Framing::UntilClosed, _) => None,
        };
        let length = length.map(|length| ("Content-Length".to_owned(), length.to_string()));
        let mut client = self.client;
        client.write_all(&write_head(&answer, length))?;

        let end = forward(server, framing, &mut client, |at, piece| {
            self.disturb(at, piece)
        })?;
        match end {
            Go::On if framing == Framing::UntilClosed || says_close(&answer) => Ok(Then::Close),
            Go::On => Ok(Then::Next),
            Go::Close => Ok(Then::Close),
            Go::Hold => hold(requests),
            // The rest of the server's answer is never read.
            Go::End => {
                *kept = None;
                Ok(Then::Next)
            }
        }
    }

    fn connect(&self) -> io::Result<BufReader<Watched<'c>>> {
        let server = TcpStream::connect(self.shared.server)?;
        server.set_nodelay(true)?;
        self.shared.lock().keep(self.number, &server);
        let client = self.client;
        Ok(BufReader::new(Watched { server, client }))
    }

    /// Returns how much of a piece that begins at `at` passes, and what happens after it.
    fn disturb(&self, at: u64, piece: &mut Piece<'_>) -> io::Result<Go> {
        let end = at + piece.bytes.len() as u64;
        let shorten = |piece: &mut Piece<'_>, after: u64, then: Go| {
            if after >= end {
                return Go::On;
            }
            let left = usize::try_from(after - at).unwrap_or(0);
            piece.take(left);
            then
        };
        Ok(match &self.fault {
            Some(Fault::Cut { after_bytes }) => shorten(piece, *after_bytes, Go::Close),
            Some(Fault::Stall { after_bytes }) => shorten(piece, *after_bytes, Go::Hold),
            Some(Fault::Truncate { after_bytes }) => shorten(piece, *after_bytes, Go::End),
            Some(Fault::Change { at_byte }) => {
                if (at..end).contains(at_byte) {
                    let offset = usize::try_from(at_byte - at).unwrap_or(0);
                    piece.bytes[offset] = !piece.bytes[offset];
                }
                Go::On
            }
            Some(Fault::Drip { every }) => {
                for one in 0..piece.bytes.len() {
                    if !self.shared.wait(*every) {
                        return Ok(Go::Close);
                    }
                    piece.send(one..one + 1)?;
                }
                piece.take(0);
                Go::On
            }
            Some(
                Fault::Delay(_)
                | Fault::Close
                | Fault::Silence
                | Fault::Answer { .. }
                | Fault::Garbage,
            )
            | None => Go::On,
        })
    }
}

fn is_open(server: &TcpStream) -> bool {
    let mut watched = [PollFd::new(server, PollFlags::IN)];
    // Between two exchanges, only the end of the connection can be read.
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut watched, Some(&now)).is_ok_and(|ready| ready == 0)
}

/// How the relay continues after a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Go {
    /// The next piece follows.
    On,
    /// The body ends, as if it were complete.
    End,
    /// The connection closes.
    Close,
    /// Nothing more is sent.
    Hold,
}

/// Bytes of a body on their way to the client.
struct Piece<'p> {
    bytes: &'p mut [u8],
    /// How many of them are still to be sent.
    left: usize,
    framing: Framing,
    to: &'p mut dyn Write,
}

impl Piece<'_> {
    fn take(&mut self, left: usize) {
        self.left = left;
    }

    fn send(&mut self, range: std::ops::Range<usize>) -> io::Result<()> {
        let bytes = &self.bytes[range];
        match self.framing {
            Framing::Length(_) | Framing::UntilClosed => self.to.write_all(bytes),
            // A chunk of no bytes would mark the end.
            Framing::Chunked if bytes.is_empty() => Ok(()),
            Framing::Chunked => {
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.extend_from_slice(bytes);
                chunk.extend_from_slice(b"\r\n");
                self.to.write_all(&chunk)
            }
        }
    }
}

/// Passes on a body, framed as it came, until it ends or `disturb` ends it.
fn forward(
    from: &mut impl io::BufRead,
    framing: Framing,
    to: &mut impl Write,
    mut disturb: impl FnMut(u64, &mut Piece<'_>) -> io::Result<Go>,
) -> io::Result<Go> {
    let (mut at, mut end) = (0, Go::On);
    let trailers = read_body(from, framing, |bytes| {
        let (length, left) = (bytes.len() as u64, bytes.len());
        let mut piece = Piece {
            bytes,
            left,
            framing,
            to: &mut *to,
        };
        end = disturb(at, &mut piece)?;
        let left = piece.left;
        piece.send(0..left)?;
        at += length;
        match end {
            Go::On => Ok(()),
            Go::End | Go::Close | Go::Hold => Err(io::Error::from(io::ErrorKind::Interrupted)),
        }
    });
    let trailers = match (trailers, end) {
        (_, Go::Close | Go::Hold) => return Ok(end),
        (_, Go::End) => Vec::new(),
        (trailers, Go::On) => trailers?,
    };
    if framing == Framing::Chunked {
        let mut last = "0\r\n".to_owned();
        for (name, value) in trailers {
            last.push_str(&format!("{name}: {value}\r\n"));
        }
        last.push_str("\r\n");
        to.write_all(last.as_bytes())?;
    }
    Ok(end)
}
