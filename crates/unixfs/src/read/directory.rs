//! Plain directories and symlinks: nodes that fit in one block.
//!
//! Decides which of a directory's links can be reached by name. Does not know what they point at. Invariant: an
//! entry's name is a path segment and occurs once, so a look-up and a listing agree.

use bytes::Bytes;

use super::{
    data::Head,
    pbnode::{NamedLink, link_at},
};
use crate::{attributes::Mtime, link::Link, malformed::Malformed, segment::segment};

/// A directory in one block.
#[derive(Clone, Debug)]
pub struct DirNode {
    block: Bytes,
    /// The links that have a usable name, in the order of the block.
    entries: Box<[NamedLink]>,
    /// The entries' indices, sorted by name; `None` if the entries are sorted already, as most writers leave them.
    by_name: Option<Box<[u32]>>,
    /// The links whose name cannot be a path segment.
    unusable: Box<[NamedLink]>,
    skipped: u32,
    mode: Option<u32>,
    mtime: Option<Mtime>,
    tsizes: u64,
}

impl DirNode {
    pub(crate) fn new(block: Bytes, head: Head, links: Vec<NamedLink>, tsizes: u64) -> Self {
        let all = links.len();
        let (mut entries, unusable): (Vec<_>, Vec<_>) = links
            .into_iter()
            .partition(|link| segment(link.name(&block)).is_some());
        let by_name = if entries.is_sorted_by(|a, b| a.name(&block) < b.name(&block)) {
            None
        } else {
            Some(drop_duplicates(&block, &mut entries))
        };
        Self {
            // There are fewer links than bytes in the block, and its length fits 32 bits.
            skipped: u32::try_from(all - entries.len()).unwrap_or(u32::MAX),
            entries: entries.into_boxed_slice(),
            unusable: unusable.into_boxed_slice(),
            by_name,
            block,
            mode: head.mode,
            mtime: head.mtime,
            tsizes,
        }
    }

    /// Looks up the link with this name, by binary search.
    ///
    /// # Errors
    /// None in practice: [`decode`](crate::decode) has checked the link.
    pub fn lookup(&self, name: &str) -> Result<Option<Link>, Malformed> {
        let by = |entry: &NamedLink| entry.name(&self.block).cmp(name.as_bytes());
        let found = match &self.by_name {
            None => self.entries.binary_search_by(by).ok(),
            Some(order) => order
                .binary_search_by(|index| by(&self.entries[*index as usize]))
                .ok()
                .map(|rank| order[rank] as usize),
        };
        found
            .map(|index| link_at(&self.block, self.entries[index].at))
            .transpose()
    }

    /// The number of entries, without those that were skipped.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// The entry at `index`, in the order of the block; `None` behind the last.
    ///
    /// # Errors
    /// None in practice: [`decode`](crate::decode) has checked the link.
    pub fn entry(&self, index: usize) -> Result<Option<(&str, Link)>, Malformed> {
        let Some((name, at)) = self
            .entries
            .get(index)
            .and_then(|entry| Some((segment(entry.name(&self.block))?, entry.at)))
        else {
            return Ok(None);
        };
        Ok(Some((name, link_at(&self.block, at)?)))
    }

    /// The number of links that are not entries: their name cannot be a path segment, or an earlier link has the same
    /// name.
    pub fn skipped(&self) -> u32 {
        self.skipped
    }

    /// The links that are not entries since their name cannot be a path segment, with the name as it is stored.
    pub fn unusable(&self) -> impl Iterator<Item = (&[u8], Link)> {
        let links = self.unusable.iter();
        links.filter_map(|link| Some((link.name(&self.block), link_at(&self.block, link.at).ok()?)))
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
        size_of::<Self>()
            + self.block.len()
            + size_of_val(&*self.entries)
            + size_of_val(&*self.unusable)
            + self
                .by_name
                .as_ref()
                .map_or(0, |order| size_of_val(&**order))
    }

    pub(crate) fn tsizes(&self) -> u64 {
        self.tsizes
    }
}

/// Drops each entry whose name an earlier one has, and returns the order by name of those that stay.
fn drop_duplicates(block: &Bytes, entries: &mut Vec<NamedLink>) -> Box<[u32]> {
    let name_of = |entries: &[NamedLink], index: u32| entries[index as usize].name(block);
    let mut order: Vec<u32> = (0..).take(entries.len()).collect();
    // The sort is stable: among equal names the earliest link stays first, and that one is kept.
    order.sort_by(|a, b| name_of(entries, *a).cmp(name_of(entries, *b)));
    order.dedup_by(|later, first| name_of(entries, *later) == name_of(entries, *first));
    if order.len() == entries.len() {
        return order.into_boxed_slice();
    }

    // The new index of each kept entry, once the dropped ones between are removed.
    let mut moved: Vec<Option<u32>> = vec![None; entries.len()];
    for index in &order {
        moved[*index as usize] = Some(0);
    }
    for (place, kept) in moved.iter_mut().flatten().zip(0..) {
        *place = kept;
    }
    let mut places = moved.iter();
    entries.retain(|_| places.next().is_some_and(Option::is_some));
    order
        .iter()
        .filter_map(|index| moved[*index as usize])
        .collect()
}

/// A symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymlinkNode {
    target: String,
    mode: Option<u32>,
    mtime: Option<Mtime>,
}

impl SymlinkNode {
    pub(crate) fn new(block: &Bytes, head: &Head, links: usize) -> Result<Self, Malformed> {
        if links != 0 {
            return Err(Malformed::new(format!("a symlink with {links} links")));
        }
        let target = &block[head.inline.start as usize..head.inline.end as usize];
        let target = std::str::from_utf8(target).map_err(|error| {
            Malformed::new(format!(
                "a symlink's target of {} bytes is not UTF-8: {error}",
                target.len()
            ))
        })?;
        Ok(Self {
            target: target.to_owned(),
            mode: head.mode,
            mtime: head.mtime,
        })
    }

    /// The target as it was stored: any UTF-8, even empty, absolute or with NULs. The code that follows it judges.
    pub fn target(&self) -> &str {
        &self.target
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
        size_of::<Self>() + self.target.capacity()
    }
}
