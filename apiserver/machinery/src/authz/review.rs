//! The review's question and answer, as pure functions.

use k8s_openapi::api::authorization::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldSelectorRequirement, LabelSelectorRequirement};

use super::{Attributes, Decision, Error, Requirement, ResourceAttributes};
use crate::user::User;

/// The question to kube-apiserver.
pub(super) fn question(user: &User, attributes: &Attributes) -> api::SubjectAccessReview {
    let User { name, uid, groups, extra } = user.clone();
    let (resource_attributes, non_resource_attributes) = match attributes {
        Attributes::Resource(resource) => (Some(resource_question(resource)), None),
        Attributes::Path { verb, path } => {
            (None, Some(api::NonResourceAttributes { path: Some(path.clone()), verb: Some(verb.clone()) }))
        }
    };
    let spec = api::SubjectAccessReviewSpec {
        user: Some(name),
        uid,
        groups: Some(groups),
        extra: Some(extra),
        resource_attributes,
        non_resource_attributes,
    };
    api::SubjectAccessReview { spec, ..Default::default() }
}

fn resource_question(attributes: &ResourceAttributes) -> api::ResourceAttributes {
    let ResourceAttributes { verb, group, version, resource, subresource, namespace, name, fields, labels } =
        attributes.clone();
    let field = |each| api::FieldSelectorAttributes { requirements: Some(each), raw_selector: None };
    let label = |each| api::LabelSelectorAttributes { requirements: Some(each), raw_selector: None };
    api::ResourceAttributes {
        verb: Some(verb),
        group: Some(group),
        version: Some(version),
        resource: Some(resource),
        subresource,
        namespace,
        name,
        field_selector: some(fields.into_iter().filter(has_key).map(field_requirement).collect()).map(field),
        label_selector: some(labels.into_iter().filter(has_key).map(label_requirement).collect()).map(label),
    }
}

/// kube-apiserver refuses a question with a requirement about nothing (`==a`). Without it the question is about more
/// objects, so that nobody gets more for it; the list itself is refused afterwards.
fn has_key(requirement: &Requirement) -> bool {
    !requirement.key.is_empty()
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn field_requirement(Requirement { key, operator, values }: Requirement) -> FieldSelectorRequirement {
    FieldSelectorRequirement { key, operator: operator.to_string(), values: some(values) }
}

fn label_requirement(Requirement { key, operator, values }: Requirement) -> LabelSelectorRequirement {
    LabelSelectorRequirement { key, operator: operator.to_string(), values: some(values) }
}

/// Its answer. Neither allowed nor denied means denied; an error of evaluation counts only where nothing was allowed.
pub(super) fn decision(review: api::SubjectAccessReview) -> Result<Decision, Error> {
    let api::SubjectAccessReviewStatus { allowed, denied, evaluation_error, reason } =
        review.status.ok_or(Error::NoStatus)?;
    let reason = reason.unwrap_or_default();
    match (allowed, denied.unwrap_or(false), evaluation_error) {
        (true, false, _) => Ok(Decision::Allowed { reason }),
        (false, false, Some(message)) if !message.is_empty() && reason.is_empty() => {
            Err(Error::Evaluation { message })
        }
        (_, _, _) => Ok(Decision::Denied { reason }),
    }
}
