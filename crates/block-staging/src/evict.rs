//! The eviction of a block, step by step. `docs/staging-format.md` ("Orders") is the same in words.
//!
//! What holds between the steps, whoever is killed there: a record that can be read names bytes that stand. So the
//! record goes before the bytes. What is left without a record, the next start sweeps.
//!
//! What followers see: the claim keeps new leases away, and fails where there is one, so nothing is punched that
//! anybody reads. The change is published after the record is cleared, since an update says "read this record again", and
//! a follower that read it sooner would learn the block anew. And it is published before the slot can be taken again,
//! so that the updates of one slot come in the order of its changes.

use std::io;

use crate::{
    class::SlotAddress,
    reservation::Reservation,
    steps::{Step, reached},
    sync::lock,
    volume::{Unfreed, Volume},
};

/// Evicts the block in a slot; its space goes back with `reservation`, or is counted as leaked until it
/// can be [freed](retry).
pub(crate) fn evict(volume: &Volume, at: SlotAddress, reservation: &mut Reservation) {
    let freed = steps(volume, at, reservation.charge());
    conclude(volume, at, reservation, freed);
}

/// Undoes a commit that did not come to its record: nobody else has seen the slot.
pub(crate) fn undo(volume: &Volume, at: SlotAddress, reservation: &mut Reservation) {
    let punched = volume.classes[at.class].punch(at.slot, reservation.charge());
    conclude(volume, at, reservation, punched);
}

/// Tries again to free what could not be freed: whether anything was.
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

/// Claims a slot against all other processes: whether none leases it. What is claimed already stays so.
pub(crate) fn claim(volume: &Volume, at: SlotAddress) -> io::Result<bool> {
    match volume.classes[at.class].index() {
        Some(index) => index.claim(at.slot),
        None => Ok(true),
    }
}

/// The steps. After an error the bytes may still be there, and the slot is to stay out of use.
fn steps(volume: &Volume, at: SlotAddress, charge: u64) -> io::Result<()> {
    let class = &volume.classes[at.class];
    let Some(index) = class.index() else {
        // A temporary directory: nobody else knows of the slot.
        return class.punch(at.slot, charge);
    };

    // 1. Claim the slot. Replacement has done so before it chose the block. A block that is wrong may be leased: then
    //    its record goes all the same, so that nobody finds it any more, and its bytes stay until the lease ends.
    let claimed = claim(volume, at);
    reached(Step::SlotClaimed);

    let freed = (|| {
        // 2. Clear the record.
        let had_record = index.clear(at.slot)?;
        if had_record {
            reached(Step::RecordCleared);
        }

        // 3. Punch the record's unit of the index, if that was the last in it.
        if index.give_back_unit(&volume.space, at.slot) {
            reached(Step::UnitPunched);
        }

        // 4. Publish that the record has changed, where it has.
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

    // 6. Give the claim back. Before the slot is free: the claim is one for all threads of this process, and the next
    //    block's eviction must not lose its own.
    index.release(at.slot);
    reached(Step::ClaimReleased);
    freed
}

/// 7. The slot is free, and its space goes back with the reservation: in this order (I2). Or both are kept.
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
