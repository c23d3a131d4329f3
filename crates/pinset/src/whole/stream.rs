//! A file's content as a stream.

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;

use crate::{
    error::Error,
    path::ipfs_path::IpfsPath,
    read::{file::File, node::Node, readahead::Advice},
    session::Session,
};

/// How much of a file is handed on at a time, in bytes.
pub(super) const PIECE: usize = 256 << 10;

/// The content of a file, from its start. After an error the stream is over.
pub(crate) fn content(
    session: Session,
    path: IpfsPath,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    stream::unfold(Content::Unopened(session, path), next_piece)
}

/// How far a stream of content is.
enum Content {
    Unopened(Session, IpfsPath),
    At(File, u64),
    Over,
}

async fn next_piece(content: Content) -> Option<(Result<Bytes, Error>, Content)> {
    let (file, offset) = match content {
        Content::Over => return None,
        Content::At(file, offset) => (file, offset),
        Content::Unopened(session, path) => match session.open(&path.to_string()).await {
            Ok(Node::File(file)) => {
                file.advise(0, 0, Advice::Sequential);
                (file, 0)
            }
            Ok(Node::Dir(_) | Node::Symlink(_)) => {
                let path = path.to_string();
                return Some((Err(Error::IsDirectory { path }), Content::Over));
            }
            Err(error) => return Some((Err(error), Content::Over)),
        },
    };
    match file.read_at(offset, PIECE).await {
        Ok(bytes) if bytes.is_empty() => None,
        Ok(bytes) => {
            let offset = offset + bytes.len() as u64;
            Some((Ok(bytes), Content::At(file, offset)))
        }
        Err(error) => Some((Err(error), Content::Over)),
    }
}
