//! The program itself: where it is, and the line that says that a test did not run because it is missing.

use std::{env, path::PathBuf};

use crate::Node;

/// An installed `ipfs` program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubo {
    program: PathBuf,
}

impl Kubo {
    /// The variable that names the program: `cargo xtask test --kubo` sets it.
    pub const VARIABLE: &'static str = "WASI_IPFS_KUBO";

    /// The program that [`VARIABLE`](Self::VARIABLE) names. If it is unset, nobody asked for tests with a node.
    ///
    /// The path is first used when a node is started: a wrong path is a failure, not an absence.
    pub fn find() -> Option<Self> {
        let program = env::var_os(Self::VARIABLE).filter(|program| !program.is_empty())?;
        Some(Self::at(program))
    }

    /// The program at this path.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
        }
    }

    /// The program's path.
    pub fn program(&self) -> &std::path::Path {
        &self.program
    }

    /// A node to be started; see [`Node`] for its defaults.
    pub fn node(&self) -> Node {
        Node::new(self.clone())
    }
}

/// The [`Kubo`] to test with. If there is none, prints `NOT RUN: kubo: …` on standard output and returns.
///
/// `cargo xtask test` collects these lines, and with `--kubo` each of them fails the run.
///
/// ```no_run
/// # fn a_test() {
/// let kubo = kubo_daemon::kubo_or_not_run!("pins are counted");
/// # }
/// # fn another() -> Result<(), String> {
/// let kubo = kubo_daemon::kubo_or_not_run!("pins are counted", Ok(()));
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! kubo_or_not_run {
    ($what:expr) => {
        $crate::kubo_or_not_run!($what, ())
    };
    ($what:expr, $result:expr) => {
        match $crate::Kubo::find() {
            Some(kubo) => kubo,
            None => {
                let variable = $crate::Kubo::VARIABLE;
                println!("NOT RUN: kubo: {}: {variable} names no program", $what);
                return $result;
            }
        }
    };
}
