//! One block: by the node's gateway while that works, else by `block/get`, by one deadline over both.

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::{Bytes, MAX_BLOCK, PinnerError};
use tokio::time::Instant;

use crate::{pinner::KuboPinner, rpc::call};

impl KuboPinner {
    /// The block's bytes by the deadline. Unverified.
    pub(crate) async fn fetch(&self, cid: &Cid, deadline: Instant) -> Result<Bytes, PinnerError> {
        if let Some(gateway) = &self.gateway
            && let Some(answer) = gateway.block(self, cid, deadline).await
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

/// Whether a block of no bytes can have this CID, as far as its hash function is known.
pub(crate) fn may_be_empty(cid: &Cid) -> bool {
    match Code::try_from(cid.hash().code()) {
        Ok(code) => code.digest(b"").digest() == cid.hash().digest(),
        Err(_) => cid.hash().code() != 0 || cid.hash().digest().is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hash_of_nothing_is_a_hash_of_nothing() {
        let empty = Cid::new_v1(0x55, Code::Sha2_256.digest(b""));
        assert!(may_be_empty(&empty));
        assert!(!may_be_empty(&Cid::new_v1(
            0x55,
            Code::Blake3_256.digest(b"x")
        )));
        let identity = |data: &[u8]| {
            Cid::new_v1(
                0x55,
                cid::multihash::Multihash::wrap(0, data).expect("short"),
            )
        };
        assert!(may_be_empty(&identity(b"")) && !may_be_empty(&identity(b"x")));
    }
}
