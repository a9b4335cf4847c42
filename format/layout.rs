//! Where each field stands: the tables of `docs/FORMAT.md`, in code.
//!
//! The tests of this module encode every structure with a different value in each field and
//! find each value where the table says; `tests/format_doc.rs` compares the tables with the
//! document. So code, table and prose change together or not at all.

use super::frame::FRAME_HEADER_LEN;
use super::group::GROUP_HEADER_LEN;
use super::header::{FileKind, HEADER_LEN};
use super::manifest::MANIFEST_HEADER_LEN;
use super::pack::PACK_FOOTER_LEN;
use super::pack_block::BLOCK_HEADER_LEN;
use super::pack_index::{BLOCK_ENTRY_LEN, ORDER_ENTRY_LEN, RECORD_ENTRY_LEN, SESSION_ENTRY_LEN};
use super::seal::SEAL_HEADER_LEN;
use super::state::{STATE_ENTRY_LEN, STATE_FOOTER_LEN};
use super::watermark::SLOT_LEN;

/// A field: offset from the begin of its structure, length in bytes, name. Reserved bytes, which
/// are written as zeros, are called `zero`.
pub type Field = (usize, usize, &'static str);

/// A structure of fixed layout. Its fields leave no byte out.
#[derive(Clone, Copy, Debug)]
pub struct Structure {
    /// Its name, a heading in the document.
    pub name: &'static str,
    /// Offset of its end. Where the first fields are another structure's, the table begins
    /// behind them.
    pub end: usize,
    /// Its fields, in order.
    pub fields: &'static [Field],
}

/// Every structure of fixed layout.
pub const STRUCTURES: &[Structure] = &[
    FILE_HEADER,
    SEGMENT_HEADER,
    GROUP_HEADER,
    FRAME_HEADER,
    SEALED_CONTENT,
    WATERMARK_SLOT,
    PACK_HEADER,
    BLOCK_HEADER,
    SESSION_ENTRY,
    BLOCK_ENTRY,
    RECORD_ENTRY,
    ORDER_ENTRY,
    PACK_FOOTER,
    STATE_HEADER,
    STATE_ENTRY,
    STATE_FOOTER,
    MANIFEST_BODY_HEADER,
];

/// See `format::header`.
pub const FILE_HEADER: Structure = Structure {
    name: "File header",
    end: 48,
    fields: &[
        (0, 8, "magic"),
        (8, 2, "version"),
        (10, 2, "header_len"),
        (12, 4, "crc"),
        (16, 16, "journal"),
        (32, 8, "id"),
        (40, 4, "seed"),
        (44, 4, "flags"),
    ],
};

/// See `format::segment`.
pub const SEGMENT_HEADER: Structure = Structure {
    name: "Segment header",
    end: FileKind::Segment.header_len(),
    fields: &[
        (48, 8, "capacity"),
        (56, 8, "base_lsn"),
        (64, 8, "zero"),
        (72, 4, "group_align"),
        (76, 4, "base_link"),
        (80, 4, "base_group_link"),
        (84, 4, "zero"),
        (88, 8, "created_ms"),
        (96, 32, "zero"),
    ],
};

/// See `format::group`.
pub const GROUP_HEADER: Structure = Structure {
    name: "Group header",
    end: GROUP_HEADER_LEN,
    fields: &[
        (0, 4, "magic"),
        (4, 4, "crc"),
        (8, 8, "segment"),
        (16, 8, "first_lsn"),
        (24, 8, "durable_lsn"),
        (32, 4, "body_len"),
        (36, 4, "frame_count"),
        (40, 4, "prev_group"),
        (44, 4, "flags"),
        (48, 4, "epoch"),
        (52, 4, "frames_check"),
        (56, 8, "at_ms"),
    ],
};

/// See `format::frame`.
pub const FRAME_HEADER: Structure = Structure {
    name: "Frame header",
    end: FRAME_HEADER_LEN,
    fields: &[
        (0, 4, "crc"),
        (4, 4, "payload_check"),
        (8, 8, "lsn"),
        (16, 4, "session"),
        (20, 4, "seq"),
        (24, 4, "payload_len"),
        (28, 4, "prev"),
        (32, 4, "epoch"),
        (36, 1, "kind"),
        (37, 1, "flags"),
        (38, 1, "codec"),
        (39, 1, "body_version"),
    ],
};

/// See `format::seal`.
pub const SEALED_CONTENT: Structure = Structure {
    name: "Sealed content",
    end: SEAL_HEADER_LEN,
    fields: &[(0, 8, "key_id"), (8, 24, "nonce")],
};

/// See `format::watermark`.
pub const WATERMARK_SLOT: Structure = Structure {
    name: "Watermark slot",
    end: SLOT_LEN,
    fields: &[
        (0, 8, "counter"),
        (8, 8, "durable_lsn"),
        (16, 8, "segment"),
        (24, 8, "end_offset"),
        (32, 4, "flags"),
        (36, 4, "epoch"),
        (40, 20, "zero"),
        (60, 4, "crc"),
    ],
};

/// See `format::pack`.
pub const PACK_HEADER: Structure = Structure {
    name: "Pack header",
    end: FileKind::Pack.header_len(),
    fields: &[(48, 8, "lsn_from"), (56, 8, "lsn_to"), (64, 32, "zero")],
};

/// See `format::pack_block`.
pub const BLOCK_HEADER: Structure = Structure {
    name: "Block header",
    end: BLOCK_HEADER_LEN,
    fields: &[
        (0, 4, "magic"),
        (4, 4, "crc"),
        (8, 4, "stored_len"),
        (12, 4, "raw_len"),
        (16, 4, "stored_crc"),
        (20, 1, "codec"),
        (21, 3, "zero"),
    ],
};

/// See `format::pack_index`.
pub const SESSION_ENTRY: Structure = Structure {
    name: "Session entry",
    end: SESSION_ENTRY_LEN,
    fields: &[(0, 4, "session"), (4, 4, "first_record")],
};

/// See `format::pack_index`.
pub const BLOCK_ENTRY: Structure = Structure {
    name: "Block entry",
    end: BLOCK_ENTRY_LEN,
    fields: &[
        (0, 8, "offset"),
        (8, 4, "stored_len"),
        (12, 4, "raw_len"),
        (16, 4, "stored_crc"),
        (20, 4, "first_record"),
    ],
};

/// See `format::pack_index`.
pub const RECORD_ENTRY: Structure = Structure {
    name: "Record entry",
    end: RECORD_ENTRY_LEN,
    fields: &[
        (0, 8, "lsn"),
        (8, 4, "seq"),
        (12, 4, "block"),
        (16, 4, "off"),
        (20, 4, "len"),
    ],
};

/// See `format::pack_index`.
pub const ORDER_ENTRY: Structure = Structure {
    name: "Order entry",
    end: ORDER_ENTRY_LEN,
    fields: &[(0, 4, "record")],
};

/// See `format::pack`.
pub const PACK_FOOTER: Structure = Structure {
    name: "Pack footer",
    end: PACK_FOOTER_LEN,
    fields: &[
        (0, 8, "magic"),
        (8, 8, "id"),
        (16, 8, "lsn_from"),
        (24, 8, "lsn_to"),
        (32, 8, "index_offset"),
        (40, 8, "index_len"),
        (48, 8, "file_len"),
        (56, 4, "index_crc"),
        (60, 4, "sessions"),
        (64, 4, "blocks"),
        (68, 4, "records"),
        (72, 20, "zero"),
        (92, 4, "crc"),
    ],
};

/// See `format::state`.
pub const STATE_HEADER: Structure = Structure {
    name: "State header",
    end: HEADER_LEN,
    fields: &[(48, 8, "lsn"), (56, 8, "created_ms")],
};

/// See `format::state`.
pub const STATE_ENTRY: Structure = Structure {
    name: "State entry header",
    end: STATE_ENTRY_LEN,
    fields: &[
        (0, 4, "crc"),
        (4, 4, "body_crc"),
        (8, 4, "body_len"),
        (12, 4, "number"),
        (16, 4, "session"),
        (20, 1, "kind"),
        (21, 1, "codec"),
        (22, 2, "schema"),
    ],
};

/// See `format::state`.
pub const STATE_FOOTER: Structure = Structure {
    name: "State footer",
    end: STATE_FOOTER_LEN,
    fields: &[
        (0, 8, "magic"),
        (8, 8, "id"),
        (16, 8, "lsn"),
        (24, 8, "body_len"),
        (32, 4, "entries"),
        (36, 4, "body_crc"),
        (40, 20, "zero"),
        (60, 4, "crc"),
    ],
};

/// See `format::manifest`. Bytes 48 to 64 of the file header are reserved in a manifest.
pub const MANIFEST_BODY_HEADER: Structure = Structure {
    name: "Manifest body header",
    end: MANIFEST_HEADER_LEN,
    fields: &[
        (48, 16, "zero"),
        (64, 4, "body_len"),
        (68, 4, "body_crc"),
        (72, 1, "codec"),
        (73, 1, "zero"),
        (74, 2, "schema"),
        (76, 4, "crc"),
    ],
};

#[cfg(test)]
mod tests;
