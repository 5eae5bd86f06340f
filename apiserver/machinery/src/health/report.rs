//! The text that a probe reads.

use std::fmt::Write;
use std::sync::Arc;

type Test = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the query of a health path asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// List all checks, also when they pass.
    pub verbose: bool,
    /// Checks that do not count.
    pub exclude: Vec<String>,
}

/// The outcome of the checks of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    lines: Vec<(&'static str, Verdict)>,
    unknown: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Excluded,
    Failed(String),
}

impl Selection {
    /// Reads `?verbose&exclude=a&exclude=b`.
    pub fn parse(query: &str) -> Self {
        let pairs = || query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let exclude = pairs().filter(|(key, _)| *key == "exclude").flat_map(|(_, names)| names.split(','));
        Self {
            verbose: pairs().any(|(key, _)| key == "verbose"),
            exclude: exclude.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        }
    }
}

impl Report {
    pub(super) fn new(checks: impl Iterator<Item = (&'static str, Test)>, selection: &Selection) -> Self {
        let verdict = |name: &str, test: Test| match test() {
            _ if selection.exclude.iter().any(|each| each == name) => Verdict::Excluded,
            Ok(()) => Verdict::Passed,
            Err(reason) => Verdict::Failed(reason),
        };
        let lines: Vec<_> = checks.map(|(name, test)| (name, verdict(name, test))).collect();
        let known = |asked: &&String| !lines.iter().any(|(name, _)| name == asked);
        let unknown = selection.exclude.iter().filter(known).cloned().collect();
        Self { lines, unknown }
    }

    /// Whether no check that counts has failed.
    pub fn passed(&self) -> bool {
        self.reasons().is_empty()
    }

    /// Names and reasons of what failed; for the log, not for the reader of the path.
    pub fn reasons(&self) -> Vec<String> {
        let reason = |(name, verdict): &(&str, Verdict)| match verdict {
            Verdict::Failed(reason) => Some(format!("{name}: {reason}")),
            Verdict::Passed | Verdict::Excluded => None,
        };
        self.lines.iter().filter_map(reason).collect()
    }

    /// The body of the answer; `path` is `livez`, `readyz` or `healthz`.
    pub fn text(&self, path: &str, verbose: bool) -> String {
        if self.passed() && !verbose {
            return "ok".to_owned();
        }
        let mut text = String::new();
        for (name, verdict) in &self.lines {
            let _ = match verdict {
                Verdict::Passed => writeln!(text, "[+]{name} ok"),
                Verdict::Excluded => writeln!(text, "[+]{name} excluded: ok"),
                Verdict::Failed(_) => writeln!(text, "[-]{name} failed: reason withheld"),
            };
        }
        for name in &self.unknown {
            let _ = writeln!(text, "warn: some health checks cannot be excluded: no matches for \"{name}\"");
        }
        let _ = writeln!(text, "{path} check {}", if self.passed() { "passed" } else { "failed" });
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(query: &str) -> Report {
        let pass: Test = Arc::new(|| Ok(()));
        let fail: Test = Arc::new(|| Err("secret".to_owned()));
        Report::new([("ping", pass), ("authn", fail)].into_iter(), &Selection::parse(query))
    }

    #[test]
    fn t7_a_failure_names_the_check_and_withholds_the_reason() {
        insta::assert_snapshot!(report("").text("readyz", false), @r"
        [+]ping ok
        [-]authn failed: reason withheld
        readyz check failed
        ");
        assert_eq!(report("").reasons(), ["authn: secret"]);
    }

    #[test]
    fn t7_exclude_and_verbose() {
        assert_eq!(report("exclude=authn").text("readyz", false), "ok");
        insta::assert_snapshot!(report("verbose&exclude=authn&exclude=nobody").text("readyz", true), @r#"
        [+]ping ok
        [+]authn excluded: ok
        warn: some health checks cannot be excluded: no matches for "nobody"
        readyz check passed
        "#);
    }
}
