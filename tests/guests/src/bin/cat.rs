//! Writes files to standard output, byte for byte.
//!
//! Arguments: `FILE…`.

use std::{
    fs::File,
    io::{self, Write},
};

use guest::{arguments::Arguments, outcome::succeeds};

fn main() {
    let mut out = io::stdout().lock();
    for path in Arguments::of("cat FILE…").rest() {
        let mut file = succeeds(&path, File::open(&path));
        succeeds(&path, io::copy(&mut file, &mut out));
    }
    succeeds("standard output", out.flush());
}
