//! Turns, for tests that measure time or load the machine and share a binary. Tests of one group run side by side, as
//! they would in a binary of their own. Tests of another group wait until the last of them has ended.

use std::sync::{Condvar, Mutex, PoisonError};

/// The group whose turn it is, and the number of its running tests.
static RUNNING: Mutex<(&str, usize)> = Mutex::new(("", 0));
static ENDED: Condvar = Condvar::new();

/// A running test of the group whose turn it is. The turn ends when all of them are dropped.
#[derive(Debug)]
#[must_use = "the turn is over when it is dropped"]
pub struct Turn(());

/// Waits for the turn of `group`, while tests of another group run. A test must call it first of all.
pub fn turn(group: &'static str) -> Turn {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let others_run = |(whose, tests): &mut (&'static str, usize)| *tests > 0 && *whose != group;
    let mut running = ENDED
        .wait_while(running, others_run)
        .unwrap_or_else(PoisonError::into_inner);
    *running = (group, running.1 + 1);
    Turn(())
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.1 -= 1;
        ENDED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::channel, thread, time::Duration};

    use super::*;

    #[test]
    fn a_group_runs_side_by_side_and_another_waits() {
        let (first, second) = (turn("one"), turn("one"));
        let (send, said) = channel();
        let other = thread::spawn(move || {
            let _turn = turn("other");
            send.send(()).expect("the test listens");
        });
        drop(first);
        said.recv_timeout(Duration::from_millis(50))
            .expect_err("one of the first group still runs");
        drop(second);
        said.recv().expect("its turn comes");
        other.join().expect("it ends");
    }
}
