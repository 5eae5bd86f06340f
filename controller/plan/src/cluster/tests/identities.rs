//! Identities of clouds, on clusters that have their kinds and on clusters that have not.

use kube_core::{DynamicObject, Resource};

use super::super::identity;
use super::*;
use crate::ObjectRef;

fn cloud() -> Operator {
    Operator { aws_cluster: Some("eks-1".into()), has_gcp_identities: true, ..operator() }
}

fn with_security(security: Value) -> RestateCluster {
    let mut object = json!(fresh(SMALL));
    object["spec"]["security"] = security;
    serde_json::from_value(object).unwrap()
}

fn everything() -> RestateCluster {
    with_security(json!({
        "awsPodIdentityAssociationRoleArn": "arn:aws:iam::1:role/r",
        "awsPodSecurityGroups": ["sg-1", "sg-2"],
        "serviceAccountAnnotations": {"iam.gke.io/gcp-service-account": "restate@my-project.iam.gserviceaccount.com"},
    }))
}

/// What is seen of each object that the decision asks for.
fn seen_of(object: &RestateCluster, operator: Operator, found: impl Fn(&ObjectRef) -> Found) -> Seen {
    let valid = validate(object).unwrap();
    let asked = identities_to_ask(&valid, &operator);
    let foreign = |reference: ObjectRef| Foreign { found: found(&reference), reference };
    Seen { operator, identities: asked.into_iter().map(foreign).collect(), ..Seen::default() }
}

fn made(plan: &Plan) -> Vec<(ObjectRef, DynamicObject)> {
    let foreign = |object: &&Object| match object {
        Object::Foreign(reference, object) => Some((reference.clone(), object.clone())),
        _ => None,
    };
    applied_objects(plan).iter().filter_map(foreign).collect()
}

fn has_set(plan: &Plan) -> bool {
    applied_objects(plan).iter().any(|object| matches!(object, Object::StatefulSet(_)))
}

