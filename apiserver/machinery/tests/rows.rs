//! `docs/aggregated-api.md` accounts for every row, and the tests that it names exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each letter and how many rows it has.
const ROWS: [(char, u8); 12] = [
    ('A', 15),
    ('Z', 12),
    ('E', 12),
    ('P', 12),
    ('S', 15),
    ('R', 19),
    ('W', 21),
    ('C', 16),
    ('O', 10),
    ('T', 14),
    ('H', 12),
    ('M', 8),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text() -> std::io::Result<String> {
    std::fs::read_to_string(root().join("docs/aggregated-api.md"))
}

#[test]
fn every_row_is_accounted_for() {
    let text = text().unwrap();
    let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ").map(|(id, _)| id));
    let told: BTreeSet<_> = cells.flat_map(|ids| ids.split(", ")).map(str::to_owned).collect();
    let all = ROWS.iter().flat_map(|(letter, count)| (1..=*count).map(move |row| format!("{letter}{row}")));
    let missing: Vec<_> = all.filter(|id| !told.contains(id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_test_that_is_named_exists() {
    let text = text().unwrap();
    let named: Vec<_> = text.split('`').filter_map(|word| word.split_once(".rs::")).collect();
    assert!(named.len() > 150, "{}", named.len());
    for (file, test) in named {
        let top = ["apiserver/src/", "tests/"].iter().any(|folder| file.starts_with(folder));
        let path =
            if top { root() } else { root().join("apiserver/machinery/src") }.join(format!("{file}.rs"));
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(source.contains(&format!("fn {test}(")), "{file}.rs has no {test}");
    }
}
