//! Counted recursive pins: one pinned wrapper for each `(holder, root)`; see [`Wrapper`].
//!
//! Invariants: roots are never pinned themselves, so no pin of the node's owner is touched. A pinned wrapper is not
//! pinned again: Kubo removes the old pin first, and does not restore it if the new one fails or is cancelled.

use std::collections::VecDeque;

use futures_util::{Stream, TryStreamExt, stream};
use kubo_protocol::{PinAddLine, Pinned, Reason, Wrapper};
use pinner_api::{Cause, Cid, Holder, Pin, PinDepth, PinnerError};
use tokio::time::Instant;

use crate::{
    error::{Asked, CallError, Subject},
    keys::PinKeys,
    lines::Lines,
    pinner::IpfsApiPinner,
    request,
    rpc::{Answer, Connector},
};

/// The answer ended too early. The trailer that says why is dropped by the client.
#[derive(Debug, thiserror::Error)]
#[error(
    "the node ended its answer before the pin was made; a block may be missing, or the node ran out of time (its \
     reason is in an HTTP trailer, which this client drops)"
)]
struct EndedEarly;

impl<C: Connector> IpfsApiPinner<C> {
    pub(crate) async fn pin_recursively(
        &self,
        holder: &Holder,
        root: &Cid,
    ) -> Result<(), PinnerError> {
        let wrapper = Wrapper::new(*holder, *root);
        let turn = self.recursive.turn(&wrapper);
        let _turn = turn.lock().await;
        let text = wrapper.to_string();
        if !self.is_pinned(&wrapper, &text).await? && !self.copy_pin(&wrapper, &text).await? {
            self.add_pin(&wrapper, &text).await?;
        }
        self.recursive.remember(&wrapper);
        Ok(())
    }

    /// Whether the wrapper is pinned now.
    async fn is_pinned(&self, wrapper: &Wrapper, text: &str) -> Result<bool, PinnerError> {
        let call = request::PinLs(&[("arg", text), ("type", "recursive")]);
        let deadline = self.rpc.limits().call_deadline;
        match self.rpc.whole(call, 64 * 1024, deadline).await {
            Ok(answer) => {
                let (mut keys, mut listed) = (PinKeys::default(), false);
                let read = keys.take(&answer, |key| listed |= key == text);
                match read.is_ok() && keys.is_whole() && listed {
                    true => Ok(true),
                    false => Err(
                        CallError::Garbled("the answer does not list the CID".into())
                            .about(asked(&call, wrapper), deadline),
                    ),
                }
            }
            Err(error) if error.reason() == Some(Reason::NotPinned) => Ok(false),
            Err(error) => Err(error.about(asked(&call, wrapper), deadline)),
        }
    }

    /// Makes the pin from another holder's pin of the same root, if one is known here: the node then has the DAG and
    /// does not walk it again. Returns whether the pin was made.
    async fn copy_pin(&self, wrapper: &Wrapper, text: &str) -> Result<bool, PinnerError> {
        let Some(other) = self.recursive.beside(wrapper) else {
            return Ok(false);
        };
        let from = other.to_string();
        let call = request::PinUpdate(&[("arg", &from), ("arg", text), ("unpin", "false")]);
        match self.rpc.document::<_, Pinned>(call).await {
            Ok(Pinned { pins, .. }) if pins.iter().any(|pin| pin.contains(text)) => Ok(true),
            Ok(Pinned { .. }) => Ok(false),
            Err(error) => match error.reason() {
                Some(Reason::UpdateToThere) => Ok(true),
                // Released, or removed by the node's owner: the DAG has to be walked.
                Some(Reason::UpdateFromGone) => {
                    self.recursive.forget(&other);
                    Ok(false)
                }
                _refused_or_failed => {
                    Err(error.about(asked(&call, wrapper), self.rpc.limits().call_deadline))
                }
            },
        }
    }

