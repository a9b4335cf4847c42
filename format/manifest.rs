//! The manifest: which snapshots there are, and from where the log goes on.
//!
//! Each change is a new file with the next generation. The one with the highest generation that
//! validates is in force.

use super::body;
use super::bytes::{get_u16, get_u32, put_u16, put_u32};
use super::checksum::{Seed, checksum};
use super::fault::{Fault, expect, need, same};
use super::header::{FileHeader, FileKind};
use super::ids::{Epoch, JournalId, Lsn, PackId, SegmentId, SnapshotId};
use super::segment::SEGMENT_DATA;
use serde::{Deserialize, Serialize};

/// Length of what stands in front of the body: the file header and the body's own.
pub const MANIFEST_HEADER_LEN: usize = FileKind::Manifest.header_len() + 16;

/// Codec of a body: bincode 2, little-endian, variable-length integers.
pub const BODY_BINCODE: u8 = 1;

/// Version of the type that a manifest's body holds.
pub const MANIFEST_SCHEMA: u16 = 0;

const BODY_HEADER: usize = FileKind::Manifest.header_len();

const _: () = assert!(MANIFEST_HEADER_LEN.is_multiple_of(8));

/// What a manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The journal; in the file's header.
    #[serde(skip)]
    pub journal: JournalId,
    /// One more with each manifest, from 1; in the file's header.
    #[serde(skip)]
    pub generation: u64,
    /// When the journal was created; nothing is decided by it.
    pub created_ms: u64,
    /// Alignment of groups in segments that are made from now on.
    pub group_align: u32,
    /// The next snapshot's id; all there ever were are below.
    pub next_snapshot: SnapshotId,
    /// The next pack's id; all there ever were are below.
    pub next_pack: PackId,
    /// Segments below are garbage.
    pub log_floor: SegmentId,
    /// The kept snapshots, newest last.
    pub snapshots: Vec<SnapshotRef>,
}

/// A snapshot, as a manifest refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// Its id.
    pub id: SnapshotId,
    /// Its state is that of all records below.
    pub lsn: Lsn,
    /// Length of its state file.
    pub state_len: u64,
    /// The checksum in its state file's footer.
    pub state_crc: u32,
    /// The packs that hold its records, in order of LSN.
    pub packs: Vec<PackRef>,
    /// The first segment that still holds records which are in no pack.
    pub log_from: SegmentId,
    /// Where replay begins.
    pub replay: ReplayPoint,
}

/// A pack, as a manifest refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRef {
    /// Its id.
    pub id: PackId,
    /// First LSN that it answers for.
    pub lsn_from: Lsn,
    /// First LSN after those.
    pub lsn_to: Lsn,
    /// How many records it holds.
    pub records: u64,
    /// Length of its file.
    pub bytes: u64,
    /// The checksum of its index, which answers for every byte of its blocks.
    pub index_crc: u32,
}

/// Where in the log replay begins, and what the first group there must link to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayPoint {
    /// The segment.
    pub segment: SegmentId,
    /// The offset in it at which the next group begins.
    pub offset: u64,
    /// LSN of the next record.
    pub next_lsn: Lsn,
    /// The check of the last frame before; 0 if there is none.
    pub link: u32,
    /// The check of the last group before; 0 if there is none.
    pub group_link: u32,
    /// The writer of that group.
    pub epoch: Epoch,
}

