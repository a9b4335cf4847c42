//! The decoders: each input as it is, and once more with its checksums made good.

use crate::mend;
use turnkeep::format::checksum::Seed;
use turnkeep::format::frame::{FRAME_HEADER_LEN, Frame};
use turnkeep::format::group::{GROUP_HEADER_LEN, Group, GroupHeader};
use turnkeep::format::ids::{JournalId, SegmentId};
use turnkeep::format::manifest::Manifest;
use turnkeep::format::pack::Pack;
use turnkeep::format::segment::SegmentHeader;
use turnkeep::format::state::StateFile;
use turnkeep::format::watermark::Watermark;
use turnkeep::model::event::{decode_payload, encode_payload};

/// The journal of the kept files.
pub const JOURNAL: JournalId = JournalId(*b"golden journal 0");

/// The segment among the kept files.
pub const SEGMENT: SegmentId = SegmentId::new(17);

fn seed() -> Seed {
    Seed::of_life(JOURNAL, SEGMENT.get())
}

fn twice(data: &[u8], mend: impl Fn(&mut [u8]), check: impl Fn(&[u8])) {
    check(data);
    let mut mended = data.to_vec();
    mend(&mut mended);
    check(&mended);
}

/// A frame: what is accepted encodes to the bytes that were read.
pub fn frame(data: &[u8]) {
    let mend = |bytes: &mut [u8]| {
        let _ = mend::frame(seed(), bytes);
    };
    twice(data, mend, |bytes| {
        let Ok((frame, taken)) = Frame::decode(seed(), bytes) else {
            return;
        };
        assert!(taken <= bytes.len() && taken.is_multiple_of(8));
        let mut header = [0; FRAME_HEADER_LEN];
        frame.header.encode(seed(), &mut header);
        assert_eq!(header, bytes[..FRAME_HEADER_LEN]);
        assert_eq!(frame.payload.len(), frame.header.payload_len as usize);
        assert!(bytes[FRAME_HEADER_LEN..].starts_with(frame.payload));
    });
}

/// A group: it has the frames that it says, one after the other.
pub fn group(data: &[u8]) {
    let mend = |bytes: &mut [u8]| {
        let _ = mend::group(seed(), bytes);
    };
    twice(data, mend, |bytes| {
        if let Ok((header, check)) = GroupHeader::decode(seed(), SEGMENT, bytes) {
            let mut again = [0; GROUP_HEADER_LEN];
            assert_eq!(header.encode(seed(), &mut again), check);
            assert_eq!(again, bytes[..GROUP_HEADER_LEN]);
        }
        let Ok(group) = Group::decode(seed(), SEGMENT, bytes) else {
            return;
        };
        assert!(group.header.len() <= bytes.len());
        let mut lsn = group.header.first_lsn;
        for (at, frame) in group.frames() {
            assert_eq!(frame.header.lsn, lsn);
            assert!(Frame::decode(seed(), &bytes[at..]).is_ok());
            lsn = lsn.next();
        }
        assert_eq!(lsn, group.header.end_lsn());
    });
}

/// A segment's header.
pub fn segment_header(data: &[u8]) {
    twice(data, mend_file, |bytes| {
        if let Ok(header) = SegmentHeader::decode(bytes) {
            assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        }
    });
}

/// The watermark page.
pub fn watermark(data: &[u8]) {
    twice(data, mend_file, |bytes| {
        if let Ok(mark) = Watermark::decode_page(JOURNAL, bytes) {
            let slot = &bytes[mark.slot_offset()..][..mark.encode(JOURNAL).len()];
            let other = &bytes[if mark.slot_offset() == 512 { 1024 } else { 512 }..];
            let encoded = mark.encode(JOURNAL);
            // Reserved bytes are not looked at; those that are come back.
            assert!(slot[..40] == encoded[..40] || other[..40] == encoded[..40]);
        }
    });
}

/// A manifest: what is accepted is consistent, and can be written again.
pub fn manifest(data: &[u8]) {
    twice(data, mend_file, |bytes| {
        let Ok(manifest) = Manifest::decode(bytes) else {
            return;
        };
        let mut again = Vec::new();
        manifest
            .encode(&mut again)
            .expect("what was read can be written");
        assert_eq!(Manifest::decode(&again), Ok(manifest));
    });
}

/// A state file: it has the entries that it says.
pub fn state(data: &[u8]) {
    twice(data, mend_file, |bytes| {
        if let Ok(file) = StateFile::decode(bytes) {
            let whole = file.entries().take_while(Result::is_ok).count();
            assert!(whole <= file.footer.entries as usize);
        }
        StateFile::first_fault(bytes);
    });
}

/// A pack: whatever its tables say, no read of it leaves it.
pub fn pack(data: &[u8]) {
    twice(data, mend_file, |bytes| {
        let Ok(pack) = Pack::decode(bytes) else {
            return;
        };
        let mut scratch = Vec::new();
        let index = pack.index;
        for i in 0..index.record_count() {
            let record = index.by_lsn(i).expect("every record has a place");
            let slot = index.record(record).expect("which is a record");
            assert_eq!(index.lower_bound_lsn(slot.lsn), i);
            if let Ok(raw) = pack.block(slot.block, &mut scratch)
                && let Ok(frame) = pack.frame(&slot, raw)
            {
                assert_eq!((frame.header.lsn, frame.header.seq), (slot.lsn, slot.seq));
            }
        }
        let _ = pack.verify(&mut scratch);
        // LZ4 cannot say more than 255 bytes with one.
        assert!(scratch.capacity() <= 4096 + 300 * bytes.len());
    });
}

/// A record's payload: envelope and content come back as they went in.
pub fn payload(data: &[u8]) {
    let Ok((envelope, content)) = decode_payload(data) else {
        return;
    };
    let mut again = Vec::new();
    encode_payload(&envelope, content, &mut again).expect("what was read can be written");
    assert_eq!(decode_payload(&again), Ok((envelope, content)));
}

fn mend_file(bytes: &mut [u8]) {
    let _ = mend::file(bytes);
}
