//! Checks what each crate must not know, by its tree of dependencies.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::{
    process,
    workspace::{Member, Workspace},
};

/// A crate, and the crates that its tree of normal dependencies must not contain.
#[derive(Clone, Copy, Debug)]
struct Boundary<'a> {
    of: &'a str,
    /// Names of crates; a `*` at the end matches any rest.
    forbidden: &'static [&'static str],
    /// Exceptions to `forbidden`.
    allowed: &'static [&'static str],
}

/// Forbidden in a backend that speaks HTTP: the crates above it, the other backends, and any TLS except ours.
const BESIDE_BACKENDS: &[&str] = &[
    "aws-lc-*",
    "cap-std",
    "ipfs-api*",
    "native-tls",
    "openssl",
    "openssl-sys",
    "pinner-*",
    "pinset",
    "wasi-ipfs*",
    "wasmtime*",
    "wit-*",
];

/// The boundaries, as in the table of crates. A crate that needs a forbidden one shows a fault in the design.
const BOUNDARIES: &[Boundary<'static>] = &[
    Boundary {
        of: "pinner-api",
        forbidden: &[
            "tokio*",
            "async-std",
            "async-global-executor",
            "smol",
            "mio",
            "hyper*",
            "h2",
            "reqwest",
            "http*",
            "cap-std",
            "rustix",
            "wasmtime*",
        ],
        allowed: &[],
    },
    Boundary {
        of: "kubo-protocol",
        forbidden: &[
            "tokio*",
            "mio",
            "hyper*",
            "h2",
            "reqwest",
            "http*",
            "cap-std",
            "rustix",
            "wasmtime*",
            "pinset",
            "wasi-ipfs*",
        ],
        allowed: &[],
    },
    Boundary {
        of: "pinner-ipfs-api",
        forbidden: &[
            "wasmtime*",
            "wit-*",
            "reqwest",
            "pinset",
            "wasi-ipfs*",
            "pinner-*",
        ],
        allowed: &["pinner-api"],
    },
    Boundary {
        of: "pinner-mock",
        forbidden: &[
            "hyper*",
            "reqwest",
            "http*",
            "cap-std",
            "rustix",
            "wasmtime*",
            "pinset",
        ],
        allowed: &[],
    },
    Boundary {
        of: "pinner-car",
        forbidden: &[
            "wasmtime*",
            "wit-*",
            "hyper*",
            "reqwest",
            "http*",
            "pinset",
            "wasi-ipfs*",
        ],
        allowed: &[],
    },
    Boundary {
        of: "pinner-http",
        forbidden: BESIDE_BACKENDS,
        allowed: &["pinner-api"],
    },
    Boundary {
        of: "pinner-car-remote",
        forbidden: BESIDE_BACKENDS,
        allowed: &["pinner-api", "pinner-car", "pinner-http"],
    },
    Boundary {
        of: "pinner-layered",
        forbidden: &[
            "cap-std",
            "http*",
            "hyper*",
            "pinner-*",
            "pinset",
            "reqwest",
            "rustix",
            "wasi-ipfs*",
            "wasmtime*",
        ],
        allowed: &["pinner-api"],
    },
    Boundary {
        of: "pinner-gateway",
        forbidden: BESIDE_BACKENDS,
        allowed: &["pinner-api", "pinner-http", "pinner-layered"],
    },
    Boundary {
        of: "pinner-routing",
        forbidden: BESIDE_BACKENDS,
        allowed: &[
            "pinner-api",
            "pinner-gateway",
            "pinner-http",
            "pinner-layered",
        ],
    },
    Boundary {
        of: "pinner-kubo",
        forbidden: BESIDE_BACKENDS,
        // A repository's files are read below a directory handle.
        allowed: &[
            "cap-std",
            "pinner-api",
            "pinner-gateway",
            "pinner-http",
            "pinner-layered",
        ],
    },
    Boundary {
        of: "unixfs",
        forbidden: &[
            "tokio*",
            "mio",
            "hyper*",
            "h2",
            "reqwest",
            "http*",
            "cap-std",
            "rustix",
            "wasmtime*",
            "pinner-*",
            "pinset",
            "wasi-ipfs*",
        ],
        allowed: &[],
    },
    Boundary {
        of: "block-hash",
        forbidden: &[
            "tokio*",
            "rustix",
            "cap-std",
            "bytes",
            "cid",
            "pinner-*",
            "pinset",
            "block-staging",
            "unixfs",
        ],
        allowed: &[],
    },
    Boundary {
        of: "block-staging",
        forbidden: &[
            "tokio*",
            "mio",
            "hyper*",
            "reqwest",
            "http*",
            "wasmtime*",
            "wit-*",
            "pinner-*",
            "pinset",
            "unixfs",
            "prost",
            "multihash-codetable",
            "wasi-ipfs*",
        ],
        allowed: &[],
    },
    Boundary {
        of: "pinset-policy",
        forbidden: &[
            "tokio*",
            "rustix",
            "cap-std",
            "pinner-*",
            "block-staging",
            "unixfs",
        ],
        allowed: &[],
    },
    Boundary {
        of: "pinset",
        forbidden: &[
            "wasmtime*",
            "wit-*",
            "hyper*",
            "reqwest",
            "http*",
            "pinner-*",
            "wasi-ipfs*",
        ],
        allowed: &["pinner-api"],
    },
    Boundary {
        of: "test-support",
        forbidden: &["pinset", "wasi-ipfs*", "wasmtime*"],
        allowed: &[],
    },
    Boundary {
        of: "wasi-ipfs-fs",
        // The embedder chooses the compiler, and the cache of compiled code.
        forbidden: &[
            "pinner-*",
            "hyper*",
            "reqwest",
            "cranelift-codegen",
            "wasmtime-internal-cache",
            "wasmtime-internal-cranelift",
        ],
        allowed: &["pinner-api"],
    },
];

