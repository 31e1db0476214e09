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
        "settings": {"log": "debug", "outbound_networks": ["10.1.0.0/16"], "limits": {"grpc_connections": 500}},
    },
    "tls": {"existingSecret": "certificate"},
    "signaling": {
        "replicas": 3,
        "service": {"type": "LoadBalancer", "annotations": {"example.com/internal": "true"}},
        "settings": {"max_members": 2000000, "resume_seconds": 60},
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
    "recorder": {"storage": {"size": "2Ti", "storageClassName": "fast"}, "settings": {"formats": ["mp4", "flv"]}},
    "live": {"service": {"type": "LoadBalancer"}, "settings": {"hls_window": 8}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "host": "media.example.com",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "3600"},
        "tlsSecret": "certificate",
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
    "nothing_runs": {"signaling": {"replicas": 0}, "sfu": {"replicas": 0}},
}
