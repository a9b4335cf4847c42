//! What the layout gives, property by property (`docs/FORMAT.md`, "What the layout gives").
//!
//! The kept files of `tests/fixtures` are damaged here in every way that a property speaks of.

use turnkeep::format::Fault;
use turnkeep::format::checksum::{HEADER_SEED, Seed, checksum};
use turnkeep::format::frame::{FRAME_HEADER_LEN, Frame, FrameHeader, frame_len};
use turnkeep::format::group::{CLOSE, GROUP_HEADER_LEN, Group, GroupBuffer, GroupHeader, Place};
use turnkeep::format::header::{FORMAT_VERSION, FileHeader, FileKind};
use turnkeep::format::ids::{Epoch, JournalId, Lsn, PackId, SegmentId, SnapshotId};
use turnkeep::format::manifest::Manifest;
use turnkeep::format::names::{self, Name};
use turnkeep::format::pack::{PACK_FOOTER_LEN, PACK_HEADER_LEN, Pack, PackFooter, PackHeader};
use turnkeep::format::pack_block::{BlockHeader, decode_block};
use turnkeep::format::segment::{SEGMENT_DATA, SegmentHeader};
use turnkeep::format::state::{STATE_FOOTER_LEN, STATE_HEADER_LEN, StateFile, StateHeader};
use turnkeep::format::watermark::Watermark;

const SEGMENT: SegmentId = SegmentId::new(17);
const ALIGN: usize = 512;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/v1/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn segment() -> (Vec<u8>, Seed) {
    let bytes = fixture(&names::segment(SEGMENT));
    let header = SegmentHeader::decode(&bytes).expect("the fixture is good");
    (bytes, header.seed())
}

