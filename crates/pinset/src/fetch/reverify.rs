//! Verification at first use: a block that an earlier run or another process has staged is hashed once, when it is
//! first needed and before anybody gets a byte of it (I1, I3).
//!
//! A block that is wrong is forgotten, and then fetched like any other missing block. Verification waits for no backend
//! and for nothing that waits for one, so whatever is staged can be read while the backend hangs.

use std::{io, sync::Arc};

use bytes::Bytes;
use cid::Cid;

use crate::{
    block::UnverifiedBlock,
    error::Error,
    fetch::{
        ask::{Held, Reverified, staging},
        engine::Engine,
    },
};

impl Engine {
    /// Returns the block, if it lies in staging unverified and turns out to be right. All who ask at the same time
    /// share one verification. Dropping the future does not affect the others.
    pub(super) async fn reverify(self: &Arc<Self>, cid: &Cid) -> Result<Reverified, Error> {
        if !self.store.may_be_unverified(cid.hash()) {
            return Ok(Reverified::Absent);
        }
        let waiting = self.reverifying.join(*cid.hash(), |_inside| {
            let engine = self.clone();
            let cid = *cid;
            async move { engine.verify_staged(cid).await }
        });
        Ok(match waiting.result().await? {
            Some(Some(held)) => Reverified::Right(held),
            Some(None) => Reverified::Absent,
            None => Reverified::LookAgain,
        })
    }

    async fn verify_staged(self: Arc<Self>, cid: Cid) -> Result<Option<Held>, Error> {
        // The block is in memory while it is hashed (I9).
        let verifier = self.verifiers.clone().acquire_owned().await;
        let verifier = verifier.map_err(|_| Error::Closed)?;
        let look = move || {
            let is_right = |bytes: Bytes| UnverifiedBlock::new(bytes).verify(&cid).is_ok();
            let staged = self.store.verify_at_first_use(cid.hash(), is_right);
            drop(verifier);
            staged.map(Held::Staged)
        };
        tokio::task::spawn_blocking(look).await.map_err(|error| {
            let error = io::Error::other(error);
            staging("the thread that verifies a block failed", error)
        })
    }
}
