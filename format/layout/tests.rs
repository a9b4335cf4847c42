//! Each structure is encoded with a different value in every field, and each value is found
//! where the table says.

use super::*;
use crate::format::checksum::{HEADER_SEED, Seed, checksum, payload_checksum};
use crate::format::frame::FrameHeader;
use crate::format::group::{GROUP_MAGIC, GroupHeader};
use crate::format::header::{FORMAT_VERSION, FileHeader};
use crate::format::ids::{Epoch, JournalId, Lsn, PackId, SegmentId, Seq, SessionNo, SnapshotId};
use crate::format::manifest::{BODY_BINCODE, MANIFEST_SCHEMA, Manifest};
use crate::format::pack::{PACK_FOOTER_MAGIC, PackFooter, PackHeader};
use crate::format::pack_block::{BLOCK_MAGIC, BlockCodec, BlockHeader};
use crate::format::pack_index::IndexEncoder;
use crate::format::segment::SegmentHeader;
use crate::format::state::{
    EntryKind, STATE_FOOTER_MAGIC, STATE_HEADER_LEN, StateEncoder, StateEntry, StateFooter,
    StateHeader,
};
use crate::format::watermark::Watermark;

const JOURNAL: JournalId = JournalId(*b"0123456789abcdef");

/// A value that no other field has: its eight bytes differ from each other too.
fn distinct(n: u64) -> u64 {
    0x0102_0304_0506_0700_u64
        .wrapping_add(n)
        .wrapping_mul(0x0F1E_2D3C_4B5A_6979)
}

fn half(n: u64) -> u32 {
    distinct(n) as u32
}

/// Values as they must stand in the bytes; reserved fields are checked by name.
type Values<'a> = &'a [(&'a str, &'a [u8])];

fn agree(structure: &Structure, bytes: &[u8], values: Values<'_>) {
    let name = structure.name;
    assert_eq!(bytes.len(), structure.end, "length of {name}");
    let mut at = structure.fields[0].0;
    let mut named = 0;
    for &(offset, size, field) in structure.fields {
        assert_eq!(offset, at, "{name}: a gap or an overlap before {field}");
        at += size;
        let found = &bytes[offset..at];
        if field == "zero" {
            assert!(
                found.iter().all(|byte| *byte == 0),
                "{name} at {offset} is reserved"
            );
            continue;
        }
        let expected = values
            .iter()
            .find(|(named, _)| *named == field)
            .unwrap_or_else(|| panic!("{name}: no value for {field}"));
        assert_eq!(found, expected.1, "{name}: {field}");
        named += 1;
    }
    assert_eq!(at, structure.end, "{name}: the table ends early");
    assert_eq!(named, values.len(), "{name}: a value without a field");
}

/// The checksum of a file header: over all of it but the checksum.
fn file_crc(header: &[u8]) -> [u8; 4] {
    checksum(HEADER_SEED, &[&header[..12], &header[16..]].concat()).to_le_bytes()
}

#[test]
fn structures_have_different_names() {
    for (i, structure) in STRUCTURES.iter().enumerate() {
        assert!(
            STRUCTURES[..i]
                .iter()
                .all(|other| other.name != structure.name)
        );
    }
}

#[test]
fn file_header_and_segment_header() {
    let header = SegmentHeader {
        journal: JOURNAL,
        id: SegmentId::new(distinct(1)),
        capacity: distinct(2),
        base_lsn: Lsn::new(distinct(3)),
        group_align: 512,
        base_link: half(4),
        base_group_link: half(5),
        created_ms: distinct(6),
    };
    let bytes = header.encode();
    agree(
        &FILE_HEADER,
        &bytes[..48],
        &[
            ("magic", &FileKind::Segment.magic()),
            ("version", &FORMAT_VERSION.to_le_bytes()),
            ("header_len", &128_u16.to_le_bytes()),
            ("crc", &file_crc(&bytes)),
            ("journal", &JOURNAL.0),
            ("id", &distinct(1).to_le_bytes()),
            ("seed", &header.seed().get().to_le_bytes()),
            ("flags", &[0; 4]),
        ],
    );
    agree(
        &SEGMENT_HEADER,
        &bytes,
        &[
            ("capacity", &distinct(2).to_le_bytes()),
            ("base_lsn", &distinct(3).to_le_bytes()),
            ("group_align", &512_u32.to_le_bytes()),
            ("base_link", &half(4).to_le_bytes()),
            ("base_group_link", &half(5).to_le_bytes()),
            ("created_ms", &distinct(6).to_le_bytes()),
        ],
    );
}

