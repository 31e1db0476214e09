{{- /* (root): variables of the role signaling. */ -}}
{{- define "rotunda.signalingEnv" -}}
{{- $signaling := .Values.signaling -}}
{{- $settings := merge (dict "demo" $signaling.demo "api" (dict "grpc_port" 9090)) $signaling.settings -}}
{{- if $signaling.turn.urls -}}
{{- $_ := set $settings "turn" (dict "urls" $signaling.turn.urls "secret" "$(TURN_SECRET)" "ttl_seconds" $signaling.turn.ttlSeconds) -}}
{{- include "rotunda.secretEnv" (list "TURN_SECRET" .Values.existingSecret "turn-secret") -}}
{{- end -}}
{{- include "rotunda.settings" (list "signaling" $settings) -}}
{{- end -}}

{{- /* (root): variables of the roles mcu, recorder and live. */ -}}
{{- define "rotunda.mcuEnv" -}}
{{- $s3 := .Values.recorder.s3 -}}
{{- $recorder := merge (dict "directory" "/var/lib/rotunda/recordings" "public_url" .Values.publicUrl) .Values.recorder.settings -}}
{{- if $s3.url -}}
{{- $_ := set $recorder "storage" (dict
    "url" $s3.url
    "endpoint" $s3.endpoint
    "region" $s3.region
    "access_key_id" "$(S3_ACCESS_KEY_ID)"
    "secret_access_key" "$(S3_SECRET_ACCESS_KEY)") -}}
{{- include "rotunda.secretEnv" (list "S3_ACCESS_KEY_ID" .Values.existingSecret "s3-access-key-id") }}
{{ include "rotunda.secretEnv" (list "S3_SECRET_ACCESS_KEY" .Values.existingSecret "s3-secret-access-key") -}}
{{- end -}}
{{- include "rotunda.settings" (list "mcu" .Values.mcu.settings) -}}
{{- include "rotunda.settings" (list "recorder" $recorder) -}}
{{- include "rotunda.settings" (list "live" (merge (dict "rtmp_port" 1935) .Values.live.settings)) -}}
{{- end -}}

{{- /* (list name storage labels): a claim of a StatefulSet. */ -}}
{{- define "rotunda.claim" -}}
- metadata:
    name: {{ index . 0 }}
    labels:
      {{- index . 2 | nindent 6 }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with (index . 1).storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources: { requests: { storage: {{ (index . 1).size }} } }
{{- end -}}
