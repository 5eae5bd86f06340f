//! Which tests failed, and of what: read from the output of test programs, and said again at the end of a run.

use std::fmt;

use super::tally::Tally;

/// Of what a test said, so many lines are repeated.
const LINES: usize = 6;
/// More of them at once is not one that was unlucky.
const SECOND_TRIES: usize = 3;

/// How tests went.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Report {
    pub(super) tally: Tally,
    pub(super) failures: Vec<Failure>,
}

/// A test that failed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Failure {
    name: String,
    /// Its error.
    words: Vec<String>,
    passed_later: bool,
}

/// Reads lines of test programs, one after the other.
#[derive(Debug, Default)]
pub(super) struct Reader {
    report: Report,
    /// The test whose output this is.
    section: Option<Failure>,
    /// Names follow, and nothing else.
    is_listing: bool,
}

impl Reader {
    pub(super) fn read(&mut self, line: &str) {
        if let Some(counts) = Tally::of_test_program(line) {
            self.report.tally += counts;
            self.is_listing = false;
        } else if let Some(name) = line.strip_prefix("---- ").and_then(|it| it.strip_suffix(" stdout ----")) {
            self.end_section();
            self.section = Some(Failure { name: name.to_owned(), ..Failure::default() });
        } else if line == "failures:" {
            self.end_section();
            self.is_listing = true;
        } else if let Some(failure) = &mut self.section {
            failure.hear(line);
        } else if let Some(name) = line.strip_prefix("    ").filter(|_| self.is_listing) {
            self.list(name);
        }
    }

    /// What was read, of a program that ended so.
    pub(super) fn ended(mut self, successfully: bool) -> Report {
        self.end_section();
        Report { tally: self.report.tally.ended(successfully), ..self.report }
    }

    fn end_section(&mut self) {
        self.report.failures.extend(self.section.take());
    }

    /// A test that has said nothing has no section.
    fn list(&mut self, name: &str) {
        if !self.report.failures.iter().any(|failure| failure.name == name) {
            self.report.failures.push(Failure { name: name.to_owned(), ..Failure::default() });
        }
    }
}

impl Failure {
    /// Lines from its error on.
    fn hear(&mut self, line: &str) {
        let begins = line.starts_with("Error: ") || line.contains("panicked at ");
        if (begins || !self.words.is_empty()) && self.words.len() < LINES && !line.trim().is_empty() {
            self.words.push(line.to_owned());
        }
    }

    /// What has not come in time may come on a machine that is less busy; what was wrong stays wrong.
    fn was_late(&self) -> bool {
        self.words.iter().any(|line| line.contains("waited ") && line.contains("; last seen: "))
    }
}

impl Report {
    /// Of a check that is one test by itself.
    pub(super) fn of_check(passed: bool) -> Self {
        Tally::of_check(passed).into()
    }

    /// Tests that are not there have not passed.
    pub(super) fn not_empty(self) -> Self {
        Self { tally: self.tally.not_empty(), ..self }
    }

    /// The tests that deserve a second try: those that waited for something, if they are few and no other has failed.
    pub(super) fn second_tries(&self) -> Vec<String> {
        let all_late = self.failures.iter().all(Failure::was_late);
        let few = self.failures.len() <= SECOND_TRIES && self.failures.len() as u64 == self.tally.failed;
        let names = self.failures.iter().map(|failure| failure.name.clone());
        if all_late && few { names.collect() } else { Vec::new() }
    }

    /// With what the second try of `names` showed: who passed has passed, and it is said that it took two.
    pub(super) fn after_second_tries(mut self, again: &Self) -> Self {
        if again.tally.passed + again.tally.failed != self.failures.len() as u64 {
            return self;
        }
        for failure in &mut self.failures {
            failure.passed_later = !again.failures.iter().any(|it| it.name == failure.name);
        }
        self.tally.failed = again.tally.failed;
        self.tally.passed += again.tally.passed;
        self
    }
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.tally += other.tally;
        self.failures.extend(other.failures);
    }
}

/// Of a suite that has printed its own findings.
impl From<Tally> for Report {
    fn from(tally: Tally) -> Self {
        Self { tally, failures: Vec::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.passed_later { "passed at the second try" } else { "failed" };
        write!(f, "{how}: {}", self.name)?;
        self.words.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: &str = "Error: waited 60 s for the version; last seen: Pending";

    fn read(text: &str) -> Report {
        let mut reader = Reader::default();
        text.lines().for_each(|line| reader.read(line));
        reader.ended(!text.contains("FAILED"))
    }

    fn output(tests: &[(&str, &str)]) -> String {
        let section = |(name, said): &(&str, &str)| format!("---- {name} stdout ----\nnoise\n{said}\n\n");
        let sections = tests.iter().map(section).collect::<Vec<_>>().concat();
        let names = tests.iter().map(|(name, _)| format!("    {name}\n")).collect::<Vec<_>>().concat();
        let failed = tests.len();
        format!(
            "failures:\n\n{sections}\nfailures:\n{names}\ntest result: FAILED. 7 passed; {failed} failed; 0 ignored\n"
        )
    }

    #[test]
    fn a_failure_is_said_with_its_error_alone() {
        let report = read(&output(&[("drain::ends", "Error: 2 violations\n  call-1\n\n  call-2")]));
        let said: Vec<String> = report.failures.iter().map(Failure::to_string).collect();
        assert_eq!(said, ["failed: drain::ends\n  Error: 2 violations\n    call-1\n    call-2"]);
        assert_eq!(report.tally, Tally { passed: 7, failed: 1, skipped: 0 });
    }

    #[test]
    fn a_test_that_said_nothing_is_named() {
        let report = read("failures:\n\nfailures:\n    a::b\n\ntest result: FAILED. 0 passed; 1 failed");
        assert_eq!(report.failures.iter().map(Failure::to_string).collect::<Vec<_>>(), ["failed: a::b"]);
    }

    #[test]
    fn only_what_was_late_is_tried_again() {
        assert_eq!(read(&output(&[("a", LATE), ("b", LATE)])).second_tries(), ["a", "b"]);
        let wrong = "thread 'b' panicked at x.rs:1:\nleft: 1";
        assert_eq!(read(&output(&[("a", LATE), ("b", wrong)])).second_tries(), [""; 0]);
        assert_eq!(read(&output(&[("a", LATE); 4])).second_tries(), [""; 0]);
        assert_eq!(read("test result: ok. 3 passed; 0 failed").second_tries(), [""; 0]);
        let crashed = "test result: FAILED. 3 passed; 1 failed";
        assert_eq!(read(crashed).second_tries(), [""; 0], "nobody knows which");
    }

    #[test]
    fn who_passes_later_has_passed_and_is_named() {
        let first = read(&output(&[("a", LATE), ("b", LATE)]));
        let again = read(&output(&[("b", LATE)]).replace("7 passed", "1 passed"));
        let both = first.clone().after_second_tries(&again);
        assert_eq!(both.tally, Tally { passed: 8, failed: 1, skipped: 0 });
        let said: Vec<String> = both.failures.iter().map(Failure::to_string).collect();
        assert!(
            said[0].starts_with("passed at the second try: a") && said[1].starts_with("failed: b"),
            "{said:?}"
        );
        let nothing_ran = read("test result: ok. 0 passed; 0 failed");
        assert_eq!(first.clone().after_second_tries(&nothing_ran).tally.failed, 2);
    }
}
