//! A definition as a template of the CRD chart.
//!
//! Stage in the flow: none at run time. Invariant: rendered with the chart's own values, a template is the
//! manifest plus the annotation that keeps users' objects when the release goes. Not for the controller's
//! chart.

/// Where the annotations of a manifest go: before its name, which is the first key of its metadata.
const METADATA: &str = "\nmetadata:\n";

const ANNOTATIONS: &str = r"  annotations:
    {{- if .Values.keep }}
    helm.sh/resource-policy: keep
    {{- end }}
    {{- with .Values.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.labels }}
  labels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
";

/// The template of a manifest. Braces that a description may have are not for Helm.
pub(super) fn template(manifest: &str) -> String {
    let quoted = manifest.replace("{{", r#"{{ "{{" }}"#);
    quoted.replacen(METADATA, &format!("{METADATA}{ANNOTATIONS}"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_go_to_the_metadata_and_braces_stay() {
        let manifest = "kind: X\nmetadata:\n  name: x\nspec:\n  metadata:\n    text: 'a {{ b'\n";
        let template = template(manifest);
        assert!(template.starts_with("kind: X\nmetadata:\n  annotations:\n"), "{template}");
        assert!(
            template.ends_with("  name: x\nspec:\n  metadata:\n    text: 'a {{ \"{{\" }} b'\n"),
            "{template}"
        );
    }
}
