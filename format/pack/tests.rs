//! Packs against a list of records that is searched from front to back.

use super::*;
use crate::format::checksum::payload_checksum;
use crate::format::frame::FrameHeader;
use crate::format::ids::{Epoch, Seq, SessionNo};
use crate::format::pack_block::TARGET_BLOCK_LEN;
use crate::format::random::Random;

pub(in crate::format) const HEADER: PackHeader = PackHeader {
    journal: JournalId([2; 16]),
    id: PackId::new(4),
    lsn_from: Lsn::new(100),
    lsn_to: Lsn::new(1_000_000),
};

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) session: u32,
    pub(super) seq: u32,
    pub(super) lsn: u64,
    pub(super) payload: Vec<u8>,
}

/// Records of a few sessions as a log would have them, then sorted as a pack wants them.
fn records(random: &mut Random, count: usize) -> Vec<Record> {
    let mut next_seq = [1_u32; 9];
    let mut lsn = HEADER.lsn_from.get();
    let mut records = Vec::new();
    for _ in 0..count {
        let session = random.below(9) as usize;
        let len = match random.below(40) {
            0 => 100_000,
            1..8 => random.below(9_000) as usize,
            _ => random.below(300) as usize,
        };
        let payload = match random.below(3) {
            0 => random.bytes(len),
            _ => b"what is a torn tail? "
                .iter()
                .copied()
                .cycle()
                .take(len)
                .collect(),
        };
        records.push(Record {
            session: session as u32 * 3,
            seq: next_seq[session],
            lsn,
            payload,
        });
        next_seq[session] += 1 + random.below(2) as u32;
        lsn += 1 + random.below(3);
    }
    records.sort_by_key(|record| (record.session, record.seq));
    records
}

fn frame(record: &Record) -> Frame<'_> {
    Frame {
        header: FrameHeader {
            payload_check: payload_checksum(&record.payload),
            lsn: Lsn::new(record.lsn),
            session: SessionNo::new(record.session),
            seq: Seq::new(record.seq),
            payload_len: record.payload.len() as u32,
            prev: 7,
            epoch: Epoch::new(1),
            kind: 19,
            flags: 0,
            codec: 0,
            body_version: 0,
        },
        check: 0,
        payload: &record.payload,
    }
}

pub(super) fn encode(records: &[Record], codec: BlockCodec) -> (Vec<u8>, PackRef) {
    let mut bytes = Vec::new();
    let mut encoder = PackEncoder::new(HEADER, codec, &mut bytes);
    for record in records {
        encoder.push(&frame(record), &mut bytes);
    }
    let pack = encoder.finish(&mut bytes);
    (bytes, pack)
}

/// A pack of a few short records, for tests that damage each of its bits.
pub(in crate::format) fn small(codec: BlockCodec) -> Vec<u8> {
    let mut records = records(&mut Random::new(5), 12);
    records
        .iter_mut()
        .for_each(|record| record.payload.truncate(19));
    encode(&records, codec).0
}

