//! Reads at, across and beyond the end of a file: always the end of the file, never an error or a wrong byte.
//!
//! Arguments: `FILE`. Prints `len BYTES`.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Seek, SeekFrom},
};

use guest::{
    arguments::Arguments,
    outcome::{self, quietly_fails, succeeds},
    posix,
};

fn main() {
    let path = Arguments::of("read_past_end FILE").word();
    let whole = succeeds(&path, fs::read(&path));
    let length = whole.len() as u64;
    let mut file = succeeds(&path, File::open(&path));

    for beyond in [0, 1, 4096, 1 << 20, 1 << 40] {
        let place = length + beyond;
        succeeds("seek", file.seek(SeekFrom::Start(place)));
        for _ in 0..3 {
            assert_eq!(succeeds("read", file.read(&mut [0; 64])), 0, "at {place}");
        }
        assert_eq!(succeeds("position", file.stream_position()), place);
        assert_eq!(
            succeeds("pread", posix::pread(&file, &mut [0; 64], place)),
            0,
            "at {place}"
        );
        let mut rest = Vec::new();
        assert_eq!(
            succeeds("read_to_end", file.read_to_end(&mut rest)),
            0,
            "at {place}"
        );
    }
    quietly_fails(
        "pread beyond all offsets",
        posix::pread(&file, &mut [0; 8], u64::MAX),
        outcome::INVALID,
    );

    // Across the end, the buffer keeps its contents after the bytes read.
    for before in [0, 1, 100, 70_000] {
        let place = length.saturating_sub(before);
        let rest = &whole[place as usize..];
        let mut buffer = vec![0xa5; rest.len() + 50];
        let read = succeeds("pread", posix::pread_full(&file, &mut buffer, place));
        assert!(&buffer[..read] == rest, "the rest from {place} differs");
        assert!(
            buffer[read..].iter().all(|byte| *byte == 0xa5),
            "written behind the end"
        );

        succeeds("seek", file.seek(SeekFrom::Start(place)));
        let error = file
            .read_exact(&mut buffer)
            .expect_err("more than there is");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    succeeds("rewind", file.rewind());
    assert_eq!(succeeds("an empty read", file.read(&mut [])), 0);
    assert_eq!(succeeds("position", file.stream_position()), 0);
    // After the end was reached, earlier positions can still be read.
    let mut again = Vec::new();
    succeeds("read_to_end", file.read_to_end(&mut again));
    assert!(again == whole, "another content after the end was seen");
    println!("len {length}");
}
