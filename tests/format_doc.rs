//! `docs/FORMAT.md` and the code say the same: every table of the one is compared with the
//! other, in both directions.
//!
//! The layout tables in the code are themselves tied to what the encoders write, by the tests of
//! `format::layout`.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use turnkeep::format::body::MAX_BODY_BYTES;
use turnkeep::format::checksum::HEADER_SEED;
use turnkeep::format::header::{FORMAT_VERSION, FileKind};
use turnkeep::format::ids::{Epoch, JournalId, Lsn, PackId, SegmentId, SnapshotId};
use turnkeep::format::layout::STRUCTURES;
use turnkeep::format::manifest::{
    BODY_BINCODE, MANIFEST_SCHEMA, Manifest, PackRef, ReplayPoint, SnapshotRef,
};
use turnkeep::format::pack::PACK_FOOTER_MAGIC;
use turnkeep::format::pack_block::{BLOCK_MAGIC, BlockCodec, MAX_BLOCK_LEN, TARGET_BLOCK_LEN};
use turnkeep::format::segment::SEGMENT_DATA;
use turnkeep::format::state::{EntryKind, STATE_FOOTER_MAGIC};
use turnkeep::format::{frame, group, names, seal, watermark};
use turnkeep::model::event::{Envelope, Kind, MAX_ENVELOPE_BYTES, encode_payload};

const DOCUMENT: &str = include_str!("../docs/FORMAT.md");

/// A table of the document: the heading above it, its first row, and the others.
struct Table {
    heading: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

fn tables() -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let (mut heading, mut is_inside, mut is_code) = (String::new(), false, false);
    for line in DOCUMENT.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        if let Some(title) = line.strip_prefix('#') {
            heading = title.trim_start_matches('#').trim().to_owned();
        }
        if !line.starts_with('|') {
            is_inside = false;
        } else if !is_inside {
            is_inside = true;
            tables.push(Table {
                heading: heading.clone(),
                columns: cells(line),
                rows: Vec::new(),
            });
        } else if !line.starts_with("|---") {
            let table = tables.last_mut().expect("a table was begun");
            let row = cells(line);
            assert_eq!(row.len(), table.columns.len(), "{heading}: {line}");
            table.rows.push(row);
        }
    }
    assert!(tables.len() > 40, "only {} tables were found", tables.len());
    tables
}

fn tables_of<'a>(tables: &'a [Table], columns: &[&str]) -> Vec<&'a Table> {
    tables
        .iter()
        .filter(|table| table.columns == columns)
        .collect()
}

#[test]
fn every_field_stands_where_the_document_says() {
    let tables = tables();
    let mut documented = BTreeMap::new();
    for table in tables_of(&tables, &["offset", "size", "field", "meaning"]) {
        let fields: Vec<(usize, usize, String)> = table
            .rows
            .iter()
            .map(|row| {
                let number = |cell: &str| -> usize {
                    cell.parse()
                        .unwrap_or_else(|_| panic!("{}: {cell:?}", table.heading))
                };
                (number(&row[0]), number(&row[1]), row[2].clone())
            })
            .collect();
        let twice = documented.insert(table.heading.clone(), fields);
        assert!(twice.is_none(), "two tables under {:?}", table.heading);
    }
    // The one structure that is not this room's: the head of a payload.
    let head = documented
        .remove("Payload")
        .expect("the payload is documented");
    assert_eq!(head, [(0, 2, "envelope_len".to_owned())]);
    let mut payload = Vec::new();
    encode_payload(&Envelope::default(), b"content", &mut payload).expect("short");
    let envelope_len = usize::from(u16::from_le_bytes([payload[0], payload[1]]));
    assert_eq!(&payload[2 + envelope_len..], b"content");

    let mut coded = BTreeMap::new();
    for structure in STRUCTURES {
        let fields = structure
            .fields
            .iter()
            .map(|&(offset, size, name)| (offset, size, name.to_owned()))
            .collect::<Vec<_>>();
        coded.insert(structure.name.to_owned(), fields);
    }
    for (name, fields) in &coded {
        assert_eq!(
            documented.get(name),
            Some(fields),
            "{name}: document, then code"
        );
    }
    assert_eq!(
        documented, coded,
        "the document has a structure that the code has not"
    );
}

