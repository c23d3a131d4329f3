//! [`Progress`]: how far a call has come, for those who may drop it.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use crate::Waiting;

/// How far a call has come. A clone shows the same call.
///
/// A caller that drops a call learns here what the call was waiting for.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU8>);

impl Progress {
    /// The step that the call waits for: its turn, if it was not begun.
    pub fn waiting(&self) -> Waiting {
        match self.0.load(Ordering::Relaxed) {
            0 => Waiting::Turn,
            1 => Waiting::Answer,
            _ => Waiting::Rest,
        }
    }

    pub(crate) fn has_come_to(&self, step: Waiting) {
        let step = match step {
            Waiting::Turn => 0,
            Waiting::Answer => 1,
            Waiting::Rest => 2,
        };
        self.0.store(step, Ordering::Relaxed);
    }
}
