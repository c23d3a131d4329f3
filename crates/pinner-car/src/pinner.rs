//! [`CarPinner`]: CAR files behind the [`Pinner`] trait.
//!
//! Owns the open files, the index over them and the set of pins. Knows nothing of what the blocks mean, except the
//! links that a recursive pin follows. Never changes a file.
//!
//! # Where a block is read
//!
//! A block of up to 64 KiB that the page cache holds is read on the current thread (`preadv2` with `RWF_NOWAIT`
//! on Linux), because the hand-off to a blocking thread costs more than the read. Every other block is read on a
//! blocking thread, because a disk may take milliseconds, and copying 2 MiB takes long enough to starve other tasks.
//! Outside a tokio runtime there are no tasks to starve, so the read happens on the calling thread.

use std::{
    collections::BTreeSet,
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use cid::Cid;
use futures_util::StreamExt;
use multihash::Multihash;
use pinner_api::{
    Answer, BlockRequest, BoxStream, Capabilities, Cause, Holder, Pin, PinDepth, Pinner,
    PinnerError, SourceId, Verdict, async_trait,
};
use rustix::fs::{Mode, OFlags};
use tokio::{runtime::Handle, time::Instant};

use crate::{
    defect::Defects,
    error::CarError,
    header::SectionCid,
    index::{IDENTITY, Index, IndexBuilder, Key, Place},
    scan::scan,
    walk,
};

/// The largest block that is read on the current thread, in bytes.
const SMALL: usize = 64 * 1024;

/// The largest number of copies of one block that are tried.
const MOST_COPIES: usize = 16;

/// A backend over CARv1 and CARv2 files, with random access.
///
/// Blocks are found by multihash: the codec comes from the link that names a block, never from the CAR. If several
/// sections hold the same multihash, the first section of the first file answers, and the next one if that cannot be
/// read, is to be avoided, or was found wrong. An answer names its section if there are several. An identity CID is
/// answered from the CID itself. **A block whose bytes do not match its CID is returned as it is**: this backend, like
/// every other, is not trusted with integrity, and the caller hashes the bytes.
///
/// Pins are [`PinDepth::Recursive`] only, and live in this value: `pin` proves that the whole DAG is in the files. A
/// CAR file loses no block, so pins protect nothing either, and there is nothing to keep over a restart.
///
/// A file that is damaged or cut short is read as far as it is sound: [`defects`](Self::defects) says what is lost.
///
/// The files must not change while they are open: a block that is cut off by a change is [`PinnerError::Corrupt`].
#[derive(Debug)]
pub struct CarPinner {
    cars: Arc<Cars>,
    /// The copies that were wrong, by file and offset, of blocks of which there are others.
    wrong: Mutex<BTreeSet<(u32, u64)>>,
    pins: Mutex<BTreeSet<(Holder, Cid)>>,
}

/// The files and the index, which the blocking threads share.
struct Cars {
    files: Vec<(PathBuf, File)>,
    index: Index,
    roots: Vec<Cid>,
    long_roots: Vec<SectionCid>,
    /// Those of each file, in the order of the files.
    defects: Vec<Defects>,
}

impl std::fmt::Debug for Cars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the index, which has an entry for each block.
        f.debug_struct("Cars")
            .field(
                "files",
                &self.files.iter().map(|f| &f.0).collect::<Vec<_>>(),
            )
            .field("blocks", &self.index.len())
            .field("roots", &self.roots)
            .finish()
    }
}

/// One block of a [`CarPinner`], as [`CarPinner::blocks`] lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockInfo {
    /// The multihash as the CAR names it; unverified.
    pub multihash: Multihash<64>,
    /// The length in bytes.
    pub size_bytes: u32,
}

