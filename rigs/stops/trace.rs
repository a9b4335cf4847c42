//! One worker under ptrace.

use super::calls::{Call, Fault};
use super::pages::Pages;
use crate::ledger::Said;
use crate::script::Script;
use crate::worker::work;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// After this long a worker is taken to hang.
const HANG_SECONDS: u32 = 60;

/// A word that nobody else writes: from here on calls count.
const BEGIN: u64 = 0x6E67_6562;

/// What is done to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: its calls are listed.
    List,
    /// It is killed when it is about to make its `n`-th call.
    KillBefore(usize),
    /// It is killed when it has made its `n`-th call.
    KillAfter(usize),
    /// Its `n`-th call fails.
    Fail(usize, Fault),
    /// Its `n`-th call fails, and every later one of that kind: the disk is gone for good.
    FailFrom(usize, Fault),
}

/// How it ended, and what it told until then.
#[derive(Debug)]
pub struct Run {
    pub end: End,
    pub said: Vec<Said>,
    /// The calls up to the end, or up to the one that was planned for.
    pub calls: Vec<Call>,
    /// If it was killed at a sync: the last write that the sync was for.
    pub unsynced: Option<Unsynced>,
    /// If calls were made to fail: what failed syncs were for.
    pub pages: Pages,
}

/// A write that was never synced.
#[derive(Clone, Debug)]
pub struct Unsynced {
    file: PathBuf,
    offset: u64,
    len: u64,
}

impl Unsynced {
    /// Undoes its second half, in a copy of the journal, as a power cut could have.
    ///
    /// # Errors
    /// What the system says.
    pub fn tear(&self, copy: &Path) -> std::io::Result<()> {
        let name = self.file.file_name().unwrap_or_default();
        let file = File::options().write(true).open(copy.join(name))?;
        let half = self.len / 2;
        let zeros = vec![0; (self.len - half) as usize];
        file.write_all_at(&zeros, self.offset + half)
    }
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// It was killed as planned.
    Killed,
    /// By a signal that nobody planned.
    Signaled(Signal),
}

/// Forks a worker that runs `script` at `dir`, and does to it what is planned.
///
/// # Errors
/// What the system says when it refuses to fork or trace.
pub fn run(script: &Script, dir: &Path, plan: Plan) -> Result<Run, Errno> {
    let (from, to) = pipe()?;
    // SAFETY: this process has one thread (the sweep starts none, and says so), so the child may
    // do whatever its parent could.
    match unsafe { fork()? } {
        ForkResult::Child => {
            drop(from);
            child(script, dir, to.into());
        }
        ForkResult::Parent { child } => {
            let fd = to.as_raw_fd();
            drop(to);
            let mut tracer = Tracer {
                pid: child,
                pipe: fd as u64,
                plan,
                calls: Vec::new(),
                began: false,
                unsynced: None,
                failing: None,
                pages: Pages::default(),
                threads: HashMap::new(),
            };
            let end = tracer.follow()?;
            let mut bytes = Vec::new();
            // The child is gone, so the pipe ends.
            File::from(from)
                .read_to_end(&mut bytes)
                .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))?;
            let chunks = bytes.chunks_exact(Said::LEN);
            let said = chunks.map(|chunk| Said::decode(chunk.try_into().expect("a whole chunk")));
            Ok(Run {
                end,
                said: said.collect(),
                calls: tracer.calls,
                unsynced: tracer.unsynced,
                pages: tracer.pages,
            })
        }
    }
}

fn child(script: &Script, dir: &Path, mut to: File) -> ! {
    // A worker that hangs is ended by the alarm, which the tracer reports.
    nix::unistd::alarm::set(HANG_SECONDS);
    let traced = ptrace::traceme().and_then(|()| raise(Signal::SIGSTOP));
    if traced.is_err() {
        // SAFETY: ends this process at once; nothing of it is used after.
        unsafe { libc::_exit(99) }
    }
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // SAFETY: a call with a number that no call has changes nothing; the tracer looks for it.
        unsafe { libc::syscall(BEGIN as i64) };
        crate::sabotage::during(|| {
            work(script, dir, &mut |said| {
                to.write_all(&said.encode()).expect("the parent reads");
            });
        });
    }));
    let status = if outcome.is_ok() { 0 } else { 101 };
    let _ = to.into_raw_fd();
    // SAFETY: as above; no destructor of the parent's runs in the child.
    unsafe { libc::_exit(status) }
}

/// What is done when the call that a thread is in has been made.
#[derive(Clone, Copy, Debug, Default)]
enum After {
    #[default]
    Nothing,
    Kill,
    Return(i32),
}

struct Tracer {
    pid: Pid,
    pipe: u64,
    plan: Plan,
    calls: Vec<Call>,
    began: bool,
    unsynced: Option<Unsynced>,
    /// Calls of this number fail from now on.
    failing: Option<i64>,
    pages: Pages,
    /// Every thread that was met, and, while it is in a call, what is done after.
    threads: HashMap<Pid, Option<After>>,
}

