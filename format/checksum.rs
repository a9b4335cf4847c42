//! Checksums: CRC-32/ISO-HDLC (check value `0xCBF43926`), seeded per life of a file.
//!
//! The only module that names crc32fast.

use super::ids::JournalId;
use crate::sabotage::Sabotage;

/// Start state of a checksum. Never 0 and never `0xFFFF_FFFF`: from those, runs of zeros
/// hash alike whatever their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u32);

/// What every header of a file starts from, whatever its life.
pub const HEADER_SEED: Seed = Seed(0x5EED_1D0C);

impl Seed {
    /// Wraps a stored seed; `None` for the two values that must not be used.
    pub const fn new(raw: u32) -> Option<Self> {
        match raw {
            0 | u32::MAX => None,
            raw => Some(Seed(raw)),
        }
    }

    /// The seed of one life of a file: a bijection of the file's never reused `id`, bound to
    /// the journal. For equal bytes, a checksum is a bijection of its start state, so what an
    /// earlier life left behind can never verify in a later one.
    pub fn of_life(journal: JournalId, id: u64) -> Self {
        let id = if Sabotage::DropSeed.is_on() { 1 } else { id };
        // An odd multiplier and xor-shifts are each a bijection of 32 bits.
        let mut mixed = (id as u32) ^ ((id >> 32) as u32).rotate_left(16);
        mixed = mixed.wrapping_mul(0x9E37_79B1);
        mixed ^= mixed >> 15;
        mixed = mixed.wrapping_mul(0x85EB_CA77);
        mixed ^= mixed >> 13;
        let folded = checksum(Seed(mixed), &journal.0);
        match folded {
            0 => Seed(0x0BAD_5EED),
            u32::MAX => Seed(0x1BAD_5EED),
            folded => Seed(folded),
        }
    }

    /// The same for a file whose kind counts ids of its own: the kind's `magic` is folded in
    /// too. Otherwise frames of pack 5 would verify in segment 5.
    pub fn of_file(journal: JournalId, id: u64, magic: [u8; 8]) -> Self {
        match checksum(Self::of_life(journal, id), &magic) {
            0 => Seed(0x0BAD_5EED),
            u32::MAX => Seed(0x1BAD_5EED),
            folded => Seed(folded),
        }
    }

    /// Returns the raw number, as it is stored.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Checksum of `bytes` from `seed`.
pub fn checksum(seed: Seed, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed.0);
    hasher.update(bytes);
    hasher.finalize()
}

/// A checksum over bytes that come in parts; equals [`checksum`] over all of them.
#[derive(Clone, Debug)]
pub struct Running(crc32fast::Hasher);

impl Running {
    /// Begins from `seed`.
    pub fn new(seed: Seed) -> Self {
        Running(crc32fast::Hasher::new_with_initial(seed.0))
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the checksum of everything so far.
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

/// A plain CRC-32 over bytes that come in parts; equals [`payload_checksum`] over all of them.
#[derive(Clone, Debug, Default)]
pub struct Crc(crc32fast::Hasher);

impl Crc {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the checksum of everything so far.
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

/// Plain CRC-32 of a payload, which can be computed before it is known where the payload goes.
/// A seeded header checksum covers the result.
pub fn payload_checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polynomial_is_iso_hdlc() {
        assert_eq!(payload_checksum(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let (seed, bytes) = (Seed(77), b"written by and by");
        for cut in 0..=bytes.len() {
            let mut running = Running::new(seed);
            running.update(&bytes[..cut]);
            running.update(&bytes[cut..]);
            assert_eq!(running.finish(), checksum(seed, bytes));
        }
    }

    #[test]
    fn lives_of_one_journal_never_share_a_seed() {
        let journal = JournalId([7; 16]);
        let mut seen = std::collections::HashSet::new();
        for id in 1..200_000_u64 {
            assert!(
                seen.insert(Seed::of_life(journal, id).get()),
                "seed of life {id} was used before"
            );
        }
    }

    #[test]
    fn files_of_different_kinds_share_no_seed_because_they_share_a_number() {
        let journal = JournalId([7; 16]);
        for id in 1..10_000 {
            let seeds = [
                Seed::of_life(journal, id),
                Seed::of_file(journal, id, *b"kind one"),
                Seed::of_file(journal, id, *b"kind two"),
            ];
            assert!(seeds[0] != seeds[1] && seeds[0] != seeds[2] && seeds[1] != seeds[2]);
        }
    }

    #[test]
    fn zeros_and_ones_of_any_length_hash_to_different_values() {
        let seed = Seed::of_life(JournalId([1; 16]), 3);
        assert_ne!(checksum(seed, &[0; 36]), 0);
        assert_ne!(checksum(seed, &[0; 36]), checksum(seed, &[0; 40]));
        assert_ne!(checksum(seed, &[0xFF; 36]), u32::MAX);
    }
}
