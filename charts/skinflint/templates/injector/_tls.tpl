{{/* The Secret with the webhook's certificate. */}}
{{- define "skinflint.webhookSecret" -}}
{{- if eq .Values.injector.webhook.tls.mode "existing" -}}
{{- .Values.injector.webhook.tls.existing.secretName -}}
{{- else -}}
{{- include "skinflint.fullname" . }}-webhook-tls
{{- end -}}
{{- end -}}

{{/*
Mode helm: crt, key and ca as base64, and renewal, as YAML. What is in the cluster is kept, byte for byte, until
`renewal` is another word. Then the CA before stays trusted, since pods get the new Secret a minute after the API
server gets the new CA. Made once a rendering: the Secret and the webhook's caBundle must agree.
*/}}
{{- define "skinflint.webhookTls" -}}
{{- $tls := .Values.injector.webhook.tls -}}
{{- if not (hasKey $tls "made") -}}
  {{- $found := lookup "v1" "Secret" .Release.Namespace (include "skinflint.webhookSecret" .) | default dict -}}
  {{- $before := $found.data | default dict -}}
  {{- $renewal := dig "metadata" "annotations" "skinflint.dev/renewal" "" $found -}}
  {{- $is_whole := and (index $before "tls.crt") (index $before "tls.key") (index $before "ca.crt") -}}
  {{- if and $is_whole (eq $renewal $tls.renewal) -}}
    {{- $_ := set $tls "made" (dict "crt" (index $before "tls.crt") "key" (index $before "tls.key") "ca" (index $before "ca.crt")) -}}
  {{- else -}}
    {{- $service := printf "%s-injector" (include "skinflint.fullname" .) -}}
    {{- $names := list (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s" $service .Release.Namespace) -}}
    {{- $ca := genCA (printf "%s webhook CA" $service | trunc 64) 3650 -}}
    {{- $pair := genSignedCert (first $names | trunc 64) nil $names 3650 $ca -}}
    {{- $last := regexFind "-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?" (index $before "ca.crt" | default "" | b64dec) -}}
    {{- $_ := set $tls "made" (dict "crt" ($pair.Cert | b64enc) "key" ($pair.Key | b64enc) "ca" (print $ca.Cert $last | b64enc)) -}}
  {{- end -}}
{{- end -}}
{{- toYaml $tls.made -}}
{{- end -}}
