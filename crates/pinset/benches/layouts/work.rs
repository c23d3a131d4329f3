//! The work that is done with each layout, and its time.

use std::{hint::black_box, time::Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::layout::Layout;

const MIB: usize = 1 << 20;
const PIECE: usize = 64 * 1024;
const PAGE: usize = 4096;

/// The number of reads in a round of random reads.
const READS: u64 = 20_000;

/// The number of blocks of each size. The large blocks have the lowest numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) large: u64,
    pub(crate) small: u64,
}

impl Sizes {
    /// The most bytes that all blocks can take.
    pub(crate) fn bytes(self) -> u64 {
        self.large * MIB as u64 + self.small * 2 * PAGE as u64
    }

    /// The length of a block. A small block has from 1 byte to two pages.
    fn len(self, number: u64) -> usize {
        match number < self.large {
            true => MIB,
            false => 1 + (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51) as usize,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    Open,
    Sequential,
    Random,
    Small,
    EvictLarge,
    EvictSmall,
}

impl Work {
    pub(crate) const ALL: [Self; 6] = [
        Self::Open,
        Self::Sequential,
        Self::Random,
        Self::Small,
        Self::EvictLarge,
        Self::EvictSmall,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "open: the first byte of any small block",
            Self::Sequential => "sequential: 64 KiB of blocks of 1 MiB",
            Self::Random => "random: 4 KiB of blocks of 1 MiB",
            Self::Small => "small files: a whole block of up to 8 KiB",
            Self::EvictLarge => "eviction: 1 MiB goes, 1 MiB comes",
            Self::EvictSmall => "eviction: up to 8 KiB go, up to 8 KiB come",
        }
    }
}

/// Puts all blocks into an empty layout.
pub(crate) fn fill(layout: &mut dyn Layout, sizes: Sizes) {
    let bytes = vec![7; MIB];
    for number in 0..sizes.large + sizes.small {
        layout.put(number, &bytes[..sizes.len(number)]);
    }
}

/// Does the work once, and returns its time. In the same round it is the same for all layouts.
pub(crate) fn micros_an_operation(
    layout: &mut dyn Layout,
    work: Work,
    sizes: Sizes,
    round: u32,
) -> f64 {
    let mut random = StdRng::seed_from_u64(round.into());
    let mut small: Vec<u64> = (sizes.large..sizes.large + sizes.small).collect();
    small.shuffle(&mut random);
    let mut large: Vec<u64> = (0..sizes.large).collect();
    large.shuffle(&mut random);
    let bytes = vec![round as u8; MIB];
    let started = Instant::now();
    let operations = match work {
        Work::Open => {
            small.iter().for_each(|number| read(layout, *number, 0, 1));
            sizes.small
        }
        Work::Sequential => {
            for number in 0..sizes.large {
                for offset in (0..MIB).step_by(PIECE) {
                    read(layout, number, offset, PIECE);
                }
            }
            sizes.large * (MIB / PIECE) as u64
        }
        Work::Random => {
            for _ in 0..READS {
                let number = random.random_range(0..sizes.large);
                let offset = random.random_range(0..=MIB - PAGE);
                read(layout, number, offset, PAGE);
            }
            READS
        }
        Work::Small => {
            for number in small {
                read(layout, number, 0, sizes.len(number));
            }
            sizes.small
        }
        Work::EvictLarge => {
            large
                .iter()
                .for_each(|number| replace(layout, *number, &bytes));
            sizes.large
        }
        Work::EvictSmall => {
            for number in small {
                replace(layout, number, &bytes[..sizes.len(number)]);
            }
            sizes.small
        }
    };
    started.elapsed().as_secs_f64() * 1e6 / operations as f64
}

fn read(layout: &mut dyn Layout, number: u64, offset: usize, len: usize) {
    let bytes = layout.read(number, offset, len);
    assert_eq!(black_box(bytes).len(), len);
}

fn replace(layout: &mut dyn Layout, number: u64, bytes: &[u8]) {
    layout.remove(number);
    layout.put(number, bytes);
}
