//! An estimate of how many distinct things were seen, in a few kilobytes however many they are (I9).
//!
//! HyperLogLog (P. Flajolet et al., 2007) with 4,096 registers, whose standard error is 1.6 %, and linear counting while
//! registers are empty. The things are digests, so they need no further hash.

const REGISTERS: usize = 4096;

/// The number of bits of a digest that select a register.
const INDEX_BITS: u32 = REGISTERS.ilog2();

#[derive(Default)]
pub(crate) struct Distinct {
    /// Empty until the first insertion.
    registers: Box<[u8]>,
    /// The sum of 2^-r over the registers r, and the number of registers that are 0.
    sum: f64,
    empty: usize,
    estimate: f64,
}

impl Distinct {
    /// Counts a digest. Returns false, and does not count it, if it is new and about `most` were counted before.
    pub(crate) fn insert(&mut self, digest: &[u8], most: u64) -> bool {
        if self.registers.is_empty() {
            self.registers = vec![0; REGISTERS].into();
            self.sum = REGISTERS as f64;
            self.empty = REGISTERS;
        }
        let mut start = [0; 8];
        let len = digest.len().min(8);
        start[..len].copy_from_slice(&digest[..len]);
        let bits = u64::from_be_bytes(start);
        let index = (bits >> (64 - INDEX_BITS)) as usize;
        let rank = ((bits << INDEX_BITS).leading_zeros() + 1).min(64 - INDEX_BITS + 1) as u8;
        let before = self.registers[index];
        if self.estimate >= most as f64 {
            // A digest that changes no register was most likely seen.
            return rank <= before && most > 0;
        }
        if rank > before {
            self.registers[index] = rank;
            self.sum += weight(rank) - weight(before);
            self.empty -= usize::from(before == 0);
            self.estimate = self.estimated();
        }
        true
    }

    fn estimated(&self) -> f64 {
        let registers = REGISTERS as f64;
        let raw = 0.7213 / (1.0 + 1.079 / registers) * registers * registers / self.sum;
        match self.empty > 0 && raw <= 2.5 * registers {
            true => registers * (registers / self.empty as f64).ln(),
            false => raw,
        }
    }
}

fn weight(rank: u8) -> f64 {
    (-f64::from(rank)).exp2()
}

#[cfg(test)]
mod tests {
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;

    fn digest(n: u64) -> Vec<u8> {
        Code::Sha2_256.digest(&n.to_le_bytes()).digest().to_vec()
    }

    #[test]
    fn the_estimate_is_close_whatever_the_number() {
        let mut distinct = Distinct::default();
        let mut seen = 0;
        for goal in [1, 10, 100, 1000, 10_000, 100_000_u64] {
            for n in seen..goal {
                assert!(distinct.insert(&digest(n), u64::MAX));
                assert!(distinct.insert(&digest(n), u64::MAX));
            }
            seen = goal;
            let off = (distinct.estimate - goal as f64).abs() / goal as f64;
            assert!(off < 0.06, "{goal}: {}", distinct.estimate);
        }
    }

    #[test]
    fn a_limit_refuses_the_new_and_not_the_old() {
        let mut distinct = Distinct::default();
        let counted = (0..1000)
            .filter(|n| distinct.insert(&digest(*n), 20))
            .count();
        // A few new ones look like old ones.
        assert!((19..=40).contains(&counted), "{counted}");
        assert!((0..19).all(|n| distinct.insert(&digest(n), 20)));
        assert!(!Distinct::default().insert(&digest(0), 0));
    }
}
