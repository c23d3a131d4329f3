//! Persistent staging that is damaged between two runs or during a run: damaged blocks are fetched again or reported,
//! and never served.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use cid::Cid;
use pinner_mock::MockNode;
use test_support::{
    content::stream,
    staged::{Place, block, copy, put},
};

use crate::pinsets::{self, read};

const BUDGET: u64 = 32 << 20;

/// The sizes of the blocks. Some classes have several blocks, others one.
const SIZES: [usize; 25] = [
    1, 100, 4095, 4096, 4097, 5000, 6000, 8192, 9000, 12_000, 16_384, 16_385, 20_000, 30_000,
    65_536, 65_537, 100_000, 262_144, 262_144, 262_144, 400_000, 1_000_000, 1_048_576, 1_048_577,
    2_097_152,
];

fn content(node: &MockNode) -> Vec<Cid> {
    let numbered = SIZES.iter().enumerate();
    numbered.map(|(n, len)| put(node, n, *len)).collect()
}

/// Reads everything twice, and checks every byte.
async fn all_is_right(mode: &pinset::CacheMode, cids: &[Cid], what: &str) {
    for pass in 0..2 {
        for (n, cid) in cids.iter().enumerate() {
            let bytes = read(mode, cid).await;
            let bytes = bytes.unwrap_or_else(|error| panic!("{what}, {pass}, {n}: {error}"));
            assert!(bytes == block(n, SIZES[n]), "{what}, {pass}, block {n}");
        }
    }
}

/// A directory that an earlier run filled.
struct Filled {
    node: MockNode,
    cids: Vec<Cid>,
    dir: tempfile::TempDir,
}

impl Filled {
    async fn new() -> Self {
        let node = MockNode::new();
        let cids = content(&node);
        let dir = tempfile::tempdir().unwrap();
        let place = Place(dir.path().to_owned());
        let mode = pinsets::open(&place, &node, BUDGET).await;
        all_is_right(&mode, &cids, "at first").await;
        assert_eq!(mode.stats().blocks_staged, SIZES.len() as u64);
        mode.close().await.unwrap();
        place.end(mode).await;
        Self { node, cids, dir }
    }

    /// Damages a copy of the directory, and reads everything over what is left. Returns how many blocks were found
    /// rotten, and how many were fetched.
    async fn damaged(&self, what: &str, damage: impl FnOnce(&Path)) -> (u64, u64) {
        let copied = tempfile::tempdir().unwrap();
        let place = Place(copied.path().to_owned());
        copy(
            &Place(self.dir.path().to_owned()).staging(),
            &place.staging(),
        );
        damage(&place.staging());
        let mode = pinsets::open(&place, &self.node, BUDGET).await;
        all_is_right(&mode, &self.cids, what).await;
        let stats = mode.stats();
        assert!(place.disk_usage() <= BUDGET, "{what}");
        assert_eq!(stats.blocks_staged, SIZES.len() as u64, "{what}: {stats:?}");
        place.end(mode).await;
        // The repaired blocks are good for the next run.
        let mode = pinsets::open(&place, &self.node, BUDGET).await;
        all_is_right(&mode, &self.cids, what).await;
        assert_eq!(mode.stats().blocks_fetched, 0, "{what}");
        (stats.blocks_rotten, stats.blocks_fetched)
    }
}

fn slot_files(dir: &Path) -> Vec<String> {
    named(dir, "slots-")
}

fn named(dir: &Path, prefix: &str) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(prefix)).collect()
}

fn open(dir: &Path, name: &str) -> File {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).open(dir.join(name)).unwrap()
}

fn class(name: &str) -> u64 {
    name.rsplit('-').next().unwrap().parse().unwrap()
}

