//! Any bytes as a persistent staging directory: `block-staging` reads or refuses it, and keeps its promises in it.
//!
//! The input says which of the layout's files to create, their content, and their lengths (see [`Input::make`]). The
//! directory is then inspected from outside, and either emptied or opened by a writer and a follower. The follower must
//! find every block that the writer has, byte for byte, while blocks come and go. The space that the file system
//! reports for the directory must be at most the budget (I2), and other files must not be touched.
//!
//! Before that, the beginning of the input is decoded as one record of an index.

#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{
        fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::LazyLock,
};

use block_staging::{
    Budget, Extent, Follower, Key, MAX_STAGED, Opened, Staging, StagingError, Warm, fuzzing, open,
    stored::{self, Rotten, Writer},
};
use fuzzed::{memory::bounded, seeds};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// The memory bound per byte of input. A step of the input has a record and a place in several tables.
const PER_BYTE: usize = 256;

/// The memory that any input may take, in units of [`PER_BYTE`]: for two blocks, and a part of an index.
const BASE: usize = 8 * 1024 * 1024 / PER_BYTE;

/// The largest number of steps. More steps take time and find nothing more.
const MOST_STEPS: usize = 32;

const CLASSES: usize = 10;
const RECORD_LEN: usize = 128;
/// The length of the part of a block that is not zero, in bytes.
const PATTERN: usize = 128;
const LAYOUT: &[u8] = b"pinset staging layout 2\n";

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    }
    .expect("a temporary folder")
});

fuzz_target!(
    init: seeds::write_if_asked(seeds),
    |data: &[u8]| {
        // Created outside of the bound, since the folder outlives the input.
        let folder = FOLDER.path();
        bounded(data.len() + BASE, PER_BYTE, || {
            record(data);
            check(folder, Input(data));
        });
    }
);

/// Decodes the first bytes as a record in the slot that they name, unchanged and with a right checksum.
fn record(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<RECORD_LEN>() else {
        return;
    };
    for bytes in [*bytes, seal(*bytes)] {
        let slot = u32::from_le_bytes([bytes[20], bytes[21], bytes[22], bytes[23]]);
        let class = usize::from(bytes[24]);
        if fuzzing::decode_record(&bytes, class, slot) {
            assert!(!fuzzing::decode_record(&bytes, class ^ 1, slot));
            assert!(!fuzzing::decode_record(&bytes, class, slot ^ 1));
        }
    }
}

