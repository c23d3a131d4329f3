//! The crate's error codes in preview 2's types, for descriptors' methods and for streams.

use std::io;

use wasmtime_wasi::p2::{FsError, StreamError, bindings::filesystem::types::ErrorCode};

use crate::{
    errno::{self, Code, Failures, Refusal},
    node::Error,
};

impl From<Code> for ErrorCode {
    fn from(code: Code) -> Self {
        match code {
            Code::BadDescriptor => Self::BadDescriptor,
            Code::CrossDevice => Self::CrossDevice,
            Code::Exist => Self::Exist,
            Code::InsufficientMemory => Self::InsufficientMemory,
            Code::Invalid => Self::Invalid,
            Code::Io => Self::Io,
            Code::IsDirectory => Self::IsDirectory,
            Code::Loop => Self::Loop,
            Code::NameTooLong => Self::NameTooLong,
            Code::NoEntry => Self::NoEntry,
            Code::NotDirectory => Self::NotDirectory,
            Code::NotPermitted => Self::NotPermitted,
            Code::Quota => Self::Quota,
            Code::Unsupported => Self::Unsupported,
        }
    }
}

impl From<Refusal> for FsError {
    fn from(refusal: Refusal) -> Self {
        ErrorCode::from(refusal.code()).into()
    }
}

/// Converts an error of a node for a descriptor's method.
pub(crate) fn failed(error: Error, failures: &Failures) -> FsError {
    ErrorCode::from(failures.log(&error)).into()
}

/// Converts an error of a node for a stream. The result is never `Closed`, which would look like the end of the file
/// (I7). [`stream_code`] finds the code again when the guest asks for it.
pub(crate) fn stream_failed(error: Error, failures: &Failures) -> StreamError {
    failures.log(&error);
    StreamError::LastOperationFailed(io::Error::other(error).into())
}

/// Returns the code for a stream's error, if the error is ours.
pub(crate) fn stream_code(error: &wasmtime::Error) -> Option<ErrorCode> {
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    Some(errno::code(inner.downcast_ref::<Error>()?).into())
}

#[cfg(test)]
mod tests {
    use cid::Cid;
    use pinset::{Error, Limit};
    use wasmtime_wasi::p2::{StreamError, bindings::filesystem::types::ErrorCode};

    use super::{failed, stream_code, stream_failed};
    use crate::{
        errno::{Failures, code},
        node,
    };

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
            (Error::NotGranted { root: cid.into() }, ErrorCode::NoEntry),
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
        let table = table.map(|(error, wanted)| (node::Error::from(error), wanted));
        let of_trees = [
            (node::Error::NotFound { name: path() }, ErrorCode::NoEntry),
            (
                node::Error::NotDirectory { path: path() },
                ErrorCode::NotDirectory,
            ),
            (
                node::Error::Escapes { path: path() },
                ErrorCode::NotPermitted,
            ),
            (
                node::Error::TooManySymlinks { path: path() },
                ErrorCode::Loop,
            ),
            (
                node::Error::PathTooLong { len: 2, limit: 1 },
                ErrorCode::NameTooLong,
            ),
            (
                node::Error::failed(std::io::Error::other("x")),
                ErrorCode::Io,
            ),
        ];
        let failures = Failures::default();
        for (error, wanted) in table.into_iter().chain(of_trees) {
            assert_eq!(ErrorCode::from(code(&error)), wanted, "{error}");
            let given = failed(error.clone(), &failures).downcast();
            assert_eq!(given.ok(), Some(wanted), "{error}");
            let StreamError::LastOperationFailed(given) = stream_failed(error.clone(), &failures)
            else {
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
