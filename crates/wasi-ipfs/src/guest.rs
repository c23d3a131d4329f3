//! Compiles a guest, sets up its WASI, runs it, and turns its end into our exit status.
//!
//! Everything that is not below `/ipfs` or a mount is handled by wasmtime-wasi, set up as `wasmtime run` does.

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

/// The status of a guest that trapped: 128 + SIGABRT, as with `wasmtime run`.
const TRAPPED: i32 = 134;

/// The guest's arguments, environment and host directories.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// Its arguments, its own name first.
    pub(crate) arguments: Vec<String>,
    /// Its environment: these variables and no others.
    pub(crate) environment: Vec<(String, String)>,
    /// The host directories that it may use, with the names that it sees.
    pub(crate) directories: Vec<Preopen>,
}

/// A host directory that the guest may read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preopen {
    /// Its path on the host.
    pub(crate) host: PathBuf,
    /// Its name in the guest.
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
    /// Loads and compiles a preview 1 module or a preview 2 component. wasmtime's cache keeps the result.
    ///
    /// This takes seconds for large guests, so it must not run on an async thread.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let wasm =
            std::fs::read(path).with_context(|| format!("cannot read the guest '{name}'"))?;
        let mut config = Config::new();
        match Cache::from_file(None) {
            Ok(cache) => {
                config.cache(Some(cache));
            }
            // Without a home directory there is no cache. That is slower, but not a reason to stop.
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

    /// Runs the guest to its end, and returns its exit status.
    ///
    /// # Cancellation
    /// Dropping the future stops the guest at its next host call and closes what it had open. A guest that makes no
    /// host call runs on until the process ends.
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
        // The guest gets a task of its own: one that computes without a pause must not delay signals.
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
                .context(format!("the host panicked while it ran '{name}'"))),
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
        // The guest has a runtime thread to itself, as under `wasmtime run`, so native files are read and written on
        // that thread.
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

/// The state of the guest's host calls.
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
