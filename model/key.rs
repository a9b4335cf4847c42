//! Hashes that are kept on disk: of idempotency keys, and of the names of deleted sessions.
//!
//! SipHash-2-4 with 128 bits of result and fixed keys. The standard library has a SipHash, but
//! does not promise that it stays the same from one release to the next, and what was written
//! with one must be found with another.
//!
//! Two keys that hash alike would make two requests one turn. Among the few hundred keys that a
//! session remembers, the chance of that is below 2^-110 for keys that nobody chose against the
//! hash. Whoever chooses keys against it can, at worst, have his own second request answered
//! with his own first turn: keys are only ever compared within one session. Names of deleted
//! sessions only decide which generation number the next session of that name begins with.

/// Hash of an idempotency key.
pub fn hash_key(key: &[u8]) -> u128 {
    siphash(0x7475_726E_6B65_6570, 0x6B65_7900_0000_0001, key)
}

/// Hash of a session's name.
pub fn hash_name(name: &str) -> u128 {
    siphash(
        0x7475_726E_6B65_6570,
        0x6E61_6D65_0000_0001,
        name.as_bytes(),
    )
}

/// Hash that folds `bytes` onto an earlier result, for digests of whole states.
pub(crate) fn hash_onto(earlier: u128, bytes: &[u8]) -> u128 {
    siphash(earlier as u64, (earlier >> 64) as u64, bytes)
}

fn siphash(k0: u64, k1: u64, bytes: &[u8]) -> u128 {
    let mut v = [
        k0 ^ 0x736F_6D65_7073_6575,
        k1 ^ 0x646F_7261_6E64_6F6D ^ 0xEE,
        k0 ^ 0x6C79_6765_6E65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        absorb(&mut v, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    // The length, modulo 256, fills the last byte: it tells padding from zeros.
    last[7] = bytes.len() as u8;
    absorb(&mut v, u64::from_le_bytes(last));

    v[2] ^= 0xEE;
    (0..4).for_each(|_| round(&mut v));
    let low = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xDD;
    (0..4).for_each(|_| round(&mut v));
    let high = v[0] ^ v[1] ^ v[2] ^ v[3];
    u128::from(low) | u128::from(high) << 64
}

fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published vectors of SipHash-2-4-128: key 00 to 0f, inputs 00, 01, ...
    #[test]
    fn the_hash_is_siphash() {
        let input: Vec<u8> = (0..64).collect();
        let of = |len: usize| {
            siphash(0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908, &input[..len]).to_le_bytes()
        };
        let hex = |bytes: [u8; 16]| bytes.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex(of(0)), "a3817f04ba25a8e66df67214c7550293");
        assert_eq!(hex(of(1)), "da87c1d86b99af44347659119b22fc45");
        assert_eq!(hex(of(8)), "3b62a9ba6258f5610f83e264f31497b4");
        assert_eq!(hex(of(15)), "5493e99933b0a8117e08ec0f97cfc3d9");
        assert_eq!(hex(of(63)), "5150d1772f50834a503e069a973fbd7c");
    }

    /// These are on disk: they must not change.
    #[test]
    fn stored_hashes_are_pinned() {
        assert_eq!(
            hash_key(b"req-81"),
            0xBC33_9C98_4309_8D96_C870_8F67_F589_1897
        );
        assert_eq!(
            hash_name("agent-7f3a"),
            0x0C16_ACB2_56F0_4854_1256_9EC6_7DE5_0CFD
        );
        assert_ne!(hash_key(b"same"), hash_name("same"));
    }
}
