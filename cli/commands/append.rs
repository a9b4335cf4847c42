//! `append`: standard input into a session, acknowledged line by line.

use super::journal;
use crate::args::{Append, Cli};
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use serde::Serialize;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use turnkeep::{Journal, Session, Ticket};

/// How many lines may be on their way to the disk. Bytes are limited by the journal.
const IN_FLIGHT: usize = 4096;

/// The longest line, which is the largest record of a journal opened with default settings
/// less what stands around the line.
const LINE_LIMIT_BYTES: u64 = (16 << 20) - (64 << 10);

/// A line's acknowledgement as `--json` prints it.
#[derive(Serialize)]
struct Acknowledged {
    line: u64,
    lsn: u64,
}

/// Appends until standard input ends.
pub fn run(cli: &Cli, args: &Append, out: &mut Output) -> Result<Exit> {
    let journal = journal::open(cli, Journal::options(), out)?;
    let session = journal.session(&args.session)?;
    let (sender, tickets) = sync_channel(IN_FLIGHT);
    let name = args.kind.clone();
    let reader = thread::spawn(move || submit_lines(&session, &name, &sender));
    let acknowledged = acknowledge(&tickets, out);
    // The reader stops at its next line when nobody takes its tickets; it may wait for that
    // line for ever, so it is only joined when it was the one to end.
    drop(tickets);
    acknowledged?;
    reader.join().expect("the reader does not panic")?;
    journal::close(journal)?;
    Ok(Exit::Ok)
}

fn submit_lines(session: &Session, name: &str, tickets: &SyncSender<Ticket>) -> Result<()> {
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let mut limited = (&mut input).take(LINE_LIMIT_BYTES + 1);
        let read = limited.read_until(b'\n', &mut line);
        let read = read.map_err(|e| Failure::io("read", Path::new("standard input"), &e))?;
        if read == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 > LINE_LIMIT_BYTES {
            let message = format!("line {number} is longer than {LINE_LIMIT_BYTES} bytes");
            return Err(Failure::new(Exit::Refused, "too_large", message)
                .advise("split it; the lines before it are appended"));
        }
        let ticket = session.submit(name, &line)?;
        if tickets.send(ticket).is_err() {
            break;
        }
    }
    Ok(())
}

fn acknowledge(tickets: &Receiver<Ticket>, out: &mut Output) -> Result<()> {
    for line in 1_u64.. {
        let ticket = match tickets.try_recv() {
            Ok(ticket) => ticket,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                // Nothing is ready: now is the time for those who wait for an acknowledgement.
                out.flush()?;
                match tickets.recv() {
                    Ok(ticket) => ticket,
                    Err(_) => break,
                }
            }
        };
        if !ticket.is_durable() {
            out.flush()?;
        }
        let lsn = ticket.wait()?.get();
        match out.is_json() {
            true => out.object(&Acknowledged { line, lsn })?,
            false => out.line(lsn)?,
        }
    }
    out.flush()
}
