//! A guest's arguments: words in order, each named in the usage line that a missing one is answered with.

use std::{env, fmt::Debug, process, str::FromStr, vec};

/// The words of the command line, behind the program's name.
#[derive(Debug)]
pub struct Arguments {
    left: vec::IntoIter<String>,
    usage: &'static str,
}

impl Arguments {
    /// Takes the command line, and makes every panic an exit status of 1.
    ///
    /// A panic would else abort, which on WebAssembly is a trap: the host could not tell a guest's failed
    /// assertion from a fault of its own.
    pub fn of(usage: &'static str) -> Self {
        std::panic::set_hook(Box::new(|info| {
            eprintln!("{info}");
            process::exit(1);
        }));
        let words: Vec<_> = env::args().skip(1).collect();
        Self {
            left: words.into_iter(),
            usage,
        }
    }

    /// The next word, if there is one.
    pub fn next_if_any(&mut self) -> Option<String> {
        self.left.next()
    }

    /// The next word, which has to be there.
    pub fn word(&mut self) -> String {
        let usage = self.usage;
        self.left
            .next()
            .unwrap_or_else(|| panic!("an argument is missing; usage: {usage}"))
    }

    /// The next word as a number.
    pub fn number<T: FromStr<Err: Debug>>(&mut self) -> T {
        let (usage, word) = (self.usage, self.word());
        word.parse()
            .unwrap_or_else(|e| panic!("'{word}' is no number: {e:?}; usage: {usage}"))
    }

    /// All that is left.
    pub fn rest(self) -> Vec<String> {
        self.left.collect()
    }

    /// Refuses a word that the guest does not know.
    pub fn unknown(&self, word: &str) -> ! {
        panic!("'{word}' means nothing here; usage: {}", self.usage)
    }
}
