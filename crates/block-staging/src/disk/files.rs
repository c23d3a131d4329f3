//! How a file of a staging directory is opened: by a constant name (I4), never through a link, never waiting, and
//! only if it is a file.

use std::{fs::File, io};

use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use crate::{error::StagingError, lock_dir::StagingDir};

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// To be read.
    Read,
    /// To be read and written, if it is there.
    Write,
    /// To be read and written, and made (mode 0600) if it is not there.
    Make,
}

/// Opens `name`.
///
/// # Errors
/// [`StagingError::NotAFile`], and what the system says.
pub(crate) fn open(dir: &StagingDir, name: &str, access: Access) -> Result<File, StagingError> {
    let flags = match access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::RDWR,
        Access::Make => OFlags::RDWR | OFlags::CREATE,
    };
    // Not waiting for the other end of a pipe that somebody put here.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let not_a_file = || StagingError::NotAFile {
        dir: dir.path().to_owned(),
        file: name.to_owned(),
    };
    let mode = Mode::RUSR | Mode::WUSR;
    // A read of a staged block is no reason to note a time, which costs as much as looking the block up.
    #[cfg(target_os = "linux")]
    let quiet = flags | OFlags::NOATIME;
    #[cfg(not(target_os = "linux"))]
    let quiet = flags;
    let opened = match rustix::fs::openat(dir.handle(), name, quiet, mode) {
        // Only a file's owner may ask for that.
        // coverage: the tests open what they made.
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

/// As [`open`], but `None` where there is none of that name.
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

/// Fills `into` from `offset` on, as far as the file goes.
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
