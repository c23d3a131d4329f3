//! The error of opening an archive. Reading blocks has [`PinnerError`]s, as of every backend.

use pinner_api::PinnerError;
use pinner_car::CarError;

/// Why an archive cannot be opened. Each message names the archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// Nothing was sent: the address or the settings cannot be used.
    #[error("'{name}' cannot be read: {reason}")]
    Unusable {
        /// The archive.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The archive cannot be read. The cause is the `source`, which says whether it may pass.
    #[error("'{name}' cannot be read")]
    Read {
        /// The archive.
        name: String,
        /// The cause.
        source: PinnerError,
    },
    /// The server does not say which version of the object it serves, so that ranges of two versions could be mixed.
    #[error("'{name}' has no ETag, so a change of it would not be seen; copy it to a local file")]
    NoEtag {
        /// The archive.
        name: String,
    },
    /// The object is not a CAR that can be read.
    #[error(transparent)]
    Car(#[from] CarError),
    /// The archive has no index that can be used, and is larger than a scan may be.
    #[error(
        "'{name}' has no index, and reading all of its {size} bytes once is more than the limit of {limit}; \
         raise the limit, or make a CARv2 with an index of it"
    )]
    ScanTooLarge {
        /// The archive.
        name: String,
        /// The number of bytes to be read.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The index would take too much memory.
    #[error("'{name}' has more than {limit} blocks, which is the limit")]
    TooManyBlocks {
        /// The archive.
        name: String,
        /// The limit.
        limit: usize,
    },
}
