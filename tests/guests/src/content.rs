//! Digests of content, and the walk of a tree in an order that does not depend on the file system.

use std::{
    ffi::OsString,
    fmt, fs,
    io::{self, Read},
    path::Path,
};

/// FNV-1a, 64 bits: enough to tell two contents apart if nobody chose them to collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.update(bytes);
        digest
    }

    /// Adds `bytes` to the digest.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl fmt::Display for Fnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Reads all of `from`, in calls of at most `chunk` bytes. Returns its length in bytes and its digest.
pub fn drain(mut from: impl Read, chunk: usize) -> io::Result<(u64, Fnv)> {
    let mut buffer = vec![0; chunk];
    let mut digest = Fnv::default();
    let mut length = 0;
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok((length, digest)),
            n => {
                digest.update(&buffer[..n]);
                length += n as u64;
            }
        }
    }
}

/// Reads until `buffer` is full or `from` ends. Returns how many bytes that was.
pub fn fill(mut from: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// `d` for a directory, `f` for a file, `l` for a symlink, `?` for anything else.
pub fn letter(kind: fs::FileType) -> char {
    match () {
        () if kind.is_dir() => 'd',
        () if kind.is_file() => 'f',
        () if kind.is_symlink() => 'l',
        () => '?',
    }
}

/// Returns the names in `dir`, sorted.
pub fn sorted_names(dir: &Path) -> io::Result<Vec<OsString>> {
    let mut names = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Pseudo-random numbers (xorshift64): the same series in every run, so that a failure can be reproduced.
#[derive(Debug)]
pub struct Series(u64);

impl Default for Series {
    fn default() -> Self {
        Self(88_172_645_463_325_252)
    }
}

impl Series {
    /// Returns the next number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
