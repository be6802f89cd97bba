{{- define "flagpost.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "flagpost.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "flagpost.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "flagpost.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "flagpost.selector" -}}
app.kubernetes.io/name: {{ include "flagpost.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "flagpost.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "flagpost.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "flagpost.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "flagpost.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "flagpost.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "flagpost.configName" -}}
{{ .Values.existingSecret | default (printf "%s-config" (include "flagpost.fullname" .)) }}
{{- end }}

{{/* Where requests are served, and where health and metrics are. */}}
{{- define "flagpost.port" -}}
{{ ((.Values.config).server).port | default 1031 | int }}
{{- end }}
{{- define "flagpost.monitoringPort" -}}
{{ ((.Values.config).server).monitoringPort | default (include "flagpost.port" .) | int }}
{{- end }}
{{- define "flagpost.monitoringPortName" -}}
{{ if eq (include "flagpost.monitoringPort" .) (include "flagpost.port" .) }}http{{ else }}monitoring{{ end }}
{{- end }}

{{/* TLS belongs to the collector's port; a monitoring port of its own speaks plain HTTP. */}}
{{- define "flagpost.monitoringScheme" -}}
{{ if and ((.Values.config).server).tls (eq (include "flagpost.monitoringPortName" .) "http") }}HTTPS{{ else }}HTTP{{ end }}
{{- end }}

{{/* Seconds of a time such as 10s, 2m or 1m30s. */}}
{{- define "flagpost.seconds" -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" (toString .) -1 -}}
{{- $number := regexFind "^[0-9]+" . | int -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $total = add $total (mul $number (get (dict "ms" 0 "s" 1 "m" 60 "h" 3600) $unit)) -}}
{{- end -}}
{{ $total }}
{{- end }}

{{/* What values alone cannot say. */}}
{{- define "flagpost.check" -}}
{{- if not .Values.existingSecret -}}
{{- $shutdown := include "flagpost.seconds" (.Values.config.shutdownTimeout | default "10s") | int -}}
{{- if le (int .Values.terminationGracePeriodSeconds) $shutdown -}}
{{- fail (printf "terminationGracePeriodSeconds (%d) must be longer than config.shutdownTimeout (%d s): Kubernetes would kill flagpost while it delivers" (int .Values.terminationGracePeriodSeconds) $shutdown) -}}
{{- end -}}
{{- if ne ((.Values.config.buffer).path | default "/var/lib/flagpost") "/var/lib/flagpost" -}}
{{- fail "config.buffer.path must be /var/lib/flagpost: that is where the volume is, and everything else is read-only" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The pod's parts that the relay and the drain share. */}}
{{- define "flagpost.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "flagpost.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "flagpost.volumeMounts" -}}
- name: store
  mountPath: /var/lib/flagpost
- name: config
  mountPath: /etc/flagpost
  readOnly: true
{{- if .Values.plugins.volume }}
- name: plugins
  mountPath: /plugins
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "flagpost.volumes" -}}
- name: config
  {{- if and (eq .Values.configKind "ConfigMap") (not .Values.existingSecret) }}
  configMap:
    name: {{ include "flagpost.configName" . }}
  {{- else }}
  secret:
    secretName: {{ include "flagpost.configName" . }}
  {{- end }}
{{- with .Values.plugins.volume }}
- name: plugins
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
