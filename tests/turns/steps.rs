//! One input on its way through the queue and a turn, with the power failing at every operation
//! of the disk: each step is there once it was acknowledged, none is there in part, and whoever
//! comes next can go on from wherever it is.

use super::Host;
use turnkeep::storage::sim::{CrashModel, Keep, NameModel};
use turnkeep::{Cause, Error, Input, Journal, Kind, Session};

/// How far the input has come. Each step is one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Nothing,
    Queued,
    Claimed,
    Begun,
    Started,
    Called,
    Streamed,
    Answered,
    Completed,
}

/// Takes the input through all steps; says each one that was acknowledged, and each that began.
fn run(journal: &Journal, mut say: impl FnMut(Step, bool)) -> Result<(), Error> {
    let session = journal.session("s")?;
    say(Step::Queued, false);
    session.enqueue(Input::user("ask").key("k"))?;
    say(Step::Queued, true);
    say(Step::Claimed, false);
    let claim = session.claim("worker")?.expect("it waits");
    say(Step::Claimed, true);
    say(Step::Begun, false);
    let mut turn = claim.begin()?.owner("worker");
    say(Step::Begun, true);
    say(Step::Started, false);
    turn.started()?;
    say(Step::Called, false);
    turn.call("c", "tool", "args")?.wait()?;
    say(Step::Called, true);
    say(Step::Streamed, false);
    turn.progress("text", "half")?.wait()?;
    say(Step::Streamed, true);
    say(Step::Answered, false);
    turn.result("c", "found")?.wait()?;
    say(Step::Answered, true);
    say(Step::Completed, false);
    turn.complete("answer")?;
    say(Step::Completed, true);
    Ok(())
}

/// How far it has come, by what the journal says after it was opened again.
fn seen(journal: &Journal) -> Step {
    let Ok(session) = journal.find("s") else {
        return Step::Nothing;
    };
    let pending = journal.pending().expect("lists");
    let open = journal.open_turns().expect("lists");
    assert!(pending.len() + open.len() <= 1, "it is in one place");
    if let Some(input) = pending.first() {
        assert_eq!(
            input.claims, input.lost_claims,
            "a claim outlived its writer"
        );
        return match input.claims {
            0 => Step::Queued,
            _ => Step::Claimed,
        };
    }
    let kinds: Vec<Kind> = session
        .read(..)
        .expect("reads")
        .map(|entry| entry.expect("reads").kind)
        .collect();
    let last = *kinds.last().expect("its creation");
    let Some(open) = open.first() else {
        assert!(matches!(last, Kind::SessionCreated | Kind::TurnCompleted));
        return match last {
            Kind::TurnCompleted => Step::Completed,
            _ => Step::Nothing,
        };
    };
    let step = match last {
        Kind::TurnSubmitted => Step::Begun,
        Kind::TurnStarted => Step::Started,
        Kind::TurnCall => Step::Called,
        Kind::TurnProgress => Step::Streamed,
        Kind::TurnResult => Step::Answered,
        other => panic!("{other} comes last"),
    };
    let never = step == Step::Begun;
    let cause = if never {
        Cause::NeverStarted
    } else {
        Cause::WriterGone
    };
    assert_eq!(open.cause(), cause);
    assert_eq!(&*open.owner, if never { "" } else { "worker" });
    let is_calling = matches!(step, Step::Called | Step::Streamed);
    assert_eq!(open.open_calls, u32::from(is_calling));
    step
}

/// What a host does that finds this: it takes up what there is, and brings it to its end.
fn go_on(journal: &Journal, session: &Session) {
    let queued = session
        .enqueue(Input::user("ask").key("k"))
        .expect("is known or new");
    let mut turn = match session.claim("next").expect("claims") {
        Some(claim) => {
            assert_eq!(claim.input(), queued.input);
            claim.begin().expect("begins")
        }
        None => match journal.open_turns().expect("lists").first() {
            Some(open) => session.turn(open.turn).expect("is open"),
            None => return,
        },
    };
    turn.retry().expect("takes over");
    turn.interrupt_calls("the host stopped").expect("repairs");
    turn.complete("answer").expect("ends");
}

#[test]
fn an_input_is_somewhere_and_once_wherever_the_power_fails() {
    let mut found = Vec::new();
    for (keep, torn) in [
        (Keep::Nothing, false),
        (Keep::Everything, false),
        (Keep::Random, true),
    ] {
        let mut is_through = false;
        for ops in 0.. {
            let mut host = Host::new();
            host.disk.arm_power_loss(ops);
            let (mut acknowledged, mut begun) = (Step::Nothing, Step::Nothing);
            let done = run(host.journal(), |step, is_done| match is_done {
                true => acknowledged = step,
                false => begun = step,
            });
            is_through |= done.is_ok();
            assert!(is_through || host.disk.is_off(), "{done:?}");
            host.disk.reseed(ops);
            host.disk.power_loss(&CrashModel {
                names: NameModel::Posix,
                torn,
                keep,
                ..CrashModel::default()
            });
            host.disk.restart();
            host.journal = None;
            host.open();
            let step = seen(host.journal());
            assert!(
                acknowledged <= step && step <= begun,
                "{step:?}, acknowledged {acknowledged:?}, begun {begun:?}, after {ops} operations"
            );
            // Looking, and opening again, changes nothing.
            host.killed();
            assert_eq!(seen(host.journal()), step);
            go_on(host.journal(), &host.session());
            host.killed();
            let last = host.session().last(1).expect("reads").remove(0);
            assert_eq!(
                (last.kind, &*last.content),
                (Kind::TurnCompleted, &b"answer"[..])
            );
            assert!(host.journal().pending().expect("lists").is_empty());
            assert!(host.journal().open_turns().expect("lists").is_empty());
            found.push(step);
            if is_through {
                break;
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    // But for the start, which goes into one group with the call.
    assert_eq!(found.len(), 8, "every step was the last once: {found:?}");
}
