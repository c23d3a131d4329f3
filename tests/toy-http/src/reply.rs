//! The server's answers, step by step.

use std::time::Duration;

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends these bytes unchanged.
    Send(Vec<u8>),
    /// Sends these bytes one at a time, with this wait before each.
    Drip(Vec<u8>, Duration),
    /// Sends these bytes again and again until the client goes away.
    Endless(Vec<u8>),
    /// Sends nothing for this long.
    Wait(Duration),
    /// Sends nothing until the client goes away.
    Hang,
    /// Closes the connection in order.
    Close,
    /// Breaks the connection: the client's next read fails.
    Reset,
}

/// An answer: its steps. After them the connection is kept for the next request, unless a step ends it.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    steps: Vec<Step>,
}

impl Reply {
    /// An answer with these steps.
    pub fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
        }
    }

    /// A complete and correct answer, with `Content-Length`.
    pub fn with(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        Self::announcing(body.as_ref().len(), status, headers, body)
    }

    /// A complete and correct answer with status 200.
    pub fn ok(media_type: &str, body: impl AsRef<[u8]>) -> Self {
        Self::with(200, &[("Content-Type", media_type)], body)
    }

    /// An answer with `body` under a `Content-Length` of `length`, correct or not.
    pub fn announcing(
        length: usize,
        status: u16,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Self {
        let length = length.to_string();
        let headers = [headers, &[("Content-Length", &length)]].concat();
        let mut bytes = Self::head(status, &headers);
        bytes.extend_from_slice(body.as_ref());
        Self::of([Step::Send(bytes)])
    }

    /// A chunked answer with status 200: each part is a chunk, then comes the last chunk with these trailers.
    pub fn chunked<B: AsRef<[u8]>>(
        headers: &[(&str, &str)],
        parts: impl IntoIterator<Item = B>,
        trailers: &[(&str, &str)],
    ) -> Self {
        let mut bytes = Self::head(
            200,
            &[headers, &[("Transfer-Encoding", "chunked")]].concat(),
        );
        for part in parts {
            bytes.extend(Self::chunk(part));
        }
        bytes.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        Self::of([Step::Send(bytes)])
    }

    /// The head of an answer, which precedes its body.
    pub fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {status} Toy\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// One chunk of a chunked body.
    pub fn chunk(part: impl AsRef<[u8]>) -> Vec<u8> {
        let part = part.as_ref();
        let length = format!("{:x}\r\n", part.len());
        [length.as_bytes(), part, b"\r\n"].concat()
    }

    /// Adds a step after the others.
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Lets a wait precede the answer.
    pub fn after(mut self, wait: Duration) -> Self {
        self.steps.insert(0, Step::Wait(wait));
        self
    }

    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}
