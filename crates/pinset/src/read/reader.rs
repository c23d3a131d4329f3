//! An open file through tokio's traits.

use std::{
    io::{self, SeekFrom},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncSeek, ReadBuf},
    task::coop,
};

use crate::{read::file::File, task::Answer};

/// The most that one poll copies, in bytes, so that a reader with a large buffer lets others run.
const PIECE: usize = 64 << 10;

impl File {
    /// A reader with a position of its own, at the start of the file. Any number of them can read one file.
    pub fn reader(&self) -> FileReader {
        FileReader {
            file: self.clone(),
            position: 0,
            ahead: Bytes::new(),
            reading: None,
        }
    }
}

/// Reads a [`File`] through tokio's `AsyncRead` and `AsyncSeek`.
///
/// What is staged is copied into the reader's buffer without waiting. What has to be fetched gets on by itself, so a
/// reader that nobody polls for a while holds up nobody. An [`Error`](crate::Error) is the inner error of the
/// [`io::Error`]; the reader stays where it is, and the next read tries again.
#[derive(Debug)]
pub struct FileReader {
    file: File,
    position: u64,
    /// What a wait brought, from the position on.
    ahead: Bytes,
    /// A wait for what is at the position.
    reading: Option<Answer<Bytes>>,
}

impl FileReader {
    /// The file that it reads.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the next byte is read.
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl AsyncRead for FileReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = into.remaining().min(PIECE);
        if len == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(pin!(coop::consume_budget()).poll(context));
        let this = &mut *self;
        if this.ahead.is_empty() && this.reading.is_none() {
            let slice = &mut into.initialize_unfilled_to(len)[..len];
            if let Some(read) = this.file.try_read_into(this.position, slice) {
                let read = read.map_err(io::Error::other)?;
                into.advance(read);
                this.position += read as u64;
                return Poll::Ready(Ok(()));
            }
            let (file, position) = (this.file.clone(), this.position);
            let read = async move { file.read_up_to(position, len).await };
            this.reading = Some(Answer::of(read));
        }
        if let Some(reading) = &mut this.reading {
            let read = ready!(Pin::new(reading).poll(context));
            this.reading = None;
            this.ahead = read.map_err(io::Error::other)?;
        }
        let len = len.min(this.ahead.len());
        into.put_slice(&this.ahead[..len]);
        this.ahead.advance(len);
        this.position += len as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for FileReader {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let position = position.ok_or_else(|| {
            let reason = "a seek to before the start of the file, or too far";
            io::Error::new(io::ErrorKind::InvalidInput, reason)
        })?;
        if position != self.position {
            self.position = position;
            self.ahead = Bytes::new();
            self.reading = None;
        }
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.position))
    }
}
