//! What is gathered from single files that were made by hand: which records, and which places
//! are called damaged.

use super::made::{found, frame, payload, source};
use super::*;
use crate::format::group::{CLOSE, GROUP_HEADER_LEN};
use crate::format::ids::PackId;
use crate::format::pack::{PackEncoder, PackHeader};
use crate::format::pack_block::BlockCodec;
use crate::recovery::salvage::choose::choose;
use crate::recovery::salvage::gather::{Listed, MAX_LSN, Rank};
use crate::recovery::salvage::source::{FrameAt, Window};
use crate::recovery::testing::{by_hand, flagged, group};

const BLOCK: usize = 4096;

fn place(lsn: u64) -> FrameAt {
    found(lsn, Rank::Grouped, 0).place
}

fn lsns(gathered: &Gathered) -> Vec<u64> {
    gathered.found.iter().map(|f| f.lsn.get()).collect()
}

/// What is called damaged: where, how long, from and to which record.
fn damage(gathered: &Gathered) -> Vec<(u64, u64, Option<u64>, Option<u64>)> {
    let of = |d: &gather::Damage| {
        let (from, to) = (d.lsn_from.map(Lsn::get), d.lsn_to.map(Lsn::get));
        (d.offset, d.len, from, to)
    };
    gathered.damage.iter().map(of).collect()
}

/// The same, without what may be no more than the end of the log.
fn before_tail(gathered: &Gathered) -> Vec<(u64, u64, Option<u64>, Option<u64>)> {
    let mut damaged = damage(gathered);
    let mut is_tail = gathered.damage.iter().map(|d| d.is_tail);
    damaged.retain(|_| !is_tail.next().expect("as many"));
    damaged
}

#[test]
fn numbers_that_no_record_has_are_no_record() {
    let payload = payload(b"x");
    let take = |change: &dyn Fn(&mut Frame<'_>)| {
        let mut gathered = Gathered::default();
        // A pack in force answers for 50 to 59, and lists none of them.
        gathered.accounted = vec![(Lsn::new(50), Lsn::new(60))];
        gathered.close_packs();
        let mut frame = frame(7, &payload);
        change(&mut frame);
        gathered.take(&frame, place(7), Rank::Grouped);
        (
            gathered.found.len(),
            gathered.headers.len(),
            gathered.damage.len(),
        )
    };
    assert_eq!(take(&|_| ()), (1, 0, 0));
    assert_eq!(take(&|f| f.header.lsn = Lsn::new(MAX_LSN - 1)), (1, 0, 0));
    assert_eq!(take(&|f| f.header.lsn = Lsn::new(60)), (1, 0, 0));
    let nothing = (0, 0, 0);
    let dropped = |lsn: u64| take(&|f| f.header.lsn = Lsn::new(lsn));
    assert_eq!([0, MAX_LSN, 50, 59].map(dropped), [nothing; 4]);
    assert_eq!(take(&|f| f.header.seq = Seq::new(0)), nothing);
    // It validates, and this release cannot read it: whose it was is known, and that is told.
    let told = (0, 1, 1);
    assert_eq!(take(&|f| f.header.kind = 250), told);
    assert_eq!(take(&|f| f.header.codec = 77), told);
    assert_eq!(take(&|f| f.payload = b"\xFF\xFF\xFF"), told);
    // But not of what is no record of the journal at all.
    let unreadable = |lsn: u64| {
        take(&|f| {
            f.header.kind = 250;
            f.header.lsn = Lsn::new(lsn);
        })
    };
    assert_eq!([0, MAX_LSN, 50].map(unreadable), [nothing; 3]);
    assert_eq!(gather::plausible(Lsn::new(MAX_LSN)), Lsn::default());
    assert_eq!(gather::plausible(Lsn::new(MAX_LSN - 1)).get(), MAX_LSN - 1);
}

/// Two copies of one record are no conflict, two records under one LSN are; unless one of them
/// stood alone in ruins, where anything may look like a record.
#[test]
fn different_records_under_one_lsn_are_a_conflict() {
    let conflicts = |copies: &[gather::Found]| {
        let mut gathered = Gathered::default();
        gathered.found = copies.to_vec();
        let chosen = choose(&mut gathered, |_| 0);
        assert_eq!(chosen.records.len(), 1);
        chosen.conflicts.len()
    };
    let one = found(1, Rank::Packed, 0);
    let differs = |change: &dyn Fn(&mut gather::Found)| {
        let mut other = found(1, Rank::Grouped, 0);
        change(&mut other);
        conflicts(&[one, other])
    };
    assert_eq!(differs(&|_| ()), 0);
    assert_eq!(differs(&|f| f.payload_check = 9), 1);
    assert_eq!(differs(&|f| f.session = SessionNo::new(2)), 1);
    assert_eq!(differs(&|f| f.seq = Seq::new(2)), 1);
    assert_eq!(differs(&|f| f.place.payload_len = 2), 1);
    let lone = |f: &mut gather::Found| (f.rank, f.payload_check) = (Rank::Lone, 9);
    assert_eq!(differs(&lone), 0);
}

