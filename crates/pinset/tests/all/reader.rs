//! A file read into the caller's memory, and through tokio's traits: the same bytes as by `read_at`.

use std::{io::SeekFrom, sync::Arc};

use futures_util::{Stream, StreamExt};
use pinner_car::Profile;
use pinner_mock::{Fault, Gate, MockNode, When};
use pinset::{ContentStream, Entries, File, FileReader};
use test_support::content::{MIB, add_file, stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt};

use crate::{host::Host, pinsets::ipfs};

const BUDGET: u64 = 64 << 20;
const LEAF: usize = 256 << 10;

/// Around a leaf's end, an inner node's first, and the file's.
const SIZES: [usize; 8] = [
    0,
    1,
    4096,
    LEAF - 1,
    LEAF,
    LEAF + 1,
    2 * LEAF + 7,
    3 * MIB + 1,
];

async fn file(host: &Host, bytes: &[u8]) -> File {
    let cid = add_file(&host.node, bytes, Profile::UnixfsV0_2015);
    host.file(&format!("/ipfs/{cid}")).await
}

#[tokio::test]
async fn a_read_into_a_slice_is_one_of_those_bytes() {
    let node = MockNode::new();
    for size in SIZES {
        let bytes = stream(size);
        // Cold, then staged.
        let host = Host::new(&node, BUDGET).await;
        let file = file(&host, &bytes).await;
        for _ in 0..2 {
            for at in [0, 1, LEAF - 1, LEAF, size.saturating_sub(1), size, size + 5] {
                for len in [0, 1, 100, LEAF + 1, 4 * MIB] {
                    let mut into = vec![0xaa; len];
                    let read = file.read_into(at as u64, &mut into).await.unwrap();
                    let wanted = file.read_at(at as u64, len).await.unwrap();
                    assert_eq!(read, wanted.len(), "{size} {at} {len}");
                    assert!(into[..read] == wanted, "{size} {at} {len}");
                    assert!(into[read..].iter().all(|byte| *byte == 0xaa));
                }
            }
        }
        for at in [0, LEAF - 1, size] {
            let mut into = vec![0; LEAF + 10];
            let wanted = file.try_read_at(at as u64, into.len());
            let read = file.try_read_into(at as u64, &mut into);
            match (read, wanted) {
                (Some(read), Some(wanted)) => {
                    let (read, wanted) = (read.unwrap(), wanted.unwrap());
                    assert!(into[..read] == wanted, "{size} {at}");
                }
                // A directory that cannot be asked what is in the page cache.
                (read, wanted) => assert!(read.is_none() && wanted.is_none()),
            }
        }
    }
}

#[tokio::test]
async fn a_read_into_a_slice_does_not_wait_for_what_is_not_here() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    let file = file(&host, &stream(2 * LEAF)).await;
    let asked = node.stats().blocks;
    assert!(file.try_read_into(0, &mut [0; 10]).is_none());
    assert!(file.try_read_into(0, &mut []).unwrap().is_ok());
    assert_eq!(node.stats().blocks, asked);
    // An error is met where it is, and is no end.
    node.script(When::any_block(), Fault::Missing);
    file.read_into(0, &mut [0; 10]).await.unwrap_err();
    let mut reader = file.reader();
    let error = reader.read(&mut [0; 10]).await.unwrap_err();
    assert!(error.get_ref().unwrap().is::<pinset::Error>(), "{error:?}");
    assert_eq!(reader.position(), 0);
}

#[tokio::test]
async fn a_reader_reads_and_seeks() {
    let node = MockNode::new();
    for size in SIZES {
        let bytes = stream(size);
        let host = Host::new(&node, BUDGET).await;
        let file = file(&host, &bytes).await;
        let mut reader = file.reader();
        let mut whole = Vec::new();
        reader.read_to_end(&mut whole).await.unwrap();
        assert!(whole == bytes, "{size}");
        assert_eq!(reader.position(), size as u64);
        assert_eq!(reader.read(&mut [0; 10]).await.unwrap(), 0);
        let middle = size / 2;
        for (to, at) in [
            (SeekFrom::Start(middle as u64), middle),
            (SeekFrom::End(-(middle as i64)), size - middle),
            (SeekFrom::Current(-(size as i64)), 0),
            (SeekFrom::Start(size as u64 + 10), size + 10),
        ] {
            assert_eq!(reader.seek(to).await.unwrap(), at as u64);
            let mut some = vec![0; 1000];
            let read = reader.read(&mut some).await.unwrap();
            let wanted = file.read_at(at as u64, 1000).await.unwrap();
            assert!(wanted.starts_with(&some[..read]), "{size} {to:?}");
            assert_eq!(read == 0, wanted.is_empty(), "{size} {to:?}");
            reader.seek(SeekFrom::Start(size as u64)).await.unwrap();
        }
        let before = reader.seek(SeekFrom::End(-(size as i64) - 1)).await;
        assert_eq!(before.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        assert_eq!(reader.position(), size as u64);
    }
}

#[tokio::test]
async fn what_a_reader_waits_for_comes_without_it() {
    let node = MockNode::new();
    let host = Host::new(&node, BUDGET).await;
    let bytes = stream(3 * LEAF);
    let file = file(&host, &bytes).await;
    let gate = Gate::new();
    node.script(When::any_block(), Fault::HangUntil(gate.clone()));
    let mut reader = file.reader();
    let mut some = [0; 100];
    let gave_up =
        tokio::time::timeout(std::time::Duration::from_millis(20), reader.read(&mut some));
    assert!(gave_up.await.is_err());
    gate.open();
    // Nobody polls the reader, and another is served meanwhile.
    assert!(file.read_at(0, 100).await.unwrap() == bytes[..100]);
    let read = reader.read(&mut some).await.unwrap();
    assert!(read > 0 && some[..read] == bytes[..read]);
}

#[tokio::test]
async fn streams_can_be_moved_and_sent() {
    fn is_stream<S: Stream + Unpin + Send + 'static>() {}
    fn is_reader<R: AsyncRead + AsyncSeek + Unpin + Send + 'static>() {}
    is_stream::<Entries>();
    is_stream::<ContentStream>();
    is_reader::<FileReader>();

    let node = MockNode::new();
    let host = Arc::new(Host::new(&node, BUDGET).await);
    let bytes = stream(2 * LEAF + 5);
    let cid = add_file(&node, &bytes, Profile::UnixfsV0_2015);
    let mut content = host.mode.fetch_path(&ipfs(&format!("/ipfs/{cid}")));
    let first = content.next().await.unwrap().unwrap();
    let rest = tokio::spawn(async move {
        let pieces: Vec<_> = content.map(Result::unwrap).collect().await;
        pieces.concat()
    });
    assert!([&first[..], &rest.await.unwrap()].concat() == bytes);
}
