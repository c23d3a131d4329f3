//! The sources of blocks: the flags that name them, and the sources themselves behind one `Pinner`.
//!
//! To add a kind of source, add a flag in [`SourceArgs`], an arm in [`SourceArgs::open`], and a line in [`no_source`].
//! Nothing else in the command knows the kinds of sources, except `pins`, which is about a node's pins. If a build
//! leaves a kind out, its flags are in `left_out`, which refuses them by name.

#[cfg(any(feature = "gateway", feature = "kubo"))]
mod credentials;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "kubo")]
mod kubo;
#[cfg(not(all(feature = "gateway", feature = "kubo", feature = "object-store")))]
mod left_out;
#[cfg(feature = "object-store")]
mod remote_archives;
#[cfg(feature = "kubo")]
mod repository;
#[cfg(feature = "gateway")]
mod routing;
mod unnamed;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use pinner_api::Pinner;
use pinner_car::{CarPinner, ImportOptions};
use pinner_layered::{Layered, LayeredBuilder};
use pinset::RootCid;

use crate::{
    archive, importing, messages,
    record::{Record, Text},
    scratch::Scratch,
    usage::Usage,
};

#[cfg(feature = "gateway")]
use gateway::GatewayArgs;
#[cfg(feature = "kubo")]
pub(crate) use kubo::KuboArgs;
#[cfg(not(feature = "gateway"))]
use left_out::GatewayArgs;
#[cfg(not(feature = "kubo"))]
pub(crate) use left_out::KuboArgs;
#[cfg(not(feature = "object-store"))]
use left_out::RemoteArchiveArgs;
#[cfg(not(feature = "kubo"))]
use left_out::RepositoryArgs;
#[cfg(feature = "object-store")]
use remote_archives::RemoteArchiveArgs;
#[cfg(feature = "kubo")]
use repository::RepositoryArgs;
use unnamed::Unnamed;

/// The message if no source is given.
fn no_source() -> String {
    let (kubo, repository) = (KuboArgs::SUMMARY, RepositoryArgs::SUMMARY);
    let (gateway, or_url) = (GatewayArgs::SUMMARY, RemoteArchiveArgs::SUMMARY);
    format!(
        "no source of blocks is given. The sources are:
  --car FILE      a CAR archive, as `wasi-ipfs import` and `ipfs dag export` write it{or_url}
  --add PATH      a local file or directory, imported for this run
{kubo}{repository}{gateway}Pass one or more of them"
    )
}

/// The sources of blocks.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sources of blocks (at least one)")]
pub(crate) struct SourceArgs {
    /// A CAR archive (version 1 or 2); may be given several times. Blocks in local sources are not requested from
    /// others, unless they are damaged. `-` is standard input: it is copied into a temporary file first, as is a pipe. An https:// or s3:// URL is read by
    /// ranges; for S3, the keys, the region and the endpoint are those of AWS's variables, and nothing is signed without
    /// keys
    #[arg(long, value_name = "FILE")]
    car: Vec<PathBuf>,

    /// A local file or directory, without its hidden files. It is copied into a temporary CAR beside what is staged,
    /// which needs as much disk again and is not counted in --budget; its CID is printed to standard error. May be given
    /// several times
    #[arg(long, value_name = "PATH")]
    add: Vec<PathBuf>,

    /// With --add: include hidden files
    #[arg(long, requires = "add")]
    add_hidden: bool,

    #[command(flatten)]
    remote_archives: RemoteArchiveArgs,

    #[command(flatten)]
    kubo: KuboArgs,

    #[command(flatten)]
    repository: RepositoryArgs,

    #[command(flatten)]
    gateway: GatewayArgs,
}

/// The sources, open.
#[derive(Debug)]
pub(crate) struct Sources {
    /// All sources as one backend.
    pub(crate) pinner: Arc<dyn Pinner>,
    /// The roots that the sources themselves name: those of CAR headers and of imports.
    pub(crate) roots: Vec<RootCid>,
    /// How much all of them hold together, if that can be counted.
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
    /// Opens all sources. Temporary archives are made beside what is staged, in the directory `staging` if there is one.
    /// `block_deadline` is the longest that a block may take.
    ///
    /// # Cancellation
    /// Nothing is left on the disk.
    pub(crate) async fn open(
        &self,
        staging: Option<&Path>,
        block_deadline: Duration,
    ) -> anyhow::Result<Sources> {
        self.kubo.refuse_unused()?;
        // First, because it shows at once whether a node answers, while an import may take long.
        let remote = self.remote(block_deadline).await?;
        let (urls, files) = archive::divided(&self.car);
        let far = self.remote_archives.open(&urls, block_deadline).await?;
        let local = match files.is_empty() && self.add.is_empty() {
            true => None,
            false => Some(self.local(files, staging).await?),
        };
        let mut roots = local.as_ref().map_or_else(Vec::new, roots_of);
        roots.extend(far.iter().flat_map(|archive| archive.roots.iter().cloned()));
        let total = match (&local, &remote) {
            (Some(local), None) if far.is_empty() => Some(Total {
                blocks: local.len() as u64,
                bytes: local.total_bytes(),
            }),
            (Some(_) | None, _) => None,
        };
        let local = local.map(|local| Arc::new(local) as Arc<dyn Pinner>);
        let mut archives: Vec<_> = local.into_iter().collect();
        archives.extend(far.into_iter().map(|archive| archive.pinner));
        let pinner: Arc<dyn Pinner> = match (&archives[..], remote) {
            ([], None) => return Err(Usage::missing(no_source())),
            ([one], None) => one.clone(),
            ([], Some(remote)) => remote,
            (_, remote) => {
                let layers = archives.into_iter();
                let layers = layers.fold(Layered::builder(), LayeredBuilder::archive);
                Arc::new(match remote {
                    Some(remote) => layers.keeper(remote).build(),
                    None => layers.build(),
                })
            }
        };
        Ok(Sources {
            pinner,
            roots,
            total,
        })
    }

