//! Local files and trees, imported into a mock node.

use std::{ops::ControlFlow, path::Path};

use cid::Cid;
use pinner_car::{ImportOptions, Profile, import};
use pinner_mock::MockNode;

/// A mebibyte, in bytes.
pub const MIB: usize = 1 << 20;

/// `n` bytes in which no two blocks are equal.
pub fn stream(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ n as u64;
    let mut bytes = Vec::with_capacity(n + 8);
    while bytes.len() < n {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(n);
    bytes
}

/// Imports the file or tree at `path` into `node`, with Kubo's parameters. Returns its CID.
///
/// # Panics
/// If it cannot be read.
pub fn add(node: &MockNode, path: &Path, profile: Profile) -> Cid {
    let options = ImportOptions {
        profile,
        hidden: true,
        ..ImportOptions::default()
    };
    let sink = |cid, block| {
        node.put_unchecked(cid, block);
        Ok(())
    };
    import(path, &options, sink, |_| ControlFlow::Continue(()))
        .unwrap()
        .root
}

/// Imports a file of these bytes. Returns its CID.
///
/// # Panics
/// If a temporary file cannot be written.
pub fn add_file(node: &MockNode, bytes: &[u8], profile: Profile) -> Cid {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    add(node, file.path(), profile)
}
