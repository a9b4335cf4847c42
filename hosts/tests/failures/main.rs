//! How hosts lost their users' data, each failure by its name: first a small store in the host's
//! manner, on which it happens, then the journal, which is given the same events and the same
//! crash and loses nothing.
//!
//! `hermes.rs` has hermes-webui's (F-H), `claude_mem.rs` claude-mem's (F-M), `transcripts.rs` those
//! of Claude Code, Codex and Copilot (F-T). What memory a whole import takes (F-M11, F-T10) is
//! measured in `cli/tests/bounded.rs`.

#[path = "../support/mod.rs"]
mod support;

mod claude_mem;
mod hermes;
mod transcripts;
mod world;
