//! `run`: runs a WASI program with `/ipfs`, in addition to what `wasmtime run` provides.
//!
//! Access is a capability (I10): the guest may ask for the roots that are named on the command line, including its own
//! arguments and the program's path, and for no others unless `--any-cid` is given.

use std::ffi::{OsStr, OsString};

use anyhow::Context;
use pinset::{Access, IpnsName, Limits, RootCid};
use wasi_ipfs_fs::IpfsCtx;
use wasmtime_wasi::FsPerms;

use crate::{
    guest::{Guest, Preopen, Surroundings},
    host::{self, Host, HostArgs, Sharing},
    ipfs_path::{ContentPath, roots_in},
    key_values::List,
    messages,
    program::{self, Allowed, Source},
    record::Record,
    units::parse_size,
    usage::Usage,
    wasmtime_flags::{Options, WasmtimeArgs},
};

/// Run a WASI program that sees /ipfs/CID/… as files
///
/// The program is a module of WASI preview 1 or a component of WASI 0.2 or 0.3, binary or as text: a file, - for
/// standard input, or /ipfs/CID/app.wasm, which is verified before it runs. It may read the roots that the sources name
/// (CAR headers, --add), those of --mount, and every /ipfs/CID in its arguments, its own path included, and in the values
/// of --env; any CID with --any-cid, and /ipns/NAME with --ipns NAME. This command exits with the program's status, or
/// with 134 if it trapped or its time was over.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "wasi-ipfs run [OPTIONS] PROGRAM [ARGS]...")]
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

    /// The same, but the guest cannot change anything there. These come after those of --dir
    #[arg(long = "dir-ro", value_name = "HOST[::GUEST]", help_heading = "Guest")]
    read_only_dirs: Vec<Preopen>,

    /// Pass an environment variable, with this process's value unless one is given; may be given several times. No
    /// others are passed, except with -S inherit-env
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

    /// Limit what the guest may use of /ipfs: open_handles=N, fetches_in_flight=N, targets=N, fetched_bytes=SIZE,
    /// path_bytes=N, memory_bytes=SIZE. Beyond a limit its calls fail
    #[arg(long, value_name = "KEY=VAL[,..]", help_heading = "Guest")]
    limits: Vec<List<Limits>>,

    /// Run the guest without /ipfs, as `wasmtime run` does. No source is needed then, unless the program is in IPFS
    #[arg(long, help_heading = "Guest", conflicts_with_all = ["mount", "ipns", "any_cid", "limits"])]
    no_ipfs: bool,

    /// The largest program that is run
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_size, help_heading = "Guest")]
    max_program_size: u64,

    /// Run a host file of native code, as `wasmtime compile` writes it. Nothing confines it: it can do whatever you can
    #[arg(long, help_heading = "Guest")]
    allow_precompiled: bool,

    #[command(flatten)]
    wasmtime: WasmtimeArgs,

    /// Give the guest a cache of its own, so that timing reveals nothing about other guests
    #[arg(long, help_heading = "Cache")]
    isolated: bool,

    /// The program (a file, -, or /ipfs/CID/app.wasm), and its arguments, which are passed on untouched
    #[arg(
        value_name = "PROGRAM [ARGS]",
        help_heading = "Arguments",
        required = true,
        trailing_var_arg = true
    )]
    guest: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs run --car site.car rg.wasm needle /ipfs/<CID>/docs
  wasi-ipfs run --add ./data --dir ./out::/out convert.wasm /ipfs/<CID>/in.csv /out/result
  wasi-ipfs run --car python.car --mount /lib=/ipfs/<CID>/lib --env PYTHONHOME=/lib python.wasm -c 'import json'
  wasi-ipfs run --car big.car --budget 64MiB --stats sum.wasm /ipfs/<CID>
  wasi-ipfs run --kubo --ipns docs.ipfs.tech rg.wasm pinning /ipns/docs.ipfs.tech
  wasi-ipfs run --kubo -W timeout=10s,max-memory-size=256MiB --limits fetched_bytes=1G /ipfs/<CID>/app.wasm";

/// One `--mount`.
#[derive(Clone, Debug)]
struct Mount {
    guest: String,
    path: ContentPath,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    let [program, arguments @ ..] = &args.guest[..] else {
        return Err(Usage::missing("no program is given"));
    };
    let source = Source::of(program)?;
    let options = args.wasmtime.options()?;
    let surroundings = args.surroundings(&source, arguments, &options)?;
    let sharing = match args.isolated {
        true => Sharing::Isolated,
        false => Sharing::Shared,
    };
    let allowed = Allowed {
        bytes: args.max_program_size,
        native: args.allow_precompiled,
    };
    let root = source.root();
    let ipfs = async |host: &Host| args.ipfs(host, root, &surroundings.arguments).await;
    let open = args.host.open(sharing);
    match source {
        Source::Local(local) => {
            // The program is compiled while the sources are opened.
            let guest = tokio::task::spawn_blocking(move || {
                Guest::compile(program::read(&local, allowed)?, &options)
            });
            let run = async |ipfs: Option<IpfsCtx>| {
                let guest = guest.await.context("compiling the guest panicked")??;
                guest.run(&surroundings, ipfs).await
            };
            match args.no_ipfs {
                true => host::until_stopped(run(None)).await,
                false => {
                    host::with_open_host(open, async |host| run(Some(ipfs(host).await?)).await)
                        .await
                }
            }
        }
        Source::Ipfs(path) => {
            host::with_open_host(open, async |host| {
                let ipfs = ipfs(host).await?;
                let program = program::fetch(&path, ipfs.cache(), allowed).await?;
                let compile = move || Guest::compile(program, &options);
                let guest = tokio::task::spawn_blocking(compile).await;
                let guest = guest.context("compiling the guest panicked")??;
                let seen = (!args.no_ipfs).then_some(ipfs);
                guest.run(&surroundings, seen).await
            })
            .await
        }
    }
}

