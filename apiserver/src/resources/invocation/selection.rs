//! What of a selection Restate can answer itself (R10): owners narrow the scope, the rest becomes conditions.
//!
//! Invariant: what is pushed down never leaves out what the selection matches; whatever else it does not match is
//! left out by the server afterwards. Values are handed over as values.

use std::collections::{BTreeMap, BTreeSet};

use apiserver_machinery::list::Selection;
use apiserver_machinery::selector::{FieldRequirement, LabelRequirement, LabelSelector};
use restate_apiservice::InvocationState;
use restate_client::query::{Column, Condition, word};
use restate_model::ServiceName;

use super::object::shown;
use crate::atlas::Owner;
use crate::resources::version::label_value;

/// Nothing can be what the selection asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nothing;

/// A selection of invocations.
pub(super) struct Pushed<'a>(pub(super) &'a Selection);

impl Pushed<'_> {
    /// Whether an owner's invocations can be selected at all.
    pub(super) fn wants(&self, owner: &Owner) -> bool {
        self.0.namespace.as_deref().is_none_or(|namespace| namespace == owner.namespace)
            && self.field_admits("metadata.namespace", &owner.namespace)
            && self.field_admits("status.deployment", &owner.deployment)
            && self.field_admits("status.version", &owner.version)
            && self.field_admits("status.cluster", &owner.cluster)
            && self.label_admits("restate.dev/deployment", &label_value(&owner.deployment))
            && self.label_admits("restate.dev/cluster", &label_value(&owner.cluster))
    }

    /// What Restate is asked beyond the scope, given the services that there are.
    pub(super) fn conditions(&self, services: &BTreeSet<ServiceName>) -> Result<Vec<Condition>, Nothing> {
        let mut all: Vec<Condition> = Vec::new();
        all.extend(self.services(services)?);
        all.extend(self.states()?);
        for requirement in &self.0.fields.0 {
            all.extend(plain(requirement));
        }
        Ok(all)
    }

    fn services(&self, services: &BTreeSet<ServiceName>) -> Result<Option<Condition>, Nothing> {
        let admitted = |name: &&ServiceName| {
            self.field_admits("status.service", name.as_str())
                && self.label_admits("restate.dev/service", &label_value(name.as_str()))
        };
        let values: Vec<String> = services.iter().filter(admitted).map(ToString::to_string).collect();
        if values.is_empty() {
            return Err(Nothing);
        }
        let is_narrower = values.len() < services.len();
        Ok(is_narrower.then_some(Condition { column: Column::Service, is: true, values }))
    }

    /// A state that is not known here has no word: it can only be asked for as none of the others.
    fn states(&self) -> Result<Option<Condition>, Nothing> {
        let admits = |state: InvocationState| {
            self.field_admits("status.state", state.as_ref())
                && self.label_admits("restate.dev/state", state.as_ref())
        };
        let all = restate_model::InvocationState::ALL;
        let (admitted, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(|state| admits(shown(*state)));
        let words = |states: Vec<_>| states.into_iter().map(|state| word(state).to_owned()).collect();
        let column = Column::State;
        match (admits(InvocationState::Unknown), admitted.is_empty(), refused.is_empty()) {
            (true, _, true) => Ok(None),
            (true, _, false) => Ok(Some(Condition { column, is: false, values: words(refused) })),
            (false, true, _) => Err(Nothing),
            (false, false, _) => Ok(Some(Condition { column, is: true, values: words(admitted) })),
        }
    }

    fn field_admits(&self, path: &str, value: &str) -> bool {
        let about = |requirement: &&FieldRequirement| requirement.path == path;
        self.0.fields.0.iter().filter(about).all(|wanted| (wanted.value == value) == wanted.equal)
    }

    fn label_admits(&self, key: &str, value: &str) -> bool {
        let about = self.0.labels.0.iter().filter(|requirement| key_of(requirement) == key);
        let selector = LabelSelector(about.cloned().collect());
        selector.matches(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }
}

/// What one field of an invocation itself must be.
fn plain(requirement: &FieldRequirement) -> Option<Condition> {
    let FieldRequirement { path, equal, value } = requirement;
    let column = match path.as_str() {
        // Any other than this name is not asked for: Restate fails where the name is no id.
        "metadata.name" if *equal => Column::Id,
        "status.handler" => Column::Handler,
        "status.key" => Column::Key,
        _ => return None,
    };
    Some(Condition { column, is: *equal, values: vec![value.clone()] })
}

fn key_of(requirement: &LabelRequirement) -> &str {
    match requirement {
        LabelRequirement::In(key, _)
        | LabelRequirement::NotIn(key, _)
        | LabelRequirement::Exists(key)
        | LabelRequirement::DoesNotExist(key)
        | LabelRequirement::GreaterThan(key, _)
        | LabelRequirement::LessThan(key, _) => key,
    }
}

#[cfg(test)]
mod tests {
    use apiserver_machinery::kind::Kind;
    use jiff::Timestamp;
    use proptest::prelude::*;
    use restate_model::Status;
    use rstest::rstest;

    use super::super::object::object;
    use super::*;
    use crate::atlas::tests::{invocation, territory};

    fn selection(labels: &str, fields: &str) -> Selection {
        Selection { labels: labels.parse().unwrap(), fields: fields.parse().unwrap(), ..Selection::default() }
    }

    fn services() -> BTreeSet<ServiceName> {
        ["Greeter", "Old"].map(ServiceName::from).into()
    }

    fn one(column: Column, is: bool, values: &[&str]) -> Vec<Condition> {
        vec![Condition { column, is, values: values.iter().map(ToString::to_string).collect() }]
    }

    #[rstest]
    #[case::everything("", "", Ok(vec![]))]
    #[case::a_state("restate.dev/state=Paused", "", Ok(one(Column::State, true, &["paused"])))]
    #[case::inboxed("", "status.state=Inboxed", Ok(one(Column::State, true, &["pending"])))]
    #[case::unfinished("", "status.state!=Completed", Ok(one(Column::State, false, &["completed"])))]
    #[case::no_state("restate.dev/state=Asleep", "", Err(Nothing))]
    #[case::contradiction("restate.dev/state=Paused", "status.state=Running", Err(Nothing))]
    #[case::a_service("restate.dev/service in (Greeter,Other)", "", Ok(one(Column::Service, true, &["Greeter"])))]
    #[case::no_service("restate.dev/service=Foreign", "", Err(Nothing))]
    #[case::a_handler("", "status.handler=run", Ok(one(Column::Handler, true, &["run"])))]
    #[case::a_quote("", "status.key=it's", Ok(one(Column::Key, true, &["it's"])))]
    #[case::no_key("", "status.key=", Ok(one(Column::Key, true, &[""])))]
    #[case::a_name("", "metadata.name=inv_1", Ok(one(Column::Id, true, &["inv_1"])))]
    #[case::no_name("", "metadata.name=greeter", Ok(one(Column::Id, true, &["greeter"])))]
    #[case::another_name("", "metadata.name!=inv_typo", Ok(vec![]))]
    #[case::of_no_concern("app=web", "status.version=greeter-1", Ok(vec![]))]
    fn r10_what_restate_can_tell_it_is_asked(
        #[case] labels: &str,
        #[case] fields: &str,
        #[case] expected: Result<Vec<Condition>, Nothing>,
    ) {
        assert_eq!(Pushed(&selection(labels, fields)).conditions(&services()), expected);
    }

    /// What Restate would answer to conditions about one invocation.
    fn holds(conditions: &[Condition], found: &restate_model::Invocation) -> bool {
        let value = |column| match column {
            Column::Id => found.id.to_string(),
            Column::Service => found.target.service.to_string(),
            Column::Handler => found.target.handler.clone(),
            Column::Key => found.target.key.clone().unwrap_or_default(),
            Column::State => word(found.state).to_owned(),
        };
        conditions.iter().all(|condition| condition.values.contains(&value(condition.column)) == condition.is)
    }

    fn any_labels() -> impl Strategy<Value = String> {
        let key = prop::sample::select(vec!["deployment", "cluster", "service", "state", "other"]);
        let value =
            prop::sample::select(vec!["greeter", "prod", "Greeter", "Old", "Paused", "Completed", "x"]);
        let term = (key, value, 0..5_u8).prop_map(|(key, value, form)| match form {
            0 => format!("restate.dev/{key}={value}"),
            1 => format!("restate.dev/{key}!={value}"),
            2 => format!("restate.dev/{key} notin ({value},y)"),
            3 => format!("restate.dev/{key}"),
            _ => format!("!restate.dev/{key}"),
        });
        prop::collection::vec(term, 0..3).prop_map(|terms| terms.join(","))
    }

    fn any_fields() -> impl Strategy<Value = String> {
        let paths = ["status.service", "status.handler", "status.key", "status.state", "status.version"];
        let path = prop::sample::select(paths.to_vec());
        let value = prop::sample::select(vec!["Greeter", "run", "ada", "", "Paused", "greeter-2", "Unknown"]);
        let term = (path, value, any::<bool>())
            .prop_map(|(path, value, equal)| format!("{path}{}{value}", if equal { "=" } else { "!=" }));
        prop::collection::vec(term, 0..3).prop_map(|terms| terms.join(","))
    }

    proptest! {
        /// R9, R10: Restate never leaves out what the server would have kept.
        #[test]
        fn r10_nothing_that_is_selected_is_lost(
            labels in any_labels(),
            fields in any_fields(),
            service in prop::sample::select(vec!["Greeter", "Old"]),
            pinned in prop::sample::select(vec![None, Some("dp_old"), Some("dp_new")]),
            state in prop::sample::select(
                [&restate_model::InvocationState::ALL[..],
                 &[restate_model::InvocationState::Unfinished(Status::Other)]].concat()),
            keyed in any::<bool>(),
        ) {
            let mut found = invocation(service, pinned, state);
            found.target.key = found.target.key.filter(|_| keyed);
            let territory = territory();
            let owner = territory.owner(&found).unwrap();
            let shown = object(&territory, owner, &found, Timestamp::UNIX_EPOCH);
            let selection = selection(&labels, &fields);
            let field = |path: &str| shown.field(path).map(std::borrow::Cow::into_owned);
            let admits = |wanted: &FieldRequirement| {
                (field(&wanted.path).unwrap_or_default() == wanted.value) == wanted.equal
            };
            let selected = selection.labels.matches(shown.metadata.labels.as_ref().unwrap())
                && selection.fields.0.iter().all(admits);
            let pushed = Pushed(&selection);
            let asked = pushed.wants(owner)
                && pushed.conditions(&services()).is_ok_and(|conditions| holds(&conditions, &found));
            prop_assert!(asked || !selected, "{labels} {fields} {found:?}");
        }
    }
}
