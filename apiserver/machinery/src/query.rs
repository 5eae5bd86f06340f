//! The query of a request: decoded pairs, and Kubernetes' way to read flags and numbers from them.

use std::borrow::Cow;

use http::Uri;

/// A decoded query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Self {
        let owned = |(key, value): (Cow<'_, str>, Cow<'_, str>)| (key.into_owned(), value.into_owned());
        Self(url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).map(owned).collect())
    }

    /// The first value of a key; an empty one counts as absent.
    pub(crate) fn first(&self, key: &str) -> Option<&str> {
        self.raw(key).filter(|value| !value.is_empty())
    }

    /// All values of a key.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// A flag: false when absent, `false` or `0`; true for everything else.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.optional_flag(key).unwrap_or(false)
    }

    /// A flag whose absence means something.
    pub(crate) fn optional_flag(&self, key: &str) -> Option<bool> {
        self.raw(key).map(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    fn raw(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("watch=true", true)]
    #[case("watch=1", true)]
    #[case("watch", true)]
    #[case("watch=false", false)]
    #[case("watch=False", false)]
    #[case("watch=0", false)]
    #[case("", false)]
    fn z2_flags_are_read_as_kubernetes_reads_them(#[case] query: &str, #[case] set: bool) {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        assert_eq!(Query::of(&uri).flag("watch"), set);
    }
}