/// Packs are gathered in the order of their names, and two may list the same record.
#[test]
fn what_indexes_say_is_put_in_order() {
    let listed = |lsn| Listed {
        lsn: Lsn::new(lsn),
        session: SessionNo::new(1),
        seq: Seq::new(lsn as u32),
    };
    let range = |from, to| (Lsn::new(from), Lsn::new(to));
    let mut gathered = Gathered::default();
    gathered.accounted = vec![range(5, 9), range(1, 5)];
    gathered.listed_lost = vec![listed(6), listed(2), listed(6)];
    gathered.durable = Lsn::new(9);
    gathered.finish();
    assert_eq!(gathered.listed_lost, [listed(2), listed(6)]);
    let missing = choose::name_missing(&[], &gathered, Lsn::new(9));
    let lost: Vec<u64> = missing.lost.iter().map(|r| r.from.get()).collect();
    assert_eq!((lost, missing.uncertain.len()), (vec![2, 6], 0));
}

/// A segment of whole blocks behind the header's, whose groups stand at these.
fn segment(blocks: usize, parts: &[(usize, &[u8])], has_header: bool) -> Source {
    let header = by_hand(((blocks + 1) * BLOCK) as u64);
    let mut bytes = vec![0; header.capacity as usize];
    for (block, part) in parts {
        let at = (block + 1) * BLOCK;
        bytes[at..at + part.len()].copy_from_slice(part);
    }
    source(
        Kind::Segment(has_header.then_some(header)),
        7,
        header.seed(),
        &bytes,
    )
}

fn gathered_from(source: &Source, void_from: Option<u64>) -> Gathered {
    let mut gathered = Gathered::default();
    gathered.segment(0, source, void_from.map(Lsn::new));
    gathered
}

fn one(lsn: u64) -> Vec<u8> {
    group(7, lsn, lsn, &[&payload(b"content of a record")])
}

#[test]
fn in_a_segment_full_of_groups_nothing_is_damaged() {
    for has_header in [true, false] {
        let (a, b, c) = (one(1), one(2), one(3));
        let full = segment(3, &[(0, &a), (1, &b), (2, &c)], has_header);
        let gathered = gathered_from(&full, None);
        assert_eq!(lsns(&gathered), [1, 2, 3]);
        assert_eq!(before_tail(&gathered), [], "{has_header}");
        // Without a header nothing says that what fills the last block up is no torn group.
        assert_eq!(gathered.damage.len(), usize::from(!has_header));
        assert_eq!(gathered.durable, Lsn::new(3));
    }
}

/// Blocks that were wiped, or that nothing was ever written to.
#[test]
fn where_no_group_is_it_is_said_which_records_belong_there() {
    let (a, far) = (one(1), one(5));
    let at = |block: u64| (block + 1) * BLOCK as u64;
    for blocks in [1, 2, 7, 300] {
        let holed = segment(blocks + 2, &[(0, &a), (blocks + 1, &far)], true);
        let gathered = gathered_from(&holed, None);
        assert_eq!(lsns(&gathered), [1, 5]);
        let gap = (at(1), at(blocks as u64 + 1) - at(1), Some(2), Some(5));
        assert_eq!(damage(&gathered), [gap], "{blocks}");
        assert!(!gathered.damage[0].is_tail);
    }
    let ends = gathered_from(&segment(9, &[(0, &a)], true), None);
    assert_eq!(damage(&ends), [(at(1), 8 * BLOCK as u64, Some(2), None)]);
    assert!(ends.damage[0].is_tail);
    // A later segment logged again what belongs there.
    let void = gathered_from(&segment(9, &[(0, &a), (3, &far)], true), Some(2));
    assert_eq!((lsns(&void), damage(&void)), (vec![1], vec![]));
}

/// A closing group holds no record: where one rots between groups that follow on, nothing is lost.
#[test]
fn a_marker_that_rots_is_damage_without_a_loss() {
    let (a, b) = (one(1), one(2));
    let mut marker = flagged(7, 2, 2, &[], CLOSE);
    marker[20] ^= 1;
    let at = 2 * BLOCK as u64;
    for (has_header, expected) in [
        (true, vec![(at, BLOCK as u64, None, None)]),
        (false, vec![]),
    ] {
        let rotten = segment(3, &[(0, &a), (1, &marker), (2, &b)], has_header);
        let gathered = gathered_from(&rotten, None);
        assert_eq!(lsns(&gathered), [1, 2]);
        assert_eq!(before_tail(&gathered), expected, "{has_header}");
        assert!(gathered.headers.is_empty());
    }
}

