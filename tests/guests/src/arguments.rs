//! A guest's arguments: words in order, each named in the usage line, which is the message if one is missing.

use std::{env, fmt::Debug, process, str::FromStr, vec};

/// The words of the command line after the program's name.
#[derive(Debug)]
pub struct Arguments {
    left: vec::IntoIter<String>,
    usage: &'static str,
}

impl Arguments {
    /// Takes the command line, and turns every panic into an exit status of 1.
    ///
    /// Otherwise a panic would abort, which on WebAssembly is a trap. The host could not tell a guest's failed
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

    /// Returns the next word, if there is one.
    pub fn next_if_any(&mut self) -> Option<String> {
        self.left.next()
    }

    /// Returns the next word. It must exist.
    pub fn word(&mut self) -> String {
        let usage = self.usage;
        self.left
            .next()
            .unwrap_or_else(|| panic!("an argument is missing; usage: {usage}"))
    }

    /// Returns the next word as a number.
    pub fn number<T: FromStr<Err: Debug>>(&mut self) -> T {
        let (usage, word) = (self.usage, self.word());
        word.parse()
            .unwrap_or_else(|e| panic!("'{word}' is no number: {e:?}; usage: {usage}"))
    }

    /// Returns all remaining words.
    pub fn rest(self) -> Vec<String> {
        self.left.collect()
    }

    /// Refuses a word that the guest does not know.
    pub fn unknown(&self, word: &str) -> ! {
        panic!("'{word}' means nothing here; usage: {}", self.usage)
    }
}