impl Args {
    /// Builds the guest's view of the host's cache. `own_root` is the program's.
    async fn ipfs(
        &self,
        host: &Host,
        own_root: Option<RootCid>,
        arguments: &[String],
    ) -> anyhow::Result<IpfsCtx> {
        let values = self.env.iter().filter_map(|(_, value)| value.as_ref());
        let access = match self.any_cid {
            true => Access::Any,
            false => Access::roots(
                host.roots
                    .iter()
                    .copied()
                    .chain(own_root)
                    .chain(self.mount.iter().filter_map(|mount| mount.path.root()))
                    .chain(
                        arguments
                            .iter()
                            .chain(values)
                            .flat_map(|text| roots_in(text)),
                    ),
            ),
        };
        let limits = List::settings(&self.limits).map_err(Usage::invalid)?;
        let mut ipfs = IpfsCtx::builder(host.cache.clone(), access).limits(limits);
        for Mount { guest, path } in &self.mount {
            ipfs = ipfs.mount(guest, path.path().clone());
        }
        for name in &self.ipns {
            ipfs = ipfs.name(name.clone());
        }
        let ipfs = ipfs.build().await?;
        for fixed in ipfs.names() {
            let (cid, name) = (fixed.target().to_string(), fixed.name().to_string());
            let words = format!("resolved {cid} /ipns/{name}");
            messages::note(&Record::Resolved { name, cid }, words);
        }
        Ok(ipfs)
    }

    fn surroundings(
        &self,
        source: &Source,
        rest: &[OsString],
        options: &Options,
    ) -> anyhow::Result<Surroundings> {
        let own_name = match &self.argv0 {
            Some(name) => name.clone(),
            None => utf8(source.own_name())?,
        };
        let mut arguments = vec![own_name];
        for argument in rest {
            arguments.push(utf8(argument)?);
        }
        Ok(Surroundings {
            arguments,
            environment: self.environment(options)?,
            directories: self.directories()?,
        })
    }

    /// The guest's environment. A variable of `--env` replaces an inherited or earlier one of its name.
    fn environment(&self, options: &Options) -> anyhow::Result<Vec<(String, String)>> {
        let mut environment = Vec::new();
        if options.wasi.inherit_env {
            for (name, value) in std::env::vars_os() {
                match (name.to_str(), value.to_str()) {
                    (Some(name), Some(value)) => environment.push((name.into(), value.into())),
                    _ => messages::warning(format_args!(
                        "the variable '{}' is not UTF-8, and is not passed to the guest",
                        name.display()
                    )),
                }
            }
        }
        for (name, value) in &self.env {
            let value = match value {
                Some(value) => value.clone(),
                None => match std::env::var_os(name) {
                    Some(value) => utf8(&value)?,
                    None => continue,
                },
            };
            environment.retain(|(earlier, _)| earlier != name);
            environment.push((name.clone(), value));
        }
        Ok(environment)
    }

    /// The host directories that the guest may use.
    fn directories(&self) -> anyhow::Result<Vec<Preopen>> {
        let read_only = self.read_only_dirs.iter().map(|dir| Preopen {
            perms: FsPerms::ReadOnly,
            ..dir.clone()
        });
        let directories: Vec<_> = self.dirs.iter().cloned().chain(read_only).collect();
        for Preopen { guest, .. } in &directories {
            let hidden = match guest.trim_end_matches('/') {
                "/ipfs" => !self.no_ipfs,
                "/ipns" => !self.ipns.is_empty(),
                _ => false,
            };
            if hidden {
                return Err(Usage::invalid(format!(
                    "the guest's name '{guest}' of a host directory is taken; choose another"
                )));
            }
        }
        Ok(directories)
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

    /// `HOST` or `HOST::GUEST`. wasmtime ignores what follows a second `::`; nobody means that.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, guest) = text.split_once("::").unwrap_or((text, text));
        match (host, guest) {
            ("", _) | (_, "") => Err("expected HOST or HOST::GUEST"),
            (_, guest) if guest.contains("::") => Err("expected HOST or HOST::GUEST, with one ::"),
            _ => Ok(Self {
                host: host.into(),
                guest: guest.into(),
                perms: FsPerms::ReadWrite,
            }),
        }
    }
}
