{{- define "rotunda.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | replace "." "-" | trunc 36 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full | replace "." "-" | trunc 36 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* (list root component): labels that never change, by which pods are found. */ -}}
{{- define "rotunda.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "rotunda.labels" -}}
{{- $root := index . 0 -}}
{{ include "rotunda.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{- define "rotunda.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end -}}

{{- /* A value as TOML on one line, which is how the server reads a setting from a variable. JSON's scalars are TOML's, too. */ -}}
{{- define "rotunda.toml" -}}
{{- if kindIs "map" . -}}
{ {{ range $i, $key := keys . | sortAlpha }}{{ if $i }}, {{ end }}{{ $key }} = {{ include "rotunda.toml" (index $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{ range $i, $item := . }}{{ if $i }}, {{ end }}{{ include "rotunda.toml" $item }}{{ end }}]
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end -}}

{{- /* (list section settings): one variable for each setting. */ -}}
{{- define "rotunda.settings" -}}
{{- $section := index . 0 | upper -}}
{{- range $key, $value := index . 1 }}
- name: ROTUNDA__{{ $section }}__{{ upper $key }}
  value: {{ include "rotunda.toml" $value | toJson }}
{{- end -}}
{{- end -}}

{{- /* (list name secret key): a variable with a value of a Secret. */ -}}
{{- define "rotunda.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end -}}

{{- define "rotunda.nats.name" -}}
{{ include "rotunda.fullname" . }}-nats
{{- end -}}

{{- define "rotunda.postgresql.name" -}}
{{ include "rotunda.fullname" . }}-postgresql
{{- end -}}

{{- /* [bus]: how the pods reach NATS. */ -}}
{{- define "rotunda.busEnv" -}}
{{- $secret := .Values.existingSecret -}}
{{- $nats := .Values.nats -}}
{{- $bus := dict -}}
{{- if $nats.bundled.enabled -}}
{{- $_ := set $bus "urls" (list (printf "nats://%s:4222" (include "rotunda.nats.name" .))) -}}
{{- else -}}
{{- $_ := set $bus "urls" $nats.urls -}}
{{- end -}}
{{- if eq $nats.auth "password" -}}
{{- $_ := set $bus "user" $nats.user -}}
{{- $_ := set $bus "password" "$(NATS_PASSWORD)" -}}
{{ include "rotunda.secretEnv" (list "NATS_PASSWORD" $secret "nats-password") }}
{{- else if eq $nats.auth "token" -}}
{{- $_ := set $bus "token" "$(NATS_TOKEN)" -}}
{{ include "rotunda.secretEnv" (list "NATS_TOKEN" $secret "nats-token") }}
{{- else if eq $nats.auth "credentials" -}}
{{- $_ := set $bus "credentials_file" "/etc/rotunda/nats.creds" -}}
{{- end -}}
{{- if $nats.tls.ca -}}
{{- $_ := set $bus "tls_ca" "/etc/rotunda/nats-ca.crt" -}}
{{- end -}}
{{- if $nats.tls.clientCertificate -}}
{{- $_ := set $bus "tls_cert" "/etc/rotunda/nats-tls.crt" -}}
{{- $_ := set $bus "tls_key" "/etc/rotunda/nats-tls.key" -}}
{{- end -}}
{{- include "rotunda.settings" (list "bus" (merge $bus $nats.settings)) -}}
{{- end -}}

{{- /* The database. */ -}}
{{- define "rotunda.storeEnv" -}}
{{- $secret := .Values.existingSecret -}}
{{- if .Values.postgresql.bundled.enabled -}}
{{ include "rotunda.secretEnv" (list "POSTGRES_PASSWORD" $secret "postgres-password") }}
{{- $url := printf "postgres://rotunda:$(POSTGRES_PASSWORD)@%s:5432/rotunda" (include "rotunda.postgresql.name" .) }}
{{- include "rotunda.settings" (list "server" (dict "database" $url)) -}}
{{- else -}}
{{ include "rotunda.secretEnv" (list "STORE_URL" $secret "store-url") }}
{{- include "rotunda.settings" (list "server" (dict "database" "$(STORE_URL)")) -}}
{{- end -}}
{{- end -}}

{{- /* (dict root component): variables of every pod. */ -}}
{{- define "rotunda.env" -}}
{{- $root := .root -}}
{{- $server := $root.Values.server -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
{{- if not $root.Values.embedded.enabled }}
{{ include "rotunda.busEnv" $root }}
{{ include "rotunda.storeEnv" $root }}
{{- end }}
{{- $settings := dict
    "node" "$(POD_NAME)"
    "data" "/var/lib/rotunda"
    "port" 8080
    "public_url" $root.Values.publicUrl
    "log_json" $server.logJson
    "shutdown_seconds" (include "rotunda.shutdownSeconds" . | int)
    "drain_seconds" (include "rotunda.drainSeconds" . | int)
    "trusted_proxies" (concat (list "127.0.0.0/8" "::1/128") $server.trustedProxies) -}}
{{- if $server.topologyLabels }}
- name: TOPOLOGY_REGION
  valueFrom: { fieldRef: { fieldPath: "metadata.labels['topology.kubernetes.io/region']" } }
- name: TOPOLOGY_ZONE
  valueFrom: { fieldRef: { fieldPath: "metadata.labels['topology.kubernetes.io/zone']" } }
{{- $_ := set $settings "region" "$(TOPOLOGY_REGION)" -}}
{{- $_ := set $settings "zone" "$(TOPOLOGY_ZONE)" -}}
{{- end -}}
{{- if $root.Values.tls.existingSecret -}}
{{- $_ := set $settings "tls" (dict "certificate" "/etc/rotunda-tls/tls.crt" "key" "/etc/rotunda-tls/tls.key") -}}
{{- end -}}
{{- if $server.sealKey -}}
{{- $_ := set $settings "seal_key_file" "/etc/rotunda/seal-key" -}}
{{- end -}}
{{- include "rotunda.settings" (list "server" (merge $settings $server.settings)) -}}
{{- end -}}

{{- /* (dict root values): seconds for an orderly end of a role's pods. */ -}}
{{- define "rotunda.shutdownSeconds" -}}
{{ default .root.Values.server.shutdownSeconds .values.shutdownSeconds }}
{{- end -}}

{{- /* (dict values): seconds after the signal in which members move to other pods; 0 where there are none. */ -}}
{{- define "rotunda.drainSeconds" -}}
{{- $several := or (gt (int .values.replicas) 1) (dig "autoscaling" "enabled" false .values) -}}
{{ ternary (int .values.drainSeconds) 0 (and (hasKey .values "drainSeconds") $several) }}
{{- end -}}

{{- /* (dict root service): seconds before the signal, in which Services and proxies stop sending new connections. */ -}}
{{- define "rotunda.preStopSeconds" -}}
{{ ternary .root.Values.server.preStopSeconds 0 (eq .service true) }}
{{- end -}}

{{- /* Files of the Secret that are mounted at /etc/rotunda, as a list in JSON. */ -}}
{{- define "rotunda.files" -}}
{{- $files := list -}}
{{- if .Values.hasConfigFile }}{{ $files = append $files "rotunda.toml" }}{{ end -}}
{{- if .Values.server.sealKey }}{{ $files = append $files "seal-key" }}{{ end -}}
{{- if eq .Values.nats.auth "credentials" }}{{ $files = append $files "nats.creds" }}{{ end -}}
{{- if .Values.nats.tls.ca }}{{ $files = append $files "nats-ca.crt" }}{{ end -}}
{{- if .Values.nats.tls.clientCertificate }}{{ $files = concat $files (list "nats-tls.crt" "nats-tls.key") }}{{ end -}}
{{ $files | toJson }}
{{- end -}}

{{- define "rotunda.scheme" -}}
{{ ternary "HTTPS" "HTTP" (ne .Values.tls.existingSecret "") }}
{{- end -}}

{{- /* Pods run as this user, with nothing but what they need. */ -}}
{{- define "rotunda.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "rotunda.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end -}}

{{- /* The pod template of a workload. (dict root component roles values service ports env mounts volumes)
`service`: whether a Service sends clients to the pods. */ -}}
{{- define "rotunda.pod" -}}
{{- $root := .root -}}
{{- $preStop := include "rotunda.preStopSeconds" . | int -}}
{{- $files := include "rotunda.files" $root | fromJsonArray -}}
metadata:
  labels:
    {{- include "rotunda.labels" (list $root .component) | nindent 4 }}
  {{- with .values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "rotunda.podSecurity" 10001 | nindent 2 }}
  # Time for preStop, for members to move, for an orderly end, and some for the kubelet.
  terminationGracePeriodSeconds: {{ add $preStop (include "rotunda.drainSeconds" .) (include "rotunda.shutdownSeconds" .) 10 }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  affinity:
    {{- if .values.affinity }}
    {{- toYaml .values.affinity | nindent 4 }}
    {{- else }}
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "rotunda.selector" (list $root .component) | nindent 16 }}
    {{- end }}
  topologySpreadConstraints:
    {{- if .values.topologySpreadConstraints }}
    {{- toYaml .values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    - maxSkew: 1
      topologyKey: topology.kubernetes.io/zone
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "rotunda.selector" (list $root .component) | nindent 10 }}
    {{- end }}
  containers:
    - name: rotunda
      image: {{ include "rotunda.image" (merge (dict "tag" (default $root.Chart.AppVersion $root.Values.image.tag)) $root.Values.image) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [/usr/local/bin/rotunda]
      args:
        - serve
        {{- if $root.Values.hasConfigFile }}
        - --config=/etc/rotunda/rotunda.toml
        {{- end }}
        - --roles={{ .roles }}
      env:
        {{- include "rotunda.env" . | nindent 8 }}
        {{- .env | trim | nindent 8 }}
      ports:
        - { name: http, containerPort: 8080, protocol: TCP }
        {{- with .ports }}
        {{- . | nindent 8 }}
        {{- end }}
      {{- if $preStop }}
      # The Service takes the pod out while it still serves. The server itself ends its sessions at the signal.
      lifecycle:
        preStop:
          exec: { command: [/bin/sleep, {{ $preStop | quote }}] }
      {{- end }}
      # A process that starts waits for NATS and the database. It ends when they do not answer, and is started again.
      startupProbe:
        httpGet: { path: /healthz, port: http, scheme: {{ include "rotunda.scheme" $root }} }
        periodSeconds: 2
        failureThreshold: 60
      # Of the process alone: an outage of NATS or the database restarts no pod.
      livenessProbe:
        httpGet: { path: /healthz, port: http, scheme: {{ include "rotunda.scheme" $root }} }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: http, scheme: {{ include "rotunda.scheme" $root }} }
        periodSeconds: 5
        timeoutSeconds: 5
        # A failover of the database takes no pod out of its Service.
        failureThreshold: 6
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      {{- include "rotunda.containerSecurity" . | nindent 6 }}
      volumeMounts:
        - { name: data, mountPath: /var/lib/rotunda }
        - { name: secrets, mountPath: /var/lib/rotunda/secrets.toml, subPath: secrets.toml, readOnly: true }
        {{- if $files }}
        - { name: config, mountPath: /etc/rotunda, readOnly: true }
        {{- end }}
        {{- if $root.Values.tls.existingSecret }}
        - { name: tls, mountPath: /etc/rotunda-tls, readOnly: true }
        {{- end }}
        {{- with .mounts }}
        {{- . | nindent 8 }}
        {{- end }}
  volumes:
    {{- if not $root.Values.embedded.enabled }}
    - name: data
      emptyDir: { sizeLimit: 64Mi }
    {{- end }}
    - name: secrets
      secret:
        secretName: {{ $root.Values.existingSecret }}
        defaultMode: 0440
        items: [{ key: secrets.toml, path: secrets.toml }]
    {{- if $files }}
    - name: config
      secret:
        secretName: {{ $root.Values.existingSecret }}
        defaultMode: 0440
        items:
          {{- range $files }}
          - { key: {{ . }}, path: {{ . }} }
          {{- end }}
    {{- end }}
    {{- if $root.Values.tls.existingSecret }}
    - name: tls
      secret: { secretName: {{ $root.Values.tls.existingSecret }}, defaultMode: 0440 }
    {{- end }}
    {{- with .volumes }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* (list root component minimum): how many pods of a role an eviction may take at one time. */ -}}
{{- define "rotunda.disruption" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- /* Recorder and live have that of the mixer. */ -}}
{{- $budget := default $root.Values.mcu.podDisruptionBudget (index $root.Values $component).podDisruptionBudget -}}
{{- if $budget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "rotunda.fullname" $root }}-{{ $component }}
  labels:
    {{- include "rotunda.labels" (list $root $component) | nindent 4 }}
spec:
  maxUnavailable: {{ $budget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "rotunda.selector" (list $root $component) | nindent 6 }}
{{- end }}
{{- end -}}

{{- /* (list root component kind metric target): replicas by CPU time, and by a metric of ours where its target is set. */ -}}
{{- define "rotunda.autoscaling" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $scaling := (index $root.Values $component).autoscaling -}}
{{- if $scaling.enabled }}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
{{- fail (printf "%s.autoscaling: minReplicas is %d and maxReplicas %d; choose a larger maxReplicas" $component (int $scaling.minReplicas) (int $scaling.maxReplicas)) }}
{{- end }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "rotunda.fullname" $root }}-{{ $component }}
  labels:
    {{- include "rotunda.labels" (list $root $component) | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: {{ index . 2 }}
    name: {{ include "rotunda.fullname" $root }}-{{ $component }}
  minReplicas: {{ $scaling.minReplicas }}
  maxReplicas: {{ $scaling.maxReplicas }}
  metrics:
    - type: Resource
      resource: { name: cpu, target: { type: Utilization, averageUtilization: {{ $scaling.cpuPercent }} } }
    {{- if index . 4 }}
    - type: Pods
      pods:
        metric: { name: {{ index . 3 }} }
        target: { type: AverageValue, averageValue: {{ index . 4 | quote }} }
    {{- end }}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      policies: [{ type: Pods, value: 2, periodSeconds: 60 }]
    scaleDown:
      {{- if $scaling.scaleDown }}
      # Slowly: the sessions of a pod that ends begin anew on another one.
      stabilizationWindowSeconds: 1800
      policies: [{ type: Pods, value: 1, periodSeconds: 600 }]
      {{- else }}
      # A pod that ends takes its sessions with it, so an operator decides about it.
      selectPolicy: Disabled
      {{- end }}
{{- end }}
{{- end -}}
