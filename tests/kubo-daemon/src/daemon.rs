//! A running node: its addresses, its own reports, and how to stop, freeze and restart it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use cid::Cid;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    ApiListeners, Error, Node, Result, Rpc,
    guarded::{Guarded, Start},
    node::Gateway,
    ports,
    repo::Repo,
    rpc::parse_cid,
};

/// The last line that a daemon prints when it starts.
const READY: &str = "Daemon is ready";

/// How long a start may take: several may start at once on a busy machine.
const START: Duration = Duration::from_secs(120);

/// How often other ports are tried if another program takes one first.
const TRIES: usize = 5;

/// Whether a daemon has a swarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Networking {
    /// It has one, on loopback. It knows no peer until it is told to [connect](Daemon::connect).
    #[default]
    Online,
    /// It has none, so it gets no block that it does not hold.
    Offline,
}

/// A running node. Dropping it ends its daemon and removes its repository.
#[derive(Debug)]
pub struct Daemon {
    // Declared before the repository, so that it is dropped first.
    running: Option<Guarded>,
    repo: Repo,
    node: Node,
    ports: Ports,
    peer_id: String,
    rpc: Rpc,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    api: u16,
    gateway: u16,
    swarm: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        let free = ports::free().map_err(Error::io("find free ports"));
        free.map(|[api, gateway, swarm]| Self {
            api,
            gateway,
            swarm,
        })
    }
}

impl Daemon {
    pub(crate) fn start(node: Node) -> Result<Self> {
        let repo = Repo::init(&node)?;
        let peer_id = repo.peer_id()?;
        let mut tries = 0;
        let (ports, running) = loop {
            tries += 1;
            let ports = Ports::free()?;
            match launch(&node, &repo, ports) {
                Ok(running) => break (ports, running),
                Err(Error::NotReady { log, .. }) if tries < TRIES && is_taken(&log) => {}
                Err(error) => return Err(error),
            }
        };
        let field = node.authorization.as_ref().map(|it| it.field());
        Ok(Self {
            running: Some(running),
            rpc: Rpc::new(ports.api, field),
            repo,
            node,
            ports,
            peer_id,
        })
    }

    /// The RPC's address, as Kubo writes it into the file `api`: `/ip4/127.0.0.1/tcp/…`, or `/unix/…` if that comes
    /// first.
    pub fn api(&self) -> String {
        match self.node.api {
            ApiListeners::Tcp | ApiListeners::TcpThenUnix => tcp(self.ports.api),
            ApiListeners::UnixThenTcp => unix(&self.repo),
        }
    }

    /// The RPC's TCP address, which it always has: `/ip4/127.0.0.1/tcp/…`.
    pub fn api_tcp(&self) -> String {
        tcp(self.ports.api)
    }

    /// The RPC's unix socket as a multiaddr, `/unix/…`, if it was requested.
    pub fn api_unix(&self) -> Option<String> {
        match self.node.api {
            ApiListeners::Tcp => None,
            ApiListeners::TcpThenUnix | ApiListeners::UnixThenTcp => Some(unix(&self.repo)),
        }
    }

