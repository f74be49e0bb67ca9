{{/* Alerts about money. docs/runbooks.md says what to do about each. */}}
{{- define "skinflint.alerts.costs" -}}
{{- $than := .Values.monitoring.prometheusRule.thresholds -}}
- alert: SkinflintUnpricedSpend
  expr: sum by (provider, model) (increase(skinflint_unpriced_total[1h])) > 0
  for: 0m
  severity: info
  summary: Calls are paid for whose price is unknown
  description: {{`'{{ $value | printf "%.0f" }} calls to {{ $labels.model }} of {{ $labels.provider }} have no price. Costs say less than was spent.'`}}
{{- if gt (float64 $than.spendPerHourUsd) 0.0 }}
- alert: SkinflintSpendBurst
  expr: sum by (namespace) (increase(skinflint_cost_usd_total[1h])) > {{ $than.spendPerHourUsd }}
  for: 0m
  severity: warning
  summary: A namespace spends more than it should
  description: {{`'{{ $labels.namespace }} has spent {{ $value | printf "%.2f" }} USD within an hour.'`}}
{{- end }}
- alert: SkinflintHitShareDropped
  expr: |
    namespace:skinflint_answered_share:ratio_rate1h
      < {{ $than.hitShareOfDayBefore }} * (namespace:skinflint_answered_share:ratio_rate1h offset 1d)
      and sum by (namespace) (rate(skinflint_requests_total{outcome=~"hit|collapsed|miss"}[1h])) > {{ $than.hitShareCallsPerSecond }}
  for: 30m
  severity: info
  summary: Fewer calls are answered from the cache than a day before
  description: {{`'In {{ $labels.namespace }} {{ $value | humanizePercentage }} of what may be answered from the cache is.'`}}
{{- end -}}
