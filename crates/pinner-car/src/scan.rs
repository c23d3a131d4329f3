//! One pass over a CAR's section headers, which finds the place of each block.
//!
//! Reads lengths and CIDs and steps over the data, through a window that is small where blocks are large and large
//! where they are small. Owns every check of the framing; never looks at the blocks' bytes. A section that cannot be used
//! costs itself alone, as long as its length says where the next one starts. The parser takes any source of positioned
//! reads, so [`parse_car`] runs the same code on bytes in memory, for fuzzing.

use std::{fs::File, io, path::Path};

use cid::Cid;
use pinner_api::MAX_BLOCK;
use unsigned_varint::decode;

use crate::{
    defect::{Defect, Defects},
    error::CarError,
    header::{Header, MAX_HEADER, Root, SectionCid, V2, V2_HEADER},
};

/// The longest CID that is read, in bytes: version, codec, hash function and length as varints, then the digest.
const MAX_CID: usize = 9 + 9 + 9 + 2 + 128;

/// The longest varint, in bytes, by the specification of multiformats: numbers have up to 63 bits.
const MAX_VARINT: usize = 9;

/// Bytes that can be read at a position: a file, a piece of memory, or what arrives from elsewhere.
pub trait ReadAt {
    /// Reads some bytes from `offset` on; none at the end.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being read. It ends the scan.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..))
            .unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// One block in a CAR.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Section {
    /// The CID as the section names it; not checked against the data.
    pub cid: SectionCid,
    /// The offset of the data from the start of the file, in bytes.
    pub offset: u64,
    /// The length of the data in bytes, at most [`MAX_BLOCK`].
    pub length: u32,
}

/// The roots and sections of a CAR, from [`parse_car`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sections {
    /// The header's roots.
    pub roots: Vec<Cid>,
    /// Those of the header's roots that are identity CIDs too long for a [`Cid`].
    pub long_roots: Vec<SectionCid>,
    /// Every section that can be used, in order.
    pub sections: Vec<Section>,
    /// The rest.
    pub defects: Defects,
}

/// Parses the framing of a CARv1 or CARv2 in memory. No block is checked against its CID.
///
/// This is the parser that [`CarPinner`](crate::CarPinner) runs over files. Errors name the path `<memory>`.
///
/// # Errors
/// Those of [`CarPinner::open`](crate::CarPinner::open) for a file with the same bytes.
pub fn parse_car(bytes: &[u8]) -> Result<Sections, CarError> {
    let mut sections = Vec::new();
    let path = Path::new("<memory>");
    let scanned = scan(bytes, bytes.len() as u64, path, &mut |section| {
        sections.push(section);
    })?;
    Ok(Sections {
        roots: scanned.roots,
        long_roots: scanned.long_roots,
        sections,
        defects: scanned.defects,
    })
}

/// The result of [`scan_car`](crate::scan_car), beside the sections.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Scanned {
    /// The header's roots.
    pub roots: Vec<Cid>,
    /// The identity CIDs among the roots that are too long for a [`Cid`].
    pub long_roots: Vec<SectionCid>,
    /// The parts that cannot be used.
    pub defects: Defects,
}

/// Parses the framing of the CAR of `size` bytes in `source`, and passes every section that can be used to `visit`, in
/// order. `path` is its name in errors.
///
/// The source is read from the start to the end, with steps over most of the data. No read starts more than 64 KiB
/// before the end of an earlier one.
///
/// # Errors
/// Those of [`CarPinner::open`](crate::CarPinner::open) for a file with the same bytes, and [`CarError::Io`] where the
/// source fails.
pub fn scan<S: ReadAt + ?Sized>(
    source: &S,
    size: u64,
    path: &Path,
    visit: &mut dyn FnMut(Section),
) -> Result<Scanned, CarError> {
    let mut scan = Scan {
        window: Window::new(source),
        path,
        end: size,
        found: Scanned::default(),
    };
    let (first, after) = scan.header(0)?;
    let (roots, sections) = match first.version {
        1 => (first.roots, after),
        2 => {
            let start = scan.v2(after)?;
            let (inner, after) = scan.header(start)?;
            if inner.version != 1 {
                return Err(scan.unsupported(inner.version));
            }
            (inner.roots, after)
        }
        version => return Err(scan.unsupported(version)),
    };
    let roots = roots.ok_or_else(|| scan.not_a_car("its header has no roots"))?;
    scan.roots(roots);
    scan.sections(sections, visit)?;
    Ok(scan.found)
}

/// Splits off the varint at the start. It is the shortest form of its number, so that only the byte 0 is zero.
fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), decode::Error> {
    let (number, rest) = decode::u64(bytes)?;
    // The decoder takes a tenth byte, and drops bits of it.
    match bytes.len() - rest.len() <= MAX_VARINT {
        true => Ok((number, rest)),
        false => Err(decode::Error::Overflow),
    }
}

