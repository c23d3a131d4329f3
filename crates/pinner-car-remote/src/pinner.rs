//! [`RemoteCarPinner`]: an archive in object storage behind the [`Pinner`] trait.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use pinner_api::{Answer, BlockRequest, Cid, Pinner, PinnerError, SourceId, Verdict, async_trait};
use pinner_car::SectionCid;
use tokio::time::Instant;

use crate::{
    places::{IDENTITY, Lies, Place},
    reader::Reader,
    scan::Found,
    section::Head,
};

/// The largest number of copies of one block that are tried.
const MOST_COPIES: usize = 16;

/// A backend over one CAR in object storage, which [`RemoteCarBuilder`](crate::RemoteCarBuilder) opens. It serves blocks
/// only, and refuses every pin.
///
/// Blocks are found by multihash, through the index of a CARv2 or by a scan. An index is a hint: where it points to
/// another block, or to none, the answer is [`PinnerError::Corrupt`], and other sources may have the block. A block that
/// the index does not name is [`NotFound`](PinnerError::NotFound), as its archive says. If several sections hold the same
/// multihash, they are asked in order, and those that were wrong last. **The bytes are unverified**: the caller hashes
/// them. An identity CID is answered without a request.
///
/// The archive may be replaced while it is open: the answer is `Corrupt` then, and names it.
///
/// All methods that read need a tokio runtime.
pub struct RemoteCarPinner {
    archive: Archive,
    /// The offsets of copies that were wrong, of blocks of which there are others.
    wrong: Mutex<BTreeSet<u64>>,
}

/// An open archive.
pub(crate) struct Archive {
    pub(crate) reader: Arc<Reader>,
    pub(crate) found: Found,
    pub(crate) roots: Vec<Cid>,
    pub(crate) long_roots: Vec<SectionCid>,
    pub(crate) deadline: Duration,
}

impl RemoteCarPinner {
    pub(crate) fn new(archive: Archive) -> Self {
        Self {
            archive,
            wrong: Mutex::default(),
        }
    }

    /// The address of the archive, without its query.
    pub fn name(&self) -> &str {
        self.archive.reader.object().name()
    }

    /// The length of the archive in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.archive.reader.object().size()
    }

    /// The roots in its header. Their blocks may be missing.
    pub fn roots(&self) -> &[Cid] {
        &self.archive.roots
    }

    /// Those of the roots that are identity CIDs too long for a [`Cid`]: each holds its own content.
    pub fn long_roots(&self) -> &[SectionCid] {
        &self.archive.long_roots
    }

    /// The number of sections that can be asked for.
    pub fn len(&self) -> usize {
        self.archive.found.places.entries().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the archive's defects, and the first of them as text. They are known only if it was scanned.
    pub fn defects(&self) -> (u64, &[String]) {
        (self.archive.found.defect_count, &self.archive.found.defects)
    }

    /// Whether the archive has the block, as its index says. True for every identity CID.
    pub fn contains(&self, cid: &Cid) -> bool {
        cid.hash().code() == IDENTITY || self.archive.found.places.of(cid).next().is_some()
    }

    /// The places to read a block at, in this order. Where there are several, each is a source with a name.
    fn copies(&self, request: &BlockRequest) -> Vec<(Place, Option<SourceId>)> {
        let places = self.archive.found.places.of(request.cid());
        let places: Vec<_> = places.take(MOST_COPIES).collect();
        if let [one] = places[..] {
            return vec![(one, None)];
        }
        let name = self.name();
        let named = |place: Place| {
            let source = SourceId::new(format!("{name} at {}", place.offset));
            (place, Some(source))
        };
        let mut copies: Vec<_> = places.into_iter().map(named).collect();
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        // The sort is stable: equals keep their order.
        copies.sort_by_key(|(place, source)| {
            let avoided = source.as_ref().is_some_and(|source| request.avoids(source));
            (avoided, wrong.contains(&place.offset))
        });
        copies
    }

    async fn read(&self, cid: &Cid, place: Place, by: Instant) -> Result<Bytes, PinnerError> {
        let reader = &self.archive.reader;
        let bytes = reader.read(place.range(), by).await?;
        if self.archive.found.places.lies == Lies::Data {
            return Ok(bytes);
        }
        let corrupt = |reason: String| PinnerError::Corrupt {
            operation: format!("read block {cid} at {} of '{}'", place.offset, self.name()),
            reason,
        };
        let head = Head::parse(&bytes).map_err(corrupt)?;
        if !head.is_of(cid) {
            return Err(corrupt(
                "another block is where the index says so; the index is wrong".to_owned(),
            ));
        }
        if head.end <= bytes.len() {
            return Ok(bytes.slice(head.data..head.end));
        }
        // Something that the index names lies inside of this section.
        let start = place.offset + head.data as u64;
        let end = place.offset + head.end as u64;
        reader.read(start..end, by).await
    }
}

#[async_trait]
impl Pinner for RemoteCarPinner {
    async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
        let now = Instant::now().into_std();
        request.in_time(now)?;
        let cid = *request.cid();
        if cid.hash().code() == IDENTITY {
            return Ok(Bytes::copy_from_slice(cid.hash().digest()).into());
        }
        let by = Instant::from_std(request.ends_by(now, self.archive.deadline));
        let mut failed = PinnerError::NotFound { cid };
        for (place, source) in self.copies(request) {
            match (self.read(&cid, place, by).await, source) {
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
            wrong.insert(place.offset);
        }
    }
}

impl fmt::Debug for RemoteCarPinner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the places, of which there is one for each block.
        f.debug_struct("RemoteCarPinner")
            .field("object", self.archive.reader.object())
            .field("roots", &self.archive.roots)
            .field("sections", &self.len())
            .finish_non_exhaustive()
    }
}
