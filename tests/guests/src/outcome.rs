//! The result of a call in words that are the same on preview 1, preview 2 and the host: the names of errno.
//!
//! Errors are compared by errno and not by `ErrorKind`, since `std` folds several errnos into one kind and
//! keeps some kinds to itself.

use std::{fmt::Debug, io};

/// The names of the errors that a guest may meet. Their numbers differ between WASI and other systems.
const NAMES: &[(i32, &str)] = &[
    (libc::EACCES, "EACCES"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::EBADF, "EBADF"),
    (libc::EBUSY, "EBUSY"),
    (libc::EDQUOT, "EDQUOT"),
    (libc::EEXIST, "EEXIST"),
    (libc::EFBIG, "EFBIG"),
    (libc::EILSEQ, "EILSEQ"),
    (libc::EINTR, "EINTR"),
    (libc::EINVAL, "EINVAL"),
    (libc::EIO, "EIO"),
    (libc::EISDIR, "EISDIR"),
    (libc::ELOOP, "ELOOP"),
    (libc::EMFILE, "EMFILE"),
    (libc::ENAMETOOLONG, "ENAMETOOLONG"),
    (libc::ENFILE, "ENFILE"),
    (libc::ENOENT, "ENOENT"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::ENOTDIR, "ENOTDIR"),
    (libc::ENOTEMPTY, "ENOTEMPTY"),
    (libc::ENOTSUP, "ENOTSUP"),
    (libc::EOVERFLOW, "EOVERFLOW"),
    (libc::EPERM, "EPERM"),
    (libc::EROFS, "EROFS"),
    (libc::ESPIPE, "ESPIPE"),
    (libc::EXDEV, "EXDEV"),
    #[cfg(target_os = "wasi")]
    (libc::ENOTCAPABLE, "ENOTCAPABLE"),
];

/// Leaving the preopen, or writing to a read-only tree.
pub const NOT_PERMITTED: &[i32] = &[libc::EPERM];
/// No such name.
pub const NO_ENTRY: &[i32] = &[libc::ENOENT];
/// A file where a directory is expected.
pub const NOT_A_DIRECTORY: &[i32] = &[libc::ENOTDIR];
/// A directory where a file is expected.
pub const IS_A_DIRECTORY: &[i32] = &[libc::EISDIR];
/// Too many symlinks, or a symlink where none is allowed.
pub const LOOP: &[i32] = &[libc::ELOOP];
/// The call does not apply to this file.
pub const INVALID: &[i32] = &[libc::EINVAL];
/// The name exists already.
pub const EXISTS: &[i32] = &[libc::EEXIST];
/// A rename or link between two file systems.
pub const CROSS_DEVICE: &[i32] = &[libc::EXDEV];
/// The content cannot be loaded.
pub const IO: &[i32] = &[libc::EIO];

/// Returns the error's name, such as `ENOENT`. An error that `std` made up is named by its kind: `std:UnexpectedEof`.
pub fn name(error: &io::Error) -> String {
    match error.raw_os_error() {
        None => format!("std:{:?}", error.kind()),
        Some(code) => NAMES
            .iter()
            .find(|(known, _)| *known == code)
            .map_or_else(|| format!("errno {code}"), |(_, name)| (*name).to_owned()),
    }
}

/// Returns `ok VALUE`, or the error's name.
pub fn text<T: Debug>(result: &io::Result<T>) -> String {
    match result {
        Ok(value) => format!("ok {value:?}"),
        Err(error) => name(error),
    }
}

/// Prints `what: ` and the result of the call.
pub fn show<T: Debug>(what: &str, result: io::Result<T>) {
    println!("{what}: {}", text(&result));
}

/// Returns the value. An error ends the guest with a message that says what failed.
#[track_caller]
pub fn succeeds<T>(what: &str, result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {} ({error})", name(&error)))
}

/// Asserts that the call failed with one of `wanted`, and prints which one.
#[track_caller]
pub fn fails<T>(what: &str, result: io::Result<T>, wanted: &[i32]) {
    let error = quietly_fails(what, result, wanted);
    println!("{what}: {}", name(&error));
}

/// Asserts that the call failed with one of `wanted`, and returns the error.
#[track_caller]
pub fn quietly_fails<T>(what: &str, result: io::Result<T>, wanted: &[i32]) -> io::Error {
    let names = || {
        let named = wanted
            .iter()
            .map(|code| io::Error::from_raw_os_error(*code));
        named
            .map(|error| name(&error))
            .collect::<Vec<_>>()
            .join(" or ")
    };
    match result {
        Ok(_) => panic!("{what}: succeeded, where {} was wanted", names()),
        Err(error)
            if error
                .raw_os_error()
                .is_some_and(|code| wanted.contains(&code)) =>
        {
            error
        }
        Err(error) => panic!(
            "{what}: {} ({error}), where {} was wanted",
            name(&error),
            names()
        ),
    }
}