impl Manifest {
    /// Appends the file's bytes to `out`.
    ///
    /// # Errors
    /// [`Fault::Field`] if the manifest contradicts itself (see [`Manifest::check`]), and
    /// [`Fault::Body`] if it is too long. `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.check()?;
        let begin = out.len();
        out.resize(begin + MANIFEST_HEADER_LEN, 0);
        if let Err(fault) = body::encode(self, out) {
            out.truncate(begin);
            return Err(body_fault(fault));
        }
        let seed = self.seed();
        let (header, body) = out[begin..].split_at_mut(MANIFEST_HEADER_LEN);
        put_u32(header, BODY_HEADER, body.len() as u32);
        put_u32(header, BODY_HEADER + 4, checksum(seed, body));
        header[BODY_HEADER + 8] = BODY_BINCODE;
        put_u16(header, BODY_HEADER + 10, MANIFEST_SCHEMA);
        let check = checksum(seed, &header[BODY_HEADER..BODY_HEADER + 12]);
        put_u32(header, BODY_HEADER + 12, check);
        FileHeader {
            kind: FileKind::Manifest,
            journal: self.journal,
            id: self.generation,
            seed: seed.get(),
        }
        .encode(&mut header[..BODY_HEADER]);
        Ok(())
    }

    /// Reads and checks a whole file.
    ///
    /// # Errors
    /// As [`FileHeader::decode`]; [`Fault::Short`], [`Fault::Checksum`], [`Fault::Field`] and
    /// [`Fault::Body`] for the body; and as [`Manifest::check`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let file = FileHeader::decode(FileKind::Manifest, bytes)?;
        need("manifest", bytes, MANIFEST_HEADER_LEN)?;
        let seed = Seed::of_file(file.journal, file.id, file.kind.magic());
        expect("seed", seed.get().into(), file.seed.into())?;
        let (header, body) = bytes.split_at(MANIFEST_HEADER_LEN);
        same(
            "manifest body header",
            get_u32(header, BODY_HEADER + 12),
            checksum(seed, &header[BODY_HEADER..BODY_HEADER + 12]),
        )?;
        expect(
            "length of the manifest's body",
            get_u32(header, BODY_HEADER).into(),
            body.len() as u64,
        )?;
        same(
            "manifest",
            get_u32(header, BODY_HEADER + 4),
            checksum(seed, body),
        )?;
        expect(
            "body codec",
            BODY_BINCODE.into(),
            header[BODY_HEADER + 8].into(),
        )?;
        expect(
            "schema of the manifest",
            MANIFEST_SCHEMA.into(),
            get_u16(header, BODY_HEADER + 10).into(),
        )?;
        let manifest = Manifest {
            journal: file.journal,
            generation: file.id,
            ..body::decode(body).map_err(body_fault)?
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// Finds what in a manifest cannot be, whoever made it.
    ///
    /// Snapshots ascend by id and none is ahead of a later one; ids are below the next ones;
    /// packs ascend, do not overlap and end at or below their snapshot; two references to one
    /// pack are equal; replay begins at the snapshot's LSN, in a segment that is not garbage.
    ///
    /// # Errors
    /// [`Fault::Field`] for the first contradiction.
    pub fn check(&self) -> Result<(), Fault> {
        at_least("manifest generation", 1, self.generation)?;
        let align = self.group_align;
        if !align.is_power_of_two() || !(8..=65536).contains(&align) {
            return Err(Fault::Field {
                field: "group alignment",
                expected: 4096,
                found: align.into(),
            });
        }
        let mut before = (0, Lsn::new(0));
        for snapshot in &self.snapshots {
            above("snapshot id", before.0, snapshot.id.get())?;
            above(
                "next snapshot id",
                snapshot.id.get(),
                self.next_snapshot.get(),
            )?;
            at_least("lsn of a snapshot", before.1.get(), snapshot.lsn.get())?;
            snapshot.check(self)?;
            before = (snapshot.id.get(), snapshot.lsn);
        }
        let mut packs: Vec<&PackRef> = self.snapshots.iter().flat_map(|s| &s.packs).collect();
        packs.sort_unstable_by_key(|pack| pack.id);
        for pair in packs.windows(2) {
            if pair[0].id == pair[1].id && pair[0] != pair[1] {
                return Err(Fault::Field {
                    field: "checksum of a shared pack's index",
                    expected: pair[0].index_crc.into(),
                    found: pair[1].index_crc.into(),
                });
            }
        }
        Ok(())
    }

    fn seed(&self) -> Seed {
        Seed::of_file(self.journal, self.generation, FileKind::Manifest.magic())
    }
}

