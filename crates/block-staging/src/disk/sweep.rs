//! The sweep at a start: it removes files and bytes that an earlier run left when it was killed. Also the names of all
//! files.

use std::{fs::File, io, iter::Peekable, ops::Range};

use super::{
    index::{IndexFile, name as index_name, offset},
    journal::CHANGES,
    layout::LAYOUT,
    shares::{SEATS, SHARES, part_name},
    slots::name as slots_name,
};
use crate::{
    class::{CLASSES, class_bytes},
    error::StagingError,
    lock_dir::StagingDir,
    platform::{self, probe::PROBE},
};

/// Removes the file that a killed start left, and warns of files that are not this library's.
pub(crate) fn tidy(dir: &StagingDir) -> Result<(), StagingError> {
    let failed = |error| StagingError::of("listing", ".", error);
    for entry in dir.handle().entries().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        if name == PROBE {
            dir.remove_file(&name)
                .map_err(|error| StagingError::of("removal", &name, error))?;
        } else if !ours().chain(parts()).any(|ours| ours == name) {
            tracing::warn!(
                directory = %dir.path().display(),
                file = %name,
                "a file in the staging directory is not this library's; it is left alone and not counted in the budget"
            );
        }
    }
    Ok(())
}

/// The names of all files of this library that a persistent directory can have.
pub(crate) fn ours() -> impl Iterator<Item = String> {
    let classes = (0..CLASSES).map(class_bytes);
    let of_classes = classes.flat_map(|class| [slots_name(class), index_name(class)]);
    [LAYOUT, SHARES, CHANGES]
        .map(str::to_owned)
        .into_iter()
        .chain(of_classes)
}

/// The names of the directories that a persistent directory can have, one for each seat.
pub(crate) fn parts() -> impl Iterator<Item = String> {
    (1..=SEATS).map(part_name)
}

/// Punches the units of an index file that hold no record of these slots, which are sorted.
pub(crate) fn index(file: &File, unit: u64, live: &[(u32, u32)]) -> io::Result<()> {
    let mut units = live.iter().map(|(slot, _)| offset(*slot) / unit).peekable();
    for range in platform::data_ranges(file) {
        let range = range?;
        for n in range.start / unit..range.end.div_ceil(unit) {
            if up_to(&mut units, |unit| *unit, n).is_none() {
                platform::punch(file, n * unit, unit)?;
            }
        }
    }
    Ok(())
}

/// Skips what comes before `key` in a sorted sequence, and returns the first that has that key.
fn up_to<T: Copy>(
    sorted: &mut Peekable<impl Iterator<Item = T>>,
    key: impl Fn(&T) -> u64,
    wanted: u64,
) -> Option<T> {
    while sorted.next_if(|next| key(next) < wanted).is_some() {}
    sorted.peek().copied().filter(|next| key(next) == wanted)
}

/// Punches all data of a slot file that is not covered: `live` has the slots with a block, each with the block's length
/// in bytes, and is sorted. Returns the slots that could not be punched because they are leased, each with the number of
/// bytes that are allocated in it, sorted.
pub(crate) fn slots(
    file: &File,
    class_bytes: u64,
    unit: u64,
    live: &[(u32, u32)],
    index: &IndexFile,
) -> io::Result<Vec<(u32, u64)>> {
    let mut lost: Vec<(u32, u64)> = Vec::new();
    let mut live = live.iter().copied().peekable();
    for range in platform::data_ranges(file) {
        let range = range?;
        // The last unit of a file that somebody cut short is allocated as a whole, and a hole in a part of it frees nothing.
        let end = range.end.next_multiple_of(unit);
        for n in range.start / class_bytes..end.div_ceil(class_bytes) {
            let start = n * class_bytes;
            let slot = u32::try_from(n).map_err(|_| io::ErrorKind::FileTooLarge)?;
            let kept = up_to(&mut live, |(slot, _)| u64::from(*slot), n);
            let covered = kept.map_or(0, |(_, len)| u64::from(len).next_multiple_of(unit));
            let from = range.start.max(start + covered);
            let stray: Range<u64> = from..end.min(start + class_bytes);
            if stray.is_empty() {
                continue;
            }
            // The bytes behind a block cannot be leased, so they need no claim.
            let free = kept.is_some() || index.claim(slot)?;
            let len = stray.end - stray.start;
            match (free, lost.last_mut()) {
                (true, _) => platform::punch(file, stray.start, len)?,
                // The slot has several ranges.
                (false, Some((last, bytes))) if *last == slot => *bytes += len,
                (false, _) => lost.push((slot, len)),
            }
            if kept.is_none() {
                index.release(slot);
            }
        }
    }
    Ok(lost)
}
