//! A long-running child process that cannot outlive this one.
//!
//! `Drop` covers a test that returns or panics, but nothing in this process covers a process that is killed. So a shell
//! stands between: it runs the program, and reads from a pipe that only this process holds open. When the pipe closes,
//! for whatever reason, the shell kills the program and removes its folder. (`prctl(PR_SET_PDEATHSIG)` would need
//! unsafe code here, and is bound to the *thread* that started the child.)
//!
//! Invariant: the group's id is the shell's process id, which the system does not reuse until we have waited for it, so
//! no signal reaches an unrelated process.

use std::{
    ffi::OsStr,
    fmt, fs,
    io::{self, BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{Error, Result};

/// The arguments are the folder, the program, and the program's arguments. The inner shell prints its process id first,
/// then becomes the program. If the program dies by SIGKILL (status 137) and the shell lives, the guard killed it, and
/// the shell cleans up. The outer shell prints nothing: if this process no longer read its output, SIGPIPE would end
/// the shell before it had cleaned up.
const SHELL: &str = r#"
folder=$1
shift
exec 3<&0 2>&1
( exec 3<&- </dev/null; exec sh -c 'echo "$$"; exec "$@"' program "$@" ) &
program=$!
exec >/dev/null 2>&1
( read -r _ <&3; kill -s KILL "$program" ) &
guard=$!
wait "$program"
status=$?
kill -s KILL "$guard"
if [ "$status" -eq 137 ]; then
    rm -rf -- "$folder"
    kill -s KILL -- "-$$"
fi
exit "$status"
"#;

/// Lines of output kept for the message of a failure.
const KEPT_LINES: usize = 200;

/// How long a program may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// The running program.
pub(crate) struct Guarded {
    program: PathBuf,
    shell: Child,
    /// Closes with this process.
    _pipe: Option<ChildStdin>,
    pid: Pid,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

/// The outcome of a start.
#[derive(Debug)]
pub(crate) enum Start {
    /// The program printed the line that says it is ready.
    Ready(Guarded),
    /// The program ended first, and printed this.
    Ended(String),
    /// The program was not ready in time, and was killed. It had printed this.
    Late(String),
}

impl Guarded {
    /// Starts `program` and waits until it prints a line that contains `ready`. `folder` holds its state, and is
    /// removed when this process can no longer do that itself.
    ///
    /// # Errors
    /// If the program cannot be started. A program that starts and ends is not an error.
    pub(crate) fn start<'a>(
        program: &Path,
        folder: &Path,
        arguments: impl IntoIterator<Item = &'a OsStr>,
        environment: impl FnOnce(&mut Command),
        ready: &'static str,
        within: Duration,
    ) -> Result<Start> {
        let cannot = || Error::io(format!("start {}", program.display()));
        let mut command = Command::new("sh");
        command.args(["-c", SHELL, "guard"]);
        command.arg(folder).arg(program);
        command.args(arguments);
        environment(&mut command);
        // A group of its own: Ctrl-C ends this process, and then the closed pipe ends the group.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null());
        let mut shell = command.spawn().map_err(cannot())?;
        let (pipe, output) = (shell.stdin.take(), shell.stdout.take());
        let output = output.ok_or_else(|| io::Error::other("it has no output"));
        let mut output = BufReader::new(output.map_err(cannot())?);

        let mut first = String::new();
        output.read_line(&mut first).map_err(cannot())?;
        let pid = first.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::unreadable("sh", format!("{first:?} is not a pid")))?;

        let log = Arc::new(Mutex::new(Vec::new()));
        let (is_ready, wait) = mpsc::channel();
        let reader = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                for line in output.split(b'\n').map_while(io::Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    if line.contains(ready) {
                        // The receiver is gone after the first such line.
                        let _ = is_ready.send(());
                    }
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    if log.len() == KEPT_LINES {
                        log.remove(0);
                    }
                    log.push(line);
                }
            })
        };
        let mut guarded = Self {
            program: program.to_owned(),
            shell,
            _pipe: pipe,
            pid,
            log,
            reader: Some(reader),
        };
        Ok(match wait.recv_timeout(within) {
            Ok(()) => Start::Ready(guarded),
            Err(why) => {
                guarded.kill();
                match why {
                    mpsc::RecvTimeoutError::Disconnected => Start::Ended(guarded.log()),
                    mpsc::RecvTimeoutError::Timeout => Start::Late(guarded.log()),
                }
            }
        })
    }

    /// The last lines that it printed so far.
    pub(crate) fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.join("\n")
    }

    /// The program's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal to the program alone.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        let sent = match self.ended() {
            Ok(None) => kill_process(self.pid, signal).map_err(io::Error::from),
            Ok(Some(status)) => Err(io::Error::other(format!("it has ended: {status}"))),
            Err(error) => Err(error),
        };
        sent.map_err(Error::io(format!(
            "send a signal to {}",
            self.program.display()
        )))
    }

    /// Stops the program (SIGSTOP), and waits until all of its threads have stopped. A thread on another core runs
    /// until the kernel interrupts it, which is long enough to answer a call.
    ///
    /// # Errors
    /// If it has ended, or does not stop.
    pub(crate) fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let until = Instant::now() + GRACE;
        let stopped = loop {
            match all_threads_stopped(self.pid()) {
                Ok(false) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
                Ok(false) => break Err(io::ErrorKind::TimedOut.into()),
                Ok(true) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        stopped.map_err(Error::io(format!("stop {}", self.program.display())))
    }

    /// Asks the program to end (SIGTERM), waits for that, and kills it if it does not end in time.
    pub(crate) fn terminate(&mut self) {
        // An error means that it has ended already. A stopped program gets the signal once it continues.
        if self.signal(Signal::TERM).is_ok() && self.signal(Signal::CONT).is_ok() {
            let until = Instant::now() + GRACE;
            while Instant::now() < until && matches!(self.ended(), Ok(None)) {
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.kill();
    }

    /// Kills the group and waits for its end.
    pub(crate) fn kill(&mut self) {
        if let (Ok(None), Some(shell)) = (self.ended(), self.shell_pid()) {
            // The shell first, or it would take the program's death for the guard's doing. The shell may also end right
            // now.
            let _ = kill_process(shell, Signal::KILL);
            let _ = kill_process_group(shell, Signal::KILL);
            let _ = self.shell.wait();
        }
        if let Some(reader) = self.reader.take() {
            // The reader ends with the output, whose writers have ended.
            let _ = reader.join();
        }
    }

    fn shell_pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.shell.id()).ok()?)
    }

    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.shell.try_wait()
    }
}

/// Returns whether all threads of a process have stopped. In proc_pid_stat(5), the state follows the name in
/// parentheses.
fn all_threads_stopped(pid: u32) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = match fs::read_to_string(thread?.path().join("stat")) {
            Ok(stat) => stat,
            // The thread has just ended; all are checked again.
            Err(_) => return Ok(false),
        };
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        if !state.is_some_and(|state| state.starts_with('T')) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.terminate();
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("program", &self.program)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}
