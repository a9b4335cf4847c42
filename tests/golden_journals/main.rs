//! Journals of every version of the format, kept, and opened for ever.
//!
//! `tests/golden/vN` has journals that a build of version N wrote, and for each a listing of what was
//! read from it then. Each is opened for reading and, as a copy, for writing by every later build,
//! verified, and compared with its listing. `tests/golden.rs` holds the bytes of single files against
//! the encoders; here whatever is in the kept journals is encoded again.
//!
//! `TURNKEEP_BLESS=1 cargo test --test golden_journals` makes what is not there, of the version
//! that is written; it overwrites nothing. `tests/golden/README.md` says when that is right.

mod listing;
mod make;

use listing::listing;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use turnkeep::format::body;
use turnkeep::format::group::{Group, GroupBuffer, Place};
use turnkeep::format::header::FORMAT_VERSION;
use turnkeep::format::manifest::Manifest;
use turnkeep::format::names::Name;
use turnkeep::format::pack::{Pack, PackHeader};
use turnkeep::format::segment::{SEGMENT_DATA, SegmentHeader};
use turnkeep::format::state::{EntryKind, StateFile};
use turnkeep::format::watermark::{SLOT_LEN, Watermark};
use turnkeep::model::event::{decode_payload, encode_payload};
use turnkeep::model::retention::Retention;
use turnkeep::model::session::{SessionState, Tombstone};
use turnkeep::{
    Backups, Journal, Key, KeyRing, Kind, Options, Reader, Restore, Upgrade, Versions, Which,
    verify,
};

fn options() -> Options {
    Journal::options()
        .background(false)
        .group_align(512)
        .first_segment_bytes(16 << 10)
        .segment_bytes(16 << 10)
}

/// The key of the sealed journals. It is public: it guards nothing.
fn sealing() -> Options {
    options().keys(KeyRing::new(Key::new([7; 32])))
}

/// Compaction drops nothing that is not erased.
fn everything() -> Retention {
    let mut retention = Retention::default();
    retention.keep_progress_of_ended_turns = true;
    retention.keep_replaced_values = true;
    retention
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn version(number: u16) -> PathBuf {
    root().join(format!("v{number}"))
}

/// Every kept journal: the version, its name, its directory.
fn kept() -> Vec<(u16, &'static str, PathBuf)> {
    bless();
    let names: Vec<_> = make::all().into_iter().map(|(name, ..)| name).collect();
    let versions = 0..=FORMAT_VERSION;
    let all = versions.flat_map(|number| {
        names
            .iter()
            .map(move |name| (number, *name, version(number).join(name)))
    });
    all.collect()
}

/// Makes what is not there, if asked to.
fn bless() {
    use std::sync::Once;
    static ONCE: Once = Once::new();
    if std::env::var_os("TURNKEEP_BLESS").is_none_or(|value| value != "1") {
        return;
    }
    ONCE.call_once(|| {
        for (name, disk, made_in) in make::all() {
            let dir = version(FORMAT_VERSION).join(name);
            if dir.exists() {
                continue;
            }
            fs::create_dir_all(&dir).expect("creates");
            for file in disk.list_files(made_in).expect("lists") {
                let bytes = disk.read_file(format!("{made_in}/{file}")).expect("reads");
                if file != "LOCK" {
                    fs::write(dir.join(&file), bytes).expect("writes");
                }
            }
            let said = listing(&read(&dir));
            fs::write(listed_in(&dir), said).expect("writes");
        }
    });
}

fn listed_in(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".txt");
    PathBuf::from(name)
}

fn read(dir: &Path) -> Reader {
    let opened = sealing().open_read_only(dir);
    opened.unwrap_or_else(|e| panic!("{}: {e:?}", dir.display()))
}

/// The files of a journal, by name.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let listed = fs::read_dir(dir).expect("lists");
    let files = listed.map(|entry| entry.expect("is there").path());
    let mut files: Vec<_> = files
        .map(|path| {
            let name = path.file_name().expect("has one").to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("reads"))
        })
        .collect();
    files.sort();
    files
}

/// A copy that may be written to.
fn copy(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files(dir) {
        fs::write(copy.path().join(name), bytes).expect("writes");
    }
    copy
}

fn expected(dir: &Path) -> String {
    let path = listed_in(dir);
    fs::read_to_string(&path).unwrap_or_else(|e| {
        panic!(
            "{}: {e}: tests/golden/README.md says how it is made",
            path.display()
        )
    })
}

/// Every record and value is there, but for what is said of input that has left the queue: whatever
/// writes a journal again leaves that out.
fn expect_all(was: &str, now: &str, dir: &Path) {
    let now: BTreeSet<&str> = now.lines().collect();
    let stays = |line: &&str| {
        line.starts_with("value ") || line.starts_with("record ") && !line.contains(" input_")
    };
    let missing: Vec<_> = was
        .lines()
        .filter(stays)
        .filter(|line| !now.contains(line))
        .collect();
    assert!(missing.is_empty(), "{}: {missing:#?}", dir.display());
}

