//! Indexes that contradict themselves under good checksums: each by one field, and each is
//! refused by the check that is there for it.

use super::tests::{HEADER, Record, encode};
use super::*;
use crate::format::ids::{Seq, SessionNo};
use crate::format::pack_block::MAX_BLOCK_LEN;
use crate::format::pack_index::{BLOCK_ENTRY_LEN, RECORD_ENTRY_LEN, SESSION_ENTRY_LEN};

/// Five records of three sessions in two blocks, the second of which holds four.
fn bytes() -> Vec<u8> {
    let record = |session, seq, lsn, len| Record {
        session,
        seq,
        lsn,
        payload: vec![b'x'; len],
    };
    let records = [
        record(1, 1, 100, 40_000),
        record(1, 2, 110, 40_000),
        record(2, 1, 105, 100),
        record(2, 3, 120, 100),
        record(5, 1, 101, 100),
    ];
    encode(&records, BlockCodec::Raw).0
}

const BLOCKS: usize = 3 * SESSION_ENTRY_LEN;
const RECORDS: usize = BLOCKS + 2 * BLOCK_ENTRY_LEN;
const ORDER: usize = RECORDS + 5 * RECORD_ENTRY_LEN;

fn index_of(bytes: &[u8]) -> (PackFooter, Vec<u8>) {
    let pack = Pack::decode(bytes).expect("good");
    let range = pack.footer.index_range();
    let index = bytes[range.start as usize..range.end as usize].to_vec();
    assert_eq!(index.len(), ORDER + 24);
    (pack.footer, index)
}

/// What an index of these bytes gets, with a checksum that is right for them.
fn decoded(footer: &PackFooter, index: &[u8]) -> Result<(), Fault> {
    let footer = PackFooter {
        index_crc: checksum(HEADER.seed(), index),
        index_len: index.len() as u64,
        ..*footer
    };
    PackIndex::decode(HEADER.seed(), &footer, index).map(|_| ())
}

fn field(result: Result<(), Fault>) -> &'static str {
    match result {
        Err(Fault::Field { field, .. }) => field,
        other => panic!("not a contradiction: {other:?}"),
    }
}

#[test]
fn each_lie_is_refused_by_the_check_that_is_there_for_it() {
    let (footer, index) = index_of(&bytes());
    assert_eq!(decoded(&footer, &index), Ok(()));
    let old = |at: usize| get_u32(&index, at);
    let session = |i: usize| i * SESSION_ENTRY_LEN;
    let block = |i: usize| BLOCKS + i * BLOCK_ENTRY_LEN;
    let record = |i: usize| RECORDS + i * RECORD_ENTRY_LEN;
    let order = |i: usize| ORDER + i * 4;
    let lies = [
        (session(1), 1, "session of a pack"),
        (session(0) + 4, 1, "first record of a session"),
        (
            session(2) + 4,
            old(session(1) + 4),
            "first record of a session",
        ),
        (session(2) + 4, 5, "records of a pack"),
        (session(1) + 4, 3, "sequence of a record"),
        (block(0), 104, "offset of a block"),
        (block(1), old(block(1)) + 8, "offset of a block"),
        (block(1) + 4, 1, "offset of a block"),
        (block(1) + 8, old(block(1) + 8) - 8, "end of the blocks"),
        (
            block(0) + 8,
            old(block(0) + 12) + 8,
            "raw length of a block",
        ),
        (
            block(0) + 12,
            MAX_BLOCK_LEN as u32 + 8,
            "raw length of a block",
        ),
        (block(0) + 12, old(block(0) + 12) + 8, "end of a block"),
        (block(0) + 20, 1, "first record of a block"),
        (block(1) + 20, 2, "first record of a block"),
        (record(0), 99, "lsn of a record"),
        (record(1), 100, "lsn of a record"),
        (record(4), 1_000_000, "lsn of a record"),
        (record(0) + 8, 0, "sequence of a record"),
        (record(1) + 8, 1, "sequence of a record"),
        (record(0) + 12, 1, "block of a record"),
        (record(2) + 12, 0, "end of a block"),
        (record(1) + 12, 2, "block of a record"),
        (record(0) + 16, 8, "offset of a record"),
        (record(1) + 16, 8, "offset of a record"),
        (
            record(3) + 16,
            old(record(3) + 16) - 8,
            "offset of a record",
        ),
        (
            record(2) + 20,
            old(record(2) + 20) + 8,
            "offset of a record",
        ),
        (
            record(2) + 20,
            old(record(2) + 20) + 4,
            "length of a record",
        ),
        (record(2) + 20, 32, "length of a record"),
        (record(2) + 20, u32::MAX - 7, "length of a record"),
        (
            record(4) + 20,
            old(record(4) + 20) + 8,
            "length of a record",
        ),
        (record(4) + 20, old(record(4) + 20) - 8, "end of a block"),
        (order(0), old(order(1)), "order by lsn"),
        (order(1), old(order(0)), "order by lsn"),
        (order(4), 5, "record"),
        (order(5), 1, "padding of a pack index"),
    ];
    for (at, lie, expected) in lies {
        let mut lying = index.clone();
        put_u32(&mut lying, at, lie);
        assert_eq!(field(decoded(&footer, &lying)), expected, "{lie} at {at}");
    }
}

