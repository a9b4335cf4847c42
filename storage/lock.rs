//! The claim on a journal: an advisory lock that the kernel keeps with the open file.
//!
//! The lock belongs to the open file, not to the process, so a second open in the same
//! process is refused too, and it goes away when the holder closes the file or dies, however
//! it dies. (A child forked without exec shares the open file and keeps the claim until it
//! ends as well; descriptors are not inherited over exec.)
//!
//! The text in the file is for messages only. It is written after the lock is taken and is
//! never synced, so it may be missing, torn, or still the words of an earlier holder; nothing
//! is decided by it. The file is never removed: whoever had opened it a moment before would
//! lock a file that nobody can see. For the same reason, removing it by hand while a journal
//! is open takes the protection away.

use super::disk::sys;
use super::{Holder, Lock, LockError, OpenMode};
use std::fs;
use std::io;
use std::path::Path;

/// Length of the holder's text, padded with spaces so that one write replaces all of it.
pub(super) const TEXT_LEN: usize = 128;

/// How often the file may vanish between opening and locking it before that is an error.
const ATTEMPTS: usize = 16;

/// A held lock. Dropping it closes the file, which releases it.
#[derive(Debug)]
struct DiskLock {
    _file: fs::File,
}

impl Lock for DiskLock {}

/// Takes the lock on the file at `path`, creating it if missing, without waiting.
pub fn acquire(path: &Path) -> Result<Box<dyn Lock>, LockError> {
    for _ in 0..ATTEMPTS {
        let file = open_or_create(path).map_err(LockError::Io)?;
        if !sys::try_lock(&file).map_err(LockError::Io)? {
            let mut text = [0; TEXT_LEN];
            let len = sys::read_at(&file, &mut text, 0).unwrap_or(0);
            return Err(LockError::Held(parse(&text[..len])));
        }
        // Between the open and the lock somebody may have removed the file by hand, and a
        // third process may hold the lock of the one that is there now.
        if sys::is_at(&file, path).map_err(LockError::Io)? {
            introduce(&file);
            return Ok(Box::new(DiskLock { _file: file }));
        }
    }
    Err(LockError::Io(io::Error::other(
        "the lock file vanishes whenever it is opened",
    )))
}

fn open_or_create(path: &Path) -> io::Result<fs::File> {
    for _ in 0..ATTEMPTS {
        match sys::open(path, OpenMode::ReadWrite) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        match sys::open(path, OpenMode::CreateNew) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Writes who holds the lock, unless the file says so already. Failing to (a full disk) costs
/// a later message its name, not this holder its lock.
fn introduce(file: &fs::File) {
    let text = text(std::process::id(), sys::process_start(), &program_name());
    let mut there = [0; TEXT_LEN];
    let unchanged = sys::read_at(file, &mut there, 0).is_ok_and(|len| there[..len] == text);
    if !unchanged {
        let _ = sys::write_all_at(file, &text, 0);
    }
}

/// The holder's text: `pid 4711 start 81550 turnkeep`, padded with spaces, and a line end.
pub(super) fn text(pid: u32, start: Option<u64>, name: &str) -> [u8; TEXT_LEN] {
    let mut words = match start {
        Some(start) => format!("pid {pid} start {start} "),
        None => format!("pid {pid} "),
    };
    for c in name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ') {
        if words.len() == TEXT_LEN - 1 {
            break;
        }
        words.push(c);
    }
    let mut text = [b' '; TEXT_LEN];
    text[..words.len()].copy_from_slice(words.as_bytes());
    text[TEXT_LEN - 1] = b'\n';
    text
}

/// Reads a holder's text. Whatever does not look like one is an unknown holder.
pub(super) fn parse(text: &[u8]) -> Holder {
    parse_words(text).unwrap_or_default()
}

fn parse_words(text: &[u8]) -> Option<Holder> {
    let line = text.strip_suffix(b"\n")?;
    let words = std::str::from_utf8(line).ok()?.strip_prefix("pid ")?;
    if !words.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return None;
    }
    let (pid, note) = words.split_once(' ')?;
    Some(Holder {
        pid: Some(pid.parse().ok()?),
        note: note.trim().to_owned(),
    })
}

fn program_name() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(result: Result<Box<dyn Lock>, LockError>) -> Holder {
        match result {
            Err(LockError::Held(holder)) => holder,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn a_second_open_in_the_same_process_is_refused_with_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let first = acquire(&path).unwrap();
        let holder = held(acquire(&path));
        assert_eq!(holder.pid, Some(std::process::id()));
        assert!(holder.note.contains(&program_name()[..8]), "{holder:?}");
        drop(first);
        acquire(&path).expect("the lock was released by the drop");
        assert!(path.exists(), "releasing does not remove the file");
    }

    /// Names the lock file to a second process that runs only [`holds_until_killed`].
    const HOLD: &str = "TURNKEEP_TEST_HOLD";

    #[test]
    fn holds_until_killed() {
        use io::Write;
        if let Some(path) = std::env::var_os(HOLD) {
            let _lock = acquire(Path::new(&path)).unwrap();
            let mut out = io::stdout().lock();
            out.write_all(b"\nholding\n").unwrap();
            out.flush().unwrap();
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
    }

    #[test]
    fn another_process_is_refused_and_a_dead_holder_holds_nothing() {
        use io::BufRead;
        use std::process::{Command, Stdio};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "storage::lock::tests::holds_until_killed",
                "--nocapture",
            ])
            .env(HOLD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = io::BufReader::new(child.stdout.take().unwrap());
        let held_line = out.lines().find(|line| line.as_ref().unwrap() == "holding");
        assert!(
            held_line.is_some(),
            "the other process did not get the lock"
        );
        assert_eq!(held(acquire(&path)).pid, Some(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        acquire(&path).expect("the kernel released the dead holder's lock");
    }

    #[test]
    fn unreadable_words_are_an_unknown_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let _first = acquire(&path).unwrap();
        for words in [
            &b""[..],
            b"pid",
            b"pid x y\n",
            b"pid 7 \xFF\n",
            b"pid 7 \x1B[2J\n",
        ] {
            fs::write(&path, words).unwrap();
            assert_eq!(held(acquire(&path)), Holder::default(), "{words:?}");
        }
        assert_eq!(Holder::default().to_string(), "an unknown process");
    }

    #[test]
    fn shorter_words_leave_nothing_of_longer_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        fs::write(&path, text(u32::MAX, Some(u64::MAX), &"x".repeat(500))).unwrap();
        let _lock = acquire(&path).unwrap();
        let words = fs::read(&path).unwrap();
        assert_eq!(words.len(), TEXT_LEN);
        assert_eq!(parse(&words).pid, Some(std::process::id()));
        assert!(!parse(&words).note.contains("xxx"));
    }

    #[test]
    fn the_same_holder_writes_nothing_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        drop(acquire(&path).unwrap());
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(long_ago).unwrap();
        drop(acquire(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), long_ago);
    }

    #[test]
    fn a_missing_directory_is_not_a_held_lock() {
        let dir = tempfile::tempdir().unwrap();
        match acquire(&dir.path().join("absent").join("LOCK")) {
            Err(LockError::Io(e)) => assert_eq!(e.kind(), io::ErrorKind::NotFound),
            other => panic!("expected an error, got {other:?}"),
        }
    }
}
