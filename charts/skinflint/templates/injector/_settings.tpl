{{/* The injector's settings file: every key of config/injector.py. */}}
{{- define "skinflint.injectorSettings" -}}
{{- with .Values.sidecar -}}
image: {{ default (include "skinflint.image" $) .image | quote }}
image_pull_policy: {{ .imagePullPolicy | toJson }}
image_pull_secrets: {{ .imagePullSecrets | toJson }}
redirect_image: {{ .redirectImage | toJson }}
mode: {{ .mode }}
ipv6: {{ .ipv6 }}
hosts: {{ .hosts | toJson }}
no_proxy: {{ .noProxy | toJson }}
exclude_cidrs: {{ .excludeCidrs | toJson }}
system_store: {{ .systemStore }}
labels: {{ .labels | toJson }}
settings: {{ include "skinflint.sidecarSettings" $ }}
env: {{ include "skinflint.sidecarEnv" $ }}
secret_env: {{ include "skinflint.sidecarSecrets" $ }}
secret_files: {{ include "skinflint.sidecarFiles" $ }}
resources: {{ .resources | toJson }}
admin_host: {{ $.Values.listenHost | quote }}
ports: {{ .ports | toJson }}
startup_s: {{ .startupSeconds }}
{{- end -}}
{{- end -}}

{{/* The proxy's settings as JSON: `sidecar.settings`, and where Redis's files are. */}}
{{- define "skinflint.sidecarSettings" -}}
{{- $settings := deepCopy .Values.sidecar.settings -}}
{{- with include "skinflint.redisFileSettings" .Values.redis.sidecars | fromJson -}}
{{- $settings = mergeOverwrite $settings (dict "cache" (dict "redis" .)) -}}
{{- end -}}
{{- $settings | toJson -}}
{{- end -}}

{{/* Variables as JSON: `sidecar.env`, and where libpq finds PostgreSQL's files, unless the URL says otherwise. */}}
{{- define "skinflint.sidecarEnv" -}}
{{- $env := include "skinflint.postgresqlEnv" .Values.postgresql.sidecars | fromJson -}}
{{- mergeOverwrite $env .Values.sidecar.env | toJson -}}
{{- end -}}

{{/* secret_files as JSON: `sidecar.secretFiles`, and the files of Redis and PostgreSQL where they are referred to. */}}
{{- define "skinflint.sidecarFiles" -}}
{{- $files := deepCopy .Values.sidecar.secretFiles -}}
{{- with .Values.redis.sidecars -}}
{{- $items := include "skinflint.storeFiles" . | fromJson -}}
{{- if $items }}{{ $_ := set $files "redis" (dict "name" .secretName "items" $items "optional" .optional) }}{{ end -}}
{{- end -}}
{{- with .Values.postgresql.sidecars -}}
{{- $items := include "skinflint.postgresqlFiles" . | fromJson -}}
{{- if $items }}{{ $_ := set $files "postgresql" (dict "name" .secretName "items" $items "optional" .optional) }}{{ end -}}
{{- end -}}
{{- $files | toJson -}}
{{- end -}}

{{/* secret_env as JSON: `sidecar.secretEnv`, and what Redis and PostgreSQL need where they are referred to. */}}
{{- define "skinflint.sidecarSecrets" -}}
{{- $secrets := deepCopy .Values.sidecar.secretEnv -}}
{{- with .Values.redis.sidecars -}}
{{- if .secretName -}}
{{- $_ := set $secrets "SKINFLINT_CACHE__REDIS__URL" (dict "name" .secretName "key" .urlKey "optional" .optional) -}}
{{- end -}}
{{- end -}}
{{- with .Values.postgresql.sidecars -}}
{{- if .secretName -}}
{{- $_ := set $secrets "SKINFLINT_LEDGER__URL" (dict "name" .secretName "key" .urlKey "optional" .optional) -}}
{{- if .passwordKey }}{{ $_ := set $secrets "PGPASSWORD" (dict "name" .secretName "key" .passwordKey "optional" .optional) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $secrets | toJson -}}
{{- end -}}
