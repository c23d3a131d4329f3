//! One block, from the files of the node's repository if they are read, from the node's gateway while that works, else
//! by `block/get`, with a second call beside the first if the node does not answer. One deadline covers all of it.

use std::time::Duration;

use cid::Cid;
use futures_util::future::select_ok;
use pinner_api::{Answer, BlockRequest, Bytes, MAX_BLOCK, PinnerError};
use tokio::time::{Instant, timeout_at};

use crate::{
    pinner::KuboPinner,
    rpc::{call, may_be_empty},
};

/// The least time that is worth a second want.
const SECOND_WANT: Duration = Duration::from_secs(1);

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

    /// As [`block_get`](Self::block_get), with a second call beside the first in the middle of the time: a node may forget
    /// a want while it drops an earlier one for the same block. The first goes on, since its search may still find the
    /// block.
    async fn want_twice(&self, cid: &Cid, deadline: Instant) -> Result<Bytes, PinnerError> {
        let now = Instant::now();
        let half = deadline.saturating_duration_since(now) / 2;
        let mut first = Box::pin(self.block_get(cid, deadline));
        if half < SECOND_WANT {
            return first.await;
        }
        match timeout_at(now + half, &mut first).await {
            Ok(answer) => answer,
            Err(_) => {
                let second = Box::pin(self.block_get(cid, deadline));
                let (block, _slower) = select_ok([first, second]).await?;
                Ok(block)
            }
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
