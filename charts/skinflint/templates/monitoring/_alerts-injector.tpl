{{/* Alerts about the injector. docs/runbooks.md says what to do about each. */}}
{{- define "skinflint.alerts.injector" -}}
{{- if .Values.injector.enabled -}}
{{- $than := .Values.monitoring.prometheusRule.thresholds -}}
{{- $job := printf "%s-injector" (include "skinflint.fullname" .) -}}
- alert: SkinflintInjectorDown
  expr: absent(up{job="{{ $job }}", namespace="{{ .Release.Namespace }}"} == 1)
  for: 5m
  severity: critical
  summary: No injector answers
  description: Where the webhook fails closed no pod is made; where it fails open pods are made without the sidecar.
- alert: SkinflintInjectorFailing
  expr: |
    sum by (namespace, outcome) (increase(skinflint_injector_reviews_total{outcome=~"failed|malformed|busy"}[15m])) > 0
  for: 0m
  severity: warning
  summary: Reviews of pods fail
  description: {{`'{{ $value | printf "%.0f" }} reviews were {{ $labels.outcome }} within a quarter of an hour.'`}}
- alert: SkinflintInjectorSlow
  expr: |
    histogram_quantile(0.99, sum by (namespace, le) (rate(skinflint_injector_review_seconds_bucket[10m])))
      > {{ $than.reviewSeconds }}
  for: 10m
  severity: warning
  summary: Reviews of pods take long
  description: {{`'One of a hundred reviews takes {{ $value | humanizeDuration }}. API servers wait for injector.webhook.timeoutSeconds.'`}}
- alert: SkinflintPodsRefused
  expr: sum by (namespace) (increase(skinflint_injector_reviews_total{outcome="refused"}[15m])) > 0
  for: 0m
  severity: info
  summary: Pods were refused
  description: {{`'{{ $value | printf "%.0f" }} pods could not be given the sidecar. Events of their owners, and the injector''s log, name them.'`}}
- alert: SkinflintInjectorChangeRefused
  expr: sum by (namespace, pod, what) (increase(skinflint_injector_reloads_total{outcome="refused"}[15m])) > 0
  for: 0m
  severity: warning
  summary: The injector refuses a new certificate or new settings
  description: {{`'{{ $labels.namespace }}/{{ $labels.pod }} goes on with the {{ $labels.what }} that it had. Its log says why.'`}}
- alert: SkinflintInjectorCertificateEndsSoon
  expr: |
    min by (namespace) (skinflint_injector_certificate_expiry_timestamp_seconds) - time()
      < {{ mul $than.certificateDays 86400 }}
  for: 1h
  severity: critical
  summary: The webhook's certificate ends soon
  description: {{`'It ends in {{ $value | humanizeDuration }}. After that API servers do not accept the webhook.'`}}
{{- end -}}
{{- end -}}
