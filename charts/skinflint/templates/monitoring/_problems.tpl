{{/* What is wrong with `monitoring`, as a JSON list; see checks.yaml. */}}
{{- define "skinflint.monitoringProblems" -}}
{{- $problems := list -}}
{{- if and .Values.monitoring.serviceMonitor.enabled .Values.gateway.enabled (not .Values.gateway.metricsService.enabled) -}}
  {{- $problems = append $problems "gateway.metricsService.enabled: is needed with monitoring.serviceMonitor.enabled, which scrapes the gateway through it" -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}
