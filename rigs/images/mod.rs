//! Power-cut images of real file systems.
//!
//! A file system made by `mkfs` lives on a loop device, whose backing file is served by the rig
//! itself, so that every write of a block and every flush is recorded, in order ([`disk`],
//! [`served`]). A host writes a journal there ([`recording`]). Afterwards the rig makes the disks
//! that a power cut could have left: everything up to the last flush before the cut, and any part
//! of what was written since. The kernel mounts each (replaying its own journal), the engine
//! recovers, and the ledger is compared ([`run`]). Some images are cut once more while recovery
//! and the host after it write.
//!
//! What is promised of the disk is what disks promise: a completed flush keeps what was written
//! before it; until then any sectors may be there or not. A loop device knows no write that is
//! durable by itself (FUA): the kernel makes it a write and a flush.
//!
//! What it does not do: reorder two writes to the same sector, fail a sync, or rot.
//!
//! Mounts live in a mount namespace of the rig's own and the server dies with the rig, so whatever
//! ends the rig ends them too; [`watchdog`] ends it when it hangs.

pub mod disk;
pub mod kept;
pub mod recording;
pub mod run;
pub mod served;
pub mod volume;
pub mod watchdog;
