{{/* What alerts compare with a day before. Dashboards do without. */}}
{{- define "skinflint.records" -}}
- record: namespace:skinflint_answered_share:ratio_rate1h
  expr: |
    sum by (namespace) (rate(skinflint_requests_total{outcome=~"hit|collapsed"}[1h]))
      / sum by (namespace) (rate(skinflint_requests_total{outcome=~"hit|collapsed|miss"}[1h]))
{{- end -}}
