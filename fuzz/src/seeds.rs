//! Seeds: sound inputs for the fuzzer to mutate. The project's own writers make them, so the repository holds none.
//!
//! A target that finds the environment variable [`FOLDER`] writes its seeds there and ends. If [`FIXTURES`] names a
//! folder of files from other projects, these are seeds as well.

use std::{convert::Infallible, env, fs, path::PathBuf, process};

use bytes::Bytes;
use cid::Cid;
use unixfs::{Attributes, Entry, Layout, Leaves, Mtime, Profile, Writer};

/// The environment variable that names the folder to write seeds to.
pub const FOLDER: &str = "WASI_IPFS_FUZZ_SEEDS";
/// The environment variable that names the folder of files from other projects; its `car` folder has CARs.
pub const FIXTURES: &str = "WASI_IPFS_FIXTURES";

/// The size of the largest seed, in bytes. Larger seeds slow the fuzzer down and teach it little.
const LARGEST: usize = 64 * 1024;

/// Writes the seeds and ends the process if [`FOLDER`] is set; does nothing otherwise.
pub fn write_if_asked(seeds: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    for (number, seed) in seeds().iter().enumerate() {
        if seed.len() > LARGEST {
            continue;
        }
        let path = folder.join(format!("seed-{number:05}"));
        if let Err(error) = fs::write(&path, seed) {
            eprintln!("error: cannot write {}: {error}", path.display());
            process::exit(1);
        }
    }
    process::exit(0);
}

/// Whole CARs from other projects; none if [`FIXTURES`] is not set.
pub fn others_cars() -> Vec<Vec<u8>> {
    let Some(folder) = env::var_os(FIXTURES).map(|folder| PathBuf::from(folder).join("car")) else {
        return Vec::new();
    };
    let cars = fs::read_dir(&folder).unwrap_or_else(|error| {
        eprintln!("error: cannot list {}: {error}", folder.display());
        process::exit(1);
    });
    let mut paths: Vec<_> = cars.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .collect()
}

/// The dag-pb blocks in the CARs from other projects.
pub fn others_blocks() -> Vec<Vec<u8>> {
    const DAG_PB: u64 = 0x70;
    let mut blocks = Vec::new();
    for car in others_cars() {
        let Ok(parsed) = pinner_car::parse_car(&car) else {
            continue;
        };
        for section in parsed.sections {
            if section.cid.codec() == DAG_PB {
                let start = section.offset as usize;
                blocks.push(car[start..start + section.length as usize].to_vec());
            }
        }
    }
    blocks
}

/// Blocks of every kind with their CIDs, children first.
pub fn blocks() -> Vec<(Cid, Bytes)> {
    let mut all = Vec::new();
    let v1 = Profile::UnixfsV1_2025.layout();
    let v0 = Profile::UnixfsV0_2015.layout();
    for layout in [v1, v0, v1.with_leaves(Leaves::DagPb)] {
        for attributes in [
            Attributes::default(),
            Attributes {
                mode: Some(0o4755),
                mtime: Some(Mtime {
                    seconds: -5,
                    nanos: 7,
                }),
            },
        ] {
            write_all(layout, attributes, &mut all);
        }
    }
    all
}

fn write_all(layout: Layout, attributes: Attributes, all: &mut Vec<(Cid, Bytes)>) {
    let small = layout.with_chunk_bytes(5).with_max_links(3);
    let mut writer = Writer::new(small, |cid, block| {
        all.push((cid, block));
        Ok::<_, Infallible>(())
    });
    let content = b"the quick brown fox jumps over the lazy dog";
    let written = (|| {
        let file = writer.file(&content[..], attributes)?;
        let link = writer.symlink(b"../a/\xc3\xbc", attributes)?;
        let entry = |name: String| Entry::new(name, file);
        let few = ["a", "b.txt", "\u{fc}"].map(|name| entry(name.to_owned()));
        let plain = writer.directory(few.to_vec(), attributes)?;
        writer.directory(
            vec![Entry::new("dir", plain), Entry::new("link", link)],
            attributes,
        )?;
        writer.directory(Vec::new(), attributes)?;
        // The names alone take more than 256 KiB, so the directory is sharded.
        let many = (0..1500).map(|n| entry(format!("{n:0200}"))).collect();
        writer.directory(many, attributes)?;
        Ok::<_, Box<dyn std::error::Error>>(())
    })();
    written.expect("sound content can be written");
}

/// A CARv1 of these blocks, whose root is the last.
pub fn car(blocks: &[(Cid, Bytes)]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("seed.car");
    let root = blocks.last().map(|(cid, _)| *cid).unwrap_or_default();
    let mut writer = pinner_car::CarWriter::create(&path, &[root]).expect("a new CAR");
    for (cid, block) in blocks {
        writer.put(cid, block).expect("a block");
    }
    writer.finish(&[root]).expect("a whole CAR");
    fs::read(&path).expect("it was written")
}
