//! `fd_readdir` on a directory of ours. The entries come in the directory's own order; cookies count them.
//!
//! A guest may stop anywhere, since its buffer ends in the middle of an entry, and goes on by the cookie of that entry.
//! So what did not fit is kept. A cookie from elsewhere begins a new listing and passes over the entries before it.

use wasmtime_wasi::p1::types::{self, Dircookie, Filetype, Size};
use wiggle::{GuestMemory, GuestPtr};

use super::{Result, errno::failed, file::copy_out, stat::ino};
use crate::{
    errno::Failures,
    listing,
    node::{DirNode, Entry, Error},
    p2::stat::entry_type,
};

/// The cookie of the first entry. `.` and `..` come before.
const FIRST: Dircookie = 2;

/// The length of a directory entry without its name.
const HEAD_BYTES: usize = 24;

/// A listing under way.
pub(super) struct Listing {
    entries: listing::Listing,
    /// The cookie of `held`, or of what `entries` yields next.
    cookie: Dircookie,
    /// The entry that the guest has not had in whole.
    held: Option<Entry>,
}

impl Listing {
    /// Begins a listing at `cookie`. The types of the entries before it are not looked up.
    fn from(dir: &dyn DirNode, cookie: Dircookie) -> Result<Self, Error> {
        Ok(Self {
            entries: listing::Listing::new(dir, cookie - FIRST)?,
            cookie,
            held: None,
        })
    }

    /// Takes the entry at the cookie, which stays where it is.
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        match self.held.take() {
            Some(held) => Ok(Some(held)),
            None => self.entries.next().await,
        }
    }
}

/// Writes as many entries from `cookie` on as the buffer takes. The last one is cut where the buffer ends.
pub(super) async fn readdir(
    dir: &dyn DirNode,
    listing: &mut Option<Box<Listing>>,
    memory: &mut GuestMemory<'_>,
    buffer: GuestPtr<[u8]>,
    cookie: Dircookie,
    failures: &Failures,
) -> Result<Size> {
    // A call that is dropped loses the listing; the next one begins a new one.
    let mut current = match listing.take() {
        Some(current) if current.cookie == cookie.max(FIRST) => current,
        _ => {
            let new = Listing::from(dir, cookie.max(FIRST));
            Box::new(new.map_err(|error| failed(&error, failures))?)
        }
    };
    let own = ino(dir.identity());
    let written = fill(&mut current, own, memory, buffer, cookie).await;
    *listing = Some(current);
    written.map_err(|stopped| match stopped {
        Stopped::Unreadable(error) => failed(&error, failures),
        Stopped::Call(error) => error,
    })
}

/// Why no entry was written.
enum Stopped {
    /// The directory cannot be read.
    Unreadable(Error),
    /// The guest's pointers are wrong.
    Call(types::Error),
}

/// Writes the entries. `own` is the directory's serial number.
async fn fill(
    listing: &mut Listing,
    own: u64,
    memory: &mut GuestMemory<'_>,
    buffer: GuestPtr<[u8]>,
    cookie: Dircookie,
) -> Result<Size, Stopped> {
    let mut written = Written { buffer, bytes: 0 };
    for (at, name) in [(0, "."), (1, "..")] {
        if cookie <= at {
            let head = head(at, own, name, Filetype::Directory);
            if !written.entry(memory, head, name)? {
                return Ok(written.bytes);
            }
        }
    }
    loop {
        let entry = match listing.next().await {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            // The guest has the entries before, and meets the error at its next call.
            Err(_) if written.bytes > 0 => break,
            Err(error) => return Err(Stopped::Unreadable(error)),
        };
        let kind = Filetype::try_from(entry_type(entry.kind()));
        let kind = kind.map_err(types::Error::trap).map_err(Stopped::Call)?;
        // For 0, libraries ask the stat.
        let ino = entry.identity().map_or(0, ino);
        let head = head(listing.cookie, ino, entry.name(), kind);
        if !written.entry(memory, head, entry.name())? {
            listing.held = Some(entry);
            break;
        }
        listing.cookie = listing.cookie.saturating_add(1);
    }
    Ok(written.bytes)
}

/// The guest's buffer, and the number of bytes that are written.
struct Written {
    buffer: GuestPtr<[u8]>,
    bytes: Size,
}

impl Written {
    /// Writes an entry. Returns whether it fitted.
    fn entry(
        &mut self,
        memory: &mut GuestMemory<'_>,
        head: [u8; HEAD_BYTES],
        name: &str,
    ) -> Result<bool, Stopped> {
        for bytes in [&head[..], name.as_bytes()] {
            let len = self.buffer.len();
            let left = self.buffer.get_range(self.bytes..len);
            let left = left.unwrap_or(GuestPtr::new((0, 0)));
            let copied = copy_out(memory, bytes, left).map_err(Stopped::Call)?;
            self.bytes += copied;
            if (copied as usize) < bytes.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// `d_next`, `d_ino`, `d_namlen`, `d_type`, and three bytes of padding.
fn head(cookie: Dircookie, ino: u64, name: &str, kind: Filetype) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[0..8].copy_from_slice(&cookie.saturating_add(1).to_le_bytes());
    bytes[8..16].copy_from_slice(&ino.to_le_bytes());
    bytes[16..20].copy_from_slice(&(name.len() as u32).to_le_bytes());
    bytes[20] = kind as u8;
    bytes
}