fn seal(mut bytes: [u8; RECORD_LEN]) -> [u8; RECORD_LEN] {
    bytes[..4].copy_from_slice(b"PSR\x01");
    let checksum = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The hash function of this test: fast, and with four bytes.
fn digest(bytes: &[u8]) -> [u8; 4] {
    crc32fast::hash(bytes).to_le_bytes()
}

fn is_right(key: &Key, bytes: &[u8]) -> bool {
    key.digest() == digest(bytes)
}

fn class_bytes(class: usize) -> u64 {
    4096 << class
}

/// Returns one of the layout's file names, and the distance between the places in this file, in bytes.
fn file(number: u8) -> (String, u64) {
    let class = usize::from(number) / 2 % CLASSES;
    let bytes = class_bytes(class);
    match number {
        250.. => ("layout".to_owned(), 1),
        240.. => ("changes".to_owned(), 16),
        _ if number.is_multiple_of(2) => (format!("slots-{bytes}"), bytes),
        _ => (format!("index-{bytes}"), RECORD_LEN as u64),
    }
}

fn ours() -> impl Iterator<Item = String> {
    (0..2 * CLASSES as u8)
        .chain([240, 250])
        .map(|number| file(number).0)
}

/// The rest of the input.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// Takes a byte for the length, and then as many bytes.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.byte()?);
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// Makes the directory, step by step, until the input ends it.
    fn make(&mut self, dir: &Path) {
        for _ in 0..MOST_STEPS {
            if self.step(dir).is_none() {
                return;
            }
        }
    }

    fn step(&mut self, dir: &Path) -> Option<()> {
        let [kind, number] = self.take()?;
        let (name, stride) = file(number);
        let class = usize::from(number) / 2 % CLASSES;
        let (slots, index) = (file(class as u8 * 2).0, file(class as u8 * 2 + 1).0);
        let record_at = |slot: u32| u64::from(slot) * RECORD_LEN as u64;
        match kind % 8 {
            // The end of the directory.
            0 => return None,
            // Any bytes in any place.
            1 => {
                let place = u64::from(self.u32()?) * stride;
                write(dir, &name, place, self.bytes()?);
            }
            // The right layout.
            2 => write(dir, "layout", 0, LAYOUT),
            // A record with a right checksum.
            3 => {
                let slot = self.u32()?;
                let record = self.record(class, slot)?;
                write(dir, &index, record_at(slot), &record);
            }
            // A record of any bytes with a right checksum, in its place.
            4 => {
                let slot = self.u32()?;
                let mut record = self.take::<RECORD_LEN>()?;
                record[20..24].copy_from_slice(&slot.to_le_bytes());
                record[24] = class as u8;
                write(dir, &index, record_at(slot), &seal(record));
            }
            // A block with its record.
            5 => {
                let slot = self.u32()?;
                let [change, seed] = self.take()?;
                let len = self.u32()? % (class_bytes(class) as u32 + 1);
                let block = block(seed, len as usize);
                let mut record = [0; RECORD_LEN];
                record[8] = change;
                record[16..20].copy_from_slice(&len.to_le_bytes());
                record[20..24].copy_from_slice(&slot.to_le_bytes());
                record[24..26].copy_from_slice(&[class as u8, 4]);
                record[40..44].copy_from_slice(&digest(&block));
                let written = &block[..block.len().min(PATTERN)];
                write(dir, &slots, u64::from(slot) * class_bytes(class), written);
                lengthen(dir, &slots, (u64::from(slot) + 1) * class_bytes(class));
                write(dir, &index, record_at(slot), &seal(record));
            }
            // A change in the journal.
            6 => {
                let (change, slot) = (self.u64()?, self.u32()?);
                let mut entry = [0; 16];
                entry[..8].copy_from_slice(&change.to_le_bytes());
                entry[7] = class as u8;
                entry[8..12].copy_from_slice(&slot.to_le_bytes());
                let checksum = crc32fast::hash(&entry[..12]);
                entry[12..].copy_from_slice(&checksum.to_le_bytes());
                let place = 1 + (change & ((1 << 56) - 1)) % 1023;
                write(dir, "changes", place * 16, &entry);
            }
            // A length, or something else in a file's place.
            _ => match self.byte()? {
                0 => replace(dir, &name, |path| fs::create_dir(path)),
                1 => replace(dir, &name, |path| {
                    std::os::unix::fs::symlink("../outside", path)
                }),
                2 => replace(dir, &name, |path| UnixListener::bind(path).map(drop)),
                3 => replace(dir, &name, |path| fs::write(path, "")),
                4 => replace(dir, "probe", |path| fs::write(path, "left by a start")),
                _ => {
                    let len = self.u64()? % (1 << 60);
                    if let Some(file) = made(dir, &name) {
                        let _ = file.set_len(len);
                    }
                }
            },
        }
        Some(())
    }

    /// Returns a record whose fields come from the input, with zeros elsewhere.
    fn record(&mut self, class: usize, slot: u32) -> Option<[u8; RECORD_LEN]> {
        let (change, len) = (self.take::<8>()?, self.take::<4>()?);
        let (code, digest) = (self.byte()?, self.bytes()?);
        let mut record = [0; RECORD_LEN];
        record[8..16].copy_from_slice(&change);
        record[16..20].copy_from_slice(&len);
        record[20..24].copy_from_slice(&slot.to_le_bytes());
        record[24..26].copy_from_slice(&[class as u8, digest.len() as u8]);
        record[32] = code;
        let place = &mut record[40..];
        let fits = digest.len().min(place.len());
        place[..fits].copy_from_slice(&digest[..fits]);
        Some(seal(record))
    }
}

/// Returns the block for this seed and length. It has zeros behind its beginning, as a hole reads.
fn block(seed: u8, len: usize) -> Vec<u8> {
    let mut block = vec![0; len];
    block[..len.min(PATTERN)].fill(seed);
    block
}

