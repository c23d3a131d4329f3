//! Files as streams, called without a guest: the bytes, the waits, and the errors.

use super::*;

#[tokio::test]
async fn streams_answer_as_natively() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let reps = guest.opens("large.bin").await;
    for from in [0, (1 << 20) - 5, Sample::LARGE_BYTES as u64, 1 << 40] {
        let mut read = Vec::new();
        for rep in reps {
            let stream = code(guest.view().read_via_stream(fd(rep), from)).expect("a stream");
            let stream = guest.state.table.get_mut(&stream).expect("a stream");
            let mut pieces = Vec::new();
            // Reads pieces that straddle the blocks, then skips bytewise to the end.
            for size in [1, 10, 70_000, 4096].into_iter().cycle() {
                match stream.blocking_read(size).await {
                    Ok(bytes) => pieces.push(bytes),
                    Err(StreamError::Closed) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(matches!(
                stream.blocking_read(1).await,
                Err(StreamError::Closed)
            ));
            assert!(matches!(
                stream.blocking_skip(1).await,
                Err(StreamError::Closed)
            ));
            read.push(pieces);
        }
        assert!(read[0] == read[1], "from {from}");
    }
}

/// Works like a guest without threads: it asks for bytes, waits by poll, and asks again.
#[tokio::test]
async fn a_polled_stream_gives_all() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let rep = guest.open(guest.ours, "large.bin").await;
    let stream = code(guest.view().read_via_stream(fd(rep), 0)).expect("a stream");
    let stream = guest.state.table.get_mut(&stream).expect("a stream");
    let mut all = Vec::new();
    let mut waits = 0;
    loop {
        match stream.read(10_000) {
            Ok(bytes) if bytes.is_empty() => {
                waits += 1;
                // Each wait is given up after a moment and begun again, as by a poll with a timer. The bytes must still
                // arrive.
                while tokio::time::timeout(Duration::from_micros(50), stream.ready())
                    .await
                    .is_err()
                {}
            }
            Ok(bytes) => all.extend_from_slice(&bytes),
            Err(StreamError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(all == Sample::large());
    assert!(waits > 0, "nothing was ever waited for");
}

#[tokio::test]
async fn nothing_is_what_nothing_asks_for() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    // Natively such a read, if it blocks, reports a closed stream, and the stream stays closed.
    let rep = guest.open(guest.ours, "large.bin").await;
    let stream = code(guest.view().read_via_stream(fd(rep), 7)).expect("a stream");
    let stream = guest.state.table.get_mut(&stream).expect("a stream");
    assert!(stream.read(0).expect("bytes").is_empty());
    assert!(stream.blocking_read(0).await.expect("bytes").is_empty());
    assert_eq!(stream.skip(0).expect("skipped"), 0);
    assert_eq!(stream.blocking_skip(0).await.expect("skipped"), 0);
    let bytes = stream.blocking_read(5).await.expect("bytes");
    assert_eq!(bytes, Sample::large()[7..12]);
}

/// The error comes at once, and nothing waits.
#[tokio::test]
async fn a_host_that_closes_its_cache_ends_no_file_silently() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let rep = guest.open(guest.ours, "large.bin").await;
    let stream = code(guest.view().read_via_stream(fd(rep), 0)).expect("a stream");
    let ipfs = guest.state.ipfs.clone().expect("a context");
    let shown = format!("{ipfs:?}");
    assert!(shown.contains("IpfsCtx") && shown.len() < 1000, "{shown}");
    ipfs.cache().close().await.expect("closed");
    let stream = guest.state.table.get_mut(&stream).expect("a stream");
    assert!(matches!(
        stream.read(1),
        Err(StreamError::LastOperationFailed(_))
    ));
    assert!(matches!(
        stream.blocking_read(1).await,
        Err(StreamError::LastOperationFailed(_))
    ));
}

#[tokio::test]
async fn skipping_fetches_nothing() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let rep = guest.open(guest.ours, "large.bin").await;
    sample.content.node.clear_log();
    let stream = code(guest.view().read_via_stream(fd(rep), 0)).expect("a stream");
    let stream = guest.state.table.get_mut(&stream).expect("a stream");
    let place = 2 << 20;
    assert_eq!(stream.blocking_skip(place).await.expect("skipped"), place);
    let bytes = stream.blocking_read(5).await.expect("bytes");
    assert_eq!(bytes, Sample::large()[place..place + 5]);
    assert_eq!(
        sample.content.node.distinct_blocks_asked(),
        1,
        "the last leaf and no other"
    );
    let left = Sample::LARGE_BYTES - place - 5;
    assert_eq!(stream.skip(usize::MAX).expect("skipped"), left);
    assert!(matches!(stream.skip(1), Err(StreamError::Closed)));
}

