//! The system calls of staging that differ by operating system, and the abilities of a directory's file system.
//!
//! Linux has them all. Elsewhere there is no `punch`, so every directory is refused when it is tried out; the other
//! functions exist so that the crate builds.

#[cfg(target_os = "linux")]
mod cached;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
pub(crate) mod probe;
#[cfg(not(target_os = "linux"))]
mod unsupported;
pub(crate) mod ways;

#[cfg(target_os = "linux")]
pub(crate) use linux::{data_from, lock_range, punch, read_cached, read_cached_into, read_way};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{data_from, lock_range, punch, read_cached, read_cached_into, read_way};
pub(crate) use ways::{RangeLock, ReadWay, allocated};

/// The ranges of a file that have data, in order. Holes are between them.
pub(crate) fn data_ranges(
    file: &std::fs::File,
) -> impl Iterator<Item = std::io::Result<std::ops::Range<u64>>> {
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let range = data_from(file, at?).transpose();
        at = match &range {
            Some(Ok(range)) => Some(range.end),
            Some(Err(_)) | None => None,
        };
        range
    })
}
