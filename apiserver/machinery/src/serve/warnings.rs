//! Warnings that a handler raises and the client prints (C9).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use http::header::{HeaderMap, WARNING};

/// Above this total of characters each text is cut to [`SHORT`] characters, and once so many are written the others
/// are left out, as in Kubernetes.
const TOTAL: usize = 4096;
const SHORT: usize = 256;
/// More than this are not kept.
const MOST: usize = 128;

/// Collects the warnings of one request; in the extensions of each.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Given>>);

/// What was given, in order and once each.
#[derive(Debug, Default)]
struct Given {
    texts: Vec<Arc<str>>,
    seen: HashSet<Arc<str>>,
}

impl Warnings {
    /// Adds a warning, unless the same was given before or there are too many to be told.
    pub fn add(&self, text: impl Into<String>) {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if given.texts.len() == MOST {
            return;
        }
        // One character more than is ever written whole: it is known for long, and kept no longer than that.
        let text: Arc<str> = cut(&text.into(), TOTAL + 1).into();
        if given.seen.insert(Arc::clone(&text)) {
            given.texts.push(text);
        }
    }

    /// Appends one `Warning: 299 - "…"` header for each text.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let texts = self.0.lock().unwrap_or_else(PoisonError::into_inner).texts.clone();
        let long = texts.iter().map(|text| text.chars().count()).sum::<usize>() > TOTAL;
        let mut written = 0;
        for text in texts.iter().map(|text| if long { cut(text, SHORT) } else { text.as_ref() }) {
            if written >= TOTAL {
                return;
            }
            written += text.chars().count();
            if let Some(value) = header(text) {
                headers.append(WARNING, value);
            }
        }
    }
}

/// The first so many characters.
fn cut(text: &str, limit: usize) -> &str {
    text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end])
}

fn header(text: &str) -> Option<HeaderValue> {
    let plain = text.chars().map(|each| if each.is_control() { ' ' } else { each });
    let escaped = plain.fold(String::new(), |mut out, each| {
        if matches!(each, '"' | '\\') {
            out.push('\\');
        }
        out.push(each);
        out
    });
    HeaderValue::from_str(&format!("299 - \"{escaped}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(texts: &[&str]) -> Vec<String> {
        let warnings = Warnings::default();
        for text in texts {
            warnings.add(*text);
        }
        let mut headers = HeaderMap::new();
        warnings.write(&mut headers);
        headers
            .get_all(WARNING)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    }

    #[test]
    fn c9_quotes_escapes_and_drops_repetitions() {
        let written = written(&["unknown field \"spec.x\"", "a\nb", "a\nb"]);
        assert_eq!(written, [r#"299 - "unknown field \"spec.x\"""#, r#"299 - "a b""#]);
    }

    #[test]
    fn c9_cuts_each_text_once_the_total_is_long() {
        let long = "x".repeat(5000);
        let written = written(&[&long, "short"]);
        assert_eq!(written[0].len(), "299 - \"\"".len() + SHORT);
        assert_eq!(written[1], "299 - \"short\"");
    }

    #[test]
    fn c9_what_is_written_does_not_grow_with_what_is_warned_of() {
        let texts: Vec<_> = (0..5000).map(|number| format!("{number}{}", "x".repeat(300))).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        assert_eq!(written(&texts).len(), TOTAL / SHORT);
        let short: Vec<_> = (0..5000).map(|number| number.to_string()).collect();
        let short: Vec<_> = short.iter().map(String::as_str).collect();
        assert_eq!(written(&short).len(), MOST);
    }

    #[test]
    fn c9_of_a_long_text_no_more_is_kept_than_can_be_told() {
        let warnings = Warnings::default();
        warnings.add("ä".repeat(1024 * 1024));
        assert_eq!(warnings.0.lock().unwrap().texts[0].chars().count(), TOTAL + 1);
    }
}
