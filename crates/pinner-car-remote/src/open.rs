//! Opening an archive: [`RemoteCarBuilder`].

use std::{fmt, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use object_store::{ObjectStore, path::Path};
use pinner_api::PinnerError;
use pinner_car::{CarError, Sections, parse_car};
use tokio::time::Instant;

use crate::{
    address::ArchiveUrl,
    error::RemoteError,
    index_v2::{TOO_MANY, parse_index},
    kept::{self, Of},
    object::Object,
    pinner::{Archive, RemoteCarPinner},
    places::Places,
    reader::Reader,
    s3::S3Options,
    scan::{self, Bounds, Found},
    store::{self, Reach},
};

/// How much of an archive is read when it is opened, in bytes. Its header is there, and often its first blocks.
const HEAD: u64 = 64 * 1024;

/// The longest header that is read, with what a CARv2 may have before it, in bytes.
const LONG_HEAD: u64 = 2 * 1024 * 1024;

/// The pragma of a CARv2, and the length of the header that follows it.
const PRAGMA: &[u8] = b"\x0a\xa1\x67version\x02";
const V2_HEADER: usize = 40;

/// The longest deadline, so that adding it to the current time cannot overflow: a year.
const LONGEST_DEADLINE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The bytes of one block in a file of kept places, at most, and what the file has beside them.
const KEPT_ENTRY: u64 = 8 + 1 + 64 + 8 + 4;
const KEPT_REST: u64 = 1024 * 1024;

/// The cost of a scan. It is told before the scan begins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanCost {
    /// The archive.
    pub archive: String,
    /// The number of bytes that are read.
    pub bytes: u64,
    /// The number of requests that it takes.
    pub requests: u64,
    /// Whether the result is kept, so that this is the only time.
    pub kept: bool,
}

/// The object store of a place.
#[derive(Clone, Debug)]
enum Place {
    Url(ArchiveUrl),
    Store(Arc<dyn ObjectStore>, Path, String),
}

type BeforeScan = Arc<dyn Fn(&ScanCost) + Send + Sync>;

/// Sets up and opens a [`RemoteCarPinner`].
#[derive(Clone)]
pub struct RemoteCarBuilder {
    place: Place,
    s3: S3Options,
    reach: Reach,
    deadline: Duration,
    index_dir: Option<PathBuf>,
    scan_limit: u64,
    most_blocks: usize,
    before_scan: Option<BeforeScan>,
}

impl RemoteCarBuilder {
    /// The archive at this URL.
    pub fn new(url: ArchiveUrl) -> Self {
        Self::of(Place::Url(url))
    }

    /// The archive at `path` in a store of the host's, which is asked for ranges with `If-Match`. `name` is its name in
    /// messages, and the name under which its index is kept. The store's own retries end with the deadline too.
    pub fn over(store: Arc<dyn ObjectStore>, path: Path, name: impl Into<String>) -> Self {
        Self::of(Place::Store(store, path, name.into()))
    }

    fn of(place: Place) -> Self {
        Self {
            place,
            s3: S3Options::default(),
            reach: Reach {
                plain_http: false,
                at_once: 8,
            },
            deadline: Duration::from_secs(30),
            index_dir: None,
            scan_limit: 4 << 30,
            most_blocks: 8_000_000,
            before_scan: None,
        }
    }

    /// Sets where S3 is and who asks, for `s3://` URLs.
    pub fn s3(mut self, options: S3Options) -> Self {
        self.s3 = options;
        self
    }

    /// Allows servers other than this machine to be asked without TLS. Blocks are verified all the same, but anybody on
    /// the way sees what is read. Not allowed unless set.
    pub fn allow_http(mut self, allow: bool) -> Self {
        self.reach.plain_http = allow;
        self
    }

