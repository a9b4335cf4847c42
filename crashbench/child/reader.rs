//! The process that opens what a crash left, and gives back all it can.

use super::in_a_line;
use crate::Result;
use crate::args::ReaderArgs;
use crate::record::fingerprint;
use crate::stores;
use std::io::{BufWriter, Write, stdout};
use std::time::Instant;

/// Opens, reads everything, verifies; each stage only after the one before went well.
pub fn run(args: &ReaderArgs) -> Result<()> {
    let kind = stores::find(&args.store)?;
    let mut out = BufWriter::new(stdout().lock());
    let began = Instant::now();
    let mut store = match (kind.open)(&args.dir) {
        Ok(store) => store,
        Err(error) => return Ok(writeln!(out, "fail open {}", in_a_line(&error))?),
    };
    writeln!(out, "opened {}", began.elapsed().as_micros())?;
    out.flush()?;

    let mut prints = Vec::new();
    let read = store.read_all(&mut |session, bytes| prints.push(fingerprint(session, bytes)));
    let took = began.elapsed().as_micros();
    for print in prints {
        writeln!(out, "record {print}")?;
    }
    match read {
        Ok(()) => writeln!(out, "read {took}")?,
        Err(error) => return Ok(writeln!(out, "fail read {}", in_a_line(&error))?),
    }
    out.flush()?;

    match store.verify() {
        Ok(()) => writeln!(out, "verified")?,
        Err(error) => return Ok(writeln!(out, "fail verify {}", in_a_line(&error))?),
    }
    out.flush()?;
    // What a store says while it closes comes too late for a reader to hear.
    let _ = store.close();
    Ok(())
}