/// Crates that cannot be resolved without a patch, or that depend on crates without further fixes. A crate with one of
/// them in its tree cannot be published. Only one crate, `ITS_CRATE`, has them.
const UNPUBLISHABLE: &[&str] = &["core2", "ipfs-api-*", "hyper-multipart-rfc7578"];
const ITS_CRATE: &str = "pinner-ipfs-api";

/// Returns a boundary for every member, so that none contains the unpublishable crates.
fn of_members<'a>(members: &'a [Member]) -> impl Iterator<Item = Boundary<'a>> {
    let others = members.iter().filter(|member| {
        !UNPUBLISHABLE.contains(&member.name.as_str()) && member.name != ITS_CRATE
    });
    others.map(|member| Boundary {
        of: &member.name,
        forbidden: UNPUBLISHABLE,
        allowed: &[],
    })
}

impl Boundary<'_> {
    fn crossed_by<'t>(&self, tree: &'t str) -> BTreeSet<&'t str> {
        let names = tree
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        names
            .filter(|name| *name != self.of && !self.allowed.contains(name))
            .filter(|name| self.forbidden.iter().any(|pattern| matches(pattern, name)))
            .collect()
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Checks each crate's tree, with all features.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let mut crossed = Vec::new();
    let members = workspace.members()?;
    for boundary in BOUNDARIES.iter().copied().chain(of_members(&members)) {
        let tree = [
            "tree",
            "-p",
            boundary.of,
            "-e",
            "normal",
            "--prefix",
            "none",
            "--all-features",
        ];
        let tree = process::output(&mut workspace.cargo(&tree))?;
        for name in boundary.crossed_by(&tree) {
            crossed.push(format!(
                "{} must not depend on {name}: `cargo tree -p {} -e normal -i {name}` shows why it does",
                boundary.of, boundary.of
            ));
        }
    }
    if !crossed.is_empty() {
        bail!("{}", crossed.join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_forbidden_and_leaves_the_rest() {
        let pinset = BOUNDARIES
            .iter()
            .find(|b| b.of == "pinset")
            .expect("it is listed");
        let tree = "\
pinset v0.1.0 (/somewhere/pinset)
pinner-api v0.1.0 (/somewhere/pinner-api)
tokio v1.47.0
wasmtime-wasi v48.0.0 (*)
pinner-car v0.1.0 (/somewhere)
wasmtime-wasi v48.0.0
";
        let crossed: Vec<_> = pinset.crossed_by(tree).into_iter().collect();
        assert_eq!(crossed, ["pinner-car", "wasmtime-wasi"]);
        assert!(matches("http*", "http-body") && !matches("smol", "smol_str"));
    }

    #[test]
    fn what_cannot_be_published_is_in_one_crate_alone() {
        let members = ["core2", "pinner-ipfs-api", "pinset"].map(|name| Member {
            name: name.to_owned(),
            is_published: true,
        });
        let boundaries: Vec<_> = of_members(&members).collect();
        assert_eq!(
            boundaries.iter().map(|b| b.of).collect::<Vec<_>>(),
            ["pinset"]
        );
        let tree = "pinset v0.1.0\ncore2 v0.4.0 (/somewhere)\nipfs-api-prelude v0.6.0\n";
        let crossed: Vec<_> = boundaries[0].crossed_by(tree).into_iter().collect();
        assert_eq!(crossed, ["core2", "ipfs-api-prelude"]);
    }
}
