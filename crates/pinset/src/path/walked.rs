//! A cache of paths that were walked before, and of the places that they led to. It serves opens as the name cache of a
//! native file system does.
//!
//! Content does not change, and neither do a session's access and names. A path always leads to the same place, so the
//! cache is never stale. Only successes are kept, and only places: each open checks anew whether the content is
//! available. A walk that this cache answers does not count as a use of the directories on the way, as far as
//! replacement is concerned.
//!
//! A path is kept when it is walked for the second time in a row in its slot. So a program that opens a million files
//! once each only pays for a comparison per open.

use std::{hash::BuildHasher, sync::Arc};

use crate::{
    block::KeyHash,
    path::{
        ipfs_path::{Symlinks, Within},
        place::Place,
    },
    sync::{Mutex, lock},
};

/// The number of slots. A path's hash determines its slot, and a slot holds only its last path.
const SLOTS: usize = 128;

/// The length of the longest path that is kept, in bytes. Longer paths are walked each time, and so are paths from or
/// to a place whose path below its root is longer. This bounds the memory to 128 slots of at most 1.5 KiB, with the
/// places that they keep alive.
const LONGEST: usize = 256;

#[derive(Default)]
pub(crate) struct Walked {
    hasher: KeyHash,
    /// Empty until the first walk.
    slots: Mutex<Vec<Slot>>,
}

#[derive(Default)]
struct Slot {
    /// The hash of the path that was walked last.
    hash: u64,
    kept: Option<Box<Kept>>,
}

struct Kept {
    base: Place,
    last: Symlinks,
    within: Within,
    path: Box<str>,
    led_to: Place,
}

/// The result of looking up a path.
pub(crate) enum Known<'a> {
    /// The path leads to this place.
    LedTo(Place),
    /// The path is not kept yet, and should be after this walk.
    Again(Way<'a>),
    /// The path is not kept.
    New,
}

/// A path, with the base of its walk and the treatment of a symlink at its end.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    hash: u64,
    base: &'a Place,
    path: &'a str,
    last: Symlinks,
    within: Within,
}

impl Walked {
    pub(crate) fn look<'a>(
        &self,
        base: &'a Place,
        path: &'a str,
        last: Symlinks,
        within: Within,
    ) -> Known<'a> {
        if path.len() > LONGEST {
            return Known::New;
        }
        let hash = self.hasher.hash_one(path);
        let mut slots = lock(&self.slots);
        if slots.is_empty() {
            slots.resize_with(SLOTS, Slot::default);
        }
        let slot = &mut slots[hash as usize % SLOTS];
        let way = Way {
            hash,
            base,
            path,
            last,
            within,
        };
        if slot.hash != hash {
            *slot = Slot { hash, kept: None };
            return Known::New;
        }
        match &slot.kept {
            Some(kept) if kept.is_of(way) => Known::LedTo(kept.led_to.clone()),
            _ => Known::Again(way),
        }
    }

    /// Keeps the place that `way` led to.
    pub(crate) fn keep(&self, way: Way<'_>, led_to: &Place) {
        let Way {
            hash,
            base,
            path,
            last,
            within,
        } = way;
        if is_deep(base) || is_deep(led_to) {
            return;
        }
        let kept = Box::new(Kept {
            base: base.clone(),
            last,
            within,
            path: path.into(),
            led_to: led_to.clone(),
        });
        let mut slots = lock(&self.slots);
        let slot = &mut slots[hash as usize % SLOTS];
        // Another path may have taken the slot in the meantime.
        if slot.hash == hash {
            slot.kept = Some(kept);
        }
    }
}

fn is_deep(place: &Place) -> bool {
    matches!(place, Place::Link(linked) if linked.origin.path.len() > LONGEST)
}

impl Kept {
    fn is_of(&self, way: Way<'_>) -> bool {
        let same_base = match (&self.base, way.base) {
            (Place::Ipfs, Place::Ipfs) | (Place::Ipns, Place::Ipns) => true,
            // A kept place is not freed, so the same address means the same place.
            (Place::Link(one), Place::Link(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        same_base && (self.last, self.within) == (way.last, way.within) && *self.path == *way.path
    }
}

#[cfg(test)]
mod tests {
    use cid::Cid;

    use super::*;
    use crate::unixfs::{Link, Target};

    fn link() -> Link {
        let target = Target::Block(Cid::default());
        Link {
            target,
            tsize: None,
        }
    }

    fn root() -> Place {
        Place::of_root(&Cid::default().into())
    }

    fn leads_to(walked: &Walked, base: &Place, path: &str, last: Symlinks) -> Option<Place> {
        match walked.look(base, path, last, Within::Base) {
            Known::LedTo(place) => Some(place),
            Known::Again(_) | Known::New => None,
        }
    }

    fn walk(walked: &Walked, base: &Place, path: &str) {
        if let Known::Again(way) = walked.look(base, path, Symlinks::Follow, Within::Base) {
            walked.keep(way, &root());
        }
    }

    #[test]
    fn kept_the_second_time() {
        let walked = Walked::default();
        let known = |path| leads_to(&walked, &Place::Ipfs, path, Symlinks::Follow).is_some();
        walk(&walked, &Place::Ipfs, "a");
        walk(&walked, &Place::Ipfs, "a");
        assert!(known("a"));
        assert!(!known("b"));
        let long = "x".repeat(LONGEST + 1);
        walk(&walked, &Place::Ipfs, &long);
        walk(&walked, &Place::Ipfs, &long);
        assert!(!known(&long));
    }

    #[test]
    fn another_base_or_another_end_is_another_path() {
        let walked = Walked::default();
        let (one, other) = (root(), root());
        walk(&walked, &one, "a");
        walk(&walked, &one, "a");
        let known = |base, last| leads_to(&walked, base, "a", last).is_some();
        assert!(known(&one, Symlinks::Follow));
        assert!(!known(&one, Symlinks::NoFollow));
        assert!(!known(&other, Symlinks::Follow));
        assert!(!known(&Place::Ipfs, Symlinks::Follow));
        assert!(!known(&Place::Ipns, Symlinks::Follow));
        let below = walked.look(&one, "a", Symlinks::Follow, Within::Root);
        assert!(!matches!(below, Known::LedTo(_)));
    }

    #[test]
    fn what_lies_deep_is_walked_each_time() {
        let walked = Walked::default();
        let known = |base| leads_to(&walked, base, "a", Symlinks::Follow).is_some();
        // A guest gets there by short paths, one directory after the other, or by a symlink.
        let Place::Link(top) = root() else {
            unreachable!("a root has a link");
        };
        let deep = Place::below(&top, &"x".repeat(LONGEST + 1), link());
        for _ in 0..3 {
            walk(&walked, &deep, "a");
            if let Known::Again(way) =
                walked.look(&Place::Ipfs, "a", Symlinks::Follow, Within::Base)
            {
                walked.keep(way, &deep);
            }
        }
        assert!(!known(&deep) && !known(&Place::Ipfs));
    }

    #[test]
    fn no_more_than_its_slots() {
        let walked = Walked::default();
        for path in 0..10 * SLOTS {
            walk(&walked, &Place::Ipfs, &path.to_string());
            walk(&walked, &Place::Ipfs, &path.to_string());
        }
        let slots = lock(&walked.slots);
        let kept = slots.iter().filter(|slot| slot.kept.is_some()).count();
        assert_eq!((slots.len(), kept), (SLOTS, SLOTS));
    }
}
