//! Good checksums over statements that cannot be true. A checksum says that bytes are those that
//! were written, not that their writer was right; and each check must refuse on its own what it
//! is there for, not because another one happens to see it too.

use turnkeep::format::Fault;
use turnkeep::format::checksum::{HEADER_SEED, Seed, checksum, payload_checksum};
use turnkeep::format::frame::{Frame, FrameHeader, expect_place};
use turnkeep::format::group::{Group, GroupHeader, MAX_BODY_LEN};
use turnkeep::format::ids::{JournalId, Lsn, PackId, SegmentId, SnapshotId};
use turnkeep::format::manifest::Manifest;
use turnkeep::format::names;
use turnkeep::format::pack::Pack;
use turnkeep::format::pack_block::{BLOCK_HEADER_LEN, BlockCodec, BlockHeader, MAX_BLOCK_LEN};
use turnkeep::format::segment::SegmentHeader;
use turnkeep::format::state::{STATE_FOOTER_LEN, STATE_HEADER_LEN, StateFile, StateHeader};

const SEGMENT: SegmentId = SegmentId::new(17);

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/v1/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// The field that a decoder objects to.
fn field<T>(result: Result<T, Fault>) -> &'static str {
    match result {
        Err(Fault::Field { field, .. }) => field,
        Err(fault) => panic!("not a contradiction: {fault}"),
        Ok(_) => panic!("the lie was believed"),
    }
}

/// The structure whose checksum a decoder objects to.
fn checksum_of<T>(result: Result<T, Fault>) -> &'static str {
    match result {
        Err(Fault::Checksum { what, .. }) => what,
        Err(fault) => panic!("not a checksum: {fault}"),
        Ok(_) => panic!("the damage was believed"),
    }
}

fn seal_file_header(bytes: &mut [u8], header_len: usize) {
    let covered = [&bytes[..12], &bytes[16..header_len]].concat();
    put(bytes, 12, checksum(HEADER_SEED, &covered));
}

#[test]
fn a_file_header_with_a_foreign_seed_or_of_another_length_is_refused() {
    type Decode = fn(&[u8]) -> Result<(), Fault>;
    let kinds: [(String, usize, Decode); 4] = [
        (names::segment(SEGMENT), 128, |b| {
            SegmentHeader::decode(b).map(|_| ())
        }),
        (names::pack(PackId::new(3)), 96, |b| {
            Pack::decode(b).map(|_| ())
        }),
        (names::state(SnapshotId::new(5)), 64, |b| {
            StateFile::decode(b).map(|_| ())
        }),
        (names::manifest(2), 64, |b| Manifest::decode(b).map(|_| ())),
    ];
    for (name, header_len, decode) in kinds {
        let good = fixture(&name);
        // Another seed; another journal or another file under this one's seed.
        for at in [40, 16, 32] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            seal_file_header(&mut bad, header_len);
            assert_eq!(field(decode(&bad)), "seed", "{name}: byte {at}");
        }
        for other_len in [64, 72, 96, 120, 128] {
            if other_len != header_len {
                let mut bad = good.clone();
                bad[10] = other_len as u8;
                seal_file_header(&mut bad, other_len);
                assert_eq!(field(decode(&bad)), "header length", "{name}: {other_len}");
            }
        }
    }
}

