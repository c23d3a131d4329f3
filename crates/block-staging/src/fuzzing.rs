//! What the fuzz targets reach of this crate beyond its interface.

use crate::{
    class::{CLASSES, class_bytes},
    disk::record::{RECORD_LEN, Record},
};

/// The index record in `bytes`, as it is read at slot `slot` of class number `class`: whether there is one.
///
/// # Panics
/// Where a record breaks what the rest of the crate builds on.
pub fn decode_record(bytes: &[u8; RECORD_LEN], class: usize, slot: u32) -> bool {
    let Some(record) = Record::decode(bytes, class, slot) else {
        return false;
    };
    assert!(class < CLASSES);
    assert!((1..=class_bytes(class)).contains(&u64::from(record.len)));
    assert_eq!(record.encode(class, slot), *bytes);
    true
}
