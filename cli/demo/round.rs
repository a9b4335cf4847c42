//! One round: start the process, listen, kill it, hear what it still had to say.

use super::kills::{Kill, Since};
use super::ledger::{Ledger, Message, listen};
use std::io::{self, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process may go without its first acknowledgement before something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a round went.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// How the process ended.
    pub status: ExitStatus,
    /// Whether it was killed; if not, it ended by itself, which it should not.
    pub was_killed: bool,
    /// How long it lived.
    pub lived: Duration,
    /// Whether it had opened the journal.
    pub had_opened: bool,
}

/// Runs `command`, kills it at `kill`, and writes all it said into `ledger`. `watch` is called
/// about ten times a second.
///
/// The process gets a pipe as standard input that ends when this process does.
///
/// # Errors
/// The system's; [`io::ErrorKind::TimedOut`] when the process acknowledges nothing at all;
/// [`io::ErrorKind::InvalidData`] when what it says does not add up.
pub fn run(
    command: &mut Command,
    kill: Kill,
    ledger: &mut Ledger,
    mut watch: impl FnMut(&Ledger),
) -> io::Result<Round> {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let started = Instant::now();
    let mut child = Killed(child);
    let pipe = child.0.stdout.take().expect("standard output is a pipe");
    let (sender, heard) = channel();
    let listener = thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let message = listen(&mut pipe).transpose();
            let Some(message) = message else { return };
            let failed = message.is_err();
            if sender.send(message).is_err() || failed {
                return;
            }
        }
    });

    let mut round = Listening {
        ledger,
        heard,
        had_opened: false,
        kill_at: (kill.since == Since::Started).then(|| started + kill.after),
    };
    let ended = round.until_killing_time(started, kill.after, &mut watch)?;
    if !ended {
        child.0.kill()?;
    }
    let status = child.0.wait()?;
    let lived = started.elapsed();
    // The pipe still holds what was said last. It ends because its only writer is dead.
    round.rest()?;
    let had_opened = round.had_opened;
    listener.join().expect("the listener does not panic");
    Ok(Round {
        status,
        was_killed: !ended,
        lived,
        had_opened,
    })
}

struct Listening<'a> {
    ledger: &'a mut Ledger,
    heard: Receiver<io::Result<Message>>,
    had_opened: bool,
    kill_at: Option<Instant>,
}

impl Listening<'_> {
    /// Listens until it is time to kill. Returns whether the process ended before.
    fn until_killing_time(
        &mut self,
        started: Instant,
        after: Duration,
        watch: &mut impl FnMut(&Ledger),
    ) -> io::Result<bool> {
        let mut watched = started;
        loop {
            let now = Instant::now();
            if self.kill_at.is_some_and(|at| at <= now) {
                return Ok(false);
            }
            if now - watched >= Duration::from_millis(100) {
                watch(self.ledger);
                watched = now;
            }
            if self.kill_at.is_none() && now - started > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let tick = watched + Duration::from_millis(100);
            let until = self.kill_at.map_or(tick, |at| at.min(tick));
            match self
                .heard
                .recv_timeout(until.saturating_duration_since(now))
            {
                Ok(message) => {
                    let message = message?;
                    self.note(message)?;
                    if matches!(message, Message::Acknowledged { .. }) {
                        self.kill_at.get_or_insert_with(|| Instant::now() + after);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(true),
            }
        }
    }

    fn rest(&mut self) -> io::Result<()> {
        while let Ok(message) = self.heard.recv() {
            self.note(message?)?;
        }
        Ok(())
    }

    fn note(&mut self, message: Message) -> io::Result<()> {
        self.had_opened |= message == Message::Opened;
        let noted = self.ledger.note(message);
        noted.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

/// A process that does not outlive its handle, whatever way that goes.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Fails only if it is dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const AT_WORK: Kill = Kill {
        since: Since::Acknowledged,
        after: Duration::from_millis(100),
    };

    /// Announces, writes to a file, acknowledges: a journal of its own kind.
    const HOST: &str = r#"echo o; i=0; while :; do
        echo "n 0 $i"; echo $i >> "$OUT"; echo "a 0 $i"; i=$((i+1)); done"#;

    #[test]
    fn everything_said_before_the_kill_is_in_the_ledger() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("out");
        let mut ledger = Ledger::default();
        let mut watched = 0;
        let kill = Kill {
            since: Since::Acknowledged,
            after: Duration::from_millis(350),
        };
        let mut host = shell(HOST);
        let round = run(host.env("OUT", &file), kill, &mut ledger, |_| watched += 1);
        let round = round.expect("the round runs");
        assert!(round.was_killed && round.had_opened);
        assert_eq!(round.status.signal(), Some(9));
        assert!(watched >= 2, "{watched}");
        let written = std::fs::read_to_string(&file)
            .expect("it wrote")
            .lines()
            .count() as u64;
        let claim = ledger.claim(0);
        // The process was killed at one point of its three-step loop.
        assert!(claim.acknowledged > 10);
        assert!(
            (claim.acknowledged..=claim.announced).contains(&written),
            "{claim:?} {written}"
        );
        assert!(claim.announced - claim.acknowledged <= 1, "{claim:?}");
    }

    #[test]
    fn an_early_kill_needs_no_acknowledgement() {
        let kill = Kill {
            since: Since::Started,
            after: Duration::from_millis(20),
        };
        let mut ledger = Ledger::default();
        let round = run(&mut shell("exec sleep 30"), kill, &mut ledger, |_| {}).expect("runs");
        assert!(round.was_killed && !round.had_opened);
        assert!(round.lived < Duration::from_secs(10));
    }

    #[test]
    fn a_process_that_ends_by_itself_is_noticed() {
        let mut ledger = Ledger::default();
        let script = "echo o; echo 'n 0 0'; echo 'a 0 0'; exit 3";
        let round = run(&mut shell(script), AT_WORK, &mut ledger, |_| {}).expect("runs");
        assert!(!round.was_killed);
        assert_eq!(round.status.code(), Some(3));
        assert_eq!(ledger.claim(0).acknowledged, 1);
    }

    #[test]
    fn what_does_not_add_up_ends_the_demonstration() {
        for script in ["echo 'a 0 0'; exec sleep 30", "echo hello; exec sleep 30"] {
            let mut ledger = Ledger::default();
            let error = run(&mut shell(script), AT_WORK, &mut ledger, |_| {});
            let error = error.expect_err("it makes no sense");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
