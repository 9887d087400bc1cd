{{- /* The controller's flags for pools of provider GCP, of controller.gcp. */ -}}
{{- define "egret.cloud.gcp" -}}
{{- with .endpoint }}
- --gcp-endpoint={{ . }}
{{- end }}
- --gcp-call-timeout={{ .callTimeout }}
{{- end }}

{{- /* Where the projected token and what says how to use it are. */ -}}
{{- define "egret.cloud.gcp.folder" -}}/var/run/secrets/egret.dev/gcp{{- end }}

{{- /* Empty without one, and where a release of before this value keeps its values. */ -}}
{{- define "egret.cloud.gcp.audience" -}}
{{- dig "workloadIdentity" "audience" "" (. | default dict) }}
{{- end }}

{{- define "egret.cloud.gcp.env" -}}
{{- if include "egret.cloud.gcp.audience" . }}
- name: GOOGLE_APPLICATION_CREDENTIALS
  value: {{ include "egret.cloud.gcp.folder" . }}/credentials.json
{{- end }}
{{- end }}

{{- define "egret.cloud.gcp.mounts" -}}
{{- if include "egret.cloud.gcp.audience" . }}
- name: gcp
  mountPath: {{ include "egret.cloud.gcp.folder" . }}
  readOnly: true
{{- end }}
{{- end }}

{{- define "egret.cloud.gcp.volumes" -}}
{{- with include "egret.cloud.gcp.audience" . }}
- name: gcp
  projected:
    sources:
    - serviceAccountToken:
        audience: {{ . | quote }}
        expirationSeconds: 3600
        path: token
    - configMap:
        name: egret-controller-gcp
{{- end }}
{{- end }}

{{- /* An external account: on the host's network the metadata server gives the node's account, so the
controller shows its own service account's token instead. */ -}}
{{- define "egret.cloud.gcp.credentials" -}}
{{- $file := printf "%s/token" (include "egret.cloud.gcp.folder" .) -}}
{{- dict
  "type" "external_account"
  "audience" .workloadIdentity.audience
  "subject_token_type" "urn:ietf:params:oauth:token-type:jwt"
  "token_url" .workloadIdentity.tokenURL
  "credential_source" (dict "file" $file) | toPrettyJson }}
{{- end }}
