//! Rows out of an answer that may have been cut: every row that is whole, in order.
//!
//! Invariant: only what the bounds cut off may be missing. Anything else that is not as it should be is an error.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Cut, Rows};
use crate::admin::Error;

/// The rows of an answer; `is_cut` says that the bytes end before the answer does.
pub(super) fn rows(answer: &[u8], limit: usize, is_cut: bool) -> Result<Rows, Error> {
    let mut reader = Reader { rows: Rows::default(), limit, found: false };
    let read = Answer(&mut reader).deserialize(&mut serde_json::Deserializer::from_slice(answer));
    match read {
        _ if reader.rows.cut.is_some() => {}
        Err(error) if is_cut && error.is_eof() => reader.rows.cut = Some(Cut::Bytes),
        Err(error) => return Err(Error::Shape(error)),
        Ok(()) if !reader.found => return Err(Error::Lacks("rows")),
        Ok(()) => {}
    }
    Ok(reader.rows)
}

struct Reader {
    rows: Rows,
    limit: usize,
    found: bool,
}

/// `{"rows": […]}`.
struct Answer<'a>(&'a mut Reader);

/// `[{…}, …]`.
struct List<'a>(&'a mut Reader);

/// `{"column": value, …}`.
struct Row<'a>(&'a mut Rows);

impl<'de> DeserializeSeed<'de> for Answer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with rows")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(field) = fields.next_key::<String>()? {
            if field == "rows" {
                self.0.found = true;
                fields.next_value_seed(List(&mut *self.0))?;
            } else {
                fields.next_value::<de::IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Row(&mut self.0.rows))?.is_some() {
            if self.0.rows.rows.len() > self.0.limit {
                self.0.rows.rows.truncate(self.0.limit);
                self.0.rows.cut = Some(Cut::Rows);
                return Err(de::Error::custom("more rows than are wanted"));
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut cells: A) -> Result<(), A::Error> {
        let mut row = Map::new();
        let mut names = Vec::new();
        while let Some((name, value)) = cells.next_entry::<String, Value>()? {
            if !self.0.columns.contains(&name) {
                names.push(name.clone());
            }
            row.insert(name, value);
        }
        // A row that is not whole leaves nothing behind.
        self.0.columns.extend(names);
        self.0.rows.push(row);
        Ok(())
    }
}
