//! A buffer that comes back, and what is handed out of it.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::{
    buffers::{Buffers, KEPT, LEAST, LENGTH},
    sync::lock,
};

fn filled(buffers: &Arc<Buffers>, len: usize, byte: u8) -> Bytes {
    let read = buffers.fill(len, |into| {
        into.fill(byte);
        Ok(true)
    });
    read.unwrap().unwrap()
}

#[test]
fn a_buffer_is_used_again_and_shows_only_what_was_read_into_it() {
    let buffers = Arc::new(Buffers::default());
    let first = filled(&buffers, LENGTH, 1);
    let at = first.as_ptr();
    let tail = first.slice(LENGTH - 10..);
    drop(first);
    assert!(lock(&buffers.free).is_empty(), "a part of it is held");
    drop(tail);
    let second = filled(&buffers, LEAST, 2);
    assert_eq!((second.as_ptr(), &*second), (at, &[2; LEAST][..]));
}

#[test]
fn so_many_are_kept_and_small_and_large_reads_have_their_own() {
    let buffers = Arc::new(Buffers::default());
    let many: Vec<_> = (0..2 * KEPT)
        .map(|n| filled(&buffers, LENGTH, n as u8))
        .collect();
    drop(many);
    assert_eq!(lock(&buffers.free).len(), KEPT);
    for len in [0, 1, LEAST - 1, LENGTH + 1] {
        assert_eq!(filled(&buffers, len, 7), vec![7; len]);
        assert_eq!(lock(&buffers.free).len(), KEPT);
    }
}

#[test]
fn one_that_was_not_filled_comes_back_too() {
    let buffers = Arc::new(Buffers::default());
    assert!(buffers.fill(LENGTH, |_| Ok(false)).unwrap().is_none());
    let failed = buffers.fill(LENGTH, |_| Err(io::ErrorKind::Other.into()));
    assert!(failed.is_err());
    assert_eq!(lock(&buffers.free).len(), 1);
}
