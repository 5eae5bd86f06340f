//! Columns and cells of a table, as `kubectl get` shows them.
//!
//! A cell with a time is not text yet: its age is written when somebody reads it, the rest of a row once per
//! change.

use jiff::Timestamp;
use serde::Serialize;
use strum::IntoStaticStr;

/// The type of a column's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Text.
    String,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Number,
    /// True or false.
    Boolean,
}

/// How clients may treat the cells beyond their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Format {
    /// Nothing special.
    #[serde(rename = "")]
    None,
    /// The name that kubectl prefixes with the kind.
    #[serde(rename = "name")]
    Name,
    /// A 64-bit integer.
    #[serde(rename = "int64")]
    Int64,
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Heading; kubectl prints it in upper case.
    pub name: &'static str,
    /// Type of the cells.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Format of the cells.
    pub format: Format,
    /// What the cells say.
    pub description: &'static str,
    /// 0 is always shown, more only by `-o wide`.
    pub priority: i32,
}

impl Column {
    /// The object's name: the first column of every kind.
    pub const NAME: Self = Self {
        name: "Name",
        column_type: ColumnType::String,
        format: Format::Name,
        description: "Name of the object, unique in its namespace.",
        priority: 0,
    };

    /// The object's age; its cell is [`Cell::Age`].
    pub const AGE: Self = Self::text("Age", "Time since the object was created.");

    /// A column of text.
    pub const fn text(name: &'static str, description: &'static str) -> Self {
        Self { name, column_type: ColumnType::String, format: Format::None, description, priority: 0 }
    }

    /// A column of whole numbers.
    pub const fn integer(name: &'static str, description: &'static str) -> Self {
        Self { column_type: ColumnType::Integer, format: Format::Int64, ..Self::text(name, description) }
    }

    /// A column of true or false.
    pub const fn boolean(name: &'static str, description: &'static str) -> Self {
        Self { column_type: ColumnType::Boolean, ..Self::text(name, description) }
    }

    /// The same column, shown by `-o wide` only.
    #[must_use]
    pub const fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing known.
    Null,
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// The time since then, in words, as of the moment of reading; `<unknown>` without a time.
    Age(Option<Timestamp>),
}

/// One cell per column.
pub type Row = Vec<Cell>;

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<i32> for Cell {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Cell {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r3_the_first_column_has_the_format_name() {
        let json = serde_json::to_string(&Column::NAME).unwrap();
        insta::assert_snapshot!(json, @r#"{"name":"Name","type":"string","format":"name","description":"Name of the object, unique in its namespace.","priority":0}"#);
    }

    #[test]
    fn r3_wide_columns_have_a_priority() {
        assert_eq!(Column::integer("Runs", "").wide().priority, 1);
        assert_eq!(Column::integer("Runs", "").column_type, ColumnType::Integer);
    }

    #[test]
    fn what_is_absent_is_null() {
        assert_eq!(Cell::from(None::<i64>), Cell::Null);
        assert_eq!(Cell::from(Some("x")), Cell::Text("x".to_owned()));
    }
}
