//! A repair does what cannot lose anything, says so on record, and then has nothing left to do.

use super::{Home, flip, mode, set_mode};
use std::path::Path;
use std::sync::Arc;
use turnkeep::audit::repair::{Action, REPAIRED};
use turnkeep::audit::{Code, ORPHANED};
use turnkeep::model::JOURNAL_SESSION;
use turnkeep::sim::{CrashModel, SimDisk};
use turnkeep::{Audit, Error, Input, Journal, Kind, Lsn, Repair, RepairReport};

fn repair() -> Repair {
    Repair::new().audit(Audit::new().low_space_bytes(0))
}

fn planned(report: &RepairReport) -> Vec<(Action, Code)> {
    let steps = report.steps.iter();
    steps.map(|step| (step.action, step.code)).collect()
}

/// A journal whose host died three times, with snapshots, open turns, and a watermark page, a
/// snapshot and rights to set right, and files that nobody needs.
fn worn() -> Home {
    let home = Home::new();
    for n in 0..3 {
        home.die_after(|journal, session| {
            for i in 0..20 {
                let note = format!("{n} {i} {}", "z".repeat(900));
                session.append("note", note).expect("appends");
            }
            let input = Input::user("hello").key(format!("k{n}"));
            let mut turn = session.begin(input).expect("begins").owner("w1");
            if n > 0 {
                turn.started().expect("starts");
                let call = turn.call("c1", "shell", "{}").expect("calls");
                call.wait().expect("is durable");
            }
            journal.checkpoint().expect("is taken");
        });
    }
    for name in home.files().keys() {
        set_mode(&home.path.join(name), 0o600);
    }
    set_mode(&home.path, 0o700);
    flip(&home.newest(".state"), 100);
    let zeros = vec![0; 4096];
    std::fs::write(home.path.join("WATERMARK"), zeros).expect("is written");
    for name in ["00000000000000000099.pack.tmp", "00000000000000000099.pack"] {
        std::fs::write(home.path.join(name), b"x").expect("is written");
        set_mode(&home.path.join(name), 0o600);
    }
    set_mode(&home.path.join("LOCK"), 0o644);
    home
}

/// What the sessions of a journal say: every record but those of repairs.
fn said(path: &Path) -> Vec<(Lsn, Kind, Vec<u8>)> {
    let reader = turnkeep::Reader::open(path).expect("opens");
    let entries = reader.read(Lsn::new(1)).expect("reads");
    let entries = entries.map(|entry| entry.expect("reads"));
    entries
        .filter(|entry| {
            let by_repair = entry.session == JOURNAL_SESSION || entry.name == ORPHANED;
            !by_repair
        })
        .map(|entry| (entry.lsn, entry.kind, entry.content))
        .collect()
}

#[test]
fn a_plan_changes_no_byte_and_a_repair_does_all_of_it_once() {
    let home = worn();
    let before = (home.files(), mode(&home.path));
    let plan = repair().plan(&home.path).expect("plans");
    assert!(plan.is_dry_run && !plan.is_blocked && !plan.is_done());
    let expected = [
        (Action::Recover, Code::WatermarkUnreadable),
        (Action::Restrict, Code::FilePermissions),
        (Action::Renew, Code::SnapshotDamaged),
        (Action::Renew, Code::FileUnreferenced),
        (Action::Renew, Code::FileUnfinished),
    ];
    assert_eq!(planned(&plan), expected, "{plan}");
    assert!(plan.to_string().contains("left to the host"), "{plan}");
    assert!(
        (home.files(), mode(&home.path)) == before,
        "a plan changed a file"
    );
    let history = said(&home.path);

    let done = repair().run(&home.path).expect("repairs");
    assert!(done.is_done() && !done.is_dry_run, "{done}");
    assert_eq!(planned(&done), planned(&plan));
    let after = done.after.as_ref().expect("it was looked at");
    for (_, code) in expected {
        assert!(!after.counts.contains_key(&code), "{code}: {done}");
    }
    assert_eq!(
        after.counts[&Code::TurnWriterGone],
        2,
        "they are the host's"
    );
    assert_eq!(said(&home.path), history, "nothing was lost or invented");

    let repaired = home.files();
    let again = repair().run(&home.path).expect("looks");
    assert!(again.steps.is_empty() && again.is_done() && again.after.is_none());
    assert_eq!(again.to_string().lines().next(), Some("nothing to repair"));
    assert!(home.files() == repaired, "a second repair changed a file");
}