#[test]
fn a_broken_group_is_named_by_its_records_unless_they_are_void() {
    let (a, mut broken, c) = (one(1), one(2), one(3));
    broken[GROUP_HEADER_LEN + 45] ^= 1;
    let (at, len) = (2 * BLOCK as u64, 136); // without what fills the block up
    let rotten = segment(3, &[(0, &a), (1, &broken), (2, &c)], true);
    let named = |void| {
        let gathered = gathered_from(&rotten, void);
        (lsns(&gathered), damage(&gathered), gathered.headers.len())
    };
    let is_lost = vec![(at, len, Some(2), Some(3))];
    assert_eq!(named(None), (vec![1, 3], is_lost.clone(), 1));
    assert_eq!(named(Some(3)), (vec![1], is_lost, 1));
    assert_eq!(named(Some(2)), (vec![1], vec![], 0));
}

/// A group fills its block to the last byte with what looks like the next record, and the group
/// behind it rots. What was in the one before never was a record.
#[test]
fn the_end_of_the_group_before_is_not_searched() {
    let mut forged = Vec::new();
    let inner = payload(b"");
    frame(2, &inner).relocate(by_hand(0).seed(), 0, &mut forged);
    let mut content = vec![b'.'; BLOCK - GROUP_HEADER_LEN - FRAME_HEADER_LEN - forged.len()];
    content.truncate(content.len() - payload(b"").len());
    content.extend_from_slice(&forged);
    let a = group(7, 1, 1, &[&payload(&content)]);
    assert_eq!(a.len(), BLOCK);
    assert!(a.ends_with(&forged));
    let (mut broken, c) = (one(2), one(3));
    broken[GROUP_HEADER_LEN + 45] ^= 1;
    let rotten = segment(3, &[(0, &a), (1, &broken), (2, &c)], true);
    assert_eq!(lsns(&gathered_from(&rotten, None)), [1, 3]);
}

/// Ruins of which some frames are whole: with noise between them, one whose payload is damaged,
/// and one that is cut.
#[test]
fn in_ruins_every_frame_that_is_whole_is_found() {
    let seed = by_hand(0).seed();
    let payload = payload(b"twenty bytes or more");
    let of = |lsn| {
        let mut bytes = Vec::new();
        frame(lsn, &payload).relocate(seed, 0, &mut bytes);
        bytes
    };
    let mut bytes = vec![0xEE; 64];
    let mut whole = Vec::new();
    for lsn in [3, 4, 5, 2, 6] {
        bytes.resize(bytes.len() + 8 * lsn as usize, 0xEE);
        let mut frame = of(lsn);
        if lsn == 4 {
            frame[42] ^= 1;
        } else {
            whole.push((lsn, bytes.len() as u64));
        }
        bytes.extend_from_slice(&frame);
    }
    let cut = of(7);
    bytes.extend_from_slice(&cut[..cut.len() - 8]);
    let source = source(Kind::Segment(None), 7, seed, &bytes);
    let lone = |range, ordered| {
        let mut gathered = Gathered::default();
        let lsns = (Lsn::new(2), Lsn::new(9));
        gathered.lone(
            (0, &source),
            &mut Window::new(&source),
            range,
            lsns,
            ordered,
        );
        let found = gathered.found.iter();
        let found: Vec<_> = found.map(|f| (f.lsn.get(), f.place.at)).collect();
        let headers = gathered.headers.iter().map(|h| h.record.lsn.get());
        (found, headers.collect::<Vec<_>>())
    };
    let end = bytes.len() as u64;
    assert_eq!(lone((8, end), false), (whole.clone(), vec![4, 7]));
    whole.retain(|(lsn, _)| *lsn != 2);
    assert_eq!(lone((8, end), true), (whole.clone(), vec![4, 7]));
    // It begins with a frame, and ends with one.
    let (from, to) = (whole[1].1, whole[1].1 + of(5).len() as u64);
    assert_eq!(lone((from, to), true), (vec![whole[1]], vec![]));
    assert_eq!(lone((from + 1, to), true), (vec![], vec![]));
    assert_eq!(lone((from, to - 1), true), (vec![], vec![5]));
}

#[test]
fn what_the_disk_does_not_give_is_damage() {
    let home = segment(3, &[(0, &one(1))], true);
    let mut window = Window::new(&home);
    window.unreadable = vec![(4096, 512), (9000, 8)];
    let mut gathered = Gathered::default();
    gathered.note_unreadable(3, &window);
    assert_eq!(
        damage(&gathered),
        [(4096, 512, None, None), (9000, 8, None, None)]
    );
    assert!(gathered.damage.iter().all(|d| d.source == 3 && !d.is_tail));
}

