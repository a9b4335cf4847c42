//! Verifying packs: every block and every frame, one by one, so that damage of one block does
//! not hide the others.

use super::report::{VerifyReport, file_name};
use crate::error::Result;
use crate::format::Fault;
use crate::format::frame::FrameHeader;
use crate::format::ids::{Lsn, Seq, SessionNo};
use crate::journal::packs::PackFile;
use crate::model::finding::{Finding, Severity};

/// What packs hold of the LSNs that the log holds too, to be compared with it.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Records below are in no segment.
    from: Lsn,
    /// The end of the newest snapshot's packs: records below are counted there.
    pub end: Lsn,
    records: Vec<Copy>,
}

/// A record's identity and the checksum of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Copy {
    lsn: Lsn,
    session: SessionNo,
    seq: Seq,
    payload_check: u32,
}

impl Copy {
    fn of(header: &FrameHeader) -> Copy {
        Copy {
            lsn: header.lsn,
            session: header.session,
            seq: header.seq,
            payload_check: header.payload_check,
        }
    }
}

impl Held {
    /// Holds records from `logged_from` on; none if the log holds none.
    pub(super) fn from(logged_from: Option<Lsn>) -> Held {
        Held {
            from: logged_from.unwrap_or(Lsn::new(u64::MAX)),
            ..Held::default()
        }
    }

    fn add(&mut self, header: &FrameHeader) {
        if header.lsn >= self.from {
            self.records.push(Copy::of(header));
        }
    }

    pub(super) fn sort(&mut self) {
        self.records.sort_unstable_by_key(|copy| copy.lsn);
    }

    /// Whether what the log holds under this LSN is what packs hold under it, if any does.
    pub(super) fn agrees(&self, header: &FrameHeader) -> bool {
        let copy = Copy::of(header);
        let first = self.records.partition_point(|held| held.lsn < copy.lsn);
        self.records[first..]
            .iter()
            .take_while(|held| held.lsn == copy.lsn)
            .all(|held| *held == copy)
    }
}

/// Reads every block of a pack; returns how many records validate.
///
/// # Errors
/// [`crate::Error::Corrupt`] if its index does not validate.
pub(super) fn verify_pack(
    file: &PackFile,
    held: &mut Held,
    report: &mut VerifyReport,
) -> Result<u64> {
    let pack = file.view()?;
    let mut scratch = Vec::new();
    let (mut slot, mut session, mut good) = (0, 0, 0);
    for block in 0..pack.index.block_count() {
        let raw = pack.block(block, &mut scratch);
        let mut damaged: Option<(Fault, Lsn, Lsn)> = None;
        let mut blame = |fault: Fault, lsn: Lsn| match &mut damaged {
            Some((_, from, to)) => (*from, *to) = ((*from).min(lsn), (*to).max(lsn.next())),
            None => damaged = Some((fault, lsn, lsn.next())),
        };
        let mut link = Some(0);
        while let Some(record) = pack.index.record(slot).filter(|r| r.block == block) {
            while (pack.index.session_at(session)).is_some_and(|(_, slots)| slots.end <= slot) {
                session += 1;
            }
            let filed = pack.index.session_at(session).map(|(no, _)| no);
            slot += 1;
            let frame = match &raw {
                Ok(raw) => pack.frame(&record, raw),
                Err(fault) => Err(fault.clone()),
            };
            match frame {
                Ok(frame) => {
                    let (expected, found) = (filed.unwrap_or_default(), frame.header.session);
                    if expected != found {
                        let fault = Fault::Field {
                            field: "session",
                            expected: expected.get().into(),
                            found: found.get().into(),
                        };
                        blame(fault, record.lsn);
                    } else if link.is_some_and(|link| link != frame.header.prev) {
                        let fault = Fault::Field {
                            field: "link to the previous frame",
                            expected: link.unwrap_or_default().into(),
                            found: frame.header.prev.into(),
                        };
                        blame(fault, record.lsn);
                    } else {
                        good += 1;
                        held.add(&frame.header);
                    }
                    link = Some(frame.check);
                }
                Err(fault) => {
                    blame(fault, record.lsn);
                    link = None;
                }
            }
        }
        // The index does not validate if a block holds no record.
        if let Some((fault, from, to)) = damaged {
            let finding = Finding::new(Severity::Damage, "pack_block", fault.to_string())
                .in_file(file_name(file.path()))
                .at(pack.index.block_offset(block).unwrap_or_default());
            report.add(finding.of_lsns(from, to));
        }
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(lsn: u64, payload_check: u32) -> FrameHeader {
        FrameHeader {
            payload_check,
            lsn: Lsn::new(lsn),
            session: SessionNo::new(1),
            seq: Seq::new(lsn as u32),
            payload_len: 1,
            prev: 0,
            epoch: Default::default(),
            kind: 19,
            flags: 0,
            codec: 0,
            body_version: 0,
        }
    }

    fn held(from: Option<u64>, copies: &[(u64, u32)]) -> Held {
        let mut held = Held::from(from.map(Lsn::new));
        for (lsn, check) in copies {
            held.add(&header(*lsn, *check));
        }
        held.sort();
        held
    }

    /// Packs come in any order, and two of them may hold the same record.
    #[test]
    fn what_the_log_holds_is_compared_with_every_copy_in_a_pack() {
        let copies = [
            (9, 90),
            (5, 50),
            (7, 70),
            (7, 71),
            (4, 40),
            (6, 60),
            (9, 90),
        ];
        let held = held(Some(5), &copies);
        let agree: Vec<u64> = (1..12)
            .filter(|lsn| held.agrees(&header(*lsn, *lsn as u32 * 10)))
            .collect();
        assert_eq!(agree, [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]);
        let none: Vec<u64> = (1..12)
            .filter(|lsn| held.agrees(&header(*lsn, 1)))
            .collect();
        // What is below was not held, and of the others no pack has a record.
        assert_eq!(none, [1, 2, 3, 4, 8, 10, 11]);
    }

    /// Without a log there is nothing to compare, and nothing is held in memory for it.
    #[test]
    fn without_a_log_nothing_is_held() {
        assert_eq!(held(None, &[(1, 10), (2, 20)]).records, []);
        assert_eq!(held(Some(2), &[(1, 10), (2, 20)]).records.len(), 1);
    }
}
