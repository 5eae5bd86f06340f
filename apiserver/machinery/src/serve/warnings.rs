//! Warnings that a handler raises and the client prints (C9).

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use http::header::{HeaderMap, WARNING};

/// Above this total, each text is cut to [`SHORT`] characters.
const TOTAL: usize = 4096;
const SHORT: usize = 256;

/// Collects the warnings of one request; in the extensions of each.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Adds a warning, unless the same was given before.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }

    /// The warnings given so far.
    pub fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Appends one `Warning: 299 - "…"` header for each text.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let texts = self.texts();
        let long = texts.iter().map(String::len).sum::<usize>() > TOTAL;
        let values = texts.iter().map(|text| header(text, if long { SHORT } else { usize::MAX }));
        for value in values.flatten() {
            headers.append(WARNING, value);
        }
    }
}

fn header(text: &str, limit: usize) -> Option<HeaderValue> {
    let plain = text.chars().map(|each| if each.is_control() { ' ' } else { each });
    let escaped = plain.take(limit).fold(String::new(), |mut out, each| {
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
}
