//! Versions of Kubo, and what they support.

use std::{fmt, str::FromStr};

/// A version of Kubo, as the call `version` returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl Version {
    /// The first version that can be used for lazy pins. Before it, a garbage collection during writes could leave the
    /// mutable file system unusable (<https://github.com/ipfs/kubo/issues/10842>).
    pub const LAZY_PINS: Self = Self::new(0, 43, 0);

    /// A version from its numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Whether lazy pins can be made on a node of this version.
    pub fn has_lazy_pins(&self) -> bool {
        *self >= Self::LAZY_PINS
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The text is not a version of Kubo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseVersionError;

impl fmt::Display for ParseVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid version of Kubo: expected three numbers, as in 0.43.0")
    }
}

impl std::error::Error for ParseVersionError {}

/// Parses `0.43.0`. Suffixes are ignored: a release candidate (`0.43.0-rc1`) supports what its release supports.
impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = numbers.split('.').map(str::parse);
        let mut next = || match numbers.next() {
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) | None => Err(ParseVersionError),
        };
        let version = Self::new(next()?, next()?, next()?);
        match numbers.next() {
            None => Ok(version),
            Some(_) => Err(ParseVersionError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let lazy = |text: &str| {
            text.parse::<Version>()
                .map(|version| version.has_lazy_pins())
        };
        assert_eq!(lazy("0.43.0"), Ok(true));
        assert_eq!(lazy("0.43.0-rc1"), Ok(true));
        assert_eq!(lazy("0.44.0-dev+commit.1"), Ok(true));
        assert_eq!(lazy("1.0.0"), Ok(true));
        assert_eq!(lazy("0.42.9"), Ok(false));
        assert_eq!(lazy("0.9.1"), Ok(false));
        for wrong in ["", "0.43", "0.43.0.1", "v0.43.0", "0..0", "-1.0.0"] {
            assert_eq!(lazy(wrong), Err(ParseVersionError), "{wrong:?}");
        }
        assert_eq!(Version::LAZY_PINS.to_string(), "0.43.0");
    }
}
