//! Kubo's FUSE mount, if this machine can mount it.

use std::fs;

use kubo_daemon::{Result, kubo_or_not_run};

#[test]
fn a_file_is_read_through_the_mount() -> Result<()> {
    let kubo = kubo_or_not_run!("the FUSE mount", Ok(()));
    let node = kubo.node().without_gateway().start()?;
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), "through FUSE").expect("writing it");
    let cid = node.add(file.path(), &[])?.to_string();
    let Some(mount) = node.mount()? else {
        println!("NOT RUN: kubo: the FUSE mount: it needs /dev/fuse, fusermount3 and root");
        return Ok(());
    };
    let path = mount.ipfs();
    assert_eq!(
        fs::read_to_string(path.join(&cid)).expect("reading through it"),
        "through FUSE"
    );
    drop(mount);
    assert!(!path.exists());
    let mounts = fs::read_to_string("/proc/mounts").expect("the list of mounts");
    assert!(!mounts.contains(&path.display().to_string()), "{mounts}");
    Ok(())
}
