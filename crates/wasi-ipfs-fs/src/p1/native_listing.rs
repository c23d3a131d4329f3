//! `fd_readdir` on a native directory: a snapshot of the listing, taken once and handed out.
//!
//! wasmtime-wasi lists the whole directory anew at each call, and passes over the entries before the cookie. That is
//! quadratic, and skips names where others are removed meanwhile. A snapshot is its whole answer, asked for into memory
//! of ours. It counts as a listing, and its bytes as kept memory, of the guest's session (I9). Where the session has no
//! room for it, each call goes to wasmtime-wasi as it is: a native listing never fails for our limits (I8).

use pinset::{KeptHandle, Session};
use wasmtime_wasi::p1::{
    WasiP1Ctx,
    types::{Dircookie, Size},
    wasi_snapshot_preview1::WasiSnapshotPreview1 as _,
};
use wiggle::{GuestMemory, GuestPtr};

use super::{Fd, Result, file::copy_out};

/// The lengths of the memory in which a snapshot is asked for, one after the other until one suffices.
const SIZES: [Size; 4] = [16 << 10, 256 << 10, 4 << 20, 16 << 20];

/// The lengths of a directory entry without its name, of what precedes the length of its name, and of that.
const HEAD_BYTES: usize = 24;
const NAME_LEN_AT: usize = 16;
const NAME_LEN_BYTES: usize = 4;

/// A native directory's listing under way.
pub(super) enum Snapshot {
    /// All of it.
    Whole {
        bytes: Vec<u8>,
        /// The offset of each entry in `bytes`. Its index is its cookie.
        starts: Vec<u32>,
        _kept: KeptHandle,
    },
    /// It is too long for the session.
    TooLong,
}

/// Lists a native directory from `cookie` on. `listing` is kept between two calls. wasmtime-wasi alone serves a guest
/// without a session.
pub(super) async fn readdir(
    wasi: &mut WasiP1Ctx,
    fd: Fd,
    listing: &mut Option<Box<Snapshot>>,
    session: Option<&Session>,
    memory: &mut GuestMemory<'_>,
    buffer: GuestPtr<[u8]>,
    cookie: Dircookie,
) -> Result<Size> {
    let Some(session) = session else {
        return plain(wasi, fd, memory, buffer, cookie).await;
    };
    if cookie == 0 || listing.is_none() {
        // The old one makes room first.
        *listing = None;
        let taken = Snapshot::take(wasi, fd, session).await?;
        *listing = Some(Box::new(taken));
    }
    let Some(Snapshot::Whole { bytes, starts, .. }) = listing.as_deref() else {
        return plain(wasi, fd, memory, buffer, cookie).await;
    };
    let start = usize::try_from(cookie).ok().and_then(|at| starts.get(at));
    let left = start.map_or(&[][..], |start| &bytes[*start as usize..]);
    let given = copy_out(memory, left, buffer)?;
    if given < buffer.len() {
        // This was its end.
        *listing = None;
    }
    Ok(given)
}

async fn plain(
    wasi: &mut WasiP1Ctx,
    fd: Fd,
    memory: &mut GuestMemory<'_>,
    buffer: GuestPtr<[u8]>,
    cookie: Dircookie,
) -> Result<Size> {
    let (start, len) = (buffer.as_ptr(), buffer.len());
    wasi.fd_readdir(memory, fd, start, len, cookie).await
}

impl Snapshot {
    async fn take(wasi: &mut WasiP1Ctx, fd: Fd, session: &Session) -> Result<Self> {
        for size in SIZES {
            // Memory is counted before it is there.
            let Ok(kept) = session.keep_handle(size.into()) else {
                break;
            };
            let mut bytes = vec![0; size as usize];
            let mut memory = GuestMemory::Unshared(&mut bytes);
            let used = wasi
                .fd_readdir(&mut memory, fd, GuestPtr::new(0), size, 0)
                .await?;
            if used == size {
                continue;
            }
            drop(kept);
            bytes.truncate(used as usize);
            bytes.shrink_to_fit();
            let starts = starts(&bytes);
            let held = bytes.len() + starts.len() * size_of::<u32>();
            let Ok(_kept) = session.keep_handle(held as u64) else {
                break;
            };
            return Ok(Self::Whole {
                bytes,
                starts,
                _kept,
            });
        }
        Ok(Self::TooLong)
    }
}

/// Finds the entries in a listing.
fn starts(bytes: &[u8]) -> Vec<u32> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(name_len) = bytes
        .get(at + NAME_LEN_AT..)
        .and_then(|rest| rest.first_chunk::<NAME_LEN_BYTES>())
    {
        starts.push(at as u32);
        at += HEAD_BYTES + u32::from_le_bytes(*name_len) as usize;
    }
    starts.shrink_to_fit();
    starts
}
