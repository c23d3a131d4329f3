//! The steps of a commit, of an eviction and of a warm start in a persistent staging directory, in their order: the
//! tests end the process at each. Outside of tests nothing is left of this.

/// A step that has just been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A slot has been taken for a block; nothing is written.
    SlotTaken,
    /// Its bytes are written.
    DataWritten,
    /// Its record is written.
    RecordWritten,
    /// Those that read along have been told.
    ChangeTold,
    /// A record is cleared; its slot's bytes are there.
    RecordCleared,
    /// A unit of the index file in which there was no record left is punched.
    UnitPunched,
    /// The slot's bytes are punched; its space is still reserved.
    SlotPunched,
    /// At a start: a record that is not to stay is cleared.
    DroppedAtStart,
    /// At a start: an index file is swept.
    IndexSwept,
    /// At a start: a slot file is swept.
    SlotsSwept,
}

#[cfg(test)]
impl Step {
    /// All of them.
    pub(crate) const ALL: [Self; 10] = [
        Self::SlotTaken,
        Self::DataWritten,
        Self::RecordWritten,
        Self::ChangeTold,
        Self::RecordCleared,
        Self::UnitPunched,
        Self::SlotPunched,
        Self::DroppedAtStart,
        Self::IndexSwept,
        Self::SlotsSwept,
    ];
}

/// Says that a step has been done.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn reached(_step: Step) {}

#[cfg(test)]
pub(crate) use super::tests::crash::reached;
