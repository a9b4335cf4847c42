//! Files of every kind, written once and kept: what is encoded today must be these bytes, and
//! these bytes must decode as long as the format version lives.
//!
//! Those of every version are kept: the newest are what is encoded today, and all are decoded. For a
//! new version `TURNKEEP_BLESS=1 cargo test --test golden` writes what is not there, and overwrites
//! nothing; `tests/golden/README.md` has the steps.

use std::path::PathBuf;
use turnkeep::format::checksum::payload_checksum;
use turnkeep::format::frame::{BATCH_END, Frame, FrameHeader, IN_BATCH};
use turnkeep::format::group::{CLOSE, Group, GroupBuffer, Links, Place};
use turnkeep::format::header::FORMAT_VERSION;
use turnkeep::format::ids::{Epoch, JournalId, Lsn, PackId, SegmentId, Seq, SessionNo, SnapshotId};
use turnkeep::format::manifest::{Manifest, PackRef, ReplayPoint, SnapshotRef};
use turnkeep::format::names;
use turnkeep::format::pack::{Pack, PackEncoder, PackHeader};
use turnkeep::format::pack_block::BlockCodec;
use turnkeep::format::segment::{SEGMENT_DATA, SegmentHeader};
use turnkeep::format::state::{EntryKind, StateEncoder, StateEntry, StateFile, StateHeader};
use turnkeep::format::watermark::Watermark;
use turnkeep::model::event::{Envelope, Kind, decode_payload, encode_payload};

const JOURNAL: JournalId = JournalId(*b"golden journal 0");
const AT_MS: u64 = 1_800_000_000_000;
const SEGMENT: SegmentId = SegmentId::new(17);
const ALIGN: usize = 512;
/// Where the log ends in the segment.
const END: u64 = 6656;

fn path(version: u16, name: &str) -> PathBuf {
    let version = format!("v{version}");
    [
        env!("CARGO_MANIFEST_DIR"),
        "tests",
        "fixtures",
        &version,
        name,
    ]
    .iter()
    .collect()
}

fn is_blessing() -> bool {
    std::env::var_os("TURNKEEP_BLESS").is_some_and(|value| value == "1")
}

/// The kept files of every version, the newest last; when blessing, `bytes` are kept from now on if
/// there is none of this version.
fn kept(name: &str, bytes: &[u8]) -> Vec<Vec<u8>> {
    let newest = path(FORMAT_VERSION, name);
    if is_blessing() && !newest.exists() {
        std::fs::create_dir_all(newest.parent().expect("it is in a folder")).expect("creates");
        std::fs::write(&newest, bytes).expect("the fixture can be written");
    }
    let all = (0..=FORMAT_VERSION).map(|version| {
        let path = path(version, name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    });
    all.collect()
}

/// The kept files of every version, after what is encoded today was compared with the newest.
fn golden(name: &str, bytes: &[u8]) -> Vec<Vec<u8>> {
    let all = kept(name, bytes);
    let kept = all.last().expect("there is one");
    if let Some(at) = (0..kept.len().max(bytes.len())).find(|&i| kept.get(i) != bytes.get(i)) {
        panic!(
            "{name} differs from byte {at} on ({} bytes kept, {} encoded now)",
            kept.len(),
            bytes.len()
        );
    }
    all
}

struct Sample {
    header: FrameHeader,
    payload: Vec<u8>,
}

impl Sample {
    fn frame(&self) -> Frame<'_> {
        Frame {
            header: self.header,
            check: 0,
            payload: &self.payload,
        }
    }
}