    /// The RPC's address as a URL, without a path: `http://127.0.0.1:…`.
    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.api)
    }

    /// The gateway's address as a URL, without a path: `http://127.0.0.1:…`. `None` if it has no gateway.
    pub fn gateway_url(&self) -> Option<String> {
        match self.node.gateway {
            Gateway::Listening => Some(format!("http://127.0.0.1:{}", self.ports.gateway)),
            Gateway::Absent => None,
        }
    }

    /// The repository, which `IPFS_PATH` names.
    pub fn repo_path(&self) -> &Path {
        self.repo.path()
    }

    /// The node's peer ID.
    pub fn peer_id(&self) -> &str {
        &self.peer_id
    }

    /// The address at which other nodes reach it: `/ip4/127.0.0.1/tcp/…/p2p/…`.
    pub fn swarm_address(&self) -> String {
        format!("{}/p2p/{}", tcp(self.ports.swarm), self.peer_id)
    }

    /// The daemon's process id; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Guarded::pid)
    }

    /// The last lines that the daemon printed.
    pub fn log(&self) -> String {
        self.running.as_ref().map(Guarded::log).unwrap_or_default()
    }

    /// A client for calls of its RPC that have no method here.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Runs the program on this node and returns its output.
    ///
    /// # Errors
    /// If it fails; the error holds its standard error.
    pub fn ipfs(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        self.repo.run(arguments, None)
    }

    /// Does the same, with the file `input` as the program's standard input.
    ///
    /// # Errors
    /// As [`ipfs`](Self::ipfs).
    pub fn ipfs_with_input(&self, arguments: &[&str], input: &Path) -> Result<Vec<u8>> {
        self.repo.run(arguments, Some(input))
    }

    /// Runs the program on this node and returns its output and status, whatever they are.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn ipfs_output(&self, arguments: &[&str]) -> Result<Output> {
        self.repo.output(arguments, None)
    }

    /// Adds a file, or a directory with its contents: `ipfs add -Q -r <flags> <path>`. Returns the root. It is pinned,
    /// unless the flags say `--pin=false`.
    ///
    /// # Errors
    /// If Kubo refuses.
    pub fn add(&self, path: &Path, flags: &[&str]) -> Result<Cid> {
        let path = path.to_str().ok_or_else(|| {
            Error::unreadable("ipfs add", format!("{} is not UTF-8", path.display()))
        })?;
        let arguments = [&["add", "-Q", "-r"], flags, &["--", path]].concat();
        let printed = self.ipfs(&arguments)?;
        let text = String::from_utf8_lossy(&printed);
        parse_cid("ipfs add", &json!(text.trim()))
    }

    /// Connects to another node.
    ///
    /// # Errors
    /// If one of them is offline or does not run.
    pub fn connect(&self, other: &Self) -> Result<()> {
        let address = other.swarm_address();
        self.rpc.call("swarm/connect", &[("arg", &address)])?;
        Ok(())
    }

    /// Runs a garbage collection to its end, and returns the removed blocks. They are CIDv1 with the codec raw,
    /// whatever codec they were put with, because Kubo keeps blocks by multihash.
    ///
    /// # Errors
    /// If the collection fails, partly or completely.
    pub fn gc(&self) -> Result<Vec<Cid>> {
        let lines = self.rpc.values("repo/gc", &[])?;
        let removed = lines.iter().map(|line| match &line["Error"] {
            Value::String(error) if !error.is_empty() => Err(Error::Refused {
                call: "POST /api/v0/repo/gc".to_owned(),
                status: 200,
                message: error.clone(),
            }),
            _ => parse_cid("repo/gc", &line["Key"]["/"]),
        });
        removed.collect()
    }

    /// Returns the size of the repository.
    ///
    /// # Errors
    /// If the node does not answer.
    pub fn repo_stat(&self) -> Result<RepoStat> {
        let value = self.rpc.value("repo/stat", &[])?;
        let number = |name| number("repo/stat", &value, name);
        Ok(RepoStat {
            num_objects: number("NumObjects")?,
            repo_size_bytes: number("RepoSize")?,
        })
    }

    /// Returns the Bitswap traffic since the daemon started.
    ///
    /// # Errors
    /// If the node does not answer, or is offline.
    pub fn bitswap_stat(&self) -> Result<BitswapStat> {
        let value = self.rpc.value("bitswap/stat", &[])?;
        let number = |name| number("bitswap/stat", &value, name);
        Ok(BitswapStat {
            blocks_received: number("BlocksReceived")?,
            data_received_bytes: number("DataReceived")?,
            dup_blocks_received: number("DupBlksReceived")?,
            blocks_sent: number("BlocksSent")?,
            data_sent_bytes: number("DataSent")?,
        })
    }

    /// Returns the node's pins of one kind, whoever made them, with their names (empty if they have none).
    ///
    /// # Errors
    /// If the node does not answer.
    pub fn pin_ls(&self, kind: PinKind) -> Result<Vec<(String, String)>> {
        let kind = match kind {
            PinKind::Recursive => "recursive",
            PinKind::Direct => "direct",
            PinKind::Indirect => "indirect",
        };
        let arguments = [("type", kind), ("stream", "true"), ("names", "true")];
        let lines = self.rpc.values("pin/ls", &arguments)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(lines
            .iter()
            .map(|line| (text(&line["Cid"]), text(&line["Name"])))
            .collect())
    }

    /// Puts a block onto the node. The node hashes it with sha2-256, and the hash must be that of `cid`.
    ///
    /// # Errors
    /// If the node does not answer, or computes another hash.
    ///
    /// # Panics
    /// If the codec of `cid` is not raw, dag-pb or dag-cbor.
    pub fn put_block(&self, cid: &Cid, block: &[u8]) -> Result<()> {
        let codec = match cid.codec() {
            0x55 => "raw",
            0x70 => "dag-pb",
            0x71 => "dag-cbor",
            other => panic!("no name for the codec {other:#x}"),
        };
        let made = self.rpc().block_put(codec, "sha2-256", block)?;
        if made.hash() != cid.hash() {
            return Err(Error::unreadable("block/put", format!("{made} for {cid}")));
        }
        Ok(())
    }

    /// Returns whether the node itself holds this block. Nothing is fetched to find out.
    ///
    /// # Errors
    /// If the node does not answer.
    pub fn holds(&self, cid: &Cid) -> Result<bool> {
        let cid = cid.to_string();
        let arguments = [("arg", cid.as_str()), ("offline", "true")];
        match self.rpc.call("block/stat", &arguments) {
            Ok(_) => Ok(true),
            Err(Error::Refused { message, .. }) if message.contains("not found") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Freezes the daemon (SIGSTOP): it accepts connections and answers nothing. When this returns, all of its threads
    /// have stopped.
    ///
    /// # Errors
    /// If it does not run.
    pub fn stop_signal(&mut self) -> Result<()> {
        self.running()?.freeze()
    }

    /// Lets a frozen daemon continue (SIGCONT).
    ///
    /// # Errors
    /// If it does not run.
    pub fn cont_signal(&mut self) -> Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    /// Stops the daemon as its owner would, and waits for its end. The repository stays.
    pub fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.terminate();
        }
    }

    /// Kills the daemon (SIGKILL), and waits for its end. The repository stays as it was at that moment.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill();
        }
    }

    /// Stops the daemon if it runs, and starts it on the same ports and the same repository. Connections to other
    /// nodes are not made again.
    ///
    /// # Errors
    /// If it does not come up again.
    pub fn restart(&mut self) -> Result<()> {
        self.restart_as(self.node.networking)
    }

    /// Does the same, with or without a swarm from now on.
    ///
    /// # Errors
    /// As [`restart`](Self::restart).
    pub fn restart_as(&mut self, networking: Networking) -> Result<()> {
        self.stop();
        self.node.networking = networking;
        let mut tries = 0;
        let running = loop {
            tries += 1;
            match launch(&self.node, &self.repo, self.ports) {
                // A passing connection of another program, or another test that looks for free ports.
                Err(Error::NotReady { log, .. }) if tries < TRIES && is_taken(&log) => {}
                done => break done?,
            }
        };
        self.running = Some(running);
        Ok(())
    }

    /// Sets the value at a dotted path of Kubo's configuration, for the next [`restart`](Self::restart).
    ///
    /// # Errors
    /// If the configuration cannot be changed.
    pub fn set_config(&self, path: &str, value: impl Into<Value>) -> Result<()> {
        self.repo.set(&[(path.to_owned(), value.into())])
    }

    fn running(&mut self) -> Result<&mut Guarded> {
        let running = self.running.as_mut();
        running.ok_or_else(|| Error::unreadable("the daemon", "it is stopped"))
    }
}

