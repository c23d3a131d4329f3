//! `run`: runs a WASI program with `/ipfs`, in addition to what `wasmtime run` provides.
//!
//! Access is a capability (I10): the guest may ask for the roots that are named on the command line, including its own
//! arguments, and for no others unless `--any-cid` is given.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use anyhow::Context;
use cid::Cid;
use pinset::{Access, CacheMode, IpnsName, RootCid};
use wasi_ipfs_fs::IpfsCtx;

use crate::{
    guest::{Guest, Preopen, Surroundings},
    host::{self, HostArgs, Sharing},
    ipfs_path::{ContentPath, roots_in},
    usage::Usage,
};

/// Run a WASI program that sees /ipfs/CID/… as files
///
/// The program is a WASI preview 1 module or a preview 2 component. It may read the roots that the sources name
/// (CAR headers, --add), those of --mount, and every /ipfs/CID in its arguments; any CID with --any-cid, and
/// /ipns/NAME with --ipns NAME. This command exits with the program's status, or with 134 if it trapped.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "wasi-ipfs run [OPTIONS] GUEST.wasm [ARGS]...")]
pub(crate) struct Args {
    #[command(flatten)]
    host: HostArgs,

    /// Show an IPFS directory (/ipfs/CID/…, /ipns/NAME/…) to the guest under another name; may be given several
    /// times
    #[arg(long, value_name = "GUEST=PATH", help_heading = "Guest")]
    mount: Vec<Mount>,

    /// Grant access to a host directory, under its own name or another; may be given several times
    #[arg(long = "dir", value_name = "HOST[::GUEST]", help_heading = "Guest")]
    dirs: Vec<Preopen>,

    /// Pass an environment variable, with this process's value unless one is given; may be given several times
    #[arg(long = "env", value_name = "NAME[=VAL]", help_heading = "Guest", value_parser = parse_env)]
    env: Vec<(String, Option<String>)>,

    /// The guest's argument zero, instead of its file name
    #[arg(long, value_name = "NAME", help_heading = "Guest")]
    argv0: Option<String>,

    /// Grant NAME, a key or a domain with a DNSLink record. The guest sees /ipns/NAME as a link to the /ipfs/CID that
    /// the name stands for now, for as long as it runs. The node is trusted with the CID; the content below it is
    /// verified as usual. May be given several times
    #[arg(long, value_name = "NAME", help_heading = "Guest")]
    ipns: Vec<IpnsName>,

    /// Let the guest ask for any CID. By its choice of CIDs it can then tell a remote source what it has read
    #[arg(long, help_heading = "Guest")]
    any_cid: bool,

    /// Give the guest a cache of its own, so that timing reveals nothing about other guests
    #[arg(long, help_heading = "Cache")]
    isolated: bool,