impl CarPinner {
    /// Opens the files and scans their section headers, on a blocking thread.
    ///
    /// # Errors
    /// Those of [`open_blocking`](Self::open_blocking).
    ///
    /// # Cancellation
    /// Leaves nothing behind. A scan that has begun runs to its end.
    pub async fn open<P: Into<PathBuf>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, CarError> {
        let paths: Vec<PathBuf> = paths.into_iter().map(Into::into).collect();
        let first = paths.first().cloned().unwrap_or_default();
        match run_blocking(move || Self::open_blocking(paths)).await {
            Some(opened) => opened,
            None => Err(no_runtime(first)),
        }
    }

    /// Opens the files and scans their section headers, on the current thread.
    ///
    /// # Errors
    /// A [`CarError`] for the first file that is not a CAR. The files after it are not opened then.
    pub fn open_blocking<P: Into<PathBuf>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, CarError> {
        let opened = paths.into_iter().map(|path| {
            let path = path.into();
            let file = open_now(&path).map_err(CarError::io("open", &path))?;
            Ok((path, file))
        });
        Self::scan_all(opened)
    }

    /// Scans files that are open, on a blocking thread. Their names are for messages. Each has to be a regular file, and
    /// is read from its start, wherever its position is.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn open_files(
        files: impl IntoIterator<Item = (PathBuf, File)>,
    ) -> Result<Self, CarError> {
        let files: Vec<_> = files.into_iter().collect();
        let first = files.first().map(|(name, _)| name.clone());
        match run_blocking(move || Self::scan_all(files.into_iter().map(Ok))).await {
            Some(opened) => opened,
            None => Err(no_runtime(first.unwrap_or_default())),
        }
    }

    fn scan_all(
        opened: impl Iterator<Item = Result<(PathBuf, File), CarError>>,
    ) -> Result<Self, CarError> {
        let mut files = Vec::new();
        let mut index = IndexBuilder::default();
        let (mut roots, mut long_roots) = (Vec::new(), Vec::new());
        let mut defects = Vec::new();
        for (number, opened) in (0u32..).zip(opened) {
            let (path, file) = opened?;
            let metadata = file.metadata().map_err(CarError::io("stat", &path))?;
            if !metadata.is_file() {
                return Err(CarError::NotACar {
                    path,
                    reason: "it is not a regular file".to_owned(),
                });
            }
            let found = scan(&file, metadata.len(), &path, &mut |section| {
                // An identity CID holds its own data, and no `Cid` can ask for a digest of more than 64 bytes.
                if section.cid.hash().code() != IDENTITY && section.cid.hash().size() <= 64 {
                    index.push(
                        Key::new(section.cid.hash()),
                        Place {
                            offset: section.offset,
                            length: section.length,
                            file: number,
                        },
                    );
                }
            })?;
            add_new(&mut roots, found.roots);
            add_new(&mut long_roots, found.long_roots);
            defects.push(found.defects);
            files.push((path, file));
        }
        Ok(Self {
            cars: Arc::new(Cars {
                files,
                index: index.build(),
                roots,
                long_roots,
                defects,
            }),
            wrong: Mutex::default(),
            pins: Mutex::default(),
        })
    }

    /// The roots in the headers of all files, in the order of the files, each once. Their blocks may be missing.
    pub fn roots(&self) -> &[Cid] {
        &self.cars.roots
    }

    /// Those of the roots that are identity CIDs too long for a [`Cid`]: each holds its own content.
    pub fn long_roots(&self) -> &[SectionCid] {
        &self.cars.long_roots
    }

    /// The defects of each file that is not whole, in the order of the files.
    pub fn defects(&self) -> impl Iterator<Item = (&Path, &Defects)> {
        let files = self.cars.files.iter().map(|(path, _)| &**path);
        let all = files.zip(&self.cars.defects);
        all.filter(|(_, defects)| defects.count() > 0)
    }

    /// The number of distinct blocks.
    pub fn len(&self) -> usize {
        self.cars.index.len()
    }

    /// Whether there are no blocks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The total length of all distinct blocks, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.cars.index.total_bytes()
    }

    /// Every distinct block, in no order.
    pub fn blocks(&self) -> impl Iterator<Item = BlockInfo> {
        self.cars.index.iter().filter_map(|(key, place)| {
            Some(BlockInfo {
                multihash: key.multihash()?,
                size_bytes: place.length,
            })
        })
    }

    /// Whether the block is there, by multihash. True for every identity CID.
    pub fn contains(&self, cid: &Cid) -> bool {
        walk::Source::has(&*self.cars, cid)
    }

    /// The places to read a block at, in this order. Where there are several, each is a source with a name.
    fn copies(&self, request: &BlockRequest) -> Vec<(Place, Option<SourceId>)> {
        let places = self.cars.index.copies(request.cid().hash());
        let places: Vec<_> = places.take(MOST_COPIES).collect();
        if let [one] = places[..] {
            return vec![(one, None)];
        }
        let named = |place| (place, Some(self.cars.source(place)));
        let mut copies: Vec<_> = places.into_iter().map(named).collect();
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        // The sort is stable: equals keep their order.
        copies.sort_by_key(|(place, source)| {
            let avoided = source.as_ref().is_some_and(|source| request.avoids(source));
            (avoided, wrong.contains(&(place.file, place.offset)))
        });
        copies
    }

    fn pins_now(&self) -> std::sync::MutexGuard<'_, BTreeSet<(Holder, Cid)>> {
        // A set of plain values stays whole even if another thread panics while it holds the lock.
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Pinner for CarPinner {
    fn capabilities(&self) -> Capabilities {
        Capabilities::blocks_only().with_recursive_pins()
    }

    /// A read that has begun is not given up at the deadline: a disk answers in its own time, and a thread that waits
    /// for it cannot be stopped.
    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        request.in_time(Instant::now().into_std())?;
        let cid = *request.cid();
        if cid.hash().code() == IDENTITY {
            return Ok(Bytes::copy_from_slice(cid.hash().digest()).into());
        }
        let mut failed = PinnerError::NotFound { cid };
        for (place, source) in self.copies(request) {
            let block = match self.cars.read_cached(place) {
                Some(block) => Ok(block),
                None => {
                    let cars = self.cars.clone();
                    let block = run_blocking(move || cars.read_place(&cid, place)).await;
                    block.unwrap_or_else(|| Err(shutting_down(format!("read block {cid}"))))
                }
            };
            match (block, source) {
                (Ok(block), Some(source)) => return Ok(Answer::new(block).with_source(source)),
                (Ok(block), None) => return Ok(block.into()),
                (Err(error), _) => failed = error,
            }
        }
        Err(failed)
    }

    /// A copy that was wrong is read last from now on.
    fn verdict(&self, request: &BlockRequest, source: Option<&SourceId>, verdict: Verdict) {
        if verdict != Verdict::Wrong || source.is_none() {
            return;
        }
        let copies = self.copies(request);
        if let Some((place, _)) = copies.iter().find(|(_, own)| own.as_ref() == source) {
            let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            wrong.insert((place.file, place.offset));
        }
    }

    async fn pin(&self, holder: &Holder, root: &Cid, depth: PinDepth) -> Result<(), PinnerError> {
        match depth {
            PinDepth::Recursive => {}
            PinDepth::Lazy => {
                return Err(PinnerError::Unsupported {
                    operation: "lazy pins",
                });
            }
        }
        if self.pins_now().contains(&(*holder, *root)) {
            return Ok(());
        }
        // A walk over a large DAG must not outlive a caller that gave it up.
        let cancelled = CancelOnDrop::default();
        let (cars, root, flag) = (self.cars.clone(), *root, cancelled.0.clone());
        run_blocking(move || walk::check_complete(&root, &*cars, &flag))
            .await
            .unwrap_or_else(|| Err(shutting_down(format!("pin {root}"))))?;
        self.pins_now().insert((*holder, root));
        Ok(())
    }

    async fn unpin(&self, holder: &Holder, root: &Cid) -> Result<(), PinnerError> {
        self.pins_now().remove(&(*holder, *root));
        Ok(())
    }

    fn pins(&self) -> BoxStream<'_, Result<Pin, PinnerError>> {
        let pins: Vec<_> = self
            .pins_now()
            .iter()
            .map(|(holder, root)| Ok(Pin::new(*holder, *root, PinDepth::Recursive)))
            .collect();
        futures_util::stream::iter(pins).boxed()
    }
}

