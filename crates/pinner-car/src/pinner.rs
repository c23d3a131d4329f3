//! [`CarPinner`]: CAR files behind the [`Pinner`] trait.
//!
//! Owns the open files, the index over them and the set of pins. Knows nothing of what the blocks mean, but for
//! the links that a recursive pin follows. Never changes a file.
//!
//! # Where a block is read
//!
//! A block of up to 64 KiB that the page cache holds is read on the current thread (`preadv2` with `RWF_NOWAIT`
//! on Linux): the hand-off to a blocking thread costs more than the read. Everything else goes to a blocking
//! thread, since a disk may take milliseconds and copying 2 MiB takes long enough to starve other tasks. Outside a
//! tokio runtime there is nobody to starve, and the read happens where it is asked for.

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
    BoxStream, Capabilities, Cause, Holder, Origin, Pin, PinDepth, Pinner, PinnerError, async_trait,
};
use tokio::runtime::Handle;

use crate::{
    error::CarError,
    index::{IDENTITY, Index, IndexBuilder, Key, Place},
    scan::scan,
    walk,
};

/// The largest block that is read on the current thread, in bytes.
const SMALL: usize = 64 * 1024;

/// Blocks out of CARv1 and CARv2 files, with random access.
///
/// Blocks are found by multihash: the codec comes from the link that names a block, never from the CAR. Where
/// several sections hold the same multihash, the first one of the first file answers. An identity CID is answered
/// from itself. **A block whose bytes do not match its CID is handed out as it is**: like every backend this one
/// is not trusted with integrity, and whoever asks hashes what comes.
///
/// Pins are [`PinDepth::Recursive`] only, and live in this value: `pin` proves that the whole DAG is in the files.
/// A CAR file loses nothing, so that pins protect nothing either, and there is nothing to keep over a restart.
///
/// The files must not change while they are open: a block that is cut off by that is
/// [`PinnerError::Corrupt`].
#[derive(Debug)]
pub struct CarPinner {
    cars: Arc<Cars>,
    pins: Mutex<BTreeSet<(Holder, Cid)>>,
}

/// What the blocking threads read from.
struct Cars {
    files: Vec<(PathBuf, File)>,
    index: Index,
    roots: Vec<Cid>,
}

impl std::fmt::Debug for Cars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the index: it has an entry for each block.
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

/// One block of a [`CarPinner`], by [`CarPinner::blocks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockInfo {
    /// Its multihash, as the CAR names it; unverified.
    pub multihash: Multihash<64>,
    /// Its length in bytes.
    pub size_bytes: u32,
}

impl CarPinner {
    /// Opens the files and scans their section headers, on a blocking thread.
    ///
    /// # Errors
    /// As [`open_blocking`](Self::open_blocking).
    ///
    /// # Cancellation
    /// Nothing is left behind; a scan that has begun runs to its end.
    pub async fn open<P: Into<PathBuf>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, CarError> {
        let paths: Vec<PathBuf> = paths.into_iter().map(Into::into).collect();
        let first = paths.first().cloned().unwrap_or_default();
        match run_blocking(move || Self::open_blocking(paths)).await {
            Some(opened) => opened,
            None => Err(CarError::Io {
                operation: "open",
                path: first,
                source: std::io::Error::other("the runtime is shutting down"),
            }),
        }
    }

    /// Opens the files and scans their section headers, on the current thread.
    ///
    /// # Errors
    /// The first file that is no CAR, or not a whole one, by the [`CarError`] that says why; the others are not
    /// opened then. A CAR that is cut exactly between two sections cannot be told from a whole one.
    pub fn open_blocking<P: Into<PathBuf>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, CarError> {
        let mut files = Vec::new();
        let mut index = IndexBuilder::default();
        let mut roots: Vec<Cid> = Vec::new();
        for (number, path) in (0u32..).zip(paths) {
            let path = path.into();
            let file = File::open(&path).map_err(CarError::io("open", &path))?;
            let metadata = file.metadata().map_err(CarError::io("stat", &path))?;
            if !metadata.is_file() {
                return Err(CarError::NotACar {
                    path,
                    reason: "it is not a regular file".to_owned(),
                });
            }
            let found = scan(&file, metadata.len(), &path, &mut |section| {
                // An identity CID holds its own data, and a digest over 64 bytes is in no `Cid` to ask with.
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
            for root in found {
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
            files.push((path, file));
        }
        Ok(Self {
            cars: Arc::new(Cars {
                files,
                index: index.build(),
                roots,
            }),
            pins: Mutex::default(),
        })
    }

    /// The roots in all the files' headers, in the order of the files, each once. Whether their blocks are there
    /// is not said.
    pub fn roots(&self) -> &[Cid] {
        &self.cars.roots
    }

    /// How many distinct blocks there are.
    pub fn len(&self) -> usize {
        self.cars.index.len()
    }

    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length of all distinct blocks together, in bytes.
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

    fn pins_now(&self) -> std::sync::MutexGuard<'_, BTreeSet<(Holder, Cid)>> {
        // A set of plain values is whole whatever thread panicked beside it.
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Pinner for CarPinner {
    fn capabilities(&self) -> Capabilities {
        Capabilities::blocks_only().with_recursive_pins()
    }

    async fn block(&self, cid: &Cid, _origin: &Origin) -> Result<Bytes, PinnerError> {
        if cid.hash().code() == IDENTITY {
            return Ok(Bytes::copy_from_slice(cid.hash().digest()));
        }
        let Some(place) = self.cars.index.get(cid.hash()) else {
            return Err(PinnerError::NotFound { cid: *cid });
        };
        if let Some(block) = self.cars.read_cached(place) {
            return Ok(block);
        }
        let (cars, cid) = (self.cars.clone(), *cid);
        run_blocking(move || cars.read_place(&cid, place))
            .await
            .unwrap_or_else(|| Err(shutting_down(format!("read block {cid}"))))
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
        // A walk over a large DAG is not to outlive the caller who gave it up.
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
    fn file(&self, place: Place) -> Option<&(PathBuf, File)> {
        self.files.get(usize::try_from(place.file).ok()?)
    }

    /// A small block that is in the page cache; `None` where reading it could wait.
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
        // Short, refused or not supported: the blocking read gives the answer, or the error.
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
        // At most MAX_BLOCK, by the scan.
        let mut block = vec![0; place.length as usize];
        match file.read_exact_at(&mut block, place.offset) {
            Ok(()) => Ok(block.into()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(PinnerError::Corrupt {
                    operation: operation(path),
                    reason: "the file became shorter since it was opened".to_owned(),
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

/// Set when the future that waits for a walk is dropped.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `work` on a blocking thread, or here where there is no runtime. `None` when the runtime is going away.
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
