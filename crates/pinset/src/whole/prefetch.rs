//! A whole DAG into staging, several blocks at a time, each once.

use std::{collections::HashSet, sync::Arc};

use futures_util::{StreamExt, stream::FuturesUnordered};
use pinner_api::Origin;

use super::Progress;
use crate::{
    block::{Key, cid_of},
    engine::Ask,
    error::Error,
    session::Session,
    unixfs::{self, Codec, Target},
};

/// Blocks on their way side by side.
const SIDE_BY_SIDE: usize = 16;

/// What a prefetch went over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Distinct blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Has every block of the DAG below `target` at hand, once each.
///
/// Goes depth first, so that what waits is a path's siblings and not a level of the DAG. Which blocks have been
/// seen is remembered by 8 bytes each.
pub(crate) async fn prefetch(
    session: &Session,
    target: Target,
    origin: &Origin,
    progress: &dyn Progress,
) -> Result<Fetched, Error> {
    let mut fetched = Fetched::default();
    let mut seen = HashSet::new();
    let mut todo = vec![target];
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < SIDE_BY_SIDE
            && let Some(target) = todo.pop()
        {
            let new = match &target {
                Target::Block(cid) => seen.insert(short(cid.hash())),
                Target::Inline { .. } => true,
            };
            if new {
                under_way.push(children(session, target, origin));
            }
        }
        let Some(result) = under_way.next().await else {
            return Ok(fetched);
        };
        let (bytes, links) = result?;
        if let Some(bytes) = bytes {
            fetched.blocks += 1;
            fetched.bytes += bytes;
            progress.advanced(fetched.blocks, fetched.bytes);
        }
        // The first link is gone to next.
        todo.extend(links.into_iter().rev());
    }
}

/// Enough of a digest to tell blocks apart; all of them are at least 20 bytes long.
fn short(key: &Key) -> u64 {
    let mut short = [0; 8];
    let digest = key.digest();
    let len = digest.len().min(8);
    short[..len].copy_from_slice(&digest[..len]);
    u64::from_le_bytes(short)
}

/// A block's length, if it is one, and what it links to.
async fn children(
    session: &Session,
    target: Target,
    origin: &Origin,
) -> Result<(Option<u64>, Vec<Target>), Error> {
    let engine: &Arc<_> = session.engine();
    let held = engine.obtain(&target, Ask { session, origin }).await?;
    let len = matches!(target, Target::Block(_)).then_some(held.len() as u64);
    if target.codec() == Codec::Raw {
        return Ok((len, Vec::new()));
    }
    let bytes = engine.bytes_of(&held).await?;
    let malformed = |error: unixfs::Malformed| Error::Malformed {
        cid: cid_of(&target),
        reason: error.to_string(),
    };
    let links = unixfs::links(target.codec(), &bytes).map_err(malformed)?;
    let links = links.map(|link| link.map(|link| link.target));
    Ok((len, links.collect::<Result<_, _>>().map_err(malformed)?))
}
