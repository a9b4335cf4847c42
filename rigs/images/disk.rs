//! A disk whose writes and flushes are recorded, and what a power cut leaves of it.

use crate::random::Random;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const BLOCK: usize = 4096;

/// The contents of a disk; what was never written is zero. A clone shares its blocks.
#[derive(Clone, Debug, Default)]
pub struct Blocks(HashMap<u64, Arc<[u8; BLOCK]>>);

impl Blocks {
    /// Copies `bytes` to `offset`.
    pub fn write(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let within = (offset % BLOCK as u64) as usize;
            let len = bytes.len().min(BLOCK - within);
            let block = self.0.entry(offset / BLOCK as u64);
            let block = block.or_insert_with(|| Arc::new([0; BLOCK]));
            Arc::make_mut(block)[within..within + len].copy_from_slice(&bytes[..len]);
            offset += len as u64;
            bytes = &bytes[len..];
        }
    }

    /// The `len` bytes at `offset`.
    pub fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = (at % BLOCK as u64) as usize;
            let count = (len - done).min(BLOCK - within);
            if let Some(block) = self.0.get(&(at / BLOCK as u64)) {
                bytes[done..done + count].copy_from_slice(&block[within..within + count]);
            }
            done += count;
        }
        bytes
    }

    /// The contents of a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn load(file: &File) -> io::Result<Blocks> {
        let mut blocks = Blocks::default();
        let mut bytes = vec![0; 1 << 20];
        let size = file.metadata()?.len();
        let mut at = 0;
        while at < size {
            let len = bytes.len().min((size - at) as usize);
            file.read_exact_at(&mut bytes[..len], at)?;
            for (n, block) in bytes[..len].chunks(BLOCK).enumerate() {
                if block.iter().any(|byte| *byte != 0) {
                    blocks.write(at + (n * BLOCK) as u64, block);
                }
            }
            at += len as u64;
        }
        Ok(blocks)
    }

    /// A number that is the same for the same contents.
    pub fn fingerprint(&self) -> u64 {
        let zeros = [0; BLOCK];
        let blocks = self.0.iter().filter(|(_, block)| ***block != zeros);
        blocks.fold(0, |sum: u64, (at, block)| {
            let mut hasher = DefaultHasher::new();
            at.hash(&mut hasher);
            hasher.write(&**block);
            sum.wrapping_add(hasher.finish())
        })
    }
}

#[derive(Clone, Debug)]
enum Event {
    Write { offset: u64, bytes: Vec<u8> },
    Flush,
}

/// A disk in use.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    before: Blocks,
    log: Vec<Event>,
    now: Blocks,
}

/// What a power cut left.
#[derive(Clone, Debug)]
pub struct Cut {
    pub blocks: Blocks,
    /// So many writes and flushes had happened.
    pub point: u64,
    /// Sectors written since the last flush, and how many of them arrived.
    pub pending: u64,
    pub arrived: u64,
}

impl Disk {
    /// A disk with these contents, all of them durable.
    pub fn new(blocks: Blocks) -> Disk {
        Disk {
            before: blocks.clone(),
            log: Vec::new(),
            now: blocks,
        }
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.now.write(offset, bytes);
        let bytes = bytes.to_vec();
        self.log.push(Event::Write { offset, bytes });
    }

    pub fn flush(&mut self) {
        self.log.push(Event::Flush);
    }

    pub fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        self.now.read(offset, len)
    }

    /// What is there now.
    pub fn now(&self) -> Blocks {
        self.now.clone()
    }

    /// How many writes and flushes have happened.
    pub fn point(&self) -> u64 {
        self.log.len() as u64
    }

    pub fn flushes(&self) -> u64 {
        let flushes = self.log.iter().filter(|event| is_flush(event));
        flushes.count() as u64
    }

    /// Cuts the power where and how `random` says; a write tears between sectors of this size.
    pub fn cut(&self, sector: usize, random: &mut Random) -> Cut {
        let point = self.choose(random);
        self.cut_at(point, sector, random)
    }

    /// A quarter of the cuts are anywhere. The others are where most can go wrong: when a flush is
    /// complete (and what it was for may have been acknowledged), when one is about to begin, and
    /// when much is pending.
    fn choose(&self, random: &mut Random) -> usize {
        let flushes = self.log.iter().enumerate();
        let flushes = flushes.filter(|(_, event)| is_flush(event));
        let flushes: Vec<usize> = flushes.map(|(at, _)| at).collect();
        let flush = flushes.get(random.below(flushes.len() as u64) as usize);
        let much = self.much_pending();
        let much = much.get(random.below(much.len() as u64) as usize);
        match (random.below(4), flush, much) {
            (0, Some(flush), _) => flush + 1,
            (1, Some(flush), _) => *flush,
            (2, _, Some(point)) => *point,
            _ => random.below(self.log.len() as u64 + 1) as usize,
        }
    }

    /// Points at which three writes or more wait for a flush.
    fn much_pending(&self) -> Vec<usize> {
        let mut pending = 0;
        let mut points = Vec::new();
        for (at, event) in self.log.iter().enumerate() {
            pending = if is_flush(event) { 0 } else { pending + 1 };
            if pending >= 3 {
                points.push(at + 1);
            }
        }
        points
    }

    fn cut_at(&self, point: usize, sector: usize, random: &mut Random) -> Cut {
        let log = &self.log[..point];
        let flushed = log.iter().rposition(is_flush).map_or(0, |at| at + 1);
        let mut blocks = self.before.clone();
        for event in &log[..flushed] {
            if let Event::Write { offset, bytes } = event {
                blocks.write(*offset, bytes);
            }
        }
        let pending = &log[flushed..];
        let taste = Taste::random(pending.len(), random);
        let mut cut = Cut {
            blocks,
            point: point as u64,
            pending: 0,
            arrived: 0,
        };
        // In order: two writes to one sector stay in theirs, and any subset is as good as any
        // order of the rest.
        for (at, event) in pending.iter().enumerate() {
            let Event::Write { offset, bytes } = event else {
                continue;
            };
            let whole = random.chance(50);
            for (n, part) in bytes.chunks(sector).enumerate() {
                cut.pending += 1;
                if taste.arrives(at, whole, random) {
                    cut.arrived += 1;
                    cut.blocks.write(offset + (n * sector) as u64, part);
                }
            }
        }
        cut
    }
}

