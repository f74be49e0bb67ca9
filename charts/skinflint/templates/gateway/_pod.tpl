{{/* The Secret with the gateway's CA. */}}
{{- define "skinflint.caSecret" -}}
{{- if eq .Values.gateway.ca.mode "existing" -}}
{{- .Values.gateway.ca.secretName -}}
{{- else -}}
{{- include "skinflint.fullname" . }}-gateway-ca
{{- end -}}
{{- end -}}

{{/* The Secret with the certificate of the HTTPS proxy. */}}
{{- define "skinflint.gatewayTlsSecret" -}}
{{- default (printf "%s-gateway-tls" (include "skinflint.fullname" .)) .Values.gateway.tls.secretName -}}
{{- end -}}

{{/* A Secret's volume. Takes name, secretName, and items: file name to key. */}}
{{- define "skinflint.secretVolume" -}}
- name: {{ .name | quote }}
  secret:
    secretName: {{ .secretName | quote }}
    defaultMode: 0440
    {{- with .items }}
    items:
      {{- range $path, $key := . }}
      - {key: {{ $key | quote }}, path: {{ $path }}}
      {{- end }}
    {{- end }}
{{- end -}}

{{/*
The volumes, as YAML. Secrets are mounted as directories: single files by subPath would not be renewed.
*/}}
{{- define "skinflint.gatewayVolumes" -}}
{{- $gateway := .Values.gateway -}}
- name: config
  configMap:
    name: {{ include "skinflint.fullname" . }}-gateway
    defaultMode: 0444
{{- if eq $gateway.data.kind "claim" }}
- name: data
  persistentVolumeClaim:
    claimName: {{ $gateway.data.claimName | quote }}
{{- else if eq $gateway.data.kind "ephemeral" }}
- name: data
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $gateway.data.storageClassName }}
        storageClassName: {{ . | quote }}
        {{- end }}
        resources:
          requests:
            storage: {{ $gateway.data.size }}
{{- else }}
- name: data
  emptyDir:
    sizeLimit: {{ $gateway.data.size }}
{{- end }}
{{ include "skinflint.secretVolume" (dict "name" "ca" "secretName" (include "skinflint.caSecret" .)) }}
{{- with $gateway.credentials }}
{{- if .secretName }}
{{ include "skinflint.secretVolume" (dict "name" "access" "secretName" .secretName "items" (dict "credentials" .key)) }}
{{- end }}
{{- end }}
{{- with $gateway.adminToken }}
{{- if .secretName }}
{{ include "skinflint.secretVolume" (dict "name" "admin" "secretName" .secretName "items" (dict "token" .key)) }}
{{- end }}
{{- end }}
{{- if $gateway.tls.enabled }}
{{ include "skinflint.secretVolume" (dict "name" "tls" "secretName" (include "skinflint.gatewayTlsSecret" .) "items" (dict "tls.crt" "tls.crt" "tls.key" "tls.key")) }}
{{- with $gateway.tls.clientCa }}
{{- if .secretName }}
{{ include "skinflint.secretVolume" (dict "name" "client-ca" "secretName" .secretName "items" (dict "ca.crt" .key)) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.redis.gateway }}
{{- $items := include "skinflint.storeFiles" . | fromJson }}
{{- if $items }}
{{ include "skinflint.secretVolume" (dict "name" "redis" "secretName" .secretName "items" $items) }}
{{- end }}
{{- end }}
{{- with .Values.postgresql.gateway }}
{{- $items := include "skinflint.postgresqlFiles" . | fromJson }}
{{- if $items }}
{{ include "skinflint.secretVolume" (dict "name" "postgresql" "secretName" .secretName "items" $items) }}
{{- end }}
{{- end }}
{{- with $gateway.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where they are mounted, as YAML. */}}
{{- define "skinflint.gatewayMounts" -}}
{{- $places := dict
      "config" "/etc/skinflint/config" "data" "/var/lib/skinflint" "ca" "/etc/skinflint/ca" "access" "/etc/skinflint/access"
      "admin" "/etc/skinflint/admin"
      "tls" "/etc/skinflint/tls" "client-ca" "/etc/skinflint/client-ca" "redis" "/etc/skinflint/redis"
      "postgresql" "/etc/skinflint/postgresql" -}}
{{- $mounts := list -}}
{{- range include "skinflint.gatewayVolumes" . | fromYamlArray -}}
{{- with get $places .name -}}
{{- $mounts = append $mounts . -}}
{{- end -}}
{{- end -}}
{{- range $name, $path := $places }}
{{- if has $path $mounts }}
- {name: {{ $name }}, mountPath: {{ $path }}{{ if ne $name "data" }}, readOnly: true{{ end }}}
{{- end }}
{{- end }}
{{- with .Values.gateway.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Variables that come from Secrets, as JSON: name to {name, key, optional}. */}}
{{- define "skinflint.gatewaySecrets" -}}
{{- $secrets := deepCopy .Values.gateway.secretEnv -}}
{{- with .Values.redis.gateway -}}
{{- if .secretName }}{{ $_ := set $secrets "SKINFLINT_CACHE__REDIS__URL" (dict "name" .secretName "key" .urlKey) }}{{ end -}}
{{- end -}}
{{- with .Values.postgresql.gateway -}}
{{- if .secretName }}{{ $_ := set $secrets "SKINFLINT_LEDGER__URL" (dict "name" .secretName "key" .urlKey) }}{{ end -}}
{{- if and .secretName .passwordKey }}{{ $_ := set $secrets "PGPASSWORD" (dict "name" .secretName "key" .passwordKey) }}{{ end -}}
{{- end -}}
{{- $secrets | toJson -}}
{{- end -}}

{{/* Variables, as YAML; empty for none. */}}
{{- define "skinflint.gatewayEnv" -}}
{{- range $name, $value := mergeOverwrite (include "skinflint.postgresqlEnv" .Values.postgresql.gateway | fromJson) .Values.gateway.env }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- range $name, $secret := include "skinflint.gatewaySecrets" . | fromJson }}
- name: {{ $name | quote }}
  valueFrom:
    secretKeyRef: {{ $secret | toJson }}
{{- end }}
{{- if and .Values.gateway.kubernetes.enabled .Values.gateway.kubernetes.ownNode (eq .Values.gateway.kind "DaemonSet") }}
- name: SKINFLINT_ACCESS__KUBERNETES__NODE
  valueFrom:
    fieldRef: {fieldPath: spec.nodeName}
{{- end }}
{{- end -}}
