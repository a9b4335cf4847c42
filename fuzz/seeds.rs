//! What the fuzzers begin with: the kept files of the format, whole and in pieces.

use std::path::Path;

/// The inputs to begin a target with.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let segment = kept("00000000000000000017.seg");
    match target {
        "frame" => vec![segment[4096 + 64..4096 + 512].to_vec()],
        "group" => [4096, 4608, 6144].map(|at| segment[at..].to_vec()).to_vec(),
        "segment_header" => vec![segment[..128].to_vec()],
        "watermark" => vec![kept("WATERMARK")],
        "manifest" => vec![kept("manifest-00000002")],
        "state" => vec![kept("00000000000000000005.state")],
        "pack" => vec![kept("00000000000000000003.pack"), kept("compressed.pack")],
        "payload" => frames(&segment),
        "transcript" => transcripts(),
        // Structured inputs have no files; any bytes are some edits and some operations.
        _ => (1..=8_u64).map(noise).collect(),
    }
}

/// Small transcripts of either kind, cut in the middle for the first import.
fn transcripts() -> Vec<Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hosts/tests/fixtures");
    let listed = ["claude", "codex", "damage", "shape"].map(|kind| {
        let listed = std::fs::read_dir(fixtures.join(kind)).expect("the folder is there");
        listed.map(|entry| entry.expect("lists").path())
    });
    let mut paths: Vec<_> = listed.into_iter().flatten().collect();
    paths.sort();
    let files = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    files
        .map(|path| std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        .map(|file| [&((file.len() / 2) as u16).to_le_bytes()[..], &file].concat())
        .collect()
}

/// The payloads of the first groups' frames.
fn frames(segment: &[u8]) -> Vec<Vec<u8>> {
    let seed = turnkeep::format::checksum::Seed::of_life(
        crate::decoders::JOURNAL,
        crate::decoders::SEGMENT.get(),
    );
    let group =
        turnkeep::format::group::Group::decode(seed, crate::decoders::SEGMENT, &segment[4096..]);
    let group = group.expect("the kept segment begins with a group");
    group
        .frames()
        .map(|(_, frame)| frame.payload.to_vec())
        .collect()
}

/// Bytes that look like nothing in particular.
pub fn noise(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let len = 64 + random.below(600);
    (0..len).map(|_| random.next() as u8).collect()
}

fn kept(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/v1")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A small generator: everything follows from its seed.
pub struct Random(pub u64);

impl Random {
    /// The next number (SplitMix64).
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
