//! The folder of other projects' CAR files and traces, which tests and fuzz targets read where it lies.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// The variable that names the folder to the tests.
pub(crate) const VARIABLE: &str = "WASI_IPFS_FIXTURES";

/// Where the folder is, unless `--fixtures=DIR` says otherwise: relative to the root of the workspace.
const DEFAULT: &str = "../shared/fixtures";

/// Returns the absolute path of `dir`, or of the default, since tests run in their own package's folder.
///
/// # Errors
/// If it does not exist; the message begins with `NOT RUN`.
pub(crate) fn find(workspace: &Workspace, dir: Option<&PathBuf>) -> Result<PathBuf> {
    let dir = match dir {
        Some(dir) => dir.clone(),
        None => workspace.root.join(DEFAULT),
    };
    dir.canonicalize().with_context(|| {
        format!(
            "NOT RUN: --fixtures asked for {}, which does not exist",
            dir.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixtures_that_are_not_there_are_named() {
        let workspace = Workspace {
            root: "/no/such/root".into(),
            target: "/no/such/target".into(),
        };
        let error = find(&workspace, None).expect_err("there is no such folder");
        let text = error.to_string();
        assert!(
            text.starts_with("NOT RUN") && text.contains(DEFAULT),
            "{text}"
        );
    }
}