#[test]
fn every_lookup_agrees_with_a_list() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let count = random.below(300) as usize;
        let records = records(&mut random, count);
        let codec = [BlockCodec::Raw, BlockCodec::Lz4][seed as usize % 2];
        let (bytes, reference) = encode(&records, codec);
        let pack = Pack::decode(&bytes).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        let mut scratch = Vec::new();
        pack.verify(&mut scratch).expect("a good pack");
        assert_eq!(reference.records, records.len() as u64);
        assert_eq!(reference.bytes, bytes.len() as u64);
        assert_eq!(reference.index_crc, pack.footer.index_crc);

        let index = pack.index;
        for (i, record) in records.iter().enumerate() {
            let slot = index.record(i as u32).expect("a record");
            assert_eq!((slot.lsn.get(), slot.seq.get()), (record.lsn, record.seq));
            let raw = pack.block(slot.block, &mut scratch).expect("a block");
            let frame = pack.frame(&slot, raw).expect("a frame");
            assert_eq!(frame.payload, record.payload);
            assert_eq!(frame.header.session.get(), record.session);
        }
        assert_eq!(index.record(records.len() as u32), None);

        let mut by_lsn: Vec<u64> = records.iter().map(|record| record.lsn).collect();
        by_lsn.sort_unstable();
        for (i, lsn) in by_lsn.iter().enumerate() {
            let record = index.by_lsn(i as u32).expect("a record");
            assert_eq!(records[record as usize].lsn, *lsn);
        }
        assert_eq!(
            index.by_lsn(records.len() as u32),
            None,
            "padding is no record"
        );
        for lsn in (90..by_lsn.last().map_or(120, |last| last + 5)).step_by(3) {
            let naive = by_lsn.iter().filter(|at| **at < lsn).count();
            assert_eq!(index.lower_bound_lsn(Lsn::new(lsn)), naive as u32);
        }
        for session in 0..30 {
            let naive = |from: u32| {
                let of = |r: &Record| r.session == session && r.seq >= from;
                let first = records.iter().position(of)?;
                let count = records.iter().filter(|r| of(r)).count();
                Some(first as u32..(first + count) as u32)
            };
            assert_eq!(index.session(SessionNo::new(session)), naive(0));
            for seq in 0..60 {
                let found = index.lower_bound_seq(SessionNo::new(session), Seq::new(seq));
                match naive(seq) {
                    Some(range) => assert_eq!(found, range),
                    None => assert!(found.is_empty()),
                }
            }
        }
    }
}

/// A damaged block is named by where it begins.
#[test]
fn each_block_is_where_the_index_says() {
    let (bytes, _) = encode(&records(&mut Random::new(3), 300), BlockCodec::Lz4);
    let pack = Pack::decode(&bytes).expect("good");
    let blocks = pack.index.block_count();
    assert!(blocks > 3);
    let mut at = PACK_HEADER_LEN as u64;
    for block in 0..blocks {
        assert_eq!(pack.index.block_offset(block), Some(at));
        let header = BlockHeader::decode(HEADER.seed(), at, &bytes[at as usize..]);
        at += header.expect("a block").extent();
    }
    assert_eq!(pack.index.block_offset(blocks), None);
}

#[test]
fn every_flipped_bit_of_a_pack_is_seen() {
    for codec in [BlockCodec::Raw, BlockCodec::Lz4] {
        let good = small(codec);
        let mut scratch = Vec::new();
        let check = |bytes: &[u8], scratch: &mut Vec<u8>| {
            Pack::decode(bytes).and_then(|pack| pack.verify(scratch))
        };
        assert_eq!(check(&good, &mut scratch), Ok(()));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let seen = check(&bad, &mut scratch).is_err();
            assert!(seen, "{codec:?}: bit {bit} was flipped unseen");
        }
    }
}

#[test]
fn a_pack_of_any_other_length_is_refused() {
    let good = small(BlockCodec::Raw);
    for len in 0..good.len() {
        assert!(Pack::decode(&good[..len]).is_err(), "cut to {len} bytes");
    }
    for more in 1..200 {
        let longer = [&good[..], &vec![0; more]].concat();
        assert!(Pack::decode(&longer).is_err(), "{more} bytes more");
        let doubled = [&good[..], &good[good.len().saturating_sub(more)..]].concat();
        assert!(Pack::decode(&doubled).is_err(), "{more} bytes twice");
    }
}

/// A checksum says that bytes are those that were written, not that their writer was right.
#[test]
fn an_index_that_lies_under_good_checksums_is_refused_or_harmless() {
    let good = small(BlockCodec::Raw);
    let pack = Pack::decode(&good).expect("good");
    let (seed, footer) = (HEADER.seed(), pack.footer);
    let range = footer.index_range();
    let index = &good[range.start as usize..range.end as usize];
    let mut refused = 0;
    for at in (0..index.len()).step_by(4) {
        let old = get_u32(index, at);
        for lie in [
            0,
            1,
            old ^ 1,
            old.wrapping_add(8),
            old ^ (1 << 31),
            u32::MAX,
        ] {
            let mut lying = index.to_vec();
            put_u32(&mut lying, at, lie);
            let footer = PackFooter {
                index_crc: checksum(seed, &lying),
                ..footer
            };
            match PackIndex::decode(seed, &footer, &lying) {
                Err(_) => refused += 1,
                // Another LSN or sequence between its neighbours, or another checksum of a
                // block: nothing in the index contradicts it, the frame or the block does.
                Ok(_) if lie == old => {}
                Ok(_) => {
                    let mut whole = good.clone();
                    whole[range.start as usize..range.end as usize].copy_from_slice(&lying);
                    let footer_at = whole.len() - PACK_FOOTER_LEN;
                    whole[footer_at..].copy_from_slice(&footer.encode(seed));
                    let pack = Pack::decode(&whole).expect("the index was accepted");
                    assert!(pack.verify(&mut Vec::new()).is_err(), "lie {lie} at {at}");
                }
            }
        }
    }
    assert!(
        refused > 100,
        "only {refused} lies were refused by the index alone"
    );
}