#[test]
fn group_header() {
    let seed = Seed::of_life(JOURNAL, 1);
    let mut bytes = [0; GROUP_HEADER_LEN];
    let check = GroupHeader {
        segment: SegmentId::new(distinct(1)),
        first_lsn: Lsn::new(distinct(2)),
        durable_lsn: Lsn::new(distinct(3)),
        body_len: half(4),
        frame_count: half(5),
        prev_group: half(6),
        flags: half(7),
        epoch: Epoch::new(half(8)),
        frames_check: half(9),
        at_ms: distinct(10),
    }
    .encode(seed, &mut bytes);
    assert_eq!(check, checksum(seed, &bytes[8..]));
    agree(
        &GROUP_HEADER,
        &bytes,
        &[
            ("magic", &GROUP_MAGIC.to_le_bytes()),
            ("crc", &check.to_le_bytes()),
            ("segment", &distinct(1).to_le_bytes()),
            ("first_lsn", &distinct(2).to_le_bytes()),
            ("durable_lsn", &distinct(3).to_le_bytes()),
            ("body_len", &half(4).to_le_bytes()),
            ("frame_count", &half(5).to_le_bytes()),
            ("prev_group", &half(6).to_le_bytes()),
            ("flags", &half(7).to_le_bytes()),
            ("epoch", &half(8).to_le_bytes()),
            ("frames_check", &half(9).to_le_bytes()),
            ("at_ms", &distinct(10).to_le_bytes()),
        ],
    );
}

#[test]
fn frame_header() {
    let seed = Seed::of_life(JOURNAL, 1);
    let mut bytes = [0; FRAME_HEADER_LEN];
    let check = FrameHeader {
        payload_check: half(1),
        lsn: Lsn::new(distinct(2)),
        session: SessionNo::new(half(3)),
        seq: Seq::new(half(4)),
        payload_len: half(5),
        prev: half(6),
        epoch: Epoch::new(half(7)),
        kind: 0xA1,
        flags: 0xB2,
        codec: 0xC3,
        body_version: 0xD4,
    }
    .encode(seed, &mut bytes);
    assert_eq!(check, checksum(seed, &bytes[4..]));
    agree(
        &FRAME_HEADER,
        &bytes,
        &[
            ("crc", &check.to_le_bytes()),
            ("payload_check", &half(1).to_le_bytes()),
            ("lsn", &distinct(2).to_le_bytes()),
            ("session", &half(3).to_le_bytes()),
            ("seq", &half(4).to_le_bytes()),
            ("payload_len", &half(5).to_le_bytes()),
            ("prev", &half(6).to_le_bytes()),
            ("epoch", &half(7).to_le_bytes()),
            ("kind", &[0xA1]),
            ("flags", &[0xB2]),
            ("codec", &[0xC3]),
            ("body_version", &[0xD4]),
        ],
    );
}

#[cfg(feature = "encryption")]
#[test]
fn sealed_content() {
    use crate::format::seal::Key;
    let key = Key::new([7; 32]);
    let nonce = std::array::from_fn(|at| 0x40 + at as u8);
    let mut bytes = vec![0; SEAL_HEADER_LEN];
    assert!(key.seal(nonce, b"", &mut bytes, 0));
    let fields: [(_, &[u8]); 2] = [("key_id", &key.id().0), ("nonce", &nonce)];
    agree(&SEALED_CONTENT, &bytes[..SEAL_HEADER_LEN], &fields);
}

#[test]
fn watermark_slot() {
    let bytes = Watermark {
        counter: distinct(1),
        durable_lsn: Lsn::new(distinct(2)),
        segment: SegmentId::new(distinct(3)),
        end_offset: distinct(4),
        flags: half(5),
        epoch: Epoch::new(half(6)),
    }
    .encode(JOURNAL);
    let check = checksum(Seed::of_life(JOURNAL, u64::MAX), &bytes[..60]);
    agree(
        &WATERMARK_SLOT,
        &bytes,
        &[
            ("counter", &distinct(1).to_le_bytes()),
            ("durable_lsn", &distinct(2).to_le_bytes()),
            ("segment", &distinct(3).to_le_bytes()),
            ("end_offset", &distinct(4).to_le_bytes()),
            ("flags", &half(5).to_le_bytes()),
            ("epoch", &half(6).to_le_bytes()),
            ("crc", &check.to_le_bytes()),
        ],
    );
}

