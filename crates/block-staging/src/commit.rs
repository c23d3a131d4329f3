//! The commit of a block, step by step. `docs/staging-format.md` ("Orders") is the same in words.
//!
//! What holds between the steps, whoever is killed there: a record that can be read names bytes that stand. So the
//! record comes after the bytes. What has no record yet, the next start sweeps.
//!
//! What followers see: nothing before the record. It is published after it was written, since an update says
//! "read this record again". Its number is in the record, and is taken no sooner than the bytes are written: followers
//! wait for each number in turn, so one that is taken and not published keeps them from all that come after it.

use crate::{
    class::SlotAddress,
    disk::record::Record,
    error::StagingError,
    evict,
    extent::Extent,
    key::Key,
    reservation::Reservation,
    steps::{Step, reached},
    volume::Volume,
};

/// Commits a block; with a key it has a record, in a persistent directory.
///
/// # Errors
/// Nothing of the block is left, and its space is free again, or counted as leaked.
pub(crate) fn commit(
    // 1. The space is reserved (I2).
    mut reservation: Reservation,
    key: Option<&Key>,
    bytes: &[u8],
) -> Result<Extent, StagingError> {
    if bytes.is_empty() {
        return Ok(Extent::own(reservation, None, 0));
    }
    let volume = reservation.volume().clone();
    let number = volume.class(bytes.len() as u64);
    let class = &volume.classes[number];

    // 2. Take a slot.
    let slot = class.take(&volume.dir)?;
    reached(Step::SlotTaken);
    let at = SlotAddress {
        class: number,
        slot,
    };

    // 3. Write the bytes.
    let written = class.write(slot, bytes, reservation.charge());
    let committed = written.and_then(|()| {
        reached(Step::BytesWritten);

        // 4. and 5.
        key.map_or(Ok(()), |key| record(&volume, at, key, bytes.len()))
    });
    if let Err(error) = committed {
        evict::undo(&volume, at, &mut reservation);
        return Err(error);
    }

    // 6. From here on the process itself knows of the block.
    let place = class
        .opened()
        .map(|file| (file.clone(), class.offset(slot)));
    Ok(Extent::own(reservation, place, slot))
}

/// Writes the record of the block in a slot, and publishes it.
fn record(volume: &Volume, at: SlotAddress, key: &Key, len: usize) -> Result<(), StagingError> {
    let (Some(index), Some(journal)) = (volume.classes[at.class].index(), volume.journal()) else {
        // A temporary directory.
        return Ok(());
    };

    // 4. Write the record, in a unit of the index file that is reserved before.
    let change = journal.number();
    let record = Record {
        key: *key,
        // At most `MAX_STAGED`.
        len: len as u32,
        change,
    };
    let written = index.put(&volume.dir, &volume.space, at.slot, &record);
    if written.is_ok() {
        reached(Step::RecordWritten);
    }

    // 5. Publish it. Also where it could not be written: the number is taken.
    journal.publish(change, at);
    if written.is_ok() {
        reached(Step::CommitPublished);
    }
    written
}
