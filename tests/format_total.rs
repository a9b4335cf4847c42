//! Every decoder is total: whatever the bytes, it returns, and what it accepts can be used.
//!
//! Three kinds of input: noise, kept files with damage, and kept files with damage under good
//! checksums, which is what reaches the code behind the checksums.

use turnkeep::format::checksum::{HEADER_SEED, Seed, checksum, payload_checksum};
use turnkeep::format::frame::Frame;
use turnkeep::format::group::{Group, GroupHeader};
use turnkeep::format::header::{FileHeader, FileKind};
use turnkeep::format::ids::{JournalId, Lsn, PackId, SegmentId, Seq, SessionNo, SnapshotId};
use turnkeep::format::manifest::Manifest;
use turnkeep::format::names;
use turnkeep::format::pack::{PACK_FOOTER_LEN, PACK_HEADER_LEN, Pack};
use turnkeep::format::pack_block::decode_block;
use turnkeep::format::segment::SegmentHeader;
use turnkeep::format::state::{STATE_FOOTER_LEN, STATE_HEADER_LEN, StateFile};
use turnkeep::format::watermark::Watermark;
use turnkeep::model::event::decode_payload;

const JOURNAL: JournalId = JournalId(*b"golden journal 0");
const SEGMENT: SegmentId = SegmentId::new(17);
const ROUNDS: u64 = 100_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Overwrites a few places with values that are likely to matter.
    fn damage(&mut self, bytes: &mut [u8]) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let value = match self.below(6) {
                0 => 0,
                1 => u64::MAX,
                2 => 1 << self.below(64),
                3 => self.next() % 64,
                _ => self.next(),
            };
            let len = [1, 2, 4, 8][self.below(4)].min(bytes.len() - at);
            bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        }
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/v1/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Feeds `bytes` to every decoder and uses what any of them accepts. Returns how many did.
fn feed(bytes: &[u8], scratch: &mut Vec<u8>) -> u32 {
    let seed = Seed::of_life(JOURNAL, SEGMENT.get());
    let mut accepted = 0;
    for kind in [
        FileKind::Segment,
        FileKind::Pack,
        FileKind::State,
        FileKind::Manifest,
        FileKind::Watermark,
    ] {
        accepted += u32::from(FileHeader::decode(kind, bytes).is_ok());
    }
    accepted += u32::from(SegmentHeader::decode(bytes).is_ok());
    accepted += u32::from(Frame::decode(seed, bytes).is_ok());
    accepted += u32::from(GroupHeader::decode(seed, SEGMENT, bytes).is_ok());
    if let Ok(group) = Group::decode(seed, SEGMENT, bytes) {
        assert_eq!(group.frames().count(), group.header.frame_count as usize);
        accepted += 1;
    }
    accepted += u32::from(Watermark::decode_page(JOURNAL, bytes).is_ok());
    let pack_seed = Seed::of_file(JOURNAL, 3, FileKind::Pack.magic());
    accepted += u32::from(decode_block(pack_seed, 96, bytes, scratch).is_ok());
    accepted += u32::from(decode_payload(bytes).is_ok());
    if let Ok(file) = StateFile::decode(bytes) {
        assert_eq!(file.entries().count(), file.footer.entries as usize);
        accepted += 1;
    }
    if let Ok(manifest) = Manifest::decode(bytes) {
        manifest.check().expect("decode has checked it");
        accepted += 1;
    }
    if let Ok(pack) = Pack::decode(bytes) {
        use_pack(&pack, scratch);
        accepted += 1;
    }
    accepted
}

fn use_pack(pack: &Pack<'_>, scratch: &mut Vec<u8>) {
    let index = pack.index;
    for i in 0..index.record_count() {
        let record = index
            .by_lsn(i)
            .expect("every record has a place in the order");
        let slot = index.record(record).expect("which is a record");
        assert_eq!(index.lower_bound_lsn(slot.lsn), i);
        if let Ok(raw) = pack.block(slot.block, scratch) {
            let _ = pack.frame(&slot, raw);
        }
    }
    for i in 0..index.session_count() {
        let (session, records) = index.session_at(i).expect("a session");
        assert_eq!(index.session(session), Some(records.clone()));
        assert_eq!(index.lower_bound_seq(session, Seq::new(0)), records);
        for record in records {
            let slot = index.record(record).expect("a record");
            assert_eq!(index.lower_bound_seq(session, slot.seq).start, record);
        }
    }
    index.lower_bound_lsn(Lsn::new(u64::MAX));
    index.session(SessionNo::new(u32::MAX));
    let _ = pack.verify(scratch);
}

