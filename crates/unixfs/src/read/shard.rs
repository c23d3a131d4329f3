//! HAMT shards: one block of a directory that is spread over many.
//!
//! Owns the arithmetic of slots: an entry's place follows from its name's hash, most significant bits first,
//! `log2(fanout)` bits a level. Knows nothing of the shards above except the slots that led here ([`Prefix`]).
//!
//! Invariant: an entry that a look-up or a listing returns under a prefix hashes to that prefix and its slot. A shard
//! that is linked from two places can therefore be sound in one of them only, and a shard without links is sound
//! nowhere below the root. So a walk visits no more shards than there are blocks, and no name twice.

use bytes::Bytes;

use super::{
    data::Head,
    pbnode::{NamedLink, link_at},
};
use crate::{
    attributes::Mtime,
    link::Link,
    malformed::Malformed,
    murmur3::{HASH_TYPE, hash64},
    segment::segment,
};

/// The largest fanout that other readers accept.
const MAX_FANOUT: u64 = 1024;
const HASH_BITS: u32 = u64::BITS;

/// The path from a directory's root down to a shard: the bits of the hash that its slots have used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The bits so far, in the most significant places; the others are zero.
    bits: u64,
    used: u32,
}

impl Prefix {
    /// The prefix of the root shard.
    pub const ROOT: Self = Self { bits: 0, used: 0 };

    /// Whether this is the prefix of the root shard.
    pub fn is_root(&self) -> bool {
        self.used == 0
    }

    /// The prefix one level down. `width` is at least 3 bits, and at most 64 together with those used.
    fn below(&self, slot: u16, width: u32) -> Self {
        let used = self.used + width;
        Self {
            bits: self.bits | (u64::from(slot) << (HASH_BITS - used)),
            used,
        }
    }

    /// Whether a hash starts with these bits.
    fn leads_to(&self, hash: u64) -> bool {
        // The prefix of the root shifts by all 64 bits, which `checked_shr` refuses.
        (hash ^ self.bits)
            .checked_shr(HASH_BITS - self.used)
            .unwrap_or(0)
            == 0
    }
}

/// A HAMT directory's root, or one shard below it.
#[derive(Clone, Debug)]
pub struct ShardNode {
    block: Bytes,
    /// The number of hash bits that this level uses: log2 of the fanout.
    width: u32,
    /// In ascending order of slots, each slot once.
    children: Box<[Child]>,
    skipped: u32,
    mode: Option<u32>,
    mtime: Option<Mtime>,
    tsizes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Child {
    /// Its name is the part behind the slot's digits, which is empty for a sub-shard.
    link: NamedLink,
    slot: u16,
}

/// The result of a look-up in one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The entry.
    Entry(Link),
    /// No entry yet: if the name exists, it is below this shard.
    Shard {
        /// The shard to search next.
        link: Link,
        /// The prefix of that shard.
        at: Prefix,
    },
    /// Proof that the directory has no such name.
    Absent,
}

/// The content of one slot of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardEntry<'a> {
    /// An entry of the directory.
    Entry {
        /// Its name: a path segment.
        name: &'a str,
        /// The link to its node.
        link: Link,
    },
    /// A shard with more entries.
    Shard {
        /// The slot that it fills.
        slot: u16,
        /// The link to the shard.
        link: Link,
        /// The prefix of that shard.
        at: Prefix,
    },
}

