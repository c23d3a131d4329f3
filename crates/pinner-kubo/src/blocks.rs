//! One block: by the node's gateway while that works, else by `block/get`, by one deadline over both.

use cid::Cid;
use pinner_api::{Bytes, MAX_BLOCK, PinnerError};
use tokio::time::Instant;

use crate::{
    pinner::KuboPinner,
    rpc::{call, may_be_empty},
};

impl KuboPinner {
    /// The block's bytes by the deadline. Unverified.
    pub(crate) async fn fetch(&self, cid: &Cid, deadline: Instant) -> Result<Bytes, PinnerError> {
        if let Some(gateway) = &self.gateway
            && let Some(answer) = gateway.block(&self.control, cid, deadline).await
        {
            return answer;
        }
        self.block_get(cid, deadline).await
    }

    /// The block's bytes by the deadline, from the node itself, which has it then. Unverified.
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
            // Kubo says nothing at all, with status 200, to some calls that it does not understand.
            return Err(PinnerError::Corrupt {
                operation: format!("block/get {cid} at {}", self.blocks.endpoint()),
                reason: "the answer is empty, and the block is not".to_owned(),
            });
        }
        Ok(answer.body)
    }
}
