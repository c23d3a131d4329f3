//! Takes as much as it gets.

use wasip3::filesystem::types::{Descriptor, DirectoryEntry, ErrorCode};
use wasip3::wit_bindgen::{FutureReader, StreamReader};

use crate::{
    errno::name,
    place::{Place, open},
    stream,
};

/// More than any host allows.
const ENDLESS: usize = 200_000;

type Ended = FutureReader<Result<(), ErrorCode>>;

/// Anything that is held.
enum Held {
    Node(#[expect(dead_code, reason = "it is only held")] Descriptor),
    Listing(#[expect(dead_code, reason = "it is only held")] StreamReader<DirectoryEntry>),
    Stream(#[expect(dead_code, reason = "it is only held")] StreamReader<u8>),
}

/// Holds `what` until one more is refused, and prints how many there were and why.
pub(crate) async fn until_refused(place: &Place, what: &str, path: &str) {
    if what == "bytes" {
        return println!("bytes {}", stream::to_its_end(place, path).await);
    }
    let node = place.opened(path).await;
    let (dir, below) = place.of(path);
    let mut held = Vec::new();
    let code = loop {
        match one(what, dir, below, &node).await {
            Ok(one) => held.push(one),
            Err(code) => break code,
        }
        assert!(held.len() < ENDLESS, "{what}: no limit in sight");
    };
    println!("{what} {} {}", held.len(), name(&code));
    // The limit counts what is open, not what was opened.
    for _ in 0..50 {
        assert!(held.pop().is_some(), "{what}: not even one");
        held.push(again(one(what, dir, below, &node).await));
    }
    drop(held);
    again(one(what, dir, below, &node).await);
}

fn again(one: Result<Held, ErrorCode>) -> Held {
    one.unwrap_or_else(|code| panic!("one closed, one opened: {}", name(&code)))
}

async fn one(
    what: &str,
    dir: &Descriptor,
    below: &str,
    node: &Descriptor,
) -> Result<Held, ErrorCode> {
    match what {
        "handles" => Ok(Held::Node(open(dir, below).await?)),
        "listings" => {
            let (mut entries, ended) = node.read_directory();
            match entries.next().await {
                Some(_) => Ok(Held::Listing(entries)),
                None => Err(refused(ended).await),
            }
        }
        "streams" => {
            let (mut bytes, ended) = node.read_via_stream(0);
            match bytes.next().await {
                Some(_) => Ok(Held::Stream(bytes)),
                None => Err(refused(ended).await),
            }
        }
        unknown => panic!("{unknown} cannot be held"),
    }
}

async fn refused(ended: Ended) -> ErrorCode {
    ended.await.expect_err("an empty stream that was refused")
}

/// Opens one name of a directory after another.
pub(crate) async fn targets(place: &Place, path: &str) {
    let dir = place.opened(path).await;
    let (entries, _ended) = dir.read_directory();
    let mut opened = 0;
    for entry in entries.collect().await {
        match open(&dir, &entry.name).await {
            Ok(_) => opened += 1,
            Err(code) => return println!("targets {opened} {}", name(&code)),
        }
    }
    println!("targets {opened}");
}
