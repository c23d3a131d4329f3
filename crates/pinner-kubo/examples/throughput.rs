//! How fast blocks come from a local node, by its gateway and by its RPC: a file of 1 MiB raw leaves that lies on the
//! node, block by block, none of it verified, beside `ipfs cat` of the same file.
//!
//! ```text
//! WASI_IPFS_KUBO=/usr/bin/ipfs cargo run --release -p pinner-kubo --example throughput [MIB]
//! ```

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{BufWriter, Write},
    process::Command,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt};
use kubo_daemon::{Daemon, Kubo};
use pinner_api::{BlockRequest, Cid, Origin, Pinner};
use pinner_kubo::{GatewayChoice, KuboPinner};

const MIB: u64 = 1 << 20;
const IN_FLIGHT: [usize; 4] = [1, 4, 8, 16];

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mib: u64 = match std::env::args().nth(1) {
        Some(mib) => mib.parse()?,
        None => 256,
    };
    let kubo = Kubo::find().ok_or("WASI_IPFS_KUBO names no ipfs program")?;
    let daemon = kubo.node().start()?;
    let root = add(&daemon, mib)?;
    let arguments = [("arg", root.to_string()), ("recursive", "true".to_owned())];
    let arguments: Vec<_> = arguments
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let references = daemon.rpc().values("refs", &arguments)?;
    let leaves: Vec<Cid> = references
        .iter()
        .filter_map(|line| line["Ref"].as_str()?.parse().ok())
        .filter(|cid: &Cid| cid.codec() == 0x55)
        .collect();

    say(&format!("{} leaves, {mib} MiB", leaves.len()))?;
    for round in 1..=2 {
        say(&format!("round {round}"))?;
        let took = cat(&kubo, &daemon, &root)?;
        report("ipfs cat", mib, took)?;
        for choice in [GatewayChoice::Auto, GatewayChoice::Off] {
            let pinner = KuboPinner::builder()
                .repo(daemon.repo_path())
                .gateway(choice)
                .connect()
                .await?;
            let way = match pinner.gateway() {
                Some(_) => "gateway",
                None => "RPC",
            };
            for in_flight in IN_FLIGHT {
                let took = read(&pinner, &root, &leaves, in_flight).await?;
                report(&format!("{way}, {in_flight} in flight"), mib, took)?;
            }
        }
    }
    Ok(())
}

/// Adds a file of so many MiB that nobody has, and gives its root.
fn add(daemon: &Daemon, mib: u64) -> Result<Cid, Error> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("file");
    let mut file = BufWriter::new(File::create(&path)?);
    let mut state = RandomState::new().hash_one("a file") | 1;
    for _ in 0..mib * MIB / 8 {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes())?;
    }
    file.flush()?;
    let flags = [
        "--cid-version=1",
        "--raw-leaves",
        "--chunker=size-1048576",
        "--pin=false",
    ];
    Ok(daemon.add(&path, &flags)?)
}

async fn read(
    pinner: &KuboPinner,
    root: &Cid,
    leaves: &[Cid],
    in_flight: usize,
) -> Result<Duration, Error> {
    let origin = Origin::root(*root);
    let begun = Instant::now();
    let lengths: Vec<usize> = futures_util::stream::iter(leaves)
        .map(|cid| async {
            let request = BlockRequest::new(*cid).with_origin(origin.clone());
            pinner
                .block(&request)
                .await
                .map(|answer| answer.bytes.len())
        })
        .buffer_unordered(in_flight)
        .try_collect()
        .await?;
    let took = begun.elapsed();
    assert_eq!(lengths.iter().sum::<usize>(), leaves.len() << 20);
    Ok(took)
}

fn cat(kubo: &Kubo, daemon: &Daemon, root: &Cid) -> Result<Duration, Error> {
    let begun = Instant::now();
    let status = Command::new(kubo.program())
        .args(["cat", &root.to_string()])
        .env("IPFS_PATH", daemon.repo_path())
        .env("DO_NOT_TRACK", "1")
        .stdout(std::process::Stdio::null())
        .status()?;
    let took = begun.elapsed();
    match status.success() {
        true => Ok(took),
        false => Err(format!("ipfs cat: {status}").into()),
    }
}

fn report(what: &str, mib: u64, took: Duration) -> Result<(), Error> {
    let megabytes = (mib * MIB) as f64 / 1e6;
    say(&format!(
        "{what:24} {:8.0} MB/s",
        megabytes / took.as_secs_f64()
    ))
}

fn say(line: &str) -> Result<(), Error> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
