//! The steps of a commit, an eviction and a start in a persistent directory, in their order. Tests kill the process
//! after each. `commit.rs`, `evict.rs` and `resume.rs` describe what holds between them. Outside of tests, this file
//! compiles to nothing.

/// A step that has just been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Commit: a slot is taken for a block; nothing is written yet.
    SlotTaken,
    /// Commit: the block's bytes are written.
    BytesWritten,
    /// Commit: its record is written.
    RecordWritten,
    /// Commit: the journal names the slot.
    CommitPublished,
    /// Eviction: nobody can lease the slot any more.
    SlotClaimed,
    /// Eviction: the record is cleared; the slot's bytes are still there.
    RecordCleared,
    /// Eviction: a unit of the index file without any record left is punched.
    UnitPunched,
    /// Eviction: the journal names the slot.
    EvictionPublished,
    /// Eviction: the slot's bytes are punched; its space is still reserved.
    SlotPunched,
    /// Eviction: the claim is released.
    ClaimReleased,
    /// Start: a record that does not stay is cleared.
    DroppedAtStart,
    /// Start: an index file is swept.
    IndexSwept,
    /// Start: a slot file is swept.
    SlotsSwept,
}

/// Reports that a step has been done.
#[cfg(not(any(test, shuttle)))]
#[inline(always)]
pub(crate) fn reached(_step: Step) {}

#[cfg(all(test, not(shuttle)))]
pub(crate) use armed::{arm, reached, steps_of};
#[cfg(shuttle)]
pub use watched::at_each_step;
#[cfg(shuttle)]
pub(crate) use watched::reached;

/// Lets a test kill its own process at a step, or record the steps.
#[cfg(all(test, not(shuttle)))]
mod armed {
    use std::{cell::RefCell, sync::Mutex};

    use rustix::process::{Signal, getpid, kill_process};

    use super::Step;

    impl Step {
        /// All steps.
        pub(crate) const ALL: [Self; 13] = [
            Self::SlotTaken,
            Self::BytesWritten,
            Self::RecordWritten,
            Self::CommitPublished,
            Self::SlotClaimed,
            Self::RecordCleared,
            Self::UnitPunched,
            Self::EvictionPublished,
            Self::SlotPunched,
            Self::ClaimReleased,
            Self::DroppedAtStart,
            Self::IndexSwept,
            Self::SlotsSwept,
        ];
    }

    /// The step at which this process kills itself, and how often it lets the step pass before.
    static ARMED: Mutex<Option<(Step, u32)>> = Mutex::new(None);

    /// Kills this process at `step`, once it has passed it `passes` times.
    pub(crate) fn arm(step: Step, passes: u32) {
        *ARMED.lock().unwrap() = Some((step, passes));
    }

    thread_local! {
        /// The steps of this thread so far.
        static DONE: RefCell<Vec<Step>> = const { RefCell::new(Vec::new()) };
    }

    /// Runs `work` and returns the steps that this thread does in it.
    pub(crate) fn steps_of(work: impl FnOnce()) -> Vec<Step> {
        DONE.take();
        work();
        DONE.take()
    }

    /// Called at each step.
    pub(crate) fn reached(step: Step) {
        DONE.with_borrow_mut(|done| done.push(step));
        let mut armed = ARMED.lock().unwrap();
        match &mut *armed {
            Some((at, 0)) if *at == step => kill_process(getpid(), Signal::KILL).unwrap(),
            Some((at, left)) if *at == step => *left -= 1,
            _ => {}
        }
    }
}

/// How a model looks at the disk after each step, and the scheduler goes elsewhere.
#[cfg(shuttle)]
mod watched {
    use std::cell::RefCell;

    use super::Step;
    use crate::sync::point;

    thread_local! {
        /// Of the thread that runs the model: all threads of the model run on it, by turns.
        static LOOK: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
    }

    /// Calls `look` after each step of a commit and of an eviction, whichever thread of the model does it. It must not
    /// use what is scheduled.
    pub fn at_each_step(look: impl Fn() + 'static) {
        LOOK.set(Some(Box::new(look)));
    }

    /// Called at each step.
    pub(crate) fn reached(_step: Step) {
        LOOK.with_borrow(|look| look.as_ref().map(|look| look()));
        point();
    }
}