/// The state of the pass: the window that it reads through, and the end of the payload.
struct Scan<'a, S: ?Sized> {
    window: Window<'a, S>,
    path: &'a Path,
    end: u64,
    found: Scanned,
}

/// The part of a CAR at an offset.
enum Part {
    Section(Section),
    /// Nothing that can be used, up to this offset.
    Unusable(Defect, u64),
    /// Nothing but padding, up to the end.
    Padding,
}

impl<S: ReadAt + ?Sized> Scan<'_, S> {
    /// The bytes from `offset` on: `wanted` of them, or those up to the end if there are fewer.
    fn peek(&mut self, offset: u64, wanted: usize) -> Result<&[u8], CarError> {
        let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.window
            .peek(offset, wanted.min(left))
            .map_err(CarError::io("read", self.path))
    }

    /// The header at `offset`, and the offset after it.
    fn header(&mut self, offset: u64) -> Result<(Header, u64), CarError> {
        let start = self.peek(offset, MAX_VARINT + 1)?;
        let (length, rest) = match varint(start) {
            Ok(decoded) => decoded,
            Err(_) if start.is_empty() => return Err(self.not_a_car("it is empty")),
            Err(decode::Error::Insufficient) => return Err(self.truncated(offset, "a header")),
            Err(_) => return Err(self.not_a_car("it does not start with a header's length")),
        };
        let body = offset + (start.len() - rest.len()) as u64;
        // DAG-CBOR maps of one or two entries start with these bytes; another byte means another kind of file.
        if !matches!(rest.first(), None | Some(0xa1 | 0xa2)) || length == 0 {
            return Err(self.not_a_car("it does not start with a header"));
        }
        if length > MAX_HEADER {
            return Err(self.not_a_car(&format!(
                "it announces a header of {length} bytes, over the limit of {MAX_HEADER}"
            )));
        }
        // `length` is at most MAX_HEADER, so it fits.
        let bytes = self.peek(body, length as usize)?;
        if (bytes.len() as u64) < length {
            return Err(self.truncated(offset, &format!("a header of {length} bytes")));
        }
        let header = Header::decode(bytes)
            .map_err(|reason| self.not_a_car(&format!("its header does not decode: {reason}")))?;
        Ok((header, body + length))
    }

    /// Reads the CARv2 header at `offset`, and returns the offset of the data. From here on, the end is that of the data,
    /// as far as the file has it.
    fn v2(&mut self, offset: u64) -> Result<u64, CarError> {
        let bytes = self.peek(offset, V2_HEADER)?;
        let Ok(bytes) = <&[u8; V2_HEADER]>::try_from(bytes) else {
            return Err(self.truncated(offset, "a CARv2 header"));
        };
        let V2 {
            data_offset,
            data_size,
        } = V2::decode(bytes);
        let follows = offset + V2_HEADER as u64..self.end;
        if (data_offset, data_size) == (0, 0) && !follows.is_empty() {
            // Writers leave the header empty until the end, and the data follows it.
            self.found.defects.note(Defect::Unfinished);
            return Ok(follows.start);
        }
        let end = data_offset.checked_add(data_size);
        let Some(end) = end.filter(|_| data_size != 0 && follows.contains(&data_offset)) else {
            return Err(CarError::DataOutOfRange {
                path: self.path.into(),
                data_offset,
                data_size,
                file_size: self.end,
            });
        };
        if end > self.end {
            self.found.defects.note(Defect::CutShort {
                offset: data_offset,
                expected: format!("data of {data_size} bytes"),
                end: self.end,
            });
        }
        self.end = self.end.min(end);
        Ok(data_offset)
    }

    fn roots(&mut self, roots: Vec<Root>) {
        for (root, number) in roots.into_iter().zip(1..) {
            match root {
                Root::Cid(cid) => self.found.roots.push(cid),
                Root::Long(cid) => self.found.long_roots.push(cid),
                Root::Unusable(reason) => {
                    self.found.defects.note(Defect::NoRoot { number, reason });
                }
            }
        }
    }

    /// Visits every section from `offset` to the end.
    fn sections(
        &mut self,
        mut offset: u64,
        visit: &mut dyn FnMut(Section),
    ) -> Result<(), CarError> {
        while offset < self.end {
            let part = self.part(offset)?;
            debug_assert!(!matches!(part, Part::Unusable(_, next) if next <= offset));
            match part {
                Part::Section(section) => {
                    offset = section.offset + u64::from(section.length);
                    visit(section);
                }
                Part::Unusable(defect, next) => {
                    self.found.defects.note(defect);
                    offset = next;
                }
                Part::Padding => break,
            }
        }
        Ok(())
    }

    /// Reads the length and the CID of the section at `offset`.
    fn part(&mut self, offset: u64) -> Result<Part, CarError> {
        let end = self.end;
        let start = self.peek(offset, MAX_VARINT + 1)?;
        let (length, rest) = match varint(start) {
            Ok(decoded) => decoded,
            Err(decode::Error::Insufficient) => {
                return Ok(self.cut_short(offset, "a section's length".to_owned()));
            }
            Err(_) => {
                let reason = "its length is not a varint of 63 bits";
                return Ok(Part::Unusable(Defect::NoLength { offset, reason }, end));
            }
        };
        let cid_offset = offset + (start.len() - rest.len()) as u64;
        if length == 0 {
            return self.zeros(offset);
        }
        let section_end = cid_offset.saturating_add(length);
        if section_end > end {
            return Ok(self.cut_short(offset, format!("a section of {length} bytes")));
        }
        let too_large = Part::Unusable(Defect::TooLarge { offset, length }, section_end);
        if length > (MAX_CID + MAX_BLOCK) as u64 {
            return Ok(too_large);
        }
        let wanted = usize::try_from(length).map_or(MAX_CID, |length| length.min(MAX_CID));
        let bytes = self.peek(cid_offset, wanted)?;
        if bytes.len() < wanted {
            // The file shrank after its size was read.
            return Ok(self.cut_short(cid_offset, "a CID".to_owned()));
        }
        let mut rest = bytes;
        let cid = match SectionCid::read_bytes(&mut rest) {
            Ok(cid) => cid,
            Err(error) => {
                let defect = match rest.is_empty() && wanted < MAX_CID {
                    true => Defect::WrongLength {
                        offset,
                        reason: "it is too small for the CID that starts there",
                    },
                    false => Defect::NoCid {
                        offset,
                        reason: error.to_string(),
                    },
                };
                return Ok(Part::Unusable(defect, section_end));
            }
        };
        let cid_length = (bytes.len() - rest.len()) as u64;
        let data_length = length - cid_length;
        if data_length > MAX_BLOCK as u64 {
            return Ok(too_large);
        }
        Ok(Part::Section(Section {
            cid,
            offset: cid_offset + cid_length,
            // At most MAX_BLOCK, by the check above.
            length: data_length as u32,
        }))
    }

    /// Steps over a run of zeros, each of which is a section without a length. If nothing but zeros follows, it is
    /// padding, as tools that align files write it. Otherwise the file is damaged, and what was here is lost.
    fn zeros(&mut self, start: u64) -> Result<Part, CarError> {
        let mut offset = start;
        while offset < self.end {
            // Little at once, since the window is filled anew for whatever it does not hold whole.
            let bytes = self.peek(offset, Window::<S>::SMALLEST)?;
            let length = bytes.len();
            if length == 0 {
                break;
            }
            if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
                let defect = Defect::WrongLength {
                    offset: start,
                    reason: "it is zero, but more than padding follows",
                };
                return Ok(Part::Unusable(defect, offset + at as u64));
            }
            offset += length as u64;
        }
        Ok(Part::Padding)
    }

    /// The part at `offset` was cut off with the rest of the file.
    fn cut_short(&self, offset: u64, expected: String) -> Part {
        let end = self.end;
        let defect = Defect::CutShort {
            offset,
            expected,
            end,
        };
        Part::Unusable(defect, end)
    }

    fn not_a_car(&self, reason: &str) -> CarError {
        CarError::NotACar {
            path: self.path.into(),
            reason: reason.to_owned(),
        }
    }

    fn unsupported(&self, version: u64) -> CarError {
        CarError::UnsupportedVersion {
            path: self.path.into(),
            version,
        }
    }

    fn truncated(&self, offset: u64, expected: &str) -> CarError {
        CarError::Truncated {
            path: self.path.into(),
            offset,
            expected: expected.to_owned(),
            end: self.end,
        }
    }
}

