//! One generator for every random choice, made of a seed, a named stream and a counter.
//!
//! Numbers come from Philox4x32-10 (Salmon et al. 2011): the n-th number of a stream is a function of
//! `(seed, stream, n)` alone, so the order in which work is done, the number of threads and a restart change nothing.
//!
//! ```
//! use unforget::rng::Rng;
//! let mut a = Rng::new(42, "shuffle");
//! let mut b = Rng::new(42, "shuffle");
//! assert_eq!(a.next_u64(), b.next_u64());
//! assert_ne!(Rng::new(42, "shuffle").next_u64(), Rng::new(42, "dropout").next_u64());
//! ```

use rayon::prelude::*;

/// A stream of random numbers, determined by its seed and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    key: [u32; 2],
    /// Index of the next block of two 64-bit numbers.
    block: u64,
    /// Second half of the last block, if it was not used yet.
    spare: Option<u64>,
}

impl Rng {
    /// The stream called `stream` under `seed`.
    pub fn new(seed: u64, stream: &str) -> Self {
        // FNV-1a over the name, mixed with the seed: names are few and short, so collisions are no concern.
        let name = stream.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self::keyed(mix(seed ^ mix(name)))
    }

    /// An independent stream for the `index`-th part of this one's work: an item, a sample, a step.
    ///
    /// It depends on this stream's seed and name, not on how many numbers were drawn from it.
    pub fn fork(&self, index: u64) -> Self {
        let key = (u64::from(self.key[1]) << 32) | u64::from(self.key[0]);
        Self::keyed(mix(key ^ mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    fn keyed(key: u64) -> Self {
        Self { key: [key as u32, (key >> 32) as u32], block: 0, spare: None }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let [a, b, c, d] = philox([self.block as u32, (self.block >> 32) as u32, 0, 0], self.key);
        self.block += 1;
        self.spare = Some((u64::from(d) << 32) | u64::from(c));
        (u64::from(b) << 32) | u64::from(a)
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal, by Box-Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Uniform in `0..n`; `n` must not be 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "below(0) has no value to return");
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// The next `count` times [`Rng::chance`] as bits, the lowest of each byte first, drawn on the current rayon pool: the n-th is what the n-th call
    /// gives. For a stream from which nothing was drawn yet.
    pub fn chances(&self, p: f64, count: usize) -> Vec<u8> {
        /// Bytes that one task draws.
        const PART: usize = 1 << 12;
        assert!(self.block == 0 && self.spare.is_none(), "a stream that was drawn from");
        // a draw below p is one whose 53 bits are below this: both sides of the comparison are exact
        let bound = (p * (1u64 << 53) as f64).ceil() as u64;
        let key = self.key;
        let mut bits = vec![0u8; count.div_ceil(8)];
        bits.par_chunks_mut(PART).enumerate().for_each(|(part, bits)| {
            for (at, byte) in bits.iter_mut().enumerate() {
                // four blocks of two draws
                let first = ((part * PART + at) * 4) as u64;
                for step in 0..4 {
                    let block = first + step;
                    let [a, b, c, d] = philox([block as u32, (block >> 32) as u32, 0, 0], key);
                    let draws = [(b, a), (d, c)].map(|(high, low)| {
                        (((u64::from(high) << 32) | u64::from(low)) >> 11) < bound
                    });
                    *byte |= (u8::from(draws[0]) | u8::from(draws[1]) << 1) << (2 * step);
                }
            }
        });
        // nothing behind the last
        if let (Some(last), rest @ 1..) = (bits.last_mut(), count % 8) {
            *last &= (1 << rest) - 1;
        }
        bits
    }

    /// One of `choices`, which must not be empty.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// An index drawn with probability proportional to its weight; the weights must not all be 0.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        let last = weights.iter().rposition(|w| *w > 0.0).expect("at least one weight above 0");
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        last
    }

    /// Brings `items` into random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// `count` different indices of `0..n`, in random order; `count` must be at most `n`.
    pub fn distinct(&mut self, n: usize, count: usize) -> Vec<usize> {
        assert!(count <= n, "{count} different values of {n} asked for");
        let mut indices: Vec<usize> = (0..n).collect();
        for i in 0..count {
            let j = i + self.below(n - i);
            indices.swap(i, j);
        }
        indices.truncate(count);
        indices
    }
}

/// The finaliser of SplitMix64: spreads every bit of `x` over all bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Philox4x32 with ten rounds.
fn philox(mut x: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
        }
        let low = u64::from(x[0]) * 0xd251_1f53;
        let high = u64::from(x[2]) * 0xcd9e_8d57;
        x = [
            (high >> 32) as u32 ^ x[1] ^ key[0],
            high as u32,
            (low >> 32) as u32 ^ x[3] ^ key[1],
            low as u32,
        ];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with Random123 (`kat_vectors`, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]
        );
    }

    #[test]
    fn draws_are_uniform() {
        let mut rng = Rng::new(7, "test");
        let mut counts = [0usize; 5];
        for _ in 0..50_000 {
            counts[rng.below(5)] += 1;
        }
        assert!(counts.iter().all(|c| c.abs_diff(10_000) < 400), "{counts:?}");
        let mean = (0..50_000).map(|_| rng.normal()).sum::<f64>() / 50_000.0;
        assert!(mean.abs() < 0.02, "{mean}");
    }

    #[test]
    fn chances_drawn_at_once_are_those_drawn_one_by_one() {
        let rng = Rng::new(3, "bits").fork(4);
        for p in [0.0, 0.05, 0.5, 1.0 / 3.0, 0.999_999, 1.0] {
            for count in [0, 1, 7, 8, 9, 100_003] {
                let bits = rng.chances(p, count);
                assert_eq!(bits.len(), count.div_ceil(8));
                let mut one_by_one = rng.clone();
                for at in 0..count {
                    let bit = bits[at / 8] >> (at % 8) & 1 == 1;
                    assert_eq!(bit, one_by_one.chance(p), "{p}, {at} of {count}");
                }
            }
        }
    }

    #[test]
    fn a_fork_does_not_depend_on_what_was_drawn() {
        let (fresh, mut used) = (Rng::new(1, "x"), Rng::new(1, "x"));
        used.next_u64();
        assert_eq!(fresh.fork(3), used.fork(3));
        assert_ne!(fresh.fork(3).next_u64(), fresh.fork(4).next_u64());
    }

    #[test]
    fn distinct_indices_are_distinct() {
        let mut drawn = Rng::new(1, "x").distinct(20, 20);
        drawn.sort_unstable();
        assert_eq!(drawn, (0..20).collect::<Vec<_>>());
    }
}
