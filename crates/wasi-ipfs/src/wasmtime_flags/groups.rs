//! The keys of `-W`, `-S`, `-O` and `-C`: those that are honoured, and what to do in place of the others.

use std::time::Duration;

use wasmtime::OptLevel;

use crate::key_values::{Key, Settings};

const DEFAULTS: &str = "it stays as wasmtime has it by default; leave it out";
const EMBED: &str = "this command does not have that interface; embed the library `wasi-ipfs-fs` in a host that has it";
const THERE: &str = "it is always there; leave it out";

/// `-W`: how WebAssembly runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wasm {
    /// The longest that the guest may run, waits in the host included.
    pub(crate) timeout: Option<Duration>,
    /// How much fuel it has.
    pub(crate) fuel: Option<u64>,
    /// The most bytes of each linear memory.
    pub(crate) max_memory_size: Option<usize>,
    /// The most elements of each table.
    pub(crate) max_table_elements: Option<usize>,
    /// The most instances.
    pub(crate) max_instances: Option<usize>,
    /// The most tables.
    pub(crate) max_tables: Option<usize>,
    /// The most linear memories.
    pub(crate) max_memories: Option<usize>,
    /// Whether a memory or table that cannot grow is a trap.
    pub(crate) trap_on_grow_failure: bool,
    /// Whether all NaN values are made equal.
    pub(crate) nan_canonicalization: bool,
}

impl Settings for Wasm {
    const FLAG: &'static str = "-W";
    const KEYS: &'static [Key<Self>] = &[
        Key {
            name: "timeout",
            set: |it, value| value.duration().map(|time| it.timeout = Some(time)),
        },
        Key {
            name: "fuel",
            set: |it, value| value.number().map(|fuel| it.fuel = Some(fuel)),
        },
        Key {
            name: "max-memory-size",
            set: |it, value| value.size().map(|bytes| it.max_memory_size = Some(bytes)),
        },
        Key {
            name: "max-table-elements",
            set: |it, value| {
                value
                    .number()
                    .map(|most| it.max_table_elements = Some(most))
            },
        },
        Key {
            name: "max-instances",
            set: |it, value| value.number().map(|most| it.max_instances = Some(most)),
        },
        Key {
            name: "max-tables",
            set: |it, value| value.number().map(|most| it.max_tables = Some(most)),
        },
        Key {
            name: "max-memories",
            set: |it, value| value.number().map(|most| it.max_memories = Some(most)),
        },
        Key {
            name: "trap-on-grow-failure",
            set: |it, value| value.switch().map(|on| it.trap_on_grow_failure = on),
        },
        Key {
            name: "nan-canonicalization",
            set: |it, value| value.switch().map(|on| it.nan_canonicalization = on),
        },
    ];
    const REFUSED: &'static [(&'static [&'static str], &'static str)] = &[
        (&["epoch-interruption"], "use -W timeout=TIME"),
        (&["max-wasm-stack", "async-stack-*"], DEFAULTS),
        (
            &["unknown-exports-allow", "unknown-imports-*"],
            "a guest must find everything that it imports; build it for wasm32-wasip1 or wasm32-wasip2",
        ),
        (
            &["wmemcheck"],
            "this command debugs no guests; use `wasmtime run` on a copy of the content (`wasi-ipfs get`)",
        ),
        (
            &[
                "all-proposals",
                "bulk-memory",
                "component-model*",
                "concurrency-support",
                "custom-page-sizes",
                "exceptions",
                "extended-const",
                "function-references",
                "gc",
                "gc-support",
                "memory64",
                "multi-memory",
                "multi-value",
                "reference-types",
                "relaxed-simd*",
                "shared-everything-threads",
                "shared-memory",
                "simd",
                "stack-switching",
                "tail-call",
                "threads",
                "wide-arithmetic",
            ],
            "the proposals are those that wasmtime turns on by default; leave it out",
        ),
    ];
}

/// `-S`: what a guest may use of the host.
#[derive(Clone, Debug)]
pub(crate) struct Wasi {
    /// Whether a component of WASI 0.3 has its interfaces.
    pub(crate) p3: bool,
    /// Whether it may use all addresses of the network.
    pub(crate) inherit_network: bool,
    /// Whether it sees this process's environment.
    pub(crate) inherit_env: bool,
    /// Whether it may use TCP, on addresses that are allowed; wasmtime's default unless set.
    pub(crate) tcp: Option<bool>,
    /// Whether it may use UDP, on addresses that are allowed; wasmtime's default unless set.
    pub(crate) udp: Option<bool>,
    /// Whether it may look up the addresses of names.
    pub(crate) allow_ip_name_lookup: bool,
}

