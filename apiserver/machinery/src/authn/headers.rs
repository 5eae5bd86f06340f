//! The headers that carry identity: read from the front proxy (A3, A4), removed for everybody (A13).

use std::collections::BTreeMap;

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::Error;
use super::config::{Config, FrontProxy};
use crate::user::User;

/// Headers of the usual names are removed also where the configuration names others.
const USUAL_PREFIX: &str = "x-remote-";

/// The user that the front proxy names, if it names one.
pub(super) fn user(headers: &HeaderMap, proxy: &FrontProxy) -> Result<Option<User>, Error> {
    let Some(name) = first(headers, &proxy.username)? else { return Ok(None) };
    let uid = first(headers, &proxy.uid)?;
    Ok(Some(User { name, uid, groups: all(headers, &proxy.group)?, extra: extra(headers, &proxy.extra)? }))
}

/// Removes whatever names a user or proves to be one.
pub(super) fn strip(headers: &mut HeaderMap, config: Option<&Config>) {
    let named = config.map(|config| &config.front_proxy);
    let carries_identity = |name: &HeaderName| {
        [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name)
            || name.as_str().starts_with(USUAL_PREFIX)
            || named.is_some_and(|proxy| proxy.carries(name))
    };
    let doomed: Vec<_> = headers.keys().filter(|name| carries_identity(name)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

impl FrontProxy {
    fn carries(&self, name: &HeaderName) -> bool {
        let mut names = self.username.iter().chain(&self.uid).chain(&self.group);
        names.any(|own| own == name) || self.extra.iter().any(|prefix| name.as_str().starts_with(prefix))
    }
}

fn first(headers: &HeaderMap, names: &[HeaderName]) -> Result<Option<String>, Error> {
    let values = names.iter().filter_map(|name| headers.get(name).map(|value| (name, value)));
    let mut texts = values.map(|(name, value)| text(name, value));
    texts.find(|found| found.as_ref().map_or(true, |text| !text.is_empty())).transpose()
}

fn all(headers: &HeaderMap, names: &[HeaderName]) -> Result<Vec<String>, Error> {
    let values = names.iter().flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
    let texts = values.map(|(name, value)| text(name, value)).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

fn extra(headers: &HeaderMap, prefixes: &[String]) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        let encoded = prefixes.iter().find_map(|prefix| name.as_str().strip_prefix(prefix.as_str()));
        if let Some(encoded) = encoded {
            found.entry(key(encoded)).or_default().push(text(name, value)?);
        }
    }
    Ok(found)
}

/// Header names arrive in lower case; decoding may bring back what is not.
fn key(encoded: &str) -> String {
    percent_decode_str(encoded)
        .decode_utf8()
        .map_or_else(|_| encoded.to_owned(), std::borrow::Cow::into_owned)
}

/// Names may be any UTF-8 text.
pub(super) fn text(name: &HeaderName, value: &HeaderValue) -> Result<String, Error> {
    let text = str::from_utf8(value.as_bytes()).map_err(|_| Error::Header { name: name.to_string() })?;
    Ok(text.to_owned())
}