/// Two sessions in one turn each, with a batch across both, and content that is no text.
fn samples() -> Vec<Sample> {
    let name = |name: &'static str| Envelope {
        at_ms: AT_MS,
        name,
        ..Envelope::default()
    };
    let turn = |turn, attempt| Envelope {
        at_ms: AT_MS + 1,
        turn,
        attempt,
        ..Envelope::default()
    };
    let whole = Envelope {
        turn: 2,
        attempt: 1,
        name: "tool_call",
        key: b"call-1",
        actor: "coder",
        link: 300,
        refs: vec!["sha256:00ff", "sha256:ff00"],
        extra: &[0xFE, 0],
        ..name("")
    };
    type Row<'a> = (u32, u32, Kind, u8, Envelope<'a>, &'a [u8]);
    let records: [Row<'_>; 8] = [
        (1, 1, Kind::SessionCreated, 0, name("agent-7f3a"), b""),
        (
            1,
            2,
            Kind::TurnSubmitted,
            0,
            name(""),
            b"what is a torn tail?",
        ),
        (2, 1, Kind::SessionCreated, 0, name("agent-\u{e9}"), b""),
        (1, 3, Kind::TurnStarted, 0, turn(2, 1), b""),
        (
            1,
            4,
            Kind::TurnEvent,
            IN_BATCH,
            whole,
            &[0, 0xFF, 0x1A, b'\r', b'\n'],
        ),
        (2, 2, Kind::Put, IN_BATCH | BATCH_END, name("todo"), b"[]"),
        (1, 5, Kind::TurnCompleted, 0, turn(2, 1), &[b'a'; 700]),
        (2, 3, Kind::SessionEnded, 0, name("done"), b""),
    ];
    records
        .into_iter()
        .enumerate()
        .map(|(i, (session, seq, kind, flags, envelope, content))| {
            let mut payload = Vec::new();
            encode_payload(&envelope, content, &mut payload).expect("a short envelope");
            let header = FrameHeader {
                payload_check: payload_checksum(&payload),
                lsn: Lsn::new(1 + i as u64),
                session: SessionNo::new(session),
                seq: Seq::new(seq),
                payload_len: payload.len() as u32,
                prev: 0,
                epoch: Epoch::new(1),
                kind: kind.get(),
                flags,
                codec: 0,
                body_version: 0,
            };
            Sample { header, payload }
        })
        .collect()
}

fn assert_is_sample(frame: &Frame<'_>, sample: &Sample) {
    let header = FrameHeader {
        prev: frame.header.prev,
        ..sample.header
    };
    assert_eq!((frame.header, frame.payload), (header, &sample.payload[..]));
    decode_payload(frame.payload).expect("the envelope decodes");
}

#[test]
fn a_segment() {
    let samples = samples();
    let header = SegmentHeader {
        journal: JOURNAL,
        id: SEGMENT,
        capacity: 8192,
        base_lsn: Lsn::new(0),
        group_align: ALIGN as u32,
        base_link: 0,
        base_group_link: 0,
        created_ms: AT_MS,
    };
    let mut bytes = header.encode().to_vec();
    bytes.resize(SEGMENT_DATA as usize, 0);
    let mut links = Links {
        link: 0,
        group_link: 0,
    };
    // A group of three frames, one that holds the batch, and a clean close without frames.
    for (frames, flags) in [(0..3, 0), (3..8, 0), (8..8, CLOSE)] {
        let mut buffer = GroupBuffer::default();
        for sample in &samples[frames.clone()] {
            buffer.push(&sample.header, &sample.payload);
        }
        links = buffer.seal(&Place {
            seed: header.seed(),
            segment: SEGMENT,
            next_lsn: Lsn::new(1 + frames.start as u64),
            durable_lsn: Lsn::new(1 + frames.start as u64),
            link: links.link,
            prev_group: links.group_link,
            flags,
            epoch: Epoch::new(1),
            at_ms: AT_MS,
            align: ALIGN,
        });
        bytes.extend_from_slice(buffer.bytes());
    }
    bytes.resize(header.capacity as usize, 0);

    for kept in golden(&names::segment(SEGMENT), &bytes) {
        let read = SegmentHeader::decode(&kept).expect("the header decodes");
        assert_eq!(read, header);
        let mut offset = SEGMENT_DATA as usize;
        let (mut count, mut flags, mut last) = (0, 0, 0);
        for _ in 0..3 {
            let group = Group::decode(read.seed(), SEGMENT, &kept[offset..]).expect("a group");
            assert_eq!(group.header.prev_group, last);
            last = group.check;
            for (_, frame) in group.frames() {
                assert_is_sample(&frame, &samples[count]);
                count += 1;
            }
            flags = group.header.flags;
            offset += group.header.len().next_multiple_of(ALIGN);
        }
        assert_eq!((count, flags, offset as u64), (8, CLOSE, END));
        assert!(Group::decode(read.seed(), SEGMENT, &kept[offset..]).is_err());
    }
}

#[test]
fn a_watermark() {
    let mark = Watermark {
        counter: 41,
        durable_lsn: Lsn::new(9),
        segment: SEGMENT,
        end_offset: END,
        flags: turnkeep::format::watermark::CLEAN,
        epoch: Epoch::new(1),
    };
    let all = golden(names::WATERMARK, &Watermark::encode_page(JOURNAL, mark));
    let newest = Watermark {
        counter: 42,
        ..mark
    };
    for kept in all {
        assert_eq!(Watermark::decode_page(JOURNAL, &kept), Ok(newest));
    }
}

const PACK: PackHeader = PackHeader {
    journal: JOURNAL,
    id: PackId::new(3),
    lsn_from: Lsn::new(1),
    lsn_to: Lsn::new(9),
};

