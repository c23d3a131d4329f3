//! Reads the CIDs of a `pin/ls` answer as it comes in, and proves that it is complete.
//!
//! The client drops HTTP's trailers, and a streamed `pin/ls` reports an error on the way only in the trailer: a listing
//! that broke off looks like a shorter one. Without `stream`, Kubo sends one JSON document,
//! `{"Keys":{"<CID>":{"Type":"recursive","Name":""},…}}`, or an error status instead. A truncated document is not valid
//! JSON, so it cannot be mistaken for a complete one. It may have any size, so it is parsed as it comes in, and only
//! one key at a time is held.
//!
//! Pure. This is not a JSON validator: it recognises the keys and the end, and nothing else.

/// The longest key, in bytes. Our CIDs have 130 characters; others may be longer.
const MOST_KEY: usize = 1024;

/// The reader of one answer.
#[derive(Debug, Default)]
pub(crate) struct PinKeys {
    /// How many braces are open.
    depth: usize,
    /// Whether the document has ended.
    ended: bool,
    /// The text so far of a string that may be a key.
    text: Vec<u8>,
    state: State,
    /// Whether the last string is a key if a colon follows.
    may_be_key: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    InString,
    /// After a backslash.
    Escaped,
}

/// The bytes are not an answer of `pin/ls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not an answer of `pin/ls`")]
pub(crate) struct Garbled;

/// The depth of `Keys`, and the only name that the document may have. Any other document is not an answer of `pin/ls`,
/// and must not be taken for a node without pins.
const OF_NAMES: usize = 1;
const NAME: &[u8] = b"Keys";
/// The depth of the CIDs: inside the document, and inside `Keys`.
const OF_KEYS: usize = 2;
/// The deepest nesting. The values of the keys are ignored, but their depth has to be bounded.
const DEEPEST: usize = 16;

impl PinKeys {
    /// Parses the next bytes, and passes each key to `found`.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        mut found: impl FnMut(&str),
    ) -> Result<(), Garbled> {
        for &byte in bytes {
            match self.state {
                State::InString => self.in_string(byte)?,
                State::Escaped => {
                    self.state = State::InString;
                    self.keep(byte)?;
                }
                State::Between => self.between(byte, &mut found)?,
            }
        }
        Ok(())
    }

    /// Whether the document is complete.
    pub(crate) fn is_whole(&self) -> bool {
        self.ended
    }

    fn in_string(&mut self, byte: u8) -> Result<(), Garbled> {
        match byte {
            b'"' => {
                self.state = State::Between;
                self.may_be_key = matches!(self.depth, OF_NAMES | OF_KEYS);
            }
            b'\\' => {
                self.state = State::Escaped;
                self.keep(byte)?;
            }
            _ => self.keep(byte)?,
        }
        Ok(())
    }

    fn keep(&mut self, byte: u8) -> Result<(), Garbled> {
        if matches!(self.depth, OF_NAMES | OF_KEYS) {
            if self.text.len() == MOST_KEY {
                return Err(Garbled);
            }
            self.text.push(byte);
        }
        Ok(())
    }

    fn between(&mut self, byte: u8, found: &mut impl FnMut(&str)) -> Result<(), Garbled> {
        let may_be_key = std::mem::take(&mut self.may_be_key);
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => self.may_be_key = may_be_key,
            _ if self.ended => return Err(Garbled),
            b'{' if self.depth < DEEPEST => self.depth += 1,
            // Everything has to be inside the document.
            _ if self.depth == 0 => return Err(Garbled),
            b'}' => {
                self.depth -= 1;
                self.ended = self.depth == 0;
            }
            b'"' => {
                self.text.clear();
                self.state = State::InString;
            }
            b':' if may_be_key && self.depth == OF_NAMES => {
                if self.text != NAME {
                    return Err(Garbled);
                }
            }
            // No character of a CID has to be escaped, so a key with an escape is not a CID.
            b':' if may_be_key && !self.text.contains(&b'\\') => {
                found(std::str::from_utf8(&self.text).map_err(|_| Garbled)?);
            }
            b':' | b',' | b'[' | b']' | b'0'..=b'9' | b'a'..=b'z' | b'+' | b'-' | b'.' | b'E' => {}
            _ => return Err(Garbled),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<(Vec<String>, bool), Garbled> {
        let (mut keys, mut found) = (PinKeys::default(), Vec::new());
        for piece in pieces {
            keys.take(piece, |key| found.push(key.to_owned()))?;
        }
        Ok((found, keys.is_whole()))
    }

    const TWO: &str = r#"{"Keys":{"Qm1":{"Type":"recursive","Name":"a \" {b}:\\"},"bafy2":{"Name":"x","Type":"r"}}}"#;

    #[test]
    fn the_keys_are_found_however_they_come() {
        let wanted = (vec!["Qm1".to_owned(), "bafy2".to_owned()], true);
        let whole = format!("{TWO}\n");
        assert_eq!(read(&[whole.as_bytes()]), Ok(wanted.clone()));
        let bytes: Vec<_> = whole.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes), Ok(wanted.clone()));
        let spaced = whole.replace(':', " : ").replace('{', "{ ");
        assert_eq!(read(&[spaced.as_bytes()]), Ok(wanted));
        assert_eq!(read(&[b"{}\n"]), Ok((vec![], true)));
        assert_eq!(read(&[br#"{"Keys":{}}"#]), Ok((vec![], true)));
        assert_eq!(read(&[br#"{"Keys":null}"#]), Ok((vec![], true)));
    }

    #[test]
    fn a_cut_answer_is_never_whole() {
        for length in 0..TWO.len() {
            let (_, whole) = read(&[&TWO.as_bytes()[..length]]).expect("a beginning is no fault");
            assert!(!whole, "cut to {length} bytes");
        }
    }

    #[test]
    fn what_is_something_else_is_refused() {
        let long = format!(r#"{{"Keys":{{"{}":1}}}}"#, "x".repeat(MOST_KEY + 1));
        let deep = "{".repeat(DEEPEST + 1);
        let wrong = [
            "<html>",
            "404 page not found",
            "[]",
            "}",
            "\"x\"",
            "{}{}",
            "{} x",
            r#"{"Message":"it failed","Code":0,"Type":"error"}"#,
            &long,
            &deep,
        ];
        for text in wrong {
            assert_eq!(read(&[text.as_bytes()]), Err(Garbled), "{text}");
        }
        assert_eq!(read(&[b"{\"Keys\":{\"\xff\":1}}"]), Err(Garbled));
        // Strings elsewhere are not keys.
        let elsewhere = br#"{"Keys":{"a":{"b":"c"},"d":["e",{"f":1}]}}"#;
        let (found, whole) = read(&[elsewhere]).expect("it is JSON");
        assert!(whole && found == ["a", "d"], "{found:?}");
    }
}
