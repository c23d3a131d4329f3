//! One block, from the files of the node's repository if they are read, from the node's gateway while that works, else
//! by `block/get`, which is called a second time if the node does not answer. One deadline covers all of it.

use std::time::Duration;

use cid::Cid;
use pinner_api::{Answer, BlockRequest, Bytes, MAX_BLOCK, PinnerError};
use tokio::time::{Instant, sleep};

use crate::{
    pinner::KuboPinner,
    rpc::{call, may_be_empty},
};

/// The least time that is worth a second want.
const SECOND_WANT: Duration = Duration::from_millis(500);

/// How long a node has to notice that a call was dropped.
const DROPPED_WITHIN: Duration = Duration::from_millis(50);

impl KuboPinner {
    /// Returns the block's bytes by the deadline, unverified.
    pub(crate) async fn fetch(
        &self,
        request: &BlockRequest,
        deadline: Instant,
    ) -> Result<Answer, PinnerError> {
        let cid = request.cid();
        if let Some(repository) = &self.repository
            && let Some(answer) = repository.block(request, deadline).await
        {
            return Ok(answer);
        }
        if let Some(gateway) = &self.gateway
            && !request.avoids(gateway.source())
            && let Some(block) = gateway.block(&self.control, cid, deadline).await
        {
            return Ok(Answer::new(block).with_source(gateway.source().clone()));
        }
        let block = self.want_twice(cid, deadline).await?;
        Ok(Answer::new(block).with_source(self.source.clone()))
    }

    /// As [`block_get`](Self::block_get), with a second call for the last quarter of the time. A node may forget a want
    /// while it drops an earlier one for the same block, and a want beside a forgotten one does not go out again. So the
    /// first call ends before the second begins. It has most of the time, since a search can take long; and the providers
    /// that it found are connected then.
    async fn want_twice(&self, cid: &Cid, deadline: Instant) -> Result<Bytes, PinnerError> {
        let last = deadline.saturating_duration_since(Instant::now()) / 4;
        if last < SECOND_WANT {
            return self.block_get(cid, deadline).await;
        }
        match self.block_get(cid, deadline - last).await {
            Err(PinnerError::TimedOut { .. }) => {
                sleep(DROPPED_WITHIN).await;
                self.block_get(cid, deadline).await
            }
            answer => answer,
        }
    }

    /// Returns the block's bytes by the deadline, unverified, through the RPC. The node then has the block.
    pub(crate) async fn block_get(
        &self,
        cid: &Cid,
        deadline: Instant,
    ) -> Result<Bytes, PinnerError> {
        let answer = call(&self.blocks, "block/get", cid)
            .arg(cid)
            .whole(MAX_BLOCK, deadline)
            .await
            .map_err(|error| error.into_pinner(Some(cid)))?;
        if answer.body.is_empty() && !may_be_empty(cid) {
            // Kubo answers some calls that it does not understand with status 200 and an empty body.
            return Err(PinnerError::Corrupt {
                operation: format!("block/get {cid} at {}", self.blocks.endpoint()),
                reason: "the answer is empty, but the block is not".to_owned(),
            });
        }
        Ok(answer.body)
    }
}
