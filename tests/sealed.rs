//! Sealed journals: what the host said is in no file, reads back with its key, and without it only
//! contents are lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use turnkeep::format::group::Group;
use turnkeep::format::seal::Sealed;
use turnkeep::model::event::decode_payload;
use turnkeep::{
    Batch, Entry, Error, Input, Journal, Key, KeyId, KeyRing, Keys, Kind, Lsn, Options, Session,
    salvage, search, verify,
};

const SECRET: &[u8] = b"the launch code is 0000";

fn key(n: u8) -> Key {
    Key::new([n; 32])
}

fn sealed(n: u8) -> Options {
    Journal::options()
        .background(false)
        .keys(KeyRing::new(key(n)))
}

fn home() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("j");
    (home, path)
}

fn open(options: Options, path: &Path) -> Journal {
    options.open(path).expect("opens").0
}

/// Says the secret in every way in which a host says anything.
fn say_everything(journal: &Journal, request: &str) -> Session {
    let session = journal.session("s").expect("opens");
    let input = Input::user(SECRET).key(request).extra(SECRET);
    let mut turn = session.begin(input).expect("begins");
    turn.started().expect("starts");
    turn.event("thought", SECRET).expect("is taken");
    turn.progress("p", SECRET).expect("is taken");
    turn.call("c1", "tool", SECRET).expect("is taken");
    turn.result("c1", SECRET).expect("is taken");
    turn.complete(SECRET).expect("ends");
    session.append("note", SECRET).expect("is durable");
    session.put("k", SECRET).expect("is durable");
    let batch = Batch::new()
        .event(&session, "one", SECRET)
        .event(&session, "two", SECRET);
    journal.append_all(&batch).expect("is durable");
    session.enqueue(Input::user(SECRET)).expect("is queued");
    session
}

fn of_session(session: &Session) -> Vec<Entry> {
    let entries = session.read(..).expect("reads");
    entries.collect::<Result<_, _>>().expect("all open")
}

fn said(entries: &[Entry]) -> usize {
    let mut times = 0;
    for entry in entries {
        assert_eq!(entry.sealed, None);
        times += usize::from(entry.content == SECRET) + usize::from(entry.extra == SECRET);
        assert!(
            entry.content.is_empty() || entry.content == SECRET,
            "{entry:?}"
        );
    }
    times
}

#[test]
fn what_was_said_is_in_no_file_and_reads_back() {
    let (_home, path) = home();
    let journal = open(sealed(1), &path);
    let session = say_everything(&journal, "req-1");
    let expected = of_session(&session);
    assert_eq!(said(&expected), 12, "each way once, and the extra");
    assert_eq!(search(&path, SECRET).expect("searches"), []);
    assert!(
        !search(&path, b"req-1").expect("searches").is_empty(),
        "keys stay readable"
    );

    // Killed, reopened, packed, closed, from another process, in the order of the log.
    let image = copy(&path);
    let killed = open(sealed(1), image.path());
    assert_eq!(of_session(&killed.find("s").expect("is there")), expected);
    journal.compact().expect("compacts");
    let mut expected = expected;
    expected.retain(|entry| entry.kind != Kind::TurnProgress);
    assert_eq!(of_session(&session), expected);
    assert_eq!(search(&path, SECRET).expect("searches"), []);
    let log: Vec<Entry> = journal
        .read(Lsn::new(0))
        .expect("reads")
        .collect::<Result<_, _>>()
        .expect("all open");
    assert_eq!(said(&log), 11);
    journal.close().expect("closes");
    assert_eq!(search(&path, SECRET).expect("searches"), []);
    let reader = sealed(1).open_read_only(&path).expect("opens");
    let entries = reader
        .session("s")
        .expect("is there")
        .read(..)
        .expect("reads");
    let entries: Vec<Entry> = entries.collect::<Result<_, _>>().expect("all open");
    assert_eq!(entries, expected);

    // The same key is the same turn, sealed or not.
    let journal = open(sealed(1), &path);
    let session = journal.find("s").expect("is there");
    let again = session
        .begin(Input::user(SECRET).key("req-1"))
        .expect("is known");
    assert!(!again.is_new());
}

fn copy(path: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    for file in fs::read_dir(path).expect("lists") {
        let file = file.expect("is there");
        fs::copy(file.path(), copy.path().join(file.file_name())).expect("copies");
    }
    copy
}

