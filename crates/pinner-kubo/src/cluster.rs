//! The differences if IPFS Cluster's proxy stands in front of a node.
//!
//! The proxy applies the calls for pins to the cluster's pinset, and forwards all others to one Kubo node. Wrappers
//! are ordinary pins, so counted recursive pins work unchanged. Some things differ:
//!
//! * MFS belongs to that one node, and the cluster knows nothing of it: there are no lazy pins.
//! * `pin/add` answers when the cluster has recorded the pin, before anything is fetched. So the DAG is first fetched
//!   to the node behind the proxy, and only then pinned.
//! * The cluster decides which of its nodes keep the content, and when, and the proxy cannot be asked about it. A node
//!   follows the pinset a second or two later. A garbage collection on the node behind the proxy in that time may
//!   remove the fetched blocks; the cluster then fetches them again, if anybody has them.

use std::time::Duration;

use pinner_http::{Client, HeaderMap, header};
use tokio::time::Instant;

use crate::rpc::call;

/// The server that answers at the RPC's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// The node itself.
    Node,
    /// IPFS Cluster's proxy.
    ClusterProxy,
}

/// The identity CID of the empty block. It contains its data, so no node has to look for it.
const NOTHING: &str = "bafkqaaa";

impl Front {
    /// Finds out by a call that the proxy answers itself, with its name in the header `Server`.
    pub(crate) async fn of(client: &Client, within: Duration) -> Self {
        let answer = call(client, "pin/ls", NOTHING)
            .arg(NOTHING)
            .option("type", "recursive")
            .whole(64 * 1024, Instant::now() + within)
            .await;
        match &answer {
            Ok(answer) => Self::signed(&answer.headers),
            // The usual answer is an error: it is not pinned.
            Err(error) => match error.http.status() {
                Some(status) => Self::signed(&status.headers),
                None => Self::Node,
            },
        }
    }

    fn signed(headers: &HeaderMap) -> Self {
        let server = headers
            .get(header::SERVER)
            .and_then(|name| name.to_str().ok())
            .unwrap_or_default();
        match server.starts_with("ipfs-cluster/ipfsproxy/") {
            true => Self::ClusterProxy,
            false => Self::Node,
        }
    }
}
