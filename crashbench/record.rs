//! The records: text that says which it is, made again from its number, so that both sides of a
//! crash agree on every byte without having spoken.

use crate::rng::Rng;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a round appends.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// What the bytes are made from.
    pub seed: u64,
    /// How many sessions the records belong to, in a random order.
    pub sessions: u32,
    /// The mean length of a record.
    pub bytes: usize,
}

/// A record on its way into a store, or out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub session: u32,
    /// Its number in the round: ascending, without holes. Stores with keys use it as the key.
    pub n: u64,
    /// Printable ASCII, so that stores of text can keep it as it is.
    pub bytes: Vec<u8>,
}

impl Workload {
    /// The record of that number.
    pub fn record(&self, n: u64) -> Record {
        const ALPHABET: &[u8; 64] =
            b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";
        let mut rng = Rng::of(self.seed, &["record"], n);
        let session = rng.between(0, u64::from(self.sessions)) as u32;
        let length = self.bytes / 2 + rng.between(0, self.bytes as u64) as usize;
        let mut bytes = format!("turn {n} of session {session}: ").into_bytes();
        while bytes.len() < length {
            let word = rng.next_u64();
            bytes.extend((0..10).map(|i| ALPHABET[(word >> (6 * i)) as usize & 63]));
        }
        Record { session, n, bytes }
    }
}

/// What tells records apart: session and bytes in one number.
pub fn fingerprint(session: u32, bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (session, bytes).hash(&mut hasher);
    hasher.finish()
}