/// An upgrade of the program made last year's sessions unreadable.
#[test]
fn every_kept_journal_reads_as_it_read_when_it_was_written() {
    for (_, _, dir) in kept() {
        let before = files(&dir);
        assert_eq!(listing(&read(&dir)), expected(&dir), "{}", dir.display());
        let report = verify(&dir).expect("verifies");
        assert!(report.is_sound(), "{}: {report}", dir.display());
        assert_eq!(files(&dir), before, "looking changes nothing");
    }
}

#[test]
fn every_kept_journal_is_opened_written_to_and_compacted() {
    for (_, name, dir) in kept() {
        let copy = copy(&dir);
        let opened = sealing().retention(everything()).open(copy.path());
        if name.starts_with("store/") {
            assert_eq!(
                opened.map(drop).expect_err("is a backup").code(),
                "is_backup"
            );
            continue;
        }
        let (journal, recovery) = opened.unwrap_or_else(|e| panic!("{}: {e:?}", dir.display()));
        assert_eq!(recovery.clean, name != "torn", "{}", dir.display());
        assert_eq!(recovery.torn_bytes > 0, name == "torn", "{}", dir.display());
        let was = expected(&dir);
        expect_all(&was, &listing(&read(copy.path())), &dir);
        let session = journal.session("of today").expect("opens");
        session.append("note", "today").expect("appends");
        for _ in 0..2 {
            journal.compact().expect("compacts");
            session.append("note", "again").expect("appends");
        }
        journal.close().expect("closes");
        let report = verify(copy.path()).expect("verifies");
        assert!(report.is_sound(), "{}: {report}", dir.display());
        expect_all(&was, &listing(&read(copy.path())), &dir);
    }
}

/// A kept backup is verified and restored, whatever version it is of.
#[test]
fn every_kept_backup_is_good_and_can_be_restored() {
    bless();
    for number in 0..=FORMAT_VERSION {
        let store = Backups::at(version(number).join("store"));
        let which = Which::Name("kept".to_owned());
        assert!(store.verify(&which).expect("verifies").is_good());
        let dir = store.path_of(1);
        let home = tempfile::tempdir().expect("a directory");
        // A store is written to when something is restored from it.
        let mine = home.path().join("store/00000000000000000001.backup");
        fs::create_dir_all(&mine).expect("creates");
        for (name, bytes) in files(&dir) {
            fs::write(mine.join(name), bytes).expect("writes");
        }
        let mine = Backups::at(home.path().join("store"));
        let into = home.path().join("j");
        let done = mine.restore(&which, &into, &Restore::default());
        done.expect("restores");
        let now = listing(&read(&into));
        expect_all(&expected(&dir), &now, &dir);
        assert!(Versions::of(&into).expect("tells").is_current());
    }
}

/// The files of an older version become files of this one, and are kept until that is confirmed.
#[test]
fn every_kept_journal_is_upgraded_and_can_go_back() {
    for (number, name, dir) in kept() {
        if name.starts_with("store/") {
            continue;
        }
        let home = tempfile::tempdir().expect("a directory");
        let (path, store) = (home.path().join("j"), home.path().join("store"));
        fs::create_dir(&path).expect("creates");
        for (name, bytes) in files(&dir) {
            fs::write(path.join(name), bytes).expect("writes");
        }
        let store = Backups::at(store);
        let versions = Versions::of(&path).expect("tells");
        assert_eq!(versions.oldest(), number, "{}", dir.display());
        assert_eq!(versions.is_current(), number == FORMAT_VERSION);
        let mut upgrade = Upgrade::default();
        upgrade.even_if_current = true;
        let done = store.upgrade(&path, &upgrade, &mut |_| ());
        let done = done.unwrap_or_else(|e| panic!("{}: {e:?}", dir.display()));
        assert!(done.after.expect("something was done").is_current());
        let now = listing(&read(&path));
        expect_all(&expected(&dir), &now, &dir);
        let old = home.path().join("old");
        let kept_as = Which::Number(done.kept.expect("the old files").number);
        store.export(&kept_as, &old, &mut |_| ()).expect("exports");
        let old_files = files(&old).into_iter().filter(|(name, _)| name != "LOCK");
        assert!(
            old_files.eq(files(&dir)),
            "{}: byte for byte",
            dir.display()
        );
        store.confirm_upgrade(&path).expect("confirms");
    }
}

