//! The commit of a block, step by step. `docs/staging-format.md` ("Orders") describes the same in words.
//!
//! Invariant between the steps, even if the process is killed there: a record that can be read names bytes that are in
//! the slot. So the record is written after the bytes. The next start sweeps bytes without a record.
//!
//! Followers see nothing before the record. It is published after it was written, since an update says "read this
//! record again". Its number is in the record, and is taken only once the bytes are written: followers wait for each
//! number in turn, so a number that is taken and not published would hide all later ones from them.

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

/// Commits a block. In a persistent directory, a block with a key gets a record.
///
/// # Errors
/// After an error nothing remains of the block, and its space is free again or counted as leaked.
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

    // 6. From here on, this process itself can use the block.
    let place = class
        .opened()
        .map(|file| (file.clone(), class.offset(slot)));
    Ok(Extent::own(reservation, place, slot))
}

/// Writes the record of the block in a slot, and publishes it.
fn record(volume: &Volume, at: SlotAddress, key: &Key, len: usize) -> Result<(), StagingError> {
    let (Some(index), Some(journal)) = (volume.classes[at.class].index(), volume.journal()) else {
        // A temporary directory has no records.
        return Ok(());
    };

    // 4. Write the record, after reserving its unit of the index file.
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

    // 5. Publish it, even if it could not be written: the number is taken.
    journal.publish(change, at);
    if written.is_ok() {
        reached(Step::CommitPublished);
    }
    written
}
