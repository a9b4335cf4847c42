//! Looking at what the records say: turns that have not ended, and input that is queued.

use super::codes::Code;
use super::report::{AuditFinding, Collector};
use super::{Audit, Reader};
use crate::format::ids::Epoch;
use crate::model::session::{JOURNAL_SESSION, QueuedInput, SessionState, Standing};
use crate::model::state::{Limits, State};
use crate::model::turn::{Cause, OpenTurn};
use std::time::Duration;

/// As whom, and when, sessions are looked at.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub audit: &'a Audit,
    pub state: &'a State,
    /// Turns and claims of earlier writers than this one are over.
    pub now: Epoch,
    pub now_ms: u64,
}

pub(super) fn inspect(audit: &Audit, reader: &Reader, out: &mut Collector) {
    let now_ms = audit.disk().unix_ms();
    reader.fold(|state, writer| {
        out.report.epoch = writer.epoch;
        out.report.writer_is_gone = writer.has_closed || audit.stopped;
        if !writer.has_closed {
            let what = format!("writer {} has not closed the journal", writer.epoch);
            out.add(AuditFinding::new(Code::LogNotClosed, what));
        }
        let now = writer.now(audit.stopped);
        let look = Look {
            audit,
            state,
            now,
            now_ms,
        };
        let mut oldest = None;
        for session in state.sessions() {
            count(session, out, &mut oldest);
            look.session(session, &mut |finding| out.add(finding));
        }
        out.report.oldest_unfinished_ms = oldest.map(|since| now_ms.saturating_sub(since));
        let dead = out.report.dead_letters;
        if dead > audit.dead_letters {
            let wished = audit.dead_letters;
            let what = format!("{dead} dead letters are kept, at most {wished} are wished");
            out.add(AuditFinding::new(Code::QueueManyDead, what));
        }
    });
}

fn count(session: &SessionState, out: &mut Collector, oldest: &mut Option<u64>) {
    let report = &mut out.report;
    report.sessions += 1;
    report.turns += u64::from(session.turns_begun);
    report.open_turns += session.open.len() as u64;
    report.queued += session.queue.len() as u64;
    let turns = session.open.iter().map(|turn| turn.submitted_ms);
    let inputs = session.queue.iter().filter(|input| !input.is_dead());
    let since = turns.chain(inputs.map(|input| input.queued_ms)).min();
    *oldest = [*oldest, since].into_iter().flatten().min();
    let dead = session.queue.iter().filter(|input| input.is_dead());
    report.dead_letters += dead.count() as u64;
}

impl Look<'_> {
    /// Everything that is to be told of a session.
    pub fn session(&self, session: &SessionState, tell: &mut dyn FnMut(AuditFinding)) {
        let (name, no) = (&*session.name, session.no);
        let is_ended = matches!(session.status, crate::model::session::Status::Ended { .. });
        for turn in &session.open {
            let finding = self.turn(turn);
            tell(finding.of_session(name, no).of_turn(turn.seq));
            let mut add = |code, what: String| {
                let finding = AuditFinding::new(code, what).of_session(name, no);
                tell(finding.of_turn(turn.seq));
            };
            if !turn.calls.is_empty() && turn.cause(self.now).is_orphaned() {
                let what = format!("{} calls have no result", turn.calls.len());
                add(Code::TurnOpenCalls, what);
            }
            if is_ended {
                let what = "the session was ended while it was open".to_owned();
                add(Code::SessionEndedOpen, what);
            }
        }
        for input in &session.queue {
            self.input(input, is_ended, &mut |finding| {
                tell(finding.of_session(name, no).of_input(input.seq));
            });
        }
        let mut add = |code, what: String| {
            tell(AuditFinding::new(code, what).of_session(name, no));
        };
        let most = Limits::default().queued;
        if session.queue.len() >= most - most / 10 {
            let queued = session.queue.len();
            add(
                Code::QueueNearFull,
                format!("{queued} inputs of at most {most}"),
            );
        }
        if let Some(latest) = session.partial.back() {
            let count = session.partial.len();
            let what = format!("{count} turns, the latest {latest}, left parts of an answer");
            add(Code::TurnPartialOutput, what);
        }
        let parent = session.parent.filter(|no| *no != JOURNAL_SESSION);
        if let Some(parent) = parent
            && self.state.session(parent).is_none()
        {
            add(
                Code::SessionParentGone,
                format!("session {parent} was deleted"),
            );
        }
    }

    fn turn(&self, turn: &OpenTurn) -> AuditFinding {
        let by = match (turn.attempt, &*turn.owner) {
            (0, _) => "no attempt".to_owned(),
            (attempt, "") => format!("attempt {attempt}"),
            (attempt, owner) => format!("attempt {attempt} by {owner}"),
        };
        let (state, epoch) = (turn.state, turn.epoch);
        let silent = Duration::from_millis(self.now_ms.saturating_sub(turn.last_ms));
        let seconds = silent.as_secs();
        let what = format!("{state}, {by}, writer {epoch}, last heard of {seconds} s ago");
        let code = match turn.cause(self.now) {
            Cause::NeverStarted => Code::TurnNeverStarted,
            Cause::WriterGone => Code::TurnWriterGone,
            _ if silent >= self.audit.unfinished_after => Code::TurnOverdue,
            _ => Code::TurnOpen,
        };
        AuditFinding::new(code, what)
    }

    fn input(&self, input: &QueuedInput, is_ended: bool, tell: &mut dyn FnMut(AuditFinding)) {
        let mut add = |code, what: String| tell(AuditFinding::new(code, what));
        let class = &input.class;
        if let Standing::Dead { seq } = input.standing {
            let (claims, lost) = (input.claims, input.lost_claims);
            let what = format!("class {class:?}, claimed {claims} times, {lost} lost; see {seq}");
            add(Code::QueueDeadLetter, what);
            return;
        }
        if let Standing::Claimed { epoch, owner, .. } = &input.standing
            && *epoch < self.now
        {
            let who = match &**owner {
                "" => "the claim".to_owned(),
                owner => format!("the claim of {owner}"),
            };
            add(
                Code::QueueClaimLost,
                format!("{who} ended with writer {epoch}"),
            );
        }
        let lost = input.lost_claims(self.now);
        if lost >= self.audit.lost_claims {
            add(
                Code::QueueLostClaims,
                format!("{lost} claims ended with their writer"),
            );
        }
        let waited = Duration::from_millis(self.now_ms.saturating_sub(input.queued_ms));
        if input.is_waiting(self.now) && waited >= self.audit.waiting_after {
            let seconds = waited.as_secs();
            add(
                Code::QueueOverdue,
                format!("class {class:?} has waited for {seconds} s"),
            );
        }
        if is_ended {
            add(Code::QueueSessionEnded, format!("class {class:?}"));
        }
    }
}
