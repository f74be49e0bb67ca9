{{/* The annotations of what makes the CA, before the release's own objects. Takes the weight. */}}
{{- define "skinflint.caHook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
