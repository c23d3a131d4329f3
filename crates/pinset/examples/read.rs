//! `pinset` without WebAssembly: lists, reads, seeks, pins, streams and copies the content of a CAR file.
//!
//! `cargo run -p pinset --example read` first makes a CAR file of a small directory, so it needs no arguments and no
//! network.

use std::{io::SeekFrom, ops::ControlFlow, sync::Arc};

use cap_std::{ambient_authority, fs::Dir};
use futures_util::TryStreamExt;
use pinner_car::{CarPinner, ImportOptions};
use pinset::{IpfsPath, Node, PinsetBuilder};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    // Something to read: a directory, imported with the CIDs of `ipfs add`.
    let folder = tempfile::tempdir()?;
    let (source, car) = (folder.path().join("site"), folder.path().join("site.car"));
    std::fs::create_dir(&source)?;
    std::fs::write(source.join("hello.txt"), "Hello from IPFS.\n")?;
    std::fs::write(source.join("large"), vec![7; 3 << 20])?;
    let root = pinner_car::import_to_car(&source, &car, &ImportOptions::default(), |_| {
        ControlFlow::Continue(())
    })?
    .root;

    // A cache of 64 MiB over the CAR file. Its staging directory is temporary.
    let pinner = Arc::new(CarPinner::open([&car]).await?);
    let cache = PinsetBuilder::new(pinner, 64 << 20)
        .lock_dir(folder.path().join("cache"))
        .shared()
        .await?;

    // A directory is a stream of entries.
    let site = IpfsPath::root(root);
    let Node::Dir(dir) = cache.open(&site).await? else {
        return Err("the root is not a directory".into());
    };
    let mut entries = dir.entries()?;
    while let Some(entry) = entries.try_next().await? {
        println!("{} {}", entry.cid(), entry.name());
    }

    // A file is read at any offset, or through tokio's traits.
    let Node::File(file) = cache.open(&site.join("hello.txt")?).await? else {
        return Err("hello.txt is not a file".into());
    };
    println!("{}", String::from_utf8_lossy(&file.read_at(0, 5).await?));
    let mut reader = file.reader();
    reader.seek(SeekFrom::Start(6)).await?;
    let mut rest = String::new();
    reader.read_to_string(&mut rest).await?;
    print!("{rest}");

    // The backend keeps the whole DAG for as long as the cache lives.
    cache.ensure(&root).await?;

    // A whole file is a stream of verified pieces, and a whole tree can be copied to the host.
    let streamed = cache
        .fetch_path(&site.join("large")?)
        .try_fold(0, async |sum, piece| Ok(sum + piece.len()))
        .await?;
    println!("streamed {streamed} bytes");
    let out = Dir::open_ambient_dir(folder.path(), ambient_authority())?;
    cache.materialize(&site, &out, "copy", &()).await?;
    println!(
        "copied {} bytes",
        std::fs::metadata(folder.path().join("copy/large"))?.len()
    );

    println!("fetched {} blocks", cache.stats().blocks_fetched);
    cache.close().await?;
    Ok(())
}