#[test]
fn without_the_key_only_contents_are_lost() {
    let (home, path) = home();
    let journal = open(sealed(1), &path);
    say_everything(&journal, "req-1");
    let turns = journal.sessions().expect("lists");
    journal.compact().expect("compacts");
    say_everything(&journal, "req-2");
    drop(journal);

    for options in [Journal::options().background(false), sealed(2)] {
        let journal = open(options, &path);
        assert_eq!(journal.sessions().expect("lists").len(), turns.len());
        let session = journal.find("s").expect("is there");
        let mut refused = 0;
        for entry in session.read(..).expect("reads") {
            match entry {
                Ok(entry) => assert_eq!(said(&[entry]), 0),
                Err(Error::NoKey { key: Some(id), .. }) => {
                    assert_eq!(id, key(1).id());
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert!(refused >= 19, "{refused}");
        journal.compact().expect("compacts without the key");
        journal.close().expect("closes");
    }

    let shown = open(Journal::options().show_sealed(true), &path);
    let entries = of_session(&shown.find("s").expect("is there"));
    assert!(
        entries
            .iter()
            .any(|entry| entry.sealed == Some(key(1).id()))
    );
    assert!(entries.iter().all(|entry| entry.content != SECRET));
    drop(shown);

    assert!(verify(&path).expect("verifies").is_sound());
    let rescued = home.path().join("rescued");
    let report = salvage(&path, &rescued).expect("salvages");
    assert_eq!(report.lost, []);
    let journal = open(sealed(1), &rescued);
    let entries = of_session(&journal.find("s").expect("is there"));
    assert!(said(&entries) >= 19);
}

/// Keys by session, as a host keeps them that wants to forget one.
#[derive(Clone, Default)]
struct Vault(Arc<Mutex<BTreeMap<String, Key>>>);

impl Keys for Vault {
    fn seal_with(&self, session: &str) -> Option<Key> {
        self.0.lock().expect("no panic").get(session).cloned()
    }

    fn find(&self, id: KeyId) -> Option<Key> {
        let keys = self.0.lock().expect("no panic");
        keys.values().find(|key| key.id() == id).cloned()
    }
}

#[test]
fn a_session_is_erased_by_dropping_its_key() {
    let (_home, path) = home();
    let vault = Vault::default();
    for (session, n) in [("", 1), ("kept", 2), ("erased", 3)] {
        let mut keys = vault.0.lock().expect("no panic");
        keys.insert(session.to_owned(), key(n));
    }
    let journal = open(Journal::options().keys(vault.clone()), &path);
    for session in ["kept", "erased"] {
        let session = journal.session(session).expect("opens");
        session.append("note", SECRET).expect("is durable");
    }
    vault.0.lock().expect("no panic").remove("erased");
    let read = |session: &str| journal.find(session).and_then(|found| found.last(1));
    assert_eq!(read("kept").expect("opens")[0].content, SECRET);
    let refused = read("erased").expect_err("the key is gone");
    assert!(matches!(refused, Error::NoKey { key: Some(id), .. } if id == key(3).id()));

    // What would have been sealed is not stored in the clear instead.
    let erased = journal.find("erased").expect("is there");
    let refused = erased.append("note", b"in the clear?").expect_err("no key");
    assert!(
        matches!(refused, Error::NoKey { key: None, .. }),
        "{refused}"
    );
    let refused = erased.enqueue(Input::user("in the clear?"));
    assert!(matches!(refused, Err(Error::NoKey { key: None, .. })));
    let fresh = journal.create_session("fresh").expect("says nothing");
    assert!(fresh.append("note", b"in the clear?").is_err());
    let kept = journal.find("kept").expect("is there");
    kept.append("note", SECRET).expect("goes on");
    drop(journal);
    assert_eq!(search(&path, b"in the clear?").expect("searches"), []);
}

#[test]
fn keys_rotate_and_old_records_stay_readable() {
    let (_home, path) = home();
    let journal = open(sealed(1), &path);
    let session = journal.session("s").expect("opens");
    session.append("note", "old").expect("is durable");
    journal.close().expect("closes");
    let ring = KeyRing::new(key(2)).and(key(1));
    let journal = open(Journal::options().keys(ring), &path);
    let session = journal.find("s").expect("is there");
    session.append("note", "new").expect("is durable");
    let contents: Vec<_> = session
        .last(2)
        .expect("open")
        .into_iter()
        .map(|e| e.content)
        .collect();
    assert_eq!(contents, [b"old", b"new"]);
    journal.close().expect("closes");

    let journal = open(sealed(2), &path);
    let session = journal.find("s").expect("is there");
    assert_eq!(session.last(1).expect("opens")[0].content, b"new");
    let refused = session.last(2).expect_err("the old key was dropped");
    assert!(
        refused.to_string().contains(&key(1).id().to_string()),
        "{refused}"
    );
}

#[test]
fn a_journal_may_begin_to_seal_late() {
    let (_home, path) = home();
    let journal = open(Journal::options(), &path);
    journal
        .session("s")
        .and_then(|s| s.append("note", "plain"))
        .expect("is durable");
    journal.close().expect("closes");
    let journal = open(sealed(1), &path);
    let session = journal.find("s").expect("is there");
    session.append("note", SECRET).expect("is durable");
    assert_eq!(session.last(2).expect("open")[0].content, b"plain");
    assert!(!search(&path, b"plain").expect("searches").is_empty());
    assert_eq!(search(&path, SECRET).expect("searches"), []);
}

/// All nonces in the segments of a journal.
fn nonces(path: &Path) -> Vec<[u8; 24]> {
    let mut found = Vec::new();
    let segments = turnkeep::format::names::segment;
    for id in 1..8 {
        let Ok(bytes) = fs::read(path.join(segments(turnkeep::SegmentId::new(id)))) else {
            continue;
        };
        let header = turnkeep::format::segment::SegmentHeader::decode(&bytes).expect("a header");
        let mut at = turnkeep::format::segment::SEGMENT_DATA as usize;
        while let Ok(group) = Group::decode(header.seed(), header.id, &bytes[at..]) {
            for (_, frame) in group.frames() {
                let (_, behind) = decode_payload(frame.payload).expect("an envelope");
                if frame.header.codec != 0 {
                    found.push(*Sealed::decode(behind).expect("whole").nonce);
                }
            }
            at = (at + group.header.len()).next_multiple_of(header.group_align as usize);
        }
    }
    found
}

#[test]
fn no_nonce_is_used_twice_not_even_by_two_copies_of_a_journal() {
    let (_home, path) = home();
    let journal = open(sealed(1), &path);
    say_everything(&journal, "req-1");
    drop(journal);
    let restored = copy(&path);
    let mut all = Vec::new();
    for path in [path.as_path(), restored.path()] {
        for _ in 0..3 {
            let journal = open(sealed(1), path);
            journal
                .find("s")
                .and_then(|s| s.append("note", SECRET))
                .expect("is durable");
            journal.close().expect("closes");
        }
        all.push(nonces(path));
    }
    let before = nonces(&path).len() - 3;
    assert!(before >= 11, "{before}");
    let distinct: BTreeSet<[u8; 24]> = all.concat().into_iter().collect();
    assert_eq!(distinct.len(), before + 3 + 3);
}

#[test]
fn what_redaction_takes_out_is_stored_nowhere() {
    for options in [Journal::options().background(false), sealed(1)] {
        let (_home, path) = home();
        let options = options.redact(|record| {
            if record.content == SECRET {
                record.content = b"[taken out]".into();
            }
            if record.extra == SECRET {
                record.extra = Default::default();
            }
        });
        let journal = open(options, &path);
        let session = say_everything(&journal, "req-1");
        for entry in of_session(&session) {
            assert!(entry.content.is_empty() || entry.content == b"[taken out]");
            assert_eq!(entry.extra, b"");
        }
        assert_eq!(search(&path, SECRET).expect("searches"), []);
        journal.compact().expect("compacts");
        drop(journal);
        assert_eq!(search(&path, SECRET).expect("searches"), []);
    }
}

#[test]
fn a_redaction_that_panics_appends_nothing_and_the_journal_goes_on() {
    let (_home, path) = home();
    let options = Journal::options().redact(|record| assert_ne!(&*record.content, b"bad"));
    let journal = open(options, &path);
    let session = journal.session("s").expect("opens");
    let append = || session.append("note", "bad");
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(append)).expect_err("panics");
    session.append("note", "good").expect("goes on");
    let entries = of_session(&session);
    assert!(entries.iter().all(|entry| entry.content != b"bad"));
    assert_eq!(entries.last().expect("one").content, b"good");
}

#[cfg(unix)]
mod key_file {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_key_file_is_private_and_never_overwritten() {
        let (home, _) = home();
        let path = home.path().join("keys");
        let ring = KeyRing::create(&path).expect("creates");
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(KeyRing::create(&path).is_err(), "keys are not overwritten");
        let again = KeyRing::read(&path).expect("reads");
        assert!(again.ids().eq(ring.ids()));
        let rotated = again.rotate(home.path().join("next")).expect("rotates");
        let ids: Vec<KeyId> = rotated.ids().collect();
        assert_eq!((ids.len(), Some(ids[1])), (2, ring.ids().next()));
        let read = KeyRing::read(home.path().join("next")).expect("reads");
        assert!(read.ids().eq(ids));

        symlink(&path, home.path().join("link")).expect("links");
        assert!(KeyRing::read(home.path().join("link")).is_err(), "a link");
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("sets");
            let refused = KeyRing::read(&path).expect_err("others read it");
            assert!(format!("{refused:?}").contains("chmod 600"), "{refused:?}");
        }
    }

    #[test]
    fn a_key_file_with_a_fault_names_the_line() {
        let (home, _) = home();
        let path = home.path().join("keys");
        KeyRing::create(&path).expect("creates");
        let good = fs::read_to_string(&path).expect("reads");
        let mut flipped = good.clone().into_bytes();
        let last = flipped.len() - 2;
        flipped[last] = if flipped[last] == b'0' { b'1' } else { b'0' };
        let flipped = String::from_utf8(flipped).expect("text");
        for (text, why) in [
            (flipped, "line 1: "),
            (format!("# a note\n\n{}", &good[..60]), "line 3 is not"),
            (format!("{good}{}", good.replace(':', "")), "line 2 is not"),
            (String::new(), "there is none"),
            ("# nothing".to_owned(), "there is none"),
        ] {
            let refused = KeyRing::parse(&text).expect_err(&text).to_string();
            assert!(refused.contains(why), "{refused}");
            let secret = &good[17..81];
            assert!(!refused.contains(secret), "the key is not printed");
        }
        assert!(KeyRing::parse(&format!("  {}\r\n", good.trim_end())).is_ok());
        fs::write(&path, vec![b'\n'; 70_000]).expect("writes");
        assert!(KeyRing::read(&path).is_err(), "too long");
    }
}
