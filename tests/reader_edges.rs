//! What a reader is told when the files change under it, when the disk refuses, and when the
//! watermark page says nothing.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use turnkeep::format::watermark::Watermark;
use turnkeep::recovery::Reader;
use turnkeep::storage::sim::{OpKind, SimDisk};
use turnkeep::storage::{DirEntry, File, Lock, LockError, OpenMode, Storage};
use turnkeep::{Error, Journal, JournalId, Lsn, Options};

const PATH: &str = "/agents.journal";
const PAGE: &str = "/agents.journal/WATERMARK";
const FIRST: &str = "/agents.journal/00000000000000000001.seg";
const BLOCK: usize = 4096;

fn options(storage: Arc<dyn Storage>) -> Options {
    Journal::options()
        .background(false)
        .storage(storage)
        .first_segment_bytes(16 * BLOCK as u64)
        .segment_bytes(16 * BLOCK as u64)
}

fn write(disk: &SimDisk) -> Journal {
    let opened = options(Arc::new(disk.clone())).open(PATH);
    opened.expect("opens").0
}

fn read(disk: &SimDisk) -> Result<Reader, Error> {
    options(Arc::new(disk.clone())).open_read_only(PATH)
}

fn append(journal: &Journal, texts: std::ops::Range<usize>) {
    let session = journal.session("agent").expect("opens");
    for n in texts {
        session
            .append("note", format!("record {n}"))
            .expect("is kept");
    }
}

fn expected(texts: std::ops::Range<usize>) -> Vec<String> {
    texts.map(|n| format!("record {n}")).collect()
}

fn contents(reader: &Reader) -> Vec<String> {
    let session = reader.session("agent").expect("is there");
    let entries = session.read(..).expect("reads");
    let texts = entries.map(|e| String::from_utf8(e.expect("reads").content).expect("is text"));
    texts.filter(|text| !text.is_empty()).collect()
}

#[test]
fn a_reader_says_what_it_reads() {
    let disk = SimDisk::new(7);
    let journal = write(&disk);
    let _other = journal.session("other").expect("opens");
    append(&journal, 0..3);
    let reader = read(&disk).expect("opens");
    assert_eq!(reader.warnings(), [""; 0]);
    let session = reader.session("agent").expect("is there");
    assert_eq!(session.id(), "agent");
    assert_eq!(
        session.no(),
        journal.session("agent").expect("is there").no()
    );
    let mut follow = reader.follow(Lsn::new(2));
    assert_eq!(follow.position(), Lsn::new(2));
    let entry = follow
        .next_timeout(Duration::ZERO)
        .expect("reads")
        .expect("is there");
    assert_eq!((entry.lsn, follow.position()), (Lsn::new(2), Lsn::new(3)));
}

#[test]
fn a_page_that_says_nothing_is_a_warning() {
    let disk = SimDisk::new(7);
    append(&write(&disk), 0..3);
    disk.kill();
    disk.write_file(PAGE, &[0xAA; BLOCK]).expect("writes");
    let warnings = read(&disk).expect("opens").warnings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("the watermark page says nothing: "),
        "{warnings:?}"
    );
}

/// A file that vanishes while it is looked for may have been moved by a writer, so a reader looks
/// again. Any other refusal of the disk is told, the first time.
#[test]
fn what_may_be_motion_is_looked_at_again_and_other_errors_are_told() {
    let disk = SimDisk::new(7);
    let journal = write(&disk);
    append(&journal, 0..3);
    let mut seen = [0, 0];
    // The first listing asks whether there is a journal at all, so the second is one to repeat.
    for (kind, is_motion, first) in [(ErrorKind::Other, false, 1), (ErrorKind::NotFound, true, 2)] {
        for nth in first.. {
            let before = disk.faults_met();
            disk.fail_nth(OpKind::List, nth, kind, false);
            let opened = read(&disk);
            let met = disk.faults_met() > before;
            disk.clear_faults();
            if !met {
                opened.expect("nothing was in its way");
                break;
            }
            match (opened, is_motion) {
                (Ok(reader), true) => assert_eq!(contents(&reader), expected(0..3)),
                (Err(Error::Io { .. }), false) => {}
                (opened, _) => panic!("{kind:?} {nth}: {opened:?}"),
            }
            seen[usize::from(is_motion)] += 1;
        }
    }
    assert!(seen[0] > 1 && seen[1] > 1, "{seen:?}");

    let reader = read(&disk).expect("opens");
    append(&journal, 3..5);
    disk.fail_nth(OpKind::List, 1, ErrorKind::Other, false);
    let refreshed = reader.refresh();
    assert!(matches!(refreshed, Err(Error::Io { .. })), "{refreshed:?}");
    disk.clear_faults();
    assert_eq!(contents(&reader), expected(0..3), "as before");
    reader.refresh().expect("goes on");
    assert_eq!(contents(&reader), expected(0..5));
}

/// Nothing was published since, so no change of the files explains that a read failed.
#[test]
fn an_error_that_no_change_explains_is_told() {
    let disk = SimDisk::new(7);
    let journal = write(&disk);
    append(&journal, 0..3);
    let reader = read(&disk).expect("opens");
    let session = reader.session("agent").expect("is there");
    for kind in [ErrorKind::NotFound, ErrorKind::Other] {
        disk.fail_nth(OpKind::Read, 1, kind, false);
        let entry = session.read(..).expect("looks up").next();
        assert!(
            matches!(entry, Some(Err(Error::Io { .. }))),
            "{kind}: {entry:?}"
        );
        disk.clear_faults();
        disk.fail_nth(OpKind::Read, 1, kind, false);
        let entry = session.read(..).expect("looks up").next_back();
        assert!(
            matches!(entry, Some(Err(Error::Io { .. }))),
            "{kind}: {entry:?}"
        );
        disk.clear_faults();
        disk.fail_nth(OpKind::Read, 1, kind, false);
        let entry = reader.read(Lsn::new(1)).expect("looks up").next();
        assert!(
            matches!(entry, Some(Err(Error::Io { .. }))),
            "{kind}: {entry:?}"
        );
        disk.clear_faults();
    }
    assert_eq!(contents(&reader), expected(0..3));
}

