//! The layouts. Each keeps blocks by number in a directory of its own, and returns their bytes.
//!
//! In all of them, reads try the page cache first, and wait for the disk if they must.

use std::{
    collections::HashMap,
    fs, io,
    num::NonZeroUsize,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use lru::LruCache;
use pinset::{
    lock_dir::LockDir,
    staging::{Extent, Staging},
};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Mode, OFlags},
    io::ReadWriteFlags,
};
use tempfile::TempDir;

/// A way to keep blocks on disk.
pub(crate) trait Layout {
    fn name(&self) -> &'static str;

    /// Keeps a block, whole or not at all.
    fn put(&mut self, number: u64, bytes: &[u8]);

    /// Removes a block, and frees its space.
    fn remove(&mut self, number: u64);

    /// Reads `len` bytes of a block, from `offset` on.
    fn read(&mut self, number: u64, offset: usize, len: usize) -> Vec<u8>;

    fn descriptors(&self) -> usize;

    /// The bytes that the file system reports, for each byte of the blocks.
    fn overhead(&self) -> f64;
}

/// The layout of staging.
pub(crate) struct Packed {
    staging: Staging,
    blocks: HashMap<u64, Extent>,
    // Dropped after the files that lie in it.
    dir: TempDir,
}

impl Packed {
    pub(crate) fn new(parent: &Path, capacity: u64) -> Self {
        let dir = temp_dir(parent);
        let lock = LockDir::open(&dir.path().join("lock")).and_then(|lock_dir| lock_dir.hold());
        let staging = lock.and_then(|lock| lock.staging_dir());
        let staging = staging.unwrap_or_else(|error| panic!("{error}: {error:?}"));
        let staging = Staging::create(staging, capacity);
        Self {
            staging: staging.unwrap_or_else(|error| panic!("{error}: {error:?}")),
            blocks: HashMap::new(),
            dir,
        }
    }
}

impl Layout for Packed {
    fn name(&self) -> &'static str {
        "packed slots"
    }

    fn put(&mut self, number: u64, bytes: &[u8]) {
        let room = self.staging.reserve(bytes.len()).expect("room");
        let extent = self.staging.write(room, bytes).expect("a written block");
        self.blocks.insert(number, extent);
    }

    fn remove(&mut self, number: u64) {
        self.blocks.remove(&number).expect("a block");
    }

    fn read(&mut self, number: u64, offset: usize, len: usize) -> Vec<u8> {
        let extent = &self.blocks[&number];
        match extent.try_read(offset, len).expect("a read") {
            Some(bytes) => bytes,
            None => extent.read_blocking(offset, len).expect("a read"),
        }
    }

    fn descriptors(&self) -> usize {
        self.staging.usage().descriptors as usize
    }

    fn overhead(&self) -> f64 {
        let blocks = self.blocks.values().map(|extent| extent.len() as u64);
        on_disk(self.dir.path()) as f64 / blocks.sum::<u64>() as f64
    }
}

/// One file for each block, named by its digest, created under another name and renamed.
pub(crate) struct Files {
    dir: TempDir,
    dir_fd: OwnedFd,
    lengths: HashMap<u64, usize>,
    kept: Option<LruCache<u64, OwnedFd>>,
}

impl Files {
    pub(crate) fn opened_for_each_read(parent: &Path) -> Self {
        let dir = temp_dir(parent);
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir_fd = rustix::fs::open(dir.path(), flags, Mode::empty()).expect("a directory");
        Self {
            dir,
            dir_fd,
            lengths: HashMap::new(),
            kept: None,
        }
    }

    pub(crate) fn kept_open(parent: &Path, most: usize) -> Self {
        let most = NonZeroUsize::new(most).expect("some descriptors");
        Self {
            kept: Some(LruCache::new(most)),
            ..Self::opened_for_each_read(parent)
        }
    }

    fn open(&self, number: u64) -> OwnedFd {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.dir_fd, file_name(number), flags, Mode::empty()).expect("a file")
    }
}

impl Layout for Files {
    fn name(&self) -> &'static str {
        match self.kept {
            None => "a file each, opened",
            Some(_) => "a file each, kept open",
        }
    }

    fn put(&mut self, number: u64, bytes: &[u8]) {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&self.dir_fd, "new", flags, mode).expect("a file");
        let file = fs::File::from(file);
        file.write_all_at(bytes, 0).expect("a written file");
        rustix::fs::renameat(&self.dir_fd, "new", &self.dir_fd, file_name(number)).expect("a name");
        self.lengths.insert(number, bytes.len());
        if let Some(kept) = &mut self.kept {
            kept.put(number, file.into());
        }
    }

    fn remove(&mut self, number: u64) {
        if let Some(kept) = &mut self.kept {
            kept.pop(&number);
        }
        let name = file_name(number);
        rustix::fs::unlinkat(&self.dir_fd, name, AtFlags::empty()).expect("a file");
        self.lengths.remove(&number);
    }

    fn read(&mut self, number: u64, offset: usize, len: usize) -> Vec<u8> {
        let len = len.min(self.lengths[&number].saturating_sub(offset));
        if self.kept.is_none() {
            return read(&self.open(number), offset, len);
        }
        let opened = match &mut self.kept {
            Some(kept) if kept.contains(&number) => None,
            _ => Some(self.open(number)),
        };
        let kept = self.kept.as_mut().expect("it keeps them");
        if let Some(opened) = opened {
            kept.put(number, opened);
        }
        read(kept.get(&number).expect("it is there"), offset, len)
    }

    fn descriptors(&self) -> usize {
        1 + self.kept.as_ref().map_or(0, LruCache::len)
    }

    fn overhead(&self) -> f64 {
        on_disk(self.dir.path()) as f64 / self.lengths.values().sum::<usize>() as f64
    }
}

fn temp_dir(parent: &Path) -> TempDir {
    tempfile::tempdir_in(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()))
}

/// A name as long as a digest would be.
fn file_name(number: u64) -> String {
    format!("{:064x}.data", u128::from(number) * 0x9e37_79b9_7f4a_7c15)
}

/// Reads as an extent does.
fn read(file: &OwnedFd, offset: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut into = [io::IoSliceMut::new(&mut bytes)];
    let read = rustix::io::preadv2(file, &mut into, offset as u64, ReadWriteFlags::NOWAIT);
    if read != Ok(len) {
        let waited = rustix::io::pread(file, &mut bytes, offset as u64);
        assert_eq!(waited, Ok(len), "the file is whole");
    }
    bytes
}

/// The bytes that the file system reports for a directory and everything in it.
fn on_disk(path: &Path) -> u64 {
    let metadata = fs::symlink_metadata(path).expect("it is there");
    let below = match metadata.is_dir() {
        true => fs::read_dir(path)
            .expect("a directory")
            .map(|entry| on_disk(&entry.expect("an entry").path()))
            .sum(),
        false => 0,
    };
    metadata.blocks() * 512 + below
}
