//! Doubly linked chains in one slab: each node has an item and a weight, and is in exactly one chain, which runs from
//! cold to hot.
//!
//! Invariant: a chain's `bytes` and `len` are the sum and the number of its nodes, and the slab has no gaps. A removed
//! node's place is taken by the last one, so the slab shrinks with its content. It grows by segments, and never copies
//! more than one of them.

/// The number of nodes in a segment.
const SEGMENT: usize = 512;

/// The link that leads to no node.
const NONE: u32 = u32::MAX;

/// An end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The least recently used node.
    Cold,
    /// The most recently used node.
    Hot,
}

/// The place of a node. It stays valid until any node is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub(crate) u32);

#[derive(Clone)]
pub(super) struct Node<T> {
    pub(super) item: T,
    pub(super) weight: u64,
    /// The neighbour towards the cold end.
    colder: u32,
    /// The neighbour towards the hot end.
    hotter: u32,
    pub(super) chain: u8,
}

#[derive(Clone, Copy)]
struct Chain {
    cold: u32,
    hot: u32,
    len: u32,
    bytes: u64,
}

const EMPTY: Chain = Chain {
    cold: NONE,
    hot: NONE,
    len: 0,
    bytes: 0,
};

/// `N` chains.
#[derive(Clone)]
pub(super) struct Chains<T, const N: usize> {
    segments: Vec<Vec<Node<T>>>,
    len: usize,
    chains: [Chain; N],
}

impl<T, const N: usize> Chains<T, N> {
    pub(super) fn new() -> Self {
        Self {
            segments: Vec::new(),
            len: 0,
            chains: [EMPTY; N],
        }
    }

    /// The number of nodes in all chains.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn chain_len(&self, chain: usize) -> usize {
        self.chains[chain].len as usize
    }

    pub(super) fn chain_bytes(&self, chain: usize) -> u64 {
        self.chains[chain].bytes
    }

    pub(super) fn node(&self, Slot(at): Slot) -> &Node<T> {
        &self.segments[at as usize / SEGMENT][at as usize % SEGMENT]
    }

    pub(super) fn node_mut(&mut self, Slot(at): Slot) -> &mut Node<T> {
        &mut self.segments[at as usize / SEGMENT][at as usize % SEGMENT]
    }

    pub(super) fn coldest(&self, chain: usize) -> Option<Slot> {
        slot(self.chains[chain].cold)
    }

    /// The nodes of a chain, from cold to hot.
    pub(super) fn iter(&self, chain: usize) -> impl Iterator<Item = &Node<T>> {
        let mut at = self.coldest(chain);
        std::iter::from_fn(move || {
            let node = self.node(at?);
            at = slot(node.hotter);
            Some(node)
        })
    }

    /// Returns whether no node can be added until one is removed.
    pub(super) fn is_full(&self) -> bool {
        self.len >= NONE as usize
    }

    /// Adds a node, at an end of a chain. The slab must not be [full](Self::is_full).
    pub(super) fn add(&mut self, item: T, weight: u64, chain: usize, end: End) -> Slot {
        debug_assert!(!self.is_full());
        let at = self.len;
        if self.segments.len() == at / SEGMENT {
            self.segments.push(Vec::new());
        }
        self.segments[at / SEGMENT].push(Node {
            item,
            weight,
            colder: NONE,
            hotter: NONE,
            chain: chain as u8,
        });
        self.len += 1;
        self.link(Slot(at as u32), chain, end);
        Slot(at as u32)
    }

    /// Removes a node. If another one has taken its place, also returns the place that this one had before.
    pub(super) fn remove(&mut self, at: Slot) -> Option<(Node<T>, Option<Slot>)> {
        self.unlink(at);
        let last = Slot((self.len - 1) as u32);
        let segment = last.0 as usize / SEGMENT;
        let node = self.segments[segment].pop()?;
        self.len -= 1;
        // The segment itself stays, even if it is empty now.
        self.segments.truncate(segment + 1);
        if last == at {
            return Some((node, None));
        }
        let (colder, hotter, chain) = (node.colder, node.hotter, usize::from(node.chain));
        let removed = std::mem::replace(self.node_mut(at), node);
        match slot(colder) {
            None => self.chains[chain].cold = at.0,
            Some(colder) => self.node_mut(colder).hotter = at.0,
        }
        match slot(hotter) {
            None => self.chains[chain].hot = at.0,
            Some(hotter) => self.node_mut(hotter).colder = at.0,
        }
        Some((removed, Some(last)))
    }

    /// Moves a node to an end of a chain, which may be the chain it is in.
    pub(super) fn relink(&mut self, at: Slot, chain: usize, end: End) {
        self.unlink(at);
        self.link(at, chain, end);
    }

    fn unlink(&mut self, at: Slot) {
        let &Node {
            colder,
            hotter,
            chain,
            weight,
            ..
        } = self.node(at);
        let chain = usize::from(chain);
        self.chains[chain].len -= 1;
        self.chains[chain].bytes -= weight;
        match slot(colder) {
            None => self.chains[chain].cold = hotter,
            Some(colder) => self.node_mut(colder).hotter = hotter,
        }
        match slot(hotter) {
            None => self.chains[chain].hot = colder,
            Some(hotter) => self.node_mut(hotter).colder = colder,
        }
    }

    fn link(&mut self, at: Slot, chain: usize, end: End) {
        let ends = &mut self.chains[chain];
        let (colder, hotter) = match end {
            End::Cold => (NONE, std::mem::replace(&mut ends.cold, at.0)),
            End::Hot => (std::mem::replace(&mut ends.hot, at.0), NONE),
        };
        match slot(colder) {
            None => self.chains[chain].cold = at.0,
            Some(colder) => self.node_mut(colder).hotter = at.0,
        }
        match slot(hotter) {
            None => self.chains[chain].hot = at.0,
            Some(hotter) => self.node_mut(hotter).colder = at.0,
        }
        let node = self.node_mut(at);
        node.colder = colder;
        node.hotter = hotter;
        node.chain = chain as u8;
        let weight = node.weight;
        self.chains[chain].len += 1;
        self.chains[chain].bytes += weight;
    }
}

fn slot(at: u32) -> Option<Slot> {
    (at != NONE).then_some(Slot(at))
}

#[cfg(test)]
impl<T, const N: usize> Chains<T, N> {
    /// The memory that the slab has allocated, in bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        let nodes: usize = self.segments.iter().map(Vec::capacity).sum();
        nodes * size_of::<Node<T>>() + self.segments.capacity() * size_of::<Vec<Node<T>>>()
    }
}
