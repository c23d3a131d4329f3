//! IPFS Cluster's proxy in front of a node: what is different there.
//!
//! The proxy takes the calls for pins to the cluster's pinset, and hands all others to one Kubo node. Wrappers are
//! pins as any other, so recursive pins carry over, counted. Not all does:
//!
//! * MFS is that one node's, and the cluster knows nothing of it: there are no lazy pins.
//! * `pin/add` answers when the cluster has noted the pin, before anything is fetched. So the DAG is fetched to the
//!   node behind the proxy first; only then is it pinned.
//! * Which nodes of the cluster keep the content, and when they have it, is the cluster's business, and cannot be
//!   asked through the proxy. A node follows its pinset a second or two later: a collection that runs on the node
//!   behind the proxy in that time may take what was fetched, and the cluster fetches it again, if anybody has it.

use std::time::Duration;

use pinner_http::{Client, HeaderMap, header};
use tokio::time::Instant;

use crate::rpc::call;

/// What answers at the RPC's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// The node itself.
    Node,
    /// IPFS Cluster's proxy.
    ClusterProxy,
}

/// A CID of nothing, which nobody has to look for: its data, none, are in it.
const NOTHING: &str = "bafkqaaa";

impl Front {
    /// Finds out, by a call that the proxy answers itself, and signs.
    pub(crate) async fn of(client: &Client, within: Duration) -> Self {
        let answer = call(client, "pin/ls", NOTHING)
            .arg(NOTHING)
            .option("type", "recursive")
            .whole(64 * 1024, Instant::now() + within)
            .await;
        match &answer {
            Ok(answer) => Self::signed(&answer.headers),
            // That it is not pinned is the usual answer.
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
