//! Tests of a CAR file as a backend: its answers and its refusals.

use std::task::{Context, Poll, Waker};

use futures_util::TryStreamExt;
use ipld_dagpb::{PbLink, PbNode};
use multihash_codetable::{Code, MultihashDigest};
use tempfile::TempDir;

use super::*;
use crate::writer::CarWriter;

const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;
const DAG_CBOR: u64 = 0x71;

fn cid(codec: u64, block: &[u8]) -> Cid {
    Cid::new_v1(codec, Code::Sha2_256.digest(block))
}

/// A dag-pb block over `links`, and its CID.
fn node(links: &[Cid]) -> (Cid, Vec<u8>) {
    let links = links
        .iter()
        .map(|cid| PbLink {
            cid: *cid,
            name: Some(String::new()),
            size: Some(0),
        })
        .collect();
    let block = PbNode {
        links,
        data: Some(Bytes::from_static(b"\x08\x02")),
    }
    .into_bytes();
    (cid(DAG_PB, &block), block)
}

fn write(directory: &TempDir, name: &str, roots: &[Cid], blocks: &[(Cid, Vec<u8>)]) -> PathBuf {
    let path = directory.path().join(name);
    let mut writer = CarWriter::create(&path, roots).unwrap();
    for (cid, block) in blocks {
        writer.put(cid, block).unwrap();
    }
    writer.finish(roots).unwrap();
    path
}

fn holder(number: u8) -> Holder {
    Holder::new([number; 8], [number; 16])
}

async fn read(pinner: &CarPinner, cid: Cid) -> Result<Bytes, PinnerError> {
    let answer = pinner.block(&BlockRequest::new(cid)).await?;
    Ok(answer.bytes)
}

async fn pins(pinner: &CarPinner) -> Vec<Pin> {
    pinner.pins().try_collect().await.unwrap()
}

#[tokio::test]
async fn blocks_of_several_cars_are_found_by_multihash() {
    let directory = tempfile::tempdir().unwrap();
    let (small, large) = (b"small".to_vec(), vec![3; 1_000_000]);
    let (a, b) = (cid(RAW, &small), cid(RAW, &large));
    let first = write(&directory, "a.car", &[a], &[(a, small.clone())]);
    let second = write(
        &directory,
        "b.car",
        &[b, a],
        &[(b, large.clone()), (a, small.clone())],
    );
    let pinner = CarPinner::open([first, second]).await.unwrap();
    assert_eq!(pinner.roots(), [a, b]);
    assert_eq!((pinner.len(), pinner.total_bytes()), (2, 1_000_005));
    let mut sizes: Vec<_> = pinner.blocks().map(|block| block.size_bytes).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 1_000_000]);

    // The codec comes from the link: any codec and version finds the block.
    let other = Cid::new_v0(*a.hash()).unwrap();
    for asked in [a, other, Cid::new_v1(DAG_CBOR, *a.hash())] {
        assert_eq!(read(&pinner, asked).await.unwrap(), small);
    }
    assert_eq!(read(&pinner, b).await.unwrap(), large);

    let absent = cid(RAW, b"absent");
    assert!(!pinner.contains(&absent));
    let error = read(&pinner, absent).await.unwrap_err();
    assert!(
        matches!(error, PinnerError::NotFound { cid } if cid == absent),
        "{error:?}"
    );
}

#[test]
fn without_a_runtime_it_works_on_the_current_thread() {
    let directory = tempfile::tempdir().unwrap();
    let block = vec![3; 200_000];
    let root = cid(RAW, &block);
    let path = write(&directory, "a.car", &[root], &[(root, block.clone())]);
    let mut context = Context::from_waker(Waker::noop());
    let mut opening = Box::pin(CarPinner::open([path]));
    let Poll::Ready(Ok(pinner)) = opening.as_mut().poll(&mut context) else {
        panic!("nothing to wait for");
    };
    let request = BlockRequest::new(root);
    let Poll::Ready(answer) = pinner.block(&request).as_mut().poll(&mut context) else {
        panic!("nothing to wait for");
    };
    assert_eq!(answer.unwrap().bytes, block);
}