#[test]
fn noise_is_refused_by_every_decoder_without_a_panic() {
    let mut random = Random(1);
    let mut scratch = Vec::new();
    let mut bytes = Vec::new();
    for round in 0..ROUNDS {
        let len = [random.below(64), random.below(300), 4096][random.below(21).min(20) / 10];
        bytes.clear();
        bytes.resize_with(len, || random.next() as u8);
        // Half of the inputs begin like a file, so that more than the magic is looked at.
        if round % 2 == 0 && len >= 8 {
            let kinds = [
                FileKind::Segment,
                FileKind::Pack,
                FileKind::State,
                FileKind::Manifest,
            ];
            bytes[..8].copy_from_slice(&kinds[random.below(4)].magic());
        }
        feed(&bytes, &mut scratch);
    }
    assert_eq!(scratch.capacity(), 0, "noise made a decoder allocate");
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    let files = [
        fixture(&names::pack(PackId::new(3))),
        fixture("compressed.pack"),
        fixture(&names::state(SnapshotId::new(5))),
        fixture(&names::manifest(2)),
        fixture(names::WATERMARK),
        fixture(&names::segment(SEGMENT))[4096..].to_vec(),
    ];
    let mut random = Random(2);
    let mut scratch = Vec::new();
    for _ in 0..ROUNDS {
        let mut bytes = files[random.below(files.len())].clone();
        if random.below(4) == 0 {
            bytes.truncate(random.below(bytes.len()));
        }
        if !bytes.is_empty() {
            random.damage(&mut bytes);
        }
        feed(&bytes, &mut scratch);
    }
}

/// What must be accepted for the test to have looked behind the checksums at all.
fn assert_reached(accepted: u32, what: &str) {
    assert!(
        accepted > 100,
        "only {accepted} of the damaged {what} came through"
    );
}

#[test]
fn damaged_indexes_and_blocks_under_good_checksums_do_no_harm() {
    let mut random = Random(3);
    let mut scratch = Vec::new();
    let mut accepted = 0;
    for file in [
        fixture(&names::pack(PackId::new(3))),
        fixture("compressed.pack"),
    ] {
        let seed = Seed::of_file(JOURNAL, 3, FileKind::Pack.magic());
        let footer = file.len() - PACK_FOOTER_LEN;
        let good = Pack::decode(&file).expect("good");
        let index = good.footer.index_offset as usize;
        for _ in 0..ROUNDS / 2 {
            let mut bytes = file.clone();
            match random.below(3) {
                0 => random.damage(&mut bytes[index..footer]),
                1 => random.damage(&mut bytes[footer + 8..footer + 92]),
                _ => random.damage(&mut bytes[PACK_HEADER_LEN + 8..PACK_HEADER_LEN + 24]),
            }
            let sum = checksum(seed, &bytes[index..footer]);
            put(&mut bytes, footer + 56, sum);
            let sum = checksum(seed, &bytes[footer..footer + 92]);
            put(&mut bytes, footer + 92, sum);
            let offset = (PACK_HEADER_LEN as u64).to_le_bytes();
            let block = [&offset, &bytes[PACK_HEADER_LEN + 8..PACK_HEADER_LEN + 24]].concat();
            put(&mut bytes, PACK_HEADER_LEN + 4, checksum(seed, &block));
            if let Ok(pack) = Pack::decode(&bytes) {
                use_pack(&pack, &mut scratch);
                accepted += 1;
            }
        }
    }
    assert_reached(accepted, "packs");
    assert!(
        scratch.capacity() <= 1 << 20,
        "{} bytes for small files",
        scratch.capacity()
    );
}

