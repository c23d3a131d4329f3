//! Tests of the order of a prefetch, over blocks in memory.

use std::collections::{HashMap, VecDeque};

use super::*;

/// Blocks by their CIDs, which are numbered and not hashes.
#[derive(Default)]
struct Dag {
    blocks: HashMap<Cid, Bytes>,
    links: usize,
}

/// One link of a block under construction.
enum To {
    Block(Cid),
    Inline(u64, Vec<u8>),
}

impl Dag {
    /// Adds a dag-pb block with these links and `padding` bytes of data.
    fn add(&mut self, links: impl IntoIterator<Item = To>, padding: usize) -> Cid {
        let (bytes, len) = node(links, padding);
        self.links += len;
        let number = self.blocks.len() as u64;
        let cid = Cid::new_v1(0x70, digest(number));
        self.blocks.insert(cid, bytes);
        cid
    }
}

fn digest(number: u64) -> Key {
    let mut digest = [0x5a; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    Key::wrap(0x12, &digest).unwrap()
}

/// Encodes a dag-pb node. Returns the number of its links too.
fn node(links: impl IntoIterator<Item = To>, padding: usize) -> (Bytes, usize) {
    fn field(into: &mut Vec<u8>, key: u8, body: &[u8]) {
        into.push(key);
        let mut len = body.len();
        while len >= 0x80 {
            into.push(len as u8 | 0x80);
            len >>= 7;
        }
        into.push(len as u8);
        into.extend_from_slice(body);
    }
    let (mut bytes, mut count) = (Vec::new(), 0);
    for link in links {
        let cid = match link {
            To::Block(cid) => cid.to_bytes(),
            To::Inline(codec, content) => {
                let hash = cid::multihash::Multihash::<128>::wrap(0, &content).unwrap();
                cid::CidGeneric::new_v1(codec, hash).to_bytes()
            }
        };
        let mut link = Vec::new();
        field(&mut link, 0x0a, &cid);
        field(&mut bytes, 0x12, &link);
        count += 1;
    }
    field(&mut bytes, 0x0a, &vec![7; padding]);
    (bytes.into(), count)
}

/// The result of going over a DAG.
#[derive(Debug, Default)]
struct Run {
    visits: usize,
    again: usize,
    again_bytes: usize,
    parsed: usize,
    most_levels: usize,
    most_kept: usize,
    most_found: usize,
}

/// Goes over a DAG as a prefetch does, with blocks that arrive in order.
fn go_over(dag: &Dag, root: Cid) -> Run {
    let mut run = Run::default();
    let mut todo = Todo::new(&Target::Block(root)).unwrap();
    let mut under_way = VecDeque::new();
    loop {
        while under_way.len() < SIDE_BY_SIDE {
            let mut turn = usize::MAX;
            let next = todo.next(&mut turn).unwrap();
            run.parsed += usize::MAX - turn;
            let Next::Visit(visit) = next else {
                break;
            };
            under_way.push_back(visit);
        }
        let Some(visit) = under_way.pop_front() else {
            return run;
        };
        // A leaf of a DAG need not exist.
        let bytes = dag.blocks.get(&visit.cid).cloned();
        run.visits += 1;
        if visit.again.is_some() {
            run.again += 1;
            run.again_bytes += bytes.as_ref().map_or(0, Bytes::len);
        }
        todo.arrived(Loaded {
            visit,
            len: 1,
            bytes,
        });
        let kept = todo.levels.iter().filter_map(|level| level.bytes.as_ref());
        run.most_kept = run.most_kept.max(kept.map(Bytes::len).sum());
        run.most_levels = run.most_levels.max(todo.levels.len());
        run.most_found = run.most_found.max(todo.found.len());
    }
}

fn raw(number: usize) -> To {
    To::Block(Cid::new_v1(0x55, digest(1 << 40 | number as u64)))
}

#[test]
fn each_link_is_parsed_once_however_wide_and_deep_the_dag() {
    // Each block has its child first and then a thousand links that lead nowhere, or a child in the middle.
    for before in [0, 500] {
        let mut dag = Dag::default();
        let mut below = None;
        for _ in 0..600 {
            let inline = || To::Inline(0x55, b"content".to_vec());
            let links = std::iter::repeat_with(inline).take(before);
            let links = links.chain(below.map(To::Block));
            below = Some(dag.add(links.chain(std::iter::repeat_with(inline).take(1_000)), 0));
        }
        let run = go_over(&dag, below.unwrap());
        assert_eq!(run.parsed, dag.links, "{run:?}");
        assert!(run.visits - run.again == 600 && run.again <= 600, "{run:?}");
    }
}

#[test]
fn what_is_kept_is_bounded_and_little_is_loaded_again() {
    let mut dag = Dag::default();
    let mut below = None;
    const BLOCK: usize = 1 << 20;
    for level in 0..100 {
        let links = below.map(To::Block).into_iter().chain([raw(level)]);
        below = Some(dag.add(links, BLOCK));
    }
    let run = go_over(&dag, below.unwrap());
    assert_eq!(run.parsed, dag.links);
    assert!(run.most_kept <= KEPT_BYTES + BLOCK, "{run:?}");
    assert!(run.again_bytes <= 101 * BLOCK, "{run:?}");

    // A directory of 100,000 entries in one block is loaded once, and nothing waits but its position.
    let mut dag = Dag::default();
    let wide = dag.add((0..100_000).map(raw), 0);
    let run = go_over(&dag, wide);
    assert_eq!((run.visits, run.again), (100_001, 0));
    assert!(run.most_levels <= 1 && run.most_found <= 1, "{run:?}");
}

#[test]
fn a_tree_takes_one_level_for_each_block_on_the_way() {
    let mut dag = Dag::default();
    let mut number = 0;
    let shards: Vec<_> = (0..64)
        .map(|_| {
            let below: Vec<_> = (0..64)
                .map(|_| {
                    number += 2;
                    To::Block(dag.add([raw(number), raw(number + 1)], 0))
                })
                .collect();
            dag.add(below, 0)
        })
        .collect();
    let root = dag.add(shards.into_iter().map(To::Block), 0);
    let run = go_over(&dag, root);
    assert_eq!(run.visits, 1 + 64 + 64 * 64 * 3);
    assert_eq!((run.again, run.parsed), (0, dag.links));
    assert!(run.most_levels <= 3 * SIDE_BY_SIDE, "{run:?}");
}

#[test]
fn content_in_a_cid_is_followed_and_not_visited() {
    let mut dag = Dag::default();
    let (first, second) = (dag.add([raw(1)], 0), dag.add([raw(2)], 0));
    let (inner, _) = node([To::Block(second), To::Inline(0x55, vec![1; 20])], 0);
    let (outer, _) = node([To::Inline(0x70, inner.to_vec()), raw(3)], 0);
    let repeated = std::iter::repeat_with(|| To::Inline(0x70, outer.to_vec())).take(50_000);
    let root = dag.add(repeated.chain([To::Block(first)]), 0);
    let run = go_over(&dag, root);
    assert_eq!((run.visits, run.again), (6, 0), "{run:?}");
    // Each link of the root, with two in its content and two in the content of one of these.
    assert_eq!(run.parsed, 50_001 + 50_000 * 4 + 2);
    assert!(run.most_levels <= 3 && run.most_found <= 2, "{run:?}");
}

#[test]
fn a_turn_ends_after_its_links() {
    let mut dag = Dag::default();
    let inline = || To::Inline(0x55, Vec::new());
    let root = dag.add(std::iter::repeat_with(inline).take(10_000), 0);
    let mut todo = Todo::new(&Target::Block(root)).unwrap();
    let mut turn = 1;
    let Next::Visit(visit) = todo.next(&mut turn).unwrap() else {
        panic!("the root comes first");
    };
    let bytes = dag.blocks.get(&root).cloned();
    let len = 1;
    todo.arrived(Loaded { visit, len, bytes });
    let mut turns = 0;
    loop {
        let mut turn = LINKS_A_TURN;
        match todo.next(&mut turn).unwrap() {
            Next::Later => turns += 1,
            Next::Nothing => break,
            Next::Visit(_) => panic!("nothing is to be visited"),
        }
    }
    assert_eq!(turns, 10_000 / LINKS_A_TURN);
}

#[test]
fn what_was_seen_is_remembered_and_no_more_than_that() {
    let mut seen = Seen::default();
    let key = |n: usize| digest(n as u64);
    for n in 0..3 * REMEMBERED {
        assert!(seen.insert(&key(n)));
        assert!(!seen.insert(&key(n)));
        if let Some(earlier) = n.checked_sub(REMEMBERED - 1) {
            assert!(!seen.insert(&key(earlier)), "{n}");
        }
    }
    assert!(seen.recent.len() + seen.before.len() <= 2 * REMEMBERED);
}
