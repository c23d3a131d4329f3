//! The state that all handles of one open directory share: its files, its space, and the slots that could not be freed.

use crate::{
    class::{CLASSES, SlotAddress, class_of},
    disk::{journal::Journal, slots::ClassFile},
    lock_dir::StagingDir,
    member::{Main, Part},
    platform::{self, ReadWay},
    space::Space,
    sync::{AtomicBool, AtomicU32, Mutex, Ordering, try_lock},
};

/// A staging directory that its writer has opened.
#[derive(Debug)]
pub(crate) struct Volume {
    /// The right to a persistent directory's files, if other processes share the directory. The first field: it is given
    /// up before the directory's lock.
    _main: Option<Main>,
    pub(crate) dir: StagingDir,
    pub(crate) read_way: ReadWay,
    /// The file of each class, by the class's number.
    pub(crate) classes: Vec<ClassFile>,
    /// `None` in a temporary directory.
    journal: Option<Journal>,
    /// Slots that could not be freed so far.
    pub(crate) unfreed: Mutex<Vec<Unfreed>>,
    /// Whether the file system was found to be read-only.
    pub(crate) read_only: AtomicBool,
    /// The size of the metadata of each class's files, in bytes, as the file system last reported it.
    metadata: Mutex<[u64; CLASSES]>,
    writes: AtomicU32,
    /// Whether the last handle is gone, so that nothing is admitted any more.
    closed: AtomicBool,
    /// The follower's part that the directory is. It is removed after the files are closed.
    _part: Option<Part>,
    /// The last field, since fields are dropped in their order: the budget gets its part back once the files are
    /// removed and closed, which is when the file system gets it back.
    pub(crate) space: Space,
}

impl Drop for Volume {
    /// Nothing of a temporary directory stays. To cut a file takes a fraction of the time that its holes would take.
    fn drop(&mut self) {
        if self.journal.is_some() {
            return;
        }
        for file in self.classes.iter().filter_map(ClassFile::opened) {
            // If this fails, the file goes with its directory.
            _ = file.set_len(0);
        }
    }
}

/// A slot that could not be freed so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfreed {
    pub(crate) at: SlotAddress,
    /// The space that it takes, in bytes.
    pub(crate) charge: u64,
}

impl Volume {
    pub(crate) fn new(
        dir: StagingDir,
        space: Space,
        read_way: ReadWay,
        classes: Vec<ClassFile>,
        journal: Option<Journal>,
        unfreed: Vec<Unfreed>,
    ) -> Self {
        Self {
            _main: None,
            dir,
            read_way,
            classes,
            journal,
            unfreed: Mutex::new(unfreed),
            read_only: AtomicBool::new(false),
            metadata: Mutex::default(),
            writes: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            _part: None,
            space,
        }
    }

    /// The same, with the right to the files of a directory that other processes share.
    pub(crate) fn with_main(mut self, main: Option<Main>) -> Self {
        self._main = main;
        self
    }

    /// The same, in a follower's part.
    pub(crate) fn with_part(mut self, part: Part) -> Self {
        self._part = Some(part);
        self
    }

    /// Tells that the last handle is gone.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether the directory is removed with the last extent: it is a temporary one, and nothing is admitted any more.
    pub(crate) fn ends_with_its_extents(&self) -> bool {
        self.journal.is_none() && self.closed.load(Ordering::SeqCst)
    }

    /// The number of the class of blocks of `len` bytes.
    pub(crate) fn class(&self, len: u64) -> usize {
        class_of(len, self.space.unit())
    }

    /// The journal; `None` in a temporary directory.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Charges the metadata that the file system really uses, where it is more than was set aside.
    ///
    /// It measures at every 32nd write, since a tree of extents grows at writes, if at all. While another thread
    /// measures, this one returns.
    pub(crate) fn audit(&self) {
        if self.writes.fetch_add(1, Ordering::Relaxed) % 32 == 31 {
            self.measure_metadata();
        }
    }

    /// Like [`audit`](Self::audit), but measures now.
    pub(crate) fn measure_metadata(&self) {
        if !self.space.metadata_grows() {
            return;
        }
        let Some(mut metadata) = try_lock(&self.metadata) else {
            return;
        };
        for (class, seen) in self.classes.iter().zip(metadata.iter_mut()) {
            let Some(file) = class.opened() else { continue };
            let index = class.index();
            let accounted = || class.data_bytes() + index.map_or(0, |index| index.charged());
            let before = accounted();
            let Ok(mut allocated) = platform::allocated(file) else {
                continue;
            };
            if let Some(file) = index.and_then(|index| index.opened()) {
                allocated += platform::allocated(file).unwrap_or(0);
            }
            // A block that came or went in between would be taken for metadata. In that case, keep the last value.
            if accounted() == before {
                *seen = allocated.saturating_sub(before);
            }
        }
        self.space.set_metadata(metadata.iter().sum());
    }
}
