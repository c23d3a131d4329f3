//! The sweep at a start: it removes files and bytes that an earlier run left when it was killed. Also the names of all
//! files.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    ops::Range,
};

use super::{
    index::{IndexFile, name as index_name, offset},
    journal::CHANGES,
    layout::LAYOUT,
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
        } else if !ours().any(|ours| ours == name) {
            tracing::warn!(
                // coverage: no test listens to warnings.
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
    [LAYOUT, CHANGES]
        .map(str::to_owned)
        .into_iter()
        .chain(of_classes)
}

/// Punches the units of an index file that hold no record of these slots.
pub(crate) fn index(file: &File, unit: u64, live: &[u32]) -> io::Result<()> {
    let units: HashSet<u64> = live.iter().map(|slot| offset(*slot) / unit).collect();
    for range in platform::data_ranges(file)? {
        for n in range.start / unit..range.end.div_ceil(unit) {
            if !units.contains(&n) {
                platform::punch(file, n * unit, unit)?;
            }
        }
    }
    Ok(())
}

/// Punches all data of a slot file that is not covered: `covered` has, for each slot with a block, the length in bytes
/// of its covered beginning. Returns the slots that could not be punched because they are leased, each with the number
/// of bytes that are allocated in it.
pub(crate) fn slots(
    file: &File,
    class_bytes: u64,
    unit: u64,
    covered: &HashMap<u32, u64>,
    index: &IndexFile,
) -> io::Result<HashMap<u32, u64>> {
    let mut lost = HashMap::new();
    for range in platform::data_ranges(file)? {
        // The last unit of a file that somebody cut short is allocated as a whole, and a hole in a part of it frees nothing.
        let end = range.end.next_multiple_of(unit);
        for n in range.start / class_bytes..end.div_ceil(class_bytes) {
            let start = n * class_bytes;
            let slot = u32::try_from(n).map_err(|_| io::ErrorKind::FileTooLarge)?;
            let kept = covered.get(&slot).copied();
            let from = range.start.max(start + kept.unwrap_or(0));
            let stray: Range<u64> = from..end.min(start + class_bytes);
            if stray.is_empty() {
                continue;
            }
            // The bytes behind a block cannot be leased, so they need no claim.
            let free = kept.is_some() || index.claim(slot)?;
            if free {
                platform::punch(file, stray.start, stray.end - stray.start)?;
            } else {
                *lost.entry(slot).or_insert(0) += stray.end - stray.start;
            }
            if kept.is_none() {
                index.release(slot);
            }
        }
    }
    Ok(lost)
}
