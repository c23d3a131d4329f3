//! IPFS Cluster in front of a node: a cluster of one peer, with its proxy of the node's RPC and its own REST API.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Daemon, Error, Result, Rpc,
    guarded::{Guarded, Start},
    ports,
    rpc::Answer,
    settings,
};

/// The line that the service logs when it is ready.
const READY: &str = "IPFS Cluster is READY";

/// How long a start may take.
const START: Duration = Duration::from_secs(120);

/// How often other ports are tried if another program takes one first.
const TRIES: usize = 5;

/// An installed `ipfs-cluster-service` program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterService {
    program: PathBuf,
}

impl ClusterService {
    /// The variable that names the program: `cargo xtask test --kubo` sets it.
    pub const VARIABLE: &'static str = "WASI_IPFS_CLUSTER";

    /// The program that [`VARIABLE`](Self::VARIABLE) names. If it is unset, nobody asked for tests with a cluster.
    pub fn find() -> Option<Self> {
        let program = env::var_os(Self::VARIABLE).filter(|program| !program.is_empty())?;
        Some(Self::at(program))
    }

    /// The program at this path.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
        }
    }

    /// Starts a cluster of one peer in front of `node`, which must run for as long as the cluster.
    ///
    /// # Errors
    /// If the cluster does not come up; the error holds what it printed.
    pub fn start(&self, node: &Daemon) -> Result<Cluster> {
        let folder = tempfile::Builder::new()
            .prefix("ipfs-cluster-")
            .tempdir()
            .map_err(Error::io("make a folder for a cluster"))?;
        self.init(folder.path())?;
        let mut tries = 0;
        loop {
            tries += 1;
            let free = ports::free().map_err(Error::io("find free ports"));
            let [proxy, rest, swarm] = free?;
            configure(folder.path(), node, proxy, rest, swarm)?;
            let started = Guarded::start(
                &self.program,
                folder.path(),
                ["daemon"].map(OsStr::new),
                |command| environment(command, folder.path()),
                READY,
                START,
            )?;
            let (why, log) = match started {
                Start::Ready(running) => {
                    return Ok(Cluster {
                        running,
                        folder,
                        proxy,
                        rest: Rpc::new(rest, None),
                        rest_port: rest,
                    });
                }
                Start::Ended(log) => ("it ended", log),
                Start::Late(log) => ("it took too long", log),
            };
            if tries == TRIES || !log.contains("address already in use") {
                return Err(Error::NotReady {
                    program: self.program.clone(),
                    why,
                    log,
                });
            }
        }
    }

    fn init(&self, folder: &Path) -> Result<()> {
        let mut command = Command::new(&self.program);
        environment(&mut command, folder);
        command.args(["init", "--consensus", "crdt", "--datastore", "leveldb"]);
        let output = command.output();
        let output = output.map_err(Error::io(format!("start {}", self.program.display())))?;
        if !output.status.success() {
            return Err(Error::Command {
                command: "ipfs-cluster-service init".to_owned(),
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(())
    }
}

/// Sets the service's folder in the environment, and removes the user's own settings.
fn environment(command: &mut Command, folder: &Path) {
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CLUSTER_") || name_text.starts_with("IPFS_CLUSTER_") {
            command.env_remove(name);
        }
    }
    command
        .env("IPFS_CLUSTER_PATH", folder)
        .env("HOME", folder)
        .env("DO_NOT_TRACK", "1");
}

fn configure(folder: &Path, node: &Daemon, proxy: u16, rest: u16, swarm: u16) -> Result<()> {
    let tcp = |port: u16| json!(format!("/ip4/127.0.0.1/tcp/{port}"));
    let set = |path: &str, value: Value| (path.to_owned(), value);
    let config = folder.join("service.json");
    settings::change(
        &config,
        &[
            set("cluster.peername", json!("test")),
            set("cluster.listen_multiaddress", json!([tcp(swarm)])),
            set("cluster.mdns_interval", json!("0s")),
            set("cluster.enable_relay_hop", json!(false)),
            set("consensus.crdt.trusted_peers", json!([])),
            set("api.ipfsproxy.listen_multiaddress", tcp(proxy)),
            set("api.ipfsproxy.node_multiaddress", json!(node.api_tcp())),
            set("api.restapi.http_listen_multiaddress", tcp(rest)),
            set(
                "ipfs_connector.ipfshttp.node_multiaddress",
                json!(node.api_tcp()),
            ),
        ],
    )?;
    // A third interface, which would need a port of its own.
    settings::remove(&config, "api", "pinsvcapi")
}

/// A running cluster of one peer. Dropping it ends the service and removes its state.
#[derive(Debug)]
pub struct Cluster {
    // Declared before the folder, so that it is dropped first.
    running: Guarded,
    folder: TempDir,
    proxy: u16,
    rest: Rpc,
    rest_port: u16,
}

impl Cluster {
    /// The address of its proxy of the node's RPC: `/ip4/127.0.0.1/tcp/…`.
    pub fn proxy(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}", self.proxy)
    }

    /// The same as a URL, without a path.
    pub fn proxy_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.proxy)
    }

    /// A client of the proxy.
    pub fn proxy_rpc(&self) -> Rpc {
        Rpc::new(self.proxy, None)
    }

    /// The URL of its own REST API, without a path.
    pub fn rest_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest_port)
    }

    /// The folder with its configuration and state.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The last lines of its log.
    pub fn log(&self) -> String {
        self.running.log()
    }

    /// Sends a request to its REST API, for instance `GET /pins`.
    ///
    /// # Errors
    /// If it does not answer. An answer with any status is a success here.
    pub fn rest(&self, method: &str, path: &str) -> Result<Answer> {
        self.rest.send(method, path, None)
    }

    /// The CIDs in the cluster's pinset.
    ///
    /// # Errors
    /// If it does not answer, or answers with a failure.
    pub fn pinset(&self) -> Result<Vec<String>> {
        let call = "GET /allocations";
        let answer = self.rest("GET", "/allocations")?;
        // 204 means that there are none.
        if !matches!(answer.status, 200 | 204) {
            return Err(Error::Refused {
                call: call.to_owned(),
                status: answer.status,
                message: String::from_utf8_lossy(&answer.body).into_owned(),
            });
        }
        let pins = serde_json::Deserializer::from_slice(&answer.body).into_iter::<Value>();
        pins.map(|pin| {
            let pin = pin.map_err(|error| Error::unreadable(call, error.to_string()))?;
            let cid = pin["cid"].as_str().map(ToOwned::to_owned);
            cid.ok_or_else(|| Error::unreadable(call, format!("{pin} has no cid")))
        })
        .collect()
    }
}

/// The [`ClusterService`] to test with. If there is none, prints `NOT RUN: kubo: …` on standard output and returns,
/// like [`kubo_or_not_run!`](crate::kubo_or_not_run).
#[macro_export]
macro_rules! cluster_or_not_run {
    ($what:expr) => {
        $crate::cluster_or_not_run!($what, ())
    };
    ($what:expr, $result:expr) => {
        match $crate::ClusterService::find() {
            Some(service) => service,
            None => {
                let variable = $crate::ClusterService::VARIABLE;
                println!("NOT RUN: kubo: {}: {variable} names no program", $what);
                return $result;
            }
        }
    };
}
