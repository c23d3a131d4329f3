//! The names of the files in which a node keeps its blocks. The datastore for them is called flatfs.
//!
//! A block's file is `<shard>/<key>.data`. The key is the block's multihash, and the shard is a few letters of the key,
//! which the datastore's [`Sharding`] chooses. The store's file `SHARDING` names the function.
//!
//! Invariant: names consist of the characters `A`-`Z`, `2`-`7` and `_`, and of `.data`. So no CID leads out of the
//! store's directory.

use std::{fmt, str::FromStr};

use cid::{Cid, multibase::Base};

/// The start of the name of every function.
const FUNCTIONS: &str = "/repo/flatfs/shard/v1/";

/// The longest name of a directory on the usual file systems, in bytes.
const LONGEST_NAME: usize = 255;

/// Which letters of a key name the directory of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharding {
    place: Place,
    letters: usize,
}

/// Where in the key the letters are. A key that is too short is padded with `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Prefix,
    Suffix,
    /// In front of the last letter.
    NextToLast,
}

/// The file of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockFile {
    /// The directory in the store's directory.
    pub shard: String,
    /// The file in the shard.
    pub name: String,
}

impl Sharding {
    /// The file of the block with the multihash of `cid`.
    pub fn file_of(&self, cid: &Cid) -> BlockFile {
        let key = Base::Base32Upper.encode(cid.hash().to_bytes());
        BlockFile {
            shard: self.shard_of(&key),
            name: format!("{key}.data"),
        }
    }

    /// `key` is ASCII.
    fn shard_of(&self, key: &str) -> String {
        let Self { place, letters } = *self;
        let padding = "_".repeat(letters + 1);
        let padded = match place {
            Place::Prefix => format!("{key}{padding}"),
            Place::Suffix | Place::NextToLast => format!("{padding}{key}"),
        };
        let from = match place {
            Place::Prefix => 0,
            Place::Suffix => padded.len() - letters,
            Place::NextToLast => padded.len() - letters - 1,
        };
        padded[from..from + letters].to_owned()
    }
}

impl fmt::Display for Sharding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            Place::Prefix => "prefix",
            Place::Suffix => "suffix",
            Place::NextToLast => "next-to-last",
        };
        write!(f, "{FUNCTIONS}{place}/{}", self.letters)
    }
}

/// The text does not name a function of flatfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseShardingError;

impl fmt::Display for ParseShardingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected one of {FUNCTIONS}prefix/N, suffix/N and next-to-last/N, with N from 1 to {LONGEST_NAME}"
        )
    }
}

impl std::error::Error for ParseShardingError {}

/// Parses the text of a file `SHARDING`.
impl FromStr for Sharding {
    type Err = ParseShardingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let function = text.trim().strip_prefix(FUNCTIONS);
        let parts = function.and_then(|function| function.split_once('/'));
        let (place, letters) = parts.ok_or(ParseShardingError)?;
        let place = match place {
            "prefix" => Place::Prefix,
            "suffix" => Place::Suffix,
            "next-to-last" => Place::NextToLast,
            _ => return Err(ParseShardingError),
        };
        match letters.parse() {
            Ok(letters @ 1..=LONGEST_NAME) => Ok(Self { place, letters }),
            Ok(_) | Err(_) => Err(ParseShardingError),
        }
    }
}

#[cfg(test)]
mod tests {
    use multihash_codetable::{Code, MultihashDigest};
    use proptest::prelude::*;

    use super::*;

    fn sharding(function: &str) -> Sharding {
        format!("{FUNCTIONS}{function}").parse().expect("a name")
    }

    #[test]
    fn a_block_lies_where_a_node_puts_it() {
        // The empty directory, which every new repository holds.
        let v0: Cid = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
            .parse()
            .expect("a CID");
        let name = "CIQFTFEEHEDF6KLBT32BFAGLXEZL4UWFNWM4LFTLMXQBCERZ6CMLX3Y.data";
        for cid in [v0, Cid::new_v1(0x55, *v0.hash())] {
            for (function, shard) in [
                ("next-to-last/2", "X3"),
                ("suffix/3", "X3Y"),
                ("prefix/6", "CIQFTF"),
            ] {
                let file = sharding(function).file_of(&cid);
                assert_eq!((&*file.shard, &*file.name), (shard, name));
            }
        }
    }

    /// The cases are those of flatfs's own documentation and tests.
    #[test]
    fn short_keys_are_padded() {
        for (function, key, shard) in [
            ("prefix/2", "A", "A_"),
            ("prefix/2", "ABC", "AB"),
            ("suffix/2", "A", "_A"),
            ("suffix/2", "ABC", "BC"),
            ("next-to-last/2", "A", "__"),
            ("next-to-last/2", "AB", "_A"),
            ("next-to-last/2", "ABC", "AB"),
            ("next-to-last/2", "", "__"),
        ] {
            assert_eq!(sharding(function).shard_of(key), shard, "{function} {key}");
        }
    }

    #[test]
    fn functions_are_parsed_as_flatfs_writes_them() {
        let text = "/repo/flatfs/shard/v1/next-to-last/2\n";
        let parsed: Sharding = text.parse().expect("a name");
        assert_eq!(parsed.to_string(), text.trim());
        for wrong in [
            "",
            "next-to-last/2",
            "/repo/flatfs/shard/v2/next-to-last/2",
            "/repo/flatfs/shard/v1/next-to-last",
            "/repo/flatfs/shard/v1/next-to-last/",
            "/repo/flatfs/shard/v1/next-to-last/0",
            "/repo/flatfs/shard/v1/next-to-last/-1",
            "/repo/flatfs/shard/v1/prefix/256",
            "/repo/flatfs/shard/v1/prefix/2/3",
            "/repo/flatfs/shard/v1/middle/2",
        ] {
            assert_eq!(
                wrong.parse::<Sharding>(),
                Err(ParseShardingError),
                "{wrong}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_the_directory(
            data: Vec<u8>,
            place in prop::sample::select(vec!["prefix", "suffix", "next-to-last"]),
            letters in 1..=LONGEST_NAME,
        ) {
            let cid = Cid::new_v1(0x55, Code::Sha2_512.digest(&data));
            let file = sharding(&format!("{place}/{letters}")).file_of(&cid);
            prop_assert_eq!(file.shard.len(), letters);
            let name = file.name.strip_suffix(".data").expect("it ends so");
            for part in [&file.shard, name] {
                prop_assert!(!part.is_empty());
                prop_assert!(part.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7' | b'_')));
            }
        }
    }
}
