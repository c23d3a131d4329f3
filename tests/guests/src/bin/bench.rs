//! Measures file calls from inside the guest, where a program would feel them.
//!
//! Arguments, any number of them, executed in order; the first of a kind is also its warm-up:
//! - `open FILE N`: opens and closes it N times;
//! - `stat FILE N`: asks for its metadata N times;
//! - `first FILE N`: opens it and reads its first byte, N times;
//! - `seq FILE CHUNK`: reads it to its end in calls of CHUNK bytes; `n` is the bytes read;
//! - `rand FILE N`: N times, seeks to a random place and reads 4 KiB;
//! - `randp FILE N`: the same with pread;
//! - `handles DIR N`: opens N distinct files of DIR and keeps all open; `handles-read` also reads a byte of each;
//! - `touch DIR N`: opens and closes N distinct files of DIR, one after the other;
//! - `list DIR N`: lists it N times; the checksum is the number of its entries.
//!
//! Prints `BENCH WHAT N SECONDS CHECKSUM` for each. The checksum is over bytes read, so that two runs over the same
//! content can be compared.

use std::{
    fs::{self, File},
    hint::black_box,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Instant,
};

use guest::{
    arguments::Arguments,
    content::{Series, fill, sorted_names},
    outcome::succeeds,
    posix,
};

/// The size of a random read in bytes.
const PIECE: usize = 4096;

const USAGE: &str = "bench (open FILE N | stat FILE N | first FILE N | seq FILE CHUNK | rand FILE N | randp FILE N | handles DIR N | handles-read DIR N | touch DIR N | list DIR N)…";

fn main() {
    let mut arguments = Arguments::of(USAGE);
    while let Some(what) = arguments.next_if_any() {
        let path = arguments.word();
        let n: u64 = arguments.number();
        let (done, seconds, checksum) = match what.as_str() {
            "open" => timed(|| open(&path, n)),
            "stat" => timed(|| stat(&path, n)),
            "first" => timed(|| first(&path, n)),
            "seq" => timed(|| sequential(&path, n as usize)),
            "rand" => timed(|| random(&path, n, seek_and_read)),
            "randp" => timed(|| {
                random(&path, n, |file, piece, at| {
                    posix::pread_full(file, piece, at)
                })
            }),
            "handles" => handles(&path, n, |_| Ok(0)),
            "handles-read" => handles(&path, n, |mut file| {
                let mut byte = [0];
                file.read_exact(&mut byte)?;
                Ok(u64::from(byte[0]))
            }),
            "touch" => touch(&path, n),
            "list" => timed(|| list(&path, n)),
            unknown => arguments.unknown(unknown),
        };
        println!("BENCH {what} {done} {seconds:.6} {checksum:016x}");
    }
}

/// A count, the seconds, and the checksum.
type Measured = (u64, f64, u64);

fn timed(work: impl FnOnce() -> io::Result<(u64, u64)>) -> Measured {
    let start = Instant::now();
    let (done, checksum) = succeeds("measured", work());
    (done, start.elapsed().as_secs_f64(), checksum)
}

fn open(path: &str, n: u64) -> io::Result<(u64, u64)> {
    for _ in 0..n {
        black_box(&File::open(path)?);
    }
    Ok((n, 0))
}

fn stat(path: &str, n: u64) -> io::Result<(u64, u64)> {
    let mut length = 0;
    for _ in 0..n {
        length = black_box(fs::metadata(path)?).len();
    }
    Ok((n, length))
}

fn first(path: &str, n: u64) -> io::Result<(u64, u64)> {
    let (mut byte, mut sum) = ([0], 0);
    for _ in 0..n {
        File::open(path)?.read_exact(&mut byte)?;
        sum = mix(sum, &byte);
    }
    Ok((n, sum))
}

/// The checksum covers the ends of each chunk, because hashing every byte would take most of the measured time. The
/// chunks are filled, so that the checksum does not depend on how much the host returns at once.
fn sequential(path: &str, chunk: usize) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; chunk];
    let (mut total, mut sum) = (0, 0_u64);
    loop {
        let filled = fill(&mut file, &mut buffer)?;
        if filled == 0 {
            return Ok((total, sum));
        }
        total += filled as u64;
        sum = mix(sum, &buffer[..filled]);
    }
}

fn random(
    path: &str,
    n: u64,
    read: fn(&mut File, &mut [u8], u64) -> io::Result<usize>,
) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let places = file.metadata()?.len().saturating_sub(PIECE as u64) + 1;
    let mut series = Series::default();
    let mut piece = vec![0; PIECE];
    let mut sum = 0_u64;
    for _ in 0..n {
        let filled = read(&mut file, &mut piece, series.below(places))?;
        sum = mix(sum, &piece[..filled]);
    }
    Ok((n, sum))
}

fn seek_and_read(file: &mut File, piece: &mut [u8], at: u64) -> io::Result<usize> {
    file.seek(SeekFrom::Start(at))?;
    fill(file, piece)
}

fn mix(sum: u64, bytes: &[u8]) -> u64 {
    let ends = [bytes.first(), bytes.last()].map(|byte| u64::from(*byte.unwrap_or(&0)));
    sum.wrapping_mul(31)
        .wrapping_add(ends[0] | ends[1] << 8 | (bytes.len() as u64) << 16)
}

fn files(dir: &str, n: u64) -> Vec<PathBuf> {
    let dir = Path::new(dir);
    let paths: Vec<_> = succeeds("list", sorted_names(dir))
        .iter()
        .map(|name| dir.join(name))
        .take(n as usize)
        .collect();
    assert_eq!(paths.len() as u64, n, "{}: too few files", dir.display());
    paths
}

/// The listing is not measured.
fn touch(dir: &str, n: u64) -> Measured {
    let paths = files(dir, n);
    timed(|| {
        for path in &paths {
            black_box(&File::open(path)?);
        }
        Ok((n, 0))
    })
}

/// The listing is not measured.
fn handles(dir: &str, n: u64, then: fn(&File) -> io::Result<u64>) -> Measured {
    let paths = files(dir, n);
    timed(|| {
        let mut held = Vec::with_capacity(paths.len());
        let mut sum = 0_u64;
        for path in &paths {
            let file = File::open(path)?;
            sum = sum.wrapping_mul(31).wrapping_add(then(&file)?);
            held.push(file);
        }
        Ok((held.len() as u64, sum))
    })
}

fn list(dir: &str, n: u64) -> io::Result<(u64, u64)> {
    let mut entries = 0;
    for _ in 0..n {
        entries = 0;
        for entry in fs::read_dir(dir)? {
            black_box(entry?);
            entries += 1;
        }
    }
    Ok((n, entries))
}
