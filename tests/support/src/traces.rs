//! Published traces of page requests, for the tests and the bench of replacement.
//!
//! They are not part of the repository, but are read from `traces/` in the folder that `WASI_IPFS_FIXTURES` names.

use std::{
    collections::HashMap,
    fs::File,
    hash::{BuildHasherDefault, Hasher},
    io::Read,
    path::PathBuf,
};

/// The pages requested, numbered by their first appearance.
#[derive(Debug)]
pub struct Trace {
    /// The pages, in the order of the requests.
    pub pages: Vec<u32>,
    /// The number of different pages; all numbers are below it.
    pub distinct: usize,
}

impl Trace {
    /// Reads the trace `name`. Returns `None`, and prints a line that says so, if no folder of fixtures is named.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn read(name: &str) -> Option<Self> {
        let Some(folder) = std::env::var_os("WASI_IPFS_FIXTURES") else {
            println!("NOT RUN {name}: WASI_IPFS_FIXTURES does not say where the traces are");
            return None;
        };
        let path = PathBuf::from(folder)
            .join("traces")
            .join(format!("{name}.lis.zst"));
        let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut text = String::new();
        ruzstd::decoding::StreamingDecoder::new(file)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            .read_to_string(&mut text)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut numbers = HashMap::with_hasher(Numbers::default());
        let mut pages = Vec::new();
        // A line is `start count 0 n`.
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace().map(str::parse::<u64>);
            let (Some(Ok(start)), Some(Ok(count))) = (fields.next(), fields.next()) else {
                panic!("{}: the line {line:?}", path.display());
            };
            for page in start..start + count {
                let next = numbers.len() as u32;
                pages.push(*numbers.entry(page).or_insert(next));
            }
        }
        Some(Self {
            pages,
            distinct: numbers.len(),
        })
    }

    /// A number of requests as a percentage of all requests.
    pub fn percent(&self, requests: usize) -> f64 {
        100.0 * requests as f64 / self.pages.len() as f64
    }
}

/// A fast hasher: page numbers need no protection against chosen collisions, and a build for tests is slow enough.
pub type Numbers = BuildHasherDefault<NumberHasher>;

/// Hashes by multiplying and shifting.
#[derive(Debug, Default)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
