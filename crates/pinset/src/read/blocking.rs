//! An open file through the traits of the standard library.

use std::io::{self, Read, Seek, SeekFrom};

use crate::read::file::File;

impl File {
    /// Returns a reader for code that is not async, with its own position, at the start of the file.
    ///
    /// A read that has to wait blocks its thread, which must not be one that drives async tasks: see
    /// [`CacheMode::block_on`](crate::CacheMode::block_on).
    pub fn blocking_reader(&self) -> BlockingReader {
        BlockingReader {
            file: self.clone(),
            position: 0,
        }
    }
}

/// Reads a [`File`] through the standard library's `Read` and `Seek`. An [`Error`](crate::Error) is the inner error of
/// the [`io::Error`]. The position does not change after an error, and the next read tries again.
#[derive(Debug)]
pub struct BlockingReader {
    file: File,
    position: u64,
}

impl Read for BlockingReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = match self.file.try_read_into(self.position, into) {
            Some(read) => read,
            None => {
                let engine = self.file.session().engine();
                let read = engine.runtime.block_on(async {
                    let read = self.file.read_up_to(self.position, into.len()).await?;
                    into[..read.len()].copy_from_slice(&read);
                    Ok(read.len())
                });
                read.unwrap_or(Err(crate::Error::Closed))
            }
        };
        let read = read.map_err(io::Error::other)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for BlockingReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| {
            let reason = "the seek goes before the start of the file, or too far";
            io::Error::new(io::ErrorKind::InvalidInput, reason)
        })?;
        Ok(self.position)
    }
}
