//! Who asks: the outcome of authentication, put into the extensions of each request.
//!
//! Invariant: a `User` in the extensions was made by [`crate::authn`] (or by an allowed impersonation) and by nothing
//! else; no header of the caller is read for identity after that.

use std::collections::BTreeMap;

/// User name of a caller without any credential.
pub const ANONYMOUS: &str = "system:anonymous";
/// Group of everybody who proved an identity.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of everybody who proved none.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Group that no authorizer is asked about.
pub const MASTERS: &str = "system:masters";

/// An authenticated (or anonymous) caller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// Name, unique among the callers of a cluster.
    pub name: String,
    /// Identifier that survives a rename, where the authenticator knows one.
    pub uid: Option<String>,
    /// Groups in the order in which they were named.
    pub groups: Vec<String>,
    /// Further facts, keys in lower case.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user with a name only.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The caller who showed nothing.
    pub fn anonymous() -> Self {
        Self { groups: vec![UNAUTHENTICATED.to_owned()], ..Self::named(ANONYMOUS) }
    }

    /// Whether this is the caller who showed nothing.
    pub fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
    }

    /// Whether the user is a member of `group`.
    pub fn is_member_of(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// The same user with `system:authenticated` among the groups (A10).
    #[must_use]
    pub fn authenticated(mut self) -> Self {
        if !self.is_member_of(AUTHENTICATED) && !self.is_member_of(UNAUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a10_the_authenticated_group_is_added_once() {
        let user = User::named("alice").authenticated().authenticated();
        assert_eq!(user.groups, [AUTHENTICATED]);
    }

    #[test]
    fn a11_anonymous_never_becomes_authenticated() {
        assert_eq!(User::anonymous().authenticated().groups, [UNAUTHENTICATED]);
    }
}
