//! The defects of a CAR that can be read all the same, without what is defective.

use pinner_api::MAX_BLOCK;

/// A part of a CAR that cannot be used. The rest can. Offsets are in bytes from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The file ends before the end that it announces: it was cut short. The part that is not whole is lost.
    #[error("it is cut short: {expected} at offset {offset} does not fit before the end at {end}")]
    CutShort {
        /// The offset of the part that is not whole.
        offset: u64,
        /// The part that was expected there.
        expected: String,
        /// The end of the file, or of its CARv2 payload.
        end: u64,
    },
    /// A CARv2 whose writer never filled in the header. Its data may be whole.
    #[error("it was never finished: its header does not say where its data ends")]
    Unfinished,
    /// A section's length is not a number, so that nothing behind it can be found.
    #[error("no section can be found from offset {offset} on: {reason}")]
    NoLength {
        /// The offset at which a section should start with its length.
        offset: u64,
        /// The defect of the length.
        reason: &'static str,
    },
    /// A section's length cannot be right.
    #[error("the section at offset {offset} has a wrong length: {reason}")]
    WrongLength {
        /// The offset of the section, which starts with its length.
        offset: u64,
        /// The defect of the length.
        reason: &'static str,
    },
    /// A section holds a block over [`MAX_BLOCK`].
    #[error(
        "the section at offset {offset} has {length} bytes; blocks with more than {MAX_BLOCK} cannot be read"
    )]
    TooLarge {
        /// The offset of the section, which starts with its length.
        offset: u64,
        /// The length of the section in bytes, CID included.
        length: u64,
    },
    /// A section does not start with a CID.
    #[error("the section at offset {offset} does not start with a CID: {reason}")]
    NoCid {
        /// The offset of the section, which starts with its length.
        offset: u64,
        /// The defect of the CID.
        reason: String,
    },
    /// A root in the header is not a CID.
    #[error("root {number} in the header is not a CID: {reason}")]
    NoRoot {
        /// The number of the root, from 1.
        number: usize,
        /// The defect of the CID.
        reason: String,
    },
}

/// The defects of one CAR: their number, and the first few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    first: Vec<Defect>,
    count: u64,
}

impl Defects {
    /// The number of defects that are kept of each CAR. A file may consist of nothing else.
    const KEPT: usize = 8;

    /// The first defects of the file, in order.
    pub fn first(&self) -> &[Defect] {
        &self.first
    }

    /// The number of all defects.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn note(&mut self, defect: Defect) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(defect);
        }
    }
}
