{{/* The metadata of what Prometheus or Grafana finds by label. Takes root, component, name and values. */}}
{{- define "skinflint.monitorMetadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- merge (deepCopy .values.labels) (include "skinflint.labels" . | fromYaml) | toYaml | nindent 2 }}
{{- with merge dict (default dict .values.annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
