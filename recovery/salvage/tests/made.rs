//! Records and files that are made by hand.

use crate::format::checksum::{Seed, payload_checksum};
use crate::format::frame::{BODY_VERSION, Frame, FrameHeader};
use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};
use crate::model::event::{self, Envelope, encode_payload};
use crate::recovery::salvage::gather::{Found, Rank};
use crate::recovery::salvage::source::{FrameAt, Kind, Source};
use crate::storage::OpenMode;
use crate::storage::dir::Dir;
use crate::storage::sim::SimDisk;
use std::sync::Arc;

/// A record of session 1 that stands in the log, numbered as its LSN. Its check is its LSN times
/// ten, and it links to `prev`.
pub(in crate::recovery::salvage) fn found(lsn: u64, rank: Rank, prev: u32) -> Found {
    Found {
        lsn: Lsn::new(lsn),
        session: SessionNo::new(1),
        seq: Seq::new(lsn as u32),
        payload_check: 0,
        check: lsn as u32 * 10,
        prev,
        place: FrameAt {
            source: 0,
            at: lsn * 100,
            off: FrameAt::DIRECT,
            payload_len: 1,
        },
        rank,
    }
}

/// A file to be gathered from, with these bytes.
pub(in crate::recovery::salvage) fn source(
    kind: Kind,
    id: u64,
    seed: Seed,
    bytes: &[u8],
) -> Source {
    let disk = SimDisk::new(1);
    let dir = Dir::new(Arc::new(disk.clone()), "/by.hand");
    dir.storage().create_dir(dir.path()).expect("is made");
    disk.write_file(dir.join("file"), bytes)
        .expect("is written");
    Source {
        name: "file".into(),
        kind,
        id,
        seed,
        file: dir.open("file", OpenMode::Read).expect("opens"),
        len: bytes.len() as u64,
    }
}

/// A payload with this content.
pub(super) fn payload(content: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    encode_payload(&Envelope::default(), content, &mut payload).expect("encodes");
    payload
}

/// A frame of session 1, numbered as its LSN.
pub(super) fn frame(lsn: u64, payload: &[u8]) -> Frame<'_> {
    Frame {
        header: FrameHeader {
            payload_check: payload_checksum(payload),
            lsn: Lsn::new(lsn),
            session: SessionNo::new(1),
            seq: Seq::new(lsn as u32),
            payload_len: payload.len() as u32,
            prev: 0,
            epoch: Epoch::new(1),
            kind: event::Kind::Message.get(),
            flags: 0,
            codec: 0,
            body_version: BODY_VERSION,
        },
        check: 0,
        payload,
    }
}
