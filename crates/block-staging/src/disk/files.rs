//! Opens files of a staging directory: by a constant name (I4), never through a link, never waiting, and only if they
//! are regular files.

use std::{fs::File, io};

use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use crate::{error::StagingError, lock_dir::StagingDir};

/// The purpose for which a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// To read it.
    Read,
    /// To read and write it, if it exists.
    Write,
    /// To read and write it; it is created with mode 0600 if it does not exist.
    Make,
}

/// Opens `name`.
///
/// # Errors
/// [`StagingError::NotAFile`], and errors of the system.
pub(crate) fn open(dir: &StagingDir, name: &str, access: Access) -> Result<File, StagingError> {
    let flags = match access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::RDWR,
        Access::Make => OFlags::RDWR | OFlags::CREATE,
    };
    // `NONBLOCK`: do not wait for the other end of a pipe that somebody put here.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let not_a_file = || StagingError::NotAFile {
        dir: dir.path().to_owned(),
        file: name.to_owned(),
    };
    let mode = Mode::RUSR | Mode::WUSR;
    // Reads of staged blocks need not update the access time, which would cost as much as looking the block up.
    #[cfg(target_os = "linux")]
    let quiet = flags | OFlags::NOATIME;
    #[cfg(not(target_os = "linux"))]
    let quiet = flags;
    let opened = match rustix::fs::openat(dir.handle(), name, quiet, mode) {
        // Only the owner of a file may open it with `NOATIME`.
        // coverage: the tests own the files that they open.
        Err(Errno::PERM) => rustix::fs::openat(dir.handle(), name, flags, mode),
        opened => opened,
    };
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(not_a_file()),
        Err(errno) => return Err(StagingError::of("opening", name, errno.into())),
    };
    let stat =
        rustix::fs::fstat(&file).map_err(|errno| StagingError::of("stat", name, errno.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(not_a_file());
    }
    Ok(file)
}

/// Like [`open`], but returns `None` if there is no file of that name.
pub(crate) fn open_existing(
    dir: &StagingDir,
    name: &str,
    access: Access,
) -> Result<Option<File>, StagingError> {
    match open(dir, name, access) {
        Ok(file) => Ok(Some(file)),
        Err(StagingError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads from `offset` until `into` is full or the file ends. Returns the number of bytes read.
pub(crate) fn read_at_most(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt as _;
    let mut read = 0;
    while read < into.len() {
        match file.read_at(&mut into[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            // coverage: needs a disk that fails, or a signal on a slow one.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
