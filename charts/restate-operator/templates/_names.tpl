{{- define "restate-operator.name" -}}
{{- .Values.nameOverride | default "restate-operator" | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "restate-operator.apiserver" -}}
{{- include "restate-operator.name" . }}-apiserver
{{- end }}

{{- /* The label that selectors use is for ever: a selector cannot change. */}}
{{- define "restate-operator.labels" -}}
app.kubernetes.io/name: {{ include "restate-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Values.version | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "restate-operator.image" -}}
{{- .image.repository }}:{{ .image.tag | default .root.Values.version | default .root.Chart.AppVersion }}
{{- end }}

{{- /* The Secret with the serving certificate. */}}
{{- define "restate-operator.certificate" -}}
{{- $suffix := eq .Values.aggregatedApi.certificate.mode "self" | ternary "certificate" "tls" }}
{{- .Values.aggregatedApi.certificate.secretName | default (printf "%s-%s" (include "restate-operator.apiserver" .) $suffix) }}
{{- end }}