impl ShardNode {
    pub(crate) fn new(
        block: Bytes,
        head: Head,
        links: Vec<NamedLink>,
        tsizes: u64,
    ) -> Result<Self, Malformed> {
        if head.hash_type != Some(HASH_TYPE) {
            return Err(Malformed::new(format!(
                "a HAMT shard with hash type {:?}, not {HASH_TYPE} (murmur3-x64-64)",
                head.hash_type
            )));
        }
        let fanout = head.fanout.unwrap_or(0);
        if !fanout.is_power_of_two() || !fanout.is_multiple_of(8) || fanout > MAX_FANOUT {
            return Err(Malformed::new(format!(
                "a HAMT shard of fanout {fanout}, not a power of two from 8 to {MAX_FANOUT}"
            )));
        }
        let width = fanout.trailing_zeros();
        // The number of digits of the last slot.
        let digits = width.div_ceil(4) as usize;

        let field = Bitfield(&block[head.inline.start as usize..head.inline.end as usize]);
        if field.0.len() as u64 > fanout / 8 {
            return Err(Malformed::new(format!(
                "a bit field of {} bytes in a HAMT shard of fanout {fanout}",
                field.0.len()
            )));
        }
        if field.population() != links.len() {
            return Err(Malformed::new(format!(
                "a HAMT shard of {} links with {} bits set",
                links.len(),
                field.population()
            )));
        }

        let mut children = links
            .into_iter()
            .map(|link| Child::parse(&block, link, digits, &field))
            .collect::<Result<Vec<Child>, Malformed>>()?;
        children.sort_unstable_by_key(|child| child.slot);
        if let Some(pair) = children
            .windows(2)
            .find(|pair| pair[0].slot == pair[1].slot)
        {
            return Err(Malformed::new(format!(
                "a HAMT shard with two links in slot {:X}",
                pair[0].slot
            )));
        }
        let skipped = children
            .iter()
            .filter(|child| child.is_unusable(&block))
            .count();
        Ok(Self {
            width,
            children: children.into_boxed_slice(),
            // At most the fanout.
            skipped: skipped as u32,
            block,
            mode: head.mode,
            mtime: head.mtime,
            tsizes,
        })
    }

    /// Looks up `name` in this shard, whose prefix is `at`. Only the slot of the name's hash is examined.
    ///
    /// # Errors
    /// [`Malformed`]: the shard is deeper than the hash has bits for, or is empty below the root.
    pub fn lookup(&self, name: &str, at: Prefix) -> Result<Found, Malformed> {
        self.check(at)?;
        let hash = hash64(name.as_bytes());
        let slot = self.slot_of(hash, at);
        let Ok(index) = self
            .children
            .binary_search_by_key(&slot, |child| child.slot)
        else {
            return Ok(Found::Absent);
        };
        let child = &self.children[index];
        if child.is_shard() {
            return Ok(Found::Shard {
                link: link_at(&self.block, child.link.at)?,
                at: at.below(slot, self.width),
            });
        }
        if segment(child.link.name(&self.block)) != Some(name) || !at.leads_to(hash) {
            return Ok(Found::Absent);
        }
        link_at(&self.block, child.link.at).map(Found::Entry)
    }

    /// The first entry or sub-shard at or behind `index`, and the index to continue from; `None` behind the last.
    ///
    /// Entries whose name cannot be a path segment are skipped, but only after their hash was checked. Otherwise one
    /// shard of such entries could be linked from everywhere.
    ///
    /// # Errors
    /// [`Malformed`]: for the reasons of [`lookup`](Self::lookup), and where an entry does not hash to its slot under
    /// `at`.
    pub fn next_from(
        &self,
        index: usize,
        at: Prefix,
    ) -> Result<Option<(ShardEntry<'_>, usize)>, Malformed> {
        self.check(at)?;
        for (index, child) in self.children.iter().enumerate().skip(index) {
            let below = at.below(child.slot, self.width);
            if child.is_shard() {
                let entry = ShardEntry::Shard {
                    slot: child.slot,
                    link: link_at(&self.block, child.link.at)?,
                    at: below,
                };
                return Ok(Some((entry, index + 1)));
            }
            let name = child.link.name(&self.block);
            let hash = hash64(name);
            if !below.leads_to(hash) {
                return Err(Malformed::new(format!(
                    "a HAMT entry in slot {:X} whose name hashes to {hash:016x}, which does not start with the \
                     {} bits of its place, {:016x}",
                    child.slot, below.used, below.bits
                )));
            }
            if let Some(name) = segment(name) {
                let link = link_at(&self.block, child.link.at)?;
                return Ok(Some((ShardEntry::Entry { name, link }, index + 1)));
            }
        }
        Ok(None)
    }

