//! The calls of POSIX that `std` lacks on WASI, wrapped in `io::Result`.
//!
//! This is the only unsafe code of the guests. Invariant: every pointer passed to a call is used only during the call,
//! and every directory stream is closed once, by its drop.
#![allow(
    unsafe_code,
    reason = "libc is the only way to these calls; each block is one call"
)]

use std::{
    ffi::{CStr, CString, c_char, c_int},
    fs::File,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

fn c_path(path: &str) -> io::Result<CString> {
    CString::new(path).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn done(status: c_int) -> io::Result<()> {
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn count(status: isize) -> io::Result<usize> {
    usize::try_from(status).map_err(|_| io::Error::last_os_error())
}

/// Reads at `offset`, without moving the file's position.
pub fn pread(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    // An offset too large for off_t becomes negative, for which EINVAL is the right error.
    let offset = offset as libc::off_t;
    // SAFETY: the buffer is valid for writes of its own length.
    count(unsafe {
        libc::pread(
            file.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            offset,
        )
    })
}

/// Reads at `offset` until `buffer` is full or the file ends. Returns how many bytes that was.
pub fn pread_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match pread(file, &mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// Writes at `offset`, without moving the file's position.
pub fn pwrite(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    let offset = offset as libc::off_t;
    // SAFETY: the slice is valid for reads of its own length.
    count(unsafe { libc::pwrite(file.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), offset) })
}

/// Makes a symlink at `link` to `target`.
pub fn symlink(target: &str, link: &str) -> io::Result<()> {
    let (target, link) = (c_path(target)?, c_path(link)?);
    // SAFETY: both strings end in NUL and outlive the call.
    done(unsafe { libc::symlink(target.as_ptr(), link.as_ptr()) })
}

/// Reads a symlink into a buffer of `size` bytes, which may be too small.
pub fn readlink(path: &str, size: usize) -> io::Result<Vec<u8>> {
    let path = c_path(path)?;
    let mut buffer = vec![0; size];
    // SAFETY: the buffer is valid for writes of `size` bytes.
    let read = unsafe { libc::readlink(path.as_ptr(), buffer.as_mut_ptr().cast::<c_char>(), size) };
    buffer.truncate(count(read)?);
    Ok(buffer)
}

/// The right that [`access`] checks.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// The path exists.
    Exists,
    /// The path can be read.
    Read,
    /// The path can be written.
    Write,
}

/// Checks whether the path may be used in this way.
pub fn access(path: &str, mode: Mode) -> io::Result<()> {
    let path = c_path(path)?;
    let mode = match mode {
        Mode::Exists => libc::F_OK,
        Mode::Read => libc::R_OK,
        Mode::Write => libc::W_OK,
    };
    // SAFETY: the string ends in NUL and outlives the call.
    done(unsafe { libc::access(path.as_ptr(), mode) })
}

/// How [`open`] and [`open_at`] open a path.
#[derive(Clone, Copy, Debug)]
pub enum Open {
    /// Open for reading.
    Read,
    /// Open for reading, if it is a directory.
    Directory,
    /// Open for reading, if it is not a symlink.
    NoFollow,
    /// Open for reading, and empty it.
    Truncate,
}

impl Open {
    fn flags(self) -> c_int {
        match self {
            Self::Read => libc::O_RDONLY,
            Self::Directory => libc::O_RDONLY | libc::O_DIRECTORY,
            Self::NoFollow => libc::O_RDONLY | libc::O_NOFOLLOW,
            Self::Truncate => libc::O_RDONLY | libc::O_TRUNC,
        }
    }
}

fn owned(descriptor: c_int) -> io::Result<File> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, and nobody else owns it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

/// Opens a path.
pub fn open(path: &str, how: Open) -> io::Result<File> {
    let path = c_path(path)?;
    // SAFETY: the string ends in NUL and outlives the call.
    owned(unsafe { libc::open(path.as_ptr(), how.flags()) })
}

/// Opens a path below an open directory.
pub fn open_at(directory: &File, path: &str, how: Open) -> io::Result<File> {
    let path = c_path(path)?;
    // SAFETY: the string ends in NUL and outlives the call.
    owned(unsafe { libc::openat(directory.as_raw_fd(), path.as_ptr(), how.flags()) })
}

/// Opens a path below an open directory, and passes it to the host unchanged.
///
/// `openat` resolves an absolute path against the preopens inside the guest. A guest that is written to break out skips
/// that step.
pub fn open_at_verbatim(directory: &File, path: &str, how: Open) -> io::Result<File> {
    #[cfg(not(target_os = "wasi"))]
    {
        open_at(directory, path, how)
    }
    #[cfg(target_os = "wasi")]
    {
        let path = c_path(path)?;
        // SAFETY: the string ends in NUL and outlives the call.
        owned(unsafe {
            libc::__wasilibc_nocwd_openat_nomode(directory.as_raw_fd(), path.as_ptr(), how.flags())
        })
    }
}

/// The facts of `stat` that `std`'s metadata lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The device's number.
    pub device: u64,
    /// The file's inode number.
    pub inode: u64,
    /// The number of hard links.
    pub links: u64,
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the widths of these fields differ between systems"
)]
fn identity(fill: impl FnOnce(*mut libc::stat) -> c_int) -> io::Result<Identity> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    done(fill(stat.as_mut_ptr()))?;
    // SAFETY: all zeroes is a valid `stat`, and the call has filled it.
    let stat = unsafe { stat.assume_init() };
    Ok(Identity {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        links: stat.st_nlink as u64,
    })
}

