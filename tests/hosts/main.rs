//! The examples of hosts, killed at every step that they have, and then allowed to finish.
//!
//! The process that is killed is a real one: this test starts itself once more, as the host, which
//! aborts at the step that it was told.

#[path = "../../examples/hosts/agenthive.rs"]
mod agenthive;
#[path = "../../examples/hosts/claude_mem.rs"]
mod claude_mem;
#[path = "../../examples/hosts/claudelet.rs"]
mod claudelet;
#[path = "../../examples/hosts/hermes_webui.rs"]
mod hermes_webui;
#[path = "../../examples/hosts/systemprompt.rs"]
mod systemprompt;

use std::path::Path;
use std::process::{Command, Stdio};
use turnkeep::{Journal, Result};

type Life = fn(&Path, &mut dyn FnMut()) -> Result<()>;
type Check = fn(&Journal) -> Result<()>;

const HOSTS: [(&str, Life, Check); 5] = [
    ("hermes_webui", hermes_webui::life, hermes_webui::check),
    ("claude_mem", claude_mem::life, claude_mem::check),
    ("claudelet", claudelet::life, claudelet::check),
    ("systemprompt", systemprompt::life, systemprompt::check),
    ("agenthive", agenthive::life, agenthive::check),
];

/// Tells the process that is started which host it is, where its journal is, and at which step
/// it ends.
const ROLE: &str = "TURNKEEP_HOST_EXAMPLE";

/// Not a test of its own: the life of a host that [`lives`] starts and ends.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let mut role = role.splitn(3, ' ');
    let name = role.next().expect("a host");
    let mut left: u32 = role.next().and_then(|n| n.parse().ok()).expect("a number");
    let dir = role.next().expect("a directory");
    let (_, life, _) = HOSTS.iter().find(|host| host.0 == name).expect("a host");
    let mut step = || match left {
        1 => std::process::abort(),
        _ => left = left.saturating_sub(1),
    };
    life(Path::new(dir), &mut step).expect("the disk is sound");
}

/// One life, ended at its step `end`; 0 is none. Returns whether it came to its own end.
fn lives(name: &str, end: u32, dir: &Path) -> bool {
    let role = format!("{name} {end} {}", dir.display());
    let ended = Command::new(std::env::current_exe().expect("this is one"))
        .args(["--exact", "child", "--quiet"])
        .env(ROLE, role)
        .stdin(Stdio::null())
        .output()
        .expect("starts");
    let is_finished = ended.status.success();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(is_finished || end > 0, "{name} failed by itself: {said}");
    is_finished
}

fn survives(name: &str) {
    let (_, _, check) = HOSTS.iter().find(|host| host.0 == name).expect("a host");
    let mut steps = 0;
    for end in 1.. {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("journal");
        let finished = lives(name, end, &dir);
        if !finished {
            // Now and then a second life that is ended too, somewhere else.
            if end % 3 == 0 {
                lives(name, end / 2 + 1, &dir);
            }
            assert!(lives(name, 0, &dir));
        }
        let (journal, _) = Journal::open(&dir).expect("opens");
        check(&journal).unwrap_or_else(|e| panic!("{name}, killed at {end}: {e}"));
        steps = end;
        if finished {
            break;
        }
    }
    // Or nothing was killed at all.
    assert!(steps > 10, "{name} has {steps} steps");
}

#[test]
fn hermes_webui_survives_a_kill_at_every_step() {
    survives("hermes_webui");
}

#[test]
fn claude_mem_survives_a_kill_at_every_step() {
    survives("claude_mem");
}

#[test]
fn claudelet_survives_a_kill_at_every_step() {
    survives("claudelet");
}

#[test]
fn systemprompt_survives_a_kill_at_every_step() {
    survives("systemprompt");
}

#[test]
fn agenthive_survives_a_kill_at_every_step() {
    survives("agenthive");
}