#[test]
fn pack_header_and_footer() {
    let header = PackHeader {
        journal: JOURNAL,
        id: PackId::new(distinct(1)),
        lsn_from: Lsn::new(distinct(2)),
        lsn_to: Lsn::new(distinct(3)),
    };
    let bytes = header.encode();
    assert_eq!(bytes[12..16], file_crc(&bytes));
    agree(
        &PACK_HEADER,
        &bytes,
        &[
            ("lsn_from", &distinct(2).to_le_bytes()),
            ("lsn_to", &distinct(3).to_le_bytes()),
        ],
    );
    let bytes = PackFooter {
        id: header.id,
        lsn_from: header.lsn_from,
        lsn_to: header.lsn_to,
        index_offset: distinct(4),
        index_len: distinct(5),
        file_len: distinct(6),
        index_crc: half(7),
        sessions: half(8),
        blocks: half(9),
        records: half(10),
    }
    .encode(header.seed());
    agree(
        &PACK_FOOTER,
        &bytes,
        &[
            ("magic", &PACK_FOOTER_MAGIC),
            ("id", &distinct(1).to_le_bytes()),
            ("lsn_from", &distinct(2).to_le_bytes()),
            ("lsn_to", &distinct(3).to_le_bytes()),
            ("index_offset", &distinct(4).to_le_bytes()),
            ("index_len", &distinct(5).to_le_bytes()),
            ("file_len", &distinct(6).to_le_bytes()),
            ("index_crc", &half(7).to_le_bytes()),
            ("sessions", &half(8).to_le_bytes()),
            ("blocks", &half(9).to_le_bytes()),
            ("records", &half(10).to_le_bytes()),
            ("crc", &checksum(header.seed(), &bytes[..92]).to_le_bytes()),
        ],
    );
}

#[test]
fn block_header_and_index_entries() {
    let seed = Seed::of_life(JOURNAL, 1);
    let header = BlockHeader {
        stored_len: half(1),
        raw_len: half(2),
        stored_crc: half(3),
        codec: BlockCodec::Lz4,
    };
    let mut bytes = [0; BLOCK_HEADER_LEN];
    header.encode(seed, distinct(4), &mut bytes);
    let covered = [&distinct(4).to_le_bytes()[..], &bytes[8..]].concat();
    agree(
        &BLOCK_HEADER,
        &bytes,
        &[
            ("magic", &BLOCK_MAGIC.to_le_bytes()),
            ("crc", &checksum(seed, &covered).to_le_bytes()),
            ("stored_len", &half(1).to_le_bytes()),
            ("raw_len", &half(2).to_le_bytes()),
            ("stored_crc", &half(3).to_le_bytes()),
            ("codec", &[1]),
        ],
    );

    // Two blocks with a record each, of two sessions: the second entries have no zeros by chance.
    let mut index = IndexEncoder::default();
    index.record(SessionNo::new(1), Lsn::new(2), Seq::new(3), 4, 5);
    index.block(6, &header);
    index.record(
        SessionNo::new(half(11)),
        Lsn::new(distinct(12)),
        Seq::new(half(13)),
        half(14),
        half(15),
    );
    index.block(distinct(16), &header);
    let mut bytes = Vec::new();
    index.finish(seed, &mut bytes);
    let one = 1_u32.to_le_bytes();
    let (sessions, rest) = bytes.split_at(2 * SESSION_ENTRY_LEN);
    let (blocks, rest) = rest.split_at(2 * BLOCK_ENTRY_LEN);
    let (records, order) = rest.split_at(2 * RECORD_ENTRY_LEN);
    agree(
        &SESSION_ENTRY,
        &sessions[SESSION_ENTRY_LEN..],
        &[("session", &half(11).to_le_bytes()), ("first_record", &one)],
    );
    agree(
        &BLOCK_ENTRY,
        &blocks[BLOCK_ENTRY_LEN..],
        &[
            ("offset", &distinct(16).to_le_bytes()),
            ("stored_len", &half(1).to_le_bytes()),
            ("raw_len", &half(2).to_le_bytes()),
            ("stored_crc", &half(3).to_le_bytes()),
            ("first_record", &one),
        ],
    );
    agree(
        &RECORD_ENTRY,
        &records[RECORD_ENTRY_LEN..],
        &[
            ("lsn", &distinct(12).to_le_bytes()),
            ("seq", &half(13).to_le_bytes()),
            ("block", &one),
            ("off", &half(14).to_le_bytes()),
            ("len", &half(15).to_le_bytes()),
        ],
    );
    agree(&ORDER_ENTRY, &order[ORDER_ENTRY_LEN..], &[("record", &one)]);
}

