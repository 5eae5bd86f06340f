//! The page of cases names tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Every function of the sources below these folders.
fn functions() -> BTreeSet<String> {
    let mut left: Vec<PathBuf> =
        ["controller", "crd", "restate", "tests/e2e"].map(|it| Path::new(ROOT).join(it)).into();
    let mut found = BTreeSet::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
    found
}

/// The names in the last column of each table of tests.
fn cited(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter(|line| line.starts_with('|') && line.matches('|').count() == 4);
    let last = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let names = last.flat_map(|column| column.split('`').skip(1).step_by(2));
    names
        .filter(|name| {
            name.len() > 8
                && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_test_that_the_page_of_cases_names_exists() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/deployment-cases.md")).unwrap();
    let (cited, functions) = (cited(&page), functions());
    assert!(cited.len() > 60, "{cited:?}");
    let missing: Vec<_> = cited.difference(&functions).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