/// Opens or creates the file, unless something else has its name.
fn made(dir: &Path, name: &str) -> Option<fs::File> {
    let path = dir.join(name);
    let is_other = |found: fs::Metadata| !found.is_file();
    if fs::symlink_metadata(&path).is_ok_and(is_other) {
        return None;
    }
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    Some(options.open(path).expect("a file of our own"))
}

/// Writes the bytes, unless the file system refuses the offset.
fn write(dir: &Path, name: &str, place: u64, bytes: &[u8]) {
    if let Some(file) = made(dir, name) {
        let _ = file.write_all_at(bytes, place);
    }
}

fn lengthen(dir: &Path, name: &str, len: u64) {
    if let Some(file) = made(dir, name)
        && file.metadata().expect("an open file").len() < len
    {
        let _ = file.set_len(len);
    }
}

fn replace(dir: &Path, name: &str, make: impl FnOnce(&Path) -> std::io::Result<()>) {
    let path = dir.join(name);
    let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    make(&path).expect("a name that is free");
}

/// Returns the space that the file system reports for the directory and the library's files in it, in bytes.
fn allocated(dir: &Path) -> u64 {
    let names = ours().map(|name| dir.join(name));
    names
        .chain([dir.to_owned()])
        .filter_map(|path| fs::symlink_metadata(path).ok())
        .map(|found| found.blocks() * 512)
        .sum()
}

/// Asserts that an error's text is short enough for a person to read.
fn refused(error: &StagingError) {
    assert!(error.to_string().len() < 2000, "{error}");
}

fn check(folder: &Path, mut input: Input<'_>) {
    let Some([mode, budget]) = input.take() else {
        return;
    };
    let dir = folder.join("staging");
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&dir)
        .expect("removed after each input");
    let others = [
        folder.join("outside"),
        dir.join("other"),
        dir.join("slots-1"),
    ];
    for path in &others {
        fs::write(path, "another's").expect("room on tmpfs");
    }
    input.make(&dir);
    let before = from_outside(&dir);
    match mode % 4 {
        0 => clear(&dir, before),
        1 => verify_and_clear(&dir),
        _ => {
            // From 64 KiB, the least share, to 8 MiB.
            let budget = Budget::MIN_SHARE << (budget % 8);
            in_use(&dir, budget, input);
        }
    }
    for path in &others {
        let found = fs::read(path).expect("left alone");
        assert_eq!(found, b"another's");
    }
    fs::remove_dir_all(&dir).expect("a directory of our own");
}

/// Inspects the directory without changing it. Returns the number of blocks in the index if it can be read.
fn from_outside(dir: &Path) -> Option<u64> {
    let taken = allocated(dir);
    let verified = stored::verify(
        dir,
        Rotten::Report,
        |key, bytes| is_right(key, &bytes),
        |_| {},
    );
    let contents = stored::contents(dir);
    assert_eq!(allocated(dir), taken);
    match (contents, verified) {
        (Ok(contents), Ok(verified)) => {
            assert_eq!(contents.writer, Writer::Nobody);
            assert_eq!(contents.allocated_bytes, taken);
            assert!(verified.rotten.len() as u64 <= verified.blocks);
            assert_eq!(contents.blocks, verified.blocks + verified.gone);
            Some(contents.blocks)
        }
        (contents, verified) => {
            let errors = [contents.err(), verified.err()];
            errors.iter().flatten().for_each(refused);
            None
        }
    }
}

fn clear(dir: &Path, before: Option<u64>) {
    match stored::clear(dir) {
        Ok(cleared) => {
            assert!(before.is_none_or(|before| before == cleared.blocks));
            assert_eq!(stored::contents(dir).expect("sound now").blocks, 0);
            assert!(allocated(dir) <= Budget::MIN_SHARE, "{}", allocated(dir));
        }
        Err(error) => refused(&error),
    }
}

