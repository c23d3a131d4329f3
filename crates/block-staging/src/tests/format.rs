//! The files of version 1 of the layout, byte by byte: every later writer finds the blocks of the first one, and brings
//! the directory up to date.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use multihash_codetable::{Code, MultihashDigest as _};

use super::*;
use crate::{
    Budget, Opened,
    class::JOURNAL_LEN,
    disk::{
        journal::{Journal, Reader, Updates},
        layout,
        record::Record,
    },
    open,
};

/// The record of `bytes(20_024, 3692)` in slot 0 of the smallest class, written by change 2300. Zeros follow.
const RECORD: &str = "\
    50535201d698dae1fc080000000000006c0e0000000000000020000000000000\
    12000000000000005bb059a6c15acc51494d848431c6351111d05c6154ace656\
    77dfe3fb7345e8e6";

/// The entry of change 2642, for slot 60 of class 1.
const ENTRY: &str = "520a0000000000013c000000d134a7ce";

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Creates a directory with one block, as an earlier version left it.
fn left(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("staging");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(path.join("layout"), "pinset staging layout 1\n").unwrap();
    fs::write(path.join("slots-4096"), bytes(20_024, 3692)).unwrap();
    let mut record = unhex(RECORD);
    record.resize(128, 0);
    fs::write(path.join("index-4096"), record).unwrap();
    let journal = fs::File::create(path.join("changes")).unwrap();
    journal.set_len(JOURNAL_LEN).unwrap();
    let place = 16 * (1 + 2642 % 1023);
    journal.write_all_at(&unhex(ENTRY), place).unwrap();
    path
}

#[test]
fn a_directory_of_the_first_version_opens_warm() {
    let dir = tempfile::tempdir().unwrap();
    let path = left(dir.path());
    let opened = open(&path, Budget::alone(8 << 20)).unwrap();
    let Opened::Writer(staging, earlier) = opened else {
        panic!("another process writes to it");
    };
    let warm: Vec<_> = earlier.collect();
    let block = bytes(20_024, 3692);
    assert_eq!(warm.len(), 1);
    assert_eq!(warm[0].key, Code::Sha2_256.digest(&block));
    assert_eq!(read(&warm[0].extent, 0, usize::MAX), block);
    assert_eq!(staging.usage().slots, 1);
    let layout = fs::read_to_string(path.join("layout")).unwrap();
    assert_eq!(layout, "pinset staging layout 2\n");
}

#[test]
fn a_writer_of_the_first_version_is_followed_and_nothing_staged_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = left(dir.path());
    let share = Budget::alone(8 << 20);
    let writers = private_dir::open(&path).unwrap();
    let writers = StagingDir::from_dir(writers, &path);
    assert!(layout::try_lock(&writers).unwrap());
    let Opened::Follower(follower) = open(&path, share.clone()).unwrap() else {
        panic!("two processes write to it");
    };
    let block = bytes(20_024, 3692);
    let key = Code::Sha2_256.digest(&block);
    let found = follower.lease(&key).unwrap().expect("it is found");
    assert_eq!(read(&found.extent, 0, usize::MAX), block);
    assert!(follower.own_part(&share).unwrap().is_none());
    assert!(!path.join("shares").exists());
    drop(writers);
    let (_staging, earlier) = follower.take_over(share).unwrap().expect("nobody writes");
    assert_eq!(earlier.len(), 1);
    assert!(path.join("shares").exists());
}

#[test]
fn zeros_in_place_of_the_layout_are_no_layout() {
    for zeros in [1, 24, 4096] {
        let dir = tempfile::tempdir().unwrap();
        let path = left(dir.path());
        fs::write(path.join("layout"), vec![0; zeros]).unwrap();
        let opened = open(&path, Budget::alone(8 << 20)).unwrap();
        let Opened::Writer(_staging, earlier) = opened else {
            panic!("another process writes to it");
        };
        assert_eq!(earlier.len(), 1);
        let layout = fs::read_to_string(path.join("layout")).unwrap();
        assert_eq!(layout, "pinset staging layout 2\n");
    }
}

#[test]
fn a_record_is_written_as_the_first_version_wrote_it() {
    let record = Record {
        key: Code::Sha2_256.digest(&bytes(20_024, 3692)),
        len: 3692,
        change: 2300,
    };
    let mut expected = unhex(RECORD);
    expected.resize(128, 0);
    assert_eq!(record.encode(0, 0)[..], expected);
}

#[test]
fn the_journal_goes_on_behind_what_the_first_version_wrote() {
    let dir = tempfile::tempdir().unwrap();
    left(dir.path());
    let dir = private_dir_of(dir.path());
    let mut reader = Reader::open(&dir).unwrap().unwrap();
    let journal = Journal::begin(&dir, 2300, JOURNAL_LEN).unwrap();
    assert_eq!(reader.updates().unwrap(), Updates::TooMany);
    assert_eq!(journal.number(), 2642 + 1 + 1023 + 1);
}
