//! As much HTTP/1.1 as a test needs, over any reader: heads, and bodies in their three framings.
//!
//! It does not know sockets, or who talks to whom.

use std::io::{self, BufRead, Read};

/// The maximum length of a head, or of a chunk's first line, in bytes.
const MOST_HEAD: u64 = 64 * 1024;

/// The maximum length of a piece of a body, in bytes.
const PIECE: usize = 64 * 1024;

/// The lines before a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// `GET /path HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub(crate) first: String,
    /// The fields, in their order.
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    /// Reads the next head; `None` if the other side closed instead.
    pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut from = from.take(MOST_HEAD);
        let Some(first) = line(&mut from)? else {
            return Ok(None);
        };
        let fields = fields(&mut from)?;
        Ok(Some(Self { first, fields }))
    }

    /// Returns the last field with this name, in any case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        find(&self.fields, name)
    }

    /// Returns the status of an answer.
    pub(crate) fn status(&self) -> io::Result<u16> {
        let word = self.first.split(' ').nth(1);
        let status = word.and_then(|word| word.parse().ok());
        status.ok_or_else(|| garbled(format!("{:?} has no status", self.first)))
    }

    /// Returns how the body of a request is framed.
    pub(crate) fn request_framing(&self) -> io::Result<Framing> {
        Ok(self.framing()?.unwrap_or(Framing::Length(0)))
    }

    /// Returns how the body of the answer to a `method` is framed.
    pub(crate) fn answer_framing(&self, method: &str) -> io::Result<Framing> {
        match self.status()? {
            100..200 | 204 | 304 => Ok(Framing::Length(0)),
            _ if method == "HEAD" => Ok(Framing::Length(0)),
            _ => Ok(self.framing()?.unwrap_or(Framing::UntilClosed)),
        }
    }

    fn framing(&self) -> io::Result<Option<Framing>> {
        let chunked = self.field("transfer-encoding");
        if chunked.is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Ok(Some(Framing::Chunked));
        }
        let length = self.field("content-length").map(|text| {
            let length = text.parse().ok();
            length.ok_or_else(|| garbled(format!("a Content-Length of {text:?}")))
        });
        Ok(length.transpose()?.map(Framing::Length))
    }
}

/// Returns the last field with this name, in any case.
pub(crate) fn find<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let named = |(found, _): &&(String, String)| found.eq_ignore_ascii_case(name);
    fields.iter().rev().find(named).map(|(_, value)| &**value)
}

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length in bytes.
    Length(u64),
    /// By a chunk of no bytes, followed by trailers.
    Chunked,
    /// By the end of the connection.
    UntilClosed,
}

/// Reads a body, passes its bytes to `piece` as they come, and returns the trailers.
///
/// # Errors
/// If the connection ends first, or `piece` fails.
pub(crate) fn read_body(
    from: &mut impl BufRead,
    framing: Framing,
    mut piece: impl FnMut(&mut [u8]) -> io::Result<()>,
) -> io::Result<Vec<(String, String)>> {
    match framing {
        Framing::Length(length) => exactly(from, length, &mut piece)?,
        Framing::UntilClosed => {
            let mut buffer = vec![0; PIECE];
            loop {
                match from.read(&mut buffer)? {
                    0 => break,
                    n => piece(&mut buffer[..n])?,
                }
            }
        }
        Framing::Chunked => {
            loop {
                let text = line(&mut from.take(MOST_HEAD))?.ok_or_else(cut)?;
                let digits = text.split(';').next().unwrap_or_default().trim();
                let length = u64::from_str_radix(digits, 16)
                    .map_err(|_| garbled(format!("{text:?} begins no chunk")))?;
                if length == 0 {
                    break;
                }
                exactly(from, length, &mut piece)?;
                if line(&mut from.take(MOST_HEAD))?.as_deref() != Some("") {
                    return Err(garbled("a chunk is longer than it says".to_owned()));
                }
            }
            return fields(&mut from.take(MOST_HEAD));
        }
    }
    Ok(Vec::new())
}

fn exactly(
    from: &mut impl BufRead,
    mut length: u64,
    piece: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    while length > 0 {
        let most = usize::try_from(length).unwrap_or(PIECE).min(PIECE);
        match from.read(&mut buffer[..most])? {
            0 => return Err(cut()),
            n => {
                piece(&mut buffer[..n])?;
                length -= n as u64;
            }
        }
    }
    Ok(())
}

/// Reads the fields up to the empty line.
fn fields(from: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let text = line(from)?.ok_or_else(cut)?;
        if text.is_empty() {
            return Ok(fields);
        }
        let field = text.split_once(':');
        let (name, value) = field.ok_or_else(|| garbled(format!("{text:?} is not a field")))?;
        fields.push((name.trim().to_owned(), value.trim().to_owned()));
    }
}

/// Reads a line without its end; `None` at the end of the connection.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if from.read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.pop() != Some(b'\n') {
        return Err(cut());
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let text = String::from_utf8(bytes);
    text.map(Some)
        .map_err(|_| garbled("a head that is not text".to_owned()))
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended early")
}

fn garbled(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields = Vec<(String, String)>;

    fn body(mut from: &[u8], framing: Framing) -> io::Result<(Vec<u8>, Fields)> {
        let mut body = Vec::new();
        let trailers = read_body(&mut from, framing, |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?;
        Ok((body, trailers))
    }

    #[test]
    fn heads_are_read_one_after_another() -> io::Result<()> {
        let mut from =
            &b"GET /a HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: 3\r\n\r\nabcHTTP/1.1 204 No\n\n"[..];
        let request = Head::read(&mut from)?.ok_or_else(cut)?;
        assert_eq!(request.first, "GET /a HTTP/1.1");
        assert_eq!(request.field("host"), Some("x"));
        assert_eq!(request.request_framing()?, Framing::Length(3));
        let mut read = 0;
        read_body(&mut from, Framing::Length(3), |piece| {
            read += piece.len();
            Ok(())
        })?;
        assert_eq!(read, 3);
        let answer = Head::read(&mut from)?.ok_or_else(cut)?;
        assert_eq!(answer.status()?, 204);
        assert_eq!(answer.answer_framing("GET")?, Framing::Length(0));
        assert_eq!(Head::read(&mut from)?, None);
        Ok(())
    }

    #[test]
    fn chunks_and_their_trailers() -> io::Result<()> {
        let whole = b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nX-Stream-Error: no\r\n\r\n";
        let (bytes, trailers) = body(whole, Framing::Chunked)?;
        assert_eq!(bytes, b"abc0123456789");
        assert_eq!(find(&trailers, "x-stream-error"), Some("no"));
        Ok(())
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let chunked = b"3\r\nabc\r\n0\r\n\r\n";
        for cut in 0..chunked.len() {
            assert!(body(&chunked[..cut], Framing::Chunked).is_err(), "{cut}");
        }
        assert!(body(b"ab", Framing::Length(3)).is_err());
        assert!(Head::read(&mut &b"HTTP/1.1 200 OK\r\nA: b\r\n"[..]).is_err());
        assert!(body(b"2\r\nabc\r\n0\r\n\r\n", Framing::Chunked).is_err());
        assert!(body(b"zz\r\n", Framing::Chunked).is_err());
    }
}
