//! Blocks by multihash, either in memory or generated at each read so that a gigabyte of blocks needs no memory.
//!
//! Knows nothing of pins, of the network, or of whether bytes match their CID.

use std::{collections::HashMap, fmt, sync::Arc};

use bytes::Bytes;
use cid::Cid;

/// The key of a block: its multihash, with digests of up to 64 bytes.
pub(crate) type Multihash = cid::multihash::Multihash<64>;

/// The multihash code of the identity function, whose "digest" is the data.
pub(crate) const IDENTITY: u64 = 0x00;

/// One block: its bytes, or a function that makes them.
#[derive(Clone)]
pub(crate) enum Stored {
    Bytes(Bytes),
    Generated(Arc<dyn Fn() -> Bytes + Send + Sync>),
}

impl Stored {
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Generated(make) => make(),
        }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Generated(_) => f.write_str("generated"),
        }
    }
}

/// Blocks, each with the CID that it was first put under.
#[derive(Debug, Default)]
pub(crate) struct Store(HashMap<Multihash, (Cid, Stored)>);

impl Store {
    /// Puts the block, and replaces a block with the same multihash.
    pub(crate) fn put(&mut self, cid: Cid, stored: Stored) {
        self.0.insert(*cid.hash(), (cid, stored));
    }

    /// The block. The block of an identity CID is always there.
    pub(crate) fn get(&self, cid: &Cid) -> Option<Stored> {
        if cid.hash().code() == IDENTITY {
            let data = Bytes::copy_from_slice(cid.hash().digest());
            return Some(Stored::Bytes(data));
        }
        self.0.get(cid.hash()).map(|(_, stored)| stored.clone())
    }

    pub(crate) fn remove(&mut self, cid: &Cid) -> Option<Stored> {
        self.0.remove(cid.hash()).map(|(_, stored)| stored)
    }

    pub(crate) fn cids(&self) -> impl Iterator<Item = Cid> {
        self.0.values().map(|(cid, _)| *cid)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
