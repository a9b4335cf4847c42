//! What a number does not say by itself: how each schedule is made, and what is to be held in favour
//! of a store.

use crate::schedules::Schedule;

/// How the schedule is made, and what follows from that.
pub fn about(schedule: Schedule) -> &'static str {
    match schedule {
        Schedule::Kill => {
            "SIGKILL at a random moment, 10 to 200 records of about 1 KiB in. The kernel keeps what \
             a killed process has written, synced or not, so this shows atomicity and says nothing \
             about durability."
        }
        Schedule::PowerLoss => {
            "Power fails before one of the next 30 writes, syncs or changes of names, 10 to 300 \
             records in; these are of about 1 KiB, in every third and fourth round of about 16. In \
             even rounds nothing un-synced survives; in odd rounds, by the toss of a coin, some \
             pages of 4 KiB and some file lengths do, and a prefix of the changes of names. A sync \
             of any file commits all names before it, as the journals of ext4 and XFS do. Rounds \
             take a few seconds, so nothing is written back for its age: the losses of stores that \
             do not sync are those of the seconds before a cut, not of their whole past. ext4 by \
             default also writes out a file that is renamed over another; that is not modelled, and \
             would help `json-file`."
        }
        Schedule::PowerLossPosix => {
            "The same, on a disk where a new name survives only once its directory was synced, \
             which is all that POSIX promises. ext4, XFS and btrfs keep the name of a file that was \
             synced: what is lost here for want of a name is lost on none of them."
        }
        Schedule::FailedSync => {
            "One sync answers `EIO`; its pages then count as clean and read as they were written, \
             without being on disk, as on ext4 and XFS. In even rounds the host goes on with its \
             next records as far as the store lets it; in odd rounds it stops at the first error \
             and is started again. Then power fails, and nothing un-synced survives. What was \
             acknowledged before, between and after must be there. Records are as in the two \
             schedules before. A store whose next write touches the same page again carries the \
             lost part along."
        }
        Schedule::FullDisk => {
            "The disk has between 0 and 64 KiB left, 10 to 60 records of about 4 KiB in. The host \
             goes on until three records in a row are refused. Then there is space again, and the \
             store is opened."
        }
        Schedule::FlippedBit => {
            "300 records, a clean close, and one bit of one block of 512 bytes that is not all \
             zeros. A bit that matters to nobody leaves a store whole. A changed record counts as \
             one lost and one invented."
        }
        Schedule::DeletedFile => {
            "400 records of about 16 KiB, a clean close, and one file is deleted that is, by path, \
             neither the first nor the last. It may be one that a store can do without."
        }
    }
}

/// What is to be known of a store, by its name.
pub fn of_store(name: &str) -> Option<&'static str> {
    Some(match name {
        "sqlite-full" => {
            "its pages have no checksums unless the checksum extension (`cksumvfs`) is loaded, \
             which it is not here."
        }
        "sqlite-normal" => {
            "documents that transactions since the last checkpoint can roll back after power loss, \
             and promises a database that is consistent, which `PRAGMA integrity_check` confirmed \
             wherever the table does not say *refused*."
        }
        "okaywal" => {
            "says of itself that it is early in development and not for production. A log of it is \
             meant to be checkpointed into another store; here it keeps everything."
        }
        "raft-engine" => {
            "made to stand below a consensus protocol, where another machine has what this one lost. \
             It ends the process when a sync fails, on purpose."
        }
        "sled" => {
            "0.34 is its last release that is no alpha. Its `flush` is documented to call fsync, and \
             on Linux calls `sync_file_range`, of which the manual says that it is no guarantee \
             after a crash. The disk below cannot see that call, and takes it for no sync at all; on \
             a local file system and a drive without a volatile cache it would lose less."
        }
        "jsonl-sync" | "jsonl" => {
            return (name == "jsonl-sync").then_some(
                "and `jsonl`: a last line without its end is cut off at opening, any other line that \
                 does not parse is an error, as a careful host reads it.",
            );
        }
        _ => return None,
    })
}