    /// Has the node fetch the whole DAG and pin it.
    async fn add_pin(&self, wrapper: &Wrapper, text: &str) -> Result<(), PinnerError> {
        let _turn = self.rpc.pin_turn().await;
        let call = request::PinAdd(&[("arg", text), ("recursive", "true"), ("progress", "true")]);
        let patience = self.rpc.limits().no_progress_deadline;
        let fails = |error: CallError| error.about(asked(&call, wrapper), patience);
        let mut answer = self.rpc.answer(call).map_err(fails)?;
        let (mut lines, mut reached) = (Lines::default(), (0, 0));
        let mut until = Instant::now() + patience;
        loop {
            let bytes = answer.next_until(until, patience).await.map_err(fails)?;
            let read: Result<Vec<PinAddLine>, String> = match &bytes {
                Some(bytes) => lines.take(bytes),
                None => lines.end().map(|line| line.into_iter().collect()),
            };
            for line in read.map_err(|wrong| fails(CallError::Garbled(wrong)))? {
                // Only a line that names the pin is a success, whatever else comes.
                if line.pins.iter().flatten().any(|pin| pin == text) {
                    return Ok(());
                }
                let now = (line.progress, line.bytes);
                if now > reached {
                    reached = now;
                    until = Instant::now() + patience;
                }
            }
            if bytes.is_none() {
                return Err(fails(CallError::Client(Cause::new(EndedEarly))));
            }
        }
    }

    pub(crate) async fn unpin_recursive(
        &self,
        holder: &Holder,
        root: &Cid,
    ) -> Result<(), PinnerError> {
        let wrapper = Wrapper::new(*holder, *root);
        self.recursive.forget(&wrapper);
        let text = wrapper.to_string();
        let call = request::PinRm(&[("arg", &text), ("recursive", "true")]);
        match self.rpc.document::<_, Pinned>(call).await {
            Ok(Pinned { .. }) => Ok(()),
            Err(error) if error.reason() == Some(Reason::NotPinned) => Ok(()),
            Err(error) => Err(error.about(asked(&call, &wrapper), self.rpc.limits().call_deadline)),
        }
    }

    /// Returns every wrapper among the node's recursive pins, as the listing comes in.
    pub(crate) fn recursive_pins(
        &self,
    ) -> impl Stream<Item = Result<Pin, PinnerError>> + Send + '_ {
        let call = request::PinLs(&[("type", "recursive")]);
        let patience = self.rpc.limits().call_deadline;
        let fails = move |error: CallError| {
            let asked = Asked {
                operation: request::name_of(&call).to_owned(),
                subject: Subject::Node,
            };
            error.about(asked, patience)
        };
        // The call is made when the stream is first polled, as with the other methods.
        let answer = stream::once(async move { self.rpc.answer(call) });
        answer
            .map_ok(move |answer| {
                let state = (answer, PinKeys::default(), VecDeque::new());
                stream::try_unfold(state, move |(mut answer, mut keys, mut found)| async move {
                    loop {
                        if let Some(pin) = found.pop_front() {
                            return Ok(Some((pin, (answer, keys, found))));
                        }
                        if !more_pins(&mut answer, &mut keys, &mut found, patience).await? {
                            return Ok(None);
                        }
                    }
                })
            })
            .try_flatten()
            .map_err(fails)
    }
}

/// Reads the next piece. Returns whether there is more.
async fn more_pins(
    answer: &mut Answer,
    keys: &mut PinKeys,
    found: &mut VecDeque<Pin>,
    patience: std::time::Duration,
) -> Result<bool, CallError> {
    let until = Instant::now() + patience;
    match answer.next_until(until, patience).await? {
        Some(bytes) => keys
            .take(&bytes, |key| {
                found
                    .extend(Wrapper::parse(key).map(|wrapper| {
                        Pin::new(wrapper.holder, wrapper.root, PinDepth::Recursive)
                    }));
            })
            .map(|()| true)
            .map_err(|wrong| CallError::Garbled(wrong.to_string())),
        None if keys.is_whole() => Ok(false),
        None => Err(CallError::Garbled("the listing is incomplete".into())),
    }
}

fn asked<R: ipfs_api_prelude::ApiRequest>(call: &R, wrapper: &Wrapper) -> Asked {
    Asked {
        operation: format!(
            "{} for {} by holder {}",
            request::name_of(call),
            wrapper.root,
            wrapper.holder
        ),
        subject: Subject::Block(wrapper.root),
    }
}
