//! How a node of ours looks to a guest of preview 1: the same as in preview 2, in other types.

use wasmtime_wasi::{
    p1::types::{Filestat, Filetype, Lookupflags},
    p2::bindings::clocks::wall_clock::Datetime,
};

use crate::{
    node::{Identity, Kind, Metadata, Symlinks},
    p2::stat,
};

/// The device number of every node, as wasmtime-wasi has it for native ones.
const DEVICE: u64 = 1;

pub(super) fn filestat(metadata: &Metadata, identity: Identity) -> Filestat {
    let of = stat::stat(metadata);
    Filestat {
        dev: DEVICE,
        ino: ino(identity),
        filetype: filetype(metadata.kind),
        nlink: of.link_count,
        size: of.size,
        atim: of.data_access_timestamp.map_or(0, nanoseconds),
        mtim: of.data_modification_timestamp.map_or(0, nanoseconds),
        ctim: of.status_change_timestamp.map_or(0, nanoseconds),
    }
}

/// A node's serial number: half of what preview 2 has.
pub(super) fn ino(identity: Identity) -> u64 {
    stat::hash(identity).lower
}

fn filetype(kind: Kind) -> Filetype {
    match kind {
        Kind::File => Filetype::RegularFile,
        Kind::Dir => Filetype::Directory,
        Kind::Symlink => Filetype::SymbolicLink,
    }
}

/// Preview 1 counts nanoseconds, up to the year 2554. A later time is shown as that year.
fn nanoseconds(time: Datetime) -> u64 {
    let seconds = time.seconds.saturating_mul(1_000_000_000);
    seconds.saturating_add(time.nanoseconds.into())
}

/// Whether a symlink at a path's end is followed.
pub(super) fn last(flags: Lookupflags) -> Symlinks {
    if flags.contains(Lookupflags::SYMLINK_FOLLOW) {
        Symlinks::Follow
    } else {
        Symlinks::NoFollow
    }
}
