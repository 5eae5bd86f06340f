//! The chart's roles as a template: printed from the descriptors, committed, and compared in CI.

use std::fmt::Write;

use crate::GROUP;
use crate::roles::{ROLES, Role};

/// Text of `templates/apiserver/roles.yaml` in the chart.
pub fn roles_template() -> String {
    let mut text = String::from("{{- /* Printed by restate-apiservice (bin generate); do not edit. */}}\n");
    text.push_str("{{- if .Values.aggregatedApi.enabled }}\n");
    for role in &ROLES {
        text.push_str(&role_template(role));
    }
    text.push_str("{{- end }}\n");
    text
}

fn role_template(role: &Role) -> String {
    let mut text = format!(
        "---\n# {}\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: \
         {{{{ include \"restate-operator.name\" . }}}}:{}\n  labels:\n    \
         {{{{- include \"restate-operator.labels\" . | nindent 4 }}}}\n",
        role.purpose, role.name
    );
    if !role.aggregates_to.is_empty() {
        text.push_str("    {{- if .Values.rbac.aggregateToDefaultRoles }}\n");
        for target in role.aggregates_to {
            let _ = writeln!(text, "    rbac.authorization.k8s.io/aggregate-to-{target}: \"true\"");
        }
        text.push_str("    {{- end }}\n");
    }
    text.push_str("rules:\n");
    for (resource, verbs) in role.entries {
        let verbs: Vec<_> = verbs.iter().map(|verb| verb.name()).collect();
        let _ = writeln!(
            text,
            "  - apiGroups: [{GROUP}]\n    resources: [{resource}]\n    verbs: [{}]",
            verbs.join(", ")
        );
    }
    text
}
