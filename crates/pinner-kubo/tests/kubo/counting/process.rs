//! Another process that holds a pin: this test program again, told by its environment what to do.
//!
//! It prints `pinned` once it has pinned, and waits until it is told to release or its standard input ends. Then it
//! ends too, so it cannot outlive the test that started it.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use pinner_api::{Cid, Holder, PinDepth, Pinner};

const REPO: &str = "PINNER_KUBO_TEST_REPO";
const HOLDER: &str = "PINNER_KUBO_TEST_HOLDER";
const ROOT: &str = "PINNER_KUBO_TEST_ROOT";
const DEPTH: &str = "PINNER_KUBO_TEST_DEPTH";

/// A process that holds one pin.
pub(crate) struct HolderProcess {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl HolderProcess {
    /// Starts the process, and returns once it has pinned.
    pub(crate) fn start(repo: &Path, holder: Holder, root: Cid, depth: PinDepth) -> Self {
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args([
                "--exact",
                "counting::as_a_process_of_its_own",
                "--nocapture",
            ])
            .env(REPO, repo)
            .env(HOLDER, holder.to_string())
            .env(ROOT, root.to_string())
            .env(DEPTH, format!("{depth:?}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut process = Self {
            input: child.stdin.take(),
            child,
            output,
        };
        process.until("pinned");
        process
    }

    /// Tells the process to release its pin, and waits for its end.
    pub(crate) fn release(&mut self) {
        let mut input = self.input.take().expect("not released yet");
        input.write_all(b"release\n").expect("it listens");
        self.until("released");
        assert!(self.child.wait().expect("it ends").success());
    }

    /// Kills the process (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is dead");
    }

    fn until(&mut self, wanted: &str) {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("text");
            assert!(read > 0, "it ended before '{wanted}', and said: {said}");
            if line.trim_end() == wanted {
                return;
            }
            said.push_str(&line);
        }
    }
}

impl Drop for HolderProcess {
    fn drop(&mut self) {
        // Dropping its input ends it. It is killed as well, and waited for.
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Holds a pin, if this process was started for that.
pub(crate) fn run_if_asked() {
    let Some(repo) = env::var_os(REPO) else {
        return;
    };
    let text = |name| env::var(name).expect("whoever sets one sets all");
    let holder: Holder = text(HOLDER).parse().expect("a holder");
    let root: Cid = text(ROOT).parse().expect("a CID");
    let depth = match text(DEPTH).as_str() {
        "Lazy" => PinDepth::Lazy,
        _ => PinDepth::Recursive,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let pinner = runtime.block_on(super::connect(Path::new(&repo)));
    let pinned = runtime.block_on(pinner.pin(&holder, &root, depth));
    pinned.expect("the pin is made");
    say("pinned");
    let mut told = String::new();
    io::stdin().read_line(&mut told).expect("text");
    if told.trim_end() == "release" {
        let released = runtime.block_on(pinner.unpin(&holder, &root));
        released.expect("the pin is released");
        say("released");
    }
}

fn say(word: &str) {
    let mut out = io::stdout().lock();
    // The test harness has written a line without a newline.
    write!(out, "\n{word}\n").expect("somebody listens");
    out.flush().expect("somebody listens");
}