fn pack(codec: BlockCodec) -> (Vec<u8>, PackRef) {
    let mut samples = samples();
    samples.sort_by_key(|sample| (sample.header.session, sample.header.seq));
    let mut bytes = Vec::new();
    let mut encoder = PackEncoder::new(PACK, codec, &mut bytes);
    for sample in &samples {
        encoder.push(&sample.frame(), &mut bytes);
    }
    let reference = encoder.finish(&mut bytes);
    (bytes, reference)
}

fn assert_is_the_pack(bytes: &[u8]) {
    let pack = Pack::decode(bytes).expect("the pack decodes");
    assert_eq!(pack.header, PACK);
    let mut scratch = Vec::new();
    pack.verify(&mut scratch)
        .expect("every block and frame verifies");
    let samples = samples();
    assert_eq!(pack.index.record_count() as usize, samples.len());
    for (i, sample) in samples.iter().enumerate() {
        let record = pack.index.by_lsn(i as u32).expect("in order of lsn");
        let slot = pack.index.record(record).expect("a record");
        let raw = pack.block(slot.block, &mut scratch).expect("a block");
        assert_is_sample(&pack.frame(&slot, raw).expect("a frame"), sample);
        let found = pack
            .index
            .lower_bound_seq(sample.header.session, sample.header.seq);
        assert_eq!(found.start, record);
    }
}

#[test]
fn a_pack() {
    let (bytes, _) = pack(BlockCodec::Raw);
    for kept in golden(&names::pack(PACK.id), &bytes) {
        assert_is_the_pack(&kept);
    }
}

/// How well bytes are compressed is up to the compressor, so only decoding is pinned here.
#[test]
fn a_compressed_pack() {
    let (bytes, _) = pack(BlockCodec::Lz4);
    for kept in kept("compressed.pack", &bytes) {
        let block = Pack::decode(&kept)
            .expect("decodes")
            .index
            .block(0)
            .expect("a block");
        assert!(block.stored_len < block.raw_len, "the block is compressed");
        assert_is_the_pack(&kept);
    }
    assert_is_the_pack(&bytes);
}

fn state() -> (Vec<u8>, StateHeader, u64, u32) {
    let header = StateHeader {
        journal: JOURNAL,
        id: SnapshotId::new(5),
        lsn: Lsn::new(9),
        created_ms: AT_MS,
    };
    let mut bytes = Vec::new();
    let mut encoder = StateEncoder::new(header, &mut bytes);
    for entry in &entries() {
        encoder.push(entry, &mut bytes);
    }
    let summary = encoder.finish(&mut bytes);
    (bytes, header, summary.len, summary.crc)
}

fn entries() -> [StateEntry<'static>; 4] {
    let entry = |kind, session, body| StateEntry {
        kind,
        session: SessionNo::new(session),
        schema: 0,
        body,
    };
    [
        entry(EntryKind::Journal, 0, b"the journal"),
        entry(EntryKind::Session, 1, b"a session"),
        entry(EntryKind::Tombstone, 2, b""),
        entry(EntryKind::Places, 3, b"some places"),
    ]
}

#[test]
fn a_state_file() {
    let (bytes, header, ..) = state();
    for kept in golden(&names::state(header.id), &bytes) {
        let file = StateFile::decode(&kept).expect("the state file decodes");
        assert_eq!(file.header, header);
        let found: Result<Vec<_>, _> = file.entries().collect();
        assert_eq!(found.expect("every entry decodes"), entries());
    }
}

#[test]
fn a_manifest() {
    let (_, state, state_len, state_crc) = state();
    let (_, pack) = pack(BlockCodec::Raw);
    let snapshot = |id, packs| SnapshotRef {
        id: SnapshotId::new(id),
        lsn: state.lsn,
        state_len,
        state_crc,
        packs,
        log_from: SegmentId::new(16),
        replay: ReplayPoint {
            segment: SEGMENT,
            offset: END,
            next_lsn: state.lsn,
            link: 0x1234_5678,
            group_link: 0x9ABC_DEF0,
            epoch: Epoch::new(1),
        },
    };
    let manifest = Manifest {
        journal: JOURNAL,
        generation: 2,
        created_ms: AT_MS,
        group_align: 4096,
        next_snapshot: SnapshotId::new(6),
        next_pack: PackId::new(4),
        log_floor: SegmentId::new(16),
        snapshots: vec![snapshot(4, vec![]), snapshot(5, vec![pack])],
    };
    let mut bytes = Vec::new();
    manifest.encode(&mut bytes).expect("a good manifest");
    for kept in golden(&names::manifest(2), &bytes) {
        assert_eq!(Manifest::decode(&kept).as_ref(), Ok(&manifest));
    }
}
