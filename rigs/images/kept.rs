//! An image in which something was wrong, kept as a file beside what was told before the cut: it
//! can be mounted by hand, and replayed.

use super::recording::{Host, Life};
use super::volume::Kind;
use crate::ledger::Said;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Copies the disk at `disk` to `to`, and writes beside it what was told.
///
/// # Errors
/// What the system says.
pub fn keep(disk: &Path, to: &Path, kind: Kind, lives: &[Life]) -> io::Result<()> {
    let mut from = File::open(disk)?;
    let mut copy = File::create(to)?;
    let mut bytes = vec![0; 1 << 16];
    loop {
        let len = from.read(&mut bytes)?;
        match &bytes[..len] {
            [] => break,
            part if part.iter().all(|byte| *byte == 0) => {
                copy.seek(SeekFrom::Current(len as i64))?;
            }
            part => copy.write_all(part)?,
        }
    }
    let end = copy.stream_position()?;
    copy.set_len(end)?;
    let mut lines = format!("{}\n", kind.name());
    for life in lives {
        let Host {
            seed,
            steps,
            threads,
        } = life.host;
        lines.push_str(&format!("host {seed} {steps} {}\n", u8::from(threads)));
        for (said, _) in &life.told {
            let bytes = said.encode();
            let words = bytes.chunks(8).map(|word| {
                let word = word.try_into().expect("eight bytes");
                u64::from_le_bytes(word).to_string()
            });
            let words: Vec<String> = words.collect();
            lines.push_str(&format!("said {}\n", words.join(" ")));
        }
    }
    fs::write(beside(to), lines)
}

/// Reads what was told before the image at `path` was cut.
///
/// # Errors
/// What the system says, or what is no such file.
pub fn told(path: &Path) -> io::Result<(Kind, Vec<Life>)> {
    let lines = fs::read_to_string(beside(path))?;
    read(&lines).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn read(lines: &str) -> Option<(Kind, Vec<Life>)> {
    let mut lines = lines.lines();
    let kind = Kind::named(lines.next()?)?;
    let mut lives: Vec<Life> = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let word = words.next()?;
        let numbers: Vec<u64> = words.map(|n| n.parse().ok()).collect::<Option<_>>()?;
        match (word, &numbers[..]) {
            ("host", [seed, steps, threads]) => lives.push(Life {
                host: Host {
                    seed: *seed,
                    steps: *steps as usize,
                    threads: *threads != 0,
                },
                told: Vec::new(),
            }),
            ("said", numbers) => {
                let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
                let said = Said::decode(bytes[..].try_into().ok()?);
                lives.last_mut()?.told.push((said, 0));
            }
            _ => return None,
        }
    }
    Some((kind, lives))
}

fn beside(image: &Path) -> PathBuf {
    image.with_extension("told")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_an_image_reads_back() {
        let home = tempfile::tempdir().unwrap();
        let (disk, image) = (home.path().join("disk"), home.path().join("wrong.img"));
        let mut bytes = vec![0; 1 << 20];
        bytes[300_000..300_010].fill(7);
        fs::write(&disk, &bytes).unwrap();
        let host = Host {
            seed: u64::MAX,
            steps: 9,
            threads: true,
        };
        let said = Said::Stepped {
            code: 0,
            before: 1,
            accepted: 3,
            durable: 2,
        };
        let life = |told| Life { host, told };
        let lives = [life(vec![(said, 5)]), life(Vec::new())];
        keep(&disk, &image, Kind::Xfs, &lives).unwrap();
        assert_eq!(fs::read(&image).unwrap(), bytes);
        let (kind, back) = told(&image).unwrap();
        assert_eq!((kind, back.len()), (Kind::Xfs, 2));
        assert_eq!(back[0].host, host);
        assert_eq!(back[0].told, [(said, 0)]);
        assert!(back[1].told.is_empty());
    }
}