    /// The guest, and its arguments, which are passed on untouched
    #[arg(
        value_name = "GUEST.wasm [ARGS]",
        help_heading = "Arguments",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    guest: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs run --car site.car rg.wasm needle /ipfs/<CID>/docs
  wasi-ipfs run --add ./data --dir ./out::/out convert.wasm /ipfs/<CID>/in.csv /out/result
  wasi-ipfs run --car python.car --mount /lib=/ipfs/<CID>/lib --env PYTHONHOME=/lib python.wasm -c 'import json'
  wasi-ipfs run --car big.car --budget 64MiB --stats sum.wasm /ipfs/<CID>
  wasi-ipfs run --kubo --ipns docs.ipfs.tech rg.wasm pinning /ipns/docs.ipfs.tech";

/// One `--mount`.
#[derive(Clone, Debug)]
struct Mount {
    guest: String,
    path: ContentPath,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    let [program, arguments @ ..] = &args.guest[..] else {
        return Err(Usage::missing("no guest is given"));
    };
    let program = Path::new(program);
    let surroundings = args.surroundings(program, arguments)?;
    let sharing = match args.isolated {
        true => Sharing::Isolated,
        false => Sharing::Shared,
    };
    // The guest is compiled while the sources are opened.
    let file = program.to_owned();
    let guest = tokio::task::spawn_blocking(move || Guest::load(&file));
    let open = async {
        let guest_arguments = &surroundings.arguments;
        let host = args.host.open(sharing).await?;
        host.give(async |cache, roots| args.ipfs(cache, roots, guest_arguments).await)
            .await
    };
    host::with_host(open, async |ipfs| {
        let guest = guest.await.context("compiling the guest panicked")??;
        guest.run(&surroundings, ipfs.clone()).await
    })
    .await
}

impl Args {
    /// Builds the guest's view of `cache`; `roots` are those of the cache's sources.
    async fn ipfs(
        &self,
        cache: CacheMode,
        roots: &[Cid],
        arguments: &[String],
    ) -> anyhow::Result<IpfsCtx> {
        let access = match self.any_cid {
            true => Access::Any,
            false => Access::roots(
                roots
                    .iter()
                    .map(RootCid::from)
                    .chain(self.mount.iter().filter_map(|mount| mount.path.root()))
                    .chain(arguments.iter().flat_map(|argument| roots_in(argument))),
            ),
        };
        let mut ipfs = IpfsCtx::builder(cache, access);
        for Mount { guest, path } in &self.mount {
            ipfs = ipfs.mount(guest, path.path().clone());
        }
        for name in &self.ipns {
            ipfs = ipfs.name(name.clone());
        }
        let ipfs = ipfs.build().await?;
        for fixed in ipfs.names() {
            eprintln!("resolved {} /ipns/{}", fixed.target(), fixed.name());
        }
        Ok(ipfs)
    }

    fn surroundings(&self, program: &Path, rest: &[OsString]) -> anyhow::Result<Surroundings> {
        let own_name = match &self.argv0 {
            Some(name) => name.clone(),
            None => utf8(program.file_name().unwrap_or(program.as_os_str()))?,
        };
        let mut arguments = vec![own_name];
        for argument in rest {
            arguments.push(utf8(argument)?);
        }
        let mut environment = Vec::new();
        for (name, value) in &self.env {
            let value = match value {
                Some(value) => value.clone(),
                None => match std::env::var_os(name) {
                    Some(value) => utf8(&value)?,
                    None => continue,
                },
            };
            environment.push((name.clone(), value));
        }
        Ok(Surroundings {
            arguments,
            environment,
            directories: self.dirs.clone(),
        })
    }
}

fn utf8(text: &OsStr) -> anyhow::Result<String> {
    text.to_str().map(str::to_owned).ok_or_else(|| {
        Usage::invalid(format!(
            "'{}' is not UTF-8, which WASI guests require",
            text.display()
        ))
    })
}

fn parse_env(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    match name {
        "" => Err("expected NAME=VAL or NAME".into()),
        _ => Ok((name.to_owned(), value)),
    }
}

impl std::str::FromStr for Mount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (guest, path) = text
            .split_once('=')
            .ok_or("expected a name and a path, like /data=/ipfs/<CID>/sub")?;
        if !guest.starts_with('/') {
            return Err(format!(
                "the guest's name '{guest}' must start with a slash"
            ));
        }
        Ok(Self {
            guest: guest.to_owned(),
            path: path
                .parse()
                .map_err(|error: crate::ipfs_path::ParsePathError| error.to_string())?,
        })
    }
}

impl std::str::FromStr for Preopen {
    type Err = &'static str;

    /// `HOST` or `HOST::GUEST`, split at the first `::` as wasmtime does it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, guest) = text.split_once("::").unwrap_or((text, text));
        match (host, guest) {
            ("", _) | (_, "") => Err("expected HOST or HOST::GUEST"),
            _ => Ok(Self {
                host: host.into(),
                guest: guest.into(),
            }),
        }
    }
}
