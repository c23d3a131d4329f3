//! A real S3 for the tests: moto's server, out of PyPI.
//!
//! Invariant: the packages are there as a whole, in the versions that are pinned here, or not at all. `pip` fetches them
//! once; afterwards no network is needed.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::{process, workspace::Workspace};

/// The variable that names the folder with the packages to the tests.
pub(crate) const VARIABLE: &str = "WASI_IPFS_MOTO";

/// The packages that moto's S3 and IAM need, and none that only its other services need. Some have a file for each kind of machine and
/// version of Python, so they are pinned by version. Licences: MIT, BSD, Apache-2.0, MPL-2.0, PSF.
const PACKAGES: &[&str] = &[
    "blinker==1.9.0",
    "boto3==1.44.8",
    "botocore==1.44.8",
    "certifi==2026.10.19.post1",
    "cffi==2.1.1",
    "charset-normalizer==3.5.3",
    "click==8.5.1",
    "cryptography==50.0.2",
    "flask==3.1.3",
    "flask-cors==6.0.5",
    "idna==3.20",
    "itsdangerous==2.2.0",
    "jinja2==3.1.6",
    "jmespath==1.1.0",
    "markupsafe==3.0.4",
    "moto==5.2.5",
    "py-partiql-parser==0.6.3",
    "pycparser==3.12",
    "python-dateutil==2.9.0.post0",
    "pyyaml==6.0.4",
    "requests==2.34.2",
    "responses==0.26.3",
    "s3transfer==0.19.3",
    "six==1.17.0",
    "urllib3==2.8.0",
    "werkzeug==3.1.9",
    "xmltodict==1.0.4",
];

/// Returns the folder with the packages. Fetches them if they are not there.
///
/// # Errors
/// If they cannot be fetched; the message begins with `NOT RUN`.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let there = workspace.target.join("s3").join(folder());
    if !there.exists() {
        fetch(&there).context("NOT RUN: --s3 asked for a real S3")?;
    }
    Ok(there)
}

/// A name that changes with the versions.
fn folder() -> String {
    let moto = PACKAGES.iter().find(|package| package.starts_with("moto"));
    let all = Sha256::digest(PACKAGES.concat());
    let all = u32::from_be_bytes([all[0], all[1], all[2], all[3]]);
    format!("{}-{all:08x}", moto.unwrap_or(&"moto").replace("==", "-"))
}

fn fetch(there: &std::path::Path) -> Result<()> {
    let parent = there.parent().context("a folder is in another")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let scratch = tempfile::tempdir_in(parent).context("cannot make a scratch folder")?;
    let files = scratch.path().join("files");
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
    ]);
    pip.arg("--target").arg(&files).args(PACKAGES);
    // It warns that it runs as root, and of its own age.
    pip.env("PIP_ROOT_USER_ACTION", "ignore");
    pip.env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    process::run(&mut pip)?;
    fs::rename(&files, there).with_context(|| format!("cannot make {}", there.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_fetched_again() -> Result<()> {
        let target = tempfile::tempdir()?;
        let workspace = Workspace {
            root: "/no/such/root".into(),
            target: target.path().into(),
        };
        let there = target.path().join("s3").join(folder());
        fs::create_dir_all(&there)?;
        assert_eq!(ensure(&workspace)?, there);
        assert!(PACKAGES.iter().all(|package| package.contains("==")));
        Ok(())
    }
}
