//! IPNS records, verified here: bytes and a time go in, a verified record or the reason against it comes out.
//!
//! Pure: no network, no clock, no files. The formats are those of <https://specs.ipfs.tech/ipns/ipns-record/>.
//!
//! * [`KeyName`]: a name that is the hash of a public key, in any of its spellings.
//! * [`IpnsRecord`]: a record whose signature was made by that key.
//! * [`Target`]: the path that a record points to.
//! * [`RecordError`]: why a record does not count.
//!
//! The keys are Ed25519, and RSA of 2048 to 8192 bits. ECDSA and secp256k1, which the specification leaves to private
//! use, are refused by name. The deprecated signature V1 is never looked at.

mod error;
mod key_name;
mod public_key;
mod record;
mod target;
mod time;

pub use error::{MAX_RECORD, RecordError};
pub use key_name::{KeyName, ParseKeyNameError};
pub use record::IpnsRecord;
pub use target::Target;
pub(crate) use target::is_domain;
