//! A writer stopped at every system call it makes.
//!
//! A worker, forked from this process and traced, runs a [`crate::script::Script`] on a real
//! directory. One pass lists the calls that concern files. Then, for each of them, a fresh worker
//! is killed when it is about to make the call, and another one when it has made it; and for each
//! error that the call can return, a worker is given that error and goes on; and a worker is given
//! EIO for that call and for every later one of its kind. After each, the
//! journal is opened here and compared with what the worker had acknowledged through a pipe; after
//! a failed sync once more, without what that sync was for ([`pages`]).
//!
//! Calls that concern no file (memory, locks between threads, the clock) are no places to stop at:
//! what a kill there leaves on disk is what a kill at the call before leaves.
//!
//! Only whoever has no other thread may run this: a worker is a fork.

pub mod calls;
pub mod pages;
pub mod shares;
pub mod sweep;
pub mod trace;
