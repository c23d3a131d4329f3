//! Servers that mean harm, or are broken as if they did. Each harms one call, which ends in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use pinner_api::{BlockRequest, Pinner, PinnerError};
use pinner_car_remote::RemoteError;
use toy_http::{Asked, Reply, Step, ToyServer, hostile};

use crate::{
    content::{Block, car, many},
    server::{State, builder, partial, range},
};

const DEADLINE: Duration = Duration::from_millis(400);

/// A server that is correct until it is told to do as `wrong` says.
struct Turning {
    server: ToyServer,
    is_wrong: Arc<AtomicBool>,
    blocks: Vec<Block>,
}

impl Turning {
    async fn start(wrong: impl Fn(&Asked, &[u8]) -> Reply + Send + Sync + 'static) -> Self {
        let blocks = many(20, 50_000);
        let bytes = car(&blocks);
        let state = State::default();
        state.put(bytes.clone(), "\"1\"");
        let is_wrong = Arc::new(AtomicBool::new(false));
        let turned = is_wrong.clone();
        let server = ToyServer::start(move |asked| match turned.load(Ordering::SeqCst) {
            true => wrong(asked, &bytes),
            false => state.answer(asked),
        });
        Self {
            server: server.await.expect("it listens"),
            is_wrong,
            blocks,
        }
    }