#[test]
fn a_group_that_is_too_long_or_whose_frames_are_others_is_refused() {
    let segment = fixture(&names::segment(SEGMENT));
    let seed = SegmentHeader::decode(&segment).expect("good").seed();
    let (header, _) = GroupHeader::decode(seed, SEGMENT, &segment[4096..]).expect("good");
    let mut bytes = segment[4096..].to_vec();
    let long = GroupHeader {
        body_len: MAX_BODY_LEN as u32 + 8,
        ..header
    };
    long.encode(seed, &mut bytes);
    assert_eq!(
        field(GroupHeader::decode(seed, SEGMENT, &bytes)),
        "group length"
    );

    let longest = GroupHeader {
        body_len: MAX_BODY_LEN as u32,
        ..header
    };
    longest.encode(seed, &mut bytes);
    let (decoded, _) = GroupHeader::decode(seed, SEGMENT, &bytes).expect("no longer than may be");
    assert_eq!(decoded, longest);

    let others = GroupHeader {
        frames_check: header.frames_check ^ 1,
        ..header
    };
    others.encode(seed, &mut bytes);
    let fault = Group::decode(seed, SEGMENT, &bytes).expect_err("other frames");
    assert_eq!(
        checksum_of(Err::<(), _>(fault.fault)),
        "frames of the group"
    );

    // A frame less, and a header that says so: only the checksum over all frames is left.
    let group = Group::decode(seed, SEGMENT, &segment[4096..]).expect("good");
    let (last_at, _) = group.frames().last().expect("three frames");
    let fewer = GroupHeader {
        frame_count: header.frame_count - 1,
        body_len: (last_at - 64) as u32,
        ..header
    };
    fewer.encode(seed, &mut bytes);
    let fault = Group::decode(seed, SEGMENT, &bytes).expect_err("a frame is missing");
    assert_eq!(
        checksum_of(Err::<(), _>(fault.fault)),
        "frames of the group"
    );
}

#[test]
fn a_frame_in_anothers_place_is_refused() {
    let segment = fixture(&names::segment(SEGMENT));
    let seed = SegmentHeader::decode(&segment).expect("good").seed();
    let (frame, _) = Frame::decode(seed, &segment[4096 + 64..]).expect("good");
    let FrameHeader { lsn, prev, .. } = frame.header;
    assert_eq!(expect_place(&frame.header, lsn, prev), Ok(()));
    assert_eq!(field(expect_place(&frame.header, lsn.next(), prev)), "lsn");
    let link = field(expect_place(&frame.header, lsn, prev ^ 1));
    assert_eq!(link, "link to the previous frame");
}

#[test]
fn a_block_of_no_or_too_many_bytes_is_refused() {
    let seed = Seed::of_life(JournalId([1; 16]), 1);
    let decoded = |codec, stored_len, raw_len| {
        let mut bytes = [0; BLOCK_HEADER_LEN];
        let header = BlockHeader {
            stored_len,
            raw_len,
            stored_crc: 0,
            codec,
        };
        header.encode(seed, 96, &mut bytes);
        BlockHeader::decode(seed, 96, &bytes)
    };
    let most = MAX_BLOCK_LEN as u32;
    assert!(decoded(BlockCodec::Raw, most, most).is_ok());
    assert!(decoded(BlockCodec::Lz4, most / 2, most).is_ok());
    for (codec, stored_len, raw_len) in [
        (BlockCodec::Raw, 0, 0),
        (BlockCodec::Raw, most + 8, most + 8),
        (BlockCodec::Lz4, most / 2, most + 8),
    ] {
        let found = field(decoded(codec, stored_len, raw_len));
        assert_eq!(found, "raw length of a block");
    }
    for (codec, stored_len, raw_len) in [
        (BlockCodec::Raw, 8, 16),
        (BlockCodec::Lz4, 16, 16),
        (BlockCodec::Lz4, 1, 512),
    ] {
        let found = field(decoded(codec, stored_len, raw_len));
        assert_eq!(found, "stored length of a block");
    }
    let mut unknown = [0; BLOCK_HEADER_LEN];
    let header = BlockHeader {
        stored_len: 40,
        raw_len: 40,
        stored_crc: 0,
        codec: BlockCodec::Raw,
    };
    header.encode(seed, 96, &mut unknown);
    unknown[20] = 2;
    let covered = [&96_u64.to_le_bytes()[..], &unknown[8..]].concat();
    put(&mut unknown, 4, checksum(seed, &covered));
    assert_eq!(
        field(BlockHeader::decode(seed, 96, &unknown)),
        "block codec"
    );
}

