//! The suite's fixture: a pinner over a real node. The node's own RPC does what its owner would do.

use std::{sync::Arc, time::Duration};

use hyper_0_14::{client::HttpConnector, http::uri::Scheme};
use ipfs_api_backend_hyper::{IpfsClient, TryFromUri};
use kubo_daemon::{Daemon, Kubo};
use pinner_api::{Cid, Pinner, async_trait};
use pinner_conformance::{
    Abilities, Absence, Backend, Block, Content, Elsewhere, FixtureResult, Oversize,
};
use pinner_ipfs_api::IpfsApiPinner;
use tokio::task::spawn_blocking;

use crate::nodes::{Lent, Network, Nodes, lend};

/// How long a missing block is searched for, on a node with a network.
const PATIENCE: Duration = Duration::from_secs(2);

/// A pinner and its nodes.
pub(crate) struct Fixture {
    pinner: Arc<IpfsApiPinner<HttpConnector>>,
    nodes: Arc<Lent>,
    network: Network,
}

pub(crate) async fn over(
    node: &Daemon,
    patience: Duration,
) -> FixtureResult<IpfsApiPinner<HttpConnector>> {
    let port = node
        .api_url()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .parse()?;
    let client = IpfsClient::from_host_and_port(Scheme::HTTP, "127.0.0.1", port)?;
    let pinner = IpfsApiPinner::builder(client)
        .block_deadline(patience)
        .no_progress_deadline(patience);
    Ok(pinner.connect().await?)
}

impl Fixture {
    async fn start(kubo: Kubo, network: Network, content: Content) -> FixtureResult<Self> {
        let nodes = spawn_blocking(move || {
            let nodes = lend(&kubo, network)?;
            put(&nodes.nodes()?.node, content.blocks)?;
            put(&nodes.nodes()?.node, content.oversize)?;
            if let Some(neighbour) = &nodes.nodes()?.neighbour {
                put(neighbour, content.elsewhere)?;
            }
            FixtureResult::Ok(nodes)
        });
        let nodes = Arc::new(nodes.await??);
        Ok(Self {
            pinner: Arc::new(over(&nodes.nodes()?.node, PATIENCE).await?),
            nodes,
            network,
        })
    }

    /// Runs a blocking call on a thread for such calls.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Nodes) -> FixtureResult<T> + Send + 'static,
    ) -> FixtureResult<T> {
        let nodes = self.nodes.clone();
        spawn_blocking(move || work(nodes.nodes()?)).await?
    }
}

pub(crate) fn put(node: &Daemon, blocks: Vec<Block>) -> FixtureResult<()> {
    for block in blocks {
        node.put_block(&block.cid, &block.bytes)?;
    }
    Ok(())
}

#[async_trait]
impl Backend for Fixture {
    fn pinner(&self) -> Arc<dyn Pinner> {
        self.pinner.clone()
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            // Without a network, the absence of a block is proven, and that of a name is not. `own` tests the details.
            absence: Absence::Unproven,
            elsewhere: match self.network {
                Network::None => Elsewhere::Unreachable,
                Network::OneNeighbour => Elsewhere::Reachable,
            },
            oversize: Oversize::Held,
        }
    }

    async fn second(&self) -> FixtureResult<Option<Arc<dyn Pinner>>> {
        let second = over(&self.nodes.nodes()?.node, PATIENCE).await?;
        Ok(Some(Arc::new(second)))
    }

    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        let cid = *cid;
        self.with(move |nodes| Ok(Some(nodes.node.holds(&cid)?)))
            .await
    }

    async fn collect(&self) -> FixtureResult<Option<()>> {
        self.with(|nodes| Ok(Some(nodes.node.gc().map(drop)?)))
            .await
    }

    async fn foreign_pin(&self, root: &Cid) -> FixtureResult<Option<()>> {
        let root = root.to_string();
        let pin = move |nodes: &Nodes| {
            let arguments = [("arg", root.as_str()), ("name", "the owner's")];
            Ok(Some(
                nodes.node.rpc().call("pin/add", &arguments).map(drop)?,
            ))
        };
        self.with(pin).await
    }

    async fn set_name(&self, root: &Cid, path: &str) -> FixtureResult<Option<String>> {
        let path = format!("/ipfs/{root}/{path}");
        let key = format!("{root}-{}", path.len());
        let publish = move |nodes: &Nodes| {
            let rpc = nodes.node.rpc();
            let made = rpc.value("key/gen", &[("arg", &key)])?;
            let name = made["Id"].as_str().ok_or("key/gen gives no Id")?;
            // Without a network, no other node hears of the name, and the path may lead to nothing.
            rpc.call(
                "name/publish",
                &[
                    ("arg", path.trim_end_matches('/')),
                    ("key", &key),
                    ("resolve", "false"),
                    ("allow-offline", "true"),
                ],
            )?;
            Ok(Some(name.to_owned()))
        };
        self.with(publish).await
    }
}

/// Whether there is a node to test with. If not, prints so.
fn is_there() -> bool {
    kubo_daemon::kubo_or_not_run!("pinner-ipfs-api's conformance", false);
    true
}

async fn start(network: Network, content: Content) -> FixtureResult<Fixture> {
    let kubo = Kubo::find().ok_or("there is no node to test with")?;
    Fixture::start(kubo, network, content).await
}

mod without_a_network {
    use super::*;
    pinner_conformance::conformance_tests!(|content| start(Network::None, content), if is_there());
}

mod with_a_neighbour {
    use super::*;
    pinner_conformance::conformance_tests!(
        |content| start(Network::OneNeighbour, content),
        if is_there()
    );
}
