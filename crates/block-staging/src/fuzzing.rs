//! The internals of this crate that the fuzz targets reach.

use crate::{
    class::{CLASSES, class_bytes},
    disk::record::{RECORD_LEN, Record},
};

/// Returns whether `bytes` are a valid index record for slot `slot` of class number `class`.
///
/// # Panics
/// If a decoded record violates an assumption of the rest of the crate.
pub fn decode_record(bytes: &[u8; RECORD_LEN], class: usize, slot: u32) -> bool {
    let Some(record) = Record::decode(bytes, class, slot) else {
        return false;
    };
    assert!(class < CLASSES);
    assert!((1..=class_bytes(class)).contains(&u64::from(record.len)));
    assert_eq!(record.encode(class, slot), *bytes);
    true
}
