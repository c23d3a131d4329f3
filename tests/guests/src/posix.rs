//! The calls of POSIX that `std` does not have on WASI, with `io::Result` around them.
//!
//! The only unsafe code of the guests. Invariant: every pointer handed out lives for the call alone, and every
//! directory stream is closed once, by its drop.
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
    // An offset that off_t has no room for arrives negative, which is EINVAL, as it should be.
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

/// Reads at `offset` until `buffer` is full or the file ends; how much that was.
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

/// Makes a symlink at `link` that holds `target`.
pub fn symlink(target: &str, link: &str) -> io::Result<()> {
    let (target, link) = (c_path(target)?, c_path(link)?);
    // SAFETY: both strings end in NUL and outlive the call.
    done(unsafe { libc::symlink(target.as_ptr(), link.as_ptr()) })
}

/// Reads a symlink into a buffer of `size` bytes, which may be too small for it.
pub fn readlink(path: &str, size: usize) -> io::Result<Vec<u8>> {
    let path = c_path(path)?;
    let mut buffer = vec![0; size];
    // SAFETY: the buffer is valid for writes of `size` bytes.
    let read = unsafe { libc::readlink(path.as_ptr(), buffer.as_mut_ptr().cast::<c_char>(), size) };
    buffer.truncate(count(read)?);
    Ok(buffer)
}

/// What [`access`] asks for.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// That it is there.
    Exists,
    /// That it can be read.
    Read,
    /// That it can be written.
    Write,
}

/// Whether the path may be used so.
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

/// What [`open`] and [`open_at`] are to do.
#[derive(Clone, Copy, Debug)]
pub enum Open {
    /// Open for reading.
    Read,
    /// Open for reading, if it is a directory.
    Directory,
    /// Open for reading, if it is no symlink.
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

/// Opens a path below an open directory, handing it to the host just as it is.
///
/// `openat` resolves an absolute path against the preopens inside the guest; whoever writes a guest to break
/// out leaves that away.
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

/// What `stat` tells beyond `std`'s metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The device's number.
    pub device: u64,
    /// The file's number on it.
    pub inode: u64,
    /// How many names it has.
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

/// The identity of what a path leads to.
pub fn identity_of_path(path: &str) -> io::Result<Identity> {
    let path = c_path(path)?;
    // SAFETY: the string ends in NUL, and the pointer is valid for a `stat`.
    identity(|stat| unsafe { libc::stat(path.as_ptr(), stat) })
}

/// Whether [`identity_of_path`] follows a symlink for the file's number.
///
/// The libc of preview 2 asks for the metadata with following, and for the hash that makes the number without.
pub const NUMBER_IS_FOLLOWED: bool = !cfg!(target_env = "p2");

/// The identity of what a path names, be it a symlink.
pub fn identity_of_link(path: &str) -> io::Result<Identity> {
    let path = c_path(path)?;
    // SAFETY: as above.
    identity(|stat| unsafe { libc::lstat(path.as_ptr(), stat) })
}

/// The identity of an open file.
pub fn identity_of_file(file: &File) -> io::Result<Identity> {
    // SAFETY: the pointer is valid for a `stat`.
    identity(|stat| unsafe { libc::fstat(file.as_raw_fd(), stat) })
}

/// Whose times [`set_modified_at`] sets.
#[derive(Clone, Copy, Debug)]
pub enum Follow {
    /// What a symlink leads to.
    Target,
    /// The symlink itself.
    Link,
}

/// Sets the time of the last change by path; the time of the last access stays.
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

/// Reserves room in a file; unlike the others, the call returns its error.
pub fn allocate(file: &File, length: u64) -> io::Result<()> {
    // SAFETY: no pointer is handed over.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length as libc::off_t) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Tells the host how the file will be read; unlike the others, the call returns its error.
pub fn advise_sequential(file: &File) -> io::Result<()> {
    let advice = libc::POSIX_FADV_SEQUENTIAL;
    // SAFETY: no pointer is handed over.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, advice) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// A directory stream, which unlike `std`'s can be rewound and told its position.
#[derive(Debug)]
pub struct Directory(*mut libc::DIR);

/// One name of a [`Directory`], `.` and `..` among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The file's number, as the listing tells it.
    pub inode: u64,
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

    /// The next entry; none at the end.
    pub fn next_entry(&mut self) -> Option<Entry> {
        // SAFETY: the stream is open, and `&mut` keeps anybody else from it.
        let entry = unsafe { libc::readdir(self.0).as_ref()? };
        // The name is as long as it is: `d_name` is declared as an array of no or of most bytes, so a
        // reference to it would not cover the name, and its address is taken instead.
        // SAFETY: `readdir` ends the name in NUL, and it is valid until the next call.
        let name = unsafe { CStr::from_ptr((&raw const entry.d_name).cast()) };
        Some(Entry {
            name: name.to_string_lossy().into_owned(),
            #[allow(
                clippy::unnecessary_cast,
                reason = "the width of the field differs between systems"
            )]
            inode: entry.d_ino as u64,
        })
    }

    /// The rest of the entries.
    pub fn remaining(&mut self) -> Vec<Entry> {
        std::iter::from_fn(|| self.next_entry()).collect()
    }

    /// Back to the first entry.
    pub fn rewind(&mut self) {
        // SAFETY: the stream is open.
        unsafe { libc::rewinddir(self.0) }
    }

    /// Where the stream stands, for [`seek`](Self::seek).
    pub fn tell(&mut self) -> libc::c_long {
        // SAFETY: the stream is open.
        unsafe { libc::telldir(self.0) }
    }

    /// To where [`tell`](Self::tell) said it stood.
    pub fn seek(&mut self, position: libc::c_long) {
        // SAFETY: the stream is open.
        unsafe { libc::seekdir(self.0, position) }
    }

    /// The descriptor behind the stream.
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
