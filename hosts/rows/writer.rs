//! A database into its sessions: rows that are new, and rows that have changed.

use super::Tables;
use super::database::Database;
use super::listing::{self, Listed, Present, Schema};
use super::row::{Row, as_text};
use crate::detect::Host;
use crate::documents::Waiting;
use crate::error::{Error, Result};
use crate::import::cursor::hash;
use crate::import::feed::{Bookmark, Feed, Piece};
use crate::import::note::{ItemNote, cut, cut_key};
use crate::import::queue;
use crate::import::target::{MAX_NAMESAKES, Targets, Why, bounded, namesakes};
use crate::report::{FileReport, Finding};
use crate::transcripts::turns::{Mark, Turns};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use turnkeep::Session;

/// The key of the bookmark.
pub const ROWS_KEY: &str = "import.rows";

/// The version of the bookmark that this release writes.
const VERSION: u32 = 1;

/// The name of records with the statements that made the tables.
pub const SCHEMA: &str = "sqlite_master";

/// The name of a record that says that a row is in the database no more.
pub const GONE: &str = "import.gone";

/// The session of rows that belong to none.
pub const TABLES: &str = "tables";

/// The largest row as JSON that becomes a record: what a journal takes unless told otherwise, less
/// what stands beside it.
const RECORD_LIMIT_BYTES: usize = 15 << 20;

/// How far the import of one session's rows has come. Which rows are there the records tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsCursor {
    version: u32,
    /// Whose database it is.
    pub host: Host,
    /// What it is to that host.
    pub format: String,
    /// Where it was below the folder that was imported first.
    pub source: String,
    /// Where it was on this machine at the last import. A row that is not there is gone only if
    /// this is the same database.
    #[serde(default)]
    pub place: u64,
    /// The turns up to there.
    pub turns: Turns,
    /// Input of the host's queue that was queued here, by its key: the input's number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queued: BTreeMap<String, u32>,
}

impl RowsCursor {
    /// Decodes the value.
    ///
    /// # Errors
    /// In words, when it is of a later release or damaged by another program.
    pub fn decode(value: &[u8]) -> Result<RowsCursor, String> {
        let cursor: RowsCursor = serde_json::from_slice(value).map_err(|e| e.to_string())?;
        match cursor.version {
            VERSION => Ok(cursor),
            other => Err(format!(
                "its version is {other}, this release knows {VERSION}"
            )),
        }
    }
}

impl Bookmark for RowsCursor {
    const KEY: &'static str = ROWS_KEY;

    fn set_turns(&mut self, turns: Turns) {
        self.turns = turns;
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings are JSON")
    }
}

/// Adds what is new of every table. `deleted` are sessions that the host's own list says were
/// deleted: they are left out. What SQLite cannot read becomes findings.
///
/// # Errors
/// The journal's.
pub fn add(
    targets: &Targets<'_>,
    tables: &Tables,
    source: &str,
    database: &Database,
    deleted: &[String],
    report: &mut FileReport,
) -> Result<()> {
    let connection = &database.connection;
    let schema = match listing::schema(connection, tables) {
        Ok(schema) => schema,
        Err(e) => {
            report.findings.push(damaged("the schema", &e));
            return Ok(());
        }
    };
    for (name, why) in &schema.unreadable {
        let what = format!("table {name}: {why}");
        report.findings.push(Finding::new("database.damaged", what));
    }
    let import = Import {
        targets,
        tables,
        source,
        connection,
        database,
        place: database.place(),
        schema: &schema,
    };
    let mut done = Done::default();
    import.schema(&mut done, report)?;
    if let Some(list) = listing::statement(&schema, tables) {
        import.sessions(&list, deleted, &mut done, report)?;
    }
    import.gone(done, report)?;
    if !database.is_unchanged() {
        report.findings.push(Finding::new(
            "database.changed",
            "its host wrote to it meanwhile; import it again",
        ));
    }
    Ok(())
}

struct Import<'i> {
    targets: &'i Targets<'i>,
    tables: &'i Tables,
    source: &'i str,
    connection: &'i Connection,
    database: &'i Database,
    place: u64,
    schema: &'i Schema,
}

/// One session while its rows come.
struct Filling<'j> {
    feed: Feed<'j, RowsCursor>,
    session: Session,
    /// Hashes of the rows that are there, as they are now.
    there: HashMap<String, u64>,
    /// Keys of those that this import saw.
    seen: HashSet<String>,
    /// Whether this is the database of the last import, so that a row which is not seen is gone.
    is_same: bool,
    queue: Vec<Waiting>,
}

