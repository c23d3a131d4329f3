//! A guest: its bytes compiled, its WASI set up, its run, and what its end means for our exit status.
//!
//! Everything that is not below `/ipfs` or a mount is wasmtime-wasi's own, as `wasmtime run` sets it up.

use std::path::{Path, PathBuf};

use anyhow::Context;
use wasi_ipfs_fs::{IpfsCtx, IpfsView};
use wasmtime::{
    Cache, Config, Engine, Store, Trap,
    component::{Component, Linker, ResourceTable},
};
use wasmtime_wasi::{
    FsPerms, I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p2::bindings::Command,
};

/// The status of a guest that trapped: 128 and SIGABRT, as `wasmtime run` has it.
const TRAPPED: i32 = 134;

/// What the guest is given beside `/ipfs`.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// Its arguments, its own name first.
    pub(crate) arguments: Vec<String>,
    /// Its environment: only what is listed.
    pub(crate) environment: Vec<(String, String)>,
    /// Host directories it may use, by the names it sees.
    pub(crate) directories: Vec<Preopen>,
}

/// A host directory that the guest may read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preopen {
    /// Where it is on the host.
    pub(crate) host: PathBuf,
    /// What the guest calls it.
    pub(crate) guest: String,
}

/// A compiled guest.
pub(crate) struct Guest {
    engine: Engine,
    component: Component,
    /// Its path, for messages.
    name: String,
}

impl Guest {
    /// Reads and compiles a preview 1 module or a preview 2 component; a compilation is kept in wasmtime's cache.
    ///
    /// Takes seconds for large guests: not for an async thread.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let wasm =
            std::fs::read(path).with_context(|| format!("cannot read the guest '{name}'"))?;
        let mut config = Config::new();
        match Cache::from_file(None) {
            Ok(cache) => {
                config.cache(Some(cache));
            }
            // No home directory, no cache: slower, and no reason to stop.
            Err(error) => tracing::warn!("compilations are not cached: {error}"),
        }
        let engine = Engine::new(&config).map_err(from_wasmtime)?;
        let component = wasi_ipfs_fs::p1::load(&name, &wasm)?;
        let component = Component::new(&engine, &component)
            .map_err(from_wasmtime)
            .with_context(|| format!("cannot compile '{name}'"))?;
        Ok(Self {
            engine,
            component,
            name,
        })
    }

    /// Runs the guest to its end, and gives the status it ends with.
    ///
    /// # Cancellation
    /// Dropping the future stops the guest at its next host call; what it had open is closed. A guest that makes
    /// none runs on until the process ends.
    pub(crate) async fn run(
        self,
        surroundings: &Surroundings,
        ipfs: IpfsCtx,
    ) -> anyhow::Result<i32> {
        let state = State {
            wasi: wasi(surroundings)?,
            table: ResourceTable::new(),
            ipfs,
        };
        let name = self.name.clone();
        // A task of its own: a guest that computes without a pause must not keep a signal from being seen.
        let run = tokio::spawn(self.call(state));
        let _stop = AbortOnDrop(run.abort_handle());
        match run.await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => {
                let error = error.context(format!("failed to run main module `{name}`"));
                match error.downcast_ref::<Trap>() {
                    Some(_) => {
                        eprintln!("Error: {error:?}");
                        Ok(TRAPPED)
                    }
                    None => Err(from_wasmtime(error)),
                }
            }
            Err(error) => Err(anyhow::Error::new(error)
                .context(format!("the run of '{name}' ended in a panic of the host"))),
        }
    }

    async fn call(self, state: State) -> wasmtime::Result<i32> {
        let mut linker = Linker::<State>::new(&self.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasi_ipfs_fs::p2::add_to_linker_async(&mut linker)?;
        let mut store = Store::new(&self.engine, state);
        let ended = async {
            let command = Command::instantiate_async(&mut store, &self.component, &linker).await?;
            command.wasi_cli_run().call_run(&mut store).await
        };
        match ended.await {
            Ok(Ok(())) => Ok(0),
            Ok(Err(())) => Ok(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(status)) => Ok(*status),
                None => Err(error),
            },
        }
    }
}

fn wasi(surroundings: &Surroundings) -> anyhow::Result<WasiCtx> {
    let mut builder = WasiCtxBuilder::new();
    builder
        .inherit_stdio()
        .args(&surroundings.arguments)
        .envs(&surroundings.environment)
        // The guest has a thread of the runtime for itself, as it has under `wasmtime run`: native files are
        // read and written on it.
        .allow_blocking_current_thread(true);
    for Preopen { host, guest } in &surroundings.directories {
        builder
            .preopened_dir(host, guest, FsPerms::ReadWrite)
            .map_err(from_wasmtime)
            .with_context(|| format!("cannot open the directory '{}' of --dir", host.display()))?;
    }
    Ok(builder.build())
}

fn from_wasmtime(error: wasmtime::Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into())
}

/// What the host calls of the guest work on.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    ipfs: IpfsCtx,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl IpfsView for State {
    fn ipfs(&self) -> Option<&IpfsCtx> {
        Some(&self.ipfs)
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
