//! Properties of turnkeep that hold for arbitrary bytes and arbitrary crashes.
//!
//! Each target is a function of bytes: [`run`] by name. libFuzzer drives them (`fuzz_targets/`),
//! and so does an ordinary test over [`seeds`] and damaged copies of them, which needs neither a
//! nightly toolchain nor a C++ compiler.
//!
//! - The decoders ([`decoders`]) never panic, never allocate by a length they have not checked,
//!   and what they accept encodes to the bytes that were read.
//! - Opening a directory of arbitrary files ([`open_dir`]) never panics and never invents.
//! - Importing arbitrary bytes ([`transcript`]) gives them back, and importing them again adds nothing.
//! - Any operations with any crashes ([`ops`]) leave a prefix of what was accepted that holds
//!   everything acknowledged, and the same answer at every further opening.

pub mod decoders;
pub mod mend;
pub mod open_dir;
pub mod ops;
pub mod seeds;
pub mod transcript;

/// A target: its name and its property.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 11] = [
    ("frame", decoders::frame),
    ("group", decoders::group),
    ("segment_header", decoders::segment_header),
    ("watermark", decoders::watermark),
    ("manifest", decoders::manifest),
    ("state", decoders::state),
    ("pack", decoders::pack),
    ("payload", decoders::payload),
    ("open_dir", open_dir::open_dir),
    ("ops", ops::ops),
    ("transcript", transcript::transcript),
];

/// Checks one input of a target.
///
/// # Panics
/// If there is no such target, and if the property does not hold.
pub fn run(target: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    found.expect("a target of that name").1(data);
}
