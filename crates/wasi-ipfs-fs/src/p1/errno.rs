//! The crate's error codes in preview 1's types.

use wasmtime_wasi::p1::types::{self, Errno};

use crate::{
    errno::{Code, Failures, Refusal},
    node,
};

impl From<Code> for Errno {
    fn from(code: Code) -> Self {
        match code {
            Code::BadDescriptor => Self::Badf,
            Code::CrossDevice => Self::Xdev,
            Code::Exist => Self::Exist,
            Code::InsufficientMemory => Self::Nomem,
            Code::Invalid => Self::Inval,
            Code::Io => Self::Io,
            Code::IsDirectory => Self::Isdir,
            Code::Loop => Self::Loop,
            Code::NameTooLong => Self::Nametoolong,
            Code::NoEntry => Self::Noent,
            Code::NotDirectory => Self::Notdir,
            Code::NotPermitted => Self::Perm,
            Code::Quota => Self::Dquot,
            Code::Unsupported => Self::Notsup,
        }
    }
}

impl From<Refusal> for types::Error {
    fn from(refusal: Refusal) -> Self {
        Errno::from(refusal.code()).into()
    }
}

/// Converts a code for a call.
pub(super) fn coded(code: Code) -> types::Error {
    Errno::from(code).into()
}

/// Converts an error of a node for a call.
pub(super) fn failed(error: &node::Error, failures: &Failures) -> types::Error {
    coded(failures.log(error))
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::{p1::types::Errno, p2::bindings::filesystem::types::ErrorCode};

    use crate::errno::Code;

    /// wasmtime-wasi converts preview 2's codes itself.
    #[test]
    fn both_previews_spell_a_code_alike() {
        for code in [
            Code::BadDescriptor,
            Code::CrossDevice,
            Code::Exist,
            Code::InsufficientMemory,
            Code::Invalid,
            Code::Io,
            Code::IsDirectory,
            Code::Loop,
            Code::NameTooLong,
            Code::NoEntry,
            Code::NotDirectory,
            Code::NotPermitted,
            Code::Quota,
            Code::Unsupported,
        ] {
            assert_eq!(
                Errno::from(code),
                Errno::from(ErrorCode::from(code)),
                "{code:?}"
            );
        }
    }
}