#[tokio::test]
async fn an_identity_cid_is_its_own_block() {
    let pinner = CarPinner::open_blocking([] as [PathBuf; 0]).unwrap();
    assert!(pinner.is_empty());
    let cid = Cid::new_v1(RAW, Multihash::wrap(IDENTITY, b"inline").unwrap());
    assert_eq!(read(&pinner, cid).await.unwrap(), "inline");
    pinner
        .pin(&holder(1), &cid, PinDepth::Recursive)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_pin_proves_that_the_dag_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (x, y) = (b"x".to_vec(), b"y".to_vec());
    let (cx, cy) = (cid(RAW, &x), cid(RAW, &y));
    let inner = node(&[cx, cy]);
    let outer = node(&[inner.0, cx, inner.0]);
    let blocks = [
        outer.clone(),
        inner.clone(),
        (cx, x.clone()),
        (cy, y.clone()),
    ];
    for missing in 0..blocks.len() {
        let mut kept = blocks.to_vec();
        let (gone, _) = kept.remove(missing);
        let path = write(&directory, "part.car", &[outer.0], &kept);
        let pinner = CarPinner::open([path]).await.unwrap();
        let error = pinner
            .pin(&holder(1), &outer.0, PinDepth::Recursive)
            .await
            .unwrap_err();
        assert!(
            matches!(error, PinnerError::NotFound { cid } if cid == gone),
            "{error:?}"
        );
        assert_eq!(pins(&pinner).await, []);
    }
    let path = write(&directory, "whole.car", &[outer.0], &blocks);
    let pinner = CarPinner::open([path]).await.unwrap();
    for _ in 0..2 {
        pinner
            .pin(&holder(1), &outer.0, PinDepth::Recursive)
            .await
            .unwrap();
    }
    pinner
        .pin(&holder(2), &outer.0, PinDepth::Recursive)
        .await
        .unwrap();
    let pin = |number| Pin::new(holder(number), outer.0, PinDepth::Recursive);
    assert_eq!(pins(&pinner).await, [pin(1), pin(2)]);
    for _ in 0..2 {
        pinner.unpin(&holder(1), &outer.0).await.unwrap();
    }
    assert_eq!(pins(&pinner).await, [pin(2)]);
}

#[tokio::test]
async fn links_in_long_identity_cids_are_followed_too() {
    let directory = tempfile::tempdir().unwrap();
    let leaf = b"leaf".to_vec();
    for (below, whole) in [(cid(RAW, &leaf), true), (cid(RAW, b"absent"), false)] {
        // A node of 65 to 128 bytes in a CID of its own, which no encoder of links takes.
        let inner = node(&[below, below]).1;
        assert!((65..128).contains(&inner.len()), "{}", inner.len());
        let hash = Multihash::<128>::wrap(IDENTITY, &inner).unwrap();
        let inline = SectionCid::new_v1(DAG_PB, hash).to_bytes();
        let field = |key: u8, bytes: &[u8]| {
            let mut length = unsigned_varint::encode::usize_buffer();
            let length = unsigned_varint::encode::usize(bytes.len(), &mut length);
            [&[key][..], length, bytes].concat()
        };
        let block = field(0x12, &field(0x0a, &inline));
        let root = cid(DAG_PB, &block);
        let blocks = [(root, block), (cid(RAW, &leaf), leaf.clone())];
        let path = write(&directory, "inline.car", &[root], &blocks);
        let pinner = CarPinner::open([path]).await.unwrap();
        let pinned = pinner.pin(&holder(1), &root, PinDepth::Recursive).await;
        assert_eq!(pinned.is_ok(), whole, "{pinned:?}");
    }
}

