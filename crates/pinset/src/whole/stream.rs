//! A file's content as a stream.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use crate::{
    error::Error,
    path::ipfs_path::IpfsPath,
    read::{file::File, node::Node, readahead::Advice},
    session::Session,
    task::Answer,
};

/// How much of a file is handed on at a time, in bytes.
pub(super) const PIECE: usize = 256 << 10;

/// The content of a file, verified, from its start, in pieces of at most 256 KiB. After an error the stream is over.
///
/// Nothing is fetched before the stream is polled for the first time. What it waits for gets on by itself, so a stream
/// that nobody polls for a while holds up nobody.
pub struct ContentStream(State);

/// How far it is.
enum State {
    Opening(Answer<File>),
    At(File, u64),
    Reading(File, u64, Answer<Bytes>),
    Over,
}

impl ContentStream {
    pub(crate) fn new(session: Session, path: IpfsPath) -> Self {
        Self(State::Opening(Answer::of(open(session, path))))
    }
}

async fn open(session: Session, path: IpfsPath) -> Result<File, Error> {
    match session.open(&path).await? {
        Node::File(file) => {
            file.advise(0, 0, Advice::Sequential);
            Ok(file)
        }
        Node::Dir(_) | Node::Symlink(_) => Err(Error::IsDirectory {
            path: path.to_string(),
        }),
    }
}

impl State {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            match self {
                Self::Opening(opening) => {
                    let file = ready!(Pin::new(opening).poll(context))?;
                    *self = Self::At(file, 0);
                }
                Self::At(file, offset) => {
                    let (file, offset) = (file.clone(), *offset);
                    let reader = file.clone();
                    let read = Answer::of(async move { reader.read_at(offset, PIECE).await });
                    *self = Self::Reading(file, offset, read);
                }
                Self::Reading(file, offset, read) => {
                    let bytes = ready!(Pin::new(read).poll(context))?;
                    if bytes.is_empty() {
                        return Poll::Ready(Ok(None));
                    }
                    *self = Self::At(file.clone(), *offset + bytes.len() as u64);
                    return Poll::Ready(Ok(Some(bytes)));
                }
                Self::Over => return Poll::Ready(Ok(None)),
            }
        }
    }
}

impl Stream for ContentStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.0.poll_piece(context));
        if !matches!(piece, Ok(Some(_))) {
            self.0 = State::Over;
        }
        Poll::Ready(piece.transpose())
    }
}

impl fmt::Debug for ContentStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentStream").finish_non_exhaustive()
    }
}