impl Tracer {
    fn follow(&mut self) -> Result<End, Errno> {
        waitpid(self.pid, None)?;
        self.threads.insert(self.pid, None);
        ptrace::setoptions(
            self.pid,
            Options::PTRACE_O_TRACESYSGOOD
                | Options::PTRACE_O_EXITKILL
                | Options::PTRACE_O_TRACECLONE,
        )?;
        ptrace::syscall(self.pid, None)?;
        let mut killed = false;
        loop {
            let (thread, signal) = match waitpid(None, Some(WaitPidFlag::__WALL))? {
                WaitStatus::Exited(pid, status) if pid == self.pid => {
                    return Ok(End::Exited(status));
                }
                WaitStatus::Signaled(pid, Signal::SIGKILL, _) if pid == self.pid && killed => {
                    return Ok(End::Killed);
                }
                WaitStatus::Signaled(pid, signal, _) if pid == self.pid => {
                    return Ok(End::Signaled(signal));
                }
                WaitStatus::PtraceSyscall(thread) => {
                    if !killed && self.at_call(thread)? {
                        kill(self.pid, Signal::SIGKILL)?;
                        killed = true;
                    }
                    (thread, None)
                }
                // A thread begins stopped.
                WaitStatus::Stopped(thread, Signal::SIGSTOP) => (thread, None),
                WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
                WaitStatus::PtraceEvent(thread, _, _) => (thread, None),
                _ => continue,
            };
            match ptrace::syscall(thread, signal) {
                // It is gone, or about to be.
                Err(Errno::ESRCH) => {}
                resumed => resumed?,
            }
        }
    }

    /// A thread is about to make a call, or has made it. Returns whether the worker is to die.
    fn at_call(&mut self, thread: Pid) -> Result<bool, Errno> {
        let inside = self.threads.entry(thread).or_default();
        if let Some(after) = inside.take() {
            return match after {
                After::Nothing => Ok(false),
                After::Kill => {
                    self.unsynced = None;
                    Ok(true)
                }
                After::Return(error) => {
                    let mut exit = ptrace::getregs(thread)?;
                    exit.rax = (-i64::from(error)) as u64;
                    ptrace::setregs(thread, exit)?;
                    Ok(false)
                }
            };
        }
        let regs = ptrace::getregs(thread)?;
        let (after, dies) = self.at_entry(thread, regs)?;
        self.threads.insert(thread, Some(after));
        Ok(dies)
    }

    fn at_entry(
        &mut self,
        thread: Pid,
        regs: libc::user_regs_struct,
    ) -> Result<(After, bool), Errno> {
        let call = Call {
            number: regs.orig_rax as i64,
            args: [regs.rdi, regs.rsi, regs.rdx, regs.r10],
        };
        if !self.began {
            self.began = regs.orig_rax == BEGIN;
            return Ok((After::Nothing, false));
        }
        let tells = call.number == libc::SYS_write && call.args[0] == self.pipe;
        if tells || !call.concerns_files() {
            return Ok((After::Nothing, false));
        }
        let at = self.calls.len();
        self.calls.push(call);
        match self.plan {
            Plan::KillBefore(n) if n == at => {
                self.unsynced = self.find_unsynced();
                Ok((After::Nothing, true))
            }
            Plan::KillAfter(n) if n == at => Ok((After::Kill, false)),
            Plan::Fail(n, fault) => {
                let fault = (n == at).then_some(fault);
                Ok((self.failing(thread, regs, &call, fault)?, false))
            }
            Plan::FailFrom(n, fault) => {
                if n == at {
                    self.failing = Some(call.number);
                }
                let fault = (self.failing == Some(call.number)).then_some(fault);
                Ok((self.failing(thread, regs, &call, fault)?, false))
            }
            _ => Ok((After::Nothing, false)),
        }
    }

    /// A call in a run in which calls fail; this one if there is a `fault`.
    fn failing(
        &mut self,
        thread: Pid,
        regs: libc::user_regs_struct,
        call: &Call,
        fault: Option<Fault>,
    ) -> Result<After, Errno> {
        match call.number {
            libc::SYS_pwrite64 => {
                let [fd, _, len, offset] = call.args;
                self.pages.written(self.pid, fd, offset, len);
            }
            libc::SYS_fdatasync | libc::SYS_fsync => {
                // A sync that was interrupted has taken nothing for clean.
                let fails = fault.is_some_and(|fault| fault != Fault::Refused(libc::EINTR));
                self.pages.synced(self.pid, call.args[0], fails);
            }
            _ => {}
        }
        fault.map_or(Ok(After::Nothing), |fault| fail(thread, regs, fault))
    }

    /// What the last call, if it is a sync, was to make durable.
    fn find_unsynced(&self) -> Option<Unsynced> {
        let last = self.calls.last();
        let sync = last.filter(|call| call.number == libc::SYS_fdatasync)?;
        let same = |call: &&Call| call.number == libc::SYS_pwrite64 && call.args[0] == sync.args[0];
        let write = self.calls.iter().rev().find(same)?;
        let link = format!("/proc/{}/fd/{}", self.pid, sync.args[0]);
        Some(Unsynced {
            file: std::fs::read_link(link).ok()?,
            offset: write.args[3],
            len: write.args[2],
        })
    }
}

/// Changes a call that is about to be made, so that it fails.
fn fail(thread: Pid, regs: libc::user_regs_struct, fault: Fault) -> Result<After, Errno> {
    let mut entry = regs;
    let after = match fault {
        Fault::Refused(error) => {
            entry.orig_rax = u64::MAX;
            After::Return(error)
        }
        Fault::Short => {
            entry.rdx /= 2;
            After::Nothing
        }
        Fault::Told(error) => After::Return(error),
    };
    ptrace::setregs(thread, entry)?;
    Ok(after)
}
