//! A disk that loses power, fails syncs and fills up, below any store: a file system in user space.
//!
//! The files are in memory, in two states each: what programs see, and what a power cut leaves. A
//! sync carries the first into the second. Shared memory maps work; their pages arrive when the
//! kernel writes them back, and count as written then.
//!
//! What a power cut keeps is chosen per cut ([`Keep`]): nothing that was not synced, or by the toss
//! of a coin some pages of 4 KiB, some file lengths, and a prefix of the changes of names. What it
//! does not do: tear pages, reorder names, lie about syncs.
//!
//! The cut itself happens before the n-th change from now on. From then on every request waits
//! until [`Disk::release`], so that the processes can be killed before they see an error that a
//! computer without power would never have shown them.

#[cfg(target_os = "linux")]
mod fuse;
#[cfg(target_os = "linux")]
mod model;
#[cfg(target_os = "linux")]
mod mounted;
#[cfg(target_os = "linux")]
mod shared;

#[cfg(target_os = "linux")]
pub use model::{Keep, Names};
#[cfg(target_os = "linux")]
pub use mounted::{Disk, Fault, sweep};

/// Why this machine has no such disk, in words; `None` if it has.
pub fn missing() -> Option<String> {
    #[cfg(target_os = "linux")]
    {
        Disk::mount(Names::Journaled)
            .err()
            .map(|why| format!("no file system in user space: {why}"))
    }
    #[cfg(not(target_os = "linux"))]
    {
        Some("the file system in user space is made for Linux".to_owned())
    }
}
