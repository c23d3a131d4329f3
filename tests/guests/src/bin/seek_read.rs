//! Seeks from the start, the end and the current position, and reads there; reads at offsets without a seek.
//!
//! Arguments: `FILE`. Prints `LEN bytes, N places` once all reads agreed with the whole file.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
};

use guest::{
    arguments::Arguments,
    content::{Series, fill},
    outcome::{self, quietly_fails, succeeds},
    posix,
};

fn main() {
    let path = Arguments::of("seek_read FILE").word();
    let whole = succeeds(&path, fs::read(&path));
    let length = whole.len() as u64;
    let mut file = succeeds(&path, File::open(&path));

    whence(&mut file, length);

    let mut places = vec![0, 1, length / 2, length.saturating_sub(1), length];
    // The boundaries of the usual chunk sizes, where a read spans two blocks.
    for chunk in [64 * 1024, 256 * 1024, 1024 * 1024] {
        places.extend([chunk - 1, chunk, chunk + 1, 2 * chunk - 7]);
    }
    let mut series = Series::default();
    places.extend((0..400).map(|_| series.below(length + 1)));
    places.retain(|place| *place <= length);

    let mut buffer = vec![0; 5003];
    for place in &places {
        let left = &whole[*place as usize..];
        let wanted = &left[..left.len().min(buffer.len())];

        let at = succeeds("seek", file.seek(SeekFrom::Start(*place)));
        assert_eq!(at, *place, "seek went elsewhere");
        let read = succeeds("read", fill(&mut file, &mut buffer));
        assert!(&buffer[..read] == wanted, "a read at {place} differs");
        let after = succeeds("position", file.stream_position());
        assert_eq!(
            after,
            place + read as u64,
            "a read moved the position wrongly"
        );

        let read = succeeds("pread", posix::pread_full(&file, &mut buffer, *place));
        assert!(&buffer[..read] == wanted, "a pread at {place} differs");
        let still = succeeds("position", file.stream_position());
        assert_eq!(still, after, "pread moved the position");
    }
    println!("{length} bytes, {} places", places.len());
}

/// Tests every kind of seek, and the seeks that must be refused.
fn whence(file: &mut File, length: u64) {
    let mut at = |what: &str, to, wanted| {
        assert_eq!(succeeds(what, file.seek(to)), wanted, "{what}");
    };
    at("the end", SeekFrom::End(0), length);
    at("from the end", SeekFrom::End(-(length as i64)), 0);
    at("where it stands", SeekFrom::Current(0), 0);
    at("onwards", SeekFrom::Current(length as i64), length);
    at("backwards", SeekFrom::Current(-(length as i64)), 0);
    at("past the end", SeekFrom::End(10), length + 10);
    at("far past the end", SeekFrom::Start(1 << 40), 1 << 40);

    assert_eq!(succeeds("read past the end", file.read(&mut [0; 8])), 0);
    succeeds("rewind", file.rewind());
    for (what, to) in [
        ("before the start", SeekFrom::Current(-1)),
        (
            "before the start, from the end",
            SeekFrom::End(-(length as i64) - 1),
        ),
        ("beyond all offsets", SeekFrom::Start(u64::MAX)),
    ] {
        quietly_fails(what, file.seek(to), outcome::INVALID);
        // The libc of preview 2 moves to the end before it refuses.
        if !cfg!(target_env = "p2") {
            let still = succeeds(what, file.stream_position());
            assert_eq!(still, 0, "{what}: a refused seek moved the position");
        }
        succeeds("rewind", file.rewind());
    }
}
