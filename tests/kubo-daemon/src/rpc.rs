//! A client for a node's RPC, for calls that tests make in loops: running the program takes a tenth of a second, while
//! a call here takes almost no time. Each call opens a connection. It shares no code with the library under test.

use std::{
    io::{self, BufReader, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use crate::{
    Error, Result,
    http::{Head, find, read_body},
};

/// How long a call may be silent. A collection of a large repository sends nothing for a while.
const SILENCE: Duration = Duration::from_secs(300);

/// An HTTP interface on loopback.
#[derive(Clone, Debug)]
pub struct Rpc {
    port: u16,
    authorization: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The fields before the body.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The fields after the body.
    pub trailers: Vec<(String, String)>,
}

impl Answer {
    /// Returns the field with this name, before or after the body, in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        find(&self.trailers, name).or_else(|| find(&self.fields, name))
    }
}

impl Rpc {
    pub(crate) fn new(port: u16, authorization: Option<String>) -> Self {
        Self {
            port,
            authorization,
        }
    }

    /// The interface on this port of loopback, without credentials.
    pub fn at(port: u16) -> Self {
        Self::new(port, None)
    }

    /// Calls `/api/v0/<command>` with these arguments (`("arg", "…")`), and returns the body.
    ///
    /// # Errors
    /// If the node does not answer, or answers with a failure, even in the trailers.
    pub fn call(&self, command: &str, arguments: &[(&str, &str)]) -> Result<Vec<u8>> {
        let path = format!("/api/v0/{command}{}", query(arguments));
        let answer = self.send("POST", &path, None)?;
        let call = || format!("POST {path}");
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body);
            return Err(Error::Refused {
                call: call(),
                status: answer.status,
                message: match serde_json::from_str::<Value>(&text) {
                    Ok(Value::Object(object)) => match object.get("Message") {
                        Some(Value::String(message)) => message.clone(),
                        Some(_) | None => text.into_owned(),
                    },
                    Ok(_) | Err(_) => text.into_owned(),
                },
            });
        }
        match answer.field("X-Stream-Error") {
            None | Some("") => Ok(answer.body),
            Some(message) => Err(Error::Refused {
                call: call(),
                status: answer.status,
                message: message.to_owned(),
            }),
        }
    }

    /// Returns the JSON values in the answer to a call, one or one a line.
    ///
    /// # Errors
    /// As for [`call`](Self::call), and if the answer is not JSON.
    pub fn values(&self, command: &str, arguments: &[(&str, &str)]) -> Result<Vec<Value>> {
        let body = self.call(command, arguments)?;
        let values = serde_json::Deserializer::from_slice(&body).into_iter();
        let values: std::result::Result<_, _> = values.collect();
        values.map_err(|error| Error::unreadable(command, error.to_string()))
    }

    /// Returns the one JSON value in the answer to a call.
    ///
    /// # Errors
    /// As for [`values`](Self::values), and if there is not exactly one.
    pub fn value(&self, command: &str, arguments: &[(&str, &str)]) -> Result<Value> {
        let mut values = self.values(command, arguments)?;
        match (values.pop(), values.len()) {
            (Some(value), 0) => Ok(value),
            (Some(_), _) | (None, _) => Err(Error::unreadable(command, "not one JSON value")),
        }
    }

    /// Puts a block and returns its CID. `codec` and `hash` are those of `ipfs block put` (`raw`, `sha2-256`).
    ///
    /// The node does not examine the block, and also accepts one that does not decode.
    ///
    /// # Errors
    /// If the node refuses.
    pub fn block_put(&self, codec: &str, hash: &str, block: &[u8]) -> Result<cid::Cid> {
        let mut arguments = vec![("cid-codec", codec), ("mhtype", hash)];
        arguments.push(("allow-big-block", "true"));
        let path = format!("/api/v0/block/put{}", query(&arguments));
        let boundary = "ThirtyDashesAndARandomTailWouldDoAsWell";
        let mut body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"block\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(block);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let form = format!("multipart/form-data; boundary={boundary}");
        let answer = self.send("POST", &path, Some((&form, &body)))?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status != 200 {
            return Err(Error::Refused {
                call: format!("POST {path}"),
                status: answer.status,
                message: text,
            });
        }
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| Error::unreadable(&path, error.to_string()))?;
        parse_cid(&path, &value["Key"])
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// If there is no connection, or no complete answer.
    pub fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Result<Answer> {
        let what = || format!("{method} 127.0.0.1:{}{path}", self.port);
        self.exchange(method, path, body).map_err(Error::io(what()))
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> io::Result<Answer> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        stream.set_nodelay(true)?;
        let port = self.port;
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
        if let Some(authorization) = &self.authorization {
            head.push_str(&format!("Authorization: {authorization}\r\n"));
        }
        let (kind, body) = body.unwrap_or(("application/octet-stream", &[]));
        head.push_str(&format!(
            "Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;

        let mut from = BufReader::new(stream);
        let early = || io::Error::new(io::ErrorKind::UnexpectedEof, "no answer");
        let head = Head::read(&mut from)?.ok_or_else(early)?;
        let mut body = Vec::new();
        let trailers = read_body(&mut from, head.answer_framing(method)?, |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Answer {
            status: head.status()?,
            fields: head.fields,
            body,
            trailers,
        })
    }
}

pub(crate) fn parse_cid(call: &str, value: &Value) -> Result<cid::Cid> {
    let text = value.as_str();
    let text = text.ok_or_else(|| Error::unreadable(call, format!("{value} is not a CID")))?;
    let cid = text.parse();
    cid.map_err(|error| Error::unreadable(call, format!("'{text}' is not a CID: {error}")))
}

fn query(arguments: &[(&str, &str)]) -> String {
    let mut query = String::new();
    for (at, (name, value)) in arguments.iter().enumerate() {
        query.push(if at == 0 { '?' } else { '&' });
        query.push_str(name);
        query.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                    query.push(char::from(byte));
                }
                _ => query.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_escaped() {
        assert_eq!(query(&[]), "");
        let arguments = [("arg", "/ipfs/Qm x&y=ä"), ("offline", "true")];
        assert_eq!(
            query(&arguments),
            "?arg=/ipfs/Qm%20x%26y%3D%C3%A4&offline=true"
        );
    }
}
