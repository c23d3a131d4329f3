//! The same reader over several backends: `read` knows only `dyn Pinner`.
//!
//! `cargo run -p pinset --example backends` reads from a CAR file, then from a node in memory.

use std::{ops::ControlFlow, sync::Arc};

use pinner_api::Pinner;
use pinner_car::{CarPinner, ImportOptions};
use pinner_mock::MockNode;
use pinset::{IpfsPath, Node, PinsetBuilder};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Reads a file through a cache over whichever backend the caller chose.
async fn read(pinner: Arc<dyn Pinner>, path: &IpfsPath) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let cache = PinsetBuilder::new(pinner, 16 << 20)
        .lock_dir(folder.path().join("cache"))
        .shared()
        .await?;
    let Node::File(file) = cache.open(path).await? else {
        return Err(format!("{path} is not a file").into());
    };
    let text = String::from_utf8(file.read_at(0, 1 << 20).await?.to_vec())?;
    cache.close().await?;
    Ok(text)
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (source, car) = (
        folder.path().join("note.txt"),
        folder.path().join("note.car"),
    );
    std::fs::write(&source, "The backend is the host's choice.\n")?;
    let go_on = |_| ControlFlow::Continue(());
    let root = pinner_car::import_to_car(&source, &car, &ImportOptions::default(), go_on)?.root;
    let path = IpfsPath::root(root);

    // A CAR file. A Kubo node would be `KuboPinner::builder().connect().await?`,
    // gateways `GatewayPinner::builder().gateway("https://…".parse()?).build()?`.
    let from_car = read(Arc::new(CarPinner::open([&car]).await?), &path).await?;
    print!("CAR file: {from_car}");

    // The same content on a node in memory.
    let node = MockNode::new();
    pinner_car::import(
        &source,
        &ImportOptions::default(),
        |cid, block| {
            node.put_unchecked(cid, block);
            Ok(())
        },
        go_on,
    )?;
    let from_memory = read(Arc::new(node), &path).await?;
    print!("node in memory: {from_memory}");
    assert_eq!(from_car, from_memory);
    Ok(())
}