    /// How long one block may take, retries included, unless its request says less; and each request while the archive
    /// is opened. 30 seconds unless set.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(LONGEST_DEADLINE);
        self
    }

    /// How many requests are made at once. 8 unless set; zero means one.
    pub fn requests_at_once(mut self, requests: usize) -> Self {
        self.reach.at_once = requests.max(1);
        self
    }

    /// The directory in which the results of scans are kept, one file for each archive. It is made if it is not there.
    /// Nothing is kept unless set.
    pub fn index_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.index_dir = Some(folder.into());
        self
    }

    /// The largest number of bytes that a scan may read. 4 GiB unless set.
    pub fn scan_limit(mut self, bytes: u64) -> Self {
        self.scan_limit = bytes;
        self
    }

    /// The largest number of blocks of the archive; each takes some 56 bytes of memory, and twice that while the archive is
    /// opened. 8,000,000 unless set.
    pub fn most_blocks(mut self, blocks: usize) -> Self {
        self.most_blocks = blocks;
        self
    }

    /// Is called before a scan begins, with what it will cost.
    pub fn before_scan(mut self, tell: impl Fn(&ScanCost) + Send + Sync + 'static) -> Self {
        self.before_scan = Some(Arc::new(tell));
        self
    }

    /// Opens the archive: reads its header, and its index or, where there is none that can be used, all of it once.
    ///
    /// # Errors
    /// [`RemoteError`].
    ///
    /// # Cancellation
    /// Leaves nothing behind.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(self) -> Result<RemoteCarPinner, RemoteError> {
        let (store, path, name) = match &self.place {
            Place::Url(url) => {
                let (store, path) = store::open(url, &self.s3, self.reach)?;
                (store, path, url.name())
            }
            Place::Store(store, path, name) => (store.clone(), path.clone(), name.clone()),
        };
        let by = Instant::now() + self.deadline;
        let (object, head) = Object::open(store, path, name, HEAD, by).await?;
        let reader = Reader::new(object, head.clone(), self.reach.at_once);
        let opening = Opening {
            options: &self,
            reader: &reader,
        };
        let layout = Layout::of(&head, reader.object().size());
        let start = opening.sections_from(head, layout.data.start).await?;
        let found = match opening.indexed(&layout).await? {
            Some(places) => Found {
                places,
                defects: Vec::new(),
                defect_count: 0,
            },
            None => opening.scanned(layout.data.end).await?,
        };
        Ok(RemoteCarPinner::new(Archive {
            reader,
            found,
            roots: start.roots,
            long_roots: start.long_roots,
            deadline: self.deadline,
        }))
    }
}

impl fmt::Debug for RemoteCarBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteCarBuilder")
            .field("place", &self.place)
            .field("s3", &self.s3)
            .field("deadline", &self.deadline)
            .field("index_dir", &self.index_dir)
            .field("scan_limit", &self.scan_limit)
            .finish_non_exhaustive()
    }
}

/// Where the parts of an archive are.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    /// The CARv1 in it: all of it, or the data of a CARv2.
    data: Range<u64>,
    /// The start of the index.
    index: Option<u64>,
}

impl Layout {
    /// The layout of an archive of `size` bytes that starts with `head`. Whatever is not a CARv2 that is whole is left for
    /// the parser to judge.
    fn of(head: &[u8], size: u64) -> Self {
        let version_1 = Self {
            data: 0..size,
            index: None,
        };
        let Some(header) = head.strip_prefix(PRAGMA).and_then(|h| h.get(..V2_HEADER)) else {
            return version_1;
        };
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&header[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        let (start, length, index) = (number(16), number(24), number(32));
        let after = (PRAGMA.len() + V2_HEADER) as u64;
        match start.checked_add(length) {
            Some(end) if start >= after && length > 0 && end <= size => Self {
                data: start..end,
                index: (after..size).contains(&index).then_some(index),
            },
            _ => version_1,
        }
    }
}

/// An archive that is being opened.
struct Opening<'a> {
    options: &'a RemoteCarBuilder,
    reader: &'a Arc<Reader>,
}