impl SnapshotRef {
    fn check(&self, manifest: &Manifest) -> Result<(), Fault> {
        let mut covered = Lsn::new(1);
        for pack in &self.packs {
            at_least("pack id", 1, pack.id.get())?;
            above("next pack id", pack.id.get(), manifest.next_pack.get())?;
            at_least("first lsn of a pack", covered.get(), pack.lsn_from.get())?;
            above(
                "end of a pack's lsns",
                pack.lsn_from.get(),
                pack.lsn_to.get(),
            )?;
            covered = pack.lsn_to;
        }
        at_least("lsn of a snapshot", covered.get(), self.lsn.get())?;
        let replay = &self.replay;
        expect("lsn of replay", self.lsn.get(), replay.next_lsn.get())?;
        at_least(
            "first segment of the log",
            manifest.log_floor.get(),
            self.log_from.get(),
        )?;
        at_least(
            "segment of replay",
            self.log_from.get(),
            replay.segment.get(),
        )?;
        at_least("offset of replay", SEGMENT_DATA, replay.offset)?;
        expect("alignment of replay", 0, replay.offset % 8)
    }
}

fn at_least(field: &'static str, least: u64, found: u64) -> Result<(), Fault> {
    if found < least {
        return Err(Fault::Field {
            field,
            expected: least,
            found,
        });
    }
    Ok(())
}

fn above(field: &'static str, before: u64, found: u64) -> Result<(), Fault> {
    if found <= before {
        return Err(Fault::Field {
            field,
            expected: before.saturating_add(1),
            found,
        });
    }
    Ok(())
}