/// A state file with `spoil` done to it and every checksum made right again but the entries' own.
fn state_with(spoil: impl Fn(&mut Vec<u8>)) -> Result<(), Fault> {
    let mut bytes = fixture(&names::state(SnapshotId::new(5)));
    let seed = StateHeader::decode(&bytes).expect("good").seed();
    spoil(&mut bytes);
    let footer = bytes.len() - STATE_FOOTER_LEN;
    let whole = checksum(seed, &bytes[STATE_HEADER_LEN..footer]);
    put(&mut bytes, footer + 36, whole);
    let check = checksum(seed, &bytes[footer..footer + 60]);
    put(&mut bytes, footer + 60, check);
    StateFile::decode(&bytes).map(|_| ())
}

#[test]
fn a_state_file_that_contradicts_itself_is_refused() {
    assert_eq!(state_with(|_| ()), Ok(()));
    let footer = fixture(&names::state(SnapshotId::new(5))).len() - STATE_FOOTER_LEN;
    let seed = StateHeader::decode(&fixture(&names::state(SnapshotId::new(5))))
        .expect("good")
        .seed();
    let entry = STATE_HEADER_LEN;
    let body = entry + 24;

    assert_eq!(field(state_with(|b| b[footer + 8] ^= 1)), "snapshot id");
    assert_eq!(
        field(state_with(|b| b[footer + 16] ^= 1)),
        "lsn of the snapshot"
    );
    assert_eq!(
        field(state_with(|b| b[footer + 24] ^= 8)),
        "state file length"
    );
    assert_eq!(
        field(state_with(|b| b[footer + 32] ^= 1)),
        "entries of the state file"
    );
    let no_magic = state_with(|b| b[footer] ^= 1);
    assert!(matches!(no_magic, Err(Fault::Magic { .. })));

    let resealed = |at: usize, value: u8| {
        state_with(|bytes| {
            bytes[entry + at] = value;
            let check = checksum(seed, &bytes[entry + 4..entry + 24]);
            put(bytes, entry, check);
        })
    };
    assert_eq!(field(resealed(12, 1)), "number of a state entry");
    assert_eq!(field(resealed(20, 0)), "kind of a state entry");
    assert_eq!(field(resealed(20, 5)), "kind of a state entry");
    assert_eq!(field(resealed(21, 2)), "body codec");
    assert!(matches!(resealed(11, 0xFF), Err(Fault::Short { .. })));

    assert_eq!(
        checksum_of(state_with(|b| b[entry + 16] ^= 1)),
        "state entry header"
    );
    assert_eq!(checksum_of(state_with(|b| b[body] ^= 1)), "state entry");
    let padding = body + b"the journal".len();
    assert_eq!(
        field(state_with(|b| b[padding] = 1)),
        "padding of a state entry"
    );

    // The body's checksum, made right, is what tells the entry apart from its neighbours.
    let other = state_with(|bytes| {
        bytes[body] ^= 1;
        let sum = payload_checksum(&bytes[body..padding]);
        put(bytes, entry + 4, sum);
    });
    assert_eq!(checksum_of(other), "state entry header");
}

#[test]
fn rot_among_the_entries_is_seen_by_the_checksum_of_the_whole() {
    let good = fixture(&names::state(SnapshotId::new(5)));
    for at in STATE_HEADER_LEN..good.len() - STATE_FOOTER_LEN {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert_eq!(
            checksum_of(StateFile::decode(&bad)),
            "entries of the state file"
        );
    }
}

#[test]
fn a_manifest_with_more_or_less_than_its_body_is_refused() {
    let good = fixture(&names::manifest(2));
    let manifest = Manifest::decode(&good).expect("good");
    assert_eq!(manifest.snapshots[1].lsn, Lsn::new(9));
    let longer = [&good[..], &[0]].concat();
    for bytes in [&longer[..], &good[..good.len() - 1]] {
        assert_eq!(
            field(Manifest::decode(bytes)),
            "length of the manifest's body"
        );
    }
}
