//! The shape of a file's tree, and its CID, beside an importer that is not ours.

use std::cell::RefCell;

use cid::Version;
use rust_unixfs::file::adder::{BalancedCollector, Chunker, FileAdder};

use super::*;

/// Gives one byte at a time, and now and then an interruption, as a pipe or a slow disk may.
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

fn blocks_of(content: impl Read, size_hint: u64, layout: Layout, version: Version) -> Vec<Cid> {
    let found = RefCell::new(Vec::new());
    let mut blocks = Blocks::new(version, |cid, _| {
        found.borrow_mut().push(cid);
        Ok(())
    });
    let root = add(
        content,
        size_hint,
        layout,
        Attributes::default(),
        &mut blocks,
        &mut |_| Ok(()),
    )
    .unwrap();
    assert_eq!(found.borrow().last(), Some(&root.id.cid(version)));
    found.into_inner()
}

/// Numbers that differ, so that no two blocks are the same.
fn content(length: usize) -> Vec<u8> {
    (0..length)
        .flat_map(|n| (n as u32).to_le_bytes())
        .take(length)
        .collect()
}

/// Every tree shape that four links a node allow, against another implementation's.
#[test]
fn trees_of_every_shape_are_those_of_rust_unixfs() {
    for version in [Version::V0, Version::V1] {
        for leaves in [Leaves::Raw, Leaves::DagPb] {
            let layout = Layout {
                chunk_bytes: 10,
                max_links: 4,
                leaves,
            };
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
                    let ours: Vec<_> = blocks_of(content.as_slice(), hint, layout, version)
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
    let layout = Layout {
        chunk_bytes: 10,
        max_links: 3,
        leaves: Leaves::Raw,
    };
    let content = content(95);
    assert_eq!(
        blocks_of(Dripping(&content, false), 0, layout, Version::V1),
        blocks_of(content.as_slice(), 95, layout, Version::V1)
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
    let layout = Layout {
        chunk_bytes: 10,
        max_links: 3,
        leaves: Leaves::Raw,
    };
    let mut blocks = Blocks::new(Version::V1, |_, _| Ok(()));
    for good in [0, 10, 25] {
        let content = vec![1; good];
        let error = add(
            content.chain(Failing),
            0,
            layout,
            Attributes::default(),
            &mut blocks,
            &mut |_| Ok(()),
        )
        .unwrap_err();
        assert!(matches!(error, FileError::Read(_)), "{error:?}");
    }
}