fn flip(file: &File, at: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

#[tokio::test]
async fn what_nobody_touched_is_all_there() {
    let filled = Filled::new().await;
    assert_eq!(filled.damaged("nothing", |_| ()).await, (0, 0));
}

#[tokio::test]
async fn flipped_bits() {
    let filled = Filled::new().await;
    let slots = |dir: &Path| {
        for name in slot_files(dir) {
            flip(&open(dir, &name), 0);
        }
    };
    let classes = 10;
    let found = filled.damaged("a bit in the first slots", slots).await;
    assert_eq!(found, (classes, classes));
    let records = |dir: &Path| {
        for name in named(dir, "index-") {
            flip(&open(dir, &name), 60);
        }
    };
    // These blocks are not even examined.
    let found = filled.damaged("a bit in the first records", records).await;
    assert_eq!(found, (0, classes));
    let ring = |dir: &Path| {
        let file = open(dir, "changes");
        (0..16_384).step_by(7).for_each(|at| flip(&file, at));
    };
    assert_eq!(filled.damaged("bits in the ring", ring).await, (0, 0));
}

#[tokio::test]
async fn truncated_and_emptied_and_deleted() {
    let filled = Filled::new().await;
    let all = SIZES.len() as u64;
    for (prefix, rotten) in [("slots-", 0), ("index-", 0)] {
        let empty = |dir: &Path| {
            for name in named(dir, prefix) {
                open(dir, &name).set_len(0).unwrap();
            }
        };
        let found = filled.damaged(&format!("{prefix} emptied"), empty).await;
        assert_eq!(found, (rotten, all));
        let delete = |dir: &Path| {
            for name in named(dir, prefix) {
                fs::remove_file(dir.join(name)).unwrap();
            }
        };
        let found = filled.damaged(&format!("{prefix} deleted"), delete).await;
        assert_eq!(found, (rotten, all));
    }
    let cut = |dir: &Path| {
        for name in slot_files(dir) {
            open(dir, &name).set_len(class(&name) - 1).unwrap();
        }
    };
    let (rotten, fetched) = filled.damaged("slots cut", cut).await;
    assert_eq!(rotten, 0, "blocks beyond the end are not examined");
    assert!(fetched > all / 2, "{fetched}");
    let cut = |dir: &Path| {
        for name in named(dir, "index-") {
            open(dir, &name).set_len(130).unwrap();
        }
    };
    let (rotten, fetched) = filled.damaged("index cut", cut).await;
    assert_eq!((rotten, fetched), (0, all - 10));
    let punched = |dir: &Path| {
        for name in slot_files(dir) {
            let file = open(dir, &name);
            let len = file.metadata().unwrap().len();
            file.set_len(0).unwrap();
            file.set_len(len).unwrap();
        }
    };
    assert_eq!(filled.damaged("slots lost", punched).await, (all, all));
    for name in ["changes", "layout", "shares"] {
        let delete = |dir: &Path| fs::remove_file(dir.join(name)).unwrap();
        assert_eq!(filled.damaged(name, delete).await, (0, 0));
        let empty = |dir: &Path| open(dir, name).set_len(0).unwrap();
        assert_eq!(filled.damaged(name, empty).await, (0, 0));
    }
    let longer = |dir: &Path| {
        for name in fs::read_dir(dir).unwrap() {
            let name = name.unwrap().file_name().into_string().unwrap();
            if name != "layout" {
                open(dir, &name).set_len(1 << 30).unwrap();
            }
        }
    };
    assert_eq!(filled.damaged("longer", longer).await, (0, 0));
}

#[tokio::test]
async fn replaced() {
    let filled = Filled::new().await;
    let swap_slots = |dir: &Path| {
        let file = open(dir, "slots-262144");
        let (mut one, mut other) = (vec![0; 262_144], vec![0; 262_144]);
        file.read_exact_at(&mut one, 0).unwrap();
        file.read_exact_at(&mut other, 262_144).unwrap();
        file.write_all_at(&other, 0).unwrap();
        file.write_all_at(&one, 262_144).unwrap();
    };
    let found = filled.damaged("two slots swapped", swap_slots).await;
    assert_eq!(found, (2, 2));
    let swap_records = |dir: &Path| {
        let file = open(dir, "index-262144");
        let (mut one, mut other) = ([0; 128], [0; 128]);
        file.read_exact_at(&mut one, 0).unwrap();
        file.read_exact_at(&mut other, 128).unwrap();
        file.write_all_at(&other, 0).unwrap();
        file.write_all_at(&one, 128).unwrap();
    };
    let found = filled.damaged("two records swapped", swap_records).await;
    assert_eq!(found, (0, 2));
    // Two records that are well formed but lie: each names the other's block for its own slot.
    let forge = |dir: &Path| {
        let file = open(dir, "index-262144");
        let (mut one, mut other) = ([0; 128], [0; 128]);
        file.read_exact_at(&mut one, 0).unwrap();
        file.read_exact_at(&mut other, 128).unwrap();
        one[40..72].swap_with_slice(&mut other[40..72]);
        for (slot, record) in [(0, &mut one), (1, &mut other)] {
            let checksum = crc32fast::hash(&record[8..]);
            record[4..8].copy_from_slice(&checksum.to_le_bytes());
            file.write_all_at(&record[..], slot * 128).unwrap();
        }
    };
    let found = filled.damaged("two records forged", forge).await;
    assert_eq!(found, (2, 2));
    let classes = |dir: &Path| {
        let aside = dir.join("aside");
        for kind in ["slots", "index"] {
            let (one, other) = (format!("{kind}-4096"), format!("{kind}-8192"));
            fs::rename(dir.join(&one), &aside).unwrap();
            fs::rename(dir.join(&other), dir.join(&one)).unwrap();
            fs::rename(&aside, dir.join(&other)).unwrap();
        }
    };
    let found = filled.damaged("two classes swapped", classes).await;
    assert_eq!(found, (0, 8));
    let noise = |dir: &Path| {
        for name in named(dir, "slots-").into_iter().chain(named(dir, "index-")) {
            fs::write(dir.join(&name), stream(100_000)).unwrap();
        }
    };
    let found = filled.damaged("noise", noise).await;
    assert_eq!(found, (0, SIZES.len() as u64));
    let foreign = |dir: &Path| {
        fs::write(dir.join("slots-512"), b"?").unwrap();
        fs::write(dir.join("index-"), b"?").unwrap();
        fs::create_dir(dir.join("new")).unwrap();
    };
    assert_eq!(filled.damaged("foreign files", foreign).await, (0, 0));
    let twice = |dir: &Path| {
        // The same block in a second slot, with a record that has the same change number.
        let (slots, index) = (open(dir, "slots-262144"), open(dir, "index-262144"));
        let (mut bytes, mut record) = (vec![0; 262_144], [0; 128]);
        slots.read_exact_at(&mut bytes, 0).unwrap();
        slots.write_all_at(&bytes, 5 * 262_144).unwrap();
        index.read_exact_at(&mut record, 0).unwrap();
        record[20..24].copy_from_slice(&5_u32.to_le_bytes());
        let checksum = crc32fast::hash(&record[8..]);
        record[4..8].copy_from_slice(&checksum.to_le_bytes());
        index.write_all_at(&record, 5 * 128).unwrap();
    };
    assert_eq!(filled.damaged("one block twice", twice).await, (0, 0));
}

#[tokio::test]
async fn under_a_run_that_has_verified_it() {
    let filled = Filled::new().await;
    let place = Place(filled.dir.path().to_owned());
    let mode = pinsets::open(&place, &filled.node, BUDGET).await;
    all_is_right(&mode, &filled.cids, "at first").await;
    for name in slot_files(&place.staging()) {
        open(&place.staging(), &name).set_len(0).unwrap();
    }
    // The damage is reported at most once, and then the block is fetched.
    for (n, cid) in filled.cids.iter().enumerate() {
        if let Ok(bytes) = read(&mode, cid).await {
            assert!(bytes == block(n, SIZES[n]), "block {n}");
        }
    }
    all_is_right(&mode, &filled.cids, "after that").await;
}

#[tokio::test]
async fn under_a_run_that_has_not_verified_it_yet() {
    let filled = Filled::new().await;
    let place = Place(filled.dir.path().to_owned());
    let mode = pinsets::open(&place, &filled.node, BUDGET).await;
    for name in slot_files(&place.staging()) {
        open(&place.staging(), &name).set_len(0).unwrap();
    }
    all_is_right(&mode, &filled.cids, "without its bytes").await;
    let (stats, all) = (mode.stats(), SIZES.len() as u64);
    assert_eq!((stats.blocks_rotten, stats.blocks_fetched), (all, all));
}
