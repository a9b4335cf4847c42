//! Writes transcripts in Claude Code's manner, to measure an import with:
//!
//! ```sh
//! cargo run --release -p turnkeep-hosts --example transcripts -- /tmp/t 1024
//! cargo build --release -p turnkeep-cli
//! command time -v target/release/turnkeep import /tmp/t --journal /tmp/t.journal --quiet
//! ```
//!
//! The second argument is how many MiB. Always the same bytes: prompts, answers, calls of tools and
//! their outputs, a kilobyte and a half a line on average, as real ones have.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Each file is about so large.
const FILE_BYTES: u64 = 16 << 20;

fn main() -> io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let (Some(folder), Some(mib)) = (args.next(), args.next()) else {
        eprintln!("usage: transcripts FOLDER MIB");
        std::process::exit(2);
    };
    let mib: u64 = mib.to_string_lossy().parse().map_err(io::Error::other)?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let mut random = Random(7);
    for number in 0..(mib << 20).div_ceil(FILE_BYTES) {
        let session = format!("{number:08x}-0000-4000-8000-000000000000");
        let path = folder.join(format!("{session}.jsonl"));
        let mut file = BufWriter::new(File::create_new(path)?);
        let (mut written, mut at) = (0, 0_u64);
        while written < FILE_BYTES {
            at += 1;
            let line = line(&session, at, &mut random);
            file.write_all(line.as_bytes())?;
            written += line.len() as u64;
        }
        file.flush()?;
    }
    Ok(())
}

/// xorshift: the same bytes on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Words with the quotes, line ends and letters that source code and prose have.
    fn text(&mut self, bytes: u64) -> String {
        const WORDS: [&str; 12] = [
            "let",
            "the",
            "journal",
            "\\n    ",
            "fn",
            "(x: u64)",
            "\\\"quoted\\\"",
            "läuft",
            "==",
            "recovery",
            "a",
            "\\t",
        ];
        let mut text = String::new();
        while (text.len() as u64) < bytes {
            text.push_str(WORDS[self.below(12) as usize]);
            text.push(' ');
        }
        text
    }
}

fn line(session: &str, at: u64, random: &mut Random) -> String {
    let head = format!(
        "{{\"parentUuid\":\"u{}\",\"isSidechain\":false,\"userType\":\"external\",\"cwd\":\"/w\",\
         \"sessionId\":\"{session}\",\"version\":\"2.1.0\",\"gitBranch\":\"main\",\"uuid\":\"u{at}\",\
         \"timestamp\":\"2026-05-01T10:00:00.000Z\"",
        at - 1
    );
    match at % 8 {
        1 => {
            let len = 50 + random.below(400);
            let text = random.text(len);
            format!(
                "{head},\"type\":\"user\",\"message\":{{\"role\":\"user\",\"content\":\"{text}\"}}}}\n"
            )
        }
        at if at % 2 == 0 && at > 0 => {
            let len = 100 + random.below(600);
            let text = random.text(len);
            format!(
                "{head},\"type\":\"assistant\",\"message\":{{\"role\":\"assistant\",\"content\":\
                 [{{\"type\":\"text\",\"text\":\"{text}\"}},{{\"type\":\"tool_use\",\"id\":\"t\",\
                 \"name\":\"Read\",\"input\":{{\"path\":\"/w/x\"}}}}]}}}}\n"
            )
        }
        0 => {
            let len = 100 + random.below(900);
            let text = random.text(len);
            format!(
                "{head},\"type\":\"assistant\",\"message\":{{\"role\":\"assistant\",\"content\":\
                 [{{\"type\":\"text\",\"text\":\"{text}\"}}],\"stop_reason\":\"end_turn\"}}}}\n"
            )
        }
        _ => {
            let len = 200 + random.below(5000);
            let text = random.text(len);
            format!(
                "{head},\"type\":\"user\",\"message\":{{\"role\":\"user\",\"content\":\
                 [{{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":\"{text}\"}}]}}}}\n"
            )
        }
    }
}
