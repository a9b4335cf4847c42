//! The stores: one small file each, and a line in [`all`].
//!
//! To add one: implement [`Store`] in the setting in which its documentation says that an
//! acknowledged record survives power loss (or say in `setting` that it does not), and add its
//! [`Kind`] to [`all`]. Use the crate as its documentation shows; do not work around its faults.
//! The directory it is given is there and durable, so that no store is measured by who makes it.

#[cfg(feature = "rivals")]
mod fjall;
mod json_file;
mod jsonl;
#[cfg(feature = "rivals")]
mod okaywal;
#[cfg(feature = "rivals")]
mod raft_engine;
#[cfg(feature = "rivals")]
mod redb;
#[cfg(feature = "rivals")]
mod sled;
#[cfg(feature = "rivals")]
mod sqlite;
mod turnkeep;

use crate::record::Record;
use std::error::Error;
use std::path::Path;

/// What a store answers. Its error is kept in its own words.
pub type Answer<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Takes a record that was read: its session and its bytes.
pub type Each<'a> = &'a mut dyn FnMut(u32, &[u8]);

/// An open store.
pub trait Store {
    /// Appends the record. `Ok` is the acknowledgement.
    fn append(&mut self, record: &Record) -> Answer<()>;

    /// Gives back every record, as a host would read them all.
    fn read_all(&mut self, each: Each) -> Answer<()>;

    /// Checks what is on disk by whatever means the store offers for that.
    fn verify(&mut self) -> Answer<()> {
        Ok(())
    }

    /// Closes it in good order.
    fn close(self: Box<Self>) -> Answer<()>;
}

/// A store in one setting: a row of the table.
pub struct Kind {
    /// What `--store` calls it.
    pub name: &'static str,
    /// Its package in `Cargo.lock`, if it has one.
    pub package: Option<&'static str>,
    /// What an acknowledgement rests on, and what else was set.
    pub setting: &'static str,
    /// Whether an acknowledgement is meant to survive power loss in this setting.
    pub durable: bool,
    /// Whether everything is in one file, so that there is no middle one.
    pub one_file: bool,
    /// Opens it in a directory that exists, creating what is not there.
    pub open: fn(&Path) -> Answer<Box<dyn Store>>,
}

/// All stores, in the order of the table.
pub fn all() -> Vec<Kind> {
    let mut all = vec![turnkeep::KIND];
    #[cfg(feature = "rivals")]
    all.extend([
        sqlite::FULL,
        sqlite::NORMAL,
        redb::KIND,
        fjall::KIND,
        okaywal::KIND,
        raft_engine::KIND,
        sled::KIND,
    ]);
    all.extend([
        jsonl::SYNCED,
        jsonl::UNSYNCED,
        json_file::SYNCED,
        json_file::UNSYNCED,
    ]);
    all
}

/// The store of that name.
pub fn find(name: &str) -> crate::Result<Kind> {
    let found = all().into_iter().find(|kind| kind.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = all().iter().map(|kind| kind.name).collect();
        let mut why = format!("no store {name:?}; there are {}", names.join(", "));
        if !cfg!(feature = "rivals") {
            why += " (and more with --features rivals)";
        }
        why.into()
    })
}

/// The exact version that `Cargo.lock` pins, or `None` for what is no package.
pub fn version(kind: &Kind) -> Option<String> {
    let package = kind.package?;
    let version = locked_version(include_str!("../Cargo.lock"), package);
    #[cfg(feature = "rivals")]
    if package == "rusqlite" {
        return version.map(|v| format!("{} (rusqlite {v})", rusqlite::version()));
    }
    version
}

fn locked_version(lock: &str, package: &str) -> Option<String> {
    let mut lines = lock.lines();
    lines.find(|line| *line == format!("name = {package:?}"))?;
    let version = lines.next()?.strip_prefix("version = ")?;
    Some(version.trim_matches('"').to_owned())
}

/// Prints the stores of this build.
pub fn list() -> crate::Result<()> {
    for kind in all() {
        let version = version(&kind).unwrap_or_default();
        println!("{:<16} {:<24} {}", kind.name, version, kind.setting);
    }
    if !cfg!(feature = "rivals") {
        println!("more with --features rivals");
    }
    Ok(())
}
