//! Why there is no [`KuboPinner`](crate::KuboPinner): what building one can meet.
//!
//! Once there is one, its calls fail by [`PinnerError`](pinner_api::PinnerError).

use std::{path::PathBuf, time::Duration};

use pinner_api::Cause;
use pinner_http::Endpoint;

use kubo_protocol::Version;

/// Why a node could not be connected to. A variant is what can be done about it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KuboError {
    /// No address was given, and nothing says where a repository is.
    #[error(
        "no address of a Kubo node is given, and neither IPFS_PATH nor HOME says where a repository is: give the \
         address of the node's RPC, such as /ip4/127.0.0.1/tcp/5001"
    )]
    NoRepository,
    /// No address was given, and the repository does not say that a daemon is running.
    #[error(
        "no Kubo daemon is running on the repository: there is no file {}; start one with `ipfs daemon`, or give the \
         address of a node's RPC, such as /ip4/127.0.0.1/tcp/5001", looked_for.display()
    )]
    NoAddress {
        /// The file in which a running daemon leaves its address.
        looked_for: PathBuf,
    },
    /// A file of the repository's holds no address.
    #[error("{} does not hold a usable address: {reason}", file.display())]
    BadAddress {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting of the builder's cannot be used.
    #[error("these settings cannot be used for {endpoint}: {reason}")]
    Settings {
        /// Whom they are for.
        endpoint: Box<Endpoint>,
        /// What is wrong with which.
        reason: String,
    },
    /// Nobody answers there.
    #[error(
        "no Kubo node can be reached at {endpoint}: is the daemon running, and is this its RPC's address?"
    )]
    Unreachable {
        /// The address of the RPC.
        endpoint: Box<Endpoint>,
        /// What the attempt met.
        source: Cause,
    },
    /// Somebody accepts the connection, and does not answer in time.
    #[error(
        "the Kubo node at {endpoint} did not tell its version within {after:?}: is it overloaded, or stopped?"
    )]
    NoAnswer {
        /// The address of the RPC.
        endpoint: Box<Endpoint>,
        /// How long was waited.
        after: Duration,
    },
    /// Somebody answers there, but not as Kubo's RPC does.
    #[error(
        "what answers at {endpoint} is not the RPC of a Kubo node: {reason}; the RPC's port is 5001 unless the node's \
         Addresses.API says otherwise, and is not the gateway's (8080)"
    )]
    NotANode {
        /// The address that was asked.
        endpoint: Box<Endpoint>,
        /// What it answered.
        reason: String,
    },
    /// The node wants other credentials.
    #[error(
        "the Kubo node at {endpoint} refuses these credentials: {reason}; the secret must be one of the node's \
         API.Authorizations, with /api/v0 among its AllowedPaths"
    )]
    Refused {
        /// The address of the RPC.
        endpoint: Box<Endpoint>,
        /// The node's words.
        reason: String,
    },
    /// The node is older than this library knows how to speak to.
    #[error(
        "the Kubo node at {endpoint} has version {version}, but at least {minimum} is required: update it"
    )]
    TooOld {
        /// The address of the RPC.
        endpoint: Box<Endpoint>,
        /// What it is.
        version: Version,
        /// What it would have to be.
        minimum: Version,
    },
}
