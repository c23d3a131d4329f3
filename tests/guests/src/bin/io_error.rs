//! Reads that must fail because a block is missing, and reads that must succeed all the same.
//!
//! Arguments: `FILE (bad OFFSET LEN | good OFFSET LEN | whole-bad | whole-good)…`, executed in this order, on one
//! handle. Prints `good OFFSET LEN fnv=DIGEST`, or `bad OFFSET LEN ERROR`, and the like for the whole file.
//!
//! The error is EIO in both previews. A native preview 2 guest's libc returns EIO for any error of a stream, and the
//! host means EIO for blocks that cannot be loaded.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
};

use guest::{
    arguments::Arguments,
    content::{Fnv, drain, fill},
    outcome::{self, name, quietly_fails, succeeds},
    posix,
};

fn main() {
    let mut arguments =
        Arguments::of("io_error FILE (bad OFFSET LEN | good OFFSET LEN | whole-bad | whole-good)…");
    let path = arguments.word();
    let mut file = succeeds(&path, File::open(&path));
    while let Some(word) = arguments.next_if_any() {
        match word.as_str() {
            "good" => good(&mut file, arguments.number(), arguments.number()),
            "bad" => bad(&mut file, arguments.number(), arguments.number()),
            "whole-good" => {
                let (length, digest) = succeeds(&path, whole(&path));
                println!("whole-good {length} fnv={digest}");
            }
            "whole-bad" => {
                // An error must not look like the end of the file (I7).
                let error = quietly_fails("the whole file", whole(&path), outcome::IO);
                println!("whole-bad {}", name(&error));
            }
            unknown => arguments.unknown(unknown),
        }
    }
}

fn whole(path: &str) -> io::Result<(u64, Fnv)> {
    drain(File::open(path)?, 64 * 1024)
}

fn by_seek(file: &mut File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek(SeekFrom::Start(offset))?;
    fill(file, buffer)
}

fn good(file: &mut File, offset: u64, length: usize) {
    let what = format!("good {offset} {length}");
    let mut buffer = vec![0; length];
    let read = succeeds(&what, posix::pread_full(file, &mut buffer, offset));
    let mut again = vec![0; length];
    let read_again = succeeds(&what, by_seek(file, &mut again, offset));
    assert_eq!(read, length, "{what}: the file ended");
    assert_eq!(read_again, length, "{what}: the file ended, by seek");
    assert!(buffer == again, "{what}: seek and read differs from pread");
    println!("{what} fnv={}", Fnv::of(&buffer));
}

fn bad(file: &mut File, offset: u64, length: usize) {
    let what = format!("bad {offset} {length}");
    let mut buffer = vec![0; length];
    // Bytes before the failing block may arrive, but neither the end of the file nor all bytes.
    let error = quietly_fails(
        &what,
        posix::pread_full(file, &mut buffer, offset),
        outcome::IO,
    );
    quietly_fails(&what, by_seek(file, &mut buffer, offset), outcome::IO);
    println!("{what} {}", name(&error));
}
