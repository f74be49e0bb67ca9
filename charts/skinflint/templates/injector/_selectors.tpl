{{/*
Which pods the sidecar is for. A pod matches exactly one of the webhooks, or none:

  scope       namespace label skinflint.dev/inject   pod label skinflint.dev/inject
  namespaces  enabled                                not "false"
  pods        none                                   "true"

times what becomes of the pod when no replica answers, which the namespace's label skinflint.dev/failure-policy says;
without the label, or with another word than fail and ignore, it is `injector.webhook.failurePolicy`.
*/}}

{{/* JSON: a list of {scope, policy (Fail or Ignore), namespaceSelector, objectSelector}. */}}
{{- define "skinflint.webhookScopes" -}}
{{- $webhook := .Values.injector.webhook -}}
{{- $system := concat (list "kube-system" "kube-public" "kube-node-lease" .Release.Namespace) $webhook.excludeNamespaces | uniq -}}
{{- $excluded := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" $system -}}
{{- $other := ternary "Ignore" "Fail" (eq $webhook.failurePolicy "Fail") -}}
{{- $scopes := list -}}
{{- range $scope := list "namespaces" "pods" -}}
  {{- range $policy := list $webhook.failurePolicy $other -}}
    {{- if or $webhook.namespaceFailurePolicy (eq $policy $webhook.failurePolicy) -}}
      {{- $namespace := list -}}
      {{- $pod := dict -}}
      {{- if eq $scope "namespaces" -}}
        {{- $namespace = append $namespace (dict "key" "skinflint.dev/inject" "operator" "In" "values" (list "enabled")) -}}
        {{- $pod = dict "key" "skinflint.dev/inject" "operator" "NotIn" "values" (list "false") -}}
      {{- else -}}
        {{- $namespace = append $namespace (dict "key" "skinflint.dev/inject" "operator" "DoesNotExist") -}}
        {{- $pod = dict "key" "skinflint.dev/inject" "operator" "In" "values" (list "true") -}}
      {{- end -}}
      {{- if $webhook.namespaceFailurePolicy -}}
        {{- $operator := ternary "NotIn" "In" (eq $policy $webhook.failurePolicy) -}}
        {{- $namespace = append $namespace (dict "key" "skinflint.dev/failure-policy" "operator" $operator "values" (list (lower $other))) -}}
      {{- end -}}
      {{- $scopes = append $scopes (dict
            "scope" $scope
            "policy" $policy
            "namespaceSelector" (dict "matchExpressions" (append $namespace $excluded))
            "objectSelector" (dict "matchExpressions" (list $pod))) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $scopes | toJson -}}
{{- end -}}
