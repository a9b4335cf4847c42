//! A host's queue of pending input, followed: what waits there waits here, once.

use super::note::{cut, cut_key};
use crate::documents::Waiting;
use crate::error::Result;
use crate::report::{FileReport, Finding};
use std::collections::BTreeMap;
use turnkeep::{Error, Input, InputStatus, Seq, Session};

/// Queues what waits in the host's queue and was not queued before, and takes back what the
/// host has worked off since. Durable when it returns, but for what `queued` then holds.
///
/// # Errors
/// The journal's.
pub fn follow(
    session: &Session,
    waiting: &[Waiting],
    queued: &mut BTreeMap<String, u32>,
    report: &mut FileReport,
) -> Result<()> {
    for one in waiting {
        let key = cut_key(&one.key);
        if queued.contains_key(&key) {
            continue;
        }
        let input = Input::new(&cut(&one.class), &one.content)
            .key(&key)
            .priority(one.priority);
        match session.enqueue(input) {
            Ok(enqueued) => {
                report.queued += u64::from(enqueued.is_new);
                queued.insert(key, enqueued.input.get());
            }
            Err(Error::Full { .. }) => {
                report.findings.push(Finding::new(
                    "queue.full",
                    "the queue takes no more; the rest is kept in the frame only",
                ));
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let is_gone = |key: &String| waiting.iter().all(|one| cut_key(&one.key) != *key);
    let gone: Vec<_> = queued.keys().filter(|key| is_gone(key)).cloned().collect();
    if gone.is_empty() {
        return Ok(());
    }
    let pending = session.pending()?;
    for key in gone {
        let Some(input) = queued.remove(&key).map(Seq::new) else {
            continue;
        };
        let is_waiting =
            |p: &&turnkeep::PendingInput| p.input == input && p.status == InputStatus::Waiting;
        if pending.iter().any(|p| is_waiting(&p)) {
            session.withdraw(input, "the host has it in its queue no more")?;
            report.findings.push(Finding::new(
                "queue.worked_off",
                format!("input {key:?} is no longer in the host's queue, and was taken back"),
            ));
        }
    }
    Ok(())
}
