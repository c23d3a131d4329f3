//! Error codes and types by the names that the other guests print.

use wasip3::filesystem::types::{DescriptorType, ErrorCode};

/// `ok`, or the error's name.
pub(crate) fn outcome<T>(result: &Result<T, ErrorCode>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(code) => name(code),
    }
}

/// `ENOENT` and its like.
pub(crate) fn name(code: &ErrorCode) -> String {
    let name = match code {
        ErrorCode::BadDescriptor => "EBADF",
        ErrorCode::CrossDevice => "EXDEV",
        ErrorCode::Exist => "EEXIST",
        ErrorCode::InsufficientMemory => "ENOMEM",
        ErrorCode::Invalid => "EINVAL",
        ErrorCode::Io => "EIO",
        ErrorCode::IsDirectory => "EISDIR",
        ErrorCode::Loop => "ELOOP",
        ErrorCode::NameTooLong => "ENAMETOOLONG",
        ErrorCode::NoEntry => "ENOENT",
        ErrorCode::NotDirectory => "ENOTDIR",
        ErrorCode::NotPermitted => "EPERM",
        ErrorCode::Quota => "EDQUOT",
        ErrorCode::Unsupported => "ENOTSUP",
        other => return format!("{other:?}"),
    };
    name.to_owned()
}

/// `d` for a directory, `f` for a file, `l` for a symlink, `?` for anything else.
pub(crate) fn letter(kind: &DescriptorType) -> char {
    match kind {
        DescriptorType::Directory => 'd',
        DescriptorType::RegularFile => 'f',
        DescriptorType::SymbolicLink => 'l',
        _ => '?',
    }
}