/// What an import has dealt with.
#[derive(Default)]
struct Done {
    /// Sessions of the journal that took rows, but for the one of rows that belong to none.
    sessions: HashSet<String>,
    /// Keys of that one that were seen.
    tables: HashSet<String>,
}

impl Import<'_> {
    /// Whether everything that the database holds could be read so far.
    fn is_whole(&self, report: &FileReport) -> bool {
        let unread = ["database.damaged", "row.too_large"];
        !unread.iter().any(|code| report.findings.has(code))
            && report.findings.is_all_kept()
            && self.database.is_unchanged()
    }

    /// The statements that made the tables, and the rows of tables without row numbers.
    fn schema(&self, done: &mut Done, report: &mut FileReport) -> Result<()> {
        let id = format!("{}/{TABLES}", self.tables.suffix);
        let Some(mut filling) = self.place(&id, None, report)? else {
            return Ok(());
        };
        for (name, sql) in &self.schema.statements {
            let key = format!("{SCHEMA}/{name}");
            filling.put(&key, SCHEMA, sql.as_bytes(), None, "", Mark::Other, report)?;
        }
        for table in self.schema.tables.iter().filter(|table| !table.has_rowid) {
            let mut statement = match self.connection.prepare(&table.select()) {
                Ok(statement) => statement,
                Err(e) => {
                    report.findings.push(damaged(&table.name, &e));
                    continue;
                }
            };
            let rows = statement.query_map([], |row| Row::read(row, &table.columns, 0));
            match rows {
                Ok(rows) => {
                    for row in rows {
                        match row {
                            Ok(row) => filling.row(table, 0, &row, None, report)?,
                            Err(e) => {
                                report.findings.push(damaged(&table.name, &e));
                                break;
                            }
                        }
                    }
                }
                Err(e) => report.findings.push(damaged(&table.name, &e)),
            }
        }
        done.tables = std::mem::take(&mut filling.seen);
        // Rows of more tables may come; what of them is gone shows later.
        filling.finish(false, report)
    }

    /// Tells what is gone of the rows that belong to no session, and of sessions of which none is
    /// left.
    fn gone(&self, mut done: Done, report: &mut FileReport) -> Result<()> {
        if !self.is_whole(report) {
            return Ok(());
        }
        let suffix = self.tables.suffix;
        let journal = self.targets.journal();
        for info in journal.sessions()? {
            // Namesakes have a number behind it.
            let own = info.id.split('#').next().unwrap_or_default();
            let is_tables = own == format!("{suffix}/{TABLES}");
            let is_ours = is_tables || own.ends_with(&format!("/{suffix}"));
            if !is_ours || done.sessions.contains(&info.id) {
                continue;
            }
            let session = journal.find(&info.id)?;
            let Some(Ok(cursor)) = session.get(ROWS_KEY)?.map(|v| RowsCursor::decode(&v)) else {
                continue;
            };
            if !self.is_of(&cursor) || cursor.place != self.place {
                continue;
            }
            let mut filling = self.resume(session, cursor)?;
            if is_tables {
                filling.seen = std::mem::take(&mut done.tables);
            }
            filling.finish(true, report)?;
        }
        if report.gone > 0 {
            report.findings.push(Finding::new(
                "row.gone",
                format!(
                    "{} rows are in the database no more; the journal keeps them, and export \
                     leaves them out",
                    report.gone
                ),
            ));
        }
        Ok(())
    }

    fn is_of(&self, cursor: &RowsCursor) -> bool {
        cursor.format == self.tables.format && cursor.source == self.source
    }

    fn resume(&self, session: Session, mut cursor: RowsCursor) -> Result<Filling<'_>> {
        let is_same = cursor.place == self.place;
        cursor.place = self.place;
        let (turns, open) = (cursor.turns.clone(), self.targets.open_turn(&session)?);
        let journal = self.targets.journal();
        let mut feed = Feed::resume(journal, session.clone(), cursor, turns, open);
        if !is_same {
            feed.touch();
        }
        Ok(Filling {
            there: rows_there(&session)?,
            seen: HashSet::new(),
            is_same,
            feed,
            session,
            queue: Vec::new(),
        })
    }

    fn sessions(
        &self,
        list: &str,
        deleted: &[String],
        done: &mut Done,
        report: &mut FileReport,
    ) -> Result<()> {
        let mut statement = match self.connection.prepare(list) {
            Ok(statement) => statement,
            Err(e) => {
                report.findings.push(damaged("the rows", &e));
                return Ok(());
            }
        };
        let listed = statement.query_map([], |row| {
            Ok(Listed {
                session: row.get(0)?,
                is_orphan: row.get(1)?,
                table: row.get::<_, i64>(2)? as usize,
                rowid: row.get(3)?,
            })
        });
        let listed = match listed {
            Ok(listed) => listed,
            Err(e) => {
                report.findings.push(damaged("the rows", &e));
                return Ok(());
            }
        };
        let mut current: Option<(Option<String>, Option<Filling<'_>>)> = None;
        for row in listed {
            let row = match row {
                Ok(row) => row,
                Err(e) => {
                    report.findings.push(damaged("the rows", &e));
                    break;
                }
            };
            if current.as_ref().is_none_or(|(id, _)| *id != row.session) {
                if let Some((_, Some(filling))) = current.take() {
                    self.leave(filling, done, report)?;
                }
                let filling = self.filling(&row, deleted, report)?;
                if let (Some(id), Some(_)) = (&row.session, &filling) {
                    report.session_ids.push(id.clone());
                }
                current = Some((row.session.clone(), filling));
            }
            if let Some((_, Some(filling))) = &mut current {
                self.fetch(&row, filling, report)?;
            }
        }
        if let Some((_, Some(filling))) = current {
            self.leave(filling, done, report)?;
        }
        report.sessions = Some(report.session_ids.len() as u64);
        Ok(())
    }

    /// Ends a session of which all rows came.
    fn leave(
        &self,
        mut filling: Filling<'_>,
        done: &mut Done,
        report: &mut FileReport,
    ) -> Result<()> {
        let own = format!("{}/{TABLES}", self.tables.suffix);
        if filling.session.id().split('#').next() == Some(&own) {
            done.tables.extend(std::mem::take(&mut filling.seen));
            return filling.finish(false, report);
        }
        done.sessions.insert(filling.session.id().to_owned());
        let is_whole = self.is_whole(report);
        filling.finish(is_whole, report)
    }

    /// The session of a row; `None` if it takes nothing, which is then told.
    fn filling(
        &self,
        row: &Listed,
        deleted: &[String],
        report: &mut FileReport,
    ) -> Result<Option<Filling<'_>>> {
        let suffix = self.tables.suffix;
        let Some(id) = &row.session else {
            return self.place(&format!("{suffix}/{TABLES}"), None, report);
        };
        if deleted.contains(id) {
            report.findings.push(Finding::new(
                "session.deleted_by_host",
                format!(
                    "session {:?} was deleted by its host; its rows are left out",
                    cut(id)
                ),
            ));
            return Ok(None);
        }
        if row.is_orphan {
            report.findings.push(Finding::new(
                "row.orphan",
                format!("rows of {:?} belong to no session that is there", cut(id)),
            ));
        }
        self.place(&format!("{id}/{suffix}"), Some(id), report)
    }

    fn place(
        &self,
        id: &str,
        parent: Option<&str>,
        report: &mut FileReport,
    ) -> Result<Option<Filling<'_>>> {
        let first = bounded(id);
        for id in namesakes(&first) {
            let session = match self.targets.journal().find(&id) {
                Ok(session) => session,
                Err(turnkeep::Error::SessionDeleted { .. }) => {
                    report.findings.push(left_out(&id, Why::Deleted));
                    return Ok(None);
                }
                Err(turnkeep::Error::UnknownSession { .. }) => self.targets.create(&id, parent)?,
                Err(error) => return Err(error.into()),
            };
            let info = session.info()?;
            let cursor = match session.get(ROWS_KEY)? {
                Some(value) => RowsCursor::decode(&value).map_err(|why| Error::Cursor {
                    id: id.clone(),
                    why,
                })?,
                None if info.generation > 0 => {
                    report.findings.push(left_out(&id, Why::Cleared));
                    return Ok(None);
                }
                None if info.records > 1 => continue,
                None => RowsCursor {
                    version: VERSION,
                    host: self.tables.host,
                    format: self.tables.format.into(),
                    source: self.source.into(),
                    place: self.place,
                    turns: Turns::default(),
                    queued: BTreeMap::new(),
                },
            };
            // Two databases may number their rows alike.
            if !self.is_of(&cursor) {
                continue;
            }
            return Ok(Some(self.resume(session, cursor)?));
        }
        Err(Error::TooManyNamesakes {
            id: id.to_owned(),
            count: MAX_NAMESAKES,
        })
    }

    fn fetch(
        &self,
        listed: &Listed,
        filling: &mut Filling<'_>,
        report: &mut FileReport,
    ) -> Result<()> {
        let table = &self.schema.tables[listed.table];
        let fetched = self
            .connection
            .prepare_cached(&table.select())
            .and_then(|mut select| {
                select.query_row([listed.rowid], |row| Row::read(row, &table.columns, 0))
            });
        match fetched {
            Ok(row) => {
                let known = table.known.map(|known| &self.tables.tables[known]);
                filling.row(table, listed.rowid, &row, known, report)
            }
            Err(e) => {
                let what = format!("{} {}", table.name, listed.rowid);
                report.findings.push(damaged(&what, &e));
                Ok(())
            }
        }
    }
}