/// A pack of two blocks, as large as blocks get, of records whose bytes do not compress.
fn pack() -> (PackHeader, Vec<u8>, Vec<(u64, usize)>) {
    let header = PackHeader {
        journal: by_hand(0).journal,
        id: PackId::new(9),
        lsn_from: Lsn::new(1),
        lsn_to: Lsn::new(5),
    };
    let mut bytes = Vec::new();
    let mut encoder = PackEncoder::new(header, BlockCodec::Raw, &mut bytes);
    let contents: Vec<Vec<u8>> = (1..5_u8).map(|n| payload(&[n; 25_000])).collect();
    for (lsn, payload) in (1..).zip(&contents) {
        encoder.push(&frame(lsn, payload), &mut bytes);
    }
    encoder.finish(&mut bytes);
    let places = (1..5_u8).map(|n| {
        let at = bytes.windows(9).position(|w| w == [n; 9]);
        (u64::from(n), at.expect("stands there as it is"))
    });
    let places = places.collect();
    (header, bytes, places)
}

fn gathered_from_pack(header: &PackHeader, bytes: &[u8]) -> Gathered {
    let source = source(Kind::Pack, 9, header.seed(), bytes);
    let mut gathered = Gathered::default();
    gathered.journal = header.journal;
    gathered.pack(0, &source, None);
    gathered
}

/// In a block whose bytes stand there as they are, a damaged record does not take its neighbours
/// along; with the index, and without it.
#[test]
fn of_a_damaged_block_that_is_not_compressed_every_other_record_is_kept() {
    let (header, good, places) = pack();
    let whole = gathered_from_pack(&header, &good);
    assert_eq!((lsns(&whole), damage(&whole)), (vec![1, 2, 3, 4], vec![]));
    let mut without_index = good.clone();
    let end = without_index.len();
    without_index[end - 20] ^= 1;
    let whole = gathered_from_pack(&header, &without_index);
    assert_eq!(lsns(&whole), [1, 2, 3, 4]);
    assert_eq!(whole.damage.len(), 1, "the index");
    for (lsn, at) in places {
        let left: Vec<u64> = (1..5).filter(|n| *n != lsn).collect();
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        let listed = gathered_from_pack(&header, &bytes);
        assert_eq!(lsns(&listed), left);
        assert_eq!(
            listed
                .listed_lost
                .iter()
                .map(|l| l.lsn.get())
                .collect::<Vec<_>>(),
            [lsn]
        );
        let [(from, len, lsn_from, lsn_to)] = damage(&listed)[..] else {
            panic!("{:?}", listed.damage);
        };
        assert!((from..from + len).contains(&(at as u64)));
        assert!(
            len > 50_000 && len < 51_000,
            "a block of two records: {len}"
        );
        assert_eq!((lsn_from, lsn_to), (Some(lsn), Some(lsn + 1)));
        let mut bytes = without_index.clone();
        bytes[at] ^= 1;
        let walked = gathered_from_pack(&header, &bytes);
        let mut found = lsns(&walked);
        found.sort_unstable();
        assert_eq!(found, left);
        let headers: Vec<u64> = walked.headers.iter().map(|h| h.record.lsn.get()).collect();
        assert_eq!(headers, [lsn]);
        assert_eq!(walked.damage.len(), 2, "the index, and the block");
        assert_eq!((walked.damage[1].offset, walked.damage[1].len), (from, len));
    }
}

/// A pack that ends in the middle of its last block has no index, and all that is before the end.
#[test]
fn a_pack_that_is_cut_gives_what_is_left_of_it() {
    let (header, good, places) = pack();
    let (third, fourth) = (places[2].1, places[3].1);
    for (end, left) in [(fourth + 1000, vec![1, 2, 3]), (third + 1000, vec![1, 2])] {
        let cut = gathered_from_pack(&header, &good[..end]);
        assert_eq!(lsns(&cut), left);
        let block = cut.damage.last().expect("one");
        assert_eq!(block.offset + block.len, end as u64);
        assert_eq!(
            (block.lsn_from, block.lsn_to),
            (Some(Lsn::new(1)), Some(Lsn::new(5)))
        );
    }
}

/// Two records of one length, each at the place of the other: neither stands where the index
/// says, so neither is believed.
#[test]
fn a_record_at_the_place_of_another_is_not_believed() {
    let (header, good, places) = pack();
    let stride = places[1].1 - places[0].1;
    let begin = places[0].1 - payload(b"").len() - FRAME_HEADER_LEN;
    let mut bytes = good.clone();
    let (first, second) = bytes[begin..begin + 2 * stride].split_at_mut(stride);
    first.swap_with_slice(second);
    let swapped = gathered_from_pack(&header, &bytes);
    assert_eq!(lsns(&swapped), [3, 4]);
    let listed = swapped.listed_lost.iter().map(|l| l.lsn.get());
    assert_eq!(listed.collect::<Vec<_>>(), [1, 2]);
}