/// The bytes around the current offset. The window doubles while sections follow each other within it, and shrinks to
/// its smallest size when a block is stepped over: 20,000 blocks of 50 KiB take 20,000 reads of 512 bytes, a million
/// blocks of 100 bytes take 2,000 reads of 64 KiB.
struct Window<'a, S: ?Sized> {
    source: &'a S,
    bytes: Vec<u8>,
    start: u64,
    size: usize,
}

impl<'a, S: ReadAt + ?Sized> Window<'a, S> {
    const SMALLEST: usize = 512;
    const LARGEST: usize = 64 * 1024;

    fn new(source: &'a S) -> Self {
        Self {
            source,
            bytes: Vec::new(),
            start: 0,
            size: Self::SMALLEST,
        }
    }

    /// `wanted` bytes from `offset` on; fewer only at the end of the source.
    fn peek(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let end = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + wanted as u64 > end {
            let follows = (self.start..=end).contains(&offset);
            self.size = if follows {
                (self.size * 2).min(Self::LARGEST)
            } else {
                Self::SMALLEST
            };
            self.fill(offset, wanted.max(self.size))?;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let rest = self.bytes.get(from..).unwrap_or_default();
        Ok(&rest[..wanted.min(rest.len())])
    }

    fn fill(&mut self, offset: u64, size: usize) -> io::Result<()> {
        self.bytes.resize(size, 0);
        self.start = offset;
        let mut filled = 0;
        while filled < size {
            match self
                .source
                .read_at(&mut self.bytes[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
