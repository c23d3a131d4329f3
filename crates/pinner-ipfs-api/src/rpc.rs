//! Calls through the host's client, with the deadlines and limits that the client lacks.
//!
//! Invariants: no call waits for ever, and no answer takes more memory than its limit. (There is one exception that
//! cannot be fixed from outside: the client reads the whole body of a *refused* call before it returns the error, so
//! only the deadline bounds it.)

use std::{fmt, num::NonZeroUsize, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream::BoxStream};
use hyper_0_14::client::connect::Connect;
use ipfs_api_backend_hyper::IpfsClient;
use ipfs_api_prelude::{ApiRequest, Backend};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use crate::{error::CallError, lines::Lines};

/// The longest answer other than a block that is read whole: a listing of an MFS directory, with some 100 bytes for
/// each entry.
const MOST_ANSWER: usize = 64 * 1024 * 1024;

/// Deadlines, and how many calls are made at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) block_deadline: Duration,
    pub(crate) call_deadline: Duration,
    pub(crate) no_progress_deadline: Duration,
    pub(crate) in_flight: NonZeroUsize,
    pub(crate) pins_in_flight: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block_deadline: Duration::from_secs(60),
            call_deadline: Duration::from_secs(30),
            no_progress_deadline: Duration::from_secs(120),
            in_flight: const { NonZeroUsize::new(16).unwrap() },
            pins_in_flight: const { NonZeroUsize::new(4).unwrap() },
        }
    }
}

/// The bounds that the client's connector has to satisfy here.
///
/// Implemented for every type that satisfies them: `hyper` 0.14's `HttpConnector`, and those of the client's TLS
/// features.
pub trait Connector: Connect + Clone + Send + Sync + 'static {}

impl<C: Connect + Clone + Send + Sync + 'static> Connector for C {}

/// The client and its limits.
pub(crate) struct Rpc<C: Connector> {
    client: IpfsClient<C>,
    limits: Limits,
    /// For short calls.
    calls: Semaphore,
    /// For pins, which may take hours, so that they do not delay the short calls.
    pins: Semaphore,
}

impl<C: Connector> Rpc<C> {
    pub(crate) fn new(client: IpfsClient<C>, limits: Limits) -> Self {
        Self {
            client,
            calls: Semaphore::new(limits.in_flight.get()),
            pins: Semaphore::new(limits.pins_in_flight.get()),
            limits,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Waits for a turn to make a pin, which may take long.
    pub(crate) async fn pin_turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.pins.acquire().await.ok()
    }

    /// Returns the whole answer, of at most `most` bytes, within `deadline` from now, the wait for a turn included.
    pub(crate) async fn whole<R: ApiRequest>(
        &self,
        request: R,
        most: usize,
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        let until = Instant::now() + deadline;
        let turn = timeout_at(until, self.calls.acquire()).await;
        let _turn = turn.map_err(|_elapsed| CallError::TimedOut(deadline))?;
        let mut answer = self.answer(request)?;
        let mut whole = BytesMut::new();
        while let Some(bytes) = answer.next_until(until, deadline).await? {
            if whole.len() + bytes.len() > most {
                return Err(CallError::Garbled(format!("more than {most} bytes")));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }

    /// Returns an answer that is one JSON document.
    pub(crate) async fn document<R: ApiRequest, T: DeserializeOwned>(
        &self,
        request: R,
    ) -> Result<T, CallError> {
        let deadline = self.limits.call_deadline;
        let whole = self.whole(request, MOST_ANSWER, deadline).await?;
        serde_json::from_slice(&whole)
            .map_err(|wrong| CallError::Garbled(format!("{} bytes, {wrong}", whole.len())))
    }

    /// Makes a call whose answer is empty when it succeeds.
    ///
    /// A body with status 200 says why it failed, with one JSON string on each line. The last of the errors is in the
    /// trailer, and so lost, which does no harm here.
    pub(crate) async fn silence<R: ApiRequest>(&self, request: R) -> Result<(), CallError> {
        let deadline = self.limits.call_deadline;
        let said = self.whole(request, 64 * 1024, deadline).await?;
        if said.is_empty() {
            return Ok(());
        }
        let mut lines = Lines::default();
        let mut words: Vec<String> = lines.take(&said).map_err(CallError::Garbled)?;
        words.extend(lines.end().map_err(CallError::Garbled)?);
        let words = words.join("; ");
        Err(CallError::Refused(kubo_protocol::Refusal::from_message(
            &words,
        )))
    }

    /// Returns the answer as it comes in. It takes no turn, because its reader may pause for any time.
    pub(crate) fn answer<R: ApiRequest>(&self, request: R) -> Result<Answer, CallError> {
        let request = self.client.build_base_request(request, None)?;
        Ok(Answer(self.client.request_stream_bytes(request).boxed()))
    }
}

impl<C: Connector> fmt::Debug for Rpc<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client has no `Debug`, and holds a password.
        f.debug_struct("Rpc")
            .field("limits", &self.limits)
            .field("calls", &self.calls.available_permits())
            .finish_non_exhaustive()
    }
}

/// An answer as it comes in. Dropping it closes the connection, which also ends the call on the node.
pub(crate) struct Answer(BoxStream<'static, Result<Bytes, ipfs_api_backend_hyper::Error>>);

impl Answer {
    /// Returns the next bytes, or `None` at the answer's end. The error names `deadline`.
    pub(crate) async fn next_until(
        &mut self,
        until: Instant,
        deadline: Duration,
    ) -> Result<Option<Bytes>, CallError> {
        // Check the time first: a node that always has something to read would otherwise never time out.
        if Instant::now() >= until {
            return Err(CallError::TimedOut(deadline));
        }
        match timeout_at(until, self.0.next()).await {
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(error))) => Err(error.into()),
            Ok(None) => Ok(None),
            Err(_elapsed) => Err(CallError::TimedOut(deadline)),
        }
    }
}
