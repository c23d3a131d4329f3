//! Lists of settings on the command line, `KEY[=VAL[,..]]`, as wasmtime writes its own options.
//!
//! Pure. A list is checked whole when it is parsed, so that a wrong key is a usage error that names the right ones.

use std::{marker::PhantomData, str::FromStr, time::Duration};

use crate::units::{parse_duration, parse_size};

/// The settings that one flag sets by key.
pub(crate) trait Settings: Clone + Default + 'static {
    /// The flag, as users write it.
    const FLAG: &'static str;
    /// The keys that are honoured.
    const KEYS: &'static [Key<Self>];
    /// Known keys that are refused, and what to do instead. A name that ends in `*` stands for all names that begin so.
    const REFUSED: &'static [(&'static [&'static str], &'static str)];
}

/// One key of the settings `T`.
pub(crate) struct Key<T> {
    /// Its name.
    pub(crate) name: &'static str,
    /// Sets it to a value.
    pub(crate) set: fn(&mut T, &Value<'_>) -> Result<(), String>,
}

/// The value of one key, as it was given.
pub(crate) struct Value<'a> {
    flag: &'static str,
    key: &'static str,
    text: Option<&'a str>,
}

impl Value<'_> {
    /// A switch: on without a value, else `y`, `yes`, `true`, `n`, `no` or `false`.
    pub(crate) fn switch(&self) -> Result<bool, String> {
        match self.text {
            None | Some("y" | "yes" | "true") => Ok(true),
            Some("n" | "no" | "false") => Ok(false),
            Some(text) => Err(self.wrong(text, "y or n")),
        }
    }

    /// A whole number.
    pub(crate) fn number<N: FromStr>(&self) -> Result<N, String> {
        let text = self.text("a number")?;
        text.parse().map_err(|_| self.wrong(text, "a number"))
    }

    /// A size in bytes, with a unit or without.
    pub(crate) fn size<N: TryFrom<u64>>(&self) -> Result<N, String> {
        let text = self.text("bytes")?;
        let bytes = parse_size(text).map_err(|error| self.about(&error.to_string()))?;
        N::try_from(bytes).map_err(|_| self.wrong(text, "less"))
    }

    /// A duration, which is not zero.
    pub(crate) fn duration(&self) -> Result<Duration, String> {
        let text = self.text("a duration")?;
        match parse_duration(text) {
            Ok(time) if time.is_zero() => Err(self.wrong(text, "more than nothing")),
            Ok(time) => Ok(time),
            Err(error) => Err(self.about(&error.to_string())),
        }
    }

    /// The value as it is; `expected` is what it should be.
    pub(crate) fn text(&self, expected: &str) -> Result<&str, String> {
        self.text
            .ok_or_else(|| self.about(&format!("it has no value; expected {expected}")))
    }

    /// The message that `text` is not what was expected.
    pub(crate) fn wrong(&self, text: &str, expected: &str) -> String {
        self.about(&format!("'{text}' is wrong; expected {expected}"))
    }

    fn about(&self, message: &str) -> String {
        format!("{} {}: {message}", self.flag, self.key)
    }
}

/// The keys and values of one use of a flag. All of them are known to be right.
#[derive(Clone, Debug)]
pub(crate) struct List<T> {
    pairs: Vec<(String, Option<String>)>,
    of: PhantomData<fn() -> T>,
}

impl<T: Settings> List<T> {
    /// The settings of all uses of the flag. A later value of a key replaces an earlier one.
    pub(crate) fn settings(lists: &[Self]) -> Result<T, String> {
        let mut settings = T::default();
        for list in lists {
            list.set_in(&mut settings)?;
        }
        Ok(settings)
    }

    fn set_in(&self, settings: &mut T) -> Result<(), String> {
        for (name, text) in &self.pairs {
            let key = find::<T>(name)?;
            let value = Value {
                flag: T::FLAG,
                key: key.name,
                text: text.as_deref(),
            };
            (key.set)(settings, &value)?;
        }
        Ok(())
    }
}

impl<T: Settings> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pairs = text
            .split(',')
            .map(|pair| match pair.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (pair.to_owned(), None),
            })
            .collect();
        let list = Self {
            pairs,
            of: PhantomData,
        };
        list.set_in(&mut T::default())?;
        Ok(list)
    }
}

fn find<T: Settings>(name: &str) -> Result<&'static Key<T>, String> {
    if let Some(key) = T::KEYS.iter().find(|key| key.name == name) {
        return Ok(key);
    }
    let stands_for = |refused: &&str| match refused.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => *refused == name,
    };
    for (names, instead) in T::REFUSED {
        if names.iter().any(stands_for) {
            return Err(format!("{} {name} is refused: {instead}", T::FLAG));
        }
    }
    let known: Vec<_> = T::KEYS.iter().map(|key| key.name).collect();
    let hint = match nearest(name, &known) {
        Some(like) => format!("did you mean '{like}'? "),
        None => String::new(),
    };
    Err(format!(
        "{} has no key '{name}'; {hint}the keys are {}",
        T::FLAG,
        known.join(", ")
    ))
}

/// The name that `given` was probably meant to be.
fn nearest<'a>(given: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = names
        .iter()
        .map(|name| (edits(given, name), *name))
        .filter(|(edits, name)| *edits <= name.len() / 3);
    near.min().map(|(_, name)| name)
}

/// The least number of letters to insert, remove or replace (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<_> = to.chars().collect();
    let mut row: Vec<_> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let replaced = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Test {
        size: u64,
        on: Option<bool>,
        time: Duration,
    }

    impl Settings for Test {
        const FLAG: &'static str = "-T";
        const KEYS: &'static [Key<Self>] = &[
            Key {
                name: "size",
                set: |it, value| value.size().map(|size| it.size = size),
            },
            Key {
                name: "turned-on",
                set: |it, value| value.switch().map(|on| it.on = Some(on)),
            },
            Key {
                name: "time",
                set: |it, value| value.duration().map(|time| it.time = time),
            },
        ];
        const REFUSED: &'static [(&'static [&'static str], &'static str)] =
            &[(&["other", "pool-*"], "leave it out")];
    }

    fn parse(texts: &[&str]) -> Result<Test, String> {
        let lists: Result<Vec<List<Test>>, _> = texts.iter().map(|text| text.parse()).collect();
        List::settings(&lists?)
    }

    #[test]
    fn lists_are_joined_and_the_last_value_holds() {
        let expected = Test {
            size: 2048,
            on: Some(false),
            time: Duration::from_millis(1500),
        };
        let parsed = parse(&["size=1,turned-on", "time=1.5s,size=2K,turned-on=n"]);
        assert_eq!(parsed, Ok(expected));
        assert_eq!(parse(&[]), Ok(Test::default()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("turnd-on", &["-T", "'turnd-on'", "'turned-on'", "size"][..]),
            ("", &["no key ''", "size, turned-on, time"]),
            ("other=1", &["-T other", "leave it out"]),
            ("pool-size=3", &["-T pool-size", "leave it out"]),
            ("size", &["-T size", "no value"]),
            ("size=much", &["-T size", "'much'", "64MiB"]),
            ("turned-on=maybe", &["-T turned-on", "'maybe'", "y or n"]),
            ("time=0", &["-T time", "'0'"]),
            ("time=soon", &["-T time", "'soon'"]),
        ] {
            let error = parse(&[text]).expect_err(text);
            for word in words {
                assert!(error.contains(word), "{word:?} is in {error:?}");
            }
        }
        let far = parse(&["nonsense"]).expect_err("no key");
        assert!(!far.contains("did you mean"), "{far}");
    }
}
