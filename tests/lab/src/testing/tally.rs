//! How many tests passed: read from the closing lines of test programs, added up, and said in one line.

use std::{fmt, ops::AddAssign};

/// Counts of tests.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl Tally {
    /// A check that is one test by itself.
    pub(super) fn of_check(passed: bool) -> Self {
        Self { passed: u64::from(passed), failed: u64::from(!passed), skipped: 0 }
    }

    /// Is this the first line of a Rust test program? Its closing line follows, unless it dies.
    pub(super) fn begins_test_program(line: &str) -> bool {
        let words = line.strip_prefix("running ").and_then(|it| it.split_once(' '));
        words.is_some_and(|(number, what)| number.parse::<u64>().is_ok() && matches!(what, "test" | "tests"))
    }

    /// The counts in the closing line of a Rust test program; nothing for any other line.
    pub(super) fn of_test_program(line: &str) -> Option<Self> {
        let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let mut tally = Self::default();
        for part in counts.split(';') {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            match what {
                "passed" => tally.passed = number.parse().ok()?,
                "failed" => tally.failed = number.parse().ok()?,
                "ignored" => tally.skipped = number.parse().ok()?,
                _ => {}
            }
        }
        Some(tally)
    }

    /// The counts in the last line of another `cargo lab test`.
    pub(super) fn of_closing_line(line: &str) -> Option<Self> {
        let mut tally = Self::default();
        let mut seen = 0;
        for part in line.trim().split(", ") {
            let (number, what) = part.split_once(' ')?;
            let field = match what {
                "passed" => &mut tally.passed,
                "failed" => &mut tally.failed,
                "skipped" => &mut tally.skipped,
                _ => return None,
            };
            *field = number.parse().ok()?;
            seen += 1;
        }
        (seen >= 2).then_some(tally)
    }

    /// A suite that ended badly without saying that a test failed: it did not build, or it crashed.
    pub(super) fn ended(self, successfully: bool) -> Self {
        if !successfully && self.failed == 0 { Self { failed: 1, ..self } } else { self }
    }

    /// Tests that are not there have not passed.
    pub(super) fn not_empty(self) -> Self {
        if self.passed + self.failed == 0 { Self { failed: 1, ..self } } else { self }
    }

    /// Did something run, and did all of it pass?
    pub(super) fn is_good(self) -> bool {
        self.passed > 0 && self.failed == 0
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        let Self { passed, failed, skipped } = other;
        self.passed += passed;
        self.failed += failed;
        self.skipped += skipped;
    }
}

/// The closing line.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed")?;
        if *skipped > 0 { write!(f, ", {skipped} skipped") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const fn tally(passed: u64, failed: u64, skipped: u64) -> Tally {
        Tally { passed, failed, skipped }
    }

    #[rstest]
    #[case(
        "test result: ok. 7 passed; 0 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.01s",
        tally(7, 0, 2)
    )]
    #[case("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out", tally(1, 2, 0))]
    fn a_test_program_says_how_it_ended(#[case] line: &str, #[case] counts: Tally) {
        assert_eq!(Tally::of_test_program(line), Some(counts));
    }

    #[rstest]
    #[case("test images::tests::a_test ... ok")]
    #[case("running 7 tests")]
    #[case("the test result: ok. 7 passed; 0 failed")]
    #[case("")]
    fn other_lines_say_nothing(#[case] line: &str) {
        assert_eq!(Tally::of_test_program(line), None);
        assert_eq!(Tally::of_closing_line(line), None);
    }

    #[rstest]
    #[case("running 7 tests", true)]
    #[case("running 1 test", true)]
    #[case("running 0 tests", true)]
    #[case("running late", false)]
    #[case("running all tests", false)]
    #[case("  running 7 tests", false)]
    #[case("test result: ok. 7 passed; 0 failed", false)]
    fn a_test_program_says_that_it_begins(#[case] line: &str, #[case] begins: bool) {
        assert_eq!(Tally::begins_test_program(line), begins);
    }

    #[test]
    fn what_does_not_build_or_is_not_there_has_failed() {
        assert_eq!(tally(0, 0, 0).ended(false), tally(0, 1, 0));
        assert_eq!(tally(3, 2, 0).ended(false), tally(3, 2, 0));
        assert_eq!(tally(3, 0, 0).ended(true), tally(3, 0, 0));
        assert_eq!(tally(0, 0, 4).not_empty(), tally(0, 1, 4));
        assert!(!tally(0, 0, 0).is_good() && !tally(5, 1, 0).is_good() && tally(5, 0, 1).is_good());
    }

    proptest! {
        #[test]
        fn the_closing_line_is_read_as_it_was_written(passed in 0..999u64, failed in 0..999u64, skipped in 0..9u64) {
            let counts = tally(passed, failed, skipped);
            prop_assert_eq!(Tally::of_closing_line(&counts.to_string()), Some(counts));
        }
    }
}