fn verify_and_clear(dir: &Path) {
    let verified = stored::verify(
        dir,
        Rotten::Clear,
        |key, bytes| is_right(key, &bytes),
        |_| {},
    );
    match verified {
        Ok(verified) => {
            let left = stored::contents(dir).expect("sound now").blocks;
            assert_eq!(left, verified.blocks - verified.rotten.len() as u64);
        }
        Err(error) => refused(&error),
    }
}

/// The blocks that the writer has, with the digests of their bytes.
type Blocks = BTreeMap<Vec<u8>, (Key, Extent, [u8; 4])>;

fn in_use(dir: &Path, budget: u64, mut input: Input<'_>) {
    let (staging, warm) = match open(dir, Budget::alone(budget)) {
        Ok(Opened::Writer(staging, earlier)) => (staging, earlier.collect()),
        Ok(Opened::Follower(_)) => panic!("nobody else writes"),
        Err(error) => return refused(&error),
    };
    let held = || assert!(allocated(dir) <= budget, "{} of {budget}", allocated(dir));
    held();
    let Ok(Opened::Follower(follower)) = open(dir, Budget::alone(budget)) else {
        panic!("two writers, or none to follow");
    };
    let mut blocks = taken(warm, &follower);
    held();
    while let Some([seed, class]) = input.take()
        && let Some(len) = input.u32()
    {
        if blocks.len() > MOST_STEPS {
            break;
        }
        let len = 1 + len % class_bytes(usize::from(class) % CLASSES) as u32;
        stage(&staging, &mut blocks, &block(seed, len as usize));
        held();
    }
    for (key, extent, digest) in blocks.values() {
        let leased = follower.lease(key).expect("a disk that works");
        let leased = leased.expect("the follower finds each of the writer's blocks");
        for extent in [extent, &leased.extent] {
            assert_eq!(self::digest(&whole(extent)), *digest);
        }
    }
    let contents = stored::contents(dir).expect("a sound directory");
    assert_eq!(contents.blocks, blocks.len() as u64);
    assert_eq!(contents.writer, Writer::Process(Some(std::process::id())));

    let names: BTreeSet<_> = blocks.keys().cloned().collect();
    drop((blocks, staging));
    let over = follower.take_over(Budget::alone(budget));
    let (staging, earlier) = over.expect("a disk that works").expect("nobody writes");
    let warm: Vec<_> = earlier.collect();
    held();
    let found = warm.iter().map(|Warm { key, .. }| key.to_bytes());
    assert!(found.collect::<BTreeSet<_>>().is_subset(&names));
    let left = warm.len() as u64;
    // Dropping the follower releases the lock that it took.
    drop((warm, staging, follower));
    let verified = stored::verify(
        dir,
        Rotten::Clear,
        |key, bytes| is_right(key, &bytes),
        |_| {},
    );
    let verified = verified.expect("sound");
    assert_eq!((verified.blocks, verified.rotten.len()), (left, 0));
    clear(dir, Some(left));
}

/// Reads the blocks that were found. Wrong blocks are evicted, and must not be found any more.
fn taken(warm: Vec<Warm>, follower: &Follower) -> Blocks {
    let mut blocks = Blocks::new();
    for Warm { key, extent, .. } in warm {
        let bytes = whole(&extent);
        let leased = follower.lease(&key).expect("a disk that works");
        let leased = leased.expect("the follower finds each of the writer's blocks");
        assert_eq!(whole(&leased.extent), bytes);
        assert!(!leased.verified);
        drop(leased.extent);
        if is_right(&key, &bytes) {
            follower.mark_verified(&key, leased.change);
            let again = follower.lease(&key).expect("a disk that works");
            assert!(again.is_some_and(|again| again.verified));
            let known = blocks.insert(key.to_bytes(), (key, extent, digest(&bytes)));
            assert!(known.is_none(), "found twice");
        } else {
            extent.discard();
            drop(extent);
            assert!(follower.lease(&key).expect("a disk that works").is_none());
        }
    }
    blocks
}

fn whole(extent: &Extent) -> Vec<u8> {
    assert!((1..=MAX_STAGED).contains(&extent.len()));
    let bytes = extent.read_blocking(0, usize::MAX);
    let bytes = bytes.expect("a block lies inside its file");
    assert_eq!(bytes.len(), extent.len());
    bytes
}