    /// Opens the archives that are files, and those that are imported now.
    async fn local(
        &self,
        mut cars: Vec<PathBuf>,
        staging: Option<&Path>,
    ) -> anyhow::Result<CarPinner> {
        let imports = match self.add.is_empty() {
            true => None,
            false => Some(Scratch::new(staging)?),
        };
        let options = ImportOptions {
            hidden: self.add_hidden,
            ..ImportOptions::default()
        };
        if let Some(imports) = &imports {
            for (number, path) in self.add.iter().enumerate() {
                let car = imports.path().join(format!("{number}.car"));
                let imported = importing::to_car(vec![path.clone()], &car, options.clone()).await?;
                let cid = imported.total.root.to_string();
                let words = format!("added {cid} {}", path.display());
                let path = Text::path(path);
                messages::note(&Record::Added { cid, path }, words);
                cars.push(car);
            }
        }
        let pinner = archive::open(&cars, staging).await?;
        // The imports stay readable through the open files, and are removed from the disk however this process ends.
        drop(imports);
        Ok(pinner)
    }

    /// Opens a node, with or without the files of its repository; or a repository, with or without gateways for what it
    /// lacks; or gateways alone. clap refuses gateways together with a node.
    async fn remote(&self, block_deadline: Duration) -> anyhow::Result<Option<Arc<dyn Pinner>>> {
        let dir = self.repository.dir();
        let has_others = self.kubo.wanted() || dir.is_some();
        let unnamed = match has_others || !self.car.is_empty() || !self.add.is_empty() {
            true => Unnamed::Nothing,
            false => Unnamed::Found,
        };
        let gateways = self.gateway.open(block_deadline, unnamed)?;
        if self.kubo.wanted() {
            return self.kubo.connect(dir, block_deadline).await.map(Some);
        }
        let Some(dir) = dir else {
            return Ok(gateways);
        };
        let files = self.repository.open(dir, block_deadline).await?;
        Ok(Some(match gateways {
            Some(gateways) => Arc::new(Layered::builder().source(files).keeper(gateways).build()),
            None => files,
        }))
    }
}

/// The roots in the headers of archives.
fn roots_of(cars: &CarPinner) -> Vec<RootCid> {
    let short = cars.roots().iter().map(RootCid::from);
    let long = cars.long_roots().iter();
    // `pinset` takes every identity CID of a CAR.
    let long = long.filter_map(|root| root.to_string().parse().ok());
    short.chain(long).collect()
}

/// Tests of what a build leaves out: run by `cargo test -p wasi-ipfs --no-default-features --bins`.
#[cfg(all(
    test,
    not(all(feature = "gateway", feature = "kubo", feature = "object-store"))
))]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Flags {
        #[command(flatten)]
        sources: SourceArgs,
    }

    /// The message with which the flags are refused.
    fn refused(flags: &[&str]) -> String {
        let flags = Flags::parse_from(["it"].iter().chain(flags));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let opened = flags.sources.open(None, Duration::from_secs(1));
        let error = runtime.expect("a runtime").block_on(opened);
        error.expect_err("it is left out").to_string()
    }

    #[test]
    #[cfg(not(feature = "kubo"))]
    fn a_node_is_refused_by_name() {
        for flag in [
            "--kubo",
            "--kubo=/ip4/127.0.0.1/tcp/5001",
            "--kubo-auth-file=s3cret",
            "--kubo-gateway=off",
            "--kubo-repo=/home/me/.ipfs",
        ] {
            let said = refused(&[flag]);
            let name = flag.split('=').next().unwrap_or(flag);
            assert!(said.starts_with(name) && said.contains("`kubo`"), "{said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    #[cfg(not(feature = "gateway"))]
    fn a_gateway_is_refused_by_name() {
        for flag in ["--gateway", "--routing"] {
            let said = refused(&[flag, "https://example.org"]);
            assert!(said.contains(flag) && said.contains("`gateway`"), "{said}");
        }
    }

    #[test]
    #[cfg(not(feature = "object-store"))]
    fn an_archive_at_a_url_is_refused_by_name() {
        for flags in [
            &["--car", "https://example.org/x.car?s3cret"][..],
            &["--car", "x.car", "--car", "s3://bucket/x.car"],
            &["--car", "x.car", "--car-scan-limit", "1GiB"],
        ] {
            let said = refused(flags);
            assert!(
                said.starts_with("--car") && said.contains("`object-store`"),
                "{said}"
            );
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}
