//! Durations as Go writes them: `1m30s`, `1.5h`, `5ms`.
//!
//! The parser of kube-core panics on numbers that are negative or too large; what is parsed here is anybody's.

use std::time::Duration;

/// What fits into Go's nanoseconds.
const LONGEST: Duration = Duration::from_nanos(i64::MAX.unsigned_abs());

/// Reads a duration, with a `+` or without a sign, and refuses it in Go's words.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    loop {
        let (number, after) = split(rest, |char| !is_of_number(char));
        let (unit, after) = split(after, is_of_number);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let seconds = seconds_of(unit, text)?;
        let term = Duration::try_from_secs_f64(number * seconds).map_err(|_| invalid())?;
        total = total.checked_add(term).filter(|total| *total <= LONGEST).ok_or_else(invalid)?;
        rest = after;
        if rest.is_empty() {
            return Ok(total);
        }
    }
}

fn split(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

fn is_of_number(char: char) -> bool {
    char.is_ascii_digit() || char == '.'
}

fn seconds_of(unit: &str, text: &str) -> Result<f64, String> {
    match unit {
        "ns" => Ok(1e-9),
        // The micro sign, and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => Ok(1e-6),
        "ms" => Ok(1e-3),
        "s" => Ok(1.0),
        "m" => Ok(60.0),
        "h" => Ok(3600.0),
        "" => Err(format!("time: missing unit in duration {text:?}")),
        unknown => Err(format!("time: unknown unit {unknown:?} in duration {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("0", 0)]
    #[case("+5s", 5_000_000_000)]
    #[case("1m30s", 90_000_000_000)]
    #[case("1.5h", 5_400_000_000_000)]
    #[case(".5s", 500_000_000)]
    #[case("1h1m1s1ms1us1ns", 3_661_001_001_001)]
    #[case("3\u{b5}s", 3_000)]
    fn c11_durations_are_read_as_go_reads_them(#[case] text: &str, #[case] nanoseconds: u64) {
        assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)));
    }

    #[rstest]
    #[case("", r#"time: invalid duration """#)]
    #[case("soon", r#"time: invalid duration "soon""#)]
    #[case("1.2.3s", r#"time: invalid duration "1.2.3s""#)]
    #[case("99999999999999999999s", r#"time: invalid duration "99999999999999999999s""#)]
    #[case("2562047h2562047h", r#"time: invalid duration "2562047h2562047h""#)]
    #[case("1s-5s", r#"time: unknown unit "s-" in duration "1s-5s""#)]
    #[case("5", r#"time: missing unit in duration "5""#)]
    #[case("5d", r#"time: unknown unit "d" in duration "5d""#)]
    fn c11_what_is_no_duration_is_refused_in_the_words_of_go(#[case] text: &str, #[case] words: &str) {
        assert_eq!(parse(text), Err(words.to_owned()));
    }

    proptest! {
        #[test]
        fn c11_no_text_is_too_odd_to_be_answered(text in "[-+0-9.a-z\u{b5}]{0,40}") {
            let _ = parse(&text);
        }
    }
}
