//! The signals that end a command, and the exit statuses for them.
//!
//! They are caught before anything is written to disk, so that they leave nothing behind.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signal that asked the process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGHUP, from a terminal or a connection that was closed.
    Hangup,
    /// SIGINT, from Ctrl-C.
    Interrupt,
    /// SIGQUIT, from Ctrl-\.
    Quit,
    /// SIGTERM, from a supervisor.
    Terminate,
}

impl Stop {
    /// 128 + the signal's number, as a shell reports a process that died of it.
    pub(crate) fn status(self) -> i32 {
        match self {
            Self::Hangup => 128 + 1,
            Self::Interrupt => 128 + 2,
            Self::Quit => 128 + 3,
            Self::Terminate => 128 + 15,
        }
    }
}

/// The signals, caught from the call of [`listen`](Self::listen) on.
#[derive(Debug)]
pub(crate) struct Signals {
    /// `None` under `nohup`.
    hangup: Option<Signal>,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
}

impl Signals {
    /// Starts to catch the signals.
    pub(crate) fn listen() -> io::Result<Self> {
        let hangup = match is_ignored(SignalKind::hangup()) {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self {
            hangup,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> Stop {
        let Self {
            hangup,
            interrupt,
            quit,
            terminate,
        } = self;
        let hangup = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(()) = hangup => Stop::Hangup,
            Some(()) = interrupt.recv() => Stop::Interrupt,
            Some(()) = quit.recv() => Stop::Quit,
            Some(()) = terminate.recv() => Stop::Terminate,
            else => std::future::pending().await,
        }
    }
}

/// Whether the process was started with the signal ignored. Catching it would undo what `nohup` is for.
fn is_ignored(kind: SignalKind) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return false;
    };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
