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
    /// None where a program died: nobody knows of which test.
    name: Option<String>,
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
    /// A program has begun and has not ended.
    is_running: bool,
}

impl Reader {
    pub(super) fn read(&mut self, line: &str) {
        if let Some(counts) = Tally::of_test_program(line) {
            self.report.tally += counts;
            (self.is_listing, self.is_running) = (false, false);
        } else if Tally::begins_test_program(line) {
            self.end_program();
            self.is_running = true;
        } else if let Some(name) = line.strip_prefix("---- ").and_then(|it| it.strip_suffix(" stdout ----")) {
            self.end_section();
            self.section = Some(Failure::of(name));
        } else if line == "failures:" {
            self.end_section();
            self.is_listing = true;
        } else if let Some(failure) = &mut self.section {
            failure.hear(line);
        } else if let Some(name) = line.strip_prefix("    ").filter(|_| self.is_listing) {
            self.list(name);
        }
    }

    /// What was read, of cargo that ended so: badly without a test that failed is a build that failed, or a crash.
    pub(super) fn ended(mut self, successfully: bool) -> Report {
        self.end_program();
        if !successfully && self.report.tally.failed == 0 {
            self.report.count_crash();
        }
        self.report
    }

    /// A program that said nothing in the end has died, whatever its tests said before.
    fn end_program(&mut self) {
        self.end_section();
        self.is_listing = false;
        if std::mem::take(&mut self.is_running) {
            self.report.count_crash();
        }
    }

    fn end_section(&mut self) {
        self.report.failures.extend(self.section.take());
    }

    /// A test that has said nothing has no section.
    fn list(&mut self, name: &str) {
        if !self.report.failures.iter().any(|failure| failure.name.as_deref() == Some(name)) {
            self.report.failures.push(Failure::of(name));
        }
    }
}

impl Failure {
    fn of(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// Lines from its error on.
    fn hear(&mut self, line: &str) {
        let begins = line.starts_with("Error: ") || line.contains("panicked at ");
        if (begins || !self.words.is_empty()) && self.words.len() < LINES && !line.trim().is_empty() {
            self.words.push(line.to_owned());
        }
    }

    /// What has not come in time may come on a machine that is less busy; what was wrong stays wrong. Its first line
    /// says which: after a panic something else is often late as well.
    fn was_late(&self) -> bool {
        let is_late = |line: &String| line.starts_with("Error: waited ") && line.contains("; last seen: ");
        self.words.first().is_some_and(is_late)
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
        let few = self.failures.len() <= SECOND_TRIES && self.is_told();
        let names = self.failures.iter().filter_map(|failure| failure.name.clone());
        if all_late && few { names.collect() } else { Vec::new() }
    }

    /// A program died: one failure without a name.
    fn count_crash(&mut self) {
        self.tally.failed += 1;
        self.failures.push(Failure::default());
    }

    /// Is every failure that was counted that of a test whose name is known?
    fn is_told(&self) -> bool {
        let named = self.failures.iter().filter(|failure| failure.name.is_some()).count();
        named == self.failures.len() && named as u64 == self.tally.failed
    }

    /// With what the second try of `names` showed: who passed has passed, and it is said that it took two. Where it
    /// crashed, nobody has.
    pub(super) fn after_second_tries(mut self, again: &Self) -> Self {
        let all_ran = again.tally.passed + again.tally.failed == self.failures.len() as u64;
        if !all_ran || !again.is_told() {
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
        let crash = "a program of tests did not build, or ended before its tests did";
        write!(f, "{how}: {}", self.name.as_deref().unwrap_or(crash))?;
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
        let nameless = "test result: FAILED. 3 passed; 1 failed";
        assert_eq!(read(nameless).second_tries(), [""; 0], "nobody knows which");
    }

    #[test]
    fn what_was_late_after_a_panic_is_not_tried_again() {
        let panicked = format!("thread 'a' panicked at x.rs:1:\nleft: 1\n{LATE}");
        assert_eq!(read(&output(&[("a", &panicked)])).second_tries(), [""; 0]);
        let wrong = format!("Error: 2 violations\n{LATE}");
        assert_eq!(read(&output(&[("a", &wrong)])).second_tries(), [""; 0]);
        let explained = format!("{LATE}\n  its pods: none");
        assert_eq!(read(&output(&[("a", &explained)])).second_tries(), ["a"]);
    }

    const PASSED: &str = "running 2 tests\ntest result: ok. 2 passed; 0 failed\n";
    const DIED: &str = "running 3 tests\ntest a ... ok\n";

    #[test]
    fn a_program_that_says_nothing_in_the_end_has_failed() {
        for text in [format!("{DIED}{PASSED}"), format!("{PASSED}{DIED}")] {
            let report = read(&text);
            assert_eq!(report.tally, Tally { passed: 2, failed: 1, skipped: 0 }, "{text}");
            assert_eq!(report.failures, [Failure::default()], "{text}");
        }
        assert_eq!(read(&format!("{DIED}{DIED}")).tally.failed, 2);
        assert_eq!(read(&format!("{PASSED}{PASSED}")).tally, Tally { passed: 4, failed: 0, skipped: 0 });
        let said = read(DIED).failures[0].to_string();
        assert!(said.starts_with("failed: a program of tests "), "{said}");
    }

    #[test]
    fn a_program_that_dies_after_its_last_line_has_failed() {
        let mut reader = Reader::default();
        PASSED.lines().for_each(|line| reader.read(line));
        let report = reader.ended(false);
        assert_eq!((report.tally.failed, report.failures.len()), (1, 1));
        assert_eq!(report.second_tries(), [""; 0]);
    }

    #[test]
    fn beside_a_crash_nothing_is_tried_again() {
        let late = output(&[("a", LATE)]);
        for text in [format!("{DIED}running 8 tests\n{late}"), format!("running 8 tests\n{late}{DIED}")] {
            let report = read(&text);
            assert_eq!((report.tally.failed, report.second_tries()), (2, Vec::new()), "{text}");
        }
    }

    #[test]
    fn a_crash_at_the_second_try_is_a_failure() {
        let first = read(&output(&[("a", LATE)]));
        let both = first.clone().after_second_tries(&read("running 1 test\n"));
        assert_eq!(both, first);
        assert!(both.failures[0].to_string().starts_with("failed: a\n"));
        let nameless = read("running 1 test\ntest result: FAILED. 0 passed; 1 failed");
        assert_eq!(first.clone().after_second_tries(&nameless), first);
        let passed = read("running 1 test\ntest result: ok. 1 passed; 0 failed");
        assert_eq!(first.after_second_tries(&passed).tally, Tally { passed: 8, failed: 0, skipped: 0 });
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
