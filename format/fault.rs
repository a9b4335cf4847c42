//! Why bytes are not what they should be.

/// The first reason for which a decoder refused its input.
///
/// A fault is a fact about bytes. Whether it means a torn tail or corruption is decided
/// elsewhere, by what was proven durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The input ends before the structure does.
    #[error("{what} needs {needed} bytes, {have} are there")]
    Short {
        /// Which structure.
        what: &'static str,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there are.
        have: u64,
    },
    /// The bytes that name the structure are not there.
    #[error("no {what} here: found {found:#018x}")]
    Magic {
        /// Which structure.
        what: &'static str,
        /// What stands in its place.
        found: u64,
    },
    /// A checksum does not match.
    #[error("checksum mismatch in {what}: stored {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// Which structure.
        what: &'static str,
        /// The checksum that is stored.
        stored: u32,
        /// The checksum of the bytes that are there.
        computed: u32,
    },
    /// A field holds a value that it cannot have here.
    #[error("{field} is {found}, expected {expected}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it must be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// The file was written by a newer release.
    #[error("format version {found}, this release reads up to {supported}")]
    Newer {
        /// The file's version.
        found: u16,
        /// The newest version this release reads.
        supported: u16,
    },
    /// The payload is stored in a way that this release does not know.
    #[error("payload codec {codec:#04x}, layout {body_version}: written by a newer release")]
    Coding {
        /// The frame's codec.
        codec: u8,
        /// The frame's layout of payloads.
        body_version: u8,
    },
    /// A body does not decode although its checksum matches.
    #[error("{what} does not decode: {why}")]
    Body {
        /// Which structure.
        what: &'static str,
        /// The codec's word.
        why: String,
    },
}

/// Returns [`Fault::Short`] unless `bytes` has at least `needed` bytes.
pub(super) fn need(what: &'static str, bytes: &[u8], needed: usize) -> Result<(), Fault> {
    if bytes.len() < needed {
        return Err(Fault::Short {
            what,
            needed: needed as u64,
            have: bytes.len() as u64,
        });
    }
    Ok(())
}

/// Returns [`Fault::Checksum`] unless both values are equal.
pub(super) fn same(what: &'static str, stored: u32, computed: u32) -> Result<(), Fault> {
    if stored != computed {
        return Err(Fault::Checksum {
            what,
            stored,
            computed,
        });
    }
    Ok(())
}

/// Returns [`Fault::Field`] unless both values are equal.
pub(super) fn expect(field: &'static str, expected: u64, found: u64) -> Result<(), Fault> {
    if expected != found {
        return Err(Fault::Field {
            field,
            expected,
            found,
        });
    }
    Ok(())
}
