//! The one table of a guest's error codes, for all previews: what happened becomes a [`Code`] here, and nowhere else.
//! Each preview's `errno` spells a `Code` in its own type. No match here has a wildcard: a new way to
//! fail does not compile until it has its place in the table.
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

use pinset::{Error, Limit};

/// An error code, by the name that WASI has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BadDescriptor,
    CrossDevice,
    Exist,
    InsufficientMemory,
    Invalid,
    Io,
    IsDirectory,
    Loop,
    NameTooLong,
    NoEntry,
    NotDirectory,
    NotPermitted,
    Quota,
    Unsupported,
}

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

impl Refusal {
    /// Its code.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::ReadOnly | Self::AbsoluteTarget => Code::NotPermitted,
            Self::Exists => Code::Exist,
            Self::NotDirectory => Code::NotDirectory,
            Self::ReadOfDirectory => Code::IsDirectory,
            Self::NotFile => Code::BadDescriptor,
            Self::SymlinkNotFollowed => Code::Loop,
            Self::CrossDevice => Code::CrossDevice,
            Self::NotSymlink | Self::ContradictoryFlags => Code::Invalid,
            Self::SynchronisedIo => Code::Unsupported,
        }
    }
}

/// The code for an error of the cache.
pub(crate) fn code(error: &Error) -> Code {
    match error {
        Error::InvalidPath { .. }
        | Error::InvalidName { .. }
        | Error::NotFound { .. }
        | Error::RootNotFound { .. }
        | Error::NotGranted { .. } => Code::NoEntry,
        Error::PathTooLong { .. } => Code::NameTooLong,
        Error::NotDirectory { .. } => Code::NotDirectory,
        Error::IsDirectory { .. } => Code::IsDirectory,
        Error::Escapes { .. } => Code::NotPermitted,
        Error::TooManySymlinks { .. } => Code::Loop,
        Error::LimitReached { limit, .. } => match limit {
            Limit::OpenHandles => Code::InsufficientMemory,
            Limit::Targets => Code::Quota,
            Limit::FetchedBytes => Code::Io,
            // One that is newer than this table.
            _ => Code::Io,
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
        | Error::Name { .. } => Code::Io,
        // One that is newer than this table.
        _ => Code::Io,
    }
}

/// The code for an error that ends a guest's call, once it is in the host's log. A guest sees a bare code: the log is
/// the only place that says which block of what could not be had.
pub(crate) fn logged(error: &Error) -> Code {
    let code = code(error);
    match code {
        Code::Io | Code::Quota | Code::InsufficientMemory => {
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
    code
}
