{{/* Alerts about the gateway. docs/runbooks.md says what to do about each. */}}
{{- define "skinflint.alerts.gateway" -}}
{{- if .Values.gateway.enabled -}}
{{- $than := .Values.monitoring.prometheusRule.thresholds -}}
{{- $job := printf "%s-gateway-metrics" (include "skinflint.fullname" .) -}}
- alert: SkinflintGatewayDown
  expr: absent(up{job="{{ $job }}", namespace="{{ .Release.Namespace }}"} == 1)
  for: 5m
  severity: critical
  summary: No replica of the gateway answers
  description: Calls of all its clients fail.
- alert: SkinflintGatewayRefuses
  expr: sum by (reason) (rate(skinflint_refused_total{job="{{ $job }}"}[10m])) > {{ $than.refusalsPerSecond }}
  for: 10m
  severity: info
  summary: The gateway refuses many
  description: {{`'{{ $value | printf "%.1f" }} a second are refused, as their {{ $labels.reason }} is not allowed.'`}}
- alert: SkinflintGatewayBlind
  expr: max by (namespace, pod) (skinflint_access_pods_age_seconds{job="{{ $job }}"}) > 300
  for: 0m
  severity: warning
  summary: The gateway hears nothing of pods
  description: {{`'{{ $labels.namespace }}/{{ $labels.pod }} has not heard of the Kubernetes API for {{ $value | humanizeDuration }}. Past access.kubernetes.stale_s it knows no pod.'`}}
{{- end -}}
{{- end -}}
