//! Standard output. It is written asynchronously, so that a full pipe does not delay signals, and a closed pipe
//! (`| head`) ends the command quietly.
//!
//! Names come from content, so they are escaped wherever they are shown, in a pipe too: a line break in a name would
//! otherwise be one entry more in a listing. `--json` has every name as it is.

use std::{fmt, io};

use tokio::io::{AsyncWriteExt, BufWriter, Stdout};

use crate::{
    messages::{self, Form},
    record::Record,
};

/// The reader of our standard output has closed it. There is nothing left to do, and this is not a failure.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct ReaderGone;

/// Standard output, buffered.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: BufWriter<Stdout>,
}

impl Output {
    /// Opens the process's standard output.
    pub(crate) fn new() -> Self {
        Self {
            stdout: BufWriter::with_capacity(64 * 1024, tokio::io::stdout()),
        }
    }

    /// Writes content, byte for byte.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stdout.write_all(bytes).await.map_err(explain)
    }

    /// Writes one result: the record with `--json`, and else these lines.
    pub(crate) async fn result(
        &mut self,
        record: &Record<'_>,
        lines: impl fmt::Display,
    ) -> anyhow::Result<()> {
        let text = match messages::form() {
            Form::Json => record.line(),
            Form::Text => format!("{lines}\n"),
        };
        self.bytes(text.as_bytes()).await
    }

    /// Flushes the buffer. Without this, the last lines are lost.
    pub(crate) async fn finish(&mut self) -> anyhow::Result<()> {
        self.stdout.flush().await.map_err(explain)
    }
}

fn explain(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => ReaderGone.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    }
}
