{{/* Labels of every object. Call with (list . "component"). */}}
{{- define "egret.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{ include "egret.selector" (index . 1) }}
{{- end }}

{{/* What tells a component's pods. It has no release name: it cannot be changed by an upgrade. */}}
{{- define "egret.selector" -}}
app.kubernetes.io/name: egret
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- define "egret.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* Environment of controller, agent and uninstall job. */}}
{{- define "egret.env" -}}
- name: EGRET_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: EGRET_LOG
  value: {{ .Values.log.filter | quote }}
- name: EGRET_LOG_FORMAT
  value: {{ .Values.log.format }}
{{- if or .Values.apiServer.host .Values.apiServer.port }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ required "apiServer.host: set it together with apiServer.port" .Values.apiServer.host | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ required "apiServer.port: set it together with apiServer.host" .Values.apiServer.port | quote }}
{{- end }}
{{- end }}

{{/* How a kubelet asks. Call with the port. */}}
{{- define "egret.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
{{- end }}

{{- define "egret.pullSecrets" -}}
{{- with .Values.imagePullSecrets -}}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the commands of a person read to answer; the job of the removal is one of them. */}}
{{- define "egret.readRules" -}}
- apiGroups: [""]
  resources: [nodes, namespaces, services]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [servicecidrs]
  verbs: [get, list, watch]
- apiGroups: [crd.projectcalico.org, projectcalico.org]
  resources: [ippools]
  verbs: [get, list, watch]
- apiGroups: [cilium.io]
  resources: [ciliumnodes]
  verbs: [get, list, watch]
- apiGroups: [staticegressips.nirmata.io]
  resources: [staticegressips]
  verbs: [get, list, watch]
{{- end }}