fn is_flush(event: &Event) -> bool {
    matches!(event, Event::Flush)
}

/// Which of the writes since the last flush arrive.
#[derive(Clone, Copy, Debug)]
enum Taste {
    Nothing,
    All,
    /// The first ones, and of the next one a part.
    First(usize),
    AllBut(usize),
    Only(usize),
    /// Of each write all or nothing.
    Writes,
    /// Each sector, in so many of a hundred cases.
    Sectors(u64),
}

impl Taste {
    fn random(pending: usize, random: &mut Random) -> Taste {
        let one = random.below(pending as u64) as usize;
        match random.below(10) {
            0..=1 => Taste::Nothing,
            2 => Taste::All,
            3 => Taste::First(one),
            4 => Taste::AllBut(one),
            5 => Taste::Only(one),
            6..=7 => Taste::Writes,
            _ => Taste::Sectors([10, 50, 90][random.below(3) as usize]),
        }
    }

    fn arrives(self, at: usize, whole: bool, random: &mut Random) -> bool {
        match self {
            Taste::Nothing => false,
            Taste::All => true,
            Taste::First(count) => at < count || (at == count && random.chance(50)),
            Taste::AllBut(one) => at != one,
            Taste::Only(one) => at == one,
            Taste::Writes => whole,
            Taste::Sectors(share) => random.chance(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sector `n` is written with `n`; a flush comes after every tenth.
    fn disk() -> Disk {
        let mut disk = Disk::new(Blocks::default());
        for n in 0..100_u64 {
            disk.write(n * 512, &[n as u8 + 1; 512]);
            if n % 10 == 9 {
                disk.flush();
            }
        }
        disk
    }

    #[test]
    fn a_write_tears_between_sectors_and_nowhere_else() {
        let mut disk = Disk::new(Blocks::default());
        disk.write(0, &[1; 2 * BLOCK]);
        for sector in [512, BLOCK] {
            let mut torn = 0;
            for seed in 0..500 {
                let cut = disk.cut_at(1, sector, &mut Random::new(seed));
                let bytes = cut.blocks.read(0, 2 * BLOCK);
                for sector in bytes.chunks(sector) {
                    assert!(sector.iter().all(|byte| *byte == sector[0]));
                }
                torn += u32::from(bytes.iter().any(|byte| *byte != bytes[0]));
            }
            assert!(torn > 50, "{torn}");
        }
    }

    #[test]
    fn a_cut_keeps_what_was_flushed_and_any_part_of_what_was_not() {
        let disk = disk();
        let (mut torn, mut points) = (0, std::collections::BTreeSet::new());
        for seed in 0..2000 {
            let cut = disk.cut(512, &mut Random::new(seed));
            points.insert(cut.point);
            let (rounds, rest) = (cut.point / 11, cut.point % 11);
            // A point just before a flush has ten writes that it does not cover.
            let mut arrived = 0;
            for n in 0..100 {
                let byte = cut.blocks.read(n * 512, 512)[0];
                let whole = cut.blocks.read(n * 512, 512) == vec![byte; 512];
                assert!(whole && (byte == 0 || byte == n as u8 + 1));
                if n < rounds * 10 {
                    assert_ne!(byte, 0, "seed {seed}: sector {n} was flushed");
                } else if n >= rounds * 10 + rest {
                    assert_eq!(byte, 0, "seed {seed}: sector {n} was never written");
                } else {
                    arrived += u64::from(byte != 0);
                }
            }
            assert_eq!((arrived, cut.pending), (cut.arrived, rest));
            torn += u32::from(arrived > 0 && arrived < rest);
        }
        assert_eq!(points.len(), 111, "every point is cut at");
        assert!(torn > 200, "{torn}");
    }

    #[test]
    fn the_same_contents_have_the_same_fingerprint() {
        let (a, mut b) = (disk().now(), disk().now());
        b.write(1 << 20, &[0; 4096]);
        assert_eq!(a.fingerprint(), b.fingerprint());
        b.write(1 << 20, &[1]);
        assert_ne!(a.fingerprint(), b.fingerprint());
    }

    #[test]
    fn what_is_written_across_blocks_reads_back() {
        let mut blocks = Blocks::default();
        let bytes: Vec<u8> = (0..10_000).map(|n| (n % 251) as u8).collect();
        blocks.write(4000, &bytes);
        assert_eq!(blocks.read(4000, 10_000), bytes);
        assert_eq!(blocks.read(3996, 6), [0, 0, 0, 0, 0, 1]);
    }
}
