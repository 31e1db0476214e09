"""Installations for which the chart must be right, as values over what must be set."""

MOST = {
    "image": {"repository": "registry.example.com:5000/media/rotunda", "digest": "sha256:" + "0123456789abcdef" * 4},
    "imagePullSecrets": [{"name": "registry"}],
    "hasConfigFile": True,
    "fullnameOverride": "conference",
    "server": {
        "trustedProxies": ["10.0.0.0/8"],
        "logJson": False,
        "shutdownSeconds": 120,
        "preStopSeconds": 15,
        "sealKey": True,
        "settings": {"log": "debug", "outbound_networks": ["10.1.0.0/16"], "limits": {"grpc_connections": 500}},
    },
    "tls": {"existingSecret": "certificate"},
    "signaling": {
        "replicas": 3,
        "service": {"type": "LoadBalancer", "annotations": {"example.com/internal": "true"}},
        "settings": {"max_members": 2000000, "resume_seconds": 60},
        "turn": {"urls": ["turn:turn.example.com:3478?transport=udp", "turns:turn.example.com:443?transport=tcp"], "ttlSeconds": 3600},
        "podAnnotations": {"example.com/scrape": "yes"},
        "nodeSelector": {"pool": "web"},
    },
    "sfu": {
        "replicas": 4,
        "workers": 8,
        "port": 50000,
        "advertise": ["203.0.113.7", "stun:stun.example.com:3478"],
        "advertisePodAddress": False,
        "settings": {"max_load": 0.5},
        "nodeSelector": {"pool": "media"},
        "tolerations": [{"key": "media", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "public", "operator": "In", "values": ["yes"]}]},
        ]}}},
    },
    "mcu": {"settings": {"max_tasks": 4}},
    "recorder": {
        "storage": {"size": "2Ti", "storageClassName": "fast"},
        "s3": {"url": "s3://films/rotunda", "endpoint": "https://s3.example.com", "region": "eu-1"},
        "settings": {"formats": ["mp4", "flv"]},
    },
    "live": {"service": {"type": "LoadBalancer"}, "settings": {"hls_window": 8}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "host": "media.example.com",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "3600"},
        "tlsSecret": "certificate",
    },
    "networkPolicy": {
        "apiFrom": [{"podSelector": {"matchLabels": {"app": "backend"}}}],
        "monitoringFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
    },
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "rules": {"enabled": True, "labels": {"release": "prometheus"}, "runbookUrl": "https://docs.example.com/runbook"},
        "dashboards": {"enabled": True},
    },
}


def external(auth, **nats):
    return {
        "nats": {"bundled": {"enabled": False}, "urls": ["nats://nats-1.example.com:4222"], "auth": auth, **nats},
        "postgresql": {"bundled": {"enabled": False}},
    }


SETS = {
    "least": {},
    "most": MOST,
    "most_and_external": {**MOST, **external("none")},
    "external_with_credentials_and_tls": external(
        "credentials",
        urls=["tls://nats-1.example.com:4222", "tls://nats-2.example.com:4222"],
        tls={"ca": True, "clientCertificate": True},
        settings={"replicas": 3, "prefix": "media"},
    ),
    "external_with_token": external("token"),
    "external_database_alone": {"postgresql": {"bundled": {"enabled": False}}},
    "external_nats_alone": {"nats": {"bundled": {"enabled": False}, "urls": ["nats://nats:4222"], "auth": "password"}},
    "files_in_s3": {"recorder": {"s3": {"url": "s3://films"}}},
    "tls_in_the_pods": {"tls": {"existingSecret": "certificate"}, "monitoring": {"serviceMonitor": {"enabled": True}}},
    "many_nodes_that_scale": {
        **external("password"),
        "signaling": {
            "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 20, "membersPerPod": 20000, "scaleDown": True},
            "podDisruptionBudget": {"maxUnavailable": 2},
        },
        "sfu": {
            "autoscaling": {"enabled": True, "minReplicas": 4, "maxReplicas": 50, "cpuPercent": 50, "loadPercent": 60},
            "topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "sfu"}},
            }],
        },
        "mcu": {"podDisruptionBudget": {"maxUnavailable": 0}, "shutdownSeconds": 600},
    },
    "embedded": {"embedded": {"enabled": True}},
    "embedded_with_most": {
        **{key: MOST[key] for key in ("image", "hasConfigFile", "server", "tls", "recorder", "live", "ingress", "networkPolicy", "monitoring")},
        "embedded": {"enabled": True, "storage": {"size": "20Gi", "storageClassName": "fast"}, "nodeSelector": {"pool": "media"}},
        "signaling": {"demo": True, "turn": MOST["signaling"]["turn"]},
        "sfu": {"workers": 4, "port": 50000, "expose": {"type": "LoadBalancer", "addresses": ["203.0.113.1"]}},
        "mcu": {"settings": {"max_tasks": 4}},
    },
    "load_balancer_of_each_pod": {
        "sfu": {"replicas": 3, "expose": {
            "type": "LoadBalancer", "addresses": ["203.0.113.1", "203.0.113.2", "2001:db8::3"], "annotations": {"example.com/pool": "media"},
        }},
    },
    "one_node_port": {"sfu": {"port": 32000, "workers": 4, "expose": {"type": "NodePort"}}},
    "without_policies_and_budgets": {
        "networkPolicy": {"enabled": False},
        **{role: {"podDisruptionBudget": {"enabled": False}} for role in ("signaling", "sfu", "mcu")},
        "server": {"preStopSeconds": 0},
    },
    "separate": {"separate": {"enabled": True}},
    "separate_with_whep": {"separate": {"enabled": True}, "live": {"whep": {"port": 40100}}},
    "whep_at_an_address": {"live": {"whep": {"port": 40100, "advertise": ["203.0.113.5"]}}},
    "embedded_with_whep": {"embedded": {"enabled": True}, "live": {"whep": {"port": 40100}}},
    "separate_and_most": {
        **MOST,
        "separate": {
            "enabled": True, "mcu": {"replicas": 3}, "recorder": {"replicas": 2},
            "live": {"replicas": 4, "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "2Gi"}}},
        },
    },
    "separate_without_policies_and_budgets": {
        "separate": {"enabled": True}, "networkPolicy": {"enabled": False}, "mcu": {"podDisruptionBudget": {"enabled": False}},
    },
    "nothing_runs": {"signaling": {"replicas": 0}, "sfu": {"replicas": 0}},
}
