//! The crate's error codes in preview 3's types.

use wasmtime_wasi::p3::{bindings::filesystem::types::ErrorCode, filesystem::FilesystemError};

use crate::errno::{Code, Refusal};

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

impl From<Code> for FilesystemError {
    fn from(code: Code) -> Self {
        ErrorCode::from(code).into()
    }
}

impl From<Refusal> for FilesystemError {
    fn from(refusal: Refusal) -> Self {
        refusal.code().into()
    }
}
