//! Auditing, explaining and repairing, on the real disk, as whoever looks after a host does it.

#![cfg(unix)]

mod document;
mod explain;
mod findings;
mod idle;
mod repair;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use turnkeep::audit::Code;
use turnkeep::{Audit, AuditReport, Journal, Options, Session};

/// A folder with a journal in it.
struct Home {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Home {
    fn new() -> Home {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agents.journal");
        Home {
            _folder: folder,
            path,
        }
    }

    fn options(&self) -> Options {
        Journal::options()
            .background(false)
            .first_segment_bytes(64 << 10)
            .segment_bytes(64 << 10)
    }

    /// Opens it for writing. Dropping the handle is what a host's death is: nothing is closed.
    fn open(&self) -> Journal {
        self.options().open(&self.path).expect("opens").0
    }

    /// Opens it, lets `work` be done, and dies.
    fn die_after(&self, work: impl FnOnce(&Journal, &Session)) {
        let journal = self.open();
        let session = journal.session("s").expect("opens");
        work(&journal, &session);
    }

    fn audit(&self) -> Audit {
        // Not whether the tester's disk is full.
        Audit::new().low_space_bytes(0)
    }

    fn report(&self) -> AuditReport {
        self.audit().run(&self.path).expect("audits")
    }

    /// Every file's name, bytes and rights.
    fn files(&self) -> BTreeMap<String, (Vec<u8>, u32)> {
        let entries = std::fs::read_dir(&self.path).expect("a folder");
        let entries = entries.map(|entry| entry.expect("an entry").path());
        let file = |path: PathBuf| {
            let name = path.file_name().expect("a name").to_string_lossy();
            (
                name.into_owned(),
                (std::fs::read(&path).expect("a file"), mode(&path)),
            )
        };
        entries.filter(|path| path.is_file()).map(file).collect()
    }

    /// The only file that ends so, or the newest.
    fn newest(&self, ending: &str) -> PathBuf {
        let name = self
            .files()
            .into_keys()
            .rfind(|name| name.ends_with(ending));
        self.path.join(name.expect("there is one"))
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .expect("is there")
        .permissions()
        .mode()
        & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("is set");
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[offset] ^= 0x40;
    std::fs::write(path, bytes).expect("is written");
}

fn codes(report: &AuditReport) -> Vec<Code> {
    report.findings.iter().map(|finding| finding.code).collect()
}