/// Stages a block, and evicts others to make room for it.
fn stage(staging: &Staging, blocks: &mut Blocks, bytes: &[u8]) {
    let digest = digest(bytes);
    let key = Key::wrap(0, &digest).expect("a short digest");
    if blocks.contains_key(&key.to_bytes()) {
        return;
    }
    let reservation = loop {
        match staging.reserve(bytes.len()) {
            Some(reservation) => break reservation,
            None => match blocks.pop_first() {
                Some((_, (_, extent, _))) => {
                    assert!(extent.claim(), "nobody leases it");
                    extent.discard();
                }
                None => return,
            },
        }
    };
    match staging.write_as(reservation, &key, bytes) {
        Ok(extent) => {
            blocks.insert(key.to_bytes(), (key, extent, digest));
        }
        Err(StagingError::NoRoomForRecord) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Returns inputs for directories that the crate wrote itself.
fn seeds() -> Vec<Vec<u8>> {
    let blocks: Vec<_> = [
        (1, 1),
        (2, 4096),
        (3, 4097),
        (4, 9000),
        (5, 70_000),
        (6, 2 << 20),
    ]
    .map(|(seed, len)| block(seed, len))
    .to_vec();
    let steps = written(&blocks);
    let more = [7, 0, 0, 16, 0, 0, 8, 9, 0, 0, 2, 0];
    let mut all = Vec::new();
    for mode in 0..4 {
        for budget in [0, 2, 7] {
            all.push([&[mode, budget], &steps[..], &[0, 0], &more].concat());
        }
    }
    // Blocks from records alone, in each class, and records that no writer writes.
    for class in 0..CLASSES as u8 {
        let mut steps = vec![2, 7, 2, 0];
        for slot in 0..3_u8 {
            let len = (class_bytes(class.into()) as u32 - 7).to_le_bytes();
            steps.extend([5, class * 2, slot * 9, 0, 0, 0, slot + 1, slot]);
            steps.extend(len);
        }
        all.push([&steps[..], &[0, 0], &more].concat());
        for (change, len) in [(u64::MAX, u32::MAX), (9, 9)] {
            let mut far = vec![3, class * 2, 0xfe, 0xff, 0xff, 0xff];
            far.extend(change.to_le_bytes());
            far.extend(len.to_le_bytes());
            far.extend([0, 4, 1, 2, 3, 4]);
            let long = [&[7, class * 2, 9][..], &(1_u64 << 56).to_le_bytes()].concat();
            all.push([&steps[..], &far, &long, &[0, 0], &more].concat());
        }
        all.push([&steps[..], &[7, class * 2 + 1, class % 5], &[0, 0]].concat());
    }
    all.push(seal([1; RECORD_LEN]).to_vec());
    all
}

/// Returns the steps that make a directory in which these blocks were staged.
fn written(blocks: &[Vec<u8>]) -> Vec<u8> {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let dir = parent.path().join("staging");
    let Ok(Opened::Writer(staging, _)) = open(&dir, Budget::alone(8 << 20)) else {
        panic!("a new directory");
    };
    let mut staged = Blocks::new();
    for block in blocks {
        stage(&staging, &mut staged, block);
    }
    drop((staged, staging));
    let mut steps = Vec::new();
    for number in (0..2 * CLASSES as u8).chain([240, 250]) {
        let (name, stride) = file(number);
        let Ok(content) = fs::read(dir.join(&name)) else {
            continue;
        };
        // The layout file is taken whole. The beginning of a slot is enough, since the blocks have zeros behind it.
        let stride = if name == "layout" {
            64
        } else {
            stride as usize
        };
        for (place, bytes) in content.chunks(stride).enumerate() {
            let bytes = &bytes[..bytes.len().min(PATTERN)];
            // The last place is always written, so that the file gets its length.
            let is_last = (place + 1) * stride >= content.len();
            if is_last || bytes.iter().any(|byte| *byte != 0) {
                steps.extend([1, number]);
                steps.extend((place as u32).to_le_bytes());
                steps.push(bytes.len() as u8);
                steps.extend(bytes);
            }
        }
    }
    steps
}
