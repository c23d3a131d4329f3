//! Opens files and reads them whole, in every way that a program may. All ways must agree.
//!
//! Arguments: `FILE…`. Prints `FILE len=BYTES fnv=DIGEST` for each.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, IoSliceMut, Read},
};

use guest::{
    arguments::Arguments,
    content::{self, Fnv},
    outcome::succeeds,
};

fn main() {
    for path in Arguments::of("open_read_whole FILE…").rest() {
        let whole = succeeds(&path, fs::read(&path));
        let wanted = (whole.len() as u64, Fnv::of(&whole));

        let told = succeeds(&path, fs::metadata(&path)).len();
        assert_eq!(told, wanted.0, "{path}: metadata tells another length");

        let open = || succeeds(&path, File::open(&path));
        // Odd sizes straddle the block boundaries; the large one is more than the host returns in one call.
        for chunk in [4096, 7777, 64 * 1024, 300_001] {
            let read = succeeds(&path, content::drain(open(), chunk));
            assert_eq!(read, wanted, "{path}: reads of {chunk} bytes differ");
        }

        let mut exact = vec![0; whole.len()];
        succeeds(&path, open().read_exact(&mut exact));
        assert!(exact == whole, "{path}: read_exact differs");

        assert_eq!(scattered(&path), wanted, "{path}: vectored reads differ");

        let mut lines = BufReader::new(open());
        let mut line = Vec::new();
        let mut counted = 0;
        while succeeds(&path, lines.read_until(b'\n', &mut line)) > 0 {
            assert!(
                whole[counted..].starts_with(&line),
                "{path}: a line differs"
            );
            counted += line.len();
            line.clear();
        }
        assert_eq!(counted, whole.len(), "{path}: the lines are not all of it");

        println!("{path} len={} fnv={}", wanted.0, wanted.1);
    }
}

fn scattered(path: &str) -> (u64, Fnv) {
    let mut file = succeeds(path, File::open(path));
    let (mut first, mut second) = ([0; 13], [0; 5000]);
    let mut digest = Fnv::default();
    let mut length = 0;
    loop {
        let mut slices = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let n = succeeds(path, file.read_vectored(&mut slices));
        if n == 0 {
            return (length, digest);
        }
        let head = n.min(first.len());
        digest.update(&first[..head]);
        digest.update(&second[..n - head]);
        length += n as u64;
    }
}
