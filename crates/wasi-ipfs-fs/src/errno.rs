//! The only place that makes a guest's error code. No match here has a wildcard: a new way to fail does not compile
//! until it has its place in the table.
//!
//! | what happened | code |
//! |---|---|
//! | a name proven absent, a first segment that is no CID, a root proven unknown, a root or name not granted | `NoEntry` |
//! | a block below a found root missing, corrupt, late or refused; over the limit of fetched bytes | `Io` |
//! | any way to write | `NotPermitted`, as wasmtime-wasi's own read-only preopens |
//! | creating with `EXCLUSIVE` what exists | `Exist` |
//! | a file used as a directory; a directory read as a file | `NotDirectory`; `IsDirectory` |
//! | a directory where wasmtime-wasi wants a file's descriptor (advise, set-size, write) | `BadDescriptor` |
//! | more than 40 symlinks; opening a symlink with no-follow | `Loop` |
//! | leaving the preopen or mount | `NotPermitted` |
//! | rename or link between ours and native | `CrossDevice` |
//! | readlink of what is no link; open flags that exclude each other | `Invalid` |
//! | synchronised I/O asked for at open | `Unsupported` |
//! | handles over the limit; distinct targets over the limit; a path over the limit | `InsufficientMemory`; `Quota`; `NameTooLong` |
//!
//! `Interrupted` is never given (a guest's standard library would retry for ever), and no error becomes the end of
//! a file or an absence (I7).

use std::io;

use pinset::{Error, Limit};
use wasmtime_wasi::p2::{FsError, StreamError, bindings::filesystem::types::ErrorCode};

/// What this crate refuses by itself, without asking the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Any way to write, create, remove, link, rename, or set times or size.
    ReadOnly,
    /// Creating exclusively what is there.
    Exists,
    /// A directory's method on a file, or `DIRECTORY` at the opening of one.
    NotDirectory,
    /// A directory read as a file.
    ReadOfDirectory,
    /// A method on a directory that wasmtime-wasi has for files only.
    NotFile,
    /// Opening a symlink that is not to be followed.
    SymlinkNotFollowed,
    /// Linking or renaming between IPFS and a native directory.
    CrossDevice,
    /// `readlink` of what is no symlink.
    NotSymlink,
    /// `readlink` of content's symlink to an absolute path: wasmtime-wasi shows none.
    AbsoluteTarget,
    /// `DIRECTORY` together with a way to create or truncate.
    ContradictoryFlags,
    /// Synchronised I/O, which wasmtime-wasi has not either.
    SynchronisedIo,
}

impl From<Refusal> for FsError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ReadOnly | Refusal::AbsoluteTarget => ErrorCode::NotPermitted,
            Refusal::Exists => ErrorCode::Exist,
            Refusal::NotDirectory => ErrorCode::NotDirectory,
            Refusal::ReadOfDirectory => ErrorCode::IsDirectory,
            Refusal::NotFile => ErrorCode::BadDescriptor,
            Refusal::SymlinkNotFollowed => ErrorCode::Loop,
            Refusal::CrossDevice => ErrorCode::CrossDevice,
            Refusal::NotSymlink | Refusal::ContradictoryFlags => ErrorCode::Invalid,
            Refusal::SynchronisedIo => ErrorCode::Unsupported,
        }
        .into()
    }
}

/// The code for an error of the cache.
fn code(error: &Error) -> ErrorCode {
    match error {
        Error::InvalidPath { .. }
        | Error::InvalidName { .. }
        | Error::NotFound { .. }
        | Error::RootNotFound { .. }
        | Error::NotGranted { .. } => ErrorCode::NoEntry,
        Error::PathTooLong { .. } => ErrorCode::NameTooLong,
        Error::NotDirectory { .. } => ErrorCode::NotDirectory,
        Error::IsDirectory { .. } => ErrorCode::IsDirectory,
        Error::Escapes { .. } => ErrorCode::NotPermitted,
        Error::TooManySymlinks { .. } => ErrorCode::Loop,
        Error::LimitReached { limit, .. } => match limit {
            Limit::OpenHandles => ErrorCode::InsufficientMemory,
            Limit::Targets => ErrorCode::Quota,
            Limit::FetchedBytes => ErrorCode::Io,
        },
        Error::Fetch { .. }
        | Error::Corrupt { .. }
        | Error::Malformed { .. }
        | Error::Unsupported { .. }
        | Error::Closed
        // The rest is the host's own business; that a guest's call met it is a failure of the device to the guest.
        | Error::OverBudget { .. }
        | Error::BudgetTooSmall { .. }
        | Error::Pin { .. }
        | Error::Staging { .. }
        | Error::Write { .. }
        | Error::NoNames { .. }
        | Error::Name { .. } => ErrorCode::Io,
    }
}

