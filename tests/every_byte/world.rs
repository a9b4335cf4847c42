//! The journals that are damaged: what was acknowledged in them, and where each record lies.

use super::tree::{Files, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use turnkeep::format::frame::{Frame, frame_len};
use turnkeep::format::group::{GROUP_HEADER_LEN, Group};
use turnkeep::format::pack::Pack;
use turnkeep::format::segment::{SEGMENT_DATA, SegmentHeader};
use turnkeep::{Batch, Durability, Entry, Input, Journal, Lsn, OpenTurnInfo, Options, SessionInfo};

pub const PATH: &str = "/agents.journal";

/// How the writer of a journal went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It closed the journal.
    Closed,
    /// It was killed, with records that were handed to the system and never synced.
    Killed,
    /// The power failed before the system wrote the watermark page back: nothing proves the last
    /// group. This is the one case in which rot can cost something without a word.
    PowerCut,
}

/// How a journal is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub end: End,
    pub align: u32,
    pub segment_bytes: u64,
    pub rounds: u32,
    /// Half of what is written is text.
    pub is_text: bool,
    pub seed: u8,
}

impl Shape {
    pub fn options(&self) -> Options {
        Journal::options()
            .background(false)
            .group_align(self.align)
            .first_segment_bytes(self.segment_bytes)
            .segment_bytes(self.segment_bytes)
            .max_packs(3)
    }
}

/// A journal, and everything that is true of it.
pub struct World {
    pub shape: Shape,
    pub files: Files,
    /// What each file held before, other than now, oldest first.
    pub older: BTreeMap<String, Vec<Arc<Vec<u8>>>>,
    /// Another journal's files.
    pub foreign: Files,
    /// Every record that is to be read, by LSN.
    pub truth: Vec<Entry>,
    /// Everything below was acknowledged.
    pub acknowledged: Lsn,
    /// In [`End::PowerCut`]: where the last group begins that was acknowledged, and nothing
    /// proves it.
    pub unproven_from: Lsn,
    /// The payload of each record of `truth`, as it stands on the disk.
    pub payloads: Vec<Vec<u8>>,
    /// Records that once were, and were dropped by a compaction: an older file may hold them.
    pub once: BTreeSet<(u64, Vec<u8>)>,
    pub sessions: Vec<SessionInfo>,
    pub open_turns: Vec<OpenTurnInfo>,
    /// Where the copies of each record lie, by its place in `truth`.
    pub places: Vec<Vec<(String, Range<usize>)>>,
    /// Places of which every byte matters: file headers, footers, group headers.
    pub marked: BTreeMap<String, Vec<Range<usize>>>,
}

impl World {
    pub fn build(shape: Shape) -> World {
        let mut builder = Builder::new(shape, shape.seed);
        builder.run();
        let mut other = Builder::new(shape, shape.seed.wrapping_add(101));
        other.run();
        let foreign = other.finish().0;
        let (files, acknowledged, unproven_from) = builder.finish();
        let mut older: BTreeMap<String, Vec<Arc<Vec<u8>>>> = BTreeMap::new();
        for moment in &builder.moments {
            for (name, bytes) in moment {
                let versions = older.entry(name.clone()).or_default();
                if files.get(name) != Some(bytes) && !versions.contains(bytes) {
                    versions.push(bytes.clone());
                }
            }
        }
        older.retain(|name, _| files.contains_key(name));
        let tree = Tree::new(Path::new(PATH), &files, 77);
        let (journal, recovery) = shape.options().storage(tree).open(PATH).expect("opens");
        assert_eq!(recovery.clean, shape.end == End::Closed, "{recovery}");
        let truth = journal.read(Lsn::new(1)).expect("reads");
        let truth: Vec<Entry> = truth.map(|e| e.expect("a record")).collect();
        let there: BTreeMap<u64, &Entry> = truth.iter().map(|e| (e.lsn.get(), e)).collect();
        // What was acknowledged is there as it was given, unless it was taken back since.
        for (lsn, content) in &builder.ledger {
            let kept = there.get(lsn).is_some_and(|e| e.content == *content);
            assert!(kept || builder.given_up.contains(lsn), "lsn {lsn}");
        }
        let mut payloads = vec![Vec::new(); truth.len()];
        let places = places(&files, &truth, &mut payloads);
        assert!(places.iter().all(|places| !places.is_empty()));
        World {
            sessions: journal.sessions().expect("lists"),
            open_turns: journal.open_turns().expect("lists"),
            marked: marked(&files),
            once: builder.ledger.into_iter().collect(),
            shape,
            files,
            older,
            foreign,
            truth,
            acknowledged,
            unproven_from,
            places,
            payloads,
        }
    }
}

