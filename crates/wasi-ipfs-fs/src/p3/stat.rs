//! How a node looks to a guest: its type, stat and hash. Everything comes from the content, nothing from the host or
//! the clock, so that a guest sees the same everywhere.

use wasmtime_wasi::p3::bindings::{
    clocks::system_clock::Instant,
    filesystem::types::{DescriptorStat, DescriptorType, MetadataHashValue},
};

use crate::node::{Identity, Kind, Metadata, Mtime};

/// The epoch, which stands in for a missing time.
const EPOCH: Mtime = Mtime {
    seconds: 0,
    nanos: 0,
};

/// The type of an opened or looked-up node.
pub(crate) fn node_type(kind: Kind) -> DescriptorType {
    match kind {
        Kind::File => DescriptorType::RegularFile,
        Kind::Dir => DescriptorType::Directory,
        Kind::Symlink => DescriptorType::SymbolicLink,
    }
}

/// The type of an entry in a listing. An unknown one is `Other(None)`, as wasmtime-wasi has it.
pub(crate) fn entry_type(kind: Option<Kind>) -> DescriptorType {
    kind.map_or(DescriptorType::Other(None), node_type)
}

/// A node's stat. All three times are UnixFS's mtime, or the epoch. A directory's size is 0. The link count is 1, since
/// the parents of a node in a DAG cannot be counted.
pub(crate) fn stat(metadata: &Metadata) -> DescriptorStat {
    let time = Some(time(metadata.mtime.unwrap_or(EPOCH)));
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

/// Times are signed in this preview, so those before 1970 are shown too.
fn time(mtime: Mtime) -> Instant {
    Instant {
        seconds: mtime.seconds,
        nanoseconds: mtime.nanos.min(999_999_999),
    }
}

/// The value by which a guest tells nodes apart, derived from the CID. It is the same in preview 2.
pub(crate) fn hash(identity: Identity) -> MetadataHashValue {
    let value = u128::from_le_bytes(identity.0);
    MetadataHashValue {
        lower: value as u64,
        upper: (value >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::stat;
    use crate::node::{Kind, Metadata, Mtime};

    #[test]
    fn times_before_1970_are_shown() {
        for (seconds, nanos, shown) in [(5, 7, 7), (-1, 7, 7), (i64::MIN, u32::MAX, 999_999_999)] {
            let mut metadata = Metadata::new(Kind::File, 1);
            metadata.mtime = Some(Mtime { seconds, nanos });
            let time = stat(&metadata).data_modification_timestamp;
            let time = time.expect("a time is always given");
            assert_eq!((time.seconds, time.nanoseconds), (seconds, shown));
        }
    }

    #[test]
    fn a_directory_has_no_size_and_no_time() {
        let stat = stat(&Metadata::new(Kind::Dir, 7));
        assert_eq!((stat.size, stat.link_count), (0, 1));
        assert_eq!(stat.data_access_timestamp.map(|time| time.seconds), Some(0));
    }
}