/// A map can change under the reader when its medium rots; lookups must stay total.
#[test]
fn lookups_in_an_index_that_changed_after_it_was_checked_do_not_panic() {
    let good = small(BlockCodec::Raw);
    let pack = Pack::decode(&good).expect("good");
    let mut random = Random::new(11);
    for _ in 0..20_000 {
        let mut rotten = good.clone();
        let range = pack.footer.index_range();
        for _ in 0..=random.below(6) {
            let at = range.start + random.below(range.end - range.start);
            rotten[at as usize] = random.next() as u8;
        }
        let view = Pack::view(&HEADER, &pack.footer, &rotten).expect("the length is right");
        let index = view.index;
        let mut scratch = Vec::new();
        for i in 0..index.record_count() + 2 {
            let record = index.by_lsn(i).and_then(|record| index.record(record));
            for slot in [record, index.record(i)].into_iter().flatten() {
                if let Ok(raw) = view.block(slot.block, &mut scratch) {
                    let _ = view.frame(&slot, raw);
                }
            }
        }
        for session in 0..30 {
            for record in index
                .lower_bound_seq(SessionNo::new(session), Seq::new(2))
                .take(50)
            {
                index.record(record);
            }
        }
        index.lower_bound_lsn(Lsn::new(110));
        let _ = view.verify(&mut scratch);
    }
}

#[test]
fn a_large_record_has_a_block_of_its_own_and_blocks_are_compressed_where_it_pays() {
    let sized = |session, seq, lsn, payload: Vec<u8>| Record {
        session,
        seq,
        lsn,
        payload,
    };
    let noise = Random::new(1).bytes(3 * TARGET_BLOCK_LEN);
    let records = [
        sized(1, 1, 100, vec![b'a'; 1_000]),
        sized(1, 2, 101, noise),
        sized(1, 3, 102, vec![b'b'; 2 * TARGET_BLOCK_LEN]),
        sized(1, 4, 103, vec![b'c'; 50_000]),
        sized(2, 1, 104, vec![b'd'; 20_000]),
    ];
    let (bytes, _) = encode(&records, BlockCodec::Lz4);
    let pack = Pack::decode(&bytes).expect("good");
    let blocks: Vec<u32> = (0..5)
        .map(|i| pack.index.record(i).expect("there").block)
        .collect();
    assert_eq!(blocks, [0, 1, 2, 3, 4]);
    let packed: Vec<bool> = (0..5)
        .map(|i| {
            let block = pack.index.block(i).expect("there");
            block.stored_len < block.raw_len
        })
        .collect();
    assert_eq!(packed, [true, false, true, true, true]);
    pack.verify(&mut Vec::new()).expect("good");
}

#[test]
fn a_pack_without_records_is_a_pack() {
    let (bytes, reference) = encode(&[], BlockCodec::Lz4);
    assert_eq!(bytes.len(), PACK_HEADER_LEN + PACK_FOOTER_LEN);
    assert_eq!(reference.records, 0);
    let pack = Pack::decode(&bytes).expect("good");
    pack.verify(&mut Vec::new()).expect("good");
    assert_eq!(pack.index.lower_bound_lsn(Lsn::new(1)), 0);
    assert_eq!(pack.index.session(SessionNo::new(1)), None);
}
