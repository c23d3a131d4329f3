//! Every row of the golden table, through the command: the CID and the number of blocks are those of a real Kubo, and a
//! guest reads the same through `/ipfs` as in the directory that was imported.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use test_support::golden::Content;

const TABLE: &str = include_str!("../../../pinner-car/tests/golden-cids.tsv");

fn output(arguments: &[&str]) -> (String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_wasi-ipfs"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "{arguments:?}: {stderr}");
    (stdout, stderr)
}

fn walk_hash() -> PathBuf {
    let folder = match std::env::var_os("WASI_IPFS_GUESTS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"),
    };
    folder.join("p2/walk_hash.wasm")
}

fn check(line: &str) {
    let [profile, options, name, root, blocks, _] = line.split('\t').collect::<Vec<_>>()[..] else {
        panic!("expected six columns: {line}");
    };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (source, car, staging) = (path("source"), path("content.car"), path("staging"));
    std::fs::create_dir(&source).unwrap();
    std::fs::create_dir(&staging).unwrap();
    let content = format!("{source}/content");
    Content::parse(name).make(Path::new(&content));

    let mut import = vec!["import", "--stats", "--profile", profile];
    // `ipfs add` needs -r for directories; `import` does not.
    import.extend(
        options
            .split(' ')
            .filter(|option| !["-", "-r"].contains(option)),
    );
    import.extend([&*content, "-o", &*car]);
    let (cid, stats) = output(&import);
    assert_eq!(cid, format!("{root}\n"), "{line}");
    let counted = format!("blocks: {blocks}, ");
    let mut stats_lines = stats.lines();
    assert!(
        stats_lines.any(|stat| stat.starts_with(&counted)),
        "{line}: {stats}"
    );

    let guest = walk_hash();
    let guest = guest.to_str().unwrap();
    let in_ipfs = format!("/ipfs/{root}");
    let run = ["run", "--car", &car, "--staging", &staging];
    let (ours, _) = output(&[&run[..], &[guest, &in_ipfs]].concat());
    let preopen = format!("{source}::/source");
    let native = ["--dir", &preopen, guest, "/source/content"];
    let (native, _) = output(&[&run[..], &native].concat());
    let imported = native.lines().filter(|line| {
        // Hidden files are left out without -H.
        !line.ends_with("\".hidden\"") || options.contains("-H")
    });
    assert!(ours.lines().eq(imported), "{line}: read back otherwise");
}

fn is_large(line: &&str) -> bool {
    line.contains("zeros(")
}

#[test]
fn every_small_row() {
    let rows: Vec<_> = TABLE.lines().filter(|line| !is_large(line)).collect();
    assert_eq!(rows.len(), 52);
    rows.into_iter().for_each(check);
}

#[test]
fn every_row_of_a_gibibyte() {
    if std::env::var_os("WASI_IPFS_QUICK").is_some() {
        println!("NOT RUN: files of a gibibyte, in a quick run");
        return;
    }
    let rows: Vec<_> = TABLE.lines().filter(is_large).collect();
    assert_eq!(rows.len(), 4);
    rows.into_iter().for_each(check);
}
