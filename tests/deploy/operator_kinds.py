"""Kinds that the Prometheus operator and KEDA define, as far as we use them. An unknown key is a mistake."""

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": TEXT}


def table(required, optional=None):
    properties = {**required, **(optional or {})}
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


def rows(item):
    return {"type": "array", "minItems": 1, "items": item}


SELECTOR = table({}, {
    "matchLabels": TEXTS,
    "matchExpressions": rows(table({"key": TEXT, "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]}}, {"values": rows(TEXT)})),
})
RELABELING = table({"targetLabel": TEXT}, {"action": {"enum": ["replace", "keep", "drop"]}, "sourceLabels": rows(TEXT), "replacement": TEXT})
ENDPOINT = table({"port": TEXT}, {
    "path": TEXT, "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"}, "scheme": {"enum": ["http", "https"]},
    "tlsConfig": table({}, {"insecureSkipVerify": {"type": "boolean"}}), "relabelings": rows(RELABELING),
})
RULE = table({"alert": TEXT, "expr": TEXT, "labels": TEXTS, "annotations": TEXTS}, {"for": {"type": "string", "pattern": "^[0-9]+[smh]$"}})
GROUP = table({"name": TEXT, "rules": rows(RULE)})
TRIGGER = table({"type": {"const": "prometheus"}, "metadata": table({"serverAddress": TEXT, "query": TEXT, "threshold": TEXT})})
SCALED = table({
    "scaleTargetRef": table({"apiVersion": TEXT, "kind": TEXT, "name": TEXT}),
    "minReplicaCount": {"type": "integer"}, "maxReplicaCount": {"type": "integer"}, "triggers": rows(TRIGGER),
}, {
    "advanced": table({"horizontalPodAutoscalerConfig": {"type": "object"}}),
})

SPECS = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): table({"selector": SELECTOR, "endpoints": rows(ENDPOINT)}),
    ("monitoring.coreos.com/v1", "PrometheusRule"): table({"groups": rows(GROUP)}),
    ("keda.sh/v1alpha1", "ScaledObject"): SCALED,
}
