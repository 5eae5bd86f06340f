//! The words of a refusal (Z9): those of kube-apiserver, since people and tools read them.

use super::{Attributes, Decision};
use crate::status::{Details, Reason, Status};
use crate::user::User;

/// 403 for a user who may not.
pub fn status(user: &User, attributes: &Attributes, reason: &str) -> Status {
    let refusal = refusal(user, attributes);
    let refusal = if reason.is_empty() { refusal } else { format!("{refusal}: {reason}") };
    let (message, details) = match attributes.resource() {
        None => (format!("forbidden: {refusal}"), Details::default()),
        Some(resource) => {
            let name = resource.name.clone().unwrap_or_default();
            let qualified = qualified(&resource.resource, &resource.group);
            let named = if name.is_empty() { qualified } else { format!("{qualified} {name:?}") };
            let (group, kind) = (resource.group.clone(), resource.resource.clone());
            (format!("{named} is forbidden: {refusal}"), Details { name, group, kind, ..Details::default() })
        }
    };
    Status { details: Some(Box::new(details)), ..Status::new(Reason::Forbidden, message) }
}

/// The refusal for a decision; nothing if it allows.
pub fn unless_allowed(user: &User, attributes: &Attributes, decision: &Decision) -> Result<(), Box<Status>> {
    match decision {
        Decision::Allowed { .. } => Ok(()),
        Decision::Denied { reason } => Err(Box::new(status(user, attributes, reason))),
    }
}

fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn refusal(user: &User, attributes: &Attributes) -> String {
    let name = &user.name;
    let text = match attributes {
        Attributes::Path { verb, path } => format!("User {name:?} cannot {verb} path {path:?}"),
        Attributes::Resource(resource) => {
            let (verb, printed, group) = (&resource.verb, resource.printed(), &resource.group);
            let place = match &resource.namespace {
                Some(namespace) => format!("in the namespace {namespace:?}"),
                None => "at the cluster scope".to_owned(),
            };
            format!("User {name:?} cannot {verb} resource {printed:?} in API group {group:?} {place}")
        }
    };
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::ResourceAttributes;

    fn versions(subresource: Option<&str>, namespace: Option<&str>, name: Option<&str>) -> Attributes {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Attributes::Resource(Box::new(ResourceAttributes {
            verb: "get".to_owned(),
            group: "example.dev".to_owned(),
            version: "v1".to_owned(),
            resource: "things".to_owned(),
            subresource: owned(subresource),
            namespace: owned(namespace),
            name: owned(name),
            ..ResourceAttributes::default()
        }))
    }

    fn message(attributes: &Attributes, reason: &str) -> String {
        status(&User::named("alice"), attributes, reason).message
    }

    #[rstest::rstest]
    #[case(versions(None, Some("shop"), Some("a")), "", r#"things.example.dev "a" is forbidden: User "alice" cannot get resource "things" in API group "example.dev" in the namespace "shop""#)]
    #[case(versions(Some("proxy"), None, None), "RBAC: no", r#"things.example.dev is forbidden: User "alice" cannot get resource "things/proxy" in API group "example.dev" at the cluster scope: RBAC: no"#)]
    #[case(Attributes::Path { verb: "get".to_owned(), path: "/metrics".to_owned() }, "", r#"forbidden: User "alice" cannot get path "/metrics""#)]
    fn z9_the_words_of_kube_apiserver(
        #[case] attributes: Attributes,
        #[case] reason: &str,
        #[case] words: &str,
    ) {
        assert_eq!(message(&attributes, reason), words);
    }

    #[test]
    fn z9_details_name_group_and_plural() {
        let status = status(&User::named("alice"), &versions(Some("proxy"), None, Some("a")), "");
        let details = status.details.unwrap();
        assert_eq!(
            (details.name.as_str(), details.group.as_str(), details.kind.as_str()),
            ("a", "example.dev", "things")
        );
    }

    #[test]
    fn z9_markup_is_escaped() {
        assert!(
            message(&Attributes::Path { verb: "get".to_owned(), path: "/<b>&".to_owned() }, "")
                .contains("/&lt;b&gt;&amp;")
        );
    }
}