#[test]
fn state_header_entry_and_footer() {
    let header = StateHeader {
        journal: JOURNAL,
        id: SnapshotId::new(distinct(1)),
        lsn: Lsn::new(distinct(2)),
        created_ms: distinct(3),
    };
    let mut bytes = Vec::new();
    let mut encoder = StateEncoder::new(header, &mut bytes);
    agree(
        &STATE_HEADER,
        &bytes,
        &[
            ("lsn", &distinct(2).to_le_bytes()),
            ("created_ms", &distinct(3).to_le_bytes()),
        ],
    );
    let mut entry = StateEntry {
        kind: EntryKind::Session,
        session: SessionNo::new(half(4)),
        schema: half(5) as u16,
        body: b"body",
    };
    encoder.push(&entry, &mut bytes);
    entry.kind = EntryKind::Tombstone;
    encoder.push(&entry, &mut bytes);
    let second = STATE_HEADER_LEN + STATE_ENTRY_LEN + 8;
    let second = &bytes[second..second + STATE_ENTRY_LEN];
    agree(
        &STATE_ENTRY,
        second,
        &[
            ("crc", &checksum(header.seed(), &second[4..]).to_le_bytes()),
            ("body_crc", &payload_checksum(b"body").to_le_bytes()),
            ("body_len", &4_u32.to_le_bytes()),
            ("number", &1_u32.to_le_bytes()),
            ("session", &half(4).to_le_bytes()),
            ("kind", &[3]),
            ("codec", &[BODY_BINCODE]),
            ("schema", &(half(5) as u16).to_le_bytes()),
        ],
    );
    let bytes = StateFooter {
        id: header.id,
        lsn: header.lsn,
        body_len: distinct(6),
        entries: half(7),
        body_crc: half(8),
    }
    .encode(header.seed());
    agree(
        &STATE_FOOTER,
        &bytes,
        &[
            ("magic", &STATE_FOOTER_MAGIC),
            ("id", &distinct(1).to_le_bytes()),
            ("lsn", &distinct(2).to_le_bytes()),
            ("body_len", &distinct(6).to_le_bytes()),
            ("entries", &half(7).to_le_bytes()),
            ("body_crc", &half(8).to_le_bytes()),
            ("crc", &checksum(header.seed(), &bytes[..60]).to_le_bytes()),
        ],
    );
}

#[test]
fn manifest_body_header() {
    let manifest = Manifest {
        journal: JOURNAL,
        generation: distinct(1),
        created_ms: distinct(2),
        group_align: 4096,
        next_snapshot: SnapshotId::new(3),
        next_pack: PackId::new(4),
        log_floor: SegmentId::new(5),
        snapshots: Vec::new(),
    };
    let mut bytes = Vec::new();
    manifest.encode(&mut bytes).expect("good");
    let seed = Seed::of_file(JOURNAL, distinct(1), FileKind::Manifest.magic());
    let (header, body) = bytes.split_at(MANIFEST_HEADER_LEN);
    assert_eq!(
        FileHeader::decode(FileKind::Manifest, header).map(|h| h.id),
        Ok(distinct(1))
    );
    agree(
        &MANIFEST_BODY_HEADER,
        header,
        &[
            ("body_len", &(body.len() as u32).to_le_bytes()),
            ("body_crc", &checksum(seed, body).to_le_bytes()),
            ("codec", &[BODY_BINCODE]),
            ("schema", &MANIFEST_SCHEMA.to_le_bytes()),
            ("crc", &checksum(seed, &header[64..76]).to_le_bytes()),
        ],
    );
}
