//! Standard output. It is written asynchronously, so that a full pipe does not delay signals, and a closed pipe
//! (`| head`) ends the command quietly.
//!
//! Names are untrusted: on a terminal, their control characters are escaped; in a pipe, names are written unchanged.

use std::{
    fmt,
    io::{self, IsTerminal},
};

use tokio::io::{AsyncWriteExt, BufWriter, Stdout};

/// The reader of our standard output has closed it. There is nothing left to do, and this is not a failure.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct ReaderGone;

/// Standard output, buffered.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: BufWriter<Stdout>,
    names: Names,
}

/// How names are shown.
#[derive(Clone, Copy, Debug)]
enum Names {
    /// With escapes for control characters.
    Escaped,
    /// Byte for byte.
    Verbatim,
}

impl Output {
    /// Opens the process's standard output.
    pub(crate) fn new() -> Self {
        Self {
            stdout: BufWriter::with_capacity(64 * 1024, tokio::io::stdout()),
            names: match io::stdout().is_terminal() {
                true => Names::Escaped,
                false => Names::Verbatim,
            },
        }
    }

    /// Writes content, byte for byte.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stdout.write_all(bytes).await.map_err(explain)
    }

    /// Writes one line.
    pub(crate) async fn line(&mut self, line: impl fmt::Display) -> anyhow::Result<()> {
        self.bytes(format!("{line}\n").as_bytes()).await
    }

    /// Returns a name in the form that suits this output.
    pub(crate) fn name<'a>(&self, name: &'a str) -> std::borrow::Cow<'a, str> {
        match self.names {
            Names::Escaped => escape(name),
            Names::Verbatim => name.into(),
        }
    }

    /// Flushes the buffer. Without this, the last lines are lost.
    pub(crate) async fn finish(&mut self) -> anyhow::Result<()> {
        self.stdout.flush().await.map_err(explain)
    }
}

/// Returns `name` with its control characters escaped, so that a terminal does not interpret them.
pub(crate) fn escape(name: &str) -> std::borrow::Cow<'_, str> {
    match name.contains(char::is_control) {
        false => name.into(),
        true => name
            .chars()
            .flat_map(|c| {
                let (shown, kept) = match c.is_control() {
                    true => (Some(c.escape_default()), None),
                    false => (None, Some(c)),
                };
                shown.into_iter().flatten().chain(kept)
            })
            .collect::<String>()
            .into(),
    }
}

fn explain(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => ReaderGone.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn a_terminal_is_told_nothing_by_a_name() {
        assert_eq!(escape("é b.txt"), "é b.txt");
        assert_eq!(escape("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
    }
}
