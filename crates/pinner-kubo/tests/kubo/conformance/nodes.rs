//! The fixture: real nodes, each lent to one case at a time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use kubo_daemon::{Daemon, Kubo, Node};
use pinner_api::{Cid, Pinner};
use pinner_conformance::{
    Abilities, Absence, Backend, Content, Elsewhere, FixtureResult, Oversize,
};
use pinner_kubo::{Auth, KuboPinner};

/// How a node is set up and reached.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub(crate) node: fn(Node) -> Node,
    pub(crate) auth: Auth,
    pub(crate) absence: Absence,
    /// Whether there is a second node, to which the first is connected.
    pub(crate) with_elsewhere: bool,
    /// Whether blocks are read from the files of the repository first.
    pub(crate) reads_files: bool,
}

impl Configuration {
    pub(crate) fn new(absence: Absence) -> Self {
        Self {
            node: |node| node,
            auth: Auth::None,
            absence,
            with_elsewhere: false,
            reads_files: false,
        }
    }
}

/// Turns routing on, for names: a node with a network but without routing does not even find its own names.
pub(crate) fn with_names(node: Node) -> Node {
    node.config("Routing.Type", "dhtserver")
}

/// A node, and the node that it can fetch from.
#[derive(Debug)]
struct Place {
    daemon: Daemon,
    elsewhere: Option<Daemon>,
}

/// Running nodes that are not lent. They end when the last handle is dropped.
#[derive(Debug)]
pub(crate) struct Nodes {
    kubo: Kubo,
    configuration: Configuration,
    free: Mutex<Vec<Arc<Place>>>,
}

impl Nodes {
    pub(crate) fn new(kubo: Kubo, configuration: Configuration) -> Self {
        Self {
            kubo,
            configuration,
            free: Mutex::default(),
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Place>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self) -> kubo_daemon::Result<Place> {
        let daemon = (self.configuration.node)(self.kubo.node()).start()?;
        let elsewhere = match self.configuration.with_elsewhere {
            true => Some(self.kubo.node().without_gateway().start()?),
            false => None,
        };
        if let Some(elsewhere) = &elsewhere {
            daemon.connect(elsewhere)?;
        }
        Ok(Place { daemon, elsewhere })
    }
}

/// A node that belongs to one case while this value lives.
struct Lent {
    nodes: Arc<Nodes>,
    place: Arc<Place>,
    pinner: Arc<KuboPinner>,
    absence: Absence,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.nodes.free().push(self.place.clone());
    }
}

/// Lends a node with this content.
pub(crate) async fn start(
    nodes: Arc<Nodes>,
    absence: Absence,
    content: Content,
) -> FixtureResult<impl Backend> {
    let free = nodes.free().pop();
    let place = match free {
        Some(place) => place,
        None => {
            let nodes = nodes.clone();
            Arc::new(tokio::task::spawn_blocking(move || nodes.started()).await??)
        }
    };
    let pinner = Arc::new(connect(&nodes.configuration, &place).await?);
    assert_eq!(
        pinner.gateway().map(ToString::to_string),
        place.daemon.gateway_url(),
        "the gateway is found where there is one"
    );
    let lent = Lent {
        nodes,
        place,
        pinner,
        absence,
    };
    lent.on_the_node(move |place| {
        for block in content.blocks.iter().chain(&content.oversize) {
            place.daemon.put_block(&block.cid, &block.bytes)?;
        }
        if let Some(elsewhere) = &place.elsewhere {
            for block in &content.elsewhere {
                elsewhere.put_block(&block.cid, &block.bytes)?;
            }
        }
        Ok(())
    })
    .await?;
    Ok(lent)
}

async fn connect(
    configuration: &Configuration,
    place: &Place,
) -> Result<KuboPinner, pinner_kubo::KuboError> {
    let builder = match configuration.reads_files {
        true => KuboPinner::builder().read_files(place.daemon.repo_path()),
        false => KuboPinner::builder(),
    };
    builder
        .repo(place.daemon.repo_path())
        .auth(configuration.auth.clone())
        // A search for a missing block takes this long, on a node with a network.
        .block_deadline(Duration::from_secs(5))
        .pin_stall_deadline(Duration::from_secs(5))
        .connect()
        .await
}

impl Lent {
    async fn on_the_node<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Place) -> kubo_daemon::Result<T> + Send + 'static,
    ) -> FixtureResult<T> {
        let place = self.place.clone();
        Ok(tokio::task::spawn_blocking(move || ask(&place)).await??)
    }
}

#[async_trait]
impl Backend for Lent {
    fn pinner(&self) -> Arc<dyn Pinner> {
        self.pinner.clone()
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            absence: self.absence,
            elsewhere: match self.nodes.configuration.with_elsewhere {
                true => Elsewhere::Reachable,
                false => Elsewhere::Unreachable,
            },
            oversize: Oversize::Held,
        }
    }

    async fn second(&self) -> FixtureResult<Option<Arc<dyn Pinner>>> {
        let second = connect(&self.nodes.configuration, &self.place).await?;
        Ok(Some(Arc::new(second)))
    }

    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        let cid = *cid;
        let held = self
            .on_the_node(move |place| place.daemon.holds(&cid))
            .await?;
        Ok(Some(held))
    }

    async fn collect(&self) -> FixtureResult<Option<()>> {
        self.on_the_node(|place| place.daemon.gc()).await?;
        Ok(Some(()))
    }

    async fn foreign_pin(&self, root: &Cid) -> FixtureResult<Option<()>> {
        let root = root.to_string();
        self.on_the_node(move |place| {
            let arguments = [("arg", root.as_str()), ("name", "the owner's")];
            place.daemon.rpc().call("pin/add", &arguments)
        })
        .await?;
        Ok(Some(()))
    }

    async fn set_name(&self, root: &Cid, path: &str) -> FixtureResult<Option<String>> {
        static KEYS: AtomicU64 = AtomicU64::new(0);
        let key = format!("key-{}", KEYS.fetch_add(1, Ordering::Relaxed));
        let value = match path {
            "" => format!("/ipfs/{root}"),
            path => format!("/ipfs/{root}/{path}"),
        };
        let name = self
            .on_the_node(move |place| {
                let rpc = place.daemon.rpc();
                rpc.call("key/gen", &[("arg", &key)])?;
                // The path's target need not exist.
                let arguments = [
                    ("arg", value.as_str()),
                    ("key", &key),
                    ("allow-offline", "true"),
                    ("resolve", "false"),
                ];
                rpc.value("name/publish", &arguments)
            })
            .await?;
        Ok(name["Name"].as_str().map(str::to_owned))
    }
}
