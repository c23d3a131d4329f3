//! Makes an [`IpfsApiPinner`] from a client: the limits, and the one call to the node beforehand.

use std::{fmt, num::NonZeroUsize, time::Duration};

use ipfs_api_backend_hyper::IpfsClient;
use kubo_protocol::{Reason, Version};
use pinner_api::{Cause, PinnerError};
use serde::Deserialize;

use crate::{
    error::{Asked, CallError, ConnectError, Subject},
    pinner::IpfsApiPinner,
    request,
    rpc::{Connector, Limits, Rpc},
};

/// Builds an [`IpfsApiPinner`] with limits other than the defaults.
pub struct Builder<C: Connector> {
    client: IpfsClient<C>,
    limits: Limits,
}

// By hand: the client has no `Debug`, and holds a password.
impl<C: Connector> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The part of the answer of `version` that is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VersionAnswer {
    version: String,
}

/// The longest answer of `version`, in bytes, and how much of a wrong one is shown, in characters.
const MOST_VERSION: usize = 16 * 1024;
const SHOWN: usize = 200;

impl<C: Connector> IpfsApiPinner<C> {
    /// Connects through this client, with the default limits.
    ///
    /// # Errors
    /// See [`Builder::connect`].
    pub async fn connect(client: IpfsClient<C>) -> Result<Self, ConnectError> {
        Builder::new(client).connect().await
    }

    /// Returns a builder over this client, to set other limits.
    pub fn builder(client: IpfsClient<C>) -> Builder<C> {
        Builder::new(client)
    }
}

impl<C: Connector> Builder<C> {
    fn new(client: IpfsClient<C>) -> Self {
        Self {
            client,
            limits: Limits::default(),
        }
    }

    /// The absolute deadline of one block, the wait for a turn included, unless its request says less. 60 s unless set.
    pub fn block_deadline(mut self, deadline: Duration) -> Self {
        self.limits.block_deadline = deadline;
        self
    }

    /// The absolute deadline of calls for anything other than blocks and recursive pins, the wait for a turn included.
    /// 30 s unless set. In a listing of pins, it applies to each piece.
    pub fn call_deadline(mut self, deadline: Duration) -> Self {
        self.limits.call_deadline = deadline;
        self
    }

    /// How long a recursive pin may go without another block or byte. 120 s unless set.
    pub fn no_progress_deadline(mut self, deadline: Duration) -> Self {
        self.limits.no_progress_deadline = deadline;
        self
    }

    /// How many calls are made at once, each with a connection of its own. 16 unless set. The others wait. Recursive
    /// pins and listings are not counted.
    pub fn in_flight(mut self, calls: NonZeroUsize) -> Self {
        self.limits.in_flight = calls;
        self
    }

    /// How many recursive pins are made at once. 4 unless set. The others wait.
    pub fn pins_in_flight(mut self, pins: NonZeroUsize) -> Self {
        self.limits.pins_in_flight = pins;
        self
    }

    /// Asks the node for its version, which decides whether there are lazy pins, and returns the pinner. The node is
    /// not asked again: if it is replaced by an older one, connect anew.
    ///
    /// # Errors
    /// [`ConnectError`] says what to check. Nothing was changed on the node.
    pub async fn connect(self) -> Result<IpfsApiPinner<C>, ConnectError> {
        let rpc = Rpc::new(self.client, self.limits);
        let deadline = self.limits.call_deadline;
        let answer = rpc
            .whole(request::Version(&[]), MOST_VERSION, deadline)
            .await;
        let answer = answer.map_err(|error| unfit(error, deadline))?;
        let not_kubo = || ConnectError::NotKubo {
            answer: String::from_utf8_lossy(&answer)
                .chars()
                .take(SHOWN)
                .collect(),
        };
        let version: VersionAnswer = serde_json::from_slice(&answer).map_err(|_| not_kubo())?;
        let version: Version = version.version.parse().map_err(|_| not_kubo())?;
        Ok(IpfsApiPinner::over(rpc, version))
    }
}

fn unfit(error: CallError, deadline: Duration) -> ConnectError {
    let asked = Asked {
        operation: "version".into(),
        subject: Subject::Node,
    };
    match error {
        CallError::Refused(refusal) => match refusal.reason {
            Reason::Denied => ConnectError::Denied {
                reason: refusal.message,
            },
            Reason::RateLimited | Reason::DeadlineExceeded => ConnectError::Unreachable {
                source: CallError::Refused(refusal).about(asked, deadline),
            },
            // A Kubo node refuses `version` only for the reasons above.
            Reason::BlockAbsent { .. }
            | Reason::NotPinned
            | Reason::UpdateFromGone
            | Reason::UpdateToThere
            | Reason::EntryThere
            | Reason::EntryAbsent
            | Reason::NotUnixFs
            | Reason::NameAbsent
            | Reason::NameUnresolved
            | Reason::NoSuchCommand
            | Reason::BadRequest
            | Reason::Other => ConnectError::NotKubo {
                answer: refusal.message,
            },
        },
        CallError::Garbled(answer) => ConnectError::NotKubo { answer },
        CallError::Client(source) => ConnectError::Unreachable {
            source: PinnerError::Unavailable {
                operation: asked.operation,
                source: Some(Cause::new(source)),
            },
        },
        CallError::TimedOut(after) => ConnectError::Unreachable {
            source: PinnerError::TimedOut {
                operation: asked.operation,
                after,
            },
        },
    }
}