#[tokio::test]
async fn dag_cbor_links_are_followed_however_deep_they_lie() {
    use ipld_core::ipld;
    let directory = tempfile::tempdir().unwrap();
    let leaf = b"leaf".to_vec();
    let absent = cid(RAW, b"absent");
    for (link, whole) in [(cid(RAW, &leaf), true), (absent, false)] {
        let value = ipld!({ "a": [1, { "b": link }], "c": null });
        let block = serde_ipld_dagcbor::to_vec(&value).unwrap();
        let root = cid(DAG_CBOR, &block);
        let blocks = [(root, block), (cid(RAW, &leaf), leaf.clone())];
        let path = write(&directory, "cbor.car", &[root], &blocks);
        let pinner = CarPinner::open([path]).await.unwrap();
        let pinned = pinner.pin(&holder(1), &root, PinDepth::Recursive).await;
        assert_eq!(pinned.is_ok(), whole, "{pinned:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_proven_whole_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let block = b"\xff\xff not dag-pb".to_vec();
    let stored = cid(RAW, &block);
    let path = write(&directory, "a.car", &[stored], &[(stored, block.clone())]);
    let pinner = CarPinner::open([path]).await.unwrap();

    let unknown = Cid::new_v1(0x85, *stored.hash());
    let error = pinner
        .pin(&holder(1), &unknown, PinDepth::Recursive)
        .await
        .unwrap_err();
    assert!(matches!(error, PinnerError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("codec 0x85"), "{error}");

    for codec in [DAG_PB, DAG_CBOR] {
        let garbled = Cid::new_v1(codec, *stored.hash());
        let error = pinner
            .pin(&holder(1), &garbled, PinDepth::Recursive)
            .await
            .unwrap_err();
        assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
    }
    let lazy = pinner.pin(&holder(1), &stored, PinDepth::Lazy).await;
    assert!(
        matches!(lazy, Err(PinnerError::Unsupported { .. })),
        "{lazy:?}"
    );
    assert_eq!(pins(&pinner).await, []);
}

#[tokio::test]
async fn a_chain_of_ten_thousand_blocks_is_walked() {
    let directory = tempfile::tempdir().unwrap();
    let mut chain = vec![node(&[])];
    for _ in 0..10_000 {
        let below = chain[chain.len() - 1].0;
        chain.push(node(&[below]));
    }
    let root = chain[chain.len() - 1].0;
    let path = write(&directory, "chain.car", &[root], &chain);
    let pinner = CarPinner::open([path]).await.unwrap();
    pinner
        .pin(&holder(1), &root, PinDepth::Recursive)
        .await
        .unwrap();
    let deepest = chain.remove(0).0;
    let path = write(&directory, "cut.car", &[root], &chain);
    let pinner = CarPinner::open([path]).await.unwrap();
    let error = pinner
        .pin(&holder(1), &root, PinDepth::Recursive)
        .await
        .unwrap_err();
    assert!(
        matches!(error, PinnerError::NotFound { cid } if cid == deepest),
        "{error:?}"
    );
}

#[test]
fn a_walk_that_nobody_waits_for_ends() {
    let cars = Cars {
        files: Vec::new(),
        index: IndexBuilder::default().build(),
        roots: Vec::new(),
        long_roots: Vec::new(),
        defects: Vec::new(),
    };
    let root = Cid::new_v1(RAW, Multihash::wrap(IDENTITY, b"x").unwrap());
    let cancelled = CancelOnDrop::default();
    let flag = cancelled.0.clone();
    assert!(walk::check_complete(&root, &cars, &flag).is_ok());
    drop(cancelled);
    assert!(walk::check_complete(&root, &cars, &flag).is_err());
}

#[tokio::test]
async fn a_damaged_car_is_read_as_far_as_it_is_sound() {
    let directory = tempfile::tempdir().unwrap();
    let blocks: Vec<_> = (0..3)
        .map(|number| {
            let block = vec![number; 1000];
            (cid(RAW, &block), block)
        })
        .collect();
    let whole = write(&directory, "whole.car", &[blocks[0].0], &blocks);
    let cut = directory.path().join("cut.car");
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();

    let pinner = CarPinner::open([&whole]).await.unwrap();
    assert_eq!(pinner.defects().count(), 0);
    let pinner = CarPinner::open([&cut]).await.unwrap();
    for (cid, block) in &blocks[..2] {
        assert_eq!(read(&pinner, *cid).await.unwrap(), *block);
    }
    let lost = read(&pinner, blocks[2].0).await.unwrap_err();
    assert!(matches!(lost, PinnerError::NotFound { .. }), "{lost:?}");
    let defects: Vec<_> = pinner.defects().collect();
    let [(path, defects)] = defects[..] else {
        panic!("one file is cut short: {defects:?}");
    };
    assert_eq!((path, defects.count()), (&*cut, 1));
    assert!(defects.first()[0].to_string().contains("cut short"));

    // Open files are read from their start, and another archive may have what one lacks.
    let files = [&cut, &whole].map(|path| {
        let mut file = File::open(path).unwrap();
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
        (path.clone(), file)
    });
    let pinner = CarPinner::open_files(files).await.unwrap();
    for (cid, block) in &blocks {
        assert_eq!(read(&pinner, *cid).await.unwrap(), *block);
    }
}

#[tokio::test]
async fn a_file_that_shrinks_is_corrupt_and_no_short_block() {
    let directory = tempfile::tempdir().unwrap();
    let block = vec![1; 1000];
    let root = cid(RAW, &block);
    let path = write(&directory, "a.car", &[root], &[(root, block)]);
    let pinner = CarPinner::open([&path]).await.unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let error = read(&pinner, root).await.unwrap_err();
    assert!(matches!(error, PinnerError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("a.car"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_opened_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.car");
    let error = CarPinner::open([&missing]).await.unwrap_err();
    assert!(
        matches!(&error, CarError::Io { path, .. } if *path == missing),
        "{error:?}"
    );
    let error = CarPinner::open([directory.path()]).await.unwrap_err();
    assert!(matches!(error, CarError::NotACar { .. }), "{error:?}");
    // Nobody ever writes into this pipe, and the call returns all the same.
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    let error = CarPinner::open([&pipe]).await.unwrap_err();
    assert!(matches!(error, CarError::NotACar { .. }), "{error:?}");
    // The error names the second file, whose fault it is.
    let good = write(&directory, "good.car", &[], &[]);
    let bad = directory.path().join("bad.car");
    std::fs::write(&bad, "no car").unwrap();
    let error = CarPinner::open([&good, &bad]).await.unwrap_err();
    assert!(
        matches!(&error, CarError::NotACar { path, .. } if *path == bad),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_wrong_copy_of_a_block_is_not_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let (right, wrong) = (b"right".to_vec(), b"wrong".to_vec());
    let a = cid(RAW, &right);
    // Both are in one file, under one CID, the wrong one first.
    let path = write(&directory, "a.car", &[a], &[(a, wrong), (a, right)]);
    let pinner = CarPinner::open([path]).await.unwrap();
    assert_eq!((pinner.len(), pinner.blocks().count()), (1, 1));
    let request = BlockRequest::new(a);
    let answer = pinner.block(&request).await.unwrap();
    assert_eq!(answer.bytes, "wrong");
    let source = answer.source.unwrap();
    let avoiding = request.clone().avoiding([source.clone()]);
    let other = pinner.block(&avoiding).await.unwrap();
    assert_eq!(other.bytes, "right");
    // Both are to be avoided: the first answers.
    let neither = avoiding.avoiding(other.source);
    assert_eq!(pinner.block(&neither).await.unwrap().bytes, "wrong");
    pinner.verdict(&request, Some(&source), Verdict::Wrong);
    assert_eq!(read(&pinner, a).await.unwrap(), "right");
}