/// I7: read, stream and poll report an error as an error. The stream continues once the backend works again.
#[tokio::test]
async fn an_error_never_ends_a_stream() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let rep = guest.open(guest.ours, "large.bin").await;
    let stream = code(guest.view().read_via_stream(fd(rep), 0)).expect("a stream");
    let down = PinnerError::Unavailable {
        operation: "the test".into(),
        source: None,
    };
    sample
        .content
        .node
        .script(When::any_block(), Fault::Error(down));

    let read = code(guest.view().read(fd(rep), 10, 0).await);
    assert_eq!(read, Err(ErrorCode::Io));
    for polled in [false, true, false] {
        let reader = guest.state.table.get_mut(&stream).expect("a stream");
        let failed = if polled {
            reader.ready().await;
            reader.read(10)
        } else {
            reader.blocking_read(10).await
        };
        let Err(StreamError::LastOperationFailed(error)) = failed else {
            panic!("{failed:?}");
        };
        let error = guest.state.table.push(error).expect("a table");
        let told = guest.view().filesystem_error_code(error).expect("no trap");
        assert_eq!(told, Some(ErrorCode::Io));
    }
    sample.content.node.clear_script();
    let reader = guest.state.table.get_mut(&stream).expect("a stream");
    let bytes = reader.blocking_read(10).await.expect("healed");
    assert_eq!(bytes, Sample::large()[..10]);
}

/// As with a bad sector on a disk: the bytes before it are read, and the error comes at its place.
#[tokio::test]
async fn what_lies_before_a_missing_block_is_read() {
    let sample = Sample::new();
    let whole = Sample::large();
    let second = MockNode::new().put(0x55, whole[1 << 20..2 << 20].to_vec());
    assert!(sample.content.node.remove(&second));
    let mut guest = Guest::new(&sample).await;
    let rep = guest.open(guest.ours, "large.bin").await;
    let place = (1 << 20) - 10;
    let read = code(guest.view().read(fd(rep), 30, place as u64).await);
    assert_eq!(read, Ok((whole[place..1 << 20].to_vec(), false)));
    let read = code(guest.view().read(fd(rep), 20, 1 << 20).await);
    assert_eq!(read, Err(ErrorCode::Io));
}

/// A guest that polls with a short timer beside the stream gives up each wait long before the block arrives.
#[tokio::test]
async fn a_wait_that_is_given_up_goes_on() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let rep = guest.open(guest.ours, "large.bin").await;
    sample.content.node.clear_log();
    let slow = Fault::Delay(Duration::from_millis(40));
    sample.content.node.script(When::any_block(), slow);
    let stream = code(guest.view().read_via_stream(fd(rep), 2 << 20)).expect("a stream");
    let stream = guest.state.table.get_mut(&stream).expect("a stream");
    let mut waits = 0;
    while tokio::time::timeout(Duration::from_millis(2), stream.ready())
        .await
        .is_err()
    {
        waits += 1;
    }
    assert!(waits > 1, "the block came at once");
    let bytes = stream.read(5).expect("bytes");
    assert_eq!(bytes, Sample::large()[2 << 20..(2 << 20) + 5]);
    assert_eq!(
        sample.content.node.stats().blocks,
        1,
        "asked anew each time"
    );
}
