//! The kind of a directory's entry, from the entry's own root block.

use std::time::Duration;

use pinner_api::Origin;

use crate::{
    block::cid_of,
    error::Error,
    fetch::ask::Rank,
    metadata::Kind,
    path::place::Place,
    read::{dir::Dir, listing::Entry},
    task::Answer,
};

/// The length that a root block is assumed to have at most, in bytes, until it has arrived. Its link tells the length of
/// all content together, and a block that leads to more is hardly ever longer.
const USUAL_ROOT: u64 = 256 << 10;

impl Dir {
    /// Returns the kind of `entry`, which is an entry of this directory. If its link does not tell, its root block is
    /// fetched within the session's limits, with this rank. This counts as no use of the block, and it pins nothing.
    ///
    /// The work starts with the first poll, and then goes on by itself. Dropping the future cancels it.
    ///
    /// # Errors
    /// [`Error::Busy`] at once with [`Rank::Ahead`] and no room for the fetch; those of fetching; [`Error::Malformed`];
    /// [`Error::LimitReached`].
    pub fn kind_of(
        &self,
        entry: &Entry,
        rank: Rank,
    ) -> impl Future<Output = Result<Kind, Error>> + Send + Unpin + use<> {
        let (dir, target) = (self.clone(), entry.cid().target());
        let expected = entry.size_bytes().map(|size| size.min(USUAL_ROOT));
        let by_link = entry.kind();
        let origin = match self.place() {
            Place::Link(linked) => linked.origin_below(entry.name()).0,
            Place::Ipfs | Place::Ipns | Place::Name(_) => Origin::root(cid_of(&target)),
        };
        Answer::of(async move {
            if let Some(kind) = by_link {
                return Ok(kind);
            }
            let session = dir.session();
            session.allowance().ensure_open()?;
            session.access().check(&target)?;
            let waited = Duration::ZERO;
            let _counted = match rank {
                Rank::Demand => None,
                Rank::Ahead => {
                    let counted = session.allowance().count_ahead();
                    let cid = cid_of(&target);
                    Some(counted.ok_or(Error::Busy { cid, waited })?)
                }
            };
            let mut ask = session.ask(&origin);
            (ask.rank, ask.expected) = (rank, expected);
            let held = session.engine().obtain(&target, ask).await?;
            let kind = session.engine().kind(&target, held).await?;
            Ok(kind.into())
        })
    }
}