/// An error of the cache as a descriptor's method gives it to the guest.
pub(crate) fn failed(error: Error) -> FsError {
    let code = code(&error);
    log(&error, code);
    code.into()
}

/// An error of the cache as a stream gives it to the guest: never `Closed`, which would look like the end of the
/// file (I7). [`stream_code`] finds the code again when the guest asks for it.
pub(crate) fn stream_failed(error: Error) -> StreamError {
    log(&error, code(&error));
    StreamError::LastOperationFailed(io::Error::other(error).into())
}

/// The code for a stream's error, if it is one of ours.
pub(crate) fn stream_code(error: &wasmtime::Error) -> Option<ErrorCode> {
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    Some(code(inner.downcast_ref::<Error>()?))
}

/// A guest sees a bare code. The host's log is the only place that says which block of what could not be had.
fn log(error: &Error, code: ErrorCode) {
    match code {
        ErrorCode::Io | ErrorCode::Quota | ErrorCode::InsufficientMemory => {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                ?code,
                "a guest's call failed"
            );
        }
        _ => tracing::debug!(
            // coverage: no test listens to what is of no concern.
            error = error as &dyn std::error::Error,
            ?code,
            "a guest's call failed"
        ),
    }
}

#[cfg(test)]
mod tests {
    use cid::Cid;
    use pinset::{Error, Limit};
    use wasmtime_wasi::p2::{StreamError, bindings::filesystem::types::ErrorCode};

    use super::{code, failed, stream_code, stream_failed};

    fn limit(limit: Limit) -> Error {
        Error::LimitReached { limit, value: 1 }
    }

    #[test]
    fn the_table() {
        let cid = Cid::default();
        let path = || String::from("x");
        let table = [
            (
                Error::InvalidPath {
                    path: path(),
                    reason: path(),
                },
                ErrorCode::NoEntry,
            ),
            (
                Error::NotFound {
                    name: path(),
                    directory: path(),
                },
                ErrorCode::NoEntry,
            ),
            (Error::RootNotFound { cid }, ErrorCode::NoEntry),
            (Error::NotGranted { cid }, ErrorCode::NoEntry),
            (
                Error::PathTooLong { len: 2, limit: 1 },
                ErrorCode::NameTooLong,
            ),
            (
                Error::NotDirectory { path: path() },
                ErrorCode::NotDirectory,
            ),
            (Error::IsDirectory { path: path() }, ErrorCode::IsDirectory),
            (Error::Escapes { path: path() }, ErrorCode::NotPermitted),
            (
                Error::TooManySymlinks {
                    path: path(),
                    limit: 40,
                },
                ErrorCode::Loop,
            ),
            (limit(Limit::OpenHandles), ErrorCode::InsufficientMemory),
            (limit(Limit::Targets), ErrorCode::Quota),
            (limit(Limit::FetchedBytes), ErrorCode::Io),
            (Error::Corrupt { cid, len: 1 }, ErrorCode::Io),
            (
                Error::Malformed {
                    cid,
                    reason: path(),
                },
                ErrorCode::Io,
            ),
            (Error::Unsupported { cid, what: path() }, ErrorCode::Io),
            (Error::Closed, ErrorCode::Io),
        ];
        for (error, wanted) in table {
            assert_eq!(code(&error), wanted, "{error}");
            let given = failed(error.clone()).downcast();
            assert_eq!(given.ok(), Some(wanted), "{error}");
            let StreamError::LastOperationFailed(given) = stream_failed(error.clone()) else {
                panic!("I7: {error} must not close a stream");
            };
            assert_eq!(stream_code(&given), Some(wanted), "{error}");
        }
    }

    #[test]
    fn a_native_stream_error_is_left_to_wasmtime_wasi() {
        let native = wasmtime::Error::from(std::io::Error::from_raw_os_error(5));
        assert_eq!(stream_code(&native), None);
        assert_eq!(
            stream_code(&wasmtime::Error::msg("no io error at all")),
            None
        );
    }
}