/// The encoders changed, and files of the same version are not the same any more.
#[test]
fn what_is_in_the_kept_files_is_encoded_to_the_same_bytes() {
    let mut kinds = BTreeSet::new();
    for (number, _, dir) in kept() {
        if number != FORMAT_VERSION {
            continue;
        }
        for (name, bytes) in files(&dir) {
            let ctx = format!("{}/{name}", dir.display());
            match Name::parse(&name) {
                Name::Segment(_) => encode_segment(&bytes, &ctx, &mut kinds),
                Name::Manifest(_) => {
                    let mut again = Vec::new();
                    let manifest = Manifest::decode(&bytes).expect("decodes");
                    manifest.encode(&mut again).expect("encodes");
                    assert_eq!(again, bytes, "{ctx}");
                }
                Name::Watermark => {
                    let journal = read(&dir).stat().expect("counts").journal;
                    let mark = Watermark::decode_page(journal, &bytes).expect("decodes");
                    let at = mark.slot_offset();
                    assert_eq!(mark.encode(journal), bytes[at..at + SLOT_LEN], "{ctx}");
                }
                Name::State(_) => encode_state(&bytes, &ctx),
                Name::Pack(_) => encode_pack(&bytes, &ctx, &mut kinds),
                _ => {}
            }
        }
    }
    // Nothing writes this kind yet; readers know it.
    kinds.insert(Kind::SessionUpdated);
    let missing: Vec<_> = Kind::ALL.iter().filter(|k| !kinds.contains(k)).collect();
    assert!(missing.is_empty(), "in no kept journal: {missing:?}");
}

fn encode_payload_again(kind: u8, payload: &[u8], ctx: &str, kinds: &mut BTreeSet<Kind>) {
    kinds.insert(Kind::try_from(kind).expect("a kind"));
    let (envelope, content) = decode_payload(payload).expect("decodes");
    let mut again = Vec::new();
    encode_payload(&envelope, content, &mut again).expect("encodes");
    assert_eq!(again, payload, "{ctx}");
}

fn encode_segment(bytes: &[u8], ctx: &str, kinds: &mut BTreeSet<Kind>) {
    let header = SegmentHeader::decode(bytes).expect("decodes");
    let encoded = header.encode();
    assert_eq!(encoded[..], bytes[..encoded.len()], "{ctx}");
    let mut offset = SEGMENT_DATA as usize;
    let mut groups = 0;
    while let Ok(group) = Group::decode(header.seed(), header.id, &bytes[offset..]) {
        let mut buffer = GroupBuffer::default();
        for (_, frame) in group.frames() {
            encode_payload_again(frame.header.kind, frame.payload, ctx, kinds);
            buffer.push(&frame.header, frame.payload);
        }
        buffer.seal(&Place {
            seed: header.seed(),
            segment: header.id,
            next_lsn: group.header.first_lsn,
            durable_lsn: group.header.durable_lsn,
            link: group.first_prev.unwrap_or_default(),
            prev_group: group.header.prev_group,
            flags: group.header.flags,
            epoch: group.header.epoch,
            at_ms: group.header.at_ms,
            align: header.group_align as usize,
        });
        let len = buffer.bytes().len();
        assert!(
            buffer.bytes() == &bytes[offset..offset + len],
            "{ctx}: byte {offset}"
        );
        offset += len;
        groups += 1;
    }
    assert!(groups > 0, "{ctx}");
}

fn encode_state(bytes: &[u8], ctx: &str) {
    let file = StateFile::decode(bytes).expect("decodes");
    let header = file.header.encode();
    assert_eq!(header[..], bytes[..header.len()], "{ctx}");
    for entry in file.entries() {
        let entry = entry.expect("decodes");
        let mut again = Vec::new();
        match entry.kind {
            EntryKind::Session => {
                let session: SessionState = body::decode(entry.body).expect("decodes");
                body::encode(&session, &mut again).expect("encodes");
            }
            EntryKind::Tombstone => {
                let tombstone: Tombstone = body::decode(entry.body).expect("decodes");
                body::encode(&tombstone, &mut again).expect("encodes");
            }
            // Their types are the engine's own; loading them is what the listings test.
            _ => continue,
        }
        assert_eq!(again, entry.body, "{ctx}: session {}", entry.session);
    }
}

/// How well a block is compressed is up to the compressor: its frames are looked at.
fn encode_pack(bytes: &[u8], ctx: &str, kinds: &mut BTreeSet<Kind>) {
    let pack = Pack::decode(bytes).expect("decodes");
    let header: PackHeader = pack.header;
    let encoded = header.encode();
    assert_eq!(encoded[..], bytes[..encoded.len()], "{ctx}");
    let mut scratch = Vec::new();
    pack.verify(&mut scratch).expect("validates");
    for i in 0..pack.index.record_count() {
        let slot = pack.index.record(i).expect("a record");
        let raw = pack.block(slot.block, &mut scratch).expect("a block");
        let frame = pack.frame(&slot, raw).expect("a frame");
        encode_payload_again(frame.header.kind, frame.payload, ctx, kinds);
    }
}