    /// Iterates over all entries and sub-shards of this shard, whose prefix is `at`. Ends at the first error.
    pub fn children(&self, at: Prefix) -> ShardChildren<'_> {
        ShardChildren {
            node: self,
            at,
            next: Some(0),
        }
    }

    /// The number of slots of this shard.
    pub fn fanout(&self) -> u32 {
        1 << self.width
    }

    /// The number of entries of this shard whose name cannot be a path segment.
    pub fn skipped(&self) -> u32 {
        self.skipped
    }

    /// The entries of this shard whose name cannot be a path segment, with the name as it is stored.
    pub fn unusable(&self) -> impl Iterator<Item = (&[u8], Link)> {
        let unusable = self
            .children
            .iter()
            .filter(|child| child.is_unusable(&self.block));
        unusable.filter_map(|child| {
            let name = child.link.name(&self.block);
            Some((name, link_at(&self.block, child.link.at).ok()?))
        })
    }

    /// The permission bits (12 of them), where the author stored any.
    pub fn mode(&self) -> Option<u32> {
        self.mode
    }

    /// The time of the last change, where the author stored a valid one.
    pub fn mtime(&self) -> Option<Mtime> {
        self.mtime
    }

    /// Memory that the node holds, in bytes.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.block.len() + size_of_val(&*self.children)
    }

    pub(crate) fn tsizes(&self) -> u64 {
        self.tsizes
    }

    /// Makes the checks that depend on the shard's prefix.
    fn check(&self, at: Prefix) -> Result<(), Malformed> {
        if at.used + self.width > HASH_BITS {
            return Err(Malformed::new(format!(
                "a HAMT shard that takes {} bits of the hash below {} bits; it has {HASH_BITS}",
                self.width, at.used
            )));
        }
        if self.children.is_empty() && !at.is_root() {
            return Err(Malformed::new("an empty HAMT shard below the root"));
        }
        Ok(())
    }

    /// The slot of a hash in this shard under `at`, which has passed [`check`](Self::check).
    fn slot_of(&self, hash: u64, at: Prefix) -> u16 {
        // At most ten bits remain, as `MAX_FANOUT` allows.
        ((hash << at.used) >> (HASH_BITS - self.width)) as u16
    }
}

impl Child {
    /// Splits the slot off a link's name. It splits bytes, not characters: a name may start with a character of several
    /// bytes.
    fn parse(
        block: &Bytes,
        link: NamedLink,
        digits: usize,
        field: &Bitfield<'_>,
    ) -> Result<Self, Malformed> {
        let (prefix, name) = link.name(block).split_at_checked(digits).ok_or_else(|| {
            Malformed::new(format!(
                "a HAMT link's name of {} bytes; the slot alone takes {digits}",
                link.name_len
            ))
        })?;
        let slot = prefix
            .iter()
            .try_fold(0_u16, |slot, digit| {
                let value = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'A'..=b'F' => digit - b'A' + 10,
                    _ => return None,
                };
                // At most three digits.
                Some(slot << 4 | u16::from(value))
            })
            .filter(|slot| field.contains(*slot))
            .ok_or_else(|| {
                Malformed::new(format!(
                    "a HAMT link's name starts with \"{}\", which is not a slot whose bit is set",
                    prefix.escape_ascii()
                ))
            })?;
        Ok(Self {
            slot,
            link: NamedLink {
                // Behind the digits, which the split has found.
                name_at: link.name_at + digits as u32,
                name_len: name.len() as u32,
                at: link.at,
            },
        })
    }

    fn is_shard(&self) -> bool {
        self.link.name_len == 0
    }

    /// Whether it is an entry whose name cannot be a path segment.
    fn is_unusable(&self, block: &Bytes) -> bool {
        !self.is_shard() && segment(self.link.name(block)).is_none()
    }
}

/// The bit field of the filled slots: big-endian, without leading zero bytes.
struct Bitfield<'b>(&'b [u8]);

impl Bitfield<'_> {
    fn population(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    fn contains(&self, slot: u16) -> bool {
        self.0
            .iter()
            .nth_back(usize::from(slot / 8))
            .is_some_and(|byte| byte >> (slot % 8) & 1 == 1)
    }
}

/// The iterator that [`ShardNode::children`] returns.
#[derive(Clone, Debug)]
pub struct ShardChildren<'a> {
    node: &'a ShardNode,
    at: Prefix,
    /// `None` after the last child or an error.
    next: Option<usize>,
}

impl<'a> Iterator for ShardChildren<'a> {
    type Item = Result<ShardEntry<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.node.next_from(self.next?, self.at) {
            Ok(Some((entry, next))) => {
                self.next = Some(next);
                Some(Ok(entry))
            }
            Ok(None) => {
                self.next = None;
                None
            }
            Err(malformed) => {
                self.next = None;
                Some(Err(malformed))
            }
        }
    }
}
