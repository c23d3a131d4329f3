//! One pass over a whole archive, for the places of its blocks.
//!
//! The archive is read in large ranges, several at once, in order. The parser of `pinner-car` runs on a blocking thread
//! and sees them as one file.

use std::{cell::RefCell, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use pinner_api::PinnerError;
use pinner_car::{ReadAt, Section, scan_car};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    error::RemoteError,
    places::{Key, Place, Places, key_of},
    reader::Reader,
};

/// The length of a range, in bytes.
pub(crate) const RANGE: u64 = 4 * 1024 * 1024;

/// The number of ranges that are read at once.
const AT_ONCE: usize = 4;

/// The bounds of a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How long one range may take.
    pub(crate) each: Duration,
    /// The largest number of blocks.
    pub(crate) blocks: usize,
}

/// The result of a scan.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) places: Places,
    /// The first defects of the archive, as text.
    pub(crate) defects: Vec<String>,
    /// The number of all.
    pub(crate) defect_count: u64,
}

/// Reads the first `end` bytes of the archive once. Behind them is nothing that is needed.
///
/// # Cancellation
/// The thread ends with the next range that it asks for.
pub(crate) async fn scan(
    reader: &Arc<Reader>,
    end: u64,
    bounds: Bounds,
) -> Result<Found, RemoteError> {
    let object = reader.object();
    let (name, size) = (object.name().to_owned(), object.size());
    let (send, receive) = mpsc::channel(1);
    let fed = Fed {
        end,
        receive: RefCell::new(receive),
        last: RefCell::default(),
    };
    let parsing = tokio::task::spawn_blocking(move || parse(&fed, &name, size, bounds.blocks));
    let ranges = (0..end.div_ceil(RANGE)).map(|number| {
        let range = number * RANGE..((number + 1) * RANGE).min(end);
        async move {
            let by = Instant::now() + bounds.each;
            let start = range.start;
            object.read(range, by).await.map(|bytes| (start, bytes))
        }
    });
    let mut chunks = futures_util::stream::iter(ranges).buffered(AT_ONCE);
    let mut failed = None;
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => {
                if send.send(chunk).await.is_err() {
                    // The parser has seen enough.
                    break;
                }
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    drop(send);
    let parsed = parsing.await;
    if let Some(source) = failed {
        let name = object.name().to_owned();
        return Err(RemoteError::Read { name, source });
    }
    match parsed {
        Ok(parsed) => parsed,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(RemoteError::Read {
                name: object.name().to_owned(),
                source: PinnerError::Unavailable {
                    operation: "the runtime is shutting down".to_owned(),
                    source: None,
                },
            }),
        },
    }
}

fn parse(fed: &Fed, name: &str, size: u64, most: usize) -> Result<Found, RemoteError> {
    let mut entries: Vec<(Key, Place)> = Vec::new();
    let mut too_many = false;
    let scanned = scan_car(fed, size, Path::new(name), &mut |section: Section| {
        if let Some(key) = key_of(section.cid.hash()) {
            if entries.len() == most {
                too_many = true;
                // The next read fails, and that ends the scan.
                fed.close();
                return;
            }
            let (offset, length) = (section.offset, section.length);
            entries.push((key, Place { offset, length }));
        }
    });
    if too_many {
        return Err(RemoteError::TooManyBlocks {
            name: name.to_owned(),
            limit: most,
        });
    }
    let defects = scanned?.defects;
    Ok(Found {
        places: Places::of_data(entries),
        defects: defects.first().iter().map(ToString::to_string).collect(),
        defect_count: defects.count(),
    })
}

/// The archive as it arrives. The parser goes forwards, and back by less than a range.
struct Fed {
    /// The end of what arrives.
    end: u64,
    receive: RefCell<mpsc::Receiver<(u64, Bytes)>>,
    /// The last two ranges.
    last: RefCell<[(u64, Bytes); 2]>,
}

impl Fed {
    fn close(&self) {
        self.receive.borrow_mut().close();
        *self.last.borrow_mut() = Default::default();
    }
}

impl ReadAt for Fed {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.end {
            return Ok(0);
        }
        loop {
            for (start, bytes) in &*self.last.borrow() {
                let at = offset.checked_sub(*start);
                let at = at.and_then(|at| usize::try_from(at).ok());
                if let Some(rest) = at.and_then(|at| bytes.get(at..))
                    && !rest.is_empty()
                {
                    let length = rest.len().min(buffer.len());
                    buffer[..length].copy_from_slice(&rest[..length]);
                    return Ok(length);
                }
            }
            let next = self.receive.borrow_mut().blocking_recv();
            let next = next.ok_or_else(|| io::Error::other("the rest did not come"))?;
            self.last.borrow_mut().rotate_left(1);
            self.last.borrow_mut()[1] = next;
        }
    }
}
