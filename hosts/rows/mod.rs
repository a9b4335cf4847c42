//! Tables of a SQLite database, as records of the sessions that their rows belong to.
//!
//! What it is: [`database`] opens a database that is another program's, [`listing`] finds its
//! tables and puts the rows in order, [`row`] is one row as JSON, [`writer`] adds what is new.
//!
//! It promises:
//! - The database is never written, locked or joined: a file without a log beside it is opened
//!   as if it could not change, and one with a log is copied first, log and all.
//! - Every column of every row is kept with its type, also those that this release has not
//!   heard of; columns that it has heard of may be missing.
//! - A row that is there already is not added again; one that has changed is added as it is now;
//!   of one that the same database has no more this is said, unless something kept it from being
//!   seen, so that export does not bring it back.
//! - One bad row, or one bad page, does not end the import of the others.
//! - Memory is bounded by the largest row and by the number of one session's rows.
//!
//! On purpose it does not keep search indexes, which the host makes anew from its tables.

pub mod database;
pub mod listing;
pub mod row;
pub mod writer;

use crate::detect::Host;
use crate::documents::Waiting;
use crate::report::Finding;
use crate::transcripts::turns::Mark;
use row::Row;

/// Which tables of a host's database are known, and what their rows mean.
pub struct Tables {
    /// Whose it is.
    pub host: Host,
    /// What it is to that host.
    pub format: &'static str,
    /// The session of a row is named by its id and, after a slash, this; so that it is none that
    /// comes of another file of the same host.
    pub suffix: &'static str,
    /// What is known of single tables. Rows of others are kept in a session of their own.
    pub tables: &'static [Table],
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.format)
    }
}

/// What is known of a table, in all its versions.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Columns of which the first that is there holds the session's id.
    pub session: &'static [&'static str],
    /// If that is an id of another kind: the table that knows the session's, the columns of it
    /// that may hold the one, and those that may hold the other.
    pub by_way_of: Option<(
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    )>,
    /// Columns of which the first that is there tells the order of the rows.
    pub time: &'static [&'static str],
    /// What a row says.
    pub read: fn(&Row) -> RowMeta,
}

/// What a row says, as far as an import needs it.
#[derive(Clone, Debug, Default)]
pub struct RowMeta {
    /// Who acted.
    pub actor: String,
    /// What it means for the turn.
    pub mark: Mark,
    /// It waits in the host's queue.
    pub waiting: Option<Waiting>,
    /// What is odd about it.
    pub finding: Option<Finding>,
}
