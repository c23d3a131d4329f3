//! Tries a directory's file system out: whether it punches holes, in what units it allocates, and how it can be
//! read without waiting. It leaves nothing behind.

use std::{fs::File, os::unix::fs::FileExt};

use crate::lock_dir::StagingDir;

use super::{MIN_CLASS, StagingError, platform};

/// The name of the file that is tried out; removed at once.
pub(crate) const PROBE: &str = "probe";

/// How staged bytes can be read on a thread that must not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadWay {
    /// The kernel can be asked for what the page cache has (`RWF_NOWAIT`).
    Cached,
    /// The file system lives in memory: an ordinary read waits for nothing but, at worst, swap.
    Memory,
    /// Neither: every read belongs on a blocking thread. (overlayfs, for one.)
    Blocking,
}

/// What kind of metadata a file costs beyond its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// None that is taken from the same space (tmpfs).
    Free,
    /// A tree of extents that grows with fragmentation (ext4, XFS, Btrfs), in blocks of the file system.
    Extents,
}

/// A file system that can carry the layout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suitable {
    /// What it allocates at once, in bytes: a power of two, at least 4096.
    pub(crate) unit: u64,
    pub(crate) kind: Metadata,
    pub(crate) read_way: ReadWay,
}

/// Tries `dir` out. Takes one unit of its space for a moment.
pub(crate) fn probe(dir: &StagingDir) -> Result<Suitable, StagingError> {
    let file = dir
        .create_file(PROBE)
        .map_err(|error| StagingError::of("creation", PROBE, error))?;
    let tried = try_out(dir, &file);
    // What remains of a failed removal is an empty file, and the directory's own removal takes it.
    let _ = dir.remove_file(PROBE);
    tried
}

fn try_out(dir: &StagingDir, file: &File) -> Result<Suitable, StagingError> {
    let failed = |operation| move |error| StagingError::of(operation, PROBE, error);
    let unsuitable = |why| StagingError::Unsuitable {
        dir: dir.path().to_owned(),
        why,
    };
    // Inside the file's length, as slots are written: beyond its end, XFS allocates in advance.
    let len = super::MAX_STAGED as u64;
    file.set_len(len).map_err(failed("set_len"))?;
    file.write_all_at(&[1], 0).map_err(failed("write"))?;
    let one_byte = platform::allocated(file).map_err(failed("stat"))?;
    let read_way = platform::read_way(file).map_err(failed("read"))?;
    platform::punch(file, 0, len).map_err(|error| match error.kind() {
        std::io::ErrorKind::Unsupported | std::io::ErrorKind::InvalidInput => {
            unsuitable("cannot punch holes")
        }
        // coverage: needs a disk that fails, or a file system that lies.
        _ => StagingError::of("punch", PROBE, error),
    })?;
    let left = platform::allocated(file).map_err(failed("stat"))?;
    if left > 0 && left >= one_byte {
        return Err(unsuitable("frees nothing when a hole is punched"));
    }
    let block = rustix::fs::fstatvfs(file)
        .map_err(|errno| failed("statvfs")(errno.into()))?
        .f_frsize;
    Ok(Suitable {
        unit: one_byte.max(block).max(MIN_CLASS).next_power_of_two(),
        kind: match read_way {
            ReadWay::Memory => Metadata::Free,
            ReadWay::Cached | ReadWay::Blocking => Metadata::Extents,
        },
        read_way,
    })
}
