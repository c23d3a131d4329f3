//! A real Kubo node as the witness: its records, its router and its gateway.

use kubo_daemon::kubo_or_not_run;
use pinner_api::{Names, PinnerError};
use pinner_http::Endpoint;
use pinner_routing::{IpnsResolver, Routing};

use crate::owner::Owner;

#[test]
fn a_nodes_records_are_read_by_its_router_and_by_its_gateway() {
    let kubo = kubo_or_not_run!("names by the records of a real node");
    let node = kubo
        .node()
        .offline()
        .config("Gateway.ExposeRoutingAPI", true);
    let node = node.start().expect("a node");
    let url: Endpoint = node
        .gateway_url()
        .expect("a gateway")
        .parse()
        .expect("a URL");
    let cid = node
        .add("Cargo.toml".as_ref(), &["--cid-version=1"])
        .expect("it is added");
    // The key of the node itself, an Ed25519 key, and an RSA key.
    let mut names = vec![node.peer_id().to_owned()];
    let mut publish = vec![vec!["name", "publish", "--allow-offline"]];
    for (key, kind) in [("edwards", "ed25519"), ("rivest", "rsa")] {
        let made = node
            .ipfs(&["key", "gen", "--type", kind, key])
            .expect("a key");
        names.push(String::from_utf8(made).expect("a name").trim().to_owned());
        publish.push(vec!["name", "publish", "--allow-offline", "--key", key]);
    }
    let value = format!("/ipfs/{cid}");
    for mut arguments in publish {
        arguments.push(&value);
        node.ipfs(&arguments).expect("it is published");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let routing = Routing::builder().allow_loopback().router(url.clone());
        let routing = routing.build().expect("a router");
        let by_router = IpnsResolver::builder()
            .routing(routing)
            .build()
            .expect("a router");
        let by_gateway = IpnsResolver::builder().allow_loopback().gateway(url);
        let by_gateway = by_gateway.build().expect("a gateway");
        for resolver in [by_router, by_gateway] {
            for name in &names {
                let resolved = resolver.resolve(name).await;
                let resolved = resolved.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                assert_eq!((resolved.root, &*resolved.path), (cid, ""), "{name}");
            }
            let nobody = resolver.resolve(Owner::new(9).name().as_str()).await;
            let error = nobody.expect_err("it was never published");
            println!("a name that was never published: {error:?}");
            assert!(!matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
        }
    });
}
