//! Memory does not grow with the size of what is imported or opened. There is one test, because the peak is that of
//! the whole process.

use std::{fs::File, ops::ControlFlow, os::unix::fs::FileExt};

use pinner_car::{CarPinner, ImportOptions, import, import_to_car};
use test_support::memory::peak_bytes;

const MIB: u64 = 1 << 20;

#[test]
fn a_large_file_and_a_large_car_take_little_memory() {
    let Some(before) = peak_bytes() else {
        println!("NOT RUN: there is no /proc/self/status here");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let go = |_| ControlFlow::Continue(());

    // A gibibyte of leaves that all differ, in a sparse file that takes no room on the disk.
    let large = temporary.path().join("large");
    let file = File::create(&large).unwrap();
    file.set_len(1024 * MIB).unwrap();
    for leaf in 0..1024 {
        file.write_all_at(&leaf.to_string().into_bytes(), leaf * MIB)
            .unwrap();
    }
    let imported = import(&large, &ImportOptions::default(), |_, _| Ok(()), go).unwrap();
    assert_eq!((imported.blocks, imported.bytes), (1025, 1024 * MIB));

    // A CAR many times as large as the memory that is allowed, written and opened.
    file.set_len(256 * MIB).unwrap();
    let car = temporary.path().join("large.car");
    let imported = import_to_car(&large, &car, &ImportOptions::default(), go).unwrap();
    let pinner = CarPinner::open_blocking([&car]).unwrap();
    assert_eq!(pinner.len() as u64, imported.blocks);
    assert_eq!(pinner.total_bytes(), imported.block_bytes);

    let grown = peak_bytes().unwrap() - before;
    assert!(grown < 16 * MIB, "the peak grew by {grown} bytes");
}
