//! A document into its session: what is new of its messages, its queue and its frame.

use super::cursor::FRAME;
use super::place::{Place, same_file};
use super::split::Split;
use super::{DocumentKind, Reading};
use crate::error::Result;
use crate::import::feed::{Feed, Piece};
use crate::import::note::{ItemNote, cut};
use crate::import::queue;
use crate::report::{FileReport, Finding};
use crate::transcripts::turns::Mark;
use turnkeep::Journal;

/// Adds everything in the document that is not there. Nothing but queued input is waited for:
/// what is accepted when this returns is durable after the journal's next sync.
///
/// # Errors
/// The journal's.
pub fn add(
    journal: &Journal,
    kind: &DocumentKind,
    source: &str,
    split: &Split<'_>,
    reading: &Reading,
    place: Place,
    report: &mut FileReport,
) -> Result<()> {
    let Place {
        session,
        mut cursor,
        open_turn,
        is_shorter,
    } = place;
    let frame = split.frame().encode();
    let hash = crate::import::cursor::hash(&frame);
    if cursor.is_copy && !reading.is_copy {
        // The copy came first; from now on the file is the one that it is a copy of.
        (cursor.source, cursor.is_copy) = (source.to_owned(), false);
    }
    let is_own = reading.is_copy == cursor.is_copy && same_file(&cursor.source, source);
    let was = cursor.items;
    report.session = session.id().to_owned();
    report.already_there = was.min(split.len() as u64);
    if is_shorter && !cursor.knows(hash) {
        let (here, there) = (split.len(), was);
        report.findings.push(Finding::new(
            "document.shorter",
            format!("the file has {here} messages and the journal {there}; none was taken away"),
        ));
    }
    let queued = cursor.queued.clone();
    // What a copy says of the queue is of an earlier time, and takes nothing back.
    if !reading.is_copy {
        queue::follow(&session, &reading.queue, &mut cursor.queued, report)?;
    }
    let turns = cursor.turns.clone();
    let is_queue_new = cursor.queued != queued;
    let mut feed = Feed::resume(journal, session, cursor, turns, open_turn);
    if is_queue_new {
        feed.touch();
    }
    if let (Some(lead), false) = (&reading.lead, feed.bookmark.led) {
        let piece = Piece {
            name: lead.name,
            actor: &lead.actor,
            extra: ItemNote::derived(lead.time.as_deref()).encode(),
            bytes: lead.content.as_bytes(),
            key: reading.session.as_bytes(),
            mark: Mark::Begins,
        };
        feed.take(&piece, |cursor| cursor.led = true)?;
    }
    for index in was as usize..split.len() {
        let (raw, offset) = split.item(index);
        let meta = (kind.item)(raw);
        let extra = ItemNote {
            item: Some(index as u64),
            time: meta.timestamp.as_deref().map(cut),
            tool: meta.tool_name.as_deref().map(cut),
            turn: meta.turn_id.as_deref().map(cut),
            offset: Some(offset),
            ..ItemNote::default()
        };
        let piece = Piece {
            name: &cut(&meta.kind),
            actor: &cut(meta.role.as_deref().unwrap_or_default()),
            extra: extra.encode(),
            bytes: raw.as_bytes(),
            key: b"",
            mark: meta.mark,
        };
        feed.take(&piece, |cursor| {
            cursor.items = index as u64 + 1;
            cursor.chain = cursor.chain.push(raw);
        })?;
        report.lines += 1;
        report.bytes += raw.len() as u64;
    }
    if let Some(outcome) = reading.end {
        feed.end_turn(outcome);
    }
    if !feed.bookmark.knows(hash) {
        let extra = ItemNote {
            frame: Some(hash),
            source: Some(cut(source)),
            ..ItemNote::default()
        };
        let piece = Piece {
            name: FRAME,
            actor: "",
            extra: extra.encode(),
            bytes: &frame,
            key: b"",
            mark: Mark::Other,
        };
        feed.take_outside(&piece, |cursor| {
            cursor.learn(hash);
            // Of an older copy elsewhere it is history, not what the file is now.
            if is_own || cursor.frame.is_none() {
                cursor.frame = Some(hash);
            }
        })?;
        report.bytes += split.frame_bytes();
    } else if is_own && feed.bookmark.frame != Some(hash) {
        feed.bookmark.frame = Some(hash);
        feed.touch();
    }
    report.turns = feed.finish(reading.lead.is_none())?;
    Ok(())
}
