//! One row as JSON: every column, with its type.

use rusqlite::types::ValueRef;
use serde_json::{Map, Value, json};

/// A row. Columns stand in the order of their names, so that the same row is the same bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    columns: Map<String, Value>,
}

impl Row {
    /// Reads the row that a statement stands on, from its column `first` on.
    ///
    /// # Errors
    /// SQLite's.
    pub fn read(row: &rusqlite::Row<'_>, names: &[String], first: usize) -> rusqlite::Result<Row> {
        let mut columns = Map::new();
        for (at, name) in names.iter().enumerate() {
            columns.insert(name.clone(), value(row.get_ref(first + at)?));
        }
        Ok(Row { columns })
    }

    /// Reads a row that was encoded.
    pub fn decode(bytes: &[u8]) -> Option<Row> {
        let columns = serde_json::from_slice(bytes).ok()?;
        Some(Row { columns })
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&self.columns).expect("columns are JSON")
    }

    /// The columns, by name.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.columns
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// A column, if there is one of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.columns.get(name)
    }

    /// A column that holds text with something in it.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// The first of these columns that holds something, as text.
    pub fn first(&self, names: &[&str]) -> Option<String> {
        let set = names.iter().filter_map(|name| self.get(name));
        set.filter(|value| !value.is_null()).map(as_text).next()
    }
}

/// A value as text: text as it is, and the rest as JSON.
pub fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What JSON has no word for is an object with one field, whose name begins with a dollar.
fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => match serde_json::Number::from_f64(number) {
            Some(number) => Value::Number(number),
            None => json!({ "$real": number.to_string() }),
        },
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => json!({ "$text": hex(bytes) }),
        },
        ValueRef::Blob(bytes) => json!({ "$blob": hex(bytes) }),
    }
}

/// A value for SQLite, with the type that it had there. Text that is no UTF-8 is still text.
#[derive(Clone, Debug, PartialEq)]
pub enum Sql {
    /// Everything else.
    Value(rusqlite::types::Value),
    /// Bytes that SQLite took for text.
    Text(Vec<u8>),
}

impl rusqlite::ToSql for Sql {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Sql::Value(value) => value.to_sql(),
            Sql::Text(bytes) => Ok(rusqlite::types::ToSqlOutput::Borrowed(ValueRef::Text(
                bytes,
            ))),
        }
    }
}

/// What a value was in its database.
pub fn to_sqlite(value: &Value) -> Sql {
    use rusqlite::types::Value as Is;
    Sql::Value(match value {
        Value::Null => Is::Null,
        Value::Bool(is) => Is::Integer(i64::from(*is)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Is::Integer(integer),
            None => Is::Real(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Is::Text(text.clone()),
        other => {
            let field = |name: &str| other.get(name).and_then(Value::as_str);
            if let Some(bytes) = field("$blob").and_then(unhex) {
                Is::Blob(bytes)
            } else if let Some(number) = field("$real").and_then(|real| real.parse().ok()) {
                Is::Real(number)
            } else if let Some(bytes) = field("$text").and_then(unhex) {
                return Sql::Text(bytes);
            } else {
                Is::Text(other.to_string())
            }
        }
    })
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<_> = text
        .chars()
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| Some((pair[0] << 4 | pair.get(1)?) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::types::Value as Is;

    fn again(sql: ValueRef<'_>) -> Sql {
        let text = serde_json::to_string(&value(sql)).expect("JSON");
        to_sqlite(&serde_json::from_str(&text).expect("JSON"))
    }

    #[test]
    fn every_type_comes_back_as_it_was() {
        let values = [
            Is::Null,
            Is::Integer(i64::MIN),
            Is::Integer(7),
            Is::Real(1.0),
            Is::Real(f64::INFINITY),
            Is::Text("\u{2028}\0x".into()),
            Is::Blob(vec![0, 255, 16]),
            Is::Blob(vec![]),
        ];
        for sql in values {
            assert_eq!(again(ValueRef::from(&sql)), Sql::Value(sql));
        }
        let torn = b"\xF0\x9F";
        assert_eq!(again(ValueRef::Text(torn)), Sql::Text(torn.to_vec()));
        assert_eq!(unhex("f"), None);
    }

    /// A time in seconds that came back a bit later is another row.
    #[test]
    fn reals_come_back_to_the_last_bit() {
        let mut bits = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..100_000 {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            let real = f64::from_bits(bits);
            if real.is_nan() {
                continue;
            }
            let back = again(ValueRef::Real(real));
            let Sql::Value(Is::Real(back)) = back else {
                panic!("{real}: {back:?}");
            };
            assert_eq!(back.to_bits(), real.to_bits(), "{real}");
        }
    }
}