#[test]
fn a_lie_is_told_with_what_should_be_there() {
    let (footer, index) = index_of(&bytes());
    let raw_len = get_u32(&index, BLOCKS + BLOCK_ENTRY_LEN + 12);
    let third = RECORDS + 2 * RECORD_ENTRY_LEN;
    let off = get_u32(&index, third + 16);
    assert!(0 < off && off < raw_len);
    let lies = [
        (SESSION_ENTRY_LEN, 1, "session of a pack", 2),
        (third + 20, 32, "length of a record", raw_len - off),
    ];
    for (at, lie, field, expected) in lies {
        let mut lying = index.clone();
        put_u32(&mut lying, at, lie);
        let fault = Fault::Field {
            field,
            expected: expected.into(),
            found: lie.into(),
        };
        assert_eq!(decoded(&footer, &lying), Err(fault));
    }
}

#[test]
fn a_record_of_the_largest_size_is_indexed() {
    let largest = MAX_BLOCK_LEN as u32;
    let mut index = IndexEncoder::default();
    index.record(SessionNo::new(1), Lsn::new(100), Seq::new(1), 0, largest);
    let block = BlockHeader {
        stored_len: largest,
        raw_len: largest,
        stored_crc: 0,
        codec: BlockCodec::Raw,
    };
    index.block(PACK_HEADER_LEN as u64, &block);
    let mut bytes = Vec::new();
    index.finish(HEADER.seed(), &mut bytes);
    let footer = PackFooter {
        sessions: 1,
        blocks: 1,
        records: 1,
        index_offset: PACK_HEADER_LEN as u64 + block.extent(),
        ..index_of(&self::bytes()).0
    };
    assert_eq!(decoded(&footer, &bytes), Ok(()));
}

#[test]
fn counts_that_do_not_agree_with_the_tables_are_refused() {
    let (footer, index) = index_of(&bytes());
    let without = PackFooter {
        sessions: 0,
        ..footer
    };
    let lie = field(decoded(&without, &index[BLOCKS..]));
    assert_eq!(lie, "records without a session");

    let mut more = index.clone();
    let mut empty_block = footer.index_offset.to_le_bytes().to_vec();
    for field in [40_u32, 40, 0, 5] {
        empty_block.extend_from_slice(&field.to_le_bytes());
    }
    more.splice(RECORDS..RECORDS, empty_block);
    let with = PackFooter {
        blocks: 3,
        index_offset: footer.index_offset + 64,
        ..footer
    };
    assert_eq!(field(decoded(&with, &more)), "blocks with records");

    assert_eq!(field(decoded(&footer, &index[8..])), "pack index length");
    let view = PackIndex::view(&footer, &index[8..]).map(|_| ());
    assert_eq!(field(view), "pack index length");
}

