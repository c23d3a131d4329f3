//! Tests that a CAR is at its destination whole or not at all.

use std::os::unix::fs::{PermissionsExt, symlink};

use multihash_codetable::{Code, MultihashDigest};

use super::*;
use crate::scan::parse_car;

fn cid(block: &[u8]) -> Cid {
    Cid::new_v1(0x55, Code::Sha2_256.digest(block))
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_roots_need_not_be_the_expected_ones() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.car");
    let (one, two) = (cid(b"one"), cid(b"two"));
    let v0 = Cid::new_v0(*one.hash()).unwrap();
    for roots in [vec![one], vec![v0], vec![], vec![one, two, v0]] {
        let mut writer = CarWriter::create(&path, &[two]).unwrap();
        writer.put(&one, b"one").unwrap();
        writer.put(&two, b"two").unwrap();
        writer.finish(&roots).unwrap();
        let found = parse_car(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(found.roots, roots);
        assert_eq!(found.sections.len(), 2);
        assert_eq!(names(directory.path()), ["a.car"]);
    }
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.car");
    fs::write(&path, "before").unwrap();
    let mut writer = CarWriter::create(&path, &[]).unwrap();
    writer.put(&cid(b"one"), b"one").unwrap();
    assert_eq!(names(directory.path()).len(), 2);
    drop(writer);
    assert_eq!(names(directory.path()), ["a.car"]);
    assert_eq!(fs::read(&path).unwrap(), b"before");
}

#[test]
fn the_car_has_the_permissions_of_any_new_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.car");
    CarWriter::create(&path, &[]).unwrap().finish(&[]).unwrap();
    let plain = directory.path().join("plain");
    File::create(&plain).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
}

#[test]
fn what_is_no_file_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path(), Path::new("/dev/null")] {
        let error = CarWriter::create(path, &[]).unwrap_err();
        assert!(
            matches!(&error, CarError::DestinationNotAFile { path: p } if p == path),
            "{error:?}"
        );
    }
    let below_a_file = directory.path().join("file");
    File::create(&below_a_file).unwrap();
    let error = CarWriter::create(below_a_file.join("a.car"), &[]).unwrap_err();
    assert!(matches!(error, CarError::Io { .. }), "{error:?}");
    let missing = directory.path().join("missing/a.car");
    let error = CarWriter::create(missing, &[]).unwrap_err();
    assert!(matches!(error, CarError::Io { .. }), "{error:?}");
    assert_eq!(names(directory.path()), ["file"]);
}

#[test]
fn a_symlink_stays_and_its_target_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target.car");
    let link = directory.path().join("link.car");
    File::create(&target).unwrap();
    symlink("target.car", &link).unwrap();
    CarWriter::create(&link, &[]).unwrap().finish(&[]).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(parse_car(&fs::read(&target).unwrap()).is_ok());
}

#[test]
fn a_block_over_the_limit_is_refused_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.car");
    let mut writer = CarWriter::create(&path, &[]).unwrap();
    let error = writer.put(&cid(b""), &vec![0; MAX_BLOCK + 1]).unwrap_err();
    assert!(
        matches!(error, CarError::BlockTooLarge { length, .. } if length == MAX_BLOCK + 1),
        "{error:?}"
    );
    writer.put(&cid(b"one"), b"one").unwrap();
    writer.finish(&[]).unwrap();
    assert_eq!(
        parse_car(&fs::read(&path).unwrap()).unwrap().sections.len(),
        1
    );
}
