//! The shape of a file's tree, and its CID, compared with another implementation's.

use std::{cell::RefCell, convert::Infallible};

use cid::Version;
use rust_unixfs::file::adder::{BalancedCollector, Chunker, FileAdder};

use super::*;
use crate::write::profile::{Layout, Profile};

/// Reads one byte at a time, with an interruption before each, as a pipe or a slow disk may.
struct Dripping<'a>(&'a [u8], bool);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = self.0.len().min(buffer.len()).min(1);
        self.0.read(&mut buffer[..length])
    }
}

fn layout(max_links: usize, leaves: Leaves, version: Version) -> Layout {
    Profile::default()
        .layout()
        .with_chunk_bytes(10)
        .with_max_links(max_links)
        .with_leaves(leaves)
        .with_cid_version(version)
}

fn blocks_of(content: impl Read, size_hint: u64, layout: Layout) -> Vec<Cid> {
    let found = RefCell::new(Vec::new());
    let mut writer = Writer::new(layout, |cid, _| {
        found.borrow_mut().push(cid);
        Ok::<_, Infallible>(())
    });
    let root = writer
        .file_with_progress(content, size_hint, Attributes::default(), &mut |_| Ok(()))
        .unwrap();
    assert_eq!(found.borrow().last(), Some(&root.cid()));
    found.into_inner()
}

/// Content of consecutive numbers, so that no two blocks are the same.
fn content(length: usize) -> Vec<u8> {
    (0..length)
        .flat_map(|n| (n as u32).to_le_bytes())
        .take(length)
        .collect()
}

/// Compares every tree shape that four links a node allow with another implementation's.
#[test]
fn trees_of_every_shape_are_those_of_rust_unixfs() {
    for version in [Version::V0, Version::V1] {
        for leaves in [Leaves::Raw, Leaves::DagPb] {
            let layout = layout(4, leaves, version);
            let chunks = [
                0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 20, 21, 63, 64, 65, 68, 69, 257,
            ];
            for length in chunks
                .into_iter()
                .flat_map(|n: usize| [n * 10, (n * 10).saturating_sub(3)])
            {
                let content = content(length);
                let mut adder = FileAdder::builder()
                    .with_chunker(Chunker::Size(10))
                    .with_collector(BalancedCollector::with_branching_factor(4))
                    .with_cid_version(version)
                    .with_raw_leaves(leaves == Leaves::Raw)
                    .build();
                let mut expected = Vec::new();
                let mut left = content.as_slice();
                while !left.is_empty() {
                    let (blocks, consumed) = adder.push(left);
                    expected.extend(blocks.map(|(cid, _)| cid.to_bytes()));
                    left = &left[consumed..];
                }
                expected.extend(adder.finish().map(|(cid, _)| cid.to_bytes()));
                for hint in [0, length as u64, 1_000_000] {
                    let ours: Vec<_> = blocks_of(content.as_slice(), hint, layout)
                        .iter()
                        .map(Cid::to_bytes)
                        .collect();
                    assert_eq!(
                        ours.last(),
                        expected.last(),
                        "{version:?} {layout:?} {length}"
                    );
                    assert_eq!(
                        ours.len(),
                        expected.len(),
                        "{version:?} {layout:?} {length}"
                    );
                }
            }
        }
    }
}

#[test]
fn how_the_bytes_arrive_does_not_show() {
    let layout = layout(3, Leaves::Raw, Version::V1);
    let content = content(95);
    assert_eq!(
        blocks_of(Dripping(&content, false), 0, layout),
        blocks_of(content.as_slice(), 95, layout)
    );
}

#[test]
fn a_read_that_fails_is_no_end_of_the_file() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let layout = layout(3, Leaves::Raw, Version::V1);
    let mut writer = Writer::new(layout, |_, _| Ok::<_, Infallible>(()));
    for good in [0, 10, 25] {
        let content = vec![1; good];
        let error = writer
            .file(content.chain(Failing), Attributes::default())
            .unwrap_err();
        assert!(matches!(error, FileError::Read(_)), "{error:?}");
    }
}
