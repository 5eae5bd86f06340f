//! Acting as somebody else on direct access (A15): who is wanted, what rights that takes, who results.
//!
//! kube-apiserver resolves these headers before it proxies, so they are seen only where nobody stands in between.
//! Invariant: the headers are honoured in full or the request is refused; they never go unnoticed.

use std::collections::BTreeMap;

use http::HeaderMap;

use super::headers::text;
use crate::authz::{Attributes, ResourceAttributes};
use crate::user::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User};

const PREFIX: &str = "impersonate-";
const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA: &str = "impersonate-extra-";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// Group and version of the resources `uids` and `userextras`.
const AUTHENTICATION: (&str, &str) = ("authentication.k8s.io", "v1");

/// Why the headers cannot be followed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// There is a group, uid or extra, but no user.
    #[error("requested {0} without impersonating a user")]
    NoUser(String),
    /// A header is no text.
    #[error("the header {0} is no text")]
    NoText(String),
    /// A header starts like these but means nothing.
    #[error("unknown header {0}")]
    Unknown(String),
}

/// Whom the caller wants to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impersonation {
    user: String,
    uid: Option<String>,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Impersonation {
    /// Takes the wish out of the headers.
    pub fn take(headers: &mut HeaderMap) -> Result<Option<Self>, Error> {
        let names: Vec<_> =
            headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
        let mut wanted = Self::default();
        for name in &names {
            for value in headers.get_all(name) {
                let value = text(name, value).map_err(|_| Error::NoText(name.to_string()))?;
                wanted.add(name.as_str(), value)?;
            }
        }
        for name in &names {
            headers.remove(name);
        }
        match (names.first(), wanted.user.is_empty()) {
            (None, _) => Ok(None),
            (Some(name), true) => Err(Error::NoUser(name.to_string())),
            (Some(_), false) => Ok(Some(wanted)),
        }
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), Error> {
        match (name, name.strip_prefix(EXTRA)) {
            (USER, _) => self.user = value,
            (UID, _) => self.uid = Some(value).filter(|uid| !uid.is_empty()),
            (GROUP, _) => self.groups.push(value),
            (_, Some(key)) => {
                let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
                self.extra.entry(key).or_default().push(value);
            }
            (unknown, None) => return Err(Error::Unknown(unknown.to_owned())),
        }
        Ok(())
    }

    /// Each of these has to be allowed.
    pub fn rights(&self) -> Vec<Attributes> {
        let Self { user: _, uid, groups, extra } = self;
        let uid = uid.iter().map(|uid| right(AUTHENTICATION, "uids", None, uid));
        let groups = groups.iter().map(|group| right(("", ""), "groups", None, group));
        let extras = extra.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
        let extras = extras.map(|(key, value)| right(AUTHENTICATION, "userextras", Some(key), value));
        [self.user_right()].into_iter().chain(groups).chain(extras).chain(uid).collect()
    }

    fn user_right(&self) -> Attributes {
        let Some((namespace, name)) = service_account(&self.user) else {
            return right(("", ""), "users", None, &self.user);
        };
        Attributes::Resource(Box::new(ResourceAttributes {
            verb: "impersonate".to_owned(),
            resource: "serviceaccounts".to_owned(),
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            ..ResourceAttributes::default()
        }))
    }

    /// Who results, once all rights are granted.
    pub fn user(self) -> User {
        let Self { user: name, uid, mut groups, extra } = self;
        if groups.is_empty()
            && let Some((namespace, _)) = service_account(&name)
        {
            groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        }
        let marker = if name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
        if !groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
            groups.push(marker.to_owned());
        }
        User { name, uid, groups, extra }
    }
}

fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

fn right(
    (group, version): (&str, &str),
    resource: &str,
    subresource: Option<&str>,
    name: &str,
) -> Attributes {
    Attributes::Resource(Box::new(ResourceAttributes {
        verb: "impersonate".to_owned(),
        group: group.to_owned(),
        version: version.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.map(str::to_owned),
        name: Some(name.to_owned()),
        ..ResourceAttributes::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn printed(rights: &[Attributes]) -> Vec<String> {
        let resource = |right: &Attributes| right.resource().cloned().unwrap();
        let print = |each: ResourceAttributes| {
            let name = each.name.clone().unwrap_or_default();
            format!("{} {}/{} {} {:?}", each.verb, each.group, each.printed(), name, each.namespace)
        };
        rights.iter().map(resource).map(print).collect()
    }

    #[test]
    fn a15_every_header_takes_a_right() {
        let mut headers = headers(&[
            ("Impersonate-User", "alice"),
            ("Impersonate-Group", "dev"),
            ("Impersonate-Group", "ops"),
            ("Impersonate-Uid", "42"),
            ("Impersonate-Extra-Example.com%2fScope", "read"),
            ("Accept", "*/*"),
        ]);
        let wanted = Impersonation::take(&mut headers).unwrap().unwrap();
        assert_eq!(headers.len(), 1, "the headers are gone");
        insta::assert_debug_snapshot!(printed(&wanted.rights()), @r#"
        [
            "impersonate /users alice None",
            "impersonate /groups dev None",
            "impersonate /groups ops None",
            "impersonate authentication.k8s.io/userextras/example.com/scope read None",
            "impersonate authentication.k8s.io/uids 42 None",
        ]
        "#);
        assert_eq!(wanted.user().groups, ["dev", "ops", AUTHENTICATED]);
    }

    #[test]
    fn a15_a_service_account_brings_its_groups() {
        let mut headers = headers(&[("Impersonate-User", "system:serviceaccount:shop:web")]);
        let wanted = Impersonation::take(&mut headers).unwrap().unwrap();
        assert_eq!(printed(&wanted.rights()), ["impersonate /serviceaccounts web Some(\"shop\")"]);
        let groups = ["system:serviceaccounts", "system:serviceaccounts:shop", AUTHENTICATED];
        assert_eq!(wanted.user().groups, groups);
    }

    #[test]
    fn a15_groups_without_a_user_are_refused() {
        let refused = |name, value| Impersonation::take(&mut headers(&[(name, value)])).unwrap_err();
        assert!(matches!(refused("Impersonate-Group", "system:masters"), Error::NoUser(_)));
        assert!(matches!(refused("Impersonate-Serial", "1"), Error::Unknown(_)));
    }

    #[test]
    fn a15_nobody_is_wanted() {
        assert_eq!(Impersonation::take(&mut headers(&[("Accept", "*/*")])), Ok(None));
    }
}