    /// The errors of opening and of reading a block.
    async fn errors(&self, name: &str) -> (RemoteError, PinnerError) {
        let pinner = builder(&self.server).open().await.expect(name);
        self.is_wrong.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        let (cid, bytes) = &self.blocks[19];
        let request = BlockRequest::new(*cid);
        let in_time = request.clone().with_deadline(begun + DEADLINE);
        let of_block = pinner.block(&in_time).await.expect_err(name);
        let opening = builder(&self.server).deadline(DEADLINE).open();
        let of_opening = opening.await.expect_err(name);
        assert!(
            begun.elapsed() < 2 * DEADLINE + Duration::from_secs(3),
            "{name}"
        );
        self.is_wrong.store(false, Ordering::SeqCst);
        let right = pinner.block(&request).await.expect(name);
        assert_eq!(right.bytes, bytes, "{name}");
        for text in [of_block.to_string(), of_opening.to_string()] {
            assert!(
                !text.contains("secret") && text.contains("/x.car"),
                "{name}: {text}"
            );
            assert!(text.len() < 2000, "{name}: {text}");
        }
        assert!(!of_block.is_absence(), "{name}");
        (of_opening, of_block)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_server_harms_one_call() {
    let elsewhere = ToyServer::start(|_| Reply::with(200, &[], "secret")).await;
    let elsewhere = elsewhere.expect("it listens");
    let all = hostile(&elsewhere.url());
    assert!(all.len() > 40);
    stream::iter(all)
        .for_each_concurrent(4, async |(name, reply)| {
            let server = Turning::start(move |_, _| reply.clone()).await;
            server.errors(name).await;
            let taken = server.server.endless_bytes();
            // Interim answers are skipped one by one, and none is kept.
            let kept = name != "endless interim answers";
            assert!(!kept || taken < 32 << 20, "{name}: {taken} bytes");
        })
        .await;
    assert_eq!(elsewhere.requests(), [], "nobody is sent elsewhere");
}

/// The headers of a range of this size, with this `Content-Range`.
fn with_range(range: &str, body: &[u8]) -> Reply {
    Reply::with(206, &[("Content-Range", range), ("ETag", "\"1\"")], body)
}

/// A wrong answer to a request for a range of the archive.
type Wrong = fn(&[u8], usize, usize) -> Reply;

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_are_wrong_are_refused() {
    let wrong: [(&str, Wrong); 12] = [
        ("more than the range", |bytes, from, to| {
            let range = format!("bytes {from}-{}/{}", to - 1, bytes.len());
            with_range(&range, &vec![0; to - from + 1])
        }),
        ("much more than the range, in chunks", |bytes, from, to| {
            let range = format!("bytes {from}-{}/{}", to - 1, bytes.len());
            let headers = [
                ("Content-Range", &*range),
                ("ETag", "\"1\""),
                ("Transfer-Encoding", "chunked"),
            ];
            let chunk = Reply::chunk(vec![b'a'; 16 * 1024]);
            Reply::of([Step::Send(Reply::head(206, &headers)), Step::Endless(chunk)])
        }),
        ("less than the range", |bytes, from, to| {
            let range = format!("bytes {from}-{}/{}", to - 1, bytes.len());
            with_range(&range, &bytes[from..to - 1])
        }),
        ("the range before", |bytes, from, to| {
            let range = format!("bytes {}-{}/{}", from + 1, to, bytes.len());
            with_range(&range, &bytes[from..to])
        }),
        ("another size", |bytes, from, to| {
            let range = format!("bytes {from}-{}/{}", to - 1, 1_u64 << 60);
            with_range(&range, &bytes[from..to - 1])
        }),
        ("no range", |bytes, from, to| {
            Reply::with(206, &[("ETag", "\"1\"")], &bytes[from..to])
        }),
        ("no number", |bytes, from, to| {
            with_range("bytes all", &bytes[from..to])
        }),
        ("backwards", |bytes, from, to| {
            with_range(
                &format!("bytes {}-{from}/{}", to - 1, bytes.len()),
                &bytes[from..to],
            )
        }),
        ("a size that is not known", |bytes, from, to| {
            with_range(&format!("bytes {from}-{}/*", to - 1), &bytes[from..to])
        }),
        ("no ETag", |bytes, from, to| {
            let range = format!("bytes {from}-{}/{}", to - 1, bytes.len());
            Reply::with(206, &[("Content-Range", &range)], &bytes[from..to])
        }),
        ("an ETag that is not text", |bytes, from, to| {
            let range = format!("bytes {from}-{}/{}", to - 1, bytes.len());
            let headers = [("Content-Range", &*range), ("ETag", "\"\u{fc}\"")];
            Reply::with(206, &headers, &bytes[from..to])
        }),
        ("several ranges", |bytes, from, to| {
            let headers = [
                ("Content-Type", "multipart/byteranges; boundary=x"),
                ("ETag", "\"1\""),
            ];
            Reply::with(206, &headers, &bytes[from..to])
        }),
    ];
    for (name, reply) in wrong {
        let server = Turning::start(move |asked, bytes| {
            let (from, to) = range(asked).expect("a range is asked for");
            reply(bytes, from, to.min(bytes.len()))
        });
        let server = server.await;
        let (_, of_block) = server.errors(name).await;
        assert!(!of_block.may_pass(), "{name}: {of_block:?}");
        assert!(server.server.endless_bytes() < 32 << 20, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_is_refused_by_name_and_nothing_is_downloaded() {
    for endless in [false, true] {
        let server = Turning::start(move |_, bytes| match endless {
            true => {
                let head = Reply::head(200, &[("ETag", "\"1\"")]);
                Reply::of([Step::Send(head), Step::Endless(vec![0; 16 * 1024])])
            }
            false => Reply::with(200, &[("ETag", "\"1\"")], bytes),
        });
        let server = server.await;
        let (of_opening, of_block) = server.errors("no ranges").await;
        assert!(
            matches!(of_block, PinnerError::Denied { .. }),
            "{of_block:?}"
        );
        let RemoteError::Read { source, .. } = of_opening else {
            panic!("{of_opening:?}");
        };
        assert!(
            source.to_string().contains("does not serve ranges"),
            "{source}"
        );
        assert!(server.server.endless_bytes() < 32 << 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_without_an_etag_is_refused_by_name() {
    let bytes = car(&many(2, 50_000));
    let server = ToyServer::start(move |asked| {
        let (from, to) = range(asked).expect("a range is asked for");
        let to = to.min(bytes.len());
        let range = format!("bytes {from}-{}/{}", to - 1, bytes.len());
        Reply::with(206, &[("Content-Range", &range)], &bytes[from..to])
    });
    let server = server.await.expect("it listens");
    let error = builder(&server).open().await.expect_err("it is refused");
    assert!(matches!(error, RemoteError::NoEtag { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_within_the_site_is_followed_with_its_range() {
    let blocks = many(4, 50_000);
    let bytes = car(&blocks);
    let server = ToyServer::start(move |asked| match asked.path() {
        "/x.car" => Reply::with(307, &[("Location", "/moved/y.car")], ""),
        _ => {
            let (from, to) = range(asked).expect("the range is asked for again");
            partial(&bytes, from, to.min(bytes.len()), "\"1\"")
        }
    });
    let server = server.await.expect("it listens");
    let pinner = builder(&server).open().await.expect("opened");
    let (cid, bytes) = &blocks[3];
    let answer = pinner
        .block(&BlockRequest::new(*cid))
        .await
        .expect("a block");
    assert_eq!(answer.bytes, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let broken = Arc::new(AtomicBool::new(true));
    let breaks = broken.clone();
    let server = Turning::start(move |asked, bytes| {
        let (from, to) = range(asked).expect("a range is asked for");
        match breaks.swap(false, Ordering::SeqCst) {
            true => {
                let range = format!("bytes {from}-{}/{}", to - 1, bytes.len());
                let headers = [("Content-Range", &*range), ("ETag", "\"1\"")];
                Reply::announcing(to - from, 206, &headers, &bytes[from..from + 10])
                    .then(Step::Reset)
            }
            false => partial(bytes, from, to, "\"1\""),
        }
    });
    let server = server.await;
    let pinner = builder(&server.server).open().await.expect("opened");
    server.is_wrong.store(true, Ordering::SeqCst);
    let (cid, bytes) = &server.blocks[19];
    let answer = pinner
        .block(&BlockRequest::new(*cid))
        .await
        .expect("a block");
    assert_eq!(answer.bytes, bytes);
    assert!(!broken.load(Ordering::SeqCst));
}
