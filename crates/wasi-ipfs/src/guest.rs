//! Compiles a guest, sets up its WASI, runs it, and turns its end into our exit status.
//!
//! `program` gets its bytes. `engine` sets up what `wasmtime_flags` asks for.
//!
//! Everything that is not below `/ipfs` or a mount is handled by wasmtime-wasi, set up as `wasmtime run` does.

use std::path::PathBuf;

use anyhow::Context;
use wasi_ipfs_fs::IpfsCtx;
use wasmtime::{Engine, Module, Precompiled, Trap, component::Component};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

use crate::{
    component, engine, messages,
    module::{self, Kind},
    precompiled,
    program::{Binary, Program},
    wasmtime_error::from_wasmtime,
    wasmtime_flags::{Options, Wasi},
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

/// A host directory that the guest may use.
#[derive(Clone, Debug)]
pub(crate) struct Preopen {
    /// Its path on the host.
    pub(crate) host: PathBuf,
    /// Its name in the guest.
    pub(crate) guest: String,
    /// Whether it may be written.
    pub(crate) perms: FsPerms,
}

/// A compiled guest.
pub(crate) struct Guest {
    engine: Engine,
    code: Code,
    /// Its name, for messages.
    name: String,
    options: Options,
}

/// Compiled code.
enum Code {
    /// Of preview 1.
    Module(Module),
    /// Of preview 2, or of WASI 0.3.
    Component(component::Program),
}

impl Guest {
    /// Compiles a module of preview 1, or a component of preview 2 or WASI 0.3. wasmtime's cache keeps the result.
    ///
    /// This takes seconds for large guests, so it must not run on an async thread.
    pub(crate) fn compile(program: Program, options: &Options) -> anyhow::Result<Self> {
        let Program { name, code } = program;
        let entry = component::Entry::of(code.bytes());
        // Native code must come from an engine of the same settings, which are wasmtime's own.
        let concurrent = entry.is_concurrent() || matches!(code, Binary::Native(_));
        let (engine, cache) = engine::engine(options, concurrent)?;
        let code = match code {
            Binary::Wasm(wasm) => match Kind::of(&name, &wasm)? {
                Kind::Module => Code::Module(module::compile(&engine, &name, &wasm)?),
                Kind::Component => {
                    let component = Component::new(&engine, &wasm).map_err(from_wasmtime);
                    let code = component.with_context(|| format!("cannot compile '{name}'"))?;
                    Code::Component(component::Program { code, entry })
                }
            },
            Binary::Native(bytes) => match Engine::detect_precompiled(&bytes) {
                Some(Precompiled::Module) => {
                    let module = precompiled::module(&engine, &name, &bytes)?;
                    module::check(&name, &module)?;
                    Code::Module(module)
                }
                Some(Precompiled::Component) | None => {
                    let code = precompiled::component(&engine, &name, &bytes)?;
                    Code::Component(component::Program { code, entry })
                }
            },
        };
        engine::log_compilation(&name, cache.as_ref());
        Ok(Self {
            engine,
            code,
            name,
            options: options.clone(),
        })
    }

    /// Runs the guest to its end, and returns its exit status. Without `ipfs` it sees nothing but what wasmtime-wasi
    /// gives it.
    ///
    /// # Cancellation
    /// Dropping the future stops the guest at its next host call and closes what it had open. A guest that makes no
    /// host call runs on until the process ends.
    pub(crate) async fn run(
        self,
        surroundings: &Surroundings,
        ipfs: Option<IpfsCtx>,
    ) -> anyhow::Result<i32> {
        let wasi = wasi(surroundings, &self.options.wasi)?;
        let name = self.name.clone();
        let (engine, timeout) = (self.engine.clone(), self.options.wasm.timeout);
        // The guest gets a task of its own: one that computes without a pause must not delay signals.
        let run = tokio::spawn(self.call(wasi, ipfs));
        let _stop = AbortOnDrop(run.abort_handle());
        match engine::within(timeout, &engine, run).await {
            Some(Ok(Ok(status))) => Ok(status),
            Some(Ok(Err(error))) => {
                let error = error.context(format!("failed to run main module `{name}`"));
                match error.downcast_ref::<Trap>() {
                    Some(_) => {
                        messages::trap(format_args!("{error:?}"));
                        Ok(TRAPPED)
                    }
                    None => Err(from_wasmtime(error)),
                }
            }
            Some(Err(error)) => Err(anyhow::Error::new(error)
                .context(format!("the host panicked while it ran '{name}'"))),
            None => {
                messages::trap(format_args!(
                    "failed to run main module `{name}`: its -W timeout is over, and it waits in a host call"
                ));
                Ok(TRAPPED)
            }
        }
    }

    async fn call(self, mut wasi: WasiCtxBuilder, ipfs: Option<IpfsCtx>) -> wasmtime::Result<i32> {
        let ended = match &self.code {
            Code::Module(module) => {
                let (wasi, bounds) = (wasi.build_p1(), &self.options.wasm);
                let ended = module::run(&self.engine, module, wasi, ipfs.as_ref(), bounds).await;
                ended.map(Ok)
            }
            Code::Component(component) => {
                let (wasi, options) = (wasi.build(), &self.options);
                component::run(&self.engine, component, wasi, ipfs, options).await
            }
        };
        match ended {
            Ok(Ok(())) => Ok(0),
            Ok(Err(())) => Ok(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(status)) => Ok(*status),
                None => Err(error),
            },
        }
    }
}

fn wasi(surroundings: &Surroundings, options: &Wasi) -> anyhow::Result<WasiCtxBuilder> {
    let mut builder = WasiCtxBuilder::new();
    if options.inherit_network {
        builder.inherit_network();
    }
    if let Some(allowed) = options.tcp {
        builder.allow_tcp(allowed);
    }
    if let Some(allowed) = options.udp {
        builder.allow_udp(allowed);
    }
    builder
        .inherit_stdio()
        .args(&surroundings.arguments)
        .envs(&surroundings.environment)
        .allow_ip_name_lookup(options.allow_ip_name_lookup)
        // The guest has a runtime thread to itself, as under `wasmtime run`, so native files are read and written on
        // that thread.
        .allow_blocking_current_thread(true);
    for Preopen { host, guest, perms } in &surroundings.directories {
        builder
            .preopened_dir(host, guest, *perms)
            .map_err(from_wasmtime)
            .with_context(|| format!("cannot open the directory '{}' of --dir", host.display()))?;
    }
    Ok(builder)
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