impl Default for Wasi {
    fn default() -> Self {
        Self {
            p3: true,
            inherit_network: false,
            inherit_env: false,
            tcp: None,
            udp: None,
            allow_ip_name_lookup: false,
        }
    }
}

impl Settings for Wasi {
    const FLAG: &'static str = "-S";
    const KEYS: &'static [Key<Self>] = &[
        Key {
            name: "p3",
            set: |it, value| value.switch().map(|on| it.p3 = on),
        },
        Key {
            name: "inherit-network",
            set: |it, value| value.switch().map(|on| it.inherit_network = on),
        },
        Key {
            name: "inherit-env",
            set: |it, value| value.switch().map(|on| it.inherit_env = on),
        },
        Key {
            name: "tcp",
            set: |it, value| value.switch().map(|on| it.tcp = Some(on)),
        },
        Key {
            name: "udp",
            set: |it, value| value.switch().map(|on| it.udp = Some(on)),
        },
        Key {
            name: "allow-ip-name-lookup",
            set: |it, value| value.switch().map(|on| it.allow_ip_name_lookup = on),
        },
    ];
    const REFUSED: &'static [(&'static [&'static str], &'static str)] = &[
        (&["cli", "common", "preview2", "cli-exit-with-code"], THERE),
        (
            &["preview0"],
            "preview 0 is not supported; build the guest for wasm32-wasip1 or wasm32-wasip2",
        ),
        (
            &["threads"],
            "a guest has one thread; build it for wasm32-wasip1 or wasm32-wasip2",
        ),
        (
            &[
                "config*",
                "http*",
                "keyvalue*",
                "listenfd",
                "nn*",
                "tcplisten",
                "tls",
            ],
            EMBED,
        ),
        (&["hostcall-fuel", "max-*", "network-error-code"], DEFAULTS),
    ];
}

/// `-O`: how a guest is optimized.
#[derive(Clone, Debug, Default)]
pub(crate) struct Optimize {
    /// How far; wasmtime's default unless set.
    pub(crate) level: Option<OptLevel>,
}

impl Settings for Optimize {
    const FLAG: &'static str = "-O";
    const KEYS: &'static [Key<Self>] = &[Key {
        name: "opt-level",
        set: |it, value| {
            let expected = "0, 1, 2 or s";
            it.level = Some(match value.text(expected)? {
                "0" => OptLevel::None,
                // wasmtime has no level between.
                "1" | "2" => OptLevel::Speed,
                "s" => OptLevel::SpeedAndSize,
                other => return Err(value.wrong(other, expected)),
            });
            Ok(())
        },
    }];
    const REFUSED: &'static [(&'static [&'static str], &'static str)] = &[(
        &[
            "dynamic-memory-*",
            "guard-before-linear-memory",
            "memory-*",
            "pooling-*",
            "regalloc-algorithm",
            "signals-based-traps",
            "static-memory-*",
            "table-lazy-init",
        ],
        DEFAULTS,
    )];
}

/// `-C`: how a guest is compiled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Codegen {
    /// Whether compilations are kept for the next run; they are unless this is set.
    pub(crate) cache: Option<bool>,
    /// Whether several threads compile; they do unless this is set.
    pub(crate) parallel_compilation: Option<bool>,
}

impl Settings for Codegen {
    const FLAG: &'static str = "-C";
    const KEYS: &'static [Key<Self>] = &[
        Key {
            name: "cache",
            set: |it, value| value.switch().map(|on| it.cache = Some(on)),
        },
        Key {
            name: "parallel-compilation",
            set: |it, value| value.switch().map(|on| it.parallel_compilation = Some(on)),
        },
    ];
    const REFUSED: &'static [(&'static [&'static str], &'static str)] = &[
        (
            &["cache-config"],
            "compilations are kept in a private directory of the user's, below $XDG_CACHE_HOME; -C cache=n keeps none",
        ),
        (
            &["compiler"],
            "Cranelift is the only compiler here; leave it out",
        ),
        (
            &[
                "collector",
                "cranelift-*",
                "inlining",
                "native-unwind-info",
                "pcc",
            ],
            DEFAULTS,
        ),
    ];
}