impl Cars {
    /// The name of one copy among several.
    fn source(&self, place: Place) -> SourceId {
        let path = self.file(place).map(|(path, _)| path.display());
        let path = path.map_or_else(String::new, |path| path.to_string());
        SourceId::new(format!("{path} at {}", place.offset))
    }

    fn file(&self, place: Place) -> Option<&(PathBuf, File)> {
        self.files.get(usize::try_from(place.file).ok()?)
    }

    /// Reads a small block that is in the page cache; `None` where the read could wait.
    #[cfg(target_os = "linux")]
    fn read_cached(&self, place: Place) -> Option<Bytes> {
        use rustix::io::{ReadWriteFlags, preadv2};

        let length = usize::try_from(place.length).ok()?;
        if length > SMALL {
            return None;
        }
        let mut block = vec![0; length];
        let read = preadv2(
            &self.file(place)?.1,
            &mut [std::io::IoSliceMut::new(&mut block)],
            place.offset,
            ReadWriteFlags::NOWAIT,
        );
        // Short, refused or not supported: the blocking read returns the block, or the error.
        (read == Ok(length)).then(|| block.into())
    }

    #[cfg(not(target_os = "linux"))]
    fn read_cached(&self, _place: Place) -> Option<Bytes> {
        None
    }

    fn read_place(&self, cid: &Cid, place: Place) -> Result<Bytes, PinnerError> {
        let operation = |path: &Path| format!("read block {cid} in '{}'", path.display());
        let Some((path, file)) = self.file(place) else {
            return Err(PinnerError::NotFound { cid: *cid });
        };
        // At most MAX_BLOCK, as the scan checked.
        let mut block = vec![0; place.length as usize];
        match file.read_exact_at(&mut block, place.offset) {
            Ok(()) => Ok(block.into()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(PinnerError::Corrupt {
                    operation: operation(path),
                    reason: "the file became shorter after it was opened".to_owned(),
                })
            }
            Err(error) => Err(PinnerError::Unavailable {
                operation: operation(path),
                source: Some(Cause::new(error)),
            }),
        }
    }
}

