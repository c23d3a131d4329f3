//! How a node looks to a guest: its type, stat and hash. Everything comes from the content, nothing from the host or
//! the clock, so that a guest sees the same everywhere.

use wasmtime_wasi::p2::bindings::{
    clocks::wall_clock::Datetime,
    filesystem::types::{DescriptorStat, DescriptorType, MetadataHashValue},
};

use crate::node::{Identity, Kind, Metadata, Mtime};

/// The epoch, which stands in for a missing time.
const EPOCH: Datetime = Datetime {
    seconds: 0,
    nanoseconds: 0,
};

/// The type of an opened or looked-up node.
pub(crate) fn node_type(kind: Kind) -> DescriptorType {
    match kind {
        Kind::File => DescriptorType::RegularFile,
        Kind::Dir => DescriptorType::Directory,
        Kind::Symlink => DescriptorType::SymbolicLink,
    }
}

/// The type of an entry in a listing. It is `Unknown` if it could not be learnt.
pub(crate) fn entry_type(kind: Option<Kind>) -> DescriptorType {
    kind.map_or(DescriptorType::Unknown, node_type)
}

/// A node's stat. All three times are UnixFS's mtime, or the epoch. A directory's size is 0. The link count is 1, since
/// the parents of a node in a DAG cannot be counted.
pub(crate) fn stat(metadata: &Metadata) -> DescriptorStat {
    let time = Some(metadata.mtime.map_or(EPOCH, time));
    DescriptorStat {
        type_: node_type(metadata.kind),
        link_count: 1,
        size: match metadata.kind {
            Kind::File | Kind::Symlink => metadata.len,
            Kind::Dir => 0,
        },
        data_access_timestamp: time,
        data_modification_timestamp: time,
        status_change_timestamp: time,
    }
}

/// WASI's datetime is unsigned, so a time before 1970 is shown as the epoch.
fn time(mtime: Mtime) -> Datetime {
    match u64::try_from(mtime.seconds) {
        Ok(seconds) => Datetime {
            seconds,
            nanoseconds: mtime.nanos.min(999_999_999),
        },
        Err(_before_1970) => EPOCH,
    }
}

/// The value by which a guest tells nodes apart, derived from the CID. Preview 1 shows its lower half as the inode.
pub(crate) fn hash(identity: Identity) -> MetadataHashValue {
    let value = u128::from_le_bytes(identity.0);
    MetadataHashValue {
        lower: value as u64,
        upper: (value >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::{hash, stat};
    use crate::node::{Identity, Kind, Metadata, Mtime};

    fn modified(seconds: i64, nanos: u32) -> (u64, u32) {
        let mut metadata = Metadata::new(Kind::File, 1);
        metadata.mtime = Some(Mtime { seconds, nanos });
        let stat = stat(&metadata);
        let time = stat
            .data_modification_timestamp
            .expect("a time is always given");
        (time.seconds, time.nanoseconds)
    }

    #[test]
    fn times_before_1970_are_the_epoch() {
        assert_eq!(modified(5, 7), (5, 7));
        assert_eq!(modified(-1, 7), (0, 0));
        assert_eq!(modified(i64::MIN, 0), (0, 0));
        assert_eq!(modified(5, u32::MAX), (5, 999_999_999));
    }

    #[test]
    fn a_directory_has_no_size_and_no_time() {
        let metadata = Metadata::new(Kind::Dir, 7);
        let stat = stat(&metadata);
        assert_eq!((stat.size, stat.link_count), (0, 1));
        assert_eq!(stat.data_access_timestamp.map(|time| time.seconds), Some(0));
    }

    #[test]
    fn a_hash_holds_all_of_the_identity() {
        let one = hash(Identity([1; 16]));
        let mut bytes = [1; 16];
        bytes[15] = 2;
        let other = hash(Identity(bytes));
        assert_eq!(one.lower, other.lower);
        assert_ne!(one.upper, other.upper);
    }
}