/// Keeps a ledger of what it does to a journal.
struct Builder {
    shape: Shape,
    tree: Arc<Tree>,
    journal: Option<Journal>,
    random: u64,
    /// What was acknowledged: LSN and content.
    ledger: Vec<(u64, Vec<u8>)>,
    /// LSNs of records that were truncated, deleted or may be dropped by a compaction.
    given_up: BTreeSet<u64>,
    moments: Vec<Files>,
    unproven_from: Lsn,
    page_before: Option<Arc<Vec<u8>>>,
}

impl Builder {
    fn new(shape: Shape, seed: u8) -> Builder {
        let tree = Tree::new(Path::new(PATH), &Files::new(), seed);
        let opened = shape.options().storage(tree.clone()).open(PATH);
        Builder {
            shape,
            tree,
            journal: Some(opened.expect("opens").0),
            random: u64::from(seed) + 1,
            ledger: Vec::new(),
            given_up: BTreeSet::new(),
            moments: Vec::new(),
            unproven_from: Lsn::new(0),
            page_before: None,
        }
    }

    fn next(&mut self, below: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.random >> 33) as usize) % below
    }

    /// Bytes without a pattern, and now and then text, which packs store compressed if it pays.
    fn content(&mut self) -> Vec<u8> {
        let len = 10 + self.next(110);
        let text = b"the quick brown fox jumps. ";
        match self.next(if self.shape.is_text { 2 } else { 6 }) {
            0 => text.iter().cycle().take(len).copied().collect(),
            _ => (0..len).map(|_| self.next(256) as u8).collect(),
        }
    }

    fn ack(&mut self, lsn: Lsn, content: Vec<u8>) {
        self.ledger.push((lsn.get(), content));
    }

    fn moment(&mut self) {
        self.moments.push(self.tree.files(Path::new(PATH)));
    }

    fn run(&mut self) {
        let journal = self.journal.clone().expect("is open");
        for round in 0..self.shape.rounds {
            self.work(&journal, round);
            self.moment();
            match round {
                0 | 2 => drop(journal.compact().expect("compacts")),
                1 => drop(journal.checkpoint().expect("is kept")),
                _ => {}
            }
            self.moment();
        }
        drop(journal);
        self.end();
    }

    /// A round of what agents do.
    fn work(&mut self, journal: &Journal, round: u32) {
        for id in ["alpha", "beta", "g\u{e4}mma"] {
            let session = journal.session(id).expect("opens");
            for _ in 0..2 {
                let content = self.content();
                let lsn = session.append("note", &content).expect("is kept");
                self.ack(lsn, content);
            }
            let input = Input::user("what is a torn tail?").key(format!("{round}"));
            let mut turn = session.begin(input).expect("begins");
            turn.started().expect("starts");
            let (called, piece) = (self.content(), self.content());
            let call = turn.event("tool_call", &called).expect("goes in");
            let progress = turn.progress("piece", &piece).expect("goes in");
            // One group: the later ticket stands for both.
            let lsn = progress.wait().expect("syncs");
            self.given_up.insert(lsn.get());
            self.ack(lsn, piece);
            self.ack(call.lsn(), called);
            if round.is_multiple_of(2) {
                let content = self.content();
                let lsn = turn.complete(&content).expect("ends");
                self.ack(lsn, content);
            }
            let content = self.content();
            let lsn = session.put("todo", &content).expect("is kept");
            self.given_up.insert(lsn.get());
            self.ack(lsn, content);
        }
        let [alpha, beta] = ["alpha", "beta"].map(|id| journal.find(id).expect("is there"));
        let content = self.content();
        let batch = Batch::new()
            .event(&alpha, "both", &content)
            .event(&beta, "both", &content)
            .put(&beta, "status", &content);
        let lsn = journal.append_all(&batch).expect("is kept");
        self.given_up.insert(lsn.get());
        for n in 0..3 {
            self.ack(Lsn::new(lsn.get() - n), content.clone());
        }
        if round == 1 {
            let secret = journal.session("secret").expect("opens");
            let first = secret.append("note", "deleted").expect("is kept").get();
            let last = secret.delete().expect("deletes").get();
            self.given_up.extend(first..=last);
            let from = alpha.append("note", "truncated").expect("is kept");
            let seq = alpha.last(1).expect("reads")[0].seq;
            alpha.truncate_from(seq).expect("drops");
            self.given_up.insert(from.get());
        }
    }

    fn end(&mut self) {
        let journal = self.journal.clone().expect("is open");
        let session = journal.session("last").expect("opens");
        session.append("note", "proven").expect("is kept");
        match self.shape.end {
            End::Closed => {}
            End::Killed => {
                let content = self.content();
                let lsn = session.append("note", &content).expect("is kept");
                self.ack(lsn, content);
                for _ in 0..3 {
                    let content = self.content();
                    let buffered = Durability::Buffered;
                    session
                        .append_with(buffered, "note", content)
                        .expect("is handed over");
                }
            }
            End::PowerCut => {
                let files = self.tree.files(Path::new(PATH));
                self.page_before = files.get("WATERMARK").cloned();
                self.unproven_from = journal.durable_lsn();
                let content = self.content();
                let batch = Batch::new()
                    .event(&session, "last", &content)
                    .event(&session, "group", &content);
                let lsn = journal.append_all(&batch).expect("is kept");
                self.ack(Lsn::new(lsn.get() - 1), content.clone());
                self.ack(lsn, content);
            }
        }
    }

    /// What the disk holds when the writer is gone; up to where everything was acknowledged; and
    /// from where on nothing proves it.
    fn finish(&mut self) -> (Files, Lsn, Lsn) {
        let journal = self.journal.take().expect("is open");
        let mut acknowledged = journal.durable_lsn();
        if self.shape.end == End::Closed {
            acknowledged = journal.accepted_lsn();
            journal.close().expect("closes");
            return (self.tree.files(Path::new(PATH)), acknowledged, acknowledged);
        }
        // It is gone before it could do anything more.
        let mut files = self.tree.files(Path::new(PATH));
        drop(journal);
        if let Some(page) = self.page_before.take() {
            files.insert("WATERMARK".to_owned(), page);
            return (files, acknowledged, self.unproven_from);
        }
        (files, acknowledged, acknowledged)
    }
}