/// README (EKS Pod Identity, Security Groups for Pods), op#102 (workload identity). Fields are those of the kinds'
/// definitions: ACK's eks-controller, AWS' VPC resource controller 1.8, the Config Connector; the resource's version is
/// always sent (op#136: a default that goes is a change that is refused).
#[test]
fn objects_have_the_fields_of_their_definitions() {
    let object = everything();
    let valid = validate(&object).unwrap();
    let plan = plan(&valid, &seen_of(&object, cloud(), |_| Found::Absent), now());
    let specs: Vec<_> = made(&plan)
        .into_iter()
        .map(|(reference, object)| json!({"what": reference.to_string(), "api": reference.api_version, "spec": object.data["spec"]}))
        .collect();
    insta::assert_yaml_snapshot!(specs, @r#"
    - api: eks.services.k8s.aws/v1alpha1
      spec:
        clusterName: eks-1
        namespace: rs
        roleARN: "arn:aws:iam::1:role/r"
        serviceAccount: restate
      what: PodIdentityAssociation rs/restate
    - api: vpcresources.k8s.aws/v1beta1
      spec:
        podSelector:
          matchLabels:
            app.kubernetes.io/instance: rs
            app.kubernetes.io/name: restate
        securityGroups:
          groupIds:
            - sg-1
            - sg-2
      what: SecurityGroupPolicy rs/restate
    - api: iam.cnrm.cloud.google.com/v1beta1
      spec:
        member: "serviceAccount:my-project.svc.id.goog[rs/restate]"
        resourceRef:
          apiVersion: iam.cnrm.cloud.google.com/v1beta1
          external: projects/my-project/serviceAccounts/restate@my-project.iam.gserviceaccount.com
          kind: IAMServiceAccount
        role: roles/iam.workloadIdentityUser
      what: IAMPolicyMember rs/restate-workload-identity
    "#);
}

/// users.md §2a 2.3.1 (op#103): a feature that is off asks nobody; one whose gate is closed neither.
#[rstest]
#[case::nothing_wanted(with_security(json!({})), cloud(), 0)]
#[case::all_wanted(everything(), cloud(), 3)]
#[case::gates_closed(everything(), operator(), 1)]
fn only_what_is_wanted_is_asked_for(
    #[case] object: RestateCluster,
    #[case] operator: Operator,
    #[case] asked: usize,
) {
    assert_eq!(identities_to_ask(&validate(&object).unwrap(), &operator).len(), asked);
}

/// A cloud identity without its kind: a condition and not Ready, no call, no pods without identity.
#[test]
fn a_kind_that_is_not_installed_is_said() {
    let object = everything();
    let valid = validate(&object).unwrap();
    let seen = seen_of(&object, cloud(), |_| Found::NotInstalled);
    let plan = plan(&valid, &seen, now());
    assert_eq!(made(&plan), vec![]);
    assert!(!has_set(&plan), "its pods would never get the identity");
    let status = status(&object, &valid, &seen, now());
    let said = status.conditions.get(ConditionType::IdentityReady).unwrap();
    assert_eq!((said.status.as_str(), said.reason.as_deref()), ("False", Some("IdentityNotInstalled")));
    let message = said.message.as_deref().unwrap();
    assert!(message.contains("PodIdentityAssociation") && message.contains("IAMPolicyMember"), "{message}");
    assert!(
        !status.conditions.holds(ConditionType::Ready) && status.conditions.holds(ConditionType::Stalled)
    );
}

#[test]
fn a_role_without_the_name_of_the_cluster_is_said() {
    let object = with_security(json!({"awsPodIdentityAssociationRoleArn": "arn"}));
    let seen = seen_of(&object, operator(), |_| panic!("nobody is asked"));
    let verdict = identity::verdict(&validate(&object).unwrap(), &seen).unwrap();
    assert_eq!(verdict.reason.to_string(), "IdentityNotConfigured");
}

#[rstest]
#[case("restate@p.iam.gserviceaccount.com", true)]
#[case("restate@p.example.com", false)]
#[case("restate", false)]
#[case("@p.iam.gserviceaccount.com", false)]
fn a_google_account_has_a_project(#[case] account: &str, #[case] good: bool) {
    let object =
        with_security(json!({"serviceAccountAnnotations": {"iam.gke.io/gcp-service-account": account}}));
    assert_eq!(identities_to_ask(&validate(&object).unwrap(), &cloud()).len(), usize::from(good));
}

fn present(object: &RestateCluster, reference: &ObjectRef, synced: Option<&str>) -> Found {
    let owner = json!({"apiVersion": "restate.dev/v1", "kind": "RestateCluster", "name": "rs", "uid": object.metadata.uid});
    let kind = if reference.kind == "IAMPolicyMember" { "Ready" } else { "ACK.ResourceSynced" };
    let conditions = synced.map(|status| json!([{"type": kind, "status": status, "message": "no role"}]));
    let object = json!({
        "apiVersion": reference.api_version, "kind": reference.kind,
        "metadata": {"name": reference.name, "namespace": "rs", "uid": "u", "ownerReferences": [owner]},
        "spec": {}, "status": {"conditions": conditions},
    });
    Found::Present(Box::new(serde_json::from_value(object).unwrap()))
}

/// users.md §2a 0.3.0: a pod that starts too early never gets its identity. A set that exists goes on (§2b op#136).
#[rstest]
#[case::no_word(None, false)]
#[case::refused(Some("False"), false)]
#[case::synced(Some("True"), true)]
fn a_new_set_waits_for_its_identities(#[case] synced: Option<&str>, #[case] goes: bool) {
    let object = everything();
    let valid = validate(&object).unwrap();
    let mut seen = seen_of(&object, cloud(), |reference| present(&object, reference, synced));
    let first = plan(&valid, &seen, now());
    assert_eq!(has_set(&first), goes);
    let waits = matches!(first.outcome, Outcome::Waiting { on: "IdentityPending", .. });
    assert_eq!(waits, !goes);
    // One that runs is changed all the same.
    seen.children.stateful_set = children(SMALL).stateful_set;
    let set = seen.children.stateful_set.as_mut().unwrap();
    set.annotations_mut().insert(stateful_set::TEMPLATE_FIELDS.into(), "other".into());
    assert!(has_set(&plan(&valid, &seen, now())));
}

/// What is wanted no more goes, and then nobody is asked any more; what is not ours stays.
#[test]
fn identities_go_when_they_are_wanted_no_more() {
    let mut object = everything();
    object.status = Some(
        serde_json::from_value(json!({"conditions": [{"type": "IdentityReady", "status": "True"}]})).unwrap(),
    );
    object.spec.security = None;
    let valid = validate(&object).unwrap();
    let here = seen_of(&object, cloud(), |reference| present(&object, reference, Some("True")));
    let removed = |plan: &Plan| {
        let is_removal =
            |step: &&Step| matches!(step, Step::Aside(step) if matches!(**step, Step::Delete { .. }));
        plan.steps.iter().filter(is_removal).count()
    };
    assert_eq!(removed(&plan(&valid, &here, now())), 3);
    assert!(status(&object, &valid, &here, now()).conditions.get(ConditionType::IdentityReady).is_some());

    let gone = seen_of(&object, cloud(), |_| Found::Absent);
    let after = status(&object, &valid, &gone, now());
    assert!(after.conditions.get(ConditionType::IdentityReady).is_none());
    object.status = Some(after);
    assert_eq!(identities_to_ask(&validate(&object).unwrap(), &cloud()), vec![]);

    let foreign = seen_of(&object, cloud(), |_| Found::Absent);
    let mut foreign = Seen { identities: here.identities.clone(), ..foreign };
    for identity in &mut foreign.identities {
        let Found::Present(found) = &mut identity.found else { unreachable!() };
        found.meta_mut().owner_references = None;
    }
    assert_eq!(removed(&plan(&valid, &foreign, now())), 0);
}

/// The Config Connector refuses any change of a binding: it is made anew where it differs, and left alone where an
/// earlier controller only said less (users.md §2b, op#136).
#[rstest]
#[case::says_less(json!({"role": "roles/iam.workloadIdentityUser", "resourceRef": {"kind": "IAMServiceAccount"}}), false)]
#[case::another_role(json!({"role": "roles/other"}), true)]
#[case::another_account(json!({"resourceRef": {"external": "projects/p/serviceAccounts/other"}}), true)]
fn a_binding_is_made_anew_only_where_it_differs(#[case] spec: Value, #[case] anew: bool) {
    let object = with_security(json!({
        "serviceAccountAnnotations": {"iam.gke.io/gcp-service-account": "restate@my-project.iam.gserviceaccount.com"},
    }));
    let seen = seen_of(&object, cloud(), |reference| {
        let Found::Present(mut found) = present(&object, reference, Some("True")) else { unreachable!() };
        found.data["spec"] = spec.clone();
        Found::Present(found)
    });
    let steps = plan(&validate(&object).unwrap(), &seen, now()).steps;
    let of_binding = |step: &&Step| format!("{step:?}").contains("IAMPolicyMember");
    let about: Vec<_> = steps.iter().filter(of_binding).collect();
    assert_eq!(about.len(), usize::from(anew), "{about:#?}");
    assert!(
        about.iter().all(|step| matches!(step, Step::Aside(step) if matches!(**step, Step::Delete { .. })))
    );
}

/// What a definition accepts.
enum Accepts {
    Text,
    Texts,
    Map,
    /// Fields, and whether each must be there.
    Fields(Vec<(&'static str, bool, Accepts)>),
}

/// What the definitions accept of a spec, in our own words: ACK's eks-controller, AWS' VPC resource controller 1.8.2, the
/// Config Connector 1.140, the secrets store's CSI driver. A field that they do not have would be dropped in silence.
fn accepted(kind: &str) -> Accepts {
    use Accepts::{Fields, Map, Text, Texts};
    match kind {
        "PodIdentityAssociation" => Fields(vec![
            ("clusterName", false, Text),
            ("namespace", true, Text),
            ("roleARN", false, Text),
            ("serviceAccount", true, Text),
            ("tags", false, Map),
        ]),
        "SecurityGroupPolicy" => Fields(vec![
            ("podSelector", false, Fields(vec![("matchLabels", false, Map)])),
            ("serviceAccountSelector", false, Fields(vec![("matchLabels", false, Map)])),
            ("securityGroups", false, Fields(vec![("groupIds", false, Texts)])),
        ]),
        // An object outside of Kubernetes has an external name, and then neither name nor namespace.
        "IAMPolicyMember" => {
            let resource = vec![("apiVersion", false, Text), ("kind", true, Text), ("external", true, Text)];
            Fields(vec![
                ("member", true, Text),
                ("resourceRef", true, Fields(resource)),
                ("role", true, Text),
            ])
        }
        "SecretProviderClass" => Fields(vec![("provider", false, Text), ("parameters", false, Map)]),
        other => panic!("{other}"),
    }
}

/// All that a definition would refuse or drop, by its path.
fn faults(value: &Value, accepts: &Accepts, path: &str) -> Vec<String> {
    let fault = |good: bool| if good { Vec::new() } else { vec![path.to_owned()] };
    match (accepts, value) {
        (Accepts::Text, value) => fault(value.is_string()),
        (Accepts::Texts, Value::Array(items)) => {
            fault(!items.is_empty() && items.iter().all(Value::is_string))
        }
        (Accepts::Map, Value::Object(items)) => fault(items.values().all(Value::is_string)),
        (Accepts::Fields(fields), Value::Object(items)) => {
            let known = |name: &str| fields.iter().find(|(field, ..)| *field == name);
            let missing = fields.iter().filter(|(name, must, _)| *must && !items.contains_key(*name));
            let mut found: Vec<_> = missing.map(|(name, ..)| format!("{path}.{name}")).collect();
            for (name, value) in items {
                let path = format!("{path}.{name}");
                match known(name) {
                    Some((_, _, inner)) => found.extend(faults(value, inner, &path)),
                    None => found.push(path),
                }
            }
            found
        }
        (Accepts::Texts | Accepts::Map | Accepts::Fields(_), _) => fault(false),
    }
}

/// The kinds of clouds are not on the lab: what is made is what their definitions accept.
#[test]
fn objects_are_what_their_kinds_accept() {
    let mut object = everything();
    let security = object.spec.security.as_mut().unwrap();
    security.request_signing_private_key = serde_json::from_value(json!({
        "version": "v1", "secretProvider": {"provider": "aws", "path": "key.pem", "parameters": {"objects": "[]"}},
    }))
    .unwrap();
    let valid = validate(&object).unwrap();
    let plan = plan(&valid, &seen_of(&object, cloud(), |_| Found::Absent), now());
    let made = made(&plan);
    assert_eq!(made.len(), 4);
    for (reference, object) in made {
        let faults = faults(&object.data["spec"], &accepted(&reference.kind), "spec");
        assert_eq!(faults, Vec::<String>::new(), "{reference}");
    }
    let slip = json!({"namespace": "a", "roleArn": "c"});
    let association = accepted("PodIdentityAssociation");
    assert_eq!(faults(&slip, &association, "spec"), ["spec.serviceAccount", "spec.roleArn"]);
}
