//! Opening a database that belongs to another program, which may be writing it.

use crate::source;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;

/// How often a database that changes while it is copied is copied again.
const COPY_ATTEMPTS: u32 = 5;

/// The largest row that is read, in bytes: hosts keep messages and outputs of tools in one. As JSON
/// it can be six times as large.
pub const ROW_LIMIT_BYTES: i32 = 8 << 20;

/// An open database. Drop it, and its copy is gone.
pub struct Database {
    /// The connection, which can only read.
    pub connection: Connection,
    path: PathBuf,
    seen: Seen,
    _copy: Option<TempDir>,
}

/// Why a database is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system's word.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// SQLite's word.
    #[error("not a database that can be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Its host wrote it each time while it was being copied.
    #[error("it changed each of {COPY_ATTEMPTS} times while it was copied; import it again")]
    Busy,
}

/// By what a file is known to have stayed as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen(Vec<Option<(u64, SystemTime)>>);

impl Database {
    /// Opens the database at `path` for reading.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn open(path: &Path) -> Result<Database, Unreadable> {
        // What is no regular file is refused here, and by name once more by SQLite.
        drop(source::open(path)?);
        let has_log = ["-wal", "-journal"].iter().any(|suffix| {
            let beside = beside(path, suffix);
            std::fs::symlink_metadata(beside).is_ok_and(|metadata| metadata.len() > 0)
        });
        let database = match has_log {
            true => Database::copied(path)?,
            false => Database::as_it_is(path)?,
        };
        let connection = &database.connection;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, ROW_LIMIT_BYTES)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        connection.execute_batch(
            "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; \
             PRAGMA query_only=ON;",
        )?;
        // Whether it is a database at all shows at the first page that is asked for.
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        Ok(database)
    }

    /// Whether the files are what they were when they were opened: while a host writes one that
    /// is read as if it could not change, rows may be told wrongly.
    pub fn is_unchanged(&self) -> bool {
        self._copy.is_some() || Seen::of(&self.path) == self.seen
    }

    /// A hash of where the file is on this machine: what two databases of one name differ in.
    pub fn place(&self) -> u64 {
        let whole = self.path.canonicalize();
        let whole = whole.unwrap_or_else(|_| self.path.clone());
        crate::import::cursor::hash(whole.as_os_str().as_encoded_bytes())
    }

    fn as_it_is(path: &Path) -> Result<Database, Unreadable> {
        let seen = Seen::of(path);
        // Links above the file are whoever's who named it; the last name must be none.
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
        let whole = folder.join(path.file_name().unwrap_or_default());
        let uri = format!("file:{}?immutable=1", percent(&whole));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        Ok(Database {
            connection: Connection::open_with_flags(uri, flags)?,
            path: path.to_path_buf(),
            seen,
            _copy: None,
        })
    }

    fn copied(path: &Path) -> Result<Database, Unreadable> {
        for _ in 0..COPY_ATTEMPTS {
            let seen = Seen::of(path);
            let folder = tempfile::Builder::new().prefix("turnkeep-").tempdir()?;
            let copy = folder.path().canonicalize()?.join("copy.db");
            copy_file(path, &copy)?;
            for suffix in ["-wal", "-journal"] {
                let log = beside(path, suffix);
                match copy_file(&log, &beside(&copy, suffix)) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    copied => copied?,
                }
            }
            if Seen::of(path) != seen {
                continue;
            }
            // It is ours, so that SQLite may apply its log to it.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX
                | OpenFlags::SQLITE_OPEN_NOFOLLOW;
            return Ok(Database {
                connection: Connection::open_with_flags(&copy, flags)?,
                path: path.to_path_buf(),
                seen,
                _copy: Some(folder),
            });
        }
        Err(Unreadable::Busy)
    }
}

impl Seen {
    fn of(path: &Path) -> Seen {
        let files = ["", "-wal", "-journal"].map(|suffix| {
            let metadata = std::fs::symlink_metadata(beside(path, suffix)).ok()?;
            Some((metadata.len(), metadata.modified().ok()?))
        });
        Seen(files.to_vec())
    }
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = source::open(from)?;
    io::copy(&mut from, &mut File::create_new(to)?)?;
    Ok(())
}

/// The file of which the name is that of `path` with something behind it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A path as a part of a URI.
fn percent(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                text.push(*byte as char);
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn make(path: &Path) -> Connection {
        let made = Connection::open(path).expect("opens");
        made.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (1);")
            .expect("fills");
        made
    }

    fn count(database: &Database) -> i64 {
        let count = database
            .connection
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0));
        count.expect("counts")
    }

    #[test]
    fn a_database_is_read_and_its_folder_stays_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a b%?.db");
        drop(make(&path));
        let before = fs::read(&path).expect("reads");
        let database = Database::open(&path).expect("opens");
        assert_eq!(count(&database), 1);
        assert!(database.is_unchanged());
        assert!(database.connection.execute("DELETE FROM t", []).is_err());
        drop(database);
        assert!(fs::read(&path).expect("reads") == before);
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1);
    }

    /// What a host has committed and not checkpointed is in the log beside the file alone.
    #[test]
    fn what_is_in_the_log_only_is_read_and_the_log_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.db");
        let host = make(&path);
        host.pragma_update(None, "journal_mode", "WAL")
            .expect("switches");
        host.execute_batch("PRAGMA wal_autocheckpoint=0; INSERT INTO t VALUES (2),(3);")
            .expect("inserts");
        let log = fs::read(beside(&path, "-wal")).expect("there is one");
        assert!(!log.is_empty());
        let database = Database::open(&path).expect("opens");
        assert_eq!(count(&database), 3);
        drop(database);
        assert!(fs::read(beside(&path, "-wal")).expect("still") == log);
        // Also while the host holds the lock.
        host.execute_batch("BEGIN EXCLUSIVE; INSERT INTO t VALUES (4);")
            .expect("locks");
        assert_eq!(count(&Database::open(&path).expect("opens")), 3);
    }

    #[test]
    fn a_change_while_it_is_read_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.db");
        let host = make(&path);
        let database = Database::open(&path).expect("opens");
        assert!(database.is_unchanged());
        let rows = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n LIMIT 9999) \
                    INSERT INTO t SELECT x FROM n";
        host.execute(rows, []).expect("inserts");
        assert!(!database.is_unchanged());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_and_what_is_no_database_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        drop(make(&at("s.db")));
        std::os::unix::fs::symlink("s.db", at("link.db")).expect("links");
        assert!(matches!(
            Database::open(&at("link.db")),
            Err(Unreadable::Io(_))
        ));
        fs::write(at("x.db"), b"SQLite format 3\0 and then nothing").expect("writes");
        assert!(matches!(
            Database::open(&at("x.db")),
            Err(Unreadable::Sqlite(_))
        ));
        // A log that leads elsewhere is not followed either.
        std::os::unix::fs::symlink("/etc/passwd", at("s.db-wal")).expect("links");
        assert!(matches!(
            Database::open(&at("s.db")),
            Err(Unreadable::Io(_))
        ));
    }
}
