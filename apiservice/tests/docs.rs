//! The pages for users name what there is: every resource with its verbs, every column, every role.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what is missing fails the test")]

use apiserver_kind::{Descriptor, Resource};
use restate_apiservice::kinds::DESCRIPTORS;
use restate_apiservice::roles::ROLES;
use restate_apiservice::{RestateInvocation, RestateQuery, RestateService};

fn page(name: &str) -> String {
    std::fs::read_to_string(format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn every_resource_stands_in_the_table_with_its_verbs() {
    let page = page("kinds.md");
    for descriptor in DESCRIPTORS {
        let Descriptor { plural, verbs, short_names, .. } = descriptor;
        let line = page.lines().find(|line| line.starts_with("| `") && line.contains(&format!("`{plural}`")));
        let line = line.unwrap_or_else(|| panic!("{plural} is not in the table"));
        let verbs: Vec<_> = verbs.iter().map(|verb| verb.name()).collect();
        assert!(line.contains(&format!("| {} |", verbs.join(" "))), "{plural} {verbs:?}: {line}");
        assert!(short_names.iter().all(|name| line.contains(name)), "{line}");
        for subresource in descriptor.subresources {
            assert!(page.contains(subresource.name), "{plural}/{}", subresource.name);
        }
    }
}

fn columns_and_fields<K: Resource>(page: &str) {
    let heading = format!("## {}\n", K::DESCRIPTOR.plural);
    let (_, section) = page.split_once(&heading).unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    for column in K::COLUMNS {
        let printed = column.name.to_uppercase();
        assert!(section.contains(&printed), "{}: no column {printed}", K::DESCRIPTOR.plural);
    }
    for field in K::DESCRIPTOR.selectable_fields {
        let name = field.trim_start_matches("status.");
        assert!(section.contains(name), "{}: no field {name}", K::DESCRIPTOR.plural);
    }
}

#[test]
fn every_column_and_selectable_field_is_named() {
    let page = page("kinds.md");
    columns_and_fields::<RestateService>(&page);
    columns_and_fields::<RestateInvocation>(&page);
    columns_and_fields::<RestateQuery>(&page);
}

#[test]
fn every_role_says_how_it_is_gained() {
    let page = page("rights.md");
    for role in ROLES {
        let name = format!("`restate-operator:{}`", role.name);
        let line = page.lines().find(|line| line.starts_with('|') && line.contains(&name));
        let line = line.unwrap_or_else(|| panic!("{name} is not in the table"));
        assert!(role.aggregates_to.iter().all(|target| line.contains(&format!("`{target}`"))), "{line}");
        assert_eq!(role.aggregates_to.is_empty(), line.contains("| nobody |"), "{line}");
    }
}