#[test]
fn every_flipped_bit_of_an_index_is_a_checksum_fault() {
    let (footer, index) = index_of(&bytes());
    for bit in 0..index.len() * 8 {
        let mut bad = index.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let result = PackIndex::decode(HEADER.seed(), &footer, &bad);
        assert!(matches!(result, Err(Fault::Checksum { .. })), "bit {bit}");
    }
}

#[test]
fn each_lie_of_a_footer_is_refused_by_the_check_that_is_there_for_it() {
    let bytes = bytes();
    let footer_at = bytes.len() - PACK_FOOTER_LEN;
    let good = Pack::decode(&bytes).expect("good").footer;
    let lie = |lying: PackFooter| {
        let mut bad = bytes.clone();
        bad[footer_at..].copy_from_slice(&lying.encode(HEADER.seed()));
        field(Pack::decode(&bad).map(|_| ()))
    };
    let f = good;
    let other_id = PackId::new(5);
    assert_eq!(lie(PackFooter { id: other_id, ..f }), "pack id");
    assert_eq!(
        lie(PackFooter {
            lsn_from: Lsn::new(99),
            ..f
        }),
        "first lsn"
    );
    assert_eq!(
        lie(PackFooter {
            lsn_to: Lsn::new(999),
            ..f
        }),
        "end of lsns"
    );
    assert_eq!(
        lie(PackFooter {
            file_len: f.file_len + 8,
            ..f
        }),
        "file length"
    );
    for index_len in [0, f.index_len - 8, f.index_len + 8, u64::MAX] {
        assert_eq!(lie(PackFooter { index_len, ..f }), "pack index length");
    }
    for count in [0, 1, 77, u32::MAX] {
        assert_eq!(
            lie(PackFooter {
                sessions: count,
                ..f
            }),
            "pack index length"
        );
        assert_eq!(lie(PackFooter { blocks: count, ..f }), "pack index length");
        assert_eq!(
            lie(PackFooter {
                records: count,
                ..f
            }),
            "pack index length"
        );
    }
    for index_offset in [0, 96, f.index_offset + 8, u64::MAX] {
        assert_eq!(
            lie(PackFooter { index_offset, ..f }),
            "end of the pack index"
        );
    }
    // An index that begins inside the header: only a file that is shorter than a pack has one.
    let inside = PackFooter {
        index_offset: 88,
        index_len: 0,
        file_len: 88 + PACK_FOOTER_LEN as u64,
        sessions: 0,
        blocks: 0,
        records: 0,
        ..f
    };
    let result = PackFooter::decode(&HEADER, inside.file_len, &inside.encode(HEADER.seed()));
    assert_eq!(field(result.map(|_| ())), "offset of the pack index");

    let mut no_magic = good.encode(HEADER.seed());
    no_magic[0] ^= 1;
    let check = checksum(HEADER.seed(), &no_magic[..92]);
    put_u32(&mut no_magic, 92, check);
    let result = PackFooter::decode(&HEADER, f.file_len, &no_magic);
    assert!(matches!(result, Err(Fault::Magic { .. })));
}

#[test]
fn a_header_whose_range_is_empty_is_refused() {
    for (from, to) in [(0, 5), (5, 5), (6, 5), (u64::MAX, u64::MAX)] {
        let header = PackHeader {
            lsn_from: Lsn::new(from),
            lsn_to: Lsn::new(to),
            ..HEADER
        };
        let result = PackHeader::decode(&header.encode()).map(|_| ());
        assert_eq!(field(result), "end of a pack's lsns");
    }
}

