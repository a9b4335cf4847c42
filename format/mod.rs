//! Bytes: what each file holds, and nothing else.
pub mod ids;
