//! Where blocks come from: the flags that name sources, and the sources themselves behind one `Pinner`.
//!
//! A further kind of source is a flag in [`SourceArgs`], an arm in [`SourceArgs::open`], and a line in
//! [`NO_SOURCE`]; nothing else in the command knows what sources there are.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use cid::Cid;
use clap::Args;
use pinner_api::Pinner;
use pinner_car::{CarPinner, ImportOptions};

use crate::{importing, usage::Usage};

/// What is said where no source is given.
const NO_SOURCE: &str = "no source of blocks is given. There are:
  --car FILE   a CAR archive, as `wasi-ipfs import` and `ipfs dag export` write it
  --add PATH   a local file or directory, imported for this run
Give one or more of them";

/// Where blocks come from.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sources of blocks (at least one)")]
pub(crate) struct SourceArgs {
    /// A CAR archive (version 1 or 2); may be given several times
    #[arg(long, value_name = "FILE")]
    car: Vec<PathBuf>,

    /// A local file or directory: imported into a temporary CAR, its CID printed on standard error; may be given
    /// several times
    #[arg(long, value_name = "PATH")]
    add: Vec<PathBuf>,
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
    /// Opens all of them; imports are made in a temporary directory below `scratch`.
    ///
    /// # Cancellation
    /// Nothing is left on the disk.
    pub(crate) async fn open(&self, scratch: &Path) -> anyhow::Result<Sources> {
        if self.car.is_empty() && self.add.is_empty() {
            return Err(Usage::missing(NO_SOURCE));
        }
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
        Ok(Sources {
            roots: pinner.roots().to_vec(),
            total: Some(Total {
                blocks: pinner.len() as u64,
                bytes: pinner.total_bytes(),
            }),
            pinner: Arc::new(pinner),
        })
    }
}
