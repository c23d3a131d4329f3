//! Other people's tests: programs, each with what it is given and what is expected of it in a file beside it, in the
//! form of WebAssembly's wasi-testsuite. Each runs by wasmtime-wasi alone and with the adapter, on equal directories
//! of its own, and both must end alike: without IPFS, and with it. With it, a guest finds one more directory open, which
//! some tests notice; so wasmtime-wasi then gets an empty directory of that name.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use pinset::Access;
use serde_json::Value;
use tempfile::TempDir;
use wasi_ipfs_fs::IpfsCtx;
use wasmtime_wasi::FsPerms;

use crate::{End, Outcome, Preview, Program, Run, Sharing, Variant};

/// The longest that a program may take, if it waits in a call of the host's.
const DEADLINE: Duration = Duration::from_secs(60);

/// A test.
#[derive(Clone, Debug)]
pub struct Case {
    /// The path below the folder of tests, without an extension.
    pub name: String,
    program: PathBuf,
    given: Given,
}

/// The inputs of a test, and what is expected of it.
#[derive(Clone, Debug, Default)]
struct Given {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    stdin: Vec<u8>,
    /// The directories beside the program, each with its name for the guest.
    directories: Vec<(PathBuf, String)>,
    status: i32,
    stdout: Option<String>,
    stderr: Option<String>,
    /// The thing that it needs and this harness has not.
    needs: Option<String>,
}

/// A way to run a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By wasmtime-wasi.
    Native,
    /// By wasmtime-wasi, with an empty directory in the place of `/ipfs`.
    NativeBesideEmpty,
    /// With the adapter, without IPFS.
    Adapter,
    /// With the adapter, and an IPFS in which there is nothing.
    Ipfs,
}

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both ended alike: as expected, or not.
    Alike {
        /// Whether it was as expected.
        passes: bool,
    },
    /// It ends as expected with the adapter alone.
    Gained(String),
    /// Both ended differently.
    Different(String),
    /// It needs something that this harness has not.
    NotRun(String),
}

/// Returns the tests in a folder and below it, by name.
///
/// # Errors
/// A folder or file that cannot be read, or a description that is not JSON.
pub fn find(folder: &Path) -> io::Result<Vec<Case>> {
    let mut cases = Vec::new();
    find_below(folder, "", &mut cases)?;
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(cases)
}

fn find_below(folder: &Path, below: &str, cases: &mut Vec<Case>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{below}{stem}");
        if path.is_dir() {
            find_below(&path, &format!("{name}/"), cases)?;
        } else if path.extension().is_some_and(|it| it == "wasm") {
            let described = path.with_extension("json");
            let text = match described.exists() {
                true => fs::read(&described)?,
                false => b"{}".to_vec(),
            };
            cases.push(Case {
                name,
                given: Given::read(&serde_json::from_slice(&text)?, folder),
                program: path,
            });
        }
    }
    Ok(())
}

impl Given {
    /// Reads a description of either form: all in one, or as a list of operations.
    fn read(text: &Value, folder: &Path) -> Self {
        let mut given = Self::default();
        if let Some(needed) = text["proposals"].as_array().and_then(|list| list.first()) {
            given.needs = Some(needed.to_string());
        }
        let Some(operations) = text["operations"].as_array() else {
            given.run(text, folder);
            given.end(text);
            given.stdout = text["stdout"].as_str().map(str::to_owned);
            given.stderr = text["stderr"].as_str().map(str::to_owned);
            return given;
        };
        for operation in operations {
            let payload = operation["payload"].as_str().unwrap_or_default();
            match (operation["type"].as_str(), operation["id"].as_str()) {
                (Some("run"), _) => given.run(operation, folder),
                (Some("wait"), _) => given.end(operation),
                (Some("write"), _) => given.stdin.extend_from_slice(payload.as_bytes()),
                (Some("read"), Some("stderr")) => {
                    given.stderr.get_or_insert_default().push_str(payload);
                }
                (Some("read"), _) => given.stdout.get_or_insert_default().push_str(payload),
                (other, _) => given.needs = Some(format!("{other:?}")),
            }
        }
        given
    }

    fn run(&mut self, text: &Value, folder: &Path) {
        let words = |value: &Value| -> Vec<String> {
            let list = value.as_array().into_iter().flatten();
            list.filter_map(|word| word.as_str().map(str::to_owned))
                .collect()
        };
        self.arguments = words(&text["args"]);
        for (name, value) in text["env"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            self.environment.push((name.clone(), value));
        }
        for dir in words(&text["dirs"]) {
            self.directories.push((folder.join(&dir), dir));
        }
        if let Some(root) = text["root"].as_str() {
            self.directories.push((folder.join(root), "/".to_owned()));
        }
    }

    fn end(&mut self, text: &Value) {
        let status = text["exit_code"].as_i64().unwrap_or_default();
        self.status = i32::try_from(status).unwrap_or(i32::MAX);
    }

    /// Whether a program ended as expected.
    fn is_met(&self, ended: &Outcome) -> bool {
        let said = |wanted: &Option<String>, said: &[u8]| {
            let wanted = wanted.as_deref();
            wanted.is_none_or(|wanted| wanted.as_bytes() == said)
        };
        ended.end == End::Exit(self.status)
            && said(&self.stdout, &ended.stdout)
            && said(&self.stderr, ended.stderr.as_bytes())
    }
}

