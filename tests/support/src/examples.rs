//! A package's examples, as the programs that `cargo test` builds beside the tests.

use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// An example's program, with a cache directory of its own.
#[derive(Debug)]
pub struct Example {
    name: &'static str,
    cache: TempDir,
}

impl Example {
    /// The example whose source is `examples/<name>.rs`. [`examples!`](crate::examples!) calls this.
    pub fn named(name: &'static str) -> Self {
        let cache = tempfile::tempdir().expect("a temporary folder");
        Self { name, cache }
    }

    /// A call of it, not yet started.
    ///
    /// # Panics
    /// If the program is not there.
    pub fn command(&self) -> Command {
        let test = env::current_exe().expect("this program");
        // This program is in `deps`.
        let profile = test.ancestors().nth(2).expect("a target directory");
        let program = profile.join("examples").join(self.name);
        assert!(
            program.is_file(),
            "{} is not there; `cargo build --examples` builds it, as does `cargo test` of the whole package",
            program.display()
        );
        let mut command = Command::new(program);
        command
            .env("XDG_CACHE_HOME", self.cache.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs it with `arguments`, and returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn printed(&self, arguments: &[&str]) -> Vec<u8> {
        let ended = self.command().args(arguments).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{}: {stderr}", self.name);
        ended.stdout
    }

    /// Runs it with `arguments`, which it must refuse, and returns what it said.
    ///
    /// # Panics
    /// If it succeeds, or prints anything on standard output.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let ended = self.command().args(arguments).output().expect("it starts");
        assert!(!ended.status.success(), "{}: {ended:?}", self.name);
        let stdout = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(stdout, "", "{}", self.name);
        String::from_utf8_lossy(&ended.stderr).into_owned()
    }
}

/// The names of the examples in a package's folder.
pub fn sources(package: &str) -> BTreeSet<String> {
    let folder = Path::new(package).join("examples");
    let listing = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let names = listing.map(|entry| entry.expect("an entry").path());
    let names = names.map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into()));
    names.map(|name| name.expect("a file's name")).collect()
}

/// Makes a test `name::runs` of each `fn name(example: &Example)`, and one test that fails if an example of the package
/// is not among them.
#[macro_export]
macro_rules! examples {
    ($($name:ident)*) => {
        $(mod $name {
            #[test]
            fn runs() {
                super::$name(&$crate::examples::Example::named(stringify!($name)));
            }
        })*

        #[test]
        fn every_example_has_a_test() {
            let tests = [$(stringify!($name).to_owned()),*];
            let examples = $crate::examples::sources(env!("CARGO_MANIFEST_DIR"));
            assert_eq!(examples, tests.into());
        }
    };
}
