{{- /* (root): variables of the role signaling. */ -}}
{{- define "rotunda.signalingEnv" -}}
{{- $signaling := .Values.signaling -}}
{{- $settings := merge (dict "demo" $signaling.demo "api" (dict "grpc_port" 9090)) $signaling.settings -}}
{{- if $signaling.turn.urls -}}
{{- $_ := set $settings "turn" (dict "urls" $signaling.turn.urls "secret" "$(TURN_SECRET)" "ttl_seconds" $signaling.turn.ttlSeconds) -}}
{{- include "rotunda.secretEnv" (list "TURN_SECRET" .Values.existingSecret "turn-secret") -}}
{{- end -}}
{{- include "rotunda.settings" (list "signaling" $settings) -}}
{{- include "rotunda.settings" (list "console" (dict "enabled" $signaling.console)) -}}
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
{{- $live := dict -}}
{{- if not .Values.embedded.enabled -}}
{{- $_ := set $live "ingest_signaling_url" (printf "ws://%s-signaling:8080/ws" (include "rotunda.fullname" .)) -}}
{{- end -}}
{{- $whep := .Values.live.whep -}}
{{- if $whep.port -}}
{{- $_ := set $live "whep_port" $whep.port -}}
{{- $_ := set $live "whep_advertise" ($whep.advertise | default (list "$(HOST_IP)")) -}}
{{- if not (or .Values.embedded.enabled $whep.advertise) }}
- name: HOST_IP
  valueFrom: { fieldRef: { fieldPath: status.hostIP } }
{{- end -}}
{{- end -}}
{{- include "rotunda.settings" (list "live" (merge (dict "rtmp_port" 1935) .Values.live.settings $live)) -}}
{{- end -}}

{{- /* (root): the ports of a pod that serves live streams. */ -}}
{{- define "rotunda.livePorts" -}}
- { name: rtmp, containerPort: 1935, protocol: TCP }
{{- with .Values.live.whep.port }}
- { name: whep, containerPort: {{ . }}, hostPort: {{ . }}, protocol: UDP }
{{- end -}}
{{- end -}}

{{- /* (root): the same in a NetworkPolicy, below `ports`. */ -}}
{{- define "rotunda.liveRanges" -}}
- { port: 8080, protocol: TCP }
- { port: 1935, protocol: TCP }
{{- with .Values.live.whep.port }}
- { port: {{ . }}, protocol: UDP }
{{- end -}}
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
