//! The tables of a database, and its rows in the order in which sessions take them.

use super::Tables;
use super::database::Database;
use rusqlite::{Connection, Result};
use std::collections::HashMap;

/// A table as this database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// Those that make up its primary key, in the order of the key.
    pub key: Vec<String>,
    /// Its place among the tables that are known.
    pub known: Option<usize>,
    /// Whether its rows have numbers by which they can be fetched.
    pub has_rowid: bool,
}

impl Present {
    /// The statement that fetches one row by its number.
    pub fn select(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|name| quoted(name)).collect();
        let (columns, table) = (columns.join(", "), quoted(&self.name));
        match self.has_rowid {
            true => format!("SELECT {columns} FROM {table} WHERE rowid = ?1"),
            false => format!("SELECT {columns} FROM {table}"),
        }
    }
}

/// What a schema says beside tables, and what is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The tables with rows.
    pub tables: Vec<Present>,
    /// The statements that made tables and indexes, by name.
    pub statements: Vec<(String, String)>,
    /// Search indexes and whatever else a module keeps in tables of its own.
    pub derived: Vec<String>,
    /// Tables that cannot be read, and SQLite's word.
    pub unreadable: Vec<(String, String)>,
}

/// Under which name the statement stands that sets the host's own number of its schema.
pub const USER_VERSION: &str = "PRAGMA user_version";

/// Whether a database has one of these tables.
pub fn has_table(database: &Database, names: &[&str]) -> bool {
    let find = "SELECT count(*) FROM sqlite_master WHERE type='table' AND name=?1";
    names.iter().any(|name| {
        let count = database
            .connection
            .query_row(find, [name], |row| row.get::<_, i64>(0));
        count.is_ok_and(|count| count > 0)
    })
}

/// Reads the schema.
///
/// # Errors
/// SQLite's, if not even that can be read.
pub fn schema(connection: &Connection, known: &Tables) -> Result<Schema> {
    let mut schema = Schema::default();
    let list = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid";
    let mut statement = connection.prepare(list)?;
    let all = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let all: Vec<(String, String, String)> = all.collect::<Result<_>>()?;
    let is_virtual = |sql: &str| sql.to_ascii_uppercase().starts_with("CREATE VIRTUAL");
    let virtuals: Vec<_> = all.iter().filter(|(_, _, sql)| is_virtual(sql)).collect();
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    if version != 0 {
        let statement = format!("PRAGMA user_version = {version}");
        schema.statements.push((USER_VERSION.into(), statement));
    }
    for (kind, name, sql) in &all {
        let is_shadow = |(_, module, _): &&&(String, String, String)| {
            let rest = name.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        if virtuals.iter().find(is_shadow).is_some() {
            schema.derived.push(name.clone());
            continue;
        }
        if kind == "table" || kind == "index" {
            schema.statements.push((name.clone(), sql.clone()));
        }
        if kind == "table" {
            match present(connection, name, known) {
                Ok(present) => schema.tables.push(present),
                Err(e) => schema.unreadable.push((name.clone(), e.to_string())),
            }
        }
    }
    Ok(schema)
}

fn present(connection: &Connection, name: &str, known: &Tables) -> Result<Present> {
    let mut statement = connection.prepare("SELECT name, pk FROM pragma_table_info(?1)")?;
    let columns = statement.query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let columns: Vec<(String, i64)> = columns.collect::<Result<_>>()?;
    let mut key: Vec<_> = columns.iter().filter(|(_, at)| *at > 0).collect();
    key.sort_by_key(|(_, at)| *at);
    let probe = format!("SELECT rowid FROM {} LIMIT 0", quoted(name));
    Ok(Present {
        key: key.into_iter().map(|(name, _)| name.clone()).collect(),
        columns: columns.iter().map(|(name, _)| name.clone()).collect(),
        name: name.to_owned(),
        known: known.tables.iter().position(|table| table.name == name),
        has_rowid: connection.prepare(&probe).is_ok(),
    })
}

/// One row's place: its session, its table in the schema's list, and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The session; `None` for rows that belong to none.
    pub session: Option<String>,
    /// Whether the id is not the session's own but one of another kind, which nothing leads to.
    pub is_orphan: bool,
    /// The table.
    pub table: usize,
    /// The row's number.
    pub rowid: i64,
}

/// The statement that lists all rows of tables with row numbers, by session and time. SQLite sorts
/// them, in a file if there are many.
pub fn statement(schema: &Schema, known: &Tables) -> Option<String> {
    let columns: HashMap<_, _> = schema
        .tables
        .iter()
        .map(|table| (table.name.as_str(), &table.columns))
        .collect();
    let parts: Vec<_> = schema
        .tables
        .iter()
        .enumerate()
        .filter(|(_, table)| table.has_rowid)
        .map(|(at, table)| part(at, table, known, &columns))
        .collect();
    (!parts.is_empty()).then(|| {
        let parts = parts.join(" UNION ALL ");
        format!("SELECT sid, orphan, tbl, rid FROM ({parts}) ORDER BY sid, at, rank, tbl, rid")
    })
}

fn part(
    at: usize,
    table: &Present,
    known: &Tables,
    columns: &HashMap<&str, &Vec<String>>,
) -> String {
    let name = quoted(&table.name);
    let nothing = format!(
        "SELECT NULL AS sid, 0 AS orphan, {at} AS tbl, t.rowid AS rid, NULL AS at, 0 AS rank \
         FROM {name} AS t"
    );
    let Some(rank) = table.known else {
        return nothing;
    };
    let what = &known.tables[rank];
    let Some(session) = first(what.session, &table.columns) else {
        return nothing;
    };
    let time = first(what.time, &table.columns);
    let time = time.map_or("NULL".into(), |time| format!("t.{}", quoted(time)));
    let own = format!("CAST(t.{} AS TEXT)", quoted(session));
    // Looked up row by row: an id that leads to two sessions must not double the row.
    let led = what.by_way_of.and_then(|(other, from, to)| {
        let there = columns.get(other)?;
        let (from, to) = (first(from, there)?, first(to, there)?);
        // The id may be the session's own in versions before there were two.
        (session != to).then(|| {
            format!(
                "(SELECT CAST({} AS TEXT) FROM {} WHERE {} = t.{} LIMIT 1)",
                quoted(to),
                quoted(other),
                quoted(from),
                quoted(session)
            )
        })
    });
    let (sid, orphan) = match led {
        Some(led) => (format!("COALESCE({led}, {own})"), format!("{led} IS NULL")),
        None => (own, "0".to_owned()),
    };
    format!(
        "SELECT {sid} AS sid, {orphan} AS orphan, {at} AS tbl, t.rowid AS rid, {time} AS at, \
         {rank} AS rank FROM {name} AS t"
    )
}

fn first<'c>(wanted: &[&str], there: &'c [String]) -> Option<&'c str> {
    let found = wanted
        .iter()
        .find_map(|name| there.iter().find(|column| column == name));
    found.map(String::as_str)
}

/// A name in a statement.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