impl Case {
    /// Runs the test with the adapter and without.
    ///
    /// # Errors
    /// A directory that cannot be copied.
    pub async fn compare(&self) -> io::Result<Verdict> {
        if let Some(needed) = &self.given.needs {
            return Ok(Verdict::NotRun(format!("it needs {needed}")));
        }
        let native = self.run(Way::Native).await?;
        let ours = self.run(Way::Adapter).await?;
        let (passes_natively, passes) = (self.passes(&native), self.passes(&ours));
        if passes && !passes_natively {
            let how = format!("{}; natively {}", shown(&ours), shown(&native));
            return Ok(Verdict::Gained(how));
        }
        if let Some(how) = self.difference(Way::Native, &native, &ours).await? {
            return Ok(Verdict::Different(how));
        }
        let beside = Way::NativeBesideEmpty;
        let native = self.run(beside).await?;
        let ours = self.run(Way::Ipfs).await?;
        if let Some(how) = self.difference(beside, &native, &ours).await? {
            return Ok(Verdict::Different(how));
        }
        Ok(Verdict::Alike { passes })
    }

    /// Describes the difference, if there is one. A test that says something else each time, by a clock or at random,
    /// need only end alike.
    async fn difference(
        &self,
        way: Way,
        native: &Ended,
        ours: &Ended,
    ) -> io::Result<Option<String>> {
        if ours == native {
            return Ok(None);
        }
        let end = |(ended, _): &Ended| ended.as_ref().map(|ended| ended.end.clone()).ok();
        let varies = self.run(way).await? != *native;
        if varies && end(ours) == end(native) && self.passes(ours) == self.passes(native) {
            return Ok(None);
        }
        let how = format!("{}; natively {}", shown(ours), shown(native));
        Ok(Some(how))
    }

    fn passes(&self, (ended, _): &Ended) -> bool {
        ended.as_ref().is_ok_and(|ended| self.given.is_met(ended))
    }

    /// Runs it in copies of its directories. Returns how it ended, and what is in them then.
    async fn run(&self, way: Way) -> io::Result<Ended> {
        let given = &self.given;
        let name = self.program.file_name().unwrap_or_default();
        let words = [name.to_string_lossy().into_owned()];
        let mut run = Run::new(words.into_iter().chain(given.arguments.clone()));
        run = run.stdin(given.stdin.clone());
        for (name, value) in &given.environment {
            run = run.env(name, value);
        }
        let mut copies = Vec::new();
        for (dir, name) in &given.directories {
            let copy = TempDir::new()?;
            copy_tree(dir, copy.path())?;
            run = run.preopen(copy.path(), name, FsPerms::ReadWrite);
            copies.push(copy);
        }
        let empty = TempDir::new()?;
        run = match way {
            Way::Native => run.native(),
            Way::NativeBesideEmpty => {
                let run = run.preopen(empty.path(), "/ipfs", FsPerms::ReadOnly);
                run.native()
            }
            Way::Adapter => run,
            Way::Ipfs => run.ipfs(no_content().await),
        };
        let program = self.program.clone();
        // A program that does not compile or start panics.
        let task = tokio::spawn(async move {
            let program = Program::from_file(program);
            tokio::time::timeout(DEADLINE, run.program(&program)).await
        });
        let ended = match task.await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_late)) => Err("it does not end".to_owned()),
            Err(_panic) => Err("it does not start".to_owned()),
        };
        let mut left = Vec::new();
        for copy in &copies {
            contents(copy.path(), "", &mut left)?;
        }
        left.sort();
        Ok((ended, left))
    }
}

/// How a program ended, or why not; and the names and bytes of what it left.
type Ended = (Result<Outcome, String>, Vec<(String, Vec<u8>)>);

/// Describes an end. Of what is left only the names.
fn shown((ended, left): &Ended) -> String {
    let names: Vec<_> = left.iter().map(|(name, _)| name).collect();
    match ended {
        Ok(Outcome {
            end,
            stdout,
            stderr,
            ..
        }) => {
            let stdout = String::from_utf8_lossy(stdout);
            format!("{end:?}, {stdout:?}, {stderr:?}, {names:?}")
        }
        Err(why) => format!("{why}, {names:?}"),
    }
}

/// A guest's IPFS in which there is nothing.
async fn no_content() -> IpfsCtx {
    let variant = Variant {
        preview: Preview::One,
        sharing: Sharing::Shared,
    };
    let cache = variant.cache(&pinner_mock::MockNode::new()).await;
    let ctx = IpfsCtx::builder(cache, Access::none()).build().await;
    ctx.expect("a context")
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if entry.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&entry)?, to)?;
        } else if entry.is_dir() {
            fs::create_dir(&to)?;
            copy_tree(&entry, &to)?;
        } else {
            fs::copy(&entry, &to)?;
        }
    }
    Ok(())
}

/// Lists a tree: a directory by its name, a link with its target, a file with its bytes.
fn contents(dir: &Path, below: &str, all: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = format!("{below}/{}", name.to_string_lossy());
        if path.is_symlink() {
            let target = fs::read_link(&path)?;
            all.push((name, target.into_os_string().into_encoded_bytes()));
        } else if path.is_dir() {
            contents(&path, &name, all)?;
            all.push((name, Vec::new()));
        } else {
            all.push((name, fs::read(&path)?));
        }
    }
    Ok(())
}