#[test]
fn a_repair_stands_in_the_journal_with_what_it_was_about_to_do() {
    let home = worn();
    let done = repair().run(&home.path).expect("repairs");
    let reader = turnkeep::Reader::open(&home.path).expect("opens");
    let lsn = done.record.expect("there is a record");
    let mut log = reader.read(lsn).expect("reads");
    let entry = log.next().expect("is there").expect("reads");
    assert_eq!(
        (entry.lsn, entry.session, entry.kind, &*entry.name),
        (lsn, JOURNAL_SESSION, Kind::Maintenance, REPAIRED)
    );
    let told = String::from_utf8(entry.content).expect("is text");
    for part in [
        "\"kind\":\"repair\"",
        "\"opening\":\"recovered ",
        "{\"action\":\"restrict\",\"code\":\"file.permissions\",\"file\":\"LOCK\",",
        "{\"action\":\"renew\",\"code\":\"snapshot.damaged\",",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn orphaned_turns_are_interrupted_on_record_if_that_is_wished() {
    let home = worn();
    let wished = repair().interrupt_orphans(true);
    let plan = wished.plan(&home.path).expect("plans");
    let turns = |report: &RepairReport| {
        let steps = report
            .steps
            .iter()
            .filter(|s| s.action == Action::Interrupt);
        steps.count()
    };
    assert_eq!(turns(&plan), 3);
    let done = wished.run(&home.path).expect("repairs");
    assert!(done.is_done(), "{done}");
    assert_eq!((turns(&done), done.interrupted.len()), (3, 3));
    assert_eq!(done.interrupted[0].open_calls, 0);
    assert_eq!(done.interrupted[2].open_calls, 1);
    assert!(wished.run(&home.path).expect("looks").steps.is_empty());

    let journal = home.open();
    let session = journal.find("s").expect("is there");
    assert_eq!(journal.open_turns().expect("lists"), []);
    for orphan in &done.interrupted {
        let ended = session.turn(orphan.turn).map(|_| ());
        assert!(matches!(ended, Err(Error::TurnEnded { .. })), "{ended:?}");
        let entries = session.turn_entries(orphan.turn).expect("reads");
        let entries: Vec<_> = entries.map(|entry| entry.expect("reads")).collect();
        let end = entries.last().expect("it ended");
        assert_eq!((end.kind, &*end.name), (Kind::TurnInterrupted, ORPHANED));
        let told = String::from_utf8_lossy(&end.content);
        assert!(
            told.starts_with("{\"verdict\":\"orphaned\",\"session\":\"s\""),
            "{told}"
        );
        let of_calls = |entry: &&turnkeep::Entry| entry.kind == Kind::TurnCallInterrupted;
        let calls = entries.iter().filter(of_calls).count() as u64;
        assert_eq!(calls, orphan.open_calls);
    }
    // The keys of the turns are remembered: a retry finds the turn that there was.
    let retried = session
        .begin(Input::user("hello").key("k1"))
        .expect("finds");
    assert!(!retried.is_new() && retried.is_ended());
}

/// What this writer has taken up is nobody's orphan.
#[test]
fn a_turn_that_this_writer_took_up_is_left() {
    let home = Home::new();
    home.die_after(|_, session| {
        for text in ["one", "two"] {
            session
                .begin(Input::user(text))
                .expect("begins")
                .started()
                .expect("starts");
        }
        session.append("note", "x").expect("is durable");
    });
    let journal = home.open();
    let session = journal.find("s").expect("is there");
    let open = journal.open_turns().expect("lists");
    session
        .turn(open[0].turn)
        .expect("is there")
        .retry()
        .expect("takes over");
    let interrupted = session.interrupt_orphans().expect("interrupts");
    assert_eq!(interrupted.len(), 1);
    assert_eq!(interrupted[0].turn, open[1].turn);
    assert_eq!(interrupted[0].cause, turnkeep::Cause::WriterGone);
    assert_eq!(session.interrupt_orphans().expect("interrupts"), []);
}

/// A default opening keeps three snapshots and 128 keys, and whoever had asked for more would
/// find the others gone.
#[test]
fn a_repair_thins_out_nothing() {
    let home = Home::new();
    let options = || home.options().keep_snapshots(20).key_window(5000);
    let (journal, _) = options().open(&home.path).expect("opens");
    let session = journal.session("s").expect("opens");
    for n in 0..300 {
        let input = Input::user("x").key(format!("k{n}"));
        session
            .begin(input)
            .expect("begins")
            .complete("y")
            .expect("ends");
        if n % 40 == 0 {
            journal.checkpoint().expect("is taken");
        }
    }
    journal.close().expect("closes");
    let states = || {
        home.files()
            .into_keys()
            .filter(|name| name.ends_with(".state"))
            .count()
    };
    let kept = states();
    assert!(kept >= 8, "{kept}");
    set_mode(&home.path.join("LOCK"), 0o666);
    assert!(repair().run(&home.path).expect("repairs").is_done());
    assert!(states() >= kept, "{} of {kept} snapshots", states());
    let (journal, _) = options().open(&home.path).expect("opens");
    let session = journal.find("s").expect("is there");
    let first = session.begin(Input::user("x").key("k0")).expect("finds");
    assert!(!first.is_new(), "a key was forgotten");
}

#[test]
fn damage_blocks_a_repair_and_so_does_a_host() {
    let home = worn();
    let journal = home.open();
    let refused = repair().run(&home.path);
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    drop(journal);
    let segment = home.files().into_keys().find(|name| name.ends_with(".seg"));
    flip(&home.path.join(segment.expect("there is one")), 4096 + 200);
    let before = home.files();
    let blocked = repair()
        .interrupt_orphans(true)
        .run(&home.path)
        .expect("looks");
    assert!(blocked.is_blocked && !blocked.is_done() && blocked.steps.is_empty());
    assert!(blocked.to_string().contains("salvage"), "{blocked}");
    assert!(home.files() == before);
}

#[test]
fn every_manifest_and_snapshot_that_can_be_done_without_is_made_again() {
    let home = Home::new();
    for n in 0..4 {
        home.die_after(|journal, session| {
            session.append("note", format!("{n}")).expect("appends");
            journal.checkpoint().expect("is taken");
        });
    }
    let named = |ending: &str| {
        let names = home.files().into_keys();
        let mut names: Vec<_> = names.filter(|name| name.contains(ending)).collect();
        names.sort();
        names
    };
    let (states, manifests) = (named(".state"), named("manifest-"));
    let history = said(&home.path);
    for (victims, of) in [(&states, states.len() - 1), (&manifests, manifests.len())] {
        for victim in victims.iter().take(of) {
            let kept = home.files();
            flip(&home.path.join(victim), 40);
            let plan = repair().plan(&home.path).expect("plans");
            assert!(
                planned(&plan).iter().any(|(a, _)| *a == Action::Renew),
                "{victim}: {plan}"
            );
            let done = repair().run(&home.path).expect("repairs");
            assert!(done.is_done(), "{victim}: {done}");
            assert!(repair().plan(&home.path).expect("plans").steps.is_empty());
            assert_eq!(said(&home.path), history, "{victim}");
            for name in home.files().keys() {
                std::fs::remove_file(home.path.join(name)).expect("is removed");
            }
            for (name, (bytes, rights)) in &kept {
                std::fs::write(home.path.join(name), bytes).expect("is written");
                set_mode(&home.path.join(name), *rights);
            }
        }
    }
}

/// The power fails at each operation of a repair in turn, and the disk keeps what it likes.
/// Afterwards all that the host said is there, each turn has ended at most once, and a further
/// repair does the rest.
#[test]
fn a_repair_may_be_cut_off_anywhere() {
    const PATH: &str = "/agents.journal";
    let on = |disk: &SimDisk| {
        Journal::options()
            .background(false)
            .storage(Arc::new(disk.clone()))
    };
    let worn = || {
        let disk = SimDisk::new(11);
        for n in 0..2 {
            let (journal, _) = on(&disk).open(PATH).expect("opens");
            for id in ["a", "b"] {
                let session = journal.session(id).expect("opens");
                let mut turn = session.begin(Input::user(format!("{n}"))).expect("begins");
                turn.started().expect("starts");
                turn.call("c", "shell", "{}")
                    .expect("calls")
                    .wait()
                    .expect("is durable");
            }
            journal.checkpoint().expect("is taken");
            disk.kill();
        }
        let files = disk.list_files(PATH).expect("lists");
        let state = files
            .iter()
            .rfind(|name| name.ends_with(".state"))
            .expect("there is one");
        disk.rot(format!("{PATH}/{state}"), 100, 0x40)
            .expect("rots");
        disk.write_file(format!("{PATH}/00000000000000000099.pack.tmp"), b"x")
            .expect("is written");
        disk
    };
    let repair_on = |disk: &SimDisk| repair().options(on(disk)).interrupt_orphans(true);
    let history = |disk: &SimDisk| {
        let reader = on(disk).open_read_only(PATH).expect("opens");
        let entries = reader.read(Lsn::new(1)).expect("reads");
        let entries = entries.map(|entry| entry.expect("reads"));
        let by_host = entries.filter(|e| e.session != JOURNAL_SESSION && e.name != ORPHANED);
        by_host
            .map(|e| (e.lsn, e.kind, e.content))
            .collect::<Vec<_>>()
    };
    let whole = worn();
    let expected = history(&whole);
    let from = whole.ops();
    let done = repair_on(&whole).run(PATH).expect("repairs");
    assert!(done.is_done() && done.interrupted.len() == 4, "{done}");
    let ops = whole.ops() - from;
    assert!(ops > 30, "{ops}");
    let mut cut = 0;
    for at in 0..ops {
        let disk = worn();
        disk.reseed(at * 7 + 1);
        disk.power_loss(&CrashModel::HARSHEST);
        disk.restart();
        disk.arm_power_loss(at);
        cut += u64::from(repair_on(&disk).run(PATH).is_err());
        disk.restart();
        assert_eq!(history(&disk), expected, "power lost at operation {at}");
        let rest = repair_on(&disk).run(PATH).expect("repairs");
        assert!(rest.is_done(), "power lost at operation {at}: {rest}");
        let again = repair_on(&disk).plan(PATH).expect("plans");
        assert!(
            again.steps.is_empty(),
            "power lost at operation {at}: {again}"
        );
        let (journal, _) = on(&disk).open(PATH).expect("opens");
        assert_eq!(
            journal.open_turns().expect("lists"),
            [],
            "at operation {at}"
        );
        let ends = journal.read(Lsn::new(1)).expect("reads");
        let ends = ends.filter(|e| e.as_ref().is_ok_and(|e| e.kind == Kind::TurnInterrupted));
        assert_eq!(ends.count(), 4, "power lost at operation {at}");
    }
    assert!(cut > ops / 2, "{cut} of {ops} were cut off");
}
