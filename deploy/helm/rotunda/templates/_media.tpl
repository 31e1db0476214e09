{{- /* How media reaches pods: their ports, the addresses that they tell, and their Services. */ -}}

{{- /* (root): refuses what the schema cannot compare. */ -}}
{{- define "rotunda.media.check" -}}
{{- $sfu := .Values.sfu -}}
{{- $expose := $sfu.expose -}}
{{- $last := int (sub (add $sfu.port $sfu.workers) 1) -}}
{{- if gt $last 65535 -}}
{{- fail (printf "sfu.port: workers take the ports %d to %d, and there are only 65535; choose a smaller sfu.port" (int $sfu.port) $last) -}}
{{- end -}}
{{- if and (eq $expose.type "NodePort") (gt $last 32767) -}}
{{- fail (printf "sfu.port: workers take the ports %d to %d, and node ports end at 32767; choose a smaller sfu.port" (int $sfu.port) $last) -}}
{{- end -}}
{{- if and (eq $expose.type "LoadBalancer") (ne (len $expose.addresses) (int $sfu.replicas)) -}}
{{- fail (printf "sfu.expose.addresses: there are %d, and sfu.replicas is %d; write one address for each pod" (len $expose.addresses) (int $sfu.replicas)) -}}
{{- end -}}
{{- end -}}

{{- /* (root): one variable for each setting of [sfu], and those that they refer to. */ -}}
{{- define "rotunda.media.env" -}}
{{- $sfu := .Values.sfu -}}
{{- $advertise := ternary (list "file:/etc/rotunda-sfu/$(POD_NAME)") $sfu.advertise (eq $sfu.expose.type "LoadBalancer") -}}
{{- /* First, because mixers of this cluster take the first address. */ -}}
{{- if $sfu.advertisePodAddress }}{{ $advertise = prepend $advertise "env:POD_IP" }}{{ end -}}
{{- $settings := merge (dict "workers" $sfu.workers "port" $sfu.port "advertise" $advertise) $sfu.settings -}}
{{- list
    (dict "name" "HOST_IP" "valueFrom" (dict "fieldRef" (dict "fieldPath" "status.hostIP")))
    (dict "name" "POD_IP" "valueFrom" (dict "fieldRef" (dict "fieldPath" "status.podIP"))) | toYaml -}}
{{- include "rotunda.settings" (list "sfu" $settings) -}}
{{- end -}}

{{- define "rotunda.media.ports" -}}
{{- $sfu := .Values.sfu -}}
{{- $ports := list -}}
{{- range $worker := until (int $sfu.workers) -}}
{{- $number := add $sfu.port $worker -}}
{{- range $protocol := list "UDP" "TCP" -}}
{{- $port := dict "name" (printf "%s-%d" (lower $protocol) $worker) "containerPort" $number "protocol" $protocol -}}
{{- if eq $sfu.expose.type "HostPort" }}{{ $_ := set $port "hostPort" $number }}{{ end -}}
{{- $ports = append $ports $port -}}
{{- end -}}
{{- end -}}
{{- $ports | toYaml -}}
{{- end -}}

{{- define "rotunda.media.mounts" -}}
{{- if eq .Values.sfu.expose.type "LoadBalancer" -}}
- { name: addresses, mountPath: /etc/rotunda-sfu, readOnly: true }
{{- end -}}
{{- end -}}

{{- /* (list root component) */ -}}
{{- define "rotunda.media.volumes" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.sfu.expose.type "LoadBalancer" -}}
- { name: addresses, configMap: { name: {{ include "rotunda.fullname" $root }}-{{ index . 1 }}-addresses } }
{{- end -}}
{{- end -}}

{{- /* (root): ports of a NetworkPolicy. */ -}}
{{- define "rotunda.media.ranges" -}}
{{- $last := sub (add .Values.sfu.port .Values.sfu.workers) 1 -}}
{{- range $protocol := list "UDP" "TCP" }}
- { port: {{ $.Values.sfu.port }}, endPort: {{ $last }}, protocol: {{ $protocol }} }
{{- end -}}
{{- end -}}

{{- /* (list root component replicas): a Service of each pod, where its ports are not those of the node. */ -}}
{{- define "rotunda.media.services" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $sfu := $root.Values.sfu -}}
{{- $expose := $sfu.expose -}}
{{- $perPod := eq $expose.type "LoadBalancer" -}}
{{- $name := printf "%s-%s" (include "rotunda.fullname" $root) $component -}}
{{- if ne $expose.type "HostPort" }}
{{- range $pod := until (int (index . 2)) }}
---
# Media of one pod, UDP and TCP under one address and under the numbers that the pod has.
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}-{{ $pod }}-media
  labels:
    {{- include "rotunda.labels" (list $root "sfu-media") | nindent 4 }}
  {{- with $expose.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ $expose.type }}
  {{- if $perPod }}
  loadBalancerIP: {{ index $expose.addresses $pod | quote }}
  {{- end }}
  # Clients' addresses stay as they are.
  externalTrafficPolicy: Local
  # Media goes on while the pod is not ready because the database is away.
  publishNotReadyAddresses: true
  selector:
    {{- include "rotunda.selector" (list $root $component) | nindent 4 }}
    statefulset.kubernetes.io/pod-name: {{ $name }}-{{ $pod }}
  ports:
    {{- range $worker := until (int $sfu.workers) }}
    {{- range $protocol := list "udp" "tcp" }}
    - name: {{ $protocol }}-{{ $worker }}
      port: {{ add $sfu.port $worker }}
      targetPort: {{ $protocol }}-{{ $worker }}
      protocol: {{ upper $protocol }}
      {{- if not $perPod }}
      nodePort: {{ add $sfu.port $worker }}
      {{- end }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end }}
{{- if $perPod }}
---
# The address of each pod's load balancer, which the pod tells clients.
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}-addresses
  labels:
    {{- include "rotunda.labels" (list $root $component) | nindent 4 }}
data:
  {{- range $pod, $address := $expose.addresses }}
  {{ $name }}-{{ $pod }}: {{ $address | quote }}
  {{- end }}
{{- end }}
{{- end -}}
