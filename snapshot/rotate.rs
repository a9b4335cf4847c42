//! Ending the active segment on purpose, so that a compaction can reach what is in it.

use super::publish::discard_spares;
use crate::error::Result;
use crate::format::ids::Lsn;
use crate::journal::shared::Shared;

/// Seals the active segment, so that everything accepted before the call is in sealed ones and
/// durable. One without records is left as it is.
///
/// # Errors
/// [`crate::Error::NoSpace`] if there is no room for another segment; then nothing changed.
/// [`crate::Error::Poisoned`], [`crate::Error::Closed`].
pub(super) fn seal(shared: &Shared) -> Result<()> {
    shared.commit.flush()?;
    let begins = shared
        .index
        .read()
        .first_lsns
        .last_key_value()
        .map(|(lsn, _)| *lsn);
    if begins == Some(Lsn::new(shared.commit.durable())) {
        return Ok(());
    }
    rotate(shared)
}

/// Goes on in a segment whose file was made from nothing, so that no byte of an earlier life
/// is behind what will be written. The segments before are sealed.
///
/// # Errors
/// As [`seal`].
pub(super) fn onto_fresh_file(shared: &Shared) -> Result<()> {
    discard_spares(shared)?;
    rotate(shared)
}

fn rotate(shared: &Shared) -> Result<()> {
    shared.commit.flush()?;
    shared.prepare_segment(0)?;
    shared.commit.with_stage(|tail| tail.want_rotation());
    loop {
        // Somebody may have taken the prepared segment for a rotation of his own.
        let ready = shared
            .commit
            .with_stage(|tail| !tail.wants_rotation() || tail.has_next_segment());
        if !ready {
            shared.prepare_segment(0)?;
        }
        let done =
            |tail: &crate::journal::tail::Tail| !tail.wants_rotation() || !tail.has_next_segment();
        shared.commit.drive(&done)?;
        if !shared.commit.with_stage(|tail| tail.wants_rotation()) {
            return Ok(());
        }
    }
}
