//! The errors of connecting a [`KuboPinner`](crate::KuboPinner).
//!
//! Once it is connected, its calls fail with [`PinnerError`](pinner_api::PinnerError).

use std::{path::PathBuf, time::Duration};

use pinner_api::Cause;
use pinner_http::Endpoint;

use kubo_protocol::Version;

use crate::repository::RepositoryError;

/// Why a node could not be connected to. There is a variant for each thing that can be done about it.
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
    /// A file in the repository does not hold an address.
    #[error("{} does not hold a usable address: {reason}", file.display())]
    BadAddress {
        /// The file.
        file: PathBuf,
        /// Why the address is not usable.
        reason: String,
    },
    /// The files of the repository were to be read, and cannot be.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A setting of the builder cannot be used.
    #[error("these settings cannot be used for {endpoint}: {reason}")]
    Settings {
        /// The server that they are for.
        endpoint: Box<Endpoint>,
        /// Which setting cannot be used, and why.
        reason: String,
    },
    /// No server answers at the address.
    #[error(
        "no Kubo node can be reached at {endpoint}: is the daemon running, and is this its RPC's address?"
    )]
    Unreachable {
        /// The address of the RPC.
        endpoint: Box<Endpoint>,
        /// The error of the attempt.
        source: Cause,
    },
    /// A server accepts the connection but does not answer in time.
    #[error(
        "the Kubo node at {endpoint} did not report its version within {after:?}: is it overloaded, or stopped?"
    )]
    NoAnswer {
        /// The address of the RPC.
        endpoint: Box<Endpoint>,
        /// The time waited.
        after: Duration,
    },
    /// A server answers, but not as Kubo's RPC does.
    #[error(
        "the server at {endpoint} is not the RPC of a Kubo node: {reason}; the RPC's port is 5001 unless the node's \
         Addresses.API says otherwise, and is not the gateway's (8080)"
    )]
    NotANode {
        /// The address that was asked.
        endpoint: Box<Endpoint>,
        /// How its answer differs.
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
    /// The node is older than this library supports.
    #[error(
        "the Kubo node at {endpoint} has version {version}, but at least {minimum} is required: update it"
    )]
    TooOld {
        /// The address of the RPC.
        endpoint: Box<Endpoint>,
        /// The node's version.
        version: Version,
        /// The oldest supported version.
        minimum: Version,
    },
}
