//! [`CarWriter`]: writes a CARv1 that is either whole or not there.
//!
//! It writes into a temporary file in the destination's directory and moves that file to the destination at the end.
//! So at the destination there is either what was there before, or a complete CAR. The temporary file is removed when
//! the writer is dropped. The writer owns no block and no index: its memory does not grow with the CAR.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use cid::Cid;
use pinner_api::MAX_BLOCK;
use tempfile::NamedTempFile;

use crate::{error::CarError, header};

/// The size of the write buffer, in bytes.
const BUFFER: usize = 256 * 1024;

/// Writes a CARv1. Its roots need not be known before the end.
///
/// Call [`create`](Self::create), then [`put`](Self::put) for each block, then [`finish`](Self::finish). A writer
/// that is dropped instead leaves nothing behind. Nothing is flushed to the disk: the CAR may be lost in a power
/// failure.
#[derive(Debug)]
pub struct CarWriter {
    destination: PathBuf,
    temporary: BufWriter<NamedTempFile>,
    /// The number of bytes reserved for the header.
    header: u64,
}

impl CarWriter {
    /// Begins a CAR that will replace whatever is at `destination`.
    ///
    /// Reserves room for a header with as many roots as `expected_roots`, of the same lengths. Other roots at the end
    /// are fine; if their header has another length, they cost one more copy of the file.
    ///
    /// # Errors
    /// [`DestinationNotAFile`](CarError::DestinationNotAFile) if something other than a regular file is there;
    /// [`Io`](CarError::Io) if no new file can be made in its directory.
    pub fn create(
        destination: impl Into<PathBuf>,
        expected_roots: &[Cid],
    ) -> Result<Self, CarError> {
        let destination = resolve(destination.into())?;
        let header = header::encode_v1(expected_roots);
        let mut temporary = BufWriter::with_capacity(BUFFER, temporary_beside(&destination)?);
        temporary
            .write_all(&header)
            .map_err(CarError::io("write", &destination))?;
        Ok(Self {
            destination,
            temporary,
            header: header.len() as u64,
        })
    }

    /// Appends a block. The caller has to know whether it was put before, and whether it matches its CID.
    ///
    /// # Errors
    /// [`BlockTooLarge`](CarError::BlockTooLarge), with nothing written; [`Io`](CarError::Io), after which the writer
    /// has to be dropped.
    pub fn put(&mut self, cid: &Cid, block: &[u8]) -> Result<(), CarError> {
        if block.len() > MAX_BLOCK {
            return Err(CarError::BlockTooLarge {
                cid: *cid,
                length: block.len(),
            });
        }
        self.write_section(&cid.to_bytes(), block)
            .map_err(CarError::io("write", &self.destination))
    }

    fn write_section(&mut self, cid: &[u8], block: &[u8]) -> io::Result<()> {
        let mut length = unsigned_varint::encode::usize_buffer();
        self.temporary.write_all(unsigned_varint::encode::usize(
            cid.len() + block.len(),
            &mut length,
        ))?;
        self.temporary.write_all(cid)?;
        self.temporary.write_all(block)
    }

    /// Writes the header and moves the CAR to its destination.
    ///
    /// # Errors
    /// [`Io`](CarError::Io); the destination is then as it was.
    pub fn finish(self, roots: &[Cid]) -> Result<(), CarError> {
        let Self {
            destination,
            temporary,
            header: reserved,
        } = self;
        let failed = || CarError::io("write", &destination);
        let mut temporary = temporary
            .into_inner()
            .map_err(|error| failed()(error.into_error()))?;
        let header = header::encode_v1(roots);
        if header.len() as u64 == reserved {
            let file = temporary.as_file_mut();
            file.seek(SeekFrom::Start(0)).map_err(failed())?;
            file.write_all(&header).map_err(failed())?;
        } else {
            let mut moved = temporary_beside(&destination)?;
            moved.write_all(&header).map_err(failed())?;
            let sections = temporary.as_file_mut();
            sections.seek(SeekFrom::Start(reserved)).map_err(failed())?;
            io::copy(sections, moved.as_file_mut()).map_err(failed())?;
            temporary = moved;
        }
        temporary
            .persist(&destination)
            .map(drop)
            .map_err(|error| failed()(error.error))
    }

    /// The temporary file, for an importer that must not read it by mistake.
    pub(crate) fn file(&self) -> &File {
        self.temporary.get_ref().as_file()
    }
}

/// The path that the file will have. Follows symlinks, as every other program that writes a file does, and refuses a
/// destination where a rename would replace a device or a pipe.
fn resolve(destination: PathBuf) -> Result<PathBuf, CarError> {
    let metadata = match fs::metadata(&destination) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(destination),
        Err(error) => return Err(CarError::io("write", destination)(error)),
    };
    if !metadata.is_file() {
        return Err(CarError::DestinationNotAFile { path: destination });
    }
    destination
        .canonicalize()
        .map_err(CarError::io("write", destination))
}

fn temporary_beside(destination: &Path) -> Result<NamedTempFile, CarError> {
    let directory = match destination.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".car-");
    // The mode of any new file, by the umask. The usual 0600 of a temporary file would stay with the CAR.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
        .tempfile_in(directory)
        .map_err(CarError::io("write a new file in", directory))
}

#[cfg(test)]
mod tests;
