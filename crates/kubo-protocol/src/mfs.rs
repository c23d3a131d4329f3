//! A counted lazy pin: an entry of our own for each `(holder, root)` in the node's mutable file system (MFS).
//!
//! The node's garbage collector keeps the blocks below MFS that it has, and tolerates missing ones. Entries are
//! `/wasi-ipfs-pins/<holder>/<root's CID>`, made by `files/cp`. So one holder's pins are one directory, and one
//! `files/rm` releases a dead holder. This needs Kubo 0.43: see [`Version::LAZY_PINS`](crate::Version::LAZY_PINS).
//!
//! Invariant: only entries that are named exactly as we name them are ours. Anything else below the directory is
//! neither listed nor touched.

use cid::Cid;
use pinner_api::Holder;

/// The directory that holds all lazy pins.
pub const REGISTRY: &str = "/wasi-ipfs-pins";

/// The directory of one holder.
pub fn holder_path(holder: &Holder) -> String {
    format!("{REGISTRY}/{holder}")
}

/// The path of the entry for one lazy pin.
pub fn pin_path(holder: &Holder, root: &Cid) -> String {
    format!("{REGISTRY}/{holder}/{root}")
}

/// Parses a name in [`REGISTRY`] as a holder; `None` if the entry is not ours.
pub fn parse_holder(name: &str) -> Option<Holder> {
    let holder: Holder = name.parse().ok()?;
    (holder.to_string() == name).then_some(holder)
}

/// Parses a name in a holder's directory as a root; `None` if the entry is not ours.
pub fn parse_root(name: &str) -> Option<Cid> {
    let root = Cid::try_from(name).ok()?;
    (root.to_string() == name).then_some(root)
}

#[cfg(test)]
mod tests {
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;

    #[test]
    fn names_come_back_and_others_do_not() {
        let holder = Holder::new([0xab; 8], [2; 16]);
        let hash = Code::Sha2_256.digest(b"root");
        for root in [
            Cid::new_v0(hash).expect("sha2-256"),
            Cid::new_v1(0x55, hash),
        ] {
            let path = pin_path(&holder, &root);
            let below = path.strip_prefix(&format!("{REGISTRY}/")).expect("it is");
            let (first, second) = below.split_once('/').expect("two segments");
            assert_eq!(holder_path(&holder), format!("{REGISTRY}/{first}"));
            assert_eq!(parse_holder(first), Some(holder));
            assert_eq!(parse_root(second), Some(root));
            assert_eq!(parse_root(&format!("{second}x")), None);
        }
        let upper = holder.to_string().to_uppercase();
        for name in ["", "notes.txt", &upper, "..", "é"] {
            assert_eq!(parse_holder(name), None, "{name:?}");
            assert_eq!(parse_root(name), None, "{name:?}");
        }
        // The same CID in another base.
        let v1 = Cid::new_v1(0x55, hash);
        let other = v1
            .to_string_of_base(cid::multibase::Base::Base58Btc)
            .expect("it can be written");
        assert_eq!(parse_root(&other), None);
    }
}
