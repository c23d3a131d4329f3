//! Two descriptors at once: of two file systems, and of two previews.

use guest::content::Fnv;
use wasip3::filesystem::types::PathFlags;

use crate::{errno::outcome, place::Place, tree};

/// Links and renames between two directories that both have `file`, in both directions.
pub(crate) async fn directories(place: &Place, one: &str, other: &str, file: &str) {
    let dirs = [place.opened(one).await, place.opened(other).await];
    let files = [
        place.opened(&format!("{one}/{file}")).await,
        place.opened(&format!("{other}/{file}")).await,
    ];
    let (old, new) = (|| file.to_owned(), || "new".to_owned());
    for (from, to) in [(0, 1), (1, 0)] {
        for (one, other) in [
            (&dirs[from], &dirs[to]),
            (&dirs[from], &files[to]),
            (&files[from], &dirs[to]),
        ] {
            let renamed = one.rename_at(old(), other, new()).await;
            let linked = one.link_at(PathFlags::empty(), old(), other, new()).await;
            println!("{}, {}", outcome(&renamed), outcome(&linked));
        }
        let same = files[from].is_same_object(&files[to]).await;
        println!("same: {same}");
    }
}

/// `one` and `again` are the same file by two ways, and `other` is another one.
pub(crate) async fn same(place: &Place, one: &str, again: &str, other: &str) {
    let one = place.opened(one).await;
    let again = place.opened(again).await;
    let other = place.opened(other).await;
    assert!(one.is_same_object(&again).await);
    assert!(!one.is_same_object(&other).await);
    println!("same");
}

/// Uses both previews at once on one directory: the standard library uses 0.2. Each must see what the other sees, and
/// closing what one has open must leave the other's alone.
pub(crate) async fn previews(place: &Place, dir: &str, file: &str) {
    let path = format!("{dir}/{file}");
    let mut held = Vec::new();
    for round in 0..50 {
        let newer = place.opened(&path).await;
        let older = std::fs::File::open(&path).expect("the file");
        let listing = std::fs::read_dir(dir).expect("the directory");
        let whole = std::fs::read(&path).expect("the file");
        let read = tree::digest(&newer, 64 * 1024).await;
        let read = read.unwrap_or_else(|code| panic!("{path}: {code:?}"));
        assert_eq!(read, (whole.len() as u64, Fnv::of(&whole)), "{path}");
        let size = older.metadata().expect("a stat").len();
        assert_eq!(size, whole.len() as u64);
        // Numbers in the table are used again by whichever preview comes next.
        match round % 3 {
            0 => held.push((Some(newer), None, None)),
            1 => held.push((None, Some(older), None)),
            _ => held.push((None, None, Some(listing))),
        }
    }
    for (newer, older, listing) in held {
        if let Some(newer) = newer {
            assert!(newer.stat().await.is_ok());
        }
        if let Some(older) = older {
            assert!(older.metadata().is_ok());
        }
        if let Some(listing) = listing {
            assert!(listing.count() > 0);
        }
    }
    println!("both");
}
