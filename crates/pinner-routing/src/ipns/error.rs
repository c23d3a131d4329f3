//! Why a record does not count.

use std::time::Duration;

/// The largest record, in bytes (<https://specs.ipfs.tech/ipns/ipns-record/#record-size-limit>).
pub const MAX_RECORD: usize = 10 * 1024;

/// Why a record does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is larger than [`MAX_RECORD`].
    #[error("the record has {length} bytes, more than {MAX_RECORD}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// It is not a record.
    #[error("it is not an IPNS record: {reason}")]
    Malformed {
        /// The defect.
        reason: &'static str,
    },
    /// It has no signature V2. The signature V1 alone, which is deprecated, protects too little.
    #[error("the record has no signature of version 2")]
    NoSignature,
    /// The key in the record is not the one that the name is made from.
    #[error("the record's key is not the one of the name")]
    WrongKey,
    /// A kind of key that is not supported.
    #[error("the record's key is of an unsupported kind: {kind}")]
    UnsupportedKey {
        /// The kind.
        kind: &'static str,
    },
    /// The key of the name did not make the signature.
    #[error("the record's signature is wrong")]
    WrongSignature,
    /// A copy of a field for old readers differs from the field that is signed.
    #[error("the record contradicts itself: '{field}' differs from what is signed")]
    Contradiction {
        /// The field.
        field: &'static str,
    },
    /// Another kind of validity than the one that there is, until a date.
    #[error("the record's validity is of the unknown type {kind}")]
    UnknownValidity {
        /// The type.
        kind: u64,
    },
    /// The record has expired.
    #[error("the record expired {ago:?} ago")]
    Expired {
        /// How long ago.
        ago: Duration,
    },
}
