//! Compiled guests, and the engines that run them.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use wasmtime::{Cache, CacheConfig, Config, Engine, Module, component::Component};

use crate::ruby;

/// Which WASI a guest was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preview {
    /// wasm32-wasip1: a core module, linked by [`wasi_ipfs_fs::p1`].
    One,
    /// wasm32-wasip2: a component.
    Two,
}

impl Preview {
    /// The name of its folder below the guests' folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::One => "p1",
            Self::Two => "p2",
        }
    }
}

/// A guest of `tests/guests`, by name. [`guests`](crate::guests) has a constant for each one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    name: &'static str,
}

impl Guest {
    /// The guest whose source is `tests/guests/src/bin/<name>.rs`.
    pub const fn named(name: &'static str) -> Self {
        Self { name }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The program that `cargo xtask guests` built from it, compiled once in a process.
    pub fn program(self, preview: Preview) -> Program {
        let folder = match env::var_os("WASI_IPFS_GUESTS") {
            Some(folder) => PathBuf::from(folder),
            None => target_dir().join("guests"),
        };
        let file = format!("{}.wasm", self.name);
        Program::from_file(folder.join(preview.folder()).join(file))
    }
}

/// The interface by which a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `_start`, of a module of preview 1.
    Start,
    /// Ruby's own interface, of a module of preview 1.
    Ruby,
    /// `wasi:cli/run` of WASI 0.2.
    Run02,
    /// `wasi:cli/run` of WASI 0.3.
    Run03,
}

/// A compiled program. Cheap to clone.
#[derive(Clone)]
pub struct Program {
    name: String,
    code: Code,
    entry: Entry,
}

/// Compiled code.
#[derive(Clone)]
pub(crate) enum Code {
    /// A module of preview 1.
    Module(Module),
    /// A component of preview 2, or of WASI 0.3.
    Component(Component),
}

impl Program {
    /// Any program, by file, compiled once in a process.
    pub fn from_file(path: impl AsRef<Path>) -> Self {
        static COMPILED: Mutex<Option<HashMap<PathBuf, Program>>> = Mutex::new(None);
        let path = path.as_ref();
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        let compiled = compiled.get_or_insert_default();
        if let Some(program) = compiled.get(path) {
            return program.clone();
        }
        let program = Self::compile(path);
        compiled.insert(path.to_owned(), program.clone());
        program
    }

    fn compile(path: &Path) -> Self {
        let name = path.display().to_string();
        let bytes = fs::read(path).unwrap_or_else(|error| {
            panic!("{name}: {error}; `cargo xtask guests` builds the guests")
        });
        // The header tells a module from a component, and the name of an export is part of the bytes.
        let mut entry = match bytes.get(4..8) {
            Some([1, 0, 0, 0]) => Entry::Start,
            _ if bytes.windows(RUN_03.len()).any(|found| found == RUN_03) => Entry::Run03,
            _ => Entry::Run02,
        };
        let engine = engine(entry);
        let code = match entry {
            Entry::Start | Entry::Ruby => Module::new(engine, &bytes).map(Code::Module),
            Entry::Run02 | Entry::Run03 => Component::new(engine, &bytes).map(Code::Component),
        };
        let code = code.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        if let Code::Module(module) = &code
            && ruby::is(module)
        {
            entry = Entry::Ruby;
        }
        Self { name, code, entry }
    }

    /// How it is run.
    pub fn entry(&self) -> Entry {
        self.entry
    }

    /// The file name it came from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The compiled code.
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Program({})", self.name)
    }
}

/// The export of a program that is run by WASI 0.3.
const RUN_03: &[u8] = b"wasi:cli/run@0.3";

/// The process's engines, with a compilation cache in the target directory. Only programs of WASI 0.3 get one with
/// support for concurrency; an embedder without the feature `p3` has none.
fn engine(entry: Entry) -> &'static Engine {
    static RUN_02: OnceLock<Engine> = OnceLock::new();
    static RUN_03: OnceLock<Engine> = OnceLock::new();
    let (engine, concurrency) = match entry {
        Entry::Start | Entry::Ruby | Entry::Run02 => (&RUN_02, false),
        Entry::Run03 => (&RUN_03, true),
    };
    engine.get_or_init(|| {
        let mut cache = CacheConfig::new();
        cache.with_directory(target_dir().join("wasmtime-cache"));
        let mut config = Config::new();
        config.cache(Some(Cache::new(cache).expect("a compilation cache")));
        config.concurrency_support(concurrency);
        Engine::new(&config).expect("an engine")
    })
}

/// Cargo's target directory.
fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
    }
}

/// Names the test of a guest, and does not compile without one. Use it with `foreach_guest!`, in the file that holds
/// the tests.
#[macro_export]
macro_rules! assert_guest_has_test {
    ($name:ident) => {
        #[allow(unused_imports, reason = "to name it is all that is wanted")]
        use self::$name as _;
    };
}