impl Filling<'_> {
    fn row(
        &mut self,
        table: &Present,
        rowid: i64,
        row: &Row,
        known: Option<&super::Table>,
        report: &mut FileReport,
    ) -> Result<()> {
        let key = match table.key.as_slice() {
            [] => rowid.to_string(),
            key => {
                let parts = key
                    .iter()
                    .map(|name| row.get(name).map_or(String::new(), as_text));
                parts.collect::<Vec<_>>().join("/")
            }
        };
        let key = format!("{}/{key}", table.name);
        let meta = known.map(|known| (known.read)(row)).unwrap_or_default();
        report.findings.extend(meta.finding);
        self.queue.extend(meta.waiting);
        let time = known.and_then(|known| row.first(known.time));
        let bytes = row.encode();
        if bytes.len() > RECORD_LIMIT_BYTES {
            let what = format!("{} {rowid}: {} bytes as JSON", table.name, bytes.len());
            report.findings.push(Finding::new("row.too_large", what));
            return Ok(());
        }
        self.put(
            &key,
            &table.name,
            &bytes,
            time,
            &meta.actor,
            meta.mark,
            report,
        )
    }

    #[allow(clippy::too_many_arguments, reason = "they are one record")]
    fn put(
        &mut self,
        key: &str,
        name: &str,
        bytes: &[u8],
        time: Option<String>,
        actor: &str,
        mark: Mark,
        report: &mut FileReport,
    ) -> Result<()> {
        let key = cut_key(key);
        let now = hash(bytes);
        self.seen.insert(key.clone());
        let before = self.there.insert(key.clone(), now);
        if before == Some(now) {
            report.already_there += 1;
            return Ok(());
        }
        let extra = ItemNote {
            row: Some(key),
            time: time.as_deref().map(cut),
            ..ItemNote::default()
        };
        let piece = Piece {
            name: &cut(name),
            actor: &cut(actor),
            extra: extra.encode(),
            bytes,
            key: b"",
            // A row that changed is no second question.
            mark: if before.is_none() { mark } else { Mark::Other },
        };
        self.feed.take(&piece, |_| {})?;
        report.lines += 1;
        report.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Hands over the rest. With `is_whole` every row that is in the database was seen.
    fn finish(mut self, is_whole: bool, report: &mut FileReport) -> Result<()> {
        if is_whole && self.is_same {
            let there = std::mem::take(&mut self.there).into_keys();
            let mut gone: Vec<_> = there.filter(|key| !self.seen.contains(key)).collect();
            gone.sort();
            for key in gone {
                let extra = ItemNote {
                    row: Some(key),
                    gone: true,
                    ..ItemNote::default()
                };
                let piece = Piece {
                    name: GONE,
                    actor: "",
                    extra: extra.encode(),
                    bytes: b"",
                    key: b"",
                    mark: Mark::Other,
                };
                self.feed.take_outside(&piece, |_| {})?;
                report.gone += 1;
            }
        }
        let before = self.feed.bookmark.queued.clone();
        let queued = &mut self.feed.bookmark.queued;
        queue::follow(&self.session, &self.queue, queued, report)?;
        if self.feed.bookmark.queued != before {
            self.feed.touch();
        }
        report.turns += self.feed.finish(true)?;
        Ok(())
    }
}

fn rows_there(session: &Session) -> Result<HashMap<String, u64>> {
    let mut there = HashMap::new();
    for entry in session.read(..)? {
        let entry = entry?;
        match ItemNote::decode(&entry.extra) {
            Some(ItemNote {
                row: Some(row),
                gone: true,
                ..
            }) => {
                there.remove(&row);
            }
            Some(ItemNote { row: Some(row), .. }) => {
                there.insert(row, hash(&entry.content));
            }
            _ => {}
        }
    }
    Ok(there)
}

fn damaged(what: &str, error: &rusqlite::Error) -> Finding {
    let code = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::TooBig) => "row.too_large",
        _ => "database.damaged",
    };
    Finding::new(code, format!("{what}: {error}"))
}

fn left_out(id: &str, why: Why) -> Finding {
    Finding::new("session.left_out", format!("{id}: {why}"))
}
