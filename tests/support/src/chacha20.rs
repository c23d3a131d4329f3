//! The key stream of ChaCha20 with a zero nonce (RFC 8439), from which IPIP-499 makes its content.

use multihash_codetable::{Code, MultihashDigest};

/// The stream for the key SHA-256(`seed`), byte by byte.
pub(crate) struct ChaCha20 {
    start: [u32; 16],
    block: [u8; 64],
    /// The next byte of the block.
    at: usize,
}

impl ChaCha20 {
    pub(crate) fn of_seed(seed: &str) -> Self {
        let mut start = [0; 16];
        let constants = b"expand 32-byte k";
        let key = Code::Sha2_256.digest(seed.as_bytes());
        let words = constants.chunks(4).chain(key.digest().chunks(4));
        for (word, bytes) in start.iter_mut().zip(words) {
            *word = u32::from_le_bytes(bytes.try_into().unwrap());
        }
        Self {
            start,
            block: [0; 64],
            at: 64,
        }
    }

    /// Fills `bytes` with what comes next.
    pub(crate) fn fill(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            if self.at == self.block.len() {
                self.advance();
            }
            let len = bytes.len().min(self.block.len() - self.at);
            let (now, later) = bytes.split_at_mut(len);
            now.copy_from_slice(&self.block[self.at..][..len]);
            self.at += len;
            bytes = later;
        }
    }

    fn advance(&mut self) {
        let mut state = self.start;
        for _ in 0..10 {
            for column in 0..4 {
                quarter(&mut state, [column, 4 + column, 8 + column, 12 + column]);
            }
            for diagonal in 0..4 {
                let [b, c, d] = [1, 2, 3].map(|row| 4 * row + (diagonal + row) % 4);
                quarter(&mut state, [diagonal, b, c, d]);
            }
        }
        for (word, bytes) in self.block.chunks_mut(4).enumerate() {
            let sum = state[word].wrapping_add(self.start[word]);
            bytes.copy_from_slice(&sum.to_le_bytes());
        }
        self.start[12] += 1;
        self.at = 0;
    }
}

fn quarter(state: &mut [u32; 16], [a, b, c, d]: [usize; 4]) {
    for (to, from, into, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
        state[to] = state[to].wrapping_add(state[from]);
        state[into] = (state[into] ^ state[to]).rotate_left(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_a_zero_key_is_the_published_one() {
        let mut stream = ChaCha20::of_seed("");
        stream.start[4..12].fill(0);
        let mut bytes = [0; 72];
        stream.fill(&mut bytes[..5]);
        stream.fill(&mut bytes[5..]);
        // RFC 8439, appendix A.1, test vectors 1 and 2.
        assert_eq!(bytes[..8], [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
        assert_eq!(
            bytes[56..],
            [
                0xc3, 0x87, 0xb6, 0x69, 0xb2, 0xee, 0x65, 0x86, //
                0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a,
            ][..]
        );
    }
}
