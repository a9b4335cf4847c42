//! The seed's numbers, and the hash that states are counted by. Both are small, fixed and
//! ours, so that a seed printed today replays the same way after any update.

/// A splitmix64 generator.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; `bound` is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True `times` times in 16.
    pub fn sixteenths(&mut self, times: u64) -> bool {
        self.below(16) < times
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// FNV-1a over 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Fnv(u64);

impl Fnv {
    pub const fn new() -> Self {
        Fnv(0xCBF2_9CE4_8422_2325)
    }

    pub const fn with(mut self, bytes: &[u8]) -> Self {
        // `for` is not allowed in a constant function.
        let mut i = 0;
        while i < bytes.len() {
            self.0 = (self.0 ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01B3);
            i += 1;
        }
        self
    }

    /// As [`Fnv::with`], eight bytes at a time, for pages. A product never reaches bits below
    /// the ones multiplied, so each is folded, or words that differ at the top would collide.
    pub const fn with_words(mut self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut i = 0;
        while i < words.len() {
            let word = u64::from_le_bytes(words[i]);
            self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01B3);
            self.0 ^= self.0 >> 32;
            i += 1;
        }
        self.with(rest)
    }

    pub fn write(&mut self, bytes: &[u8]) {
        *self = self.with(bytes);
    }

    pub const fn finish(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(Fnv::new().with(b"foobar").finish(), 0x8594_4171_F739_67E8);
    }

    #[test]
    fn every_bit_of_a_word_reaches_the_hash() {
        let zeros = [0; 19];
        let mut seen = std::collections::HashSet::from([Fnv::new().with_words(&zeros).finish()]);
        for bit in 0..19 * 8 {
            let mut bytes = zeros;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                seen.insert(Fnv::new().with_words(&bytes).finish()),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_seed_gives_the_same_numbers_forever() {
        let mut rng = Rng::new(0);
        assert_eq!(rng.next(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(rng.next(), 0x6E78_9E6A_A1B9_65F4);
        assert!((0..1000).all(|_| rng.below(7) < 7));
    }
}
