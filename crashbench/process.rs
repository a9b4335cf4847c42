//! Starting, hearing and killing the processes of a round.

use crate::Result;
use crate::args::{ReaderArgs, WorkerArgs};
use crate::ledger::Ledger;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How processes are started.
#[derive(Clone, Debug)]
pub struct Lab {
    /// This command, which is also the worker and the reader.
    pub exe: PathBuf,
    /// How long a process may be silent.
    pub timeout: Duration,
}

/// What was heard of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The store is open.
    Opened,
    /// A record was acknowledged.
    Ack(u64),
    /// A record was refused, with the store's words.
    Refused(u64, String),
    /// It waits for [`Worker::go`].
    Paused,
    /// It has nothing more to do.
    Done,
    /// Opening or closing failed, with the store's words.
    Failed(String),
    /// The process is gone.
    Gone,
    /// It has said nothing for too long.
    Mute,
}

/// How a worker came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Without an error.
    Well,
    /// The store answered with an error; the first one.
    Told(String),
    /// The process ended itself, with its last words.
    Died(String),
    /// A call of the store did not return.
    Hung,
}

/// A running worker. Dropped, it is killed.
pub struct Worker {
    child: Child,
    lines: Receiver<String>,
    complaints: Option<JoinHandle<String>>,
    timeout: Duration,
    killed: bool,
}

impl Lab {
    /// Starts a worker.
    pub fn worker(&self, args: &WorkerArgs) -> Result<Worker> {
        let mut command = Command::new(&self.exe);
        command
            .arg("worker")
            .arg("--store")
            .arg(&args.store)
            .arg("--dir")
            .arg(&args.dir);
        for (name, value) in [
            ("--seed", args.seed),
            ("--sessions", args.sessions.into()),
            ("--bytes", args.bytes as u64),
            ("--from", args.from),
            ("--count", args.count),
            ("--give-up", args.give_up),
        ] {
            command.arg(name).arg(value.to_string());
        }
        if let Some(pause) = args.pause {
            command.arg("--pause").arg(pause.to_string());
        }
        if args.close {
            command.arg("--close");
        }
        Worker::start(command, self.timeout)
    }

    /// Runs a reader to its end: its lines, how it ended (`None` if it hung and was killed), and
    /// what it complained of.
    pub fn read(&self, args: &ReaderArgs) -> Result<(Vec<String>, Option<ExitStatus>, String)> {
        let mut command = Command::new(&self.exe);
        command
            .arg("reader")
            .arg("--store")
            .arg(&args.store)
            .arg("--dir")
            .arg(&args.dir);
        let mut reader = Worker::start(command, self.timeout)?;
        let deadline = Instant::now() + self.timeout;
        let mut lines = Vec::new();
        let hung = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match reader.lines.recv_timeout(left) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break false,
                Err(RecvTimeoutError::Timeout) => break true,
            }
        };
        if hung {
            reader.child.kill()?;
        }
        let status = reader.child.wait()?;
        reader.killed = true;
        Ok((lines, (!hung).then_some(status), reader.complaint()))
    }
}

impl Worker {
    fn start(mut command: Command, timeout: Duration) -> Result<Worker> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.env("RUST_BACKTRACE", "0");
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let mut err = child.stderr.take().ok_or("no standard error")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                // Nobody listens any more, or not to text.
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let complaints = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = err.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Worker {
            child,
            lines,
            complaints: Some(complaints),
            timeout,
            killed: false,
        })
    }

    /// Waits for the next event and enters it in the ledger.
    pub fn next(&mut self, ledger: &mut Ledger) -> Event {
        match self.lines.recv_timeout(self.timeout) {
            Ok(line) => heard(&line, ledger),
            Err(RecvTimeoutError::Disconnected) => Event::Gone,
            Err(RecvTimeoutError::Timeout) => Event::Mute,
        }
    }

    /// Waits for `acks` acknowledgements; whatever ended the wait before.
    pub fn acks(&mut self, acks: u64, ledger: &mut Ledger) -> Option<Event> {
        let until = ledger.count() + acks;
        while ledger.count() < until {
            match self.next(ledger) {
                Event::Opened | Event::Ack(_) => {}
                other => return Some(other),
            }
        }
        None
    }

    /// Waits until it pauses; whatever happened instead.
    pub fn paused(&mut self, ledger: &mut Ledger) -> Option<Event> {
        loop {
            match self.next(ledger) {
                Event::Opened | Event::Ack(_) => {}
                Event::Paused => return None,
                other => return Some(other),
            }
        }
    }

    /// Lets it go on after its pause.
    pub fn go(&mut self) -> Result<()> {
        let input = self.child.stdin.as_mut().ok_or("no standard input")?;
        Ok(input.write_all(b"\n")?)
    }

    /// Waits until it has nothing more to do, or will never have.
    pub fn finish(&mut self, ledger: &mut Ledger) -> Finish {
        let mut first = None;
        loop {
            match self.next(ledger) {
                Event::Opened | Event::Ack(_) | Event::Paused => {}
                Event::Refused(_, why) => first = first.or(Some(why)),
                Event::Done => return first.map_or(Finish::Well, Finish::Told),
                Event::Failed(why) => return Finish::Told(why),
                Event::Mute => return Finish::Hung,
                Event::Gone => {
                    self.kill_it();
                    return Finish::Died(self.complaint());
                }
            }
        }
    }

    /// Sends SIGKILL. On a disk that is held, [`Worker::bury`] must come after its release.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill()?)
    }

    /// Kills it if it lives, waits for its end, and enters what it said until then.
    pub fn bury(mut self, ledger: &mut Ledger) {
        self.kill_it();
        while let Ok(line) = self.lines.recv() {
            heard(&line, ledger);
        }
    }

    fn kill_it(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.killed = true;
    }

    /// The line of standard error that says most: the panic's, else the last.
    fn complaint(&mut self) -> String {
        let text = self
            .complaints
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let panic = lines.iter().position(|line| line.contains("panicked at"));
        match panic {
            // The place stands in one line, the message in the next.
            Some(at) => ["panicked:", lines.get(at + 1).unwrap_or(&"")].join(" "),
            None => (*lines.last().unwrap_or(&"died without a word")).to_owned(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.killed {
            self.kill_it();
        }
    }
}

fn heard(line: &str, ledger: &mut Ledger) -> Event {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (number, why) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = number.parse().ok();
    match (word, number) {
        ("opened", _) => Event::Opened,
        ("ack", Some(n)) => {
            ledger.acked(n);
            Event::Ack(n)
        }
        ("err", Some(n)) => {
            ledger.refused(n);
            Event::Refused(n, why.to_owned())
        }
        ("paused", _) => Event::Paused,
        ("done", _) => Event::Done,
        // A store that prints is not our worker speaking.
        ("fail", _) => Event::Failed(rest.to_owned()),
        _ => Event::Opened,
    }
}
