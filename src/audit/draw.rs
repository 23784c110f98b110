//! Python's `random.Random(seed).choices(range(n), k=k)`, which the authors' random mask draws with.
//!
//! The generator is the Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), seeded by its `init_by_array` as CPython does for a
//! whole number below 2^32. It serves no other purpose: the crate's own draws come from [`crate::rng`].

const N: usize = 624;
const M: usize = 397;

/// MT19937.
pub(super) struct PythonRandom {
    state: [u32; N],
    at: usize,
}

impl PythonRandom {
    /// As `random.Random(seed)`.
    pub fn new(seed: u32) -> Self {
        let mut state = [0u32; N];
        state[0] = 19_650_218;
        for i in 1..N {
            let before = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] = before.wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        let mut i = 1;
        let wrap = |state: &mut [u32; N], i: &mut usize| {
            *i += 1;
            if *i >= N {
                state[0] = state[N - 1];
                *i = 1;
            }
        };
        for _ in 0..N {
            let before = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] = (state[i] ^ before.wrapping_mul(1_664_525)).wrapping_add(seed);
            wrap(&mut state, &mut i);
        }
        for _ in 0..N - 1 {
            let before = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] = (state[i] ^ before.wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
            wrap(&mut state, &mut i);
        }
        state[0] = 0x8000_0000;
        Self { state, at: N }
    }

    fn next(&mut self) -> u32 {
        if self.at == N {
            for i in 0..N {
                let mixed = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
                let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + M) % N] ^ (mixed >> 1) ^ odd;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// As `random()`: 53 random bits as a share of 1.
    pub fn random(&mut self) -> f64 {
        let (a, b) = (f64::from(self.next() >> 5), f64::from(self.next() >> 6));
        (a * 67_108_864.0 + b) / 9_007_199_254_740_992.0
    }

    /// As `choices(range(n), k=count)`: drawn with replacement.
    pub fn choices(&mut self, n: usize, count: usize) -> Vec<usize> {
        (0..count).map(|_| (self.random() * n as f64) as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /* CPython 3.11:
    import random
    r = random.Random(42); print(r.random(), r.random())
    print(random.Random(42).choices(range(1000), k=8))
    r = random.Random(7); [r.random() for _ in range(1000)]; print(r.random()) */
    #[test]
    fn draws_equal_pythons() {
        let mut random = PythonRandom::new(42);
        assert_eq!(random.random(), FIRST[0]);
        assert_eq!(random.random(), FIRST[1]);
        assert_eq!(PythonRandom::new(42).choices(1000, 8), CHOICES);
        let mut random = PythonRandom::new(7);
        (0..1000).for_each(|_| {
            random.random();
        });
        assert_eq!(random.random(), LATE);
    }
    const FIRST: [f64; 2] = [0.6394267984578837, 0.025010755222666936];
    const CHOICES: [usize; 8] = [639, 25, 275, 223, 736, 676, 892, 86];
    const LATE: f64 = 0.950867979111096;
}
