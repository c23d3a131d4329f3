//! Which directories are taken for repositories, and the errors for the others.

use std::{fs, os::unix::fs::symlink, path::Path};

use pinner_kubo::{RepositoryError, RepositoryPinner};

use super::{DEFAULT, Repository, reads};

async fn refused(path: &Path) -> RepositoryError {
    let opened = RepositoryPinner::open(path).await;
    opened.expect_err("it cannot be read")
}

#[tokio::test]
async fn a_directory_without_a_repositorys_files_is_none() {
    for missing in ["version", "datastore_spec", "blocks/SHARDING"] {
        let repository = Repository::new(DEFAULT);
        fs::remove_file(repository.path().join(missing)).expect("removed");
        let error = refused(repository.path()).await;
        let name = missing.trim_start_matches("blocks/");
        assert!(
            matches!(&error, RepositoryError::NotARepository { missing, .. } if *missing == name),
            "{error:?}"
        );
        assert!(error.to_string().contains("IPFS_PATH"), "{error}");
    }
    let repository = Repository::new(DEFAULT);
    let nowhere = repository.path().join("nowhere");
    let blocks = repository.path().join("blocks");
    fs::rename(&blocks, repository.path().join("gone")).expect("renamed");
    for path in [&nowhere, repository.path()] {
        let error = refused(path).await;
        assert!(
            matches!(error, RepositoryError::Unreadable { .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn other_datastores_and_old_repositories_are_refused_by_name() {
    let repository = Repository::new(DEFAULT);
    repository.write("datastore_spec", r#"{"path":"pebbleds","type":"pebbleds"}"#);
    let error = refused(repository.path()).await;
    let named =
        matches!(&error, RepositoryError::NotFlatfs { found, .. } if found == "pebbleds at /");
    assert!(named, "{error:?}");

    let repository = Repository::new(DEFAULT);
    repository.write("version", "11");
    let error = refused(repository.path()).await;
    assert!(
        matches!(error, RepositoryError::TooOld { version: 11, .. }),
        "{error:?}"
    );
    repository.write("version", "12");
    repository.open().await;
}

#[tokio::test]
async fn files_that_kubo_did_not_write_are_refused() {
    let long = "x".repeat(70_000);
    for (name, text) in [
        ("version", "eighteen"),
        ("version", ""),
        ("version", &long),
        ("datastore_spec", "{"),
        ("datastore_spec", &long),
        ("blocks/SHARDING", "/repo/flatfs/shard/v1/middle/2"),
        ("blocks/SHARDING", ""),
    ] {
        let repository = Repository::new(DEFAULT);
        repository.write(name, text);
        let error = refused(repository.path()).await;
        assert!(
            matches!(&error, RepositoryError::Malformed { path, .. } if path.ends_with(name)),
            "{name}: {error:?}"
        );
    }
    let repository = Repository::new(DEFAULT);
    fs::write(repository.path().join("version"), [0xff]).expect("written");
    let error = refused(repository.path()).await;
    assert!(error.to_string().contains("UTF-8"), "{error}");

    let repository = Repository::new(DEFAULT);
    let sharding = repository.path().join("blocks/SHARDING");
    let other = repository.path().join("other");
    fs::rename(&sharding, &other).expect("renamed");
    symlink(&other, &sharding).expect("a link");
    let error = refused(repository.path()).await;
    assert!(error.to_string().contains("symbolic link"), "{error}");
}

#[tokio::test]
async fn the_blocks_may_lie_on_another_disk() {
    let disk = tempfile::tempdir().expect("a directory");
    let repository = Repository::new(DEFAULT);
    let block = repository.with_block();
    let (here, there) = (repository.path().join("blocks"), disk.path().join("blocks"));
    // The temporary directories have one file system, so that a rename will do.
    fs::rename(&here, &there).expect("moved");
    symlink(&there, &here).expect("a link");
    reads(&repository.open().await, &block).await;

    fs::remove_file(&here).expect("removed");
    let spec = fs::read_to_string(repository.path().join("datastore_spec")).expect("text");
    let path = format!(r#""path":"{}""#, there.display());
    repository.write("datastore_spec", &spec.replace(r#""path":"blocks""#, &path));
    reads(&repository.open().await, &block).await;
}
