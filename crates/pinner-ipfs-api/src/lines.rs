//! Answers that come line by line, each line JSON.
//!
//! Pure: bytes in, lines out. The length of a line is bounded, so that a node that never ends one cannot fill memory.

use serde::de::DeserializeOwned;

/// The longest line, in bytes. Kubo's lines have some hundred.
const MOST_LINE: usize = 64 * 1024;

/// The beginning of a line that has not ended.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    open: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes and returns the lines that they complete.
    ///
    /// The error says what is wrong with the answer. Earlier lines are dropped, since the whole answer is invalid.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, bytes: &[u8]) -> Result<Vec<T>, String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.open.len() + piece.len() > MOST_LINE {
                return Err(format!("a line of more than {MOST_LINE} bytes"));
            }
            self.open.extend_from_slice(piece);
            if self.open.ends_with(b"\n") {
                lines.extend(self.end()?);
            }
        }
        Ok(lines)
    }

    /// Returns the last line, if the answer does not end with a line break.
    pub(crate) fn end<T: DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        let line = std::mem::take(&mut self.open);
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&line)
            .map(Some)
            .map_err(|wrong| format!("a line is not an answer: {wrong}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_however_the_bytes_come_in() {
        let text = b"1\n22\n\n 3 \n4";
        for size in 1..=text.len() {
            let (mut lines, mut got) = (Lines::default(), Vec::<u32>::new());
            for bytes in text.chunks(size) {
                got.extend(lines.take::<u32>(bytes).expect("numbers"));
            }
            got.extend(lines.end::<u32>().expect("a number"));
            assert_eq!(got, [1, 22, 3, 4], "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        assert!(Lines::default().take::<u32>(b"1\nx\n").is_err());
        let mut endless = Lines::default();
        let piece = [b'1'; 1024];
        let refused = (0..100).find_map(|_| endless.take::<u32>(&piece).err());
        assert!(refused.is_some_and(|reason| reason.contains("65536")));
    }
}