/// Returns the identity of a path's target.
pub fn identity_of_path(path: &str) -> io::Result<Identity> {
    let path = c_path(path)?;
    // SAFETY: the string ends in NUL, and the pointer is valid for a `stat`.
    identity(|stat| unsafe { libc::stat(path.as_ptr(), stat) })
}

/// Whether [`identity_of_path`] follows a symlink for the inode number.
///
/// The libc of preview 2 requests the metadata with following, but the hash that becomes the inode number without.
pub const NUMBER_IS_FOLLOWED: bool = !cfg!(target_env = "p2");

/// Returns the identity of the path itself, even if it is a symlink.
pub fn identity_of_link(path: &str) -> io::Result<Identity> {
    let path = c_path(path)?;
    // SAFETY: as above.
    identity(|stat| unsafe { libc::lstat(path.as_ptr(), stat) })
}

/// Returns the identity of an open file.
pub fn identity_of_file(file: &File) -> io::Result<Identity> {
    // SAFETY: the pointer is valid for a `stat`.
    identity(|stat| unsafe { libc::fstat(file.as_raw_fd(), stat) })
}

/// Whose time [`set_modified_at`] sets.
#[derive(Clone, Copy, Debug)]
pub enum Follow {
    /// The symlink's target.
    Target,
    /// The symlink itself.
    Link,
}

/// Sets the time of the last change by path, and keeps the time of the last access.
#[allow(
    clippy::unnecessary_cast,
    reason = "the widths of these constants differ between systems"
)]
pub fn set_modified_at(path: &str, time: SystemTime, follow: Follow) -> io::Result<()> {
    let path = c_path(path)?;
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let spec = |seconds: u64, nanoseconds: i64| libc::timespec {
        tv_sec: seconds as libc::time_t,
        tv_nsec: nanoseconds as _,
    };
    let times = [
        spec(0, i64::from(libc::UTIME_OMIT as i32)),
        spec(since.as_secs(), i64::from(since.subsec_nanos())),
    ];
    let flags = match follow {
        Follow::Target => 0,
        Follow::Link => libc::AT_SYMLINK_NOFOLLOW,
    };
    // SAFETY: the string ends in NUL, and `times` holds the two that the call reads.
    done(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), flags) })
}

/// Reserves space in a file. Unlike the others, the call returns its error.
pub fn allocate(file: &File, length: u64) -> io::Result<()> {
    // SAFETY: no pointer is handed over.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length as libc::off_t) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Tells the host how the file will be read. Unlike the others, the call returns its error.
pub fn advise_sequential(file: &File) -> io::Result<()> {
    let advice = libc::POSIX_FADV_SEQUENTIAL;
    // SAFETY: no pointer is handed over.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, advice) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// A directory stream. Unlike `std`'s, it can be rewound, and can tell its position.
#[derive(Debug)]
pub struct Directory(*mut libc::DIR);

/// An entry of a [`Directory`]; `.` and `..` are included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The file's inode number in the listing.
    pub inode: u64,
    /// The type in the listing: `d` for a directory, `f` for a file, `l` for a symlink, `?` for anything else. The
    /// standard library asks for it separately where the listing does not tell it.
    pub kind: char,
}

impl Directory {
    /// Opens a directory for listing.
    pub fn open(path: &str) -> io::Result<Self> {
        let path = c_path(path)?;
        // SAFETY: the string ends in NUL and outlives the call.
        let stream = unsafe { libc::opendir(path.as_ptr()) };
        match stream.is_null() {
            true => Err(io::Error::last_os_error()),
            false => Ok(Self(stream)),
        }
    }

    /// Returns the next entry, or `None` at the end.
    pub fn next_entry(&mut self) -> Option<Entry> {
        // SAFETY: the stream is open, and `&mut` excludes other users.
        let entry = unsafe { libc::readdir(self.0).as_ref()? };
        // `d_name` is declared as an array of zero or of the maximum length, so a reference to it would not cover
        // the name. Its address is taken instead.
        // SAFETY: `readdir` ends the name in NUL, and it is valid until the next call.
        let name = unsafe { CStr::from_ptr((&raw const entry.d_name).cast()) };
        Some(Entry {
            name: name.to_string_lossy().into_owned(),
            #[allow(
                clippy::unnecessary_cast,
                reason = "the width of the field differs between systems"
            )]
            inode: entry.d_ino as u64,
            kind: match entry.d_type {
                libc::DT_DIR => 'd',
                libc::DT_REG => 'f',
                libc::DT_LNK => 'l',
                _ => '?',
            },
        })
    }

    /// Returns the remaining entries.
    pub fn remaining(&mut self) -> Vec<Entry> {
        std::iter::from_fn(|| self.next_entry()).collect()
    }

    /// Moves back to the first entry.
    pub fn rewind(&mut self) {
        // SAFETY: the stream is open.
        unsafe { libc::rewinddir(self.0) }
    }

    /// Returns the current position, for [`seek`](Self::seek).
    pub fn tell(&mut self) -> libc::c_long {
        // SAFETY: the stream is open.
        unsafe { libc::telldir(self.0) }
    }

    /// Moves to a position from [`tell`](Self::tell).
    pub fn seek(&mut self, position: libc::c_long) {
        // SAFETY: the stream is open.
        unsafe { libc::seekdir(self.0, position) }
    }

    /// Returns the descriptor behind the stream.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as the stream is, which outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(libc::dirfd(self.0)) }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and this is its only close.
        unsafe { libc::closedir(self.0) };
    }
}
