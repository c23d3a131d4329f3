//! The dag-pb envelope: a block as a run of links and one piece of data.
//!
//! Owns the strict form of a dag-pb node: only known fields, each once, links together, a link's fields in order.
//! Knows nothing of UnixFS. Sections and links are walked in place instead of being decoded into messages: as messages,
//! a 2 MiB block of tiny links would take a hundred megabytes (I9), and a node of a thousand links ten times as long.
//! Names stay bytes, so that a name that is not UTF-8 makes one link unusable, not the node.
//!
//! Invariant: every position that this module returns lies inside the block, and [`link_at`] succeeds on it.

use std::ops::Range;

use bytes::Bytes;
use prost::Message;

use crate::{
    link::{Codec, Link, Target, check_cid, target_in},
    malformed::Malformed,
    message::{DATA_KEY, LINK_KEY, PbLinkTail},
};

/// The key of `PBLink.Hash`: field 1, length-delimited.
const HASH_KEY: u8 = 0x0a;
/// The key of `PBLink.Name`: field 2, length-delimited.
const NAME_KEY: u8 = 0x12;

/// The fields of one link, as spans in the block.
struct Fields {
    cid: Range<usize>,
    /// `0..0` if the link has no name.
    name: Range<usize>,
    tsize: Option<u64>,
}

/// One link, as positions in its block. It takes 12 bytes, where a parsed link takes more than a hundred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedLink {
    /// Where the link's length prefix starts; the argument of [`link_at`].
    pub(crate) at: u32,
    /// Where its name starts.
    pub(crate) name_at: u32,
    /// The name's length in bytes.
    pub(crate) name_len: u32,
}

impl NamedLink {
    /// The name, as it stands in the block.
    pub(crate) fn name<'b>(&self, block: &'b Bytes) -> &'b [u8] {
        &block[self.name_at as usize..][..self.name_len as usize]
    }
}

/// A section of the envelope.
#[derive(Debug)]
pub(crate) enum Section {
    Link(WalkedLink),
    /// The span of the node's data in the block.
    Data(Range<usize>),
}

/// A link that the walk has met.
#[derive(Debug)]
pub(crate) struct WalkedLink {
    pub(crate) named: NamedLink,
    pub(crate) tsize: Option<u64>,
}

/// The walk over a block's sections, in the order of the block. It ends at the first error.
#[derive(Debug)]
pub(crate) struct Sections<'b> {
    block: &'b Bytes,
    at: usize,
    met: Met,
}

/// The sections that the walk has met so far. Links may stand before or behind the data, but not on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Met {
    #[default]
    Nothing,
    Links,
    Data,
    DataThenLinks,
    LinksThenData,
}

impl<'b> Sections<'b> {
    pub(crate) fn new(block: &'b Bytes) -> Result<Self, Malformed> {
        // Positions are kept in 32 bits.
        if u32::try_from(block.len()).is_err() {
            return Err(Malformed::new(format!("a block of {} bytes", block.len())));
        }
        Ok(Self {
            block,
            at: 0,
            met: Met::Nothing,
        })
    }

    fn section(&mut self) -> Result<Section, Malformed> {
        let key_at = self.at;
        let key = self.block[key_at];
        self.met = match (key, self.met) {
            (LINK_KEY, Met::Nothing | Met::Links) => Met::Links,
            (LINK_KEY, Met::Data | Met::DataThenLinks) => Met::DataThenLinks,
            (DATA_KEY, Met::Nothing) => Met::Data,
            (DATA_KEY, Met::Links) => Met::LinksThenData,
            (LINK_KEY, Met::LinksThenData) => {
                return Err(Malformed::new(format!(
                    "links on both sides of the data, at byte {key_at}"
                )));
            }
            (DATA_KEY, _) => {
                return Err(Malformed::new(format!(
                    "a second data field, at byte {key_at}"
                )));
            }
            (other, _) => {
                return Err(Malformed::new(format!(
                    "key 0x{other:02x} at byte {key_at} is not a field of a dag-pb node"
                )));
            }
        };
        let body = delimited(self.block, key_at + 1, self.block.len())?;
        self.at = body.end;
        if key == DATA_KEY {
            return Ok(Section::Data(body));
        }
        let fields = Fields::parse(self.block, body)?;
        check_cid(self.block, fields.cid)?;
        Ok(Section::Link(WalkedLink {
            named: NamedLink {
                at: position(key_at + 1)?,
                name_at: position(fields.name.start)?,
                name_len: position(fields.name.len())?,
            },
            tsize: fields.tsize,
        }))
    }
}

impl Fields {
    /// Parses the fields in their order only, since strict readers refuse unknown, repeated and misplaced fields.
    fn parse(block: &Bytes, body: Range<usize>) -> Result<Self, Malformed> {
        let at = body.start;
        if block[body.clone()].first() != Some(&HASH_KEY) {
            return Err(Malformed::new(format!(
                "the link at byte {at} does not start with a CID"
            )));
        }
        let cid = delimited(block, at + 1, body.end)?;
        let name = if block[cid.end..body.end].first() == Some(&NAME_KEY) {
            delimited(block, cid.end + 1, body.end)?
        } else {
            0..0
        };
        let tail = &block[cid.end.max(name.end)..body.end];
        let PbLinkTail { tsize } = PbLinkTail::decode(tail).map_err(|error| {
            Malformed::new(format!("the link at byte {at} does not decode: {error}"))
        })?;
        // An unknown or repeated field makes the tail longer than its canonical encoding.
        if (PbLinkTail { tsize }).encoded_len() != tail.len() {
            return Err(Malformed::new(format!(
                "the link at byte {at} has unknown, repeated or misplaced fields"
            )));
        }
        Ok(Self { cid, name, tsize })
    }
}

