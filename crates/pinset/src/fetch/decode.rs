//! From a block to its decoded node, which is decoded once for all who wait for it.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::{
    block::{Key, cid_of},
    cache::{nodes::Decoded, staged::OFF_THREAD},
    error::Error,
    fetch::{
        ask::{Ask, Held, staging},
        engine::Engine,
    },
    task,
    unixfs::{self, Codec, Target},
};

impl Engine {
    /// Returns the decoded node of `target`, from the cache of nodes or from its block.
    pub(crate) async fn node(
        self: &Arc<Self>,
        target: &Target,
        ask: Ask<'_>,
    ) -> Result<Arc<Decoded>, Error> {
        if let Some(node) = self.node_at_hand(target) {
            return Ok(node);
        }
        let held = self.obtain(target, ask).await?;
        self.decode(target, &held).await
    }

    /// Returns the decoded node if it is cached and the pinset is open, and notes a use of its block.
    pub(crate) fn node_at_hand(&self, target: &Target) -> Option<Arc<Decoded>> {
        self.ensure_open().ok()?;
        let node = self.cached_node(target)?;
        // A use of a node is a use of its block.
        if let Target::Block(cid) = target {
            self.store.touch(cid.hash());
        }
        Some(node)
    }

    /// Returns the decoded node, if it is cached.
    pub(crate) fn cached_node(&self, target: &Target) -> Option<Arc<Decoded>> {
        match target {
            Target::Block(cid) if target.codec() == Codec::DagPb => self.nodes.get(cid.hash()),
            _ => None,
        }
    }

    /// Decodes a block, and caches the node unless it is a leaf or lies in its CID.
    pub(crate) async fn decode(
        self: &Arc<Self>,
        target: &Target,
        held: &Held,
    ) -> Result<Arc<Decoded>, Error> {
        match (target, target.codec()) {
            (_, Codec::Other(code)) => Err(Error::Unsupported {
                cid: cid_of(target),
                what: format!("the codec 0x{code:x}"),
            }),
            (Target::Block(cid), Codec::DagPb) if held.len() > OFF_THREAD => {
                self.decode_once(target, *cid.hash(), held).await
            }
            _ => {
                let bytes = self.bytes_of(held).await?;
                self.decoded(target, held, Decoded::new(target.codec(), bytes))
            }
        }
    }

    /// Decodes a long block on a blocking thread, once for all who wait for it.
    async fn decode_once(
        self: &Arc<Self>,
        target: &Target,
        key: Key,
        held: &Held,
    ) -> Result<Arc<Decoded>, Error> {
        loop {
            if let Some(node) = self.cached_node(target) {
                return Ok(node);
            }
            let waiting = self.decoding.join(key, |_inside| {
                let (engine, target, held) = (self.clone(), target.clone(), held.clone());
                async move {
                    let decoder = engine.decoders.clone().acquire_owned().await;
                    let decoder = decoder.map_err(|_| Error::Closed)?;
                    let work = move || {
                        let _decoder = decoder;
                        let bytes = engine.read_whole(&held)?;
                        engine.decoded(&target, &held, Decoded::new(Codec::DagPb, bytes))
                    };
                    tokio::task::spawn_blocking(work).await.map_err(|error| {
                        let error = io::Error::other(error);
                        staging("the thread that decodes a block failed", error)
                    })?
                }
            });
            if let Some(node) = waiting.result().await? {
                return Ok(node);
            }
        }
    }

    /// Returns the kind of the node in a block. Nothing is cached, and no use is noted. A long block is read and examined
    /// on a blocking thread, in its turn among those that are decoded.
    pub(crate) async fn kind(
        self: &Arc<Self>,
        target: &Target,
        held: Held,
    ) -> Result<unixfs::Kind, Error> {
        if held.len() <= OFF_THREAD {
            return kind_in(target, &self.bytes_of(&held).await?);
        }
        let (engine, target) = (self.clone(), target.clone());
        let work = async move {
            let decoder = engine.decoders.clone().acquire_owned().await;
            let decoder = decoder.map_err(|_| Error::Closed)?;
            let kind = move || {
                let _decoder = decoder;
                kind_in(&target, &engine.read_whole(&held)?)
            };
            task::blocking(kind).await
        };
        task::Answer::of(work).await
    }

    fn decoded(
        &self,
        target: &Target,
        held: &Held,
        decoded: Result<Decoded, unixfs::Malformed>,
    ) -> Result<Arc<Decoded>, Error> {
        let decoded = decoded.map_err(|error| malformed(target, &error))?;
        let decoded = Arc::new(decoded);
        match (&decoded.node, target, held) {
            // A leaf's bytes are in staging. Keeping them here as well would push out the nodes that lead to them.
            (unixfs::Node::File(file), _, _) if file.is_leaf() => {
                if let (Codec::DagPb, Held::Staged(staged)) = (target.codec(), held) {
                    staged.set_leaf(file.payload());
                }
            }
            (_, Target::Block(cid), _) => self.nodes.insert(*cid.hash(), decoded.clone()),
            (_, Target::Inline { .. }, _) => {}
        }
        Ok(decoded)
    }
}

fn kind_in(target: &Target, block: &Bytes) -> Result<unixfs::Kind, Error> {
    unixfs::kind(target.codec(), block).map_err(|error| malformed(target, &error))
}

fn malformed(target: &Target, error: &unixfs::Malformed) -> Error {
    Error::Malformed {
        cid: cid_of(target),
        reason: error.to_string(),
    }
}
