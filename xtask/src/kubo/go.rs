//! Builds Go programs from the module proxy, each in a scratch module of its own, whose folder is kept.
//!
//! Invariant: it writes to that folder, the program's path and Go's own caches, and nowhere else.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::process;

/// A program in a Go module.
#[derive(Debug)]
pub(super) struct GoProgram {
    /// The module.
    pub(super) module: &'static str,
    /// The program's package in the module.
    pub(super) package: &'static str,
    /// The module's version.
    pub(super) version: &'static str,
    /// Versions of other modules that must not be chosen.
    pub(super) excluded: &'static [&'static str],
    /// Where the versions of its dependencies come from.
    pub(super) requirements: Requirements,
}

/// Where the versions of a program's dependencies come from. `go install` works for neither program: it refuses modules
/// with replacements, and resolves some others to versions that no longer exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requirements {
    /// The program's own go.mod lists all of them, and `go get` uses it.
    OfTheProgram,
    /// The program's go.mod is not sufficient. `go mod tidy` finds the versions from an import; `-e` makes it ignore
    /// errors, which only concern tests.
    OfTheTreeThatResolves,
}

/// The `go` line of the scratch go.mod. It is no older than those of the programs, so that nothing is resolved by older
/// rules.
const LANGUAGE: &str = "1.26";

impl GoProgram {
    /// Builds the program in the folder `build`, and moves it to `to`.
    pub(super) fn build(&self, build: &Path, to: &Path) -> Result<()> {
        find_go()?;
        let write = |name: &str, text: String| {
            let path = build.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        let temporary = build.join("tmp");
        fs::create_dir_all(&temporary)
            .with_context(|| format!("cannot make {}", temporary.display()))?;
        write("go.mod", self.go_mod())?;
        // A go.sum from an earlier version is emptied, so that its sums are checked again with the checksum database.
        if fs::exists(build.join("go.sum")).unwrap_or(false) {
            write("go.sum", String::new())?;
        }
        match self.requirements {
            Requirements::OfTheProgram => {
                let wanted = format!("{}@{}", self.package, self.version);
                process::run(go(build).args(["get", &wanted]))?;
            }
            Requirements::OfTheTreeThatResolves => {
                write("import.go", self.import())?;
                process::run(go(build).args(["mod", "tidy", "-e"]))?;
            }
        }
        // Build beside the destination and rename, so that the destination is always complete.
        let made = build.join("made");
        process::run(go(build).args(["build", "-o"]).arg(&made).arg(self.package))?;
        fs::rename(&made, to).with_context(|| format!("cannot write {}", to.display()))
    }

    fn go_mod(&self) -> String {
        let excluded = self.excluded.iter().map(|one| format!("exclude {one}\n"));
        let excluded: String = excluded.collect();
        let required = match self.requirements {
            Requirements::OfTheProgram => String::new(),
            Requirements::OfTheTreeThatResolves => {
                format!("require {} {}\n", self.module, self.version)
            }
        };
        format!("module scratch\n\ngo {LANGUAGE}\n\n{excluded}{required}")
    }

    /// A file that imports the program, behind a build tag: an import makes Go require a program, but a program cannot
    /// be compiled as an import.
    fn import(&self) -> String {
        format!(
            "//go:build required\n\npackage scratch\n\nimport _ \"{}\"\n",
            self.package
        )
    }
}

fn find_go() -> Result<()> {
    let mut go = Command::new("go");
    let status = go.arg("version").stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("`go version`: {status}"),
        Err(error) => {
            bail!("Go {LANGUAGE} or newer is needed, and `go` cannot be started: {error}")
        }
    }
}

/// A `go` command that only works in `build`. The toolchain (`GOTOOLCHAIN`) and the proxy (`GOPROXY`) remain the user's
/// choice.
fn go(build: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(build)
        // The workspace may be inside a Go workspace, or in a repository whose state Go would query.
        .env("GOWORK", "off")
        .env("GOFLAGS", "-mod=mod -buildvcs=false")
        .env("GOTMPDIR", build.join("tmp"));
    go
}

#[cfg(test)]
mod tests {
    use crate::kubo::{CLUSTER, KUBO};

    #[test]
    fn a_scratch_module_says_what_go_needs() {
        let kubo = KUBO.source.go_mod();
        assert!(kubo.contains("\nexclude github.com/ipfs/go-ipfs-cmds v2.0.1+incompatible\n"));
        assert!(!kubo.contains("require"), "{kubo}");
        let cluster = CLUSTER.source.go_mod();
        assert!(
            cluster.ends_with("\nrequire github.com/ipfs-cluster/ipfs-cluster v1.1.6\n"),
            "{cluster}"
        );
        assert!(
            CLUSTER
                .source
                .import()
                .starts_with("//go:build required\n\n")
        );
    }
}