/// The size of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepoStat {
    /// The number of blocks.
    pub num_objects: u64,
    /// The disk space of the blocks and their index, in bytes.
    pub repo_size_bytes: u64,
}

/// The Bitswap traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitswapStat {
    /// Blocks that were received, including duplicates.
    pub blocks_received: u64,
    /// Their bytes.
    pub data_received_bytes: u64,
    /// Blocks that were received although the node held them already.
    pub dup_blocks_received: u64,
    /// Blocks that were sent.
    pub blocks_sent: u64,
    /// Their bytes.
    pub data_sent_bytes: u64,
}

/// The kinds of Kubo's own pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinKind {
    /// A root and everything below it.
    Recursive,
    /// One block.
    Direct,
    /// Blocks below a recursive pin. Listing them walks every DAG.
    Indirect,
}

fn launch(node: &Node, repo: &Repo, ports: Ports) -> Result<Guarded> {
    let (tcp_api, unix_api) = (tcp(ports.api), unix(repo));
    let api = match node.api {
        ApiListeners::Tcp => json!([tcp_api]),
        ApiListeners::TcpThenUnix => json!([tcp_api, unix_api]),
        ApiListeners::UnixThenTcp => json!([unix_api, tcp_api]),
    };
    let gateway = match node.gateway {
        Gateway::Listening => json!([tcp(ports.gateway)]),
        Gateway::Absent => json!([]),
    };
    repo.set(&[
        ("Addresses.API".to_owned(), api),
        ("Addresses.Gateway".to_owned(), gateway),
        ("Addresses.Swarm".to_owned(), json!([tcp(ports.swarm)])),
    ])?;
    // A socket that a killed daemon left; Kubo would not listen there again.
    let _ = std::fs::remove_file(repo.socket());

    let mut arguments = vec!["daemon", "--migrate=false", "--enable-gc=false"];
    match node.networking {
        Networking::Online => {}
        Networking::Offline => arguments.push("--offline"),
    }
    arguments.extend(node.arguments.iter().map(String::as_str));
    let started = Guarded::start(
        node.kubo.program(),
        repo.path(),
        arguments.into_iter().map(OsStr::new),
        |command| repo.environment(command),
        READY,
        START,
    )?;
    let not_ready = |why, log| Error::NotReady {
        program: node.kubo.program().to_owned(),
        why,
        log,
    };
    match started {
        Start::Ready(running) => Ok(running),
        Start::Ended(log) => Err(not_ready("it ended", log)),
        Start::Late(log) => Err(not_ready("it took too long", log)),
    }
}

fn is_taken(log: &str) -> bool {
    log.contains("address already in use")
}

fn tcp(port: u16) -> String {
    format!("/ip4/127.0.0.1/tcp/{port}")
}

fn unix(repo: &Repo) -> String {
    let path: PathBuf = repo.socket();
    // The path's leading slash separates it from `/unix`.
    format!("/unix{}", path.display())
}

fn number(call: &str, value: &Value, name: &str) -> Result<u64> {
    let number = value[name].as_u64();
    number.ok_or_else(|| Error::unreadable(call, format!("{name} is not a number in {value}")))
}