/// The groups of the segment: their offsets, and how many bytes each takes without padding.
fn groups(bytes: &[u8], seed: Seed) -> Vec<(usize, usize)> {
    let mut offset = SEGMENT_DATA as usize;
    let mut found = Vec::new();
    while let Ok(group) = Group::decode(seed, SEGMENT, &bytes[offset..]) {
        found.push((offset, group.header.len()));
        offset += group.header.len().next_multiple_of(ALIGN);
    }
    assert_eq!(found.len(), 3);
    found
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn is_checksum<T>(result: Result<T, Fault>) -> bool {
    matches!(result, Err(Fault::Checksum { .. }))
}

// 1. A length is trusted only after a checksum over the header that holds it.

/// Were the length looked at first, the fault would be another one than the checksum's.
#[test]
fn a_rotten_length_is_a_checksum_fault_and_nothing_else() {
    let (segment, seed) = segment();
    let (group, _) = groups(&segment, seed)[1];
    let pack = fixture(&names::pack(PackId::new(3)));
    let pack_header = PackHeader::decode(&pack).expect("good");
    let state = fixture(&names::state(SnapshotId::new(5)));
    let state_header = StateHeader::decode(&state).expect("good");
    let manifest = fixture(&names::manifest(2));
    for length in [0, 1, 0x7FFF_FFFF, 0xFFFF_FFF0, u32::MAX] {
        let mut bad = segment.clone();
        put(&mut bad, group + 32, length);
        assert!(is_checksum(GroupHeader::decode(
            seed,
            SEGMENT,
            &bad[group..]
        )));
        let frame = group + GROUP_HEADER_LEN;
        put(&mut bad, frame + 24, length);
        assert!(is_checksum(Frame::decode(seed, &bad[frame..])));

        let mut bad = pack.clone();
        for field in [8, 12] {
            put(&mut bad, PACK_HEADER_LEN + field, length);
            let block = &bad[PACK_HEADER_LEN..];
            let offset = PACK_HEADER_LEN as u64;
            assert!(is_checksum(BlockHeader::decode(
                pack_header.seed(),
                offset,
                block
            )));
        }
        let footer = bad.len() - PACK_FOOTER_LEN;
        for field in [32, 40, 48, 60, 64, 68] {
            put(&mut bad, footer + field, length);
            let len = bad.len() as u64;
            assert!(is_checksum(PackFooter::decode(
                &pack_header,
                len,
                &bad[footer..]
            )));
        }

        let mut bad = state.clone();
        put(&mut bad, STATE_HEADER_LEN + 8, length);
        // Under a good checksum of the whole, so that the entry's own is what speaks.
        let footer = bad.len() - STATE_FOOTER_LEN;
        let whole = checksum(state_header.seed(), &bad[STATE_HEADER_LEN..footer]);
        put(&mut bad, footer + 36, whole);
        let check = checksum(state_header.seed(), &bad[footer..footer + 60]);
        put(&mut bad, footer + 60, check);
        assert!(is_checksum(StateFile::decode(&bad)));

        let mut bad = manifest.clone();
        put(&mut bad, 64, length);
        assert!(is_checksum(Manifest::decode(&bad)));
    }
}

#[test]
fn a_zero_page_and_an_all_ones_page_are_nothing_at_all() {
    let (_, seed) = segment();
    let journal = JournalId(*b"golden journal 0");
    for fill in [0_u8, 0xFF] {
        for len in [0, 1, 8, 40, 64, 96, 128, 4096, 65536] {
            let page = vec![fill; len];
            assert!(FrameHeader::decode(seed, &page).is_err());
            assert!(Frame::decode(seed, &page).is_err());
            assert!(GroupHeader::decode(seed, SEGMENT, &page).is_err());
            assert!(Group::decode(seed, SEGMENT, &page).is_err());
            assert!(SegmentHeader::decode(&page).is_err());
            assert!(decode_block(seed, 96, &page, &mut Vec::new()).is_err());
            assert!(Pack::decode(&page).is_err());
            assert!(StateFile::decode(&page).is_err());
            assert!(Manifest::decode(&page).is_err());
            assert!(Watermark::decode_page(journal, &page).is_err());
        }
    }
    // There is one seed from which a header of zeros hashes to zero: then its kind tells.
    let seed = Seed::new(0x2676_554C).expect("an allowed seed");
    assert_eq!(checksum(seed, &[0; FRAME_HEADER_LEN - 4]), 0);
    assert!(Frame::decode(seed, &[0; FRAME_HEADER_LEN]).is_err());
}

/// Good checksums over lengths that cannot be: what a broken writer or an attacker would make.
#[test]
fn a_huge_length_under_a_good_checksum_is_too_short_an_input() {
    let (segment, seed) = segment();
    let (group, _) = groups(&segment, seed)[1];
    let frame = group + GROUP_HEADER_LEN;
    let (header, _) = FrameHeader::decode(seed, &segment[frame..]).expect("good");
    for payload_len in [4096 * 1024, 0x7FFF_FFFF, u32::MAX] {
        let mut bytes = segment[frame..frame + 200].to_vec();
        let lying = FrameHeader {
            payload_len,
            ..header
        };
        lying.encode(seed, &mut bytes);
        assert!(matches!(
            Frame::decode(seed, &bytes),
            Err(Fault::Short { .. })
        ));
    }
    let (header, _) = GroupHeader::decode(seed, SEGMENT, &segment[group..]).expect("good");
    for (body_len, frame_count) in [
        (u32::MAX, 1),
        (1 << 30, u32::MAX),
        (header.body_len, u32::MAX),
    ] {
        let mut bytes = segment[group..].to_vec();
        let lying = GroupHeader {
            body_len,
            frame_count,
            ..header
        };
        lying.encode(seed, &mut bytes);
        assert!(Group::decode(seed, SEGMENT, &bytes).is_err());
    }
}

// 2. Every frame is verifiable alone, and linked.

#[test]
fn frames_verify_alone_when_everything_around_them_is_gone() {
    let (segment, seed) = segment();
    for (offset, len) in groups(&segment, seed) {
        let group = Group::decode(seed, SEGMENT, &segment[offset..offset + len]).expect("good");
        for (at, frame) in group.frames() {
            let taken = frame_len(frame.payload.len());
            let mut alone = vec![0xAA; segment.len()];
            alone[offset + at..offset + at + taken]
                .copy_from_slice(&segment[offset + at..offset + at + taken]);
            let (found, _) = Frame::decode(seed, &alone[offset + at..]).expect("alone");
            assert_eq!(found, frame);
        }
    }
}

/// Groups whose header and checksums are right for the frames that they hold, but whose frames
/// are not the ones that follow one another.
#[test]
fn a_gap_a_doubled_and_a_swapped_frame_are_seen_under_good_checksums() {
    let (segment, seed) = segment();
    let (offset, _) = groups(&segment, seed)[1];
    let group = Group::decode(seed, SEGMENT, &segment[offset..]).expect("good");
    let frames: Vec<Frame<'_>> = group.frames().map(|(_, frame)| frame).collect();
    let sealed = |order: &[usize]| {
        let mut buffer = GroupBuffer::default();
        for &i in order {
            buffer.push(&frames[i].header, frames[i].payload);
        }
        buffer.seal(&place(seed));
        buffer.bytes().to_vec()
    };
    assert!(Group::decode(seed, SEGMENT, &sealed(&[0, 1, 2, 3, 4])).is_ok());
    for order in [
        &[0, 2, 3][..],
        &[0, 1, 1, 2],
        &[1, 0],
        &[0, 2, 1],
        &[4, 3, 2, 1, 0],
    ] {
        let bytes = sealed(order);
        let fault = Group::decode(seed, SEGMENT, &bytes).expect_err("not a history");
        assert!(
            matches!(fault.fault, Fault::Field { field: "lsn", .. }),
            "{order:?}"
        );
    }
    // The right numbers, but a frame from another history: the links differ.
    let mut bytes = sealed(&[0, 1, 2]);
    let second = GROUP_HEADER_LEN + frame_len(frames[0].payload.len());
    let foreign = FrameHeader {
        prev: frames[0].check ^ 1,
        ..frames[1].header
    };
    foreign.encode(seed, &mut bytes[second..]);
    let fault = Group::decode(seed, SEGMENT, &bytes).expect_err("not this history");
    assert!(matches!(fault.fault, Fault::Field { field: "link", .. }));
}

fn place(seed: Seed) -> Place {
    Place {
        seed,
        segment: SEGMENT,
        next_lsn: Lsn::new(50),
        durable_lsn: Lsn::new(4),
        link: 1,
        prev_group: 2,
        flags: 0,
        epoch: Epoch::new(1),
        at_ms: 0,
        align: ALIGN,
    }
}

// 3. Checksums are seeded per life.

#[test]
fn what_an_earlier_life_left_behind_never_verifies() {
    let (segment, seed) = segment();
    let (group, len) = groups(&segment, seed)[0];
    let frame = group + GROUP_HEADER_LEN;
    let pack = fixture(&names::pack(PackId::new(3)));
    let journal = JournalId(*b"golden journal 0");
    for life in (1..100_000).filter(|life| *life != SEGMENT.get()) {
        let other = Seed::of_life(journal, life);
        assert!(
            is_checksum(FrameHeader::decode(other, &segment[frame..])),
            "life {life}"
        );
        // Also if the number of the segment were the same.
        let header = GroupHeader::decode(other, SEGMENT, &segment[group..group + len]);
        assert!(is_checksum(header), "life {life}");
        if life != 3 {
            let other = Seed::of_file(journal, life, FileKind::Pack.magic());
            let block = BlockHeader::decode(other, 96, &pack[PACK_HEADER_LEN..]);
            assert!(is_checksum(block), "life {life}");
        }
    }
}

#[test]
fn another_journals_bytes_never_verify() {
    let (segment, seed) = segment();
    let (group, _) = groups(&segment, seed)[0];
    for byte in 0..16 {
        for bit in 0..8 {
            let mut journal = JournalId(*b"golden journal 0");
            journal.0[byte] ^= 1 << bit;
            let other = Seed::of_life(journal, SEGMENT.get());
            assert!(is_checksum(GroupHeader::decode(
                other,
                SEGMENT,
                &segment[group..]
            )));
            let mark = fixture(names::WATERMARK);
            assert!(Watermark::decode_page(journal, &mark).is_err());
        }
    }
}

// 4. Every group carries the durable watermark known when it was written.

#[test]
fn a_later_group_proves_what_was_durable_though_all_before_it_is_gone() {
    let (mut segment, seed) = segment();
    let groups = groups(&segment, seed);
    let (second, _) = groups[1];
    segment[SEGMENT_DATA as usize..second].fill(0xAA);
    let group = Group::decode(seed, SEGMENT, &segment[second..]).expect("alone");
    assert_eq!(
        group.header.durable_lsn,
        Lsn::new(4),
        "the first three records were durable"
    );
    for bit in second * 8 + 24 * 8..second * 8 + 32 * 8 {
        let mut bad = segment.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(is_checksum(GroupHeader::decode(
            seed,
            SEGMENT,
            &bad[second..]
        )));
    }
}

#[test]
fn a_clean_close_proves_everything() {
    let (segment, seed) = segment();
    let (last, _) = groups(&segment, seed)[2];
    let group = Group::decode(seed, SEGMENT, &segment[last..]).expect("good");
    assert_eq!(group.header.flags, CLOSE);
    assert_eq!(group.header.durable_lsn, group.header.end_lsn());
}

// 5. A group with a missing frame is not there.

#[test]
fn a_group_is_there_whole_or_not_at_all() {
    let (segment, seed) = segment();
    for (offset, len) in groups(&segment, seed) {
        let group = Group::decode(seed, SEGMENT, &segment[offset..]).expect("good");
        for (at, frame) in group.frames() {
            let taken = frame_len(frame.payload.len());
            for fill in [0, 0xFF] {
                let mut bad = segment.clone();
                bad[offset + at..offset + at + taken].fill(fill);
                assert!(Group::decode(seed, SEGMENT, &bad[offset..]).is_err());
            }
        }
        for sector in (offset..offset + len).step_by(512) {
            let mut bad = segment.clone();
            bad[sector..sector + 512].fill(0);
            assert!(Group::decode(seed, SEGMENT, &bad[offset..]).is_err());
        }
    }
}

#[test]
fn every_flipped_bit_of_a_segment_is_seen_or_changes_nothing() {
    let (segment, seed) = segment();
    let read = |bytes: &[u8]| {
        let header = SegmentHeader::decode(bytes).ok()?;
        let mut found = Vec::new();
        for (offset, _) in groups(&segment, seed) {
            let group = Group::decode(header.seed(), SEGMENT, &bytes[offset..]).ok()?;
            let frames: Vec<_> = group
                .frames()
                .map(|(at, frame)| (at, frame.header, frame.payload.to_vec()))
                .collect();
            found.push((group.header, frames));
        }
        Some((header, found))
    };
    let good = read(&segment).expect("good");
    let mut unseen = 0;
    for bit in (0..128 * 8).chain(SEGMENT_DATA as usize * 8..segment.len() * 8) {
        let mut bad = segment.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        if let Some(found) = read(&bad) {
            assert_eq!(found, good, "bit {bit}");
            unseen += 1;
        }
    }
    let covered = 128
        + groups(&segment, seed)
            .iter()
            .map(|(_, len)| len)
            .sum::<usize>();
    let padding = segment.len() - (SEGMENT_DATA as usize - 128) - covered;
    let in_frames = unseen / 8 - padding;
    assert!(
        in_frames < 8 * 8,
        "only what fills up a frame or a block: {in_frames} bytes"
    );
}

// 6. File length never says where the log ends.

#[test]
fn the_log_ends_at_the_first_block_that_holds_no_group_of_this_life() {
    let (segment, seed) = segment();
    let found = groups(&segment, seed);
    let (last, _) = found[2];
    let end = last + ALIGN;
    // Preallocated zeros follow; a longer or shorter file holds the same groups.
    assert_eq!(groups(&[&segment[..], &[0; 65536]].concat(), seed), found);
    assert_eq!(groups(&segment[..end], seed), found);
    // An earlier life of the file goes on behind the end.
    let earlier = Seed::of_life(JournalId(*b"golden journal 0"), 16);
    let mut buffer = GroupBuffer::default();
    buffer.seal(&place(earlier));
    let mut recycled = segment.clone();
    recycled[end..end + ALIGN].copy_from_slice(buffer.bytes());
    assert!(Group::decode(earlier, SEGMENT, &recycled[end..]).is_ok());
    assert_eq!(groups(&recycled, seed), found);
}

#[test]
fn a_group_cut_at_any_byte_is_not_there() {
    let (segment, seed) = segment();
    for (offset, len) in groups(&segment, seed) {
        for cut in 0..len {
            let cut = &segment[offset..offset + cut];
            assert!(Group::decode(seed, SEGMENT, cut).is_err());
        }
    }
}

// 7. A version in every file.

#[test]
fn a_newer_version_is_named_in_every_kind_of_file() {
    let journal = JournalId(*b"golden journal 0");
    type Decode = fn(&[u8], JournalId) -> Option<Fault>;
    let kinds: [(FileKind, String, Decode); 5] = [
        (FileKind::Segment, names::segment(SEGMENT), |bytes, _| {
            SegmentHeader::decode(bytes).err()
        }),
        (FileKind::Pack, names::pack(PackId::new(3)), |bytes, _| {
            Pack::decode(bytes).err()
        }),
        (
            FileKind::State,
            names::state(SnapshotId::new(5)),
            |bytes, _| StateFile::decode(bytes).err(),
        ),
        (FileKind::Manifest, names::manifest(2), |bytes, _| {
            Manifest::decode(bytes).err()
        }),
        (
            FileKind::Watermark,
            names::WATERMARK.into(),
            |bytes, journal| Watermark::decode_page(journal, bytes).err(),
        ),
    ];
    for (kind, name, decode) in kinds {
        let good = fixture(&name);
        assert_eq!(decode(&good, journal), None);
        let found = FORMAT_VERSION + 1;
        let newer = Some(Fault::Newer {
            found,
            supported: FORMAT_VERSION,
        });
        for header_len in [64, kind.header_len(), 128] {
            let mut bytes = good.clone();
            bytes[8..10].copy_from_slice(&found.to_le_bytes());
            bytes[10..12].copy_from_slice(&(header_len as u16).to_le_bytes());
            // Without the checksum it is rot, and rot is not called a newer release.
            assert!(is_checksum(FileHeader::decode(kind, &bytes)), "{name}");
            let covered = [&bytes[..12], &bytes[16..header_len]].concat();
            put(&mut bytes, 12, checksum(HEADER_SEED, &covered));
            assert_eq!(decode(&bytes, journal), newer, "{name}");
        }
    }
}

#[test]
fn no_kind_of_file_is_taken_for_another() {
    let files = [
        (FileKind::Segment, names::segment(SEGMENT)),
        (FileKind::Pack, names::pack(PackId::new(3))),
        (FileKind::State, names::state(SnapshotId::new(5))),
        (FileKind::Manifest, names::manifest(2)),
        (FileKind::Watermark, names::WATERMARK.into()),
    ];
    for (kind, _) in &files {
        for (other, name) in &files {
            let result = FileHeader::decode(*kind, &fixture(name));
            assert_eq!(result.is_ok(), kind == other, "{name} as {kind:?}");
        }
    }
}

// 8. Host text never becomes a path.

#[test]
fn a_file_name_is_made_of_a_number_and_nothing_else() {
    for number in [0, 1, 17, 99_999_999, u64::MAX] {
        let all = [
            names::segment(SegmentId::new(number)),
            names::spare(number),
            names::pack(PackId::new(number)),
            names::state(SnapshotId::new(number)),
            names::manifest(number),
        ];
        for name in all {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
            assert!(name.bytes().all(plain) && !name.starts_with('.'), "{name}");
            assert!(name.len() < 40, "{name}");
        }
    }
    let hostile = [
        "../../etc/passwd",
        "..",
        "/",
        "00000000000000000001.seg/../x",
        "00000000000000000001.seg\0",
        "manifest-0000000\u{661}",
        "+0000000000000000001.seg",
        "99999999999999999999999.seg",
    ];
    for name in hostile {
        assert_eq!(Name::parse(name), Name::Foreign, "{name:?}");
    }
}
