{{- define "t4.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* At most 50 characters, so that the names made of it stay within 63. */}}
{{- define "t4.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "t4.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "t4.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "t4.selector" -}}
app.kubernetes.io/name: {{ include "t4.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "t4.labels" -}}
{{ include "t4.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "t4.peersService" -}}
{{ include "t4.fullname" . }}-peers
{{- end }}

{{- define "t4.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "t4.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* A setting as text: whole numbers are floating-point numbers here, and 8589934592 would become 8.589934592e+09. */}}
{{- define "t4.value" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* What asks whether the node answers. Where clients need a certificate, the kubelet has none, and the port has to do. */}}
{{- define "t4.probe" -}}
{{- if and .root.Values.tls.client.secret .root.Values.tls.client.requireCertificates }}
tcpSocket:
  port: client
{{- else }}
httpGet:
  path: {{ .path }}
  port: client
  scheme: {{ ternary "HTTPS" "HTTP" (ne .root.Values.tls.client.secret "") }}
{{- end }}
{{- end }}

{{- define "t4.check" -}}
{{- $values := .Values }}
{{- if and (gt (int $values.replicas) 1) (not $values.s3.bucket) }}
{{- fail "replicas: more than one needs s3.bucket, the object store in which the nodes meet" }}
{{- end }}
{{- if and (not $values.persistence.enabled) (not $values.s3.bucket) }}
{{- fail "persistence.enabled: without a volume and without s3.bucket the database would go with its pod" }}
{{- end }}
{{- if and $values.tls.client.requireCertificates (not $values.tls.client.secret) }}
{{- fail "tls.client.requireCertificates: needs tls.client.secret, with ca.crt" }}
{{- end }}
{{- if and $values.tls.peer.secret (not $values.s3.bucket) }}
{{- fail "tls.peer.secret: a node without s3.bucket has no peers" }}
{{- end }}
{{- end }}
