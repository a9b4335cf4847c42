//! Redaction: the last look at what a host says, before any of it is stored.

use crate::model::event::Kind;
use std::borrow::Cow;

/// A record that is not stored yet. What [`Options::redact`](crate::Options::redact) leaves in it is
/// what is stored; what it takes out is in no buffer, file or backup of the journal.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unstored<'a> {
    /// What the record says.
    pub kind: Kind,
    /// The event's name, the key of a value, the reason of an end, the id of a new session. To be
    /// looked at: what names a thing cannot be changed here.
    pub name: &'a str,
    /// Who acts, to be looked at.
    pub actor: &'a str,
    /// The content.
    pub content: Cow<'a, [u8]>,
    /// The host's own metadata.
    pub extra: Cow<'a, [u8]>,
}

/// What a host does with each record before it is stored.
pub(crate) type Redact = dyn Fn(&mut Unstored<'_>) + Send + Sync;
