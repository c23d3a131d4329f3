//! A node's FUSE mount of `/ipfs`, for comparison. It needs `/dev/fuse`, the package `fuse3`, and root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{Daemon, Error, Result};

/// Kubo's FUSE mount. Dropping it unmounts it.
#[derive(Debug)]
pub struct Mount {
    folder: TempDir,
}

impl Daemon {
    /// Mounts `/ipfs` (and `/ipns` and MFS beside it) through FUSE. An offline node refuses.
    ///
    /// Returns `None` if this machine cannot mount; the caller then prints `NOT RUN`.
    ///
    /// # Errors
    /// If the machine could, and Kubo does not.
    pub fn mount(&self) -> Result<Option<Mount>> {
        if !can_mount() {
            return Ok(None);
        }
        let folder = tempfile::Builder::new()
            .prefix("kubo-fuse-")
            .tempdir()
            .map_err(Error::io("make a folder for mounts"))?;
        let points = ["ipfs", "ipns", "mfs"].map(|name| folder.path().join(name));
        for point in &points {
            fs::create_dir(point).map_err(Error::io(format!("make {}", point.display())))?;
        }
        // Made before the call, so that a partial mount of a failed call is undone too.
        let mount = Mount { folder };
        let [ipfs, ipns, mfs] = points.map(|point| point.display().to_string());
        self.ipfs(&["mount", "-f", &ipfs, "-n", &ipns, "-m", &mfs])?;
        Ok(Some(mount))
    }
}

fn can_mount() -> bool {
    let in_path = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    // Opening and closing the device mounts nothing.
    let device = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse");
    device.is_ok() && in_path("fusermount3") && rustix::process::geteuid().is_root()
}

impl Mount {
    /// The folder on which `/ipfs` is mounted.
    pub fn ipfs(&self) -> PathBuf {
        self.folder.path().join("ipfs")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        for name in ["ipfs", "ipns", "mfs"] {
            unmount(&self.folder.path().join(name));
        }
    }
}

/// Unmounts lazily: a reader that is still there, or a dead daemon, must not delay the test.
fn unmount(point: &Path) {
    let mut umount = Command::new("umount");
    umount.arg("--lazy").arg(point);
    // It may not be mounted, or no longer.
    let _ = umount
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
