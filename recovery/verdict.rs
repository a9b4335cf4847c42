//! The verdict table: what the first position that is not the next group means.
//!
//! Pure: facts in, verdict out. `scan` gathers the facts, `repair` acts.

use crate::format::ids::Lsn;
use crate::sabotage::Sabotage;

/// What stands at the first position of the log that is not the next group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing of this life of the file: zeros, or what an earlier life left behind.
    Nothing,
    /// Bytes of a group that does not validate: short, torn, or a frame of it is missing.
    BrokenGroup,
    /// A whole group that does not follow on.
    OutOfOrder,
    /// The segment's own header does not validate.
    BrokenHeader,
}

/// A whole group somewhere behind that position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Its first record.
    pub first_lsn: Lsn,
    /// What it knew to be durable.
    pub durable_lsn: Lsn,
}

/// The facts about the first position that is not the next group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What stands there.
    pub found: Found,
    /// The LSN after the last record before it.
    pub next_lsn: Lsn,
    /// Everything below was durable: the most that any valid group anywhere, the watermark
    /// page, or a snapshot says.
    pub proven_lsn: Lsn,
    /// The segment was sealed: another one, with records, follows it.
    pub sealed: bool,
    /// The whole group behind it that comes first, if there is any.
    pub survivor: Option<Survivor>,
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The log ends here.
    CleanEnd,
    /// A crash tore what was never acknowledged: cut it, and say how much.
    TornTail,
    /// The newest segment was being made, and holds nothing: make it again.
    Recreate,
    /// Something acknowledged does not validate: refuse, change nothing.
    Corrupt(Reason),
}

/// Why it is corruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Records that are not there were durable.
    ProvenLost,
    /// A sealed segment has a fault.
    SealedBroken,
    /// A whole group stands where another belongs.
    Gap,
    /// A segment's header is gone, and what it holds is not.
    HeaderLost,
    /// What is broken held no record, but was durable, for a whole group follows on behind it.
    MarkerLost,
}

impl Reason {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ProvenLost => "durable records do not validate",
            Reason::SealedBroken => "a sealed segment does not validate",
            Reason::Gap => "a group does not follow on the one before it",
            Reason::HeaderLost => "a segment's header does not validate, but its groups do",
            Reason::MarkerLost => "a closing or sealing group does not validate",
        }
    }
}

