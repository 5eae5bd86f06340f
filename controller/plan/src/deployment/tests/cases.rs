//! The pages of cases name tests that exist, and are tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// What makes a function a test; within `proptest!` it is the first.
const ATTRIBUTES: [&str; 3] = ["#[test]", "#[tokio::test", "#[rstest"];

/// What the sources below some folders have.
#[derive(Debug, Default)]
struct Sources {
    /// Functions that are tests.
    tests: BTreeSet<String>,
    /// Files and folders without their endings: pages name whole modules of tests, too.
    modules: BTreeSet<String>,
}

fn sources() -> Sources {
    let folders = ["apiserver", "controller", "crd", "restate", "tests/e2e", "tests/lab", "tests/src"];
    let mut left: Vec<PathBuf> = folders.map(|it| Path::new(ROOT).join(it)).into();
    let mut found = Sources::default();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.tests.extend(tests_of(&fs::read_to_string(&path).unwrap()));
            found.modules.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    found
}

/// The names of the tests in a source: functions whose attributes say so.
fn tests_of(source: &str) -> BTreeSet<String> {
    let starts = source.match_indices("fn ").filter(|(at, _)| {
        let line = source[..*at].rsplit('\n').next().unwrap_or_default();
        ["", "async", "pub(super)", "pub(super) async"].contains(&line.trim())
    });
    let tests = starts.filter(|(at, _)| {
        // Nothing else stands between two items, or between an item and the one around it.
        let above = ["\n\n", "}\n", ";\n", "{\n"].iter().filter_map(|end| source[..*at].rfind(end)).max();
        let attributes = &source[above.unwrap_or(0)..*at];
        ATTRIBUTES.iter().any(|attribute| attributes.contains(attribute))
    });
    tests.filter_map(|(at, _)| source[at + 3..].split(['(', '<']).next()).map(str::to_owned).collect()
}

/// The names in the last column of each table that has so many.
fn cited(page: &str, columns: usize) -> BTreeSet<String> {
    let rows = page.lines().filter(|line| line.starts_with('|') && line.matches('|').count() == columns + 1);
    let last = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let names = last.flat_map(|column| column.split('`').skip(1).step_by(2));
    let name = |text: &str| text.rsplit("::").next().unwrap_or_default().to_owned();
    let is_name =
        |name: &String| name.len() > 8 && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    names.map(name).filter(is_name).filter(|name| name.contains('_')).collect()
}

fn page(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

#[test]
fn every_test_that_the_page_of_cases_names_exists() {
    let (cited, sources) = (cited(&page("docs/deployment-cases.md"), 3), sources());
    assert!(cited.len() > 60, "{cited:?}");
    let missing: Vec<_> = cited.difference(&sources.tests).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_test_that_the_page_of_clusters_names_exists() {
    let (cited, sources) = (cited(&page("docs/clusters/tests.md"), 2), sources());
    assert!(cited.len() > 30, "{cited:?}");
    let known = |name: &&String| sources.tests.contains(*name) || sources.modules.contains(*name);
    let missing: Vec<_> = cited.iter().filter(|name| !known(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn only_what_is_run_as_a_test_counts() {
    let source = "fn helper() {}\n\n#[test]\nfn plain() {\n    fn within() {}\n}\n\n/// Words.\n#[tokio::test]\nasync fn \
                  waits() -> Result {\n}\n\n#[rstest]\n#[case(1)]\nfn of_cases(#[case] x: u8) {}\n\nproptest! {\n    \
                  #![proptest_config(x)]\n\n    /// Words.\n    #[test]\n    fn property(x in y()) {}\n}\nfn last<T>() {}\n";
    let expected = ["of_cases", "plain", "property", "waits"].map(str::to_owned);
    assert_eq!(tests_of(source), expected.into());
}
