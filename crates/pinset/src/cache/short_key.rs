//! The key of a staged block as the table of blocks keeps it, in 40 bytes.

use std::hash::{Hash, Hasher};

use hashbrown::Equivalent;

use crate::block::Key;

/// A multihash. One of 32 bytes lies in the value itself; any other one, of which there are few, lies elsewhere.
#[derive(Clone, Debug)]
pub(super) enum ShortKey {
    Digest { code: u32, digest: [u8; 32] },
    Other(Box<Key>),
}

impl ShortKey {
    pub(super) fn of(key: &Key) -> Self {
        match (u32::try_from(key.code()), key.digest().try_into()) {
            (Ok(code), Ok(digest)) => Self::Digest { code, digest },
            _ => Self::Other(Box::new(*key)),
        }
    }

    pub(super) fn key(&self) -> Key {
        match self {
            // 32 bytes always fit.
            Self::Digest { code, digest } => {
                Key::wrap(u64::from(*code), digest).unwrap_or_default()
            }
            Self::Other(key) => **key,
        }
    }

    fn code(&self) -> u64 {
        match self {
            Self::Digest { code, .. } => u64::from(*code),
            Self::Other(key) => key.code(),
        }
    }

    fn digest(&self) -> &[u8] {
        match self {
            Self::Digest { digest, .. } => digest,
            Self::Other(key) => key.digest(),
        }
    }
}

impl PartialEq for ShortKey {
    fn eq(&self, other: &Self) -> bool {
        self.code() == other.code() && self.digest() == other.digest()
    }
}

impl Eq for ShortKey {}

impl Hash for ShortKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.code(), self.digest(), state);
    }
}

/// A key that is looked up.
pub(super) struct Sought<'a>(pub(super) &'a Key);

impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.0.code(), self.0.digest(), state);
    }
}

impl Equivalent<ShortKey> for Sought<'_> {
    fn equivalent(&self, key: &ShortKey) -> bool {
        self.0.code() == key.code() && self.0.digest() == key.digest()
    }
}

fn hash(code: u64, digest: &[u8], state: &mut impl Hasher) {
    state.write_u64(code);
    state.write(digest);
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;
    use crate::block::KeyHash;

    #[test]
    fn a_key_comes_back_as_it_was_and_is_found() {
        let hasher = KeyHash::default();
        let digests = [&[7; 32][..], &[7; 20], &[7; 64]];
        let codes = [0x12, 0xb220, u64::from(u32::MAX) + 0x13];
        for (code, digest) in codes.into_iter().zip(digests.into_iter().cycle()) {
            for digest in [digest, &[7; 32]] {
                let key = Key::wrap(code, digest).unwrap();
                let short = ShortKey::of(&key);
                assert_eq!(short.key(), key);
                assert_eq!(hasher.hash_one(&short), hasher.hash_one(Sought(&key)));
                assert!(Sought(&key).equivalent(&short));
                let other = Key::wrap(code + 1, digest).unwrap();
                assert!(!Sought(&other).equivalent(&short));
                let other = Key::wrap(code, &[8; 32]).unwrap();
                assert!(!Sought(&other).equivalent(&short) && ShortKey::of(&other) != short);
            }
        }
        assert_eq!(size_of::<ShortKey>(), 40);
    }
}
