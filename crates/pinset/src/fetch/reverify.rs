//! Verification at first use: a block that an earlier run or another process has staged is hashed once, when it is
//! first needed and before anybody gets a byte of it (I1, I3).
//!
//! A block that is wrong is forgotten, and then fetched like any other missing block.

use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;

use crate::{
    block::UnverifiedBlock,
    fetch::engine::{Engine, Held},
};

impl Engine {
    /// Returns the block, if it lies in staging unverified and turns out to be right. All who ask at the same time
    /// share one verification. Dropping the future does not affect the others.
    pub(crate) async fn reverify(self: &Arc<Self>, cid: &Cid) -> Option<Held> {
        if !self.store.may_be_unverified(cid.hash()) {
            return None;
        }
        let flight = self.reverifying.join(*cid.hash(), || {
            let engine = self.clone();
            let cid = *cid;
            async move { engine.verify_staged(cid).await }
        });
        flight.await
    }

    async fn verify_staged(self: Arc<Self>, cid: Cid) -> Option<Held> {
        // The block is in memory while it is hashed (I9).
        let room = self.room_in_memory().await.ok()?;
        let look = move || {
            let is_right = |bytes: Bytes| UnverifiedBlock::new(bytes).verify(&cid).is_ok();
            let staged = self.store.verify_at_first_use(cid.hash(), is_right);
            drop(room);
            staged
        };
        match tokio::task::spawn_blocking(look).await {
            Ok(staged) => staged.map(Held::Staged),
            // coverage: the thread does not panic; if it did, the block would be fetched.
            Err(error) => {
                tracing::warn!(%error, "a staged block could not be verified and is fetched");
                None
            }
        }
    }
}
