//! Tries out a directory's file system: whether it punches holes, in what units it allocates, and how it can be read
//! without waiting. It leaves nothing behind.

use std::{fs::File, os::unix::fs::FileExt};

#[cfg(target_os = "linux")]
use super::linux::{punch, read_way};
#[cfg(not(target_os = "linux"))]
use super::other::{punch, read_way};
use super::ways::{ReadWay, allocated};
use crate::{
    class::{MAX_STAGED, MIN_CLASS},
    error::StagingError,
    lock_dir::StagingDir,
    space::overhead::Metadata,
};

/// The name of the file for the trial. It is removed at once.
pub(crate) const PROBE: &str = "probe";

/// The properties of a file system that can carry the layout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suitable {
    /// Its allocation unit, in bytes: a power of two, at least 4096.
    pub(crate) unit: u64,
    pub(crate) kind: Metadata,
    pub(crate) read_way: ReadWay,
}

/// Tries out the file system of `dir`. It takes one unit of space for a moment.
pub(crate) fn probe(dir: &StagingDir) -> Result<Suitable, StagingError> {
    let file = dir
        .create_file(PROBE)
        .map_err(|error| StagingError::of("creation", PROBE, error))?;
    let tried = try_out(dir, &file);
    // If this fails, an empty file remains, which is removed with the directory.
    let _ = dir.remove_file(PROBE);
    tried
}

fn try_out(dir: &StagingDir, file: &File) -> Result<Suitable, StagingError> {
    let failed = |operation| move |error| StagingError::of(operation, PROBE, error);
    let unsuitable = |why| StagingError::Unsuitable {
        dir: dir.path().to_owned(),
        why,
    };
    // The write is inside the file's length, like those of slots, since XFS preallocates beyond the end.
    let len = MAX_STAGED as u64;
    file.set_len(len).map_err(failed("set_len"))?;
    file.write_all_at(&[1], 0).map_err(failed("write"))?;
    let one_byte = allocated(file).map_err(failed("stat"))?;
    let read_way = read_way(file).map_err(failed("read"))?;
    punch(file, 0, len).map_err(|error| match error.kind() {
        std::io::ErrorKind::Unsupported | std::io::ErrorKind::InvalidInput => {
            unsuitable("cannot punch holes")
        }
        // coverage: needs a disk that fails, or a file system that lies.
        _ => StagingError::of("punch", PROBE, error),
    })?;
    let left = allocated(file).map_err(failed("stat"))?;
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
