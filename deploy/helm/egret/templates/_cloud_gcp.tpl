{{- /* The controller's flags for pools of provider GCP, of controller.gcp. */ -}}
{{- define "egret.cloud.gcp" -}}
{{- with .endpoint }}
- --gcp-endpoint={{ . }}
{{- end }}
- --gcp-call-timeout={{ .callTimeout }}
{{- end }}

{{- /* Where the credentials are, and the projected token that they speak of. */ -}}
{{- define "egret.cloud.gcp.folder" -}}/var/run/secrets/egret.dev/gcp{{- end }}

{{- /* Empty without one, and where a release of before this value keeps its values. */ -}}
{{- define "egret.cloud.gcp.audience" -}}
{{- dig "workloadIdentity" "audience" "" (. | default dict) }}
{{- end }}

{{- define "egret.cloud.gcp.keySecret" -}}
{{- $key := dig "keySecret" "" (. | default dict) }}
{{- if and $key (include "egret.cloud.gcp.audience" .) }}
{{- fail "controller.gcp.keySecret, controller.gcp.workloadIdentity.audience: set one of them; the controller is one account" }}
{{- end }}
{{- $key }}
{{- end }}

{{- /* The name of the file of credentials; empty: there is none, and the account is the nodes'. */ -}}
{{- define "egret.cloud.gcp.file" -}}
{{- if include "egret.cloud.gcp.keySecret" . -}}
key.json
{{- else if include "egret.cloud.gcp.audience" . -}}
credentials.json
{{- end }}
{{- end }}

{{- define "egret.cloud.gcp.env" -}}
{{- $folder := include "egret.cloud.gcp.folder" . }}
{{- with include "egret.cloud.gcp.file" . }}
- name: GOOGLE_APPLICATION_CREDENTIALS
  value: {{ $folder }}/{{ . }}
{{- end }}
{{- end }}

{{- define "egret.cloud.gcp.mounts" -}}
{{- if include "egret.cloud.gcp.file" . }}
- name: gcp
  mountPath: {{ include "egret.cloud.gcp.folder" . }}
  readOnly: true
{{- end }}
{{- end }}

{{- define "egret.cloud.gcp.volumes" -}}
{{- with include "egret.cloud.gcp.keySecret" . }}
- name: gcp
  secret:
    secretName: {{ . }}
    items:
    - {key: key.json, path: key.json}
{{- end }}
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
