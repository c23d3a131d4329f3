//! Where blocks come from: the flags that name sources, and the sources themselves behind one `Pinner`.
//!
//! A further kind of source is a flag in [`SourceArgs`], an arm in [`SourceArgs::open`], and a line in
//! [`NO_SOURCE`]; nothing else in the command knows what sources there are, but `pins`, which is about a node's.

mod kubo;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use cid::Cid;
use clap::Args;
use pinner_api::Pinner;
use pinner_car::{CarPinner, ImportOptions};
use pinner_gateway::{Endpoint, GatewayPinner};

use crate::{importing, layered::Layered, usage::Usage};

pub(crate) use kubo::KuboArgs;

/// What is said where no source is given.
const NO_SOURCE: &str = "no source of blocks is given. There are:
  --car FILE      a CAR archive, as `wasi-ipfs import` and `ipfs dag export` write it
  --add PATH      a local file or directory, imported for this run
  --kubo[=ADDR]   a Kubo node, the one that `ipfs` speaks to or the one at an address
  --gateway URL   a trustless HTTP gateway
Give one or more of them";

/// Where blocks come from.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sources of blocks (at least one)")]
pub(crate) struct SourceArgs {
    /// A CAR archive (version 1 or 2); may be given several times. What local sources hold is not asked of others
    #[arg(long, value_name = "FILE")]
    car: Vec<PathBuf>,

    /// A local file or directory: imported into a temporary CAR, its CID printed on standard error; may be given
    /// several times
    #[arg(long, value_name = "PATH")]
    add: Vec<PathBuf>,

    #[command(flatten)]
    kubo: KuboArgs,

    /// A trustless HTTP gateway (`https://trustless-gateway.link`), which is trusted with nothing: every block is
    /// verified. May be given several times: each is asked when those before it fail. Not together with --kubo,
    /// whose node finds blocks by itself
    #[arg(long, value_name = "URL", conflicts_with = "kubo")]
    gateway: Vec<Endpoint>,
}

/// The sources, open.
#[derive(Debug)]
pub(crate) struct Sources {
    /// All of them as one.
    pub(crate) pinner: Arc<dyn Pinner>,
    /// The roots that the sources themselves name: CAR headers', and imports'.
    pub(crate) roots: Vec<Cid>,
    /// What all of them hold together, where that can be counted.
    pub(crate) total: Option<Total>,
}

/// How much the sources hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Total {
    /// Distinct blocks.
    pub(crate) blocks: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl SourceArgs {
    /// Opens all of them; imports are made in a temporary directory below `scratch`. A block may take
    /// `block_deadline`.
    ///
    /// # Cancellation
    /// Nothing is left on the disk.
    pub(crate) async fn open(
        &self,
        scratch: &Path,
        block_deadline: Duration,
    ) -> anyhow::Result<Sources> {
        self.kubo.refuse_unused()?;
        // Whether a node answers is known at once, and an import may be long.
        let remote = self.remote(block_deadline).await?;
        let local = match self.car.is_empty() && self.add.is_empty() {
            true => None,
            false => Some(self.local(scratch).await?),
        };
        let roots = local
            .as_ref()
            .map_or_else(Vec::new, |local| local.roots().to_vec());
        let total = match (&local, &remote) {
            (Some(local), None) => Some(Total {
                blocks: local.len() as u64,
                bytes: local.total_bytes(),
            }),
            (Some(_) | None, _) => None,
        };
        let pinner: Arc<dyn Pinner> = match (local, remote) {
            (None, None) => return Err(Usage::missing(NO_SOURCE)),
            (Some(local), None) => Arc::new(local),
            (None, Some(remote)) => remote,
            (Some(local), Some(remote)) => Arc::new(Layered::new(Arc::new(local), remote)),
        };
        Ok(Sources {
            pinner,
            roots,
            total,
        })
    }

    async fn local(&self, scratch: &Path) -> anyhow::Result<CarPinner> {
        let mut cars = self.car.clone();
        let imports = match self.add.is_empty() {
            true => None,
            false => Some(
                tempfile::Builder::new()
                    .prefix("wasi-ipfs-add-")
                    .tempdir_in(scratch)
                    .with_context(|| {
                        format!(
                            "cannot make a directory for --add in '{}'; name another by --staging",
                            scratch.display()
                        )
                    })?,
            ),
        };
        if let Some(imports) = &imports {
            for (number, path) in self.add.iter().enumerate() {
                let car = imports.path().join(format!("{number}.car"));
                let imported = importing::to_car(path, &car, ImportOptions::default()).await?;
                eprintln!("added {} {}", imported.root, path.display());
                cars.push(car);
            }
        }
        let pinner = CarPinner::open(cars).await?;
        // The imports stay readable through the open files, and are gone from the disk whatever becomes of us.
        drop(imports);
        Ok(pinner)
    }

    /// A node, or gateways; clap lets nobody give both.
    async fn remote(&self, block_deadline: Duration) -> anyhow::Result<Option<Arc<dyn Pinner>>> {
        if self.kubo.wanted() {
            let node = self.kubo.connect(block_deadline).await?;
            return Ok(Some(Arc::new(node)));
        }
        if self.gateway.is_empty() {
            return Ok(None);
        }
        let mut builder = GatewayPinner::builder().deadline(block_deadline);
        for gateway in &self.gateway {
            builder = builder.gateway(gateway.clone());
        }
        let gateways = builder.build().context("--gateway cannot be used")?;
        Ok(Some(Arc::new(gateways)))
    }
}
