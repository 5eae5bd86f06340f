//! Ages in the few characters that Kubernetes' tables use: `45s`, `3m20s`, `5h`, `2d4h`, `3y120d`.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The time from `since` to `now`; `<unknown>` without one, `<invalid>` for the future.
pub fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    since.map_or_else(|| "<unknown>".to_owned(), |since| duration(now.duration_since(since).as_secs()))
}

fn duration(seconds: i64) -> String {
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair((seconds / MINUTE, 'm'), (seconds % MINUTE, 's')),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => pair((seconds / HOUR, 'h'), (seconds % HOUR / MINUTE, 'm')),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => pair((seconds / DAY, 'd'), (seconds % DAY / HOUR, 'h')),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => pair((seconds / YEAR, 'y'), (seconds % YEAR / DAY, 'd')),
        _ => format!("{}y", seconds / YEAR),
    }
}

fn pair((large, large_unit): (i64, char), (small, small_unit): (i64, char)) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(-2, "<invalid>")]
    #[case(-1, "0s")]
    #[case(0, "0s")]
    #[case(119, "119s")]
    #[case(120, "2m")]
    #[case(200, "3m20s")]
    #[case(600, "10m")]
    #[case(10_799, "179m")]
    #[case(10_800, "3h")]
    #[case(11_100, "3h5m")]
    #[case(28_800, "8h")]
    #[case(172_799, "47h")]
    #[case(187_200, "2d4h")]
    #[case(691_200, "8d")]
    #[case(63_072_000, "2y")]
    #[case(63_158_400, "2y1d")]
    #[case(252_288_000, "8y")]
    fn r3_ages_read_as_in_kubernetes(#[case] seconds: i64, #[case] text: &str) {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let since = Timestamp::from_second(1_800_000_000 - seconds).unwrap();
        assert_eq!(age(Some(since), now), text);
    }

    #[test]
    fn r3_no_time_is_unknown() {
        assert_eq!(age(None, Timestamp::UNIX_EPOCH), "<unknown>");
    }
}
