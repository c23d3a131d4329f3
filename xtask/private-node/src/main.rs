//! Starts a private Kubo node on loopback with a throw-away repository, and a cluster of one in front of it if a second
//! program is named: `private-node IPFS [IPFS-CLUSTER-SERVICE]`.
//!
//! It is a program of its own so that xtask, which every command needs, is built without the daemon's dependencies.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};
use kubo_daemon::{ClusterService, Kubo};

/// Runs until this process is killed, usually by Ctrl-C. Everything that it started then ends too.
fn main() -> Result<()> {
    let mut programs = env::args_os().skip(1).map(PathBuf::from);
    let kubo = programs.next().context("the path of `ipfs` is missing")?;
    let node = Kubo::at(kubo).node().start()?;
    let cluster = programs
        .next()
        .map(|program| ClusterService::at(program).start(&node));
    let cluster = cluster.transpose()?;
    println!("IPFS_PATH   {}", node.repo_path().display());
    println!("RPC         {}", node.api());
    println!("gateway     {}", node.gateway_url().unwrap_or_default());
    println!("swarm       {}", node.swarm_address());
    if let Some(cluster) = &cluster {
        println!("proxy       {}", cluster.proxy());
        println!("cluster     {}", cluster.rest_url());
    }
    println!("Ctrl-C ends the node and removes its repository");
    loop {
        std::thread::park();
    }
}