/// Bytes as the document spells them.
fn text(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b' '..=b'~' => text.push(char::from(byte)),
            other => write!(text, "\\x{other:02x}").expect("a string takes everything"),
        }
    }
    text + "\""
}

fn constants() -> BTreeMap<String, String> {
    let [a, b] = watermark::SLOT_OFFSETS;
    let mut constants: BTreeMap<String, String> = [
        ("`FORMAT_VERSION`", FORMAT_VERSION.to_string()),
        ("`HEADER_SEED`", format!("{:#010x}", HEADER_SEED.get())),
        ("`BODY_BINCODE`", BODY_BINCODE.to_string()),
        ("`MAX_BODY_BYTES`", MAX_BODY_BYTES.to_string()),
        ("`MAX_ENVELOPE_BYTES`", MAX_ENVELOPE_BYTES.to_string()),
        ("`SEGMENT_DATA`", SEGMENT_DATA.to_string()),
        ("`GROUP_MAGIC`", text(&group::GROUP_MAGIC.to_le_bytes())),
        ("`SEAL`", group::SEAL.to_string()),
        ("`CLOSE`", group::CLOSE.to_string()),
        ("`RELOG`", group::RELOG.to_string()),
        ("`MAX_BODY_LEN`", group::MAX_BODY_LEN.to_string()),
        ("`SEAL_HEADER_LEN`", seal::SEAL_HEADER_LEN.to_string()),
        ("`TAG_LEN`", seal::TAG_LEN.to_string()),
        ("`XCHACHA20_POLY1305`", seal::XCHACHA20_POLY1305.to_string()),
        ("`FRAME_ALIGN`", frame::FRAME_ALIGN.to_string()),
        ("`IN_BATCH`", frame::IN_BATCH.to_string()),
        ("`BATCH_END`", frame::BATCH_END.to_string()),
        ("`WATERMARK_LEN`", watermark::WATERMARK_LEN.to_string()),
        ("`SLOT_OFFSETS`", format!("{a}, {b}")),
        ("`CLEAN`", watermark::CLEAN.to_string()),
        ("`BLOCK_MAGIC`", text(&BLOCK_MAGIC.to_le_bytes())),
        ("`TARGET_BLOCK_LEN`", TARGET_BLOCK_LEN.to_string()),
        ("`MAX_BLOCK_LEN`", MAX_BLOCK_LEN.to_string()),
        ("`BlockCodec::Raw`", (BlockCodec::Raw as u8).to_string()),
        ("`BlockCodec::Lz4`", (BlockCodec::Lz4 as u8).to_string()),
        ("`PACK_FOOTER_MAGIC`", text(&PACK_FOOTER_MAGIC)),
        ("`STATE_FOOTER_MAGIC`", text(&STATE_FOOTER_MAGIC)),
        (
            "`EntryKind::Journal`",
            (EntryKind::Journal as u8).to_string(),
        ),
        (
            "`EntryKind::Session`",
            (EntryKind::Session as u8).to_string(),
        ),
        ("`EntryKind::Places`", (EntryKind::Places as u8).to_string()),
        (
            "`EntryKind::Tombstone`",
            (EntryKind::Tombstone as u8).to_string(),
        ),
        ("`MANIFEST_SCHEMA`", MANIFEST_SCHEMA.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for kind in [
        FileKind::Segment,
        FileKind::Pack,
        FileKind::State,
        FileKind::Manifest,
        FileKind::Watermark,
    ] {
        constants.insert(format!("`FileKind::{kind:?}` magic"), text(&kind.magic()));
        let header_len = kind.header_len().to_string();
        constants.insert(format!("`FileKind::{kind:?}` header length"), header_len);
    }
    constants
}

#[test]
fn every_constant_has_the_value_that_the_document_says() {
    let tables = tables();
    let mut documented = BTreeMap::new();
    for row in tables_of(&tables, &["constant", "value", "meaning"])
        .iter()
        .flat_map(|table| &table.rows)
    {
        let twice = documented.insert(row[0].clone(), row[1].clone());
        assert!(twice.is_none(), "{} is documented twice", row[0]);
    }
    for (name, value) in constants() {
        assert_eq!(
            documented.get(&name),
            Some(&value),
            "{name}: document, then code"
        );
    }
    assert_eq!(
        documented,
        constants(),
        "the document has a constant that this test has not"
    );
}

#[test]
fn every_kind_of_record_is_documented() {
    let tables = tables();
    let kinds = tables_of(&tables, &["kind", "name", "meaning"]);
    let documented: Vec<String> = kinds
        .iter()
        .flat_map(|table| &table.rows)
        .map(|row| format!("{} {}", row[0], row[1]))
        .collect();
    let coded: Vec<String> = Kind::ALL
        .iter()
        .map(|kind| format!("{} {}", kind.get(), kind.as_str()))
        .collect();
    assert_eq!(documented, coded);
}

/// The names of a structure's fields, in the order in which they are declared and encoded.
fn fields_of(value: &impl Debug) -> Vec<String> {
    let shown = format!("{value:#?}");
    shown
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| !line.starts_with([' ', '}', ']', ')']))
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn encoded_bodies_have_the_fields_of_the_document_in_its_order() {
    let replay = ReplayPoint {
        segment: SegmentId::new(1),
        offset: 4096,
        next_lsn: Lsn::new(1),
        link: 0,
        group_link: 0,
        epoch: Epoch::new(0),
    };
    let pack = PackRef {
        id: PackId::new(1),
        lsn_from: Lsn::new(1),
        lsn_to: Lsn::new(2),
        records: 0,
        bytes: 0,
        index_crc: 0,
    };
    let snapshot = SnapshotRef {
        id: SnapshotId::new(1),
        lsn: Lsn::new(2),
        state_len: 0,
        state_crc: 0,
        packs: vec![],
        log_from: SegmentId::new(1),
        replay,
    };
    let manifest = Manifest {
        journal: JournalId([0; 16]),
        generation: 1,
        created_ms: 0,
        group_align: 4096,
        next_snapshot: SnapshotId::new(2),
        next_pack: PackId::new(2),
        log_floor: SegmentId::new(1),
        snapshots: vec![],
    };
    let in_header = fields_of(&manifest)[..2].to_vec();
    assert_eq!(
        in_header,
        ["journal", "generation"],
        "these stand in the file header"
    );
    let bodies = [
        ("Envelope", fields_of(&Envelope::default())),
        ("Manifest", fields_of(&manifest)[2..].to_vec()),
        ("SnapshotRef", fields_of(&snapshot)),
        ("PackRef", fields_of(&pack)),
        ("ReplayPoint", fields_of(&replay)),
    ];
    let tables = tables();
    let is_body = |table: &&Table| table.columns[0].starts_with("field of ");
    assert_eq!(tables.iter().filter(is_body).count(), bodies.len());
    for (name, coded) in bodies {
        let column = format!("field of `{name}`");
        let found = tables_of(&tables, &[&column, "type", "meaning"]);
        let documented: Vec<String> = found
            .iter()
            .flat_map(|table| &table.rows)
            .map(|row| row[0].clone())
            .collect();
        assert_eq!(documented, coded, "{name}: document, then code");
    }
}

#[test]
fn every_name_of_a_file_is_documented() {
    let tables = tables();
    let documented: Vec<String> = tables_of(&tables, &["name", "what it is"])
        .iter()
        .flat_map(|table| &table.rows)
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    let digits = |name: String| {
        let number = |width: usize, what: &str| {
            (format!("{:0width$}", 7), format!("<{what}, {width} digits"))
        };
        let (eight, eight_said) = number(8, "generation");
        match name {
            name if name.starts_with("manifest") => {
                name.replace(&eight, &format!("{eight_said} or more>"))
            }
            name => name.replace(&number(20, "").0, "<20>"),
        }
    };
    let coded = [
        names::LOCK.to_owned(),
        names::WATERMARK.to_owned(),
        digits(names::manifest(7)),
        digits(names::segment(SegmentId::new(7))),
        digits(names::spare(7)),
        digits(names::pack(PackId::new(7))),
        digits(names::state(SnapshotId::new(7))),
        format!("*{}", names::TMP_SUFFIX),
        names::QUARANTINE.to_owned(),
        names::BACKUP.to_owned(),
    ];
    let said: Vec<String> = documented
        .iter()
        .map(|name| {
            ["segment id", "number", "pack id", "snapshot id"]
                .iter()
                .fold(name.clone(), |name, what| {
                    name.replace(&format!("<{what}, 20 digits>"), "<20>")
                })
        })
        .collect();
    assert_eq!(said, coded);
}
