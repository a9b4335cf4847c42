//! State files that are whole, and all that are not.

use super::*;
use crate::format::body::{self, BodyFault};

const HEADER: StateHeader = StateHeader {
    journal: JournalId([2; 16]),
    id: SnapshotId::new(7),
    lsn: Lsn::new(500),
    created_ms: 9,
};

fn entry(kind: EntryKind, session: u32, body: &[u8]) -> StateEntry<'_> {
    StateEntry {
        kind,
        session: SessionNo::new(session),
        schema: 3,
        body,
    }
}

fn samples() -> [StateEntry<'static>; 4] {
    [
        entry(EntryKind::Journal, 0, b"whole journal"),
        entry(EntryKind::Session, 1, b""),
        entry(EntryKind::Tombstone, 2, b"8 bytes!"),
        entry(EntryKind::Session, 9, b"123456789"),
    ]
}

fn encode(entries: &[StateEntry<'_>]) -> (Vec<u8>, StateSummary) {
    let mut out = Vec::new();
    let mut encoder = StateEncoder::new(HEADER, &mut out);
    for entry in entries {
        encoder.push(entry, &mut out);
    }
    let summary = encoder.finish(&mut out);
    (out, summary)
}

pub(in crate::format) fn small() -> Vec<u8> {
    encode(&samples()).0
}

#[test]
fn entries_read_back_in_order() {
    let (bytes, summary) = encode(&samples());
    let file = StateFile::decode(&bytes).expect("good");
    assert_eq!((file.header, file.summary), (HEADER, summary));
    let entries: Result<Vec<_>, _> = file.entries().collect();
    assert_eq!(entries.expect("good"), samples());
    let (empty, _) = encode(&[]);
    assert_eq!(
        StateFile::decode(&empty).expect("good").entries().count(),
        0
    );
}

#[test]
fn a_file_written_in_parts_is_the_same_file_and_a_failed_body_leaves_no_trace() {
    let (mut file, mut part) = (Vec::new(), Vec::new());
    let mut encoder = StateEncoder::new(HEADER, &mut part);
    let mut whole = Vec::new();
    let mut reference = StateEncoder::new(HEADER, &mut whole);
    for (i, sample) in samples().iter().enumerate() {
        file.append(&mut part);
        let failed = encoder.push_with(sample.kind, sample.session, 0, &mut part, |out| {
            out.extend_from_slice(b"half");
            Err(BodyFault::Truncated)
        });
        assert_eq!(failed, Err(BodyFault::Truncated));
        encoder
            .push_with(sample.kind, sample.session, 3, &mut part, |out| {
                body::encode(&i, out)
            })
            .expect("encodes");
        let body = [i as u8];
        reference.push(
            &StateEntry {
                body: &body,
                ..*sample
            },
            &mut whole,
        );
    }
    encoder.finish(&mut part);
    file.append(&mut part);
    reference.finish(&mut whole);
    assert_eq!(file, whole);
    StateFile::decode(&file).expect("good");
}

#[test]
fn every_flipped_bit_and_every_other_length_is_refused() {
    let good = small();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(
            StateFile::decode(&bad).is_err(),
            "bit {bit} was flipped unseen"
        );
    }
    for len in 0..good.len() {
        assert!(
            StateFile::decode(&good[..len]).is_err(),
            "cut to {len} bytes"
        );
    }
    let cut = &good[..STATE_HEADER_LEN + STATE_FOOTER_LEN - 1];
    assert!(matches!(StateFile::decode(cut), Err(Fault::Short { .. })));
    assert!(StateFile::decode(&[&good[..], &[0; 8]].concat()).is_err());
}

/// Each entry is whole, only the order is not: the entries' own numbers tell.
#[test]
fn entries_that_are_missing_doubled_or_swapped_are_seen_without_the_footer() {
    let good = small();
    let file = StateFile::decode(&good).expect("good");
    let mut parts = Vec::new();
    let mut rest = file.body;
    for number in 0..4 {
        let (_, taken) = decode_entry(HEADER.seed(), number, rest).expect("good");
        parts.push(&rest[..taken]);
        rest = &rest[taken..];
    }
    for order in [[0, 2, 3, 3], [0, 0, 1, 2], [1, 0, 2, 3], [0, 1, 3, 2]] {
        let body = order.map(|i| parts[i]).concat();
        let file = StateFile {
            body: &body,
            ..file
        };
        assert!(file.entries().any(|entry| entry.is_err()), "{order:?}");
    }
}

#[test]
fn another_snapshots_entries_are_not_this_ones() {
    let (mut other, mut out) = (HEADER, Vec::new());
    other.id = SnapshotId::new(8);
    let encoder = StateEncoder::new(other, &mut out);
    encoder.finish(&mut out);
    let mut mixed = small();
    mixed[..STATE_HEADER_LEN].copy_from_slice(&out[..STATE_HEADER_LEN]);
    assert!(StateFile::decode(&mixed).is_err());
}

/// What is refused is named by where it begins, not by the file alone.
#[test]
fn the_first_part_that_does_not_validate_is_named_by_its_place() {
    let (bytes, _) = encode(&samples());
    let mut at = STATE_HEADER_LEN;
    let mut starts = Vec::new();
    for number in 0..samples().len() as u32 {
        starts.push(at);
        let (_, taken) = decode_entry(HEADER.seed(), number, &bytes[at..]).expect("good");
        at += taken;
    }
    let footer = at;
    assert_eq!(footer, bytes.len() - STATE_FOOTER_LEN);
    let fault_of_flipped = |offset: usize| {
        let mut bad = bytes.clone();
        bad[offset] ^= 1;
        assert!(StateFile::decode(&bad).is_err());
        StateFile::first_fault(&bad) as usize
    };
    for &start in &starts {
        assert_eq!(fault_of_flipped(start + 5), start);
    }
    assert_eq!(fault_of_flipped(footer + 3), footer);
    assert_eq!(fault_of_flipped(20), 0, "the header");
    let second = &bytes[..starts[1] + 3];
    assert_eq!(StateFile::first_fault(second) as usize, STATE_HEADER_LEN);
}
