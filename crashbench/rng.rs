//! Random numbers that a seed repeats: splitmix64.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The stream of `seed` and a few names for what it is used for.
    pub fn of(seed: u64, parts: &[&str], round: u64) -> Rng {
        let mut rng = Rng(seed ^ round.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
            rng.0 = rng.next_u64() ^ u64::from(byte);
        }
        rng
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `low` on, below `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low < high, "an empty range");
        low + self.next_u64() % (high - low)
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.next_u64() >> 63 == 1
    }
}