/// Calls `visit` with each whole group of a segment, and where it begins.
fn groups(bytes: &[u8], mut visit: impl FnMut(usize, &Group<'_>)) {
    let Ok(header) = SegmentHeader::decode(bytes) else {
        return;
    };
    let mut at = SEGMENT_DATA as usize;
    while at + GROUP_HEADER_LEN <= bytes.len() {
        let Ok(group) = Group::decode(header.seed(), header.id, &bytes[at..]) else {
            return;
        };
        visit(at, &group);
        at += group
            .header
            .len()
            .next_multiple_of(header.group_align as usize);
    }
}

/// Calls `visit` with each frame of a pack, and the extent of the block that it is in.
pub fn packed(bytes: &[u8], mut visit: impl FnMut(&Frame<'_>, Range<usize>)) {
    let pack = Pack::decode(bytes).expect("it is whole");
    let (mut scratch, mut slots) = (Vec::new(), 0..pack.index.record_count());
    let mut slot = slots.next().and_then(|n| pack.index.record(n));
    for block in 0..pack.index.block_count() {
        let raw = pack.block(block, &mut scratch).expect("it is whole");
        let extent = pack.index.block(block).expect("is there").extent();
        while let Some(record) = slot.filter(|record| record.block == block) {
            let frame = pack.frame(&record, raw).expect("it is whole");
            visit(&frame, extent.start as usize..extent.end as usize);
            slot = slots.next().and_then(|n| pack.index.record(n));
        }
    }
}

/// Where the copies of each record of `truth` lie, and what they hold.
fn places(
    files: &Files,
    truth: &[Entry],
    payloads: &mut [Vec<u8>],
) -> Vec<Vec<(String, Range<usize>)>> {
    let mut places = vec![Vec::new(); truth.len()];
    let mut add = |frame: &Frame<'_>, name: &str, range: Range<usize>| {
        if let Ok(n) = truth.binary_search_by_key(&frame.header.lsn, |e| e.lsn) {
            places[n].push((name.to_owned(), range));
            payloads[n] = frame.payload.to_vec();
        }
    };
    for (name, bytes) in files {
        if name.ends_with(".seg") && !name.starts_with("spare") {
            groups(bytes, |at, group| {
                for (offset, frame) in group.frames() {
                    let from = at + offset;
                    add(&frame, name, from..from + frame_len(frame.payload.len()));
                }
            });
        } else if name.ends_with(".pack") {
            packed(bytes, |frame, block| add(frame, name, block));
        }
    }
    places
}

/// Headers, footers, indexes' ends and groups' headers: where the quick run leaves nothing out.
fn marked(files: &Files) -> BTreeMap<String, Vec<Range<usize>>> {
    let of = |(name, bytes): (&String, &Arc<Vec<u8>>)| {
        let mut ranges = vec![
            0..64.min(bytes.len()),
            bytes.len().saturating_sub(64)..bytes.len(),
        ];
        if name.starts_with("manifest") {
            ranges.push(0..bytes.len());
        } else if name == "WATERMARK" {
            ranges.extend([512..576, 1024..1088]);
        } else if name.ends_with(".pack") {
            ranges.extend([0..96, bytes.len().saturating_sub(96)..bytes.len()]);
        } else if name.ends_with(".seg") {
            ranges.push(0..128);
            groups(bytes, |at, _| ranges.push(at..at + GROUP_HEADER_LEN));
        }
        (name.clone(), ranges)
    };
    files.iter().map(of).collect()
}

/// Whether every byte of `range` is still what it was.
pub fn is_unhit(before: &Files, after: &Files, name: &str, range: &Range<usize>) -> bool {
    let (Some(before), Some(after)) = (before.get(name), after.get(name)) else {
        return false;
    };
    Arc::ptr_eq(before, after) || after.get(range.clone()) == before.get(range.clone())
}
