//! Real transcripts as work to do.
//!
//! A transcript may grow while the demonstration runs, so it is read once and frozen: both
//! processes replay the frozen copy.

use super::workload::Op;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use turnkeep_hosts::transcripts::walk::{self, Entry};

/// What completes a replayed turn; transcripts have no line for it.
const COMPLETED: &[u8] = b"completed";

/// What one session does, over and over. Begins with [`Op::Begin`], ends with
/// [`Op::Complete`], never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The steps and their payloads.
    pub steps: Vec<(Op, Vec<u8>)>,
}

/// What was taken from a folder of transcripts.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// A script for each transcript with lines.
    pub scripts: Vec<Script>,
    /// Their payloads together.
    pub bytes: u64,
    /// Transcripts that were left out because the limit was reached.
    pub left_out: usize,
}

/// Reads the transcripts among `entries`, in order, until `limit_bytes` are reached. Files
/// that cannot be read are no work.
pub fn take(entries: &[Entry], line_limit_bytes: usize, limit_bytes: u64) -> Taken {
    let mut taken = Taken::default();
    for entry in entries {
        let Ok(transcript) = walk::open(entry, line_limit_bytes) else {
            continue;
        };
        if taken.bytes + entry.size_bytes > limit_bytes {
            taken.left_out += 1;
            continue;
        }
        let Ok(lines) = transcript.lines() else {
            continue;
        };
        let mut script = Script::default();
        for line in lines.map_while(Result::ok) {
            if line.place.starts && !script.steps.is_empty() {
                script.complete();
            }
            script.add(line.raw.bytes);
        }
        if !script.steps.is_empty() {
            script.complete();
            taken.bytes += script.steps.iter().map(|s| s.1.len() as u64).sum::<u64>();
            taken.scripts.push(script);
        }
    }
    taken
}

impl Script {
    fn add(&mut self, line: Vec<u8>) {
        let op = match self.steps.last() {
            None | Some((Op::Complete, _)) => Op::Begin,
            _ => Op::Event,
        };
        self.steps.push((op, line));
    }

    fn complete(&mut self) {
        self.steps.push((Op::Complete, COMPLETED.to_vec()));
    }
}

/// Writes scripts to a file that [`load`] reads.
///
/// # Errors
/// The system's.
pub fn save(scripts: &[Script], path: &Path) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for script in scripts {
        for (op, payload) in &script.steps {
            let op = match op {
                Op::Begin => b'b',
                Op::Event => b'e',
                Op::Complete => b'c',
            };
            out.write_all(&[op])?;
            out.write_all(&(payload.len() as u64).to_le_bytes())?;
            out.write_all(payload)?;
        }
        out.write_all(b"/")?;
    }
    out.flush()
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// The system's, or [`io::ErrorKind::InvalidData`] for a file that is no such thing.
pub fn load(path: &Path) -> io::Result<Vec<Script>> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not a workload");
    let file = fs::read(path)?;
    let mut rest = &file[..];
    let mut scripts = Vec::new();
    let mut script = Script::default();
    while let Some((tag, after)) = rest.split_first() {
        rest = after;
        let op = match tag {
            b'b' => Op::Begin,
            b'e' => Op::Event,
            b'c' => Op::Complete,
            b'/' => {
                scripts.push(std::mem::take(&mut script));
                continue;
            }
            _ => return Err(invalid()),
        };
        let mut len = [0; 8];
        rest.read_exact(&mut len).map_err(|_| invalid())?;
        let len = usize::try_from(u64::from_le_bytes(len)).map_err(|_| invalid())?;
        let (payload, after) = rest.split_at_checked(len).ok_or_else(invalid)?;
        script.steps.push((op, payload.to_vec()));
        rest = after;
    }
    let whole = script.steps.is_empty() && scripts.iter().all(|s| !s.steps.is_empty());
    match whole && !scripts.is_empty() {
        true => Ok(scripts),
        false => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use turnkeep_hosts::transcripts::lines::LINE_LIMIT_BYTES;

    fn fixtures() -> Vec<Entry> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hosts/tests/fixtures");
        walk::walk(&path).expect("the fixtures are there")
    }

    #[test]
    fn transcripts_become_turns_and_keep_their_lines() {
        let entries = fixtures();
        let taken = take(&entries, LINE_LIMIT_BYTES, u64::MAX);
        assert_eq!(taken.left_out, 0);
        let read = entries
            .iter()
            .filter_map(|e| walk::open(e, LINE_LIMIT_BYTES).ok());
        let files: Vec<_> = read.map(|t| fs::read(t.path).expect("reads")).collect();
        assert_eq!(files.len(), taken.scripts.len());
        let mut most_turns = 0;
        for (script, file) in taken.scripts.iter().zip(files) {
            assert_eq!(script.steps[0].0, Op::Begin);
            let mut before = Op::Complete;
            for (op, _) in &script.steps {
                assert_eq!(*op == Op::Begin, before == Op::Complete);
                before = *op;
            }
            assert_eq!(before, Op::Complete);
            let turns = script
                .steps
                .iter()
                .filter(|step| step.0 == Op::Begin)
                .count();
            most_turns = most_turns.max(turns);
            let lines = script.steps.iter().filter(|step| step.0 != Op::Complete);
            let lines: Vec<u8> = lines.flat_map(|step| step.1.clone()).collect();
            assert_eq!(lines, file);
        }
        // What stands before the first prompt, and three turns.
        assert_eq!(most_turns, 4);
    }

    #[test]
    fn the_limit_leaves_whole_transcripts_out() {
        let taken = take(&fixtures(), LINE_LIMIT_BYTES, 8_000);
        assert!(taken.left_out > 0 && !taken.scripts.is_empty());
    }

    #[test]
    fn frozen_scripts_come_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("work");
        let scripts = take(&fixtures(), LINE_LIMIT_BYTES, u64::MAX).scripts;
        save(&scripts, &path).expect("saves");
        assert_eq!(load(&path).expect("loads"), scripts);
        let file = fs::read(&path).expect("reads");
        for cut in [0, 5, file.len() - 1] {
            fs::write(&path, &file[..cut]).expect("writes");
            assert!(load(&path).is_err(), "cut at {cut}");
        }
    }
}
