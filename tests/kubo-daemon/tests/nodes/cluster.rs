//! IPFS Cluster in front of a private node, with the real service.

use std::{
    thread,
    time::{Duration, Instant},
};

use kubo_daemon::{PinKind, Result, cluster_or_not_run, kubo_or_not_run};

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(60);
    while !done()? {
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[test]
fn a_pin_through_the_proxy_is_in_the_pinset_and_on_the_node() -> Result<()> {
    let kubo = kubo_or_not_run!("a cluster", Ok(()));
    let service = cluster_or_not_run!("a cluster", Ok(()));
    let node = kubo.node().start()?;
    let cluster = service.start(&node)?;
    assert_eq!(cluster.pinset()?, Vec::<String>::new());
    // The proxy passes other calls to the node.
    let id = cluster.proxy_rpc().value("id", &[])?;
    assert_eq!(id["ID"], node.peer_id());

    let cid = node
        .rpc()
        .block_put("raw", "sha2-256", b"a block")?
        .to_string();
    let on_node = || -> Result<bool> {
        let pins = node.pin_ls(PinKind::Recursive)?;
        Ok(pins.iter().any(|(pinned, _)| *pinned == cid))
    };
    cluster.proxy_rpc().call("pin/add", &[("arg", &cid)])?;
    wait_until("the pin is made", || {
        Ok(cluster.pinset()? == [cid.as_str()] && on_node()?)
    })?;
    cluster.proxy_rpc().call("pin/rm", &[("arg", &cid)])?;
    wait_until("the pin is taken out", || {
        Ok(cluster.pinset()?.is_empty() && !on_node()?)
    })
}