/// A compaction moved every record while a session is being read from its end.
#[test]
fn reading_backwards_goes_on_over_a_compaction() {
    let disk = SimDisk::new(7);
    let journal = write(&disk);
    append(&journal, 0..60);
    let reader = read(&disk).expect("opens");
    let session = reader.session("agent").expect("is there");
    let mut backwards = session.read(..).expect("reads").rev();
    let mut found = vec![backwards.next().expect("one").expect("reads").content];
    for n in 60..120 {
        append(&journal, n..n + 1);
        if n % 20 == 0 {
            journal.compact().expect("compacts");
        }
    }
    found.extend(backwards.map(|entry| entry.expect("reads").content));
    found.retain(|content| !content.is_empty());
    found.reverse();
    let texts: Vec<_> = found
        .into_iter()
        .map(|t| String::from_utf8(t).expect("is text"))
        .collect();
    assert_eq!(texts, expected(0..60));
}

#[test]
fn a_follower_waits_for_what_is_not_there_yet() {
    let disk = SimDisk::new(7);
    let journal = write(&disk);
    append(&journal, 0..1);
    let reader = read(&disk).expect("opens");
    let mut follow = reader.follow(reader.durable_lsn());
    let nothing = follow
        .next_timeout(Duration::from_millis(1))
        .expect("reads");
    assert_eq!(nothing, None);
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        append(&journal, 1..2);
        journal
    });
    let began = Instant::now();
    let entry = follow
        .next_timeout(Duration::from_secs(60))
        .expect("reads")
        .expect("arrives");
    assert_eq!(entry.content, b"record 1");
    assert!(began.elapsed() < Duration::from_secs(60));
    writer.join().expect("no panic").close().expect("closes");
}

/// Somebody removed the page under a reader. What groups prove is seen all the same: everything
/// but the last group, of which nothing says that it was synced.
#[test]
fn a_reader_goes_on_without_the_page() {
    let disk = SimDisk::new(7);
    let journal = write(&disk);
    append(&journal, 0..2);
    let reader = read(&disk).expect("opens");
    append(&journal, 2..6);
    disk.write_file(PAGE, &[0; BLOCK]).expect("writes");
    reader.refresh().expect("goes on");
    assert_eq!(contents(&reader), expected(0..5));
}

/// A disk on which the page's counter grows each time that somebody looks at it: a busy writer.
#[derive(Debug)]
struct Busy(SimDisk);

impl Busy {
    fn touch(&self) {
        let mark = mark(&self.0);
        put_mark(
            &self.0,
            Watermark {
                counter: mark.counter + 2,
                ..mark
            },
        );
    }
}

fn journal_of(disk: &SimDisk) -> JournalId {
    let bytes = disk.read_file(FIRST).expect("reads");
    let header = turnkeep::format::segment::SegmentHeader::decode(&bytes);
    header.expect("good").journal
}

fn mark(disk: &SimDisk) -> Watermark {
    let page = disk.read_file(PAGE).expect("reads");
    Watermark::decode_page(journal_of(disk), &page).expect("says something")
}

fn put_mark(disk: &SimDisk, mark: Watermark) {
    let page = Watermark::encode_page(journal_of(disk), mark);
    disk.write_file(PAGE, &page).expect("writes");
}

impl Storage for Busy {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        if path == Path::new(PAGE) {
            self.touch();
        }
        self.0.open(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        self.0.lock(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.free_bytes(path)
    }
    fn overwrites_in_place(&self, path: &Path) -> bool {
        self.0.overwrites_in_place(path)
    }
    fn entropy(&self) -> io::Result<[u8; 16]> {
        self.0.entropy()
    }
    fn unix_ms(&self) -> u64 {
        self.0.unix_ms()
    }
}

/// A writer goes on while a reader opens. The reader sees the third group half written, and then,
/// behind it, a whole fourth one, which says that the third was durable by then. That is no damage
/// if the writer was at work; but what was durable when the reader began must be there.
#[test]
fn what_a_writer_was_writing_meanwhile_is_no_damage_and_what_was_durable_before_is() {
    let disk = SimDisk::new(7);
    append(&write(&disk), 0..4);
    disk.kill();
    let mut bytes = disk.read_file(FIRST).expect("reads");
    bytes[BLOCK * 3 + 100] ^= 1;
    disk.write_file(FIRST, &bytes).expect("writes");
    let busy = || options(Arc::new(Busy(disk.clone()))).open_read_only(PATH);
    // The third group begins with LSN 4. What was durable when the reader began:
    for (durable, is_no_damage) in [(3, true), (4, true), (5, false)] {
        put_mark(
            &disk,
            Watermark {
                durable_lsn: Lsn::new(durable),
                ..mark(&disk)
            },
        );
        assert!(
            matches!(read(&disk), Err(Error::Corrupt(_))),
            "nobody wrote"
        );
        match (busy(), is_no_damage) {
            (Ok(reader), true) => assert_eq!(contents(&reader), expected(0..2)),
            (Err(Error::Corrupt(_)), false) => {}
            (opened, _) => panic!("{durable}: {opened:?}"),
        }
    }
}