impl Opening<'_> {
    fn failed(&self, source: PinnerError) -> RemoteError {
        RemoteError::Read {
            name: self.reader.object().name().to_owned(),
            source,
        }
    }

    fn by(&self) -> Instant {
        Instant::now() + self.options.deadline
    }

    /// The roots of the CARv1 that begins at `start`. Its sections do not matter here.
    async fn sections_from(&self, head: Bytes, start: u64) -> Result<Sections, RemoteError> {
        let size = self.reader.object().size();
        let at = usize::try_from(start).unwrap_or(usize::MAX);
        let known = head.get(at..).unwrap_or_default();
        match parse_car(known) {
            Ok(sections) => return Ok(sections),
            // A part of the header may be missing only because so little was read.
            Err(CarError::Truncated { .. } | CarError::NotACar { .. })
                if (head.len() as u64) < size => {}
            Err(error) => return Err(self.named(error)),
        }
        let more = start..start.saturating_add(LONG_HEAD).min(size);
        let read = self.reader.read(more, self.by()).await;
        let more = read.map_err(|error| self.failed(error))?;
        parse_car(&more).map_err(|error| self.named(error))
    }

    /// The error with the name of the archive.
    fn named(&self, error: CarError) -> RemoteError {
        let path = PathBuf::from(self.reader.object().name());
        RemoteError::Car(match error {
            CarError::NotACar { reason, .. } => CarError::NotACar { path, reason },
            CarError::UnsupportedVersion { version, .. } => {
                CarError::UnsupportedVersion { path, version }
            }
            CarError::Truncated {
                offset,
                expected,
                end,
                ..
            } => CarError::Truncated {
                path,
                offset,
                expected,
                end,
            },
            error => error,
        })
    }

    /// The places by the archive's own index. `None` if it has none that can be read.
    async fn indexed(&self, layout: &Layout) -> Result<Option<Places>, RemoteError> {
        let object = self.reader.object();
        let Some(start) = layout.index else {
            return Ok(None);
        };
        // An entry has a digest of 32 bytes and an offset, as a rule.
        let most = (self.options.most_blocks as u64).saturating_mul(64);
        if object.size() - start > most {
            return Err(self.too_many());
        }
        let bytes = self.all(start..object.size()).await?;
        match parse_index(&bytes, self.options.most_blocks) {
            Err(TOO_MANY) => Err(self.too_many()),
            Ok(index) => Ok(Some(Places::of_sections(&index, layout.data.clone()))),
            Err(reason) => {
                tracing::warn!(archive = object.name(), reason, "its index is not used");
                Ok(None)
            }
        }
    }

    /// All bytes in `range`, by several requests if they are many.
    async fn all(&self, range: Range<u64>) -> Result<Vec<u8>, RemoteError> {
        let mut bytes = Vec::new();
        let mut next = range.start;
        while next < range.end {
            let end = range.end.min(next + scan::RANGE);
            let part = self.reader.read(next..end, self.by()).await;
            bytes.extend_from_slice(&part.map_err(|error| self.failed(error))?);
            next = end;
        }
        Ok(bytes)
    }

    fn too_many(&self) -> RemoteError {
        RemoteError::TooManyBlocks {
            name: self.reader.object().name().to_owned(),
            limit: self.options.most_blocks,
        }
    }

    /// The places by an earlier scan or by one that is made now, of all up to `end`.
    async fn scanned(&self, end: u64) -> Result<Found, RemoteError> {
        let object = self.reader.object();
        let most = KEPT_REST + self.options.most_blocks as u64 * KEPT_ENTRY;
        if let Some(folder) = self.options.index_dir.clone() {
            let reader = self.reader.clone();
            let load = move || kept::load(&folder, Of::object(reader.object()), most);
            if let Ok(Some(found)) = tokio::task::spawn_blocking(load).await {
                return Ok(found);
            }
        }
        if end > self.options.scan_limit {
            return Err(RemoteError::ScanTooLarge {
                name: object.name().to_owned(),
                size: end,
                limit: self.options.scan_limit,
            });
        }
        let cost = ScanCost {
            archive: object.name().to_owned(),
            bytes: end,
            requests: end.div_ceil(scan::RANGE),
            kept: self.options.index_dir.is_some(),
        };
        tracing::info!(?cost, "an archive without an index is read once");
        if let Some(tell) = &self.options.before_scan {
            tell(&cost);
        }
        let bounds = Bounds {
            // A range is far larger than a block.
            each: self.options.deadline.saturating_mul(4),
            blocks: self.options.most_blocks,
        };
        let found = Arc::new(scan::scan(self.reader, end, bounds).await?);
        if let Some(folder) = self.options.index_dir.clone() {
            let (reader, found) = (self.reader.clone(), found.clone());
            let save = move || kept::save(&folder, Of::object(reader.object()), &found);
            let saved = tokio::task::spawn_blocking(save).await;
            if let Ok(Err(error)) = saved {
                tracing::warn!(%error, "the index of an archive cannot be kept");
            }
        }
        // The task above has ended, and its share with it, unless the runtime is shutting down.
        Arc::try_unwrap(found).map_err(|_| {
            self.failed(PinnerError::Unavailable {
                operation: "the runtime is shutting down".to_owned(),
                source: None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(start: u64, length: u64, index: u64) -> Vec<u8> {
        let numbers = [start, length, index].map(u64::to_le_bytes).concat();
        [PRAGMA, &[0; 16], &numbers].concat()
    }

    #[test]
    fn a_layout_is_used_only_if_it_can_be() {
        let of = |start, length, index| Layout::of(&header(start, length, index), 1000);
        let whole = Layout {
            data: 0..1000,
            index: None,
        };
        let data = |data, index| Layout { data, index };
        assert_eq!(of(51, 900, 951), data(51..951, Some(951)));
        assert_eq!(of(100, 900, 0), data(100..1000, None));
        assert_eq!(of(51, 900, 1000), data(51..951, None));
        assert_eq!(of(51, 900, u64::MAX), data(51..951, None));
        for (start, length) in [
            (0, 0),
            (50, 10),
            (51, 0),
            (51, 950),
            (u64::MAX, 2),
            (2, u64::MAX),
        ] {
            assert_eq!(of(start, length, 900), whole, "{start} {length}");
        }
        assert_eq!(Layout::of(&header(51, 900, 951)[..50], 1000), whole);
        assert_eq!(Layout::of(b"", 1000), whole);
    }
}
