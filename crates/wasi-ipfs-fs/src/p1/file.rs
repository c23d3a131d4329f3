//! An open file of ours: a position, and reads into the guest's memory.

use std::sync::Arc;

use wasmtime_wasi::p1::types::{
    Advice, Fdflags, Fdstat, Filedelta, Filesize, Filestat, Filetype, IovecArray, Rights, Size,
    Whence,
};
use wiggle::{GuestError, GuestMemory, GuestPtr};

use super::{Error, Result, errno::failed, stat::filestat};
use crate::{
    errno::{Failures, Refusal},
    node::{self, FileNode},
};

/// An open file.
pub(super) struct OpenFile {
    file: Arc<dyn FileNode>,
    position: u64,
    flags: Fdflags,
}

/// The most bytes that one wait loads. A read into the guest's memory allocates no more, whatever the guest asks for.
const WAIT_BYTES: usize = 256 * 1024;

impl OpenFile {
    pub(super) fn new(file: Arc<dyn FileNode>, flags: Fdflags) -> Self {
        Self {
            file,
            position: 0,
            flags,
        }
    }

    /// Reads at the position, and moves it. A call that is dropped leaves the position where it was.
    pub(super) async fn read(
        &mut self,
        memory: &mut GuestMemory<'_>,
        iovs: IovecArray,
        failures: &Failures,
    ) -> Result<Size> {
        let read = self.read_at(memory, iovs, self.position, failures).await?;
        self.position += u64::from(read);
        Ok(read)
    }

    /// Fills the buffers from `offset` on, across the boundaries of blocks, as a disk's file does. Stops early at the
    /// file's end, or before what cannot be read, which the next read then meets.
    pub(super) async fn read_at(
        &self,
        memory: &mut GuestMemory<'_>,
        iovs: IovecArray,
        offset: Filesize,
        failures: &Failures,
    ) -> Result<Size> {
        // A guest that reads for ever what is staged lets others have the thread.
        tokio::task::coop::consume_budget().await;
        if offset > i64::MAX as u64 {
            return Err(Refusal::OutOfRange.into());
        }
        let mut total: Size = 0;
        for iov in iovs.iter() {
            let iov = memory.read(iov?)?;
            let buffer = iov.buf.as_array(iov.buf_len);
            // A read ends before its length would not fit a size.
            let room = iov.buf_len.min(Size::MAX - total);
            let mut done = 0;
            while done < room {
                let at = offset + u64::from(total);
                match self.read_some(memory, rest(buffer, done, room)?, at).await {
                    Ok(0) => return Ok(total),
                    Ok(read) => {
                        done += read;
                        total += read;
                    }
                    Err(Stopped::Unreadable(_)) if total > 0 => return Ok(total),
                    Err(Stopped::Unreadable(error)) => return Err(failed(&error, failures)),
                    Err(Stopped::Memory(error)) => return Err(error.into()),
                }
            }
        }
        Ok(total)
    }

    /// Reads at least one byte, unless the file ends here. Staged bytes go straight into the guest's memory.
    async fn read_some(
        &self,
        memory: &mut GuestMemory<'_>,
        to: GuestPtr<[u8]>,
        offset: u64,
    ) -> Result<Size, Stopped> {
        if let Some(slice) = memory.as_slice_mut(to)?
            && let Some(read) = self.file.try_read_into(offset, slice)
        {
            return Ok(read? as Size);
        }
        // The memory is shared, or a block is missing here.
        let len = (to.len() as usize).min(WAIT_BYTES);
        let bytes = self.file.read(offset, len).await?;
        let read = bytes.len() as Size;
        memory.copy_from_slice(&bytes, rest(to, 0, read)?)?;
        Ok(read)
    }

    pub(super) fn seek(&mut self, offset: Filedelta, whence: Whence) -> Result<Filesize> {
        let from = match whence {
            Whence::Set => 0,
            Whence::Cur => self.position,
            Whence::End => self.file.metadata().len,
        };
        let to = from.checked_add_signed(offset);
        self.position = to.ok_or(Refusal::OutOfRange)?;
        Ok(self.position)
    }

    pub(super) fn position(&self) -> Filesize {
        self.position
    }

    /// Whether the position is at the end, or behind it.
    pub(super) fn is_at_end(&self) -> bool {
        self.position >= self.file.metadata().len
    }

    pub(super) fn advise(&self, offset: Filesize, len: Filesize, advice: Advice) {
        let advice = match advice {
            Advice::Normal => node::Advice::Normal,
            Advice::Sequential => node::Advice::Sequential,
            Advice::Random => node::Advice::Random,
            Advice::Willneed => node::Advice::WillNeed,
            Advice::Dontneed => node::Advice::DontNeed,
            Advice::Noreuse => node::Advice::NoReuse,
        };
        self.file.advise(offset, len, advice);
    }

    /// Keeps the flags for [`fdstat`](Self::fdstat). They change nothing for a file that is only read.
    pub(super) fn set_flags(&mut self, flags: Fdflags) -> Result<()> {
        if flags.intersects(Fdflags::DSYNC | Fdflags::SYNC | Fdflags::RSYNC) {
            return Err(Refusal::OutOfRange.into());
        }
        self.flags = flags;
        Ok(())
    }

    /// As natively, the rights say little: only that to write is missing, and no call asks for them.
    pub(super) fn fdstat(&self) -> Fdstat {
        let rights = Rights::all() & !Rights::FD_WRITE;
        Fdstat {
            fs_filetype: Filetype::RegularFile,
            fs_flags: self.flags,
            fs_rights_base: rights,
            fs_rights_inheriting: rights,
        }
    }

    pub(super) fn filestat(&self) -> Filestat {
        filestat(&self.file.metadata(), self.file.identity())
    }
}

/// Why a read stopped.
enum Stopped {
    /// The content cannot be read.
    Unreadable(node::Error),
    /// The guest's pointers are wrong.
    Memory(GuestError),
}

impl From<node::Error> for Stopped {
    fn from(error: node::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl From<GuestError> for Stopped {
    fn from(error: GuestError) -> Self {
        Self::Memory(error)
    }
}

/// Returns the part of a guest's buffer from `from` to `to`.
fn rest(buffer: GuestPtr<[u8]>, from: Size, to: Size) -> Result<GuestPtr<[u8]>, GuestError> {
    let part = buffer.get_range(from..to);
    part.ok_or(GuestError::SliceLengthsDiffer)
}

/// Copies into a guest's buffer as much as fits. Returns the number of bytes.
pub(super) fn copy_out(
    memory: &mut GuestMemory<'_>,
    bytes: &[u8],
    buffer: GuestPtr<[u8]>,
) -> Result<Size, Error> {
    let fits = bytes.len().min(buffer.len() as usize);
    memory.copy_from_slice(&bytes[..fits], rest(buffer, 0, fits as Size)?)?;
    Ok(fits as Size)
}
