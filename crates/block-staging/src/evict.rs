//! The eviction of a block, step by step. `docs/staging-format.md` ("Orders") describes the same in words.
//!
//! Invariant between the steps, even if the process is killed there: a record that can be read names bytes that are in
//! the slot. So the record is cleared before the bytes are punched. The next start sweeps bytes without a record.
//!
//! Followers: the claim prevents new leases, and fails if there is one, so nothing is punched that anybody reads. The
//! change is published after the record is cleared, since an update says "read this record again", and a follower that
//! read it sooner would learn the block anew. It is published before the slot can be taken again, so that the updates
//! of one slot come in the order of its changes.

use std::io;

use crate::{
    class::SlotAddress,
    reservation::Reservation,
    steps::{Step, reached},
    sync::lock,
    volume::{Unfreed, Volume},
};

/// Evicts the block in a slot. Its space is given back with `reservation`, or counted as leaked until it can be
/// [freed](retry).
pub(crate) fn evict(volume: &Volume, at: SlotAddress, reservation: &mut Reservation) {
    let freed = steps(volume, at, reservation.charge());
    conclude(volume, at, reservation, freed);
}

/// Undoes a commit that has no readable record: nobody else can have found the slot.
pub(crate) fn undo(volume: &Volume, at: SlotAddress, reservation: &mut Reservation) {
    let punched = volume.classes[at.class].punch(at.slot, reservation.charge());
    conclude(volume, at, reservation, punched);
}

/// Tries again to free the slots that could not be freed. Returns whether any was freed.
pub(crate) fn retry(volume: &Volume) -> bool {
    let mut unfreed = lock(&volume.unfreed);
    let before = unfreed.len();
    unfreed.retain(|lost| {
        let freed = steps(volume, lost.at, lost.charge);
        if freed.is_ok() {
            volume.classes[lost.at.class].free_lost(lost.at.slot);
            volume.space.freed(lost.charge);
        }
        freed.is_err()
    });
    unfreed.len() < before
}

/// Claims a slot against all other processes. Returns whether none leases it. An earlier claim stays in force.
pub(crate) fn claim(volume: &Volume, at: SlotAddress) -> io::Result<bool> {
    match volume.classes[at.class].index() {
        Some(index) => index.claim(at.slot),
        None => Ok(true),
    }
}

/// Performs steps 1 to 6. After an error the bytes may still be there, and the slot has to stay out of use.
fn steps(volume: &Volume, at: SlotAddress, charge: u64) -> io::Result<()> {
    let class = &volume.classes[at.class];
    let Some(index) = class.index() else {
        // In a temporary directory, nobody else knows of the slot.
        return class.punch(at.slot, charge);
    };

    // 1. Claim the slot. Replacement has claimed it already, before it chose the block. A block with wrong bytes may be
    //    leased: its record is cleared all the same, so that nobody finds it any more, and its bytes stay until the
    //    lease ends.
    let claimed = claim(volume, at);
    reached(Step::SlotClaimed);

    let freed = (|| {
        // 2. Clear the record.
        let had_record = index.clear(at.slot)?;
        if had_record {
            reached(Step::RecordCleared);
        }

        // 3. Punch the record's unit of the index, if the record was the last in it.
        if index.give_back_unit(&volume.space, at.slot) {
            reached(Step::UnitPunched);
        }

        // 4. Publish that the record has changed, if there was one.
        if let Some(journal) = volume.journal().filter(|_| had_record) {
            journal.publish(journal.number(), at);
            reached(Step::EvictionPublished);
        }

        // 5. Punch the slot, unless a follower leases it.
        if !claimed? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        class.punch(at.slot, charge)?;
        reached(Step::SlotPunched);
        Ok(())
    })();

    // 6. Release the claim, before the slot is free: all threads of this process share one claim, and the eviction of
    //    the slot's next block must not lose it.
    index.release(at.slot);
    reached(Step::ClaimReleased);
    freed
}

/// Step 7: frees the slot, and lets its space go back with the reservation, in this order (I2). After an error it keeps
/// both.
fn conclude(
    volume: &Volume,
    at: SlotAddress,
    reservation: &mut Reservation,
    freed: io::Result<()>,
) {
    let class = &volume.classes[at.class];
    match freed {
        Ok(()) => class.free(at.slot),
        Err(_) => {
            class.lose();
            lock(&volume.unfreed).push(Unfreed {
                at,
                charge: reservation.leak(),
            });
        }
    }
}
