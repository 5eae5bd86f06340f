//! The charts without a cluster: Helm finds no fault with them, and what they render is what was reviewed.
//!
//! `tests/charts/<case>.values.yaml` holds the values of a case, `tests/charts/<case>.yaml` what came of them.
//! `cargo lab test charts --update` writes the latter anew.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tokio::process::Command;

use super::{program, report::Report};
use crate::{Context, Result, images::workspace, process::Invocation, tools::Tools};

/// Ends the name of a file with values.
const VALUES: &str = ".values.yaml";

/// Lints both charts and compares what is rendered, case by case.
pub(super) async fn run(context: &Context, update: bool) -> Result<Report> {
    let helm = Tools::ensure(context).await?.path("helm");
    let charts = workspace().join("charts");
    let mut report = Report::default();
    for chart in ["restate-operator", "restate-operator-crds"] {
        let mut lint = Command::new(&helm);
        lint.args(["lint", "--strict", "--quiet"]).arg(charts.join(chart));
        report += program::check(lint).await?;
    }
    for case in cases(&workspace().join("tests/charts"))? {
        let rendered = render(&helm, &charts.join("restate-operator"), &case).await?;
        report += compare(&case.with_extension("").with_extension("yaml"), &rendered, update)?;
    }
    Ok(report)
}

/// The files with values, in the order of their names.
fn cases(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let has_values = |path: &PathBuf| path.to_string_lossy().ends_with(VALUES);
    let mut cases: Vec<_> = paths.into_iter().filter(has_values).collect();
    cases.sort();
    Ok(cases)
}

async fn render(helm: &Path, chart: &Path, values: &Path) -> Result<String> {
    let name = ["template", "restate-operator"].map(OsString::from);
    let rest = ["--namespace", "restate-operator", "--include-crds", "--values"].map(OsString::from);
    let arguments = name.into_iter().chain([chart.into()]).chain(rest).chain([values.into()]);
    let what = format!("rendering the chart with {}", values.display());
    Ok(Invocation::new(what, helm).args(arguments).text().await?)
}

fn compare(golden: &Path, rendered: &str, update: bool) -> Result<Report> {
    if update {
        fs::write(golden, rendered).with_context(|| format!("failed to write {}", golden.display()))?;
        return Ok(Report::of_check(true));
    }
    let wanted = fs::read_to_string(golden).unwrap_or_default();
    let different = difference(&wanted, rendered);
    if let Some(difference) = &different {
        println!("  {} is not what the chart renders: {difference}", golden.display());
        println!(
            "  `cargo lab test charts --update` writes it anew; look at the difference before you commit it"
        );
    }
    Ok(Report::of_check(different.is_none()))
}

/// The first line that differs: enough to see whether it was meant.
fn difference(wanted: &str, found: &str) -> Option<String> {
    let (mut wanted, mut found) = (wanted.lines(), found.lines());
    for number in 1.. {
        match (wanted.next(), found.next()) {
            (None, None) => return None,
            (was, is) if was == is => {}
            (was, is) => {
                let shown = |line: Option<&str>| {
                    line.map_or_else(|| "nothing".to_owned(), |line| format!("{line:?}"))
                };
                return Some(format!("line {number} was {} and is {}", shown(was), shown(is)));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a\nb\n", "a\nb\n", None)]
    #[case("a\nb\n", "a\nc\n", Some("line 2 was \"b\" and is \"c\""))]
    #[case("a\n", "a\nb\n", Some("line 2 was nothing and is \"b\""))]
    #[case("", "a", Some("line 1 was nothing and is \"a\""))]
    fn the_first_line_that_differs_is_shown(
        #[case] was: &str,
        #[case] is: &str,
        #[case] wanted: Option<&str>,
    ) {
        assert_eq!(difference(was, is).as_deref(), wanted);
    }

    #[test]
    fn a_case_is_compared_with_its_file_or_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let values = folder.path().join("default.values.yaml");
        fs::write(&values, "").unwrap();
        assert_eq!(cases(folder.path()).unwrap(), std::slice::from_ref(&values));
        let golden = values.with_extension("").with_extension("yaml");
        assert_eq!(golden, folder.path().join("default.yaml"));
        assert_eq!(
            compare(&golden, "a: 1", false).unwrap(),
            Report::of_check(false),
            "a file that is not there"
        );
        assert_eq!(compare(&golden, "a: 1", true).unwrap(), Report::of_check(true));
        assert_eq!(compare(&golden, "a: 1", false).unwrap(), Report::of_check(true));
        assert_eq!(compare(&golden, "a: 2", false).unwrap(), Report::of_check(false));
        assert_eq!(cases(folder.path()).unwrap().len(), 1, "what was rendered is no case");
    }
}
