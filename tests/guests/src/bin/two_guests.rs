//! Reads files repeatedly, side by side with another guest that does the same.
//!
//! Arguments: `ROUNDS FILE…`. Prints `FILE len=BYTES fnv=DIGEST` for each, once all rounds gave the same result.

use std::fs::{self, File};

use guest::{arguments::Arguments, content::drain, outcome::succeeds};

fn main() {
    let mut arguments = Arguments::of("two_guests ROUNDS FILE…");
    let rounds: usize = arguments.number();
    let paths = arguments.rest();
    let mut first = Vec::new();
    for round in 0..rounds {
        // Each round begins with another file, so that two guests do not move in step.
        for step in 0..paths.len() {
            let at = (step + round) % paths.len();
            let path = &paths[at];
            let file = succeeds(path, File::open(path));
            let read = succeeds(path, drain(file, 4096 << (round % 5)));
            assert_eq!(succeeds(path, fs::metadata(path)).len(), read.0, "{path}");
            match first.iter().find(|(seen, _)| *seen == at) {
                Some((_, wanted)) => assert_eq!(read, *wanted, "{path}: round {round} differs"),
                None => first.push((at, read)),
            }
        }
    }
    first.sort_by_key(|(at, _)| *at);
    for (at, (length, digest)) in first {
        println!("{} len={length} fnv={digest}", paths[at]);
    }
}
