//! A correct server of one object, by ranges.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use pinner_car_remote::{ArchiveUrl, RemoteCarBuilder, RemoteCarPinner, RemoteError};
use toy_http::{Asked, Reply, Step, ToyServer};

/// One object on a server of its own. The object can change.
pub(crate) struct Served {
    pub(crate) server: ToyServer,
    pub(crate) state: Arc<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// The object, and its ETag.
    object: Mutex<(Vec<u8>, String)>,
    pub(crate) hangs: AtomicBool,
    pub(crate) drips: AtomicBool,
}

impl State {
    pub(crate) fn put(&self, bytes: Vec<u8>, etag: &str) {
        *self.object.lock().unwrap_or_else(PoisonError::into_inner) = (bytes, etag.to_owned());
    }

    /// The correct answer.
    pub(crate) fn answer(&self, asked: &Asked) -> Reply {
        let object = self.object.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, etag) = &*object;
        if let Some(wanted) = asked.header("if-match")
            && (wanted != etag || etag.starts_with("W/"))
        {
            return Reply::with(412, &[], "it is another");
        }
        let Some((from, to)) = range(asked) else {
            return Reply::with(200, &[("ETag", etag)], bytes);
        };
        if from >= bytes.len() {
            return Reply::with(416, &[], "");
        }
        let to = to.min(bytes.len());
        partial(bytes, from, to, etag)
    }
}

/// The range that is asked for, with its end behind it.
pub(crate) fn range(asked: &Asked) -> Option<(usize, usize)> {
    let (from, to) = asked
        .header("range")?
        .strip_prefix("bytes=")?
        .split_once('-')?;
    Some((from.parse().ok()?, to.parse::<usize>().ok()? + 1))
}

/// The answer with this part of the object.
pub(crate) fn partial(bytes: &[u8], from: usize, to: usize, etag: &str) -> Reply {
    let range = format!("bytes {from}-{}/{}", to - 1, bytes.len());
    let headers = [("Content-Range", &*range), ("ETag", etag)];
    Reply::with(206, &headers, &bytes[from..to])
}

impl Served {
    pub(crate) async fn start(bytes: Vec<u8>) -> Self {
        let state = Arc::new(State::default());
        state.put(bytes, "\"1\"");
        let serves = state.clone();
        let server = ToyServer::start(move |asked| {
            if serves.hangs.load(Ordering::SeqCst) {
                return Reply::of([Step::Hang]);
            }
            if serves.drips.load(Ordering::SeqCst) {
                let (from, to) = range(asked).unwrap_or_default();
                let range = format!("bytes {from}-{}/{}", to - 1, 1 << 30);
                let headers = [("Content-Range", &*range), ("ETag", "\"1\"")];
                let drip = Step::Drip(vec![0; 1 << 20], std::time::Duration::from_millis(50));
                return Reply::announcing(to - from, 206, &headers, "").then(drip);
            }
            serves.answer(asked)
        });
        Self {
            server: server.await.expect("it listens"),
            state,
        }
    }

    pub(crate) fn builder(&self) -> RemoteCarBuilder {
        builder(&self.server)
    }

    pub(crate) async fn open(&self) -> Result<RemoteCarPinner, RemoteError> {
        self.builder().open().await
    }

    /// The number of requests so far.
    pub(crate) fn asked(&self) -> usize {
        self.server.requests().len()
    }
}

/// A builder for the archive at `/x.car`.
pub(crate) fn builder(server: &ToyServer) -> RemoteCarBuilder {
    let url: ArchiveUrl = format!("{}/x.car?secret=1", server.url())
        .parse()
        .expect("a URL");
    RemoteCarBuilder::new(url)
}
