//! Newtypes for everything that is counted, so that one number cannot stand for another.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name($int);

        impl $name {
            /// Wraps a raw number.
            pub const fn new(raw: $int) -> Self {
                Self(raw)
            }

            /// Returns the raw number.
            pub const fn get(self) -> $int {
                self.0
            }

            /// Returns the number after this one.
            ///
            /// Saturates at the end of the range, which no journal reaches.
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// Log sequence number: the place of a record in the journal's one order, from 1.
    Lsn, u64
);
id!(
    /// Number of a session inside one journal, from 1, never reused. 0 is the journal itself.
    SessionNo, u32
);
id!(
    /// Place of a record in its session, from 1, never reused.
    Seq, u32
);
id!(
    /// Identity of one life of a segment file, from 1, never reused.
    SegmentId, u64
);
id!(
    /// Identity of a pack file, from 1, never reused.
    PackId, u64
);
id!(
    /// Identity of a snapshot, from 1, never reused.
    SnapshotId, u64
);
id!(
    /// Number of a writer's hold on the journal, from 1: one more at each opening for writing
    /// that appended something. Tells work of a dead process from work of this one.
    Epoch, u32
);

/// Identity of a journal: 16 random bytes drawn when it was created.
///
/// Reports give it as it is printed, in hexadecimal.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalId(pub [u8; 16]);

impl Serialize for JournalId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JournalId({self})")
    }
}