/// Decides. One row, one paragraph of why, one test named after it.
pub fn verdict(facts: &Facts) -> Verdict {
    if Sabotage::IgnoreProof.is_on() {
        return Verdict::TornTail;
    }
    // Proven durable, and not there. Whatever the bytes look like, a crash does not do that.
    if facts.proven_lsn > facts.next_lsn {
        return Verdict::Corrupt(Reason::ProvenLost);
    }
    // A group is written only after the one before it was. One that validates, under this
    // life's seed, at the place of another, was put there by no crash.
    if facts.found == Found::OutOfOrder {
        return Verdict::Corrupt(Reason::Gap);
    }
    if let Some(survivor) = facts.survivor {
        // A header is synced before the first group is written.
        if facts.found == Found::BrokenHeader {
            return Verdict::Corrupt(Reason::HeaderLost);
        }
        // Nothing is missing between the end and the survivor, so what is broken was a group
        // without records. Those are synced before anything is written behind them.
        if survivor.first_lsn == facts.next_lsn {
            return Verdict::Corrupt(Reason::MarkerLost);
        }
        if survivor.first_lsn < facts.next_lsn {
            return Verdict::Corrupt(Reason::Gap);
        }
    }
    // A segment is synced before the next one is written to.
    if facts.sealed {
        return Verdict::Corrupt(Reason::SealedBroken);
    }
    match facts.found {
        // Nothing was written here, or nothing of it arrived. If something arrived behind it,
        // it was written without a sync, and is cut with the rest.
        Found::Nothing if facts.survivor.is_none() => Verdict::CleanEnd,
        // Nothing proves that it was durable, so it was never acknowledged.
        Found::Nothing | Found::BrokenGroup => Verdict::TornTail,
        // A header is synced before the file gets its name; but nothing was in it either way.
        Found::BrokenHeader => Verdict::Recreate,
        Found::OutOfOrder => Verdict::Corrupt(Reason::Gap),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(found: Found) -> Facts {
        let (next_lsn, proven_lsn) = (Lsn::new(51), Lsn::new(50));
        Facts {
            found,
            next_lsn,
            proven_lsn,
            sealed: false,
            survivor: None,
        }
    }

    fn survivor(first: u64, durable: u64) -> Option<Survivor> {
        Some(Survivor {
            first_lsn: Lsn::new(first),
            durable_lsn: Lsn::new(durable),
        })
    }

    #[test]
    fn the_end_of_the_written_area_is_a_clean_end() {
        assert_eq!(verdict(&facts(Found::Nothing)), Verdict::CleanEnd);
        let all_proven = Facts {
            proven_lsn: Lsn::new(51),
            ..facts(Found::Nothing)
        };
        assert_eq!(verdict(&all_proven), Verdict::CleanEnd);
    }

    #[test]
    fn a_broken_group_that_nothing_proves_is_a_torn_tail() {
        assert_eq!(verdict(&facts(Found::BrokenGroup)), Verdict::TornTail);
        let behind = Facts {
            survivor: survivor(61, 48),
            ..facts(Found::BrokenGroup)
        };
        assert_eq!(verdict(&behind), Verdict::TornTail);
        let nothing_there = Facts {
            survivor: survivor(61, 48),
            ..facts(Found::Nothing)
        };
        assert_eq!(verdict(&nothing_there), Verdict::TornTail);
    }

    #[test]
    fn anything_broken_that_was_proven_durable_is_corrupt() {
        for found in [
            Found::Nothing,
            Found::BrokenGroup,
            Found::OutOfOrder,
            Found::BrokenHeader,
        ] {
            let proven = Facts {
                proven_lsn: Lsn::new(52),
                ..facts(found)
            };
            assert_eq!(
                verdict(&proven),
                Verdict::Corrupt(Reason::ProvenLost),
                "{found:?}"
            );
        }
    }

    #[test]
    fn anything_broken_in_a_sealed_segment_is_corrupt() {
        for found in [Found::Nothing, Found::BrokenGroup, Found::BrokenHeader] {
            let sealed = Facts {
                sealed: true,
                ..facts(found)
            };
            assert_eq!(
                verdict(&sealed),
                Verdict::Corrupt(Reason::SealedBroken),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_valid_group_that_is_not_the_next_is_corrupt() {
        assert_eq!(
            verdict(&facts(Found::OutOfOrder)),
            Verdict::Corrupt(Reason::Gap)
        );
        let older = Facts {
            survivor: survivor(20, 20),
            ..facts(Found::BrokenGroup)
        };
        assert_eq!(verdict(&older), Verdict::Corrupt(Reason::Gap));
    }

    #[test]
    fn a_lost_marker_with_records_behind_it_is_corrupt() {
        let behind = Facts {
            survivor: survivor(51, 51),
            ..facts(Found::BrokenGroup)
        };
        assert_eq!(verdict(&behind), Verdict::Corrupt(Reason::MarkerLost));
    }

    #[test]
    fn a_broken_header_before_whole_groups_is_corrupt() {
        let behind = Facts {
            survivor: survivor(51, 51),
            ..facts(Found::BrokenHeader)
        };
        assert_eq!(verdict(&behind), Verdict::Corrupt(Reason::HeaderLost));
    }

    #[test]
    fn a_broken_header_of_the_newest_segment_with_nothing_behind_is_recreated() {
        assert_eq!(verdict(&facts(Found::BrokenHeader)), Verdict::Recreate);
    }
}
