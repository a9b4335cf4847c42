//! What is done to a journal: one damage at a time, each of them listed.

use super::tree::Files;
use super::world::World;
use std::fmt;
use std::sync::Arc;

/// One damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A byte has another value.
    Byte { file: String, at: usize, value: u8 },
    /// A file ends earlier.
    Cut { file: String, len: usize },
    /// An aligned block holds zeros.
    Zeros { file: String, at: usize, len: usize },
    /// A file is gone.
    Gone { file: String },
    /// A file is there, and empty.
    Empty { file: String },
    /// A file holds everything twice, one after the other.
    Doubled { file: String },
    /// Two files have changed their names.
    Swapped { file: String, with: String },
    /// A file is what it was at some time before.
    Older { file: String, version: usize },
    /// A file is that of another journal.
    Foreign { file: String },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Byte { file, at, value } => write!(f, "{file}: byte {at} is {value:#04x}"),
            Damage::Cut { file, len } => write!(f, "{file}: cut to {len} bytes"),
            Damage::Zeros { file, at, len } => write!(f, "{file}: {len} zeros at {at}"),
            Damage::Gone { file } => write!(f, "{file}: gone"),
            Damage::Empty { file } => write!(f, "{file}: empty"),
            Damage::Doubled { file } => write!(f, "{file}: doubled"),
            Damage::Swapped { file, with } => write!(f, "{file}: swapped with {with}"),
            Damage::Older { file, version } => write!(f, "{file}: as it was before ({version})"),
            Damage::Foreign { file } => write!(f, "{file}: another journal's"),
        }
    }
}

impl Damage {
    /// The files that it hits.
    pub fn files(&self) -> Vec<&str> {
        match self {
            Damage::Swapped { file, with } => vec![file, with],
            Damage::Byte { file, .. }
            | Damage::Cut { file, .. }
            | Damage::Zeros { file, .. }
            | Damage::Gone { file }
            | Damage::Empty { file }
            | Damage::Doubled { file }
            | Damage::Older { file, .. }
            | Damage::Foreign { file } => vec![file],
        }
    }

    /// The files of `world` with this damage. The others are shared.
    pub fn apply(&self, world: &World) -> Files {
        let mut files = world.files.clone();
        let bytes = |name: &String| world.files[name].to_vec();
        let mut put = |name: &String, bytes: Vec<u8>| files.insert(name.clone(), Arc::new(bytes));
        match self {
            Damage::Byte { file, at, value } => {
                let mut bytes = bytes(file);
                bytes[*at] = *value;
                put(file, bytes);
            }
            Damage::Cut { file, len } => drop(put(file, world.files[file][..*len].to_vec())),
            Damage::Zeros { file, at, len } => {
                let mut bytes = bytes(file);
                bytes[*at..*at + *len].fill(0);
                put(file, bytes);
            }
            Damage::Gone { file } => drop(files.remove(file)),
            Damage::Empty { file } => drop(put(file, Vec::new())),
            Damage::Doubled { file } => drop(put(file, world.files[file].repeat(2))),
            Damage::Swapped { file, with } => {
                put(file, bytes(with));
                put(with, bytes(file));
            }
            Damage::Older { file, version } => {
                files.insert(file.clone(), world.older[file][*version].clone());
            }
            Damage::Foreign { file } => {
                files.insert(file.clone(), world.foreign[file].clone());
            }
        }
        files
    }
}

/// A part of all damages, small enough to be handed to a thread.
#[derive(Clone, Debug)]
pub enum Part {
    /// Bytes, truncations and blocks from here up to there of a file.
    Bytes {
        file: String,
        from: usize,
        to: usize,
    },
    /// Whole files.
    WholeFiles,
}

/// All parts of a journal's damages.
pub fn parts(world: &World) -> Vec<Part> {
    let mut parts = vec![Part::WholeFiles];
    for (file, bytes) in &world.files {
        for from in (0..bytes.len()).step_by(256) {
            let to = (from + 256).min(bytes.len());
            let file = file.clone();
            parts.push(Part::Bytes { file, from, to });
        }
    }
    parts
}

/// How many bytes of the ones that are not marked there are to one that the quick run damages.
const STRIDE: u64 = 41;

/// Hands each damage of a part to `visit`: everything, or for a quick run the marked places and a
/// sample of the others that is the same each time.
pub fn each(world: &World, part: &Part, everything: bool, mut visit: impl FnMut(Damage)) {
    let Part::Bytes { file, from, to } = part else {
        return whole_files(world, visit);
    };
    let bytes = &world.files[file];
    let is_marked = |at: usize| world.marked[file].iter().any(|range| range.contains(&at));
    for at in *from..*to {
        let chance = mix(at as u64 ^ u64::from(world.shape.seed) << 32);
        let is_wanted = everything || is_marked(at) || chance.is_multiple_of(STRIDE);
        for value in values(bytes[at]) {
            // Of the sample one of the ten ways, of marked places all.
            let is_drawn = everything || is_marked(at) || value.0 == chance as usize / 64 % 10;
            if is_wanted && is_drawn {
                let (file, value) = (file.clone(), value.1);
                visit(Damage::Byte { file, at, value });
            }
        }
        if everything || chance.is_multiple_of(4) && is_wanted {
            let file = file.clone();
            visit(Damage::Cut { file, len: at });
        }
        for len in [512, 4096] {
            let block = &bytes[at..(at + len).min(bytes.len())];
            if at.is_multiple_of(len) && block.iter().any(|byte| *byte != 0) {
                let (file, len) = (file.clone(), block.len());
                visit(Damage::Zeros { file, at, len });
            }
        }
    }
}

/// The values that a byte is changed to, each with its number: one bit flipped, none set, all set.
fn values(byte: u8) -> impl Iterator<Item = (usize, u8)> {
    let flipped = (0..8).map(move |bit| byte ^ 1 << bit);
    let mut seen = [false; 256];
    seen[usize::from(byte)] = true;
    let all = flipped.chain([0, 0xFF]).enumerate();
    all.filter(move |(_, value)| !std::mem::replace(&mut seen[usize::from(*value)], true))
}

fn whole_files(world: &World, mut visit: impl FnMut(Damage)) {
    for (file, bytes) in &world.files {
        let name = || file.clone();
        visit(Damage::Gone { file: name() });
        visit(Damage::Empty { file: name() });
        visit(Damage::Doubled { file: name() });
        for with in world.files.keys().filter(|with| *with > file) {
            let with = with.clone();
            visit(Damage::Swapped { file: name(), with });
        }
        for version in 0..world.older.get(file).map_or(0, Vec::len) {
            visit(Damage::Older {
                file: name(),
                version,
            });
        }
        if world.foreign.get(file).is_some_and(|other| other != bytes) {
            visit(Damage::Foreign { file: name() });
        }
    }
}

/// A number that looks like chance, and is the same each time.
fn mix(n: u64) -> u64 {
    let n = (n ^ n >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ n >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n ^ n >> 32
}