impl walk::Source for Cars {
    fn has(&self, cid: &Cid) -> bool {
        cid.hash().code() == IDENTITY || self.index.get(cid.hash()).is_some()
    }

    fn read(&self, cid: &Cid) -> Result<Bytes, PinnerError> {
        if cid.hash().code() == IDENTITY {
            return Ok(Bytes::copy_from_slice(cid.hash().digest()));
        }
        match self.index.get(cid.hash()) {
            Some(place) => self.read_place(cid, place),
            None => Err(PinnerError::NotFound { cid: *cid }),
        }
    }
}

/// Opens a file without waiting for the writer of a pipe.
fn open_now(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Adds what is not there yet.
fn add_new<T: PartialEq>(all: &mut Vec<T>, new: Vec<T>) {
    for one in new {
        if !all.contains(&one) {
            all.push(one);
        }
    }
}

fn no_runtime(path: PathBuf) -> CarError {
    CarError::Io {
        operation: "open",
        path,
        source: std::io::Error::other("the runtime is shutting down"),
    }
}

/// Sets a flag when the future that waits for a walk is dropped.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on a blocking thread, or on this thread where there is no runtime. `None` if the runtime shuts down.
async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let Ok(runtime) = Handle::try_current() else {
        return Some(work());
    };
    match runtime.spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        },
    }
}

fn shutting_down(operation: String) -> PinnerError {
    PinnerError::Unavailable {
        operation: format!("{operation}: the runtime is shutting down"),
        source: None,
    }
}

#[cfg(test)]
mod tests;
