{{- /* The controller's flags for pools of provider AWS, of controller.aws. */ -}}
{{- define "egret.cloud.aws" -}}
{{- with .region }}
- --aws-region={{ . }}
{{- end }}
{{- with .endpoint }}
- --aws-endpoint={{ . }}
{{- end }}
{{- range $key, $value := .interfaceTags }}
- {{ printf "--aws-interface-tag=%s=%s" $key $value | quote }}
{{- end }}
{{- if .allowManagedInterfaces }}
- --aws-allow-managed-interfaces
{{- end }}
- --aws-max-calls-per-second={{ .maxCallsPerSecond }}
- --aws-call-timeout={{ .callTimeout }}
{{- end }}
