//! Streams for the guest, each with the future that tells how it ended: at its end, or with an error.
//!
//! Invariant (I7): the outcome is "no error" only if the producer came to the end, or if the guest dropped the stream
//! before.

use std::{iter, sync::Arc};

use tokio::sync::oneshot;
use wasmtime::{
    AsContextMut,
    component::{FutureReader, Lift, Lower, StreamProducer, StreamReader},
};
use wasmtime_wasi::p3::bindings::filesystem::types::ErrorCode;

use crate::{
    errno::{Code, Failures},
    node::Error,
};

/// A stream and the future of its outcome, as the guest gets them.
pub(crate) type Streamed<T> = (StreamReader<T>, Ended);

/// The future of an outcome, as the guest gets it.
pub(crate) type Ended = FutureReader<Result<(), ErrorCode>>;

/// The source of that future.
type Told = oneshot::Receiver<Result<(), ErrorCode>>;

/// The producer's end of it.
pub(crate) struct Outcome {
    tell: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    failures: Arc<Failures>,
}

impl Outcome {
    pub(crate) fn new(failures: Arc<Failures>) -> (Self, Told) {
        let (tell, told) = oneshot::channel();
        let tell = Some(tell);
        (Self { tell, failures }, told)
    }

    /// The stream is at its end.
    pub(crate) fn end(&mut self) {
        self.tell(Ok(()));
    }

    /// The stream ends here, because of an error.
    pub(crate) fn failed(&mut self, error: &Error) {
        let code = self.failures.log(error);
        self.tell(Err(code.into()));
    }

    fn tell(&mut self, outcome: Result<(), ErrorCode>) {
        if let Some(tell) = self.tell.take() {
            // A guest that dropped the future does not want to know.
            _ = tell.send(outcome);
        }
    }
}

impl Drop for Outcome {
    /// The guest dropped the stream, unless the outcome was told before.
    fn drop(&mut self) {
        self.tell(Ok(()));
    }
}

/// Makes a stream and its future.
pub(crate) fn streamed<S: AsContextMut, T: Lower + Lift + Send + Sync + 'static>(
    mut store: S,
    producer: impl StreamProducer<S::Data, Item = T>,
    told: Told,
) -> wasmtime::Result<Streamed<T>> {
    let stream = StreamReader::new(&mut store, producer)?;
    Ok((stream, FutureReader::new(&mut store, told)?))
}

/// Makes a stream that ends at once, because of an error.
pub(crate) fn refused<T: Lower + Lift + Send + Sync + 'static>(
    mut store: impl AsContextMut,
    code: Code,
) -> wasmtime::Result<Streamed<T>> {
    let stream = StreamReader::new(&mut store, iter::empty())?;
    Ok((stream, ended(store, code)?))
}

/// Takes none of a guest's data.
pub(crate) fn refuse_data(
    mut store: impl AsContextMut,
    mut data: StreamReader<u8>,
    code: Code,
) -> wasmtime::Result<Ended> {
    data.close(&mut store)?;
    ended(store, code)
}

/// The future of an error that is there already.
fn ended(store: impl AsContextMut, code: Code) -> wasmtime::Result<Ended> {
    let error = Err(ErrorCode::from(code));
    FutureReader::new(store, async move { wasmtime::error::Ok(error) })
}