fn body_fault(fault: body::BodyFault) -> Fault {
    Fault::Body {
        what: "manifest",
        why: fault.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn pack(id: u64, from: u64, to: u64) -> PackRef {
        PackRef {
            id: PackId::new(id),
            lsn_from: Lsn::new(from),
            lsn_to: Lsn::new(to),
            records: to - from,
            bytes: 4096,
            index_crc: id as u32 * 11,
        }
    }

    fn snapshot(id: u64, lsn: u64, packs: &[PackRef]) -> SnapshotRef {
        SnapshotRef {
            id: SnapshotId::new(id),
            lsn: Lsn::new(lsn),
            state_len: 300,
            state_crc: 5,
            packs: packs.to_vec(),
            log_from: SegmentId::new(4),
            replay: ReplayPoint {
                segment: SegmentId::new(6),
                offset: 8192,
                next_lsn: Lsn::new(lsn),
                link: 1,
                group_link: 2,
                epoch: Epoch::new(3),
            },
        }
    }

    fn sample() -> Manifest {
        Manifest {
            journal: JournalId([2; 16]),
            generation: 12,
            created_ms: 1,
            group_align: 4096,
            next_snapshot: SnapshotId::new(10),
            next_pack: PackId::new(10),
            log_floor: SegmentId::new(4),
            snapshots: vec![
                snapshot(7, 300, &[pack(1, 1, 100), pack(2, 100, 200)]),
                snapshot(
                    9,
                    500,
                    &[pack(1, 1, 100), pack(2, 100, 200), pack(3, 300, 500)],
                ),
            ],
        }
    }

    fn encode(manifest: &Manifest) -> Vec<u8> {
        let mut out = Vec::new();
        manifest.encode(&mut out).expect("a good manifest");
        out
    }

    pub(in crate::format) fn small() -> Vec<u8> {
        encode(&sample())
    }

    #[test]
    fn a_manifest_reads_back() {
        assert_eq!(Manifest::decode(&small()), Ok(sample()));
        let mut first = sample();
        first.snapshots.clear();
        assert_eq!(Manifest::decode(&encode(&first)), Ok(first));
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_is_refused() {
        let good = small();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                Manifest::decode(&bad).is_err(),
                "bit {bit} was flipped unseen"
            );
        }
        for len in 0..good.len() {
            assert!(
                Manifest::decode(&good[..len]).is_err(),
                "cut to {len} bytes"
            );
        }
        assert!(Manifest::decode(&[&good[..], &[0]].concat()).is_err());
    }

    #[test]
    fn what_contradicts_itself_is_neither_written_nor_read() {
        type Spoil = fn(&mut Manifest);
        let spoiled: [(&str, Spoil); 20] = [
            ("no generation", |m| m.generation = 0),
            ("alignment", |m| m.group_align = 4095),
            ("alignment too small", |m| m.group_align = 4),
            ("snapshots swapped", |m| m.snapshots.swap(0, 1)),
            ("snapshot doubled", |m| {
                m.snapshots[1].id = SnapshotId::new(7)
            }),
            ("snapshot id not given out", |m| {
                m.next_snapshot = SnapshotId::new(9)
            }),
            ("snapshot id 0", |m| m.snapshots[0].id = SnapshotId::new(0)),
            ("ids at the end of 64 bits", |m| {
                m.snapshots[1].id = SnapshotId::new(u64::MAX);
                m.next_snapshot = SnapshotId::new(u64::MAX);
            }),
            ("pack id not given out", |m| m.next_pack = PackId::new(3)),
            ("pack id 0", |m| m.snapshots[0].packs[0].id = PackId::new(0)),
            ("packs swapped", |m| m.snapshots[1].packs.swap(0, 1)),
            ("packs overlap", |m| {
                m.snapshots[1].packs[2].lsn_from = Lsn::new(199)
            }),
            ("pack is empty", |m| {
                m.snapshots[1].packs[2].lsn_from = Lsn::new(500)
            }),
            ("pack from lsn 0", |m| {
                m.snapshots[1].packs[0].lsn_from = Lsn::new(0)
            }),
            ("pack ahead of the snapshot", |m| {
                m.snapshots[1].packs[2].lsn_to = Lsn::new(501)
            }),
            ("pack means two things", |m| {
                m.snapshots[1].packs[0].index_crc = 1
            }),
            ("replay begins elsewhere", |m| {
                m.snapshots[1].replay.next_lsn = Lsn::new(499)
            }),
            ("log begins after replay", |m| {
                m.snapshots[1].log_from = SegmentId::new(7)
            }),
            ("log is garbage", |m| m.log_floor = SegmentId::new(5)),
            ("replay in a header", |m| {
                m.snapshots[1].replay.offset = 4088
            }),
        ];
        for (what, spoil) in spoiled {
            let mut manifest = sample();
            spoil(&mut manifest);
            let mut out = vec![1];
            assert!(manifest.encode(&mut out).is_err(), "{what} was written");
            assert_eq!(out, [1], "{what}");
        }
        let mut older = sample();
        older.snapshots[1].lsn = Lsn::new(200);
        older.snapshots[1].replay.next_lsn = Lsn::new(200);
        older.snapshots[1].packs.truncate(2);
        assert!(older.check().is_err(), "a newer snapshot knows less");
    }

    /// Two snapshots of one LSN are what erasing leaves: the older path, rewritten.
    #[test]
    fn twin_snapshots_are_fine() {
        let mut twins = sample();
        let mut twin = twins.snapshots[1].clone();
        twin.id = SnapshotId::new(8);
        twins.snapshots[0] = twin;
        assert_eq!(Manifest::decode(&encode(&twins)), Ok(twins));
    }

    #[test]
    fn a_body_that_lies_under_good_checksums_is_refused() {
        let good = small();
        let seed = sample().seed();
        let reseal = |bytes: &mut Vec<u8>| {
            let body_crc = checksum(seed, &bytes[MANIFEST_HEADER_LEN..]);
            put_u32(bytes, BODY_HEADER + 4, body_crc);
            let check = checksum(seed, &bytes[BODY_HEADER..BODY_HEADER + 12]);
            put_u32(bytes, BODY_HEADER + 12, check);
        };
        let mut resealed = good.clone();
        reseal(&mut resealed);
        assert_eq!(resealed, good);
        // The number of snapshots says 250; the codec is unknown; the schema is a later one.
        let count_at = MANIFEST_HEADER_LEN + 1 + 3 + 3;
        assert_eq!(good[count_at], 2);
        for (at, lie) in [(count_at, 250), (BODY_HEADER + 8, 2), (BODY_HEADER + 10, 1)] {
            let mut bad = good.clone();
            bad[at] = lie;
            reseal(&mut bad);
            assert!(Manifest::decode(&bad).is_err(), "byte {at}");
        }
    }
}