#[test]
fn damaged_compressed_bytes_under_good_checksums_do_no_harm() {
    let file = fixture("compressed.pack");
    let seed = Seed::of_file(JOURNAL, 3, FileKind::Pack.magic());
    let good = Pack::decode(&file).expect("good");
    let stored_len = good.index.block(0).expect("a block").stored_len as usize;
    let mut random = Random(4);
    let mut scratch = Vec::new();
    let mut accepted = 0;
    for _ in 0..ROUNDS {
        let mut block = file[PACK_HEADER_LEN..].to_vec();
        random.damage(&mut block[24..24 + stored_len]);
        let sum = payload_checksum(&block[24..24 + stored_len]);
        put(&mut block, 16, sum);
        let covered = [&96_u64.to_le_bytes(), &block[8..24]].concat();
        put(&mut block, 4, checksum(seed, &covered));
        accepted += u32::from(decode_block(seed, 96, &block, &mut scratch).is_ok());
    }
    assert_reached(accepted, "blocks");
}

#[test]
fn damaged_state_files_and_manifests_under_good_checksums_do_no_harm() {
    let mut random = Random(5);
    let mut scratch = Vec::new();
    let state = fixture(&names::state(SnapshotId::new(5)));
    let seed = Seed::of_file(JOURNAL, 5, FileKind::State.magic());
    let mut accepted = 0;
    for _ in 0..ROUNDS {
        let mut bytes = state.clone();
        let footer = bytes.len() - STATE_FOOTER_LEN;
        let first = STATE_HEADER_LEN..STATE_HEADER_LEN + 24;
        random.damage(&mut bytes[first.start + 4..first.end]);
        let sum = checksum(seed, &bytes[first.start + 4..first.end]);
        put(&mut bytes, first.start, sum);
        let sum = checksum(seed, &bytes[STATE_HEADER_LEN..footer]);
        put(&mut bytes, footer + 36, sum);
        let sum = checksum(seed, &bytes[footer..footer + 60]);
        put(&mut bytes, footer + 60, sum);
        accepted += feed(&bytes, &mut scratch);
    }
    assert_reached(accepted, "state files");

    let manifest = fixture(&names::manifest(2));
    let seed = Seed::of_file(JOURNAL, 2, FileKind::Manifest.magic());
    let mut accepted = 0;
    for _ in 0..ROUNDS {
        let mut bytes = manifest.clone();
        random.damage(&mut bytes[80..]);
        let sum = checksum(seed, &bytes[80..]);
        put(&mut bytes, 68, sum);
        let sum = checksum(seed, &bytes[64..76]);
        put(&mut bytes, 76, sum);
        if let Ok(manifest) = Manifest::decode(&bytes) {
            manifest.check().expect("decode has checked it");
            let mut again = Vec::new();
            manifest
                .encode(&mut again)
                .expect("what was read can be written");
            accepted += 1;
        }
    }
    assert_reached(accepted, "manifests");
}

#[test]
fn damaged_headers_under_good_checksums_do_no_harm() {
    let mut random = Random(6);
    let mut scratch = Vec::new();
    let segment = fixture(&names::segment(SEGMENT));
    let seed = Seed::of_life(JOURNAL, SEGMENT.get());
    let mut accepted = 0;
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            let mut bytes = segment[..128].to_vec();
            random.damage(&mut bytes[8..]);
            let header_len = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
            if (64..=128).contains(&header_len) {
                let covered = [&bytes[..12], &bytes[16..header_len]].concat();
                put(&mut bytes, 12, checksum(HEADER_SEED, &covered));
            }
            accepted += u32::from(SegmentHeader::decode(&bytes).is_ok());
            continue;
        }
        // The first group, its first frame damaged and sealed again.
        let mut bytes = segment[4096..8192].to_vec();
        random.damage(&mut bytes[64 + 4..64 + 40]);
        let sum = checksum(seed, &bytes[64 + 4..64 + 40]);
        put(&mut bytes, 64, sum);
        random.damage(&mut bytes[8..64]);
        let sum = checksum(seed, &bytes[8..64]);
        put(&mut bytes, 4, sum);
        accepted += feed(&bytes, &mut scratch);
    }
    assert_reached(accepted, "headers");
}