#[test]
fn a_frame_that_is_not_the_one_meant_is_refused() {
    let bytes = bytes();
    let pack = Pack::decode(&bytes).expect("good");
    let mut scratch = Vec::new();
    let raw = pack.block(1, &mut scratch).expect("good");
    let slot = pack.index.record(2).expect("there");
    let found = |slot: RecordSlot| field(pack.frame(&slot, raw).map(|_| ()));
    pack.frame(&slot, raw).expect("good");
    let len = slot.len + 8;
    assert_eq!(found(RecordSlot { len, ..slot }), "length of a record");
    let lsn = slot.lsn.next();
    assert_eq!(found(RecordSlot { lsn, ..slot }), "lsn");
    let seq = slot.seq.next();
    assert_eq!(found(RecordSlot { seq, ..slot }), "sequence");

    let block = pack.index.block(1).expect("there");
    let at = block.offset as usize;
    let header = BlockHeader::decode(HEADER.seed(), block.offset, &bytes[at..]).expect("good");
    let meant = |header: BlockHeader| block.expect_header(&header);
    assert_eq!(meant(header), Ok(()));
    let (stored_len, raw_len, stored_crc) = (
        header.stored_len + 8,
        header.raw_len + 8,
        header.stored_crc ^ 1,
    );
    let other = meant(BlockHeader {
        stored_len,
        ..header
    });
    assert_eq!(field(other), "stored length of a block");
    let other = meant(BlockHeader { raw_len, ..header });
    assert_eq!(field(other), "raw length of a block");
    let other = meant(BlockHeader {
        stored_crc,
        ..header
    });
    assert!(matches!(other, Err(Fault::Checksum { .. })));
    assert!(pack.block(2, &mut Vec::new()).is_err());

    let longer = [&bytes[..], &[0; 8]].concat();
    let view = Pack::view(&HEADER, &pack.footer, &longer).map(|_| ());
    assert_eq!(field(view), "file length");
}

/// Links and sessions of frames are no business of a lookup, but of whoever verifies a pack.
#[test]
fn a_broken_link_inside_a_block_is_found_by_verifying() {
    let bytes = bytes();
    let pack = Pack::decode(&bytes).expect("good");
    let slot = pack.index.block(1).expect("there");
    let stored = slot.offset as usize + 24..slot.offset as usize + 24 + slot.stored_len as usize;
    let record = pack.index.record(3).expect("there");
    let at = stored.start + record.off as usize;
    let (frame, _) = Frame::decode(HEADER.seed(), &bytes[at..]).expect("good");
    let mut bad = bytes.clone();
    let mut header = frame.header;
    header.prev ^= 1;
    header.encode(HEADER.seed(), &mut bad[at..]);
    // The block, the index and the footer are made right for it.
    let block = BlockHeader {
        stored_len: slot.stored_len,
        raw_len: slot.raw_len,
        stored_crc: crate::format::checksum::payload_checksum(&bad[stored]),
        codec: BlockCodec::Raw,
    };
    let mut head = [0; 24];
    block.encode(HEADER.seed(), slot.offset, &mut head);
    let offset = slot.offset as usize;
    bad[offset..offset + 24].copy_from_slice(&head);
    let index_at = pack.footer.index_offset as usize;
    put_u32(
        &mut bad,
        index_at + BLOCKS + BLOCK_ENTRY_LEN + 16,
        block.stored_crc,
    );
    let footer_at = bytes.len() - PACK_FOOTER_LEN;
    let footer = PackFooter {
        index_crc: checksum(HEADER.seed(), &bad[index_at..footer_at]),
        ..pack.footer
    };
    bad[footer_at..].copy_from_slice(&footer.encode(HEADER.seed()));

    let pack = Pack::decode(&bad).expect("what a lookup needs is good");
    assert_eq!(pack.index.session(SessionNo::new(2)), Some(2..4));
    assert_eq!(
        pack.index.lower_bound_seq(SessionNo::new(2), Seq::new(2)),
        3..4
    );
    let found = field(pack.verify(&mut Vec::new()));
    assert_eq!(found, "link to the previous frame");
}