impl Iterator for Sections<'_> {
    type Item = Result<Section, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.block.len() {
            return None;
        }
        let section = self.section();
        if section.is_err() {
            self.at = self.block.len();
        }
        Some(section)
    }
}

/// The links of a block, for walks over a whole DAG. The block may be any dag-pb node, UnixFS or not; the links come in
/// the order of the block, and each as often as it occurs. A raw block has none.
///
/// # Errors
/// [`Malformed`] at once for other codecs, and as the last item of the iteration if the block turns out not to be a
/// dag-pb node.
pub fn links(codec: Codec, block: &Bytes) -> Result<Links<'_>, Malformed> {
    let sections = match codec {
        Codec::Raw => None,
        Codec::DagPb => Some(Sections::new(block)?),
        Codec::Other(code) => {
            return Err(Malformed::new(format!(
                "codec 0x{code:x} is neither raw (0x55) nor dag-pb (0x70): its links are unknown"
            )));
        }
    };
    Ok(Links { sections })
}

/// The iterator that [`links`] returns.
#[derive(Debug)]
pub struct Links<'b> {
    sections: Option<Sections<'b>>,
}

/// A position between two links of a block. The default is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkPosition {
    at: usize,
    met: Met,
}

impl Links<'_> {
    /// The position behind the last link that the iterator returned.
    pub fn position(&self) -> LinkPosition {
        let sections = self.sections.as_ref();
        sections.map_or_else(LinkPosition::default, |sections| LinkPosition {
            at: sections.at,
            met: sections.met,
        })
    }

    /// Goes on at a [`position`](Self::position) in the same block. Nothing before it is parsed again.
    pub fn resumed_at(mut self, position: LinkPosition) -> Self {
        if let Some(sections) = &mut self.sections {
            sections.at = position.at;
            sections.met = position.met;
        }
        self
    }
}

impl Iterator for Links<'_> {
    type Item = Result<Link, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let sections = self.sections.as_mut()?;
        let block = sections.block;
        sections.find_map(|section| match section {
            Ok(Section::Link(link)) => Some(link_at(block, link.named.at)),
            Ok(Section::Data(_)) => None,
            Err(malformed) => Some(Err(malformed)),
        })
    }
}

/// The span of the node's data. The links before it are skipped.
pub(crate) fn data_in(block: &Bytes) -> Result<Range<usize>, Malformed> {
    let mut at = 0;
    while let Some(key) = block.get(at) {
        let body = delimited(block, at + 1, block.len())?;
        match *key {
            DATA_KEY => return Ok(body),
            LINK_KEY => at = body.end,
            other => {
                return Err(Malformed::new(format!(
                    "key 0x{other:02x} at byte {at} is not a field of a dag-pb node"
                )));
            }
        }
    }
    Err(Malformed::new("a dag-pb block without UnixFS data"))
}

/// Parses the link whose length prefix starts at `at`. Succeeds on every position from a walk over this block.
pub(crate) fn link_at(block: &Bytes, at: u32) -> Result<Link, Malformed> {
    let body = delimited(block, at as usize, block.len())?;
    let fields = Fields::parse(block, body)?;
    Ok(Link {
        target: target_in(block, fields.cid)?,
        tsize: fields.tsize,
    })
}

/// Like [`link_at`], but parses the target only. Every read follows a link.
pub(crate) fn target_at(block: &Bytes, at: u32) -> Result<Target, Malformed> {
    let body = delimited(block, at as usize, block.len())?;
    // The walk has checked that the key of the CID comes first.
    target_in(block, delimited(block, body.start + 1, body.end)?)
}

/// The span of the field whose length prefix starts at `at`, and which has to end by `end`.
fn delimited(block: &Bytes, at: usize, end: usize) -> Result<Range<usize>, Malformed> {
    let mut rest = block.get(at..end).unwrap_or_default();
    if let Some((len @ 0..0x80, body)) = rest.split_first()
        && usize::from(*len) <= body.len()
    {
        // Nearly all fields are this short.
        return Ok(at + 1..at + 1 + usize::from(*len));
    }
    let len = prost::decode_length_delimiter(&mut rest)
        .map_err(|error| Malformed::new(format!("no length at byte {at}: {error}")))?;
    if len > rest.len() {
        return Err(Malformed::new(format!(
            "a field of {len} bytes at byte {at}, with {} bytes left for it",
            rest.len()
        )));
    }
    let start = end - rest.len();
    Ok(start..start + len)
}

fn position(at: usize) -> Result<u32, Malformed> {
    u32::try_from(at).map_err(|_| Malformed::new(format!("position {at} in a block")))
}
