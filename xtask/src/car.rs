//! Counts the blocks of a CAR file, so that `demo` can compare the fetched blocks with them.
//!
//! It reads the format directly instead of using `pinner-car`, so that the demonstration does not count with the very
//! code that it shows.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use anyhow::{Context, Result, bail};

/// The number of blocks, and their bytes without the framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The sections of the file.
    pub(crate) blocks: u64,
    /// The sum of their lengths, without CIDs.
    pub(crate) bytes: u64,
}

/// The pragma at the start of a CARv2. A header of 40 bytes follows; its bytes 16..24 and 24..32 are the offset and the
/// length of the CARv1 inside.
const V2_PRAGMA: [u8; 11] = [
    0x0a, 0xa1, 0x67, b'v', b'e', b'r', b's', b'i', b'o', b'n', 0x02,
];

/// Reads the sections' headers and skips their data.
pub(crate) fn contents(path: &Path) -> Result<Contents> {
    let what = || format!("{} is not a CAR file", path.display());
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    count(BufReader::new(file)).with_context(what)
}

fn count(mut file: impl Read + Seek) -> Result<Contents> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    file.rewind()?;
    let mut start = [0; V2_PRAGMA.len()];
    if file.read_exact(&mut start).is_ok() && start == V2_PRAGMA {
        let mut header = [0; 40];
        file.read_exact(&mut header)?;
        let number = |from: usize| {
            let bytes = header[from..from + 8].iter().rev();
            bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        at = number(16);
        end = at
            .checked_add(number(24))
            .filter(|inside| *inside <= end)
            .context("cut short")?;
    }

    let mut found = Contents::default();
    let mut is_header = true;
    while at < end {
        file.seek(SeekFrom::Start(at))?;
        let (length, prefix) = varint(&mut file)?;
        let next = (at + prefix)
            .checked_add(length)
            .filter(|next| *next <= end);
        if !is_header {
            found.blocks += 1;
            found.bytes += length
                .checked_sub(cid_length(&mut file)?)
                .context("a block without a CID")?;
        }
        is_header = false;
        at = next.context("cut short")?;
    }
    Ok(found)
}

/// Returns a number and how many bytes it took.
fn varint(from: &mut impl Read) -> Result<(u64, u64)> {
    let mut number = 0;
    for at in 0..9 {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        number |= u64::from(byte[0] & 0x7f) << (7 * at);
        if byte[0] & 0x80 == 0 {
            return Ok((number, at + 1));
        }
    }
    bail!("a number of more than 9 bytes")
}

fn cid_length(from: &mut impl Read) -> Result<u64> {
    let (version, one) = varint(from)?;
    // A CIDv0 is a bare multihash: 0x12, then its length, 0x20.
    let mut length = one;
    if version == 1 {
        length += varint(from)?.1;
        length += varint(from)?.1;
    }
    let (digest, prefix) = varint(from)?;
    Ok(length + prefix + digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn v1() -> Vec<u8> {
        let mut car = vec![3, 0xa0, 0xa0, 0xa0];
        let sha = |mut cid: Vec<u8>| {
            cid.extend([0x12, 0x20]);
            cid.extend([7; 32]);
            cid
        };
        for (cid, data) in [
            (sha(vec![1, 0x55]), &b"hello"[..]),
            (sha(vec![]), b""),
            (sha(vec![1, 0x70]), &[9; 300]),
        ] {
            let length = cid.len() + data.len();
            match u8::try_from(length) {
                Ok(short) if short < 0x80 => car.push(short),
                _ => car.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]),
            }
            car.extend(cid);
            car.extend(data);
        }
        car
    }

    const WANTED: Contents = Contents {
        blocks: 3,
        bytes: 305,
    };

    #[test]
    fn counts_both_versions() -> Result<()> {
        assert_eq!(count(Cursor::new(v1()))?, WANTED);
        let mut v2 = V2_PRAGMA.to_vec();
        v2.extend([0; 16]);
        v2.extend(60_u64.to_le_bytes());
        v2.extend((v1().len() as u64).to_le_bytes());
        v2.extend([0; 8 + 60 - 51]);
        v2.extend(v1());
        v2.extend(b"an index that is none of our business");
        assert_eq!(count(Cursor::new(v2))?, WANTED);
        Ok(())
    }

    #[test]
    fn a_cut_one_is_an_error() {
        let car = v1();
        for length in [3, car.len() - 1, 30] {
            assert!(
                count(Cursor::new(&car[..length])).is_err(),
                "cut to {length}"
            );
        }
    }
}
