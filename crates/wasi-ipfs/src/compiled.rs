//! The directory of compilations, in which wasmtime keeps native code from one run to the next.
//!
//! Invariant: what lies in it is run without a question, so the directory and the one above it are this user's alone.
//! Their owner and mode are checked before wasmtime sees them.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};

use anyhow::Context;
use pinset::lock_dir::LockDir;
use wasmtime::{Cache, CacheConfig};

use crate::wasmtime_error::from_wasmtime;

/// Opens the cache of compilations: `compiled`, beside what is staged by default. Returns `None` if there can be none,
/// which makes a start slower, but is not a reason to stop.
///
/// # Errors
/// If another user could put native code there.
pub(crate) fn cache() -> anyhow::Result<Option<Cache>> {
    let above = LockDir::default_path();
    let directory = above.join("compiled");
    if let Some(parent) = above.parent() {
        // If this fails, so does the next step, which says why.
        let _ = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent);
    }
    for path in [&above, &directory] {
        if let Err(error) = create(path) {
            tracing::warn!(
                "compilations are not cached in '{}': {error}",
                path.display()
            );
            return Ok(None);
        }
        check(path)?;
    }
    let mut config = CacheConfig::new();
    config.with_directory(&directory);
    let cache = Cache::new(config).map_err(from_wasmtime);
    let cache = cache.with_context(|| format!("cannot use '{}'", directory.display()))?;
    Ok(Some(cache))
}

fn create(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Returns an error unless `path` is a directory of this user's alone.
fn check(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let metadata = fs::symlink_metadata(path)
        .with_context(|| format!("cannot examine '{shown}', where compilations are kept"))?;
    let user = rustix::process::geteuid().as_raw();
    let mode = metadata.mode() & 0o777;
    let reason = if !metadata.is_dir() {
        "is not a directory".to_owned()
    } else if metadata.uid() != user {
        format!("belongs to user {}, not to user {user}", metadata.uid())
    } else if mode & 0o077 != 0 {
        format!("is open to others (mode {mode:03o}); run `chmod 700` on it")
    } else {
        return Ok(());
    };
    anyhow::bail!("'{shown}', where compilations are kept, {reason}; or keep none, with -C cache=n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_directory_of_others_is_refused() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path().join("compiled");
        create(&path).expect("created");
        create(&path).expect("it may exist");
        check(&path).expect("private");
        for mode in [0o770, 0o707, 0o720, 0o702, 0o755] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            let error = check(&path).expect_err("open").to_string();
            assert!(error.contains(&format!("{mode:03o}")), "{error}");
            assert!(error.contains("-C cache=n"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("set");
        let link = temporary.path().join("link");
        symlink(&path, &link).expect("linked");
        check(&link).expect_err("its owner could point it anywhere");
    }
}
