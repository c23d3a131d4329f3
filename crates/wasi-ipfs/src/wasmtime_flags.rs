//! wasmtime's own options, by their own names: `-W`, `-S`, `-O`, `-C`. Options that cannot be honoured are refused by name.
//!
//! To honour another key, move it in `groups` from the refused ones to the keys.

mod groups;

use clap::Args;

use crate::{key_values::List, usage::Usage};

pub(crate) use groups::{Codegen, Optimize, Wasi, Wasm};

/// wasmtime's own options.
#[derive(Args, Debug)]
#[command(next_help_heading = "wasmtime's options")]
pub(crate) struct WasmtimeArgs {
    /// How the guest runs. timeout=TIME ends it, also while it waits in a call, with status 134; fuel=N traps after so
    /// many instructions; max-memory-size=BYTES bounds each memory. Also: max-table-elements, max-instances,
    /// max-tables, max-memories, trap-on-grow-failure, nan-canonicalization
    #[arg(short = 'W', long, value_name = "KEY[=VAL[,..]]")]
    wasm: Vec<List<Wasm>>,

    /// The guest's share of the host: inherit-network, allow-ip-name-lookup, tcp=n, udp=n, inherit-env, p3=n
    #[arg(short = 'S', long, value_name = "KEY[=VAL[,..]]")]
    wasi: Vec<List<Wasi>>,

    /// How the guest is optimized: opt-level=0, 1, 2 (the default) or s
    #[arg(short = 'O', long, value_name = "KEY[=VAL[,..]]")]
    optimize: Vec<List<Optimize>>,

    /// How the guest is compiled: cache=n does not keep the compilation for the next run; parallel-compilation=n
    #[arg(short = 'C', long, value_name = "KEY[=VAL[,..]]")]
    codegen: Vec<List<Codegen>>,

    #[command(flatten)]
    refused: Refused,
}

/// Options of `wasmtime run` without a counterpart here. They are arguments, so that each is refused by its name.
#[derive(Args, Debug)]
struct Refused {
    #[arg(short = 'D', long, hide = true, value_parser = refuse_debug)]
    debug: Option<String>,
    #[arg(short = 'R', long, hide = true, value_parser = refuse_record)]
    record: Option<String>,
    #[arg(long, hide = true, value_parser = refuse_invoke)]
    invoke: Option<String>,
    #[arg(long, hide = true, value_parser = refuse_preload)]
    preload: Option<String>,
    #[arg(long, hide = true, value_parser = refuse_profile)]
    profile: Option<String>,
    #[arg(long, hide = true, value_parser = refuse_config)]
    config: Option<String>,
    #[arg(long, hide = true, value_parser = refuse_target)]
    target: Option<String>,
}

/// All options, joined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// `-W`
    pub(crate) wasm: Wasm,
    /// `-S`
    pub(crate) wasi: Wasi,
    /// `-O`
    pub(crate) optimize: Optimize,
    /// `-C`
    pub(crate) codegen: Codegen,
}

impl WasmtimeArgs {
    /// Joins all uses of each option.
    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        Ok(Options {
            wasm: List::settings(&self.wasm).map_err(Usage::invalid)?,
            wasi: List::settings(&self.wasi).map_err(Usage::invalid)?,
            optimize: List::settings(&self.optimize).map_err(Usage::invalid)?,
            codegen: List::settings(&self.codegen).map_err(Usage::invalid)?,
        })
    }
}

type Never = Result<String, &'static str>;

fn refuse_debug(_: &str) -> Never {
    Err(
        "this command debugs no guests; use `wasmtime run -D` on a copy of the content (`wasi-ipfs get`)",
    )
}

fn refuse_record(_: &str) -> Never {
    Err(
        "this command records no runs; use `wasmtime run -R` on a copy of the content (`wasi-ipfs get`)",
    )
}

fn refuse_invoke(_: &str) -> Never {
    Err(
        "this command runs programs, by their start function; build a program that calls the function",
    )
}

fn refuse_preload(_: &str) -> Never {
    Err("this command loads one program; link the other modules into it")
}

fn refuse_profile(_: &str) -> Never {
    Err(
        "this command profiles no guests; use `wasmtime run --profile` on a copy of the content (`wasi-ipfs get`)",
    )
}

fn refuse_config(_: &str) -> Never {
    Err("this command reads no configuration file; pass the options as -W, -S, -O and -C")
}

fn refuse_target(_: &str) -> Never {
    Err("a guest is compiled for this machine alone; leave it out")
}
