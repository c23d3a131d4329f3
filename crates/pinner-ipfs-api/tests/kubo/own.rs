//! Behaviour that the suite does not test: what a real node proves, who may call it, and what is left on it.

use std::time::Duration;

use futures_util::TryStreamExt;
use hyper_0_14::http::uri::Scheme;
use ipfs_api_backend_hyper::{IpfsClient, TryFromUri};
use kubo_daemon::Kubo;
use kubo_protocol::mfs;
use pinner_api::{BlockRequest, Holder, PinDepth, Pinner, PinnerError};
use pinner_conformance::{Block, Dag, FixtureResult};
use pinner_ipfs_api::{ConnectError, IpfsApiPinner};
use tokio::task::spawn_blocking;

use crate::{
    conformance::{over, put},
    nodes::{Lent, Network, lend},
};

const PATIENCE: Duration = Duration::from_secs(30);
const DAG_CBOR: u64 = 0x71;

async fn borrowed(kubo: Kubo, blocks: Vec<Block>) -> FixtureResult<Lent> {
    let nodes = spawn_blocking(move || {
        let nodes = lend(&kubo, Network::None)?;
        put(&nodes.nodes()?.node, blocks)?;
        FixtureResult::Ok(nodes)
    });
    nodes.await?
}

#[tokio::test]
async fn a_node_without_a_network_proves_absence() -> FixtureResult<()> {
    let kubo = kubo_daemon::kubo_or_not_run!("a node without a network proves absence", Ok(()));
    let dag = Dag::sample();
    let missing = dag.blocks()[5].cid;
    let nodes = borrowed(kubo, dag.without(&missing).collect()).await?;
    let pinner = over(&nodes.nodes()?.node, PATIENCE).await?;
    let holder = Holder::new([1; 8], [1; 16]);
    let not_found = |got: Result<(), PinnerError>| match got {
        Err(PinnerError::NotFound { cid }) => cid,
        other => panic!("expected NotFound, got {other:?}"),
    };
    let got = pinner.block(&BlockRequest::new(missing)).await;
    assert_eq!(not_found(got.map(drop)), missing);
    let got = pinner.pin(&holder, &missing, PinDepth::Lazy).await;
    assert_eq!(not_found(got), missing);
    // The node names the missing block, not the wrapper that was to be pinned.
    let got = pinner.pin(&holder, &dag.root(), PinDepth::Recursive).await;
    assert_eq!(not_found(got), missing);
    Ok(())
}

#[tokio::test]
async fn a_release_leaves_nothing_behind_and_takes_nothing_of_others() -> FixtureResult<()> {
    let kubo = kubo_daemon::kubo_or_not_run!("what a release leaves behind", Ok(()));
    let dag = Dag::sample();
    let (one, two) = (dag.root(), dag.blocks()[1].cid);
    // A new node, not a borrowed one: remains of a cancelled pin would be found on that.
    let blocks = dag.blocks().to_vec();
    let node = spawn_blocking(move || {
        let node = kubo.node().offline().without_gateway().start()?;
        put(&node, blocks)?;
        FixtureResult::Ok(node)
    });
    let node = node.await??;
    let pinner = over(&node, PATIENCE).await?;
    let ours = Holder::new([2; 8], [1; 16]);
    let shared = Holder::new([2; 8], [2; 16]);
    for root in [one, two] {
        for holder in [ours, shared] {
            pinner.pin(&holder, &root, PinDepth::Lazy).await?;
        }
    }
    // Files of the owner, in folders where only ours should be.
    let note = format!("{}/note", mfs::holder_path(&shared));
    let copy = |path: &str| {
        let source = format!("/ipfs/{one}");
        node.rpc()
            .call("files/cp", &[("arg", &source), ("arg", path)])
    };
    copy(&note)?;
    copy(&format!("{}/note", mfs::REGISTRY))?;
    let listed: Vec<_> = pinner.pins().try_collect().await?;
    assert_eq!(listed.len(), 4, "{listed:?}");
    for root in [one, two] {
        for holder in [ours, shared] {
            pinner.unpin(&holder, &root).await?;
        }
    }
    let names = |path: &str| -> FixtureResult<Vec<String>> {
        let value = node.rpc().value("files/ls", &[("arg", path)])?;
        let entries = value["Entries"].as_array().cloned().unwrap_or_default();
        let name = |entry: &serde_json::Value| entry["Name"].as_str().map(str::to_owned);
        Ok(entries.iter().filter_map(name).collect())
    };
    let left = names(mfs::REGISTRY)?;
    assert_eq!(left, [shared.to_string(), "note".to_owned()]);
    assert_eq!(names(&mfs::holder_path(&shared))?, ["note"]);
    let listed: Vec<_> = pinner.pins().try_collect().await?;
    assert_eq!(listed, []);
    node.rpc()
        .call("files/rm", &[("arg", mfs::REGISTRY), ("recursive", "true")])?;
    Ok(())
}

#[tokio::test]
async fn what_is_no_unixfs_gets_no_lazy_pin() -> FixtureResult<()> {
    let kubo = kubo_daemon::kubo_or_not_run!("lazy pins of dag-cbor", Ok(()));
    // An empty map.
    let block = Block::new(DAG_CBOR, vec![0xa0]);
    let nodes = borrowed(kubo, vec![block.clone()]).await?;
    let pinner = over(&nodes.nodes()?.node, PATIENCE).await?;
    let holder = Holder::new([3; 8], [1; 16]);
    let got = pinner.pin(&holder, &block.cid, PinDepth::Lazy).await;
    assert!(matches!(got, Err(PinnerError::Denied { .. })), "{got:?}");
    pinner.pin(&holder, &block.cid, PinDepth::Recursive).await?;
    pinner.unpin(&holder, &block.cid).await?;
    Ok(())
}

#[tokio::test]
async fn a_password_opens_and_a_wrong_one_does_not() -> FixtureResult<()> {
    let kubo = kubo_daemon::kubo_or_not_run!("a node that asks for a password", Ok(()));
    let node = kubo.node().offline().without_gateway();
    let node = node.api_authorization("me", "basic:user:pass", &["/api/v0"]);
    let node = spawn_blocking(move || node.start()).await??;
    let port = node
        .api_url()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .parse()?;
    let client = || IpfsClient::from_host_and_port(Scheme::HTTP, "127.0.0.1", port);
    for wrong in [client()?, client()?.with_credentials("user", "word")] {
        let got = IpfsApiPinner::connect(wrong).await;
        assert!(matches!(got, Err(ConnectError::Denied { .. })), "{got:?}");
    }
    let right = client()?.with_credentials("user", "pass");
    let pinner = IpfsApiPinner::connect(right).await?;
    let pins: Vec<_> = pinner.pins().try_collect().await?;
    assert_eq!(pins, []);
    Ok(())
}
