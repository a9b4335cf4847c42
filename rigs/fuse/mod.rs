//! A file system of our own, in user space, under the real kernel.
//!
//! [`forgetful`] is a directory in memory that forgets what was not synced, on command; [`power`]
//! has a journal live on it. It takes `/dev/fuse` and the right to mount. What serves it is a
//! process of its own, see [`mounted::Server`].

pub mod forgetful;
pub mod mounted;
pub mod power;
