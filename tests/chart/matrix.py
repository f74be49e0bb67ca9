"""Values to render the chart with: each feature on and off, each mode, and what is combined in practice."""

from typing import Final

from tests.chart.helm import Values

PEM: Final = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"

_DRESSED: Final = {
    "podLabels": {"team": "platform"},
    "podAnnotations": {"example.com/scrape": "true"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}]
            }
        }
    },
    "priorityClassName": "system-cluster-critical",
    "topologySpreadConstraints": [
        {
            "topologyKey": "topology.kubernetes.io/zone",
            "maxSkew": 2,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"own": "selector"}},
        }
    ],
    "serviceAccount": {"create": True, "name": "own-name", "annotations": {"example.com/role": "reader"}},
}


def injector(**values: object) -> Values:
    """The injector alone."""
    return {"injector": values}


def webhook(**values: object) -> Values:
    """The injector's webhook."""
    return injector(webhook=values)


def gateway(**values: object) -> Values:
    """The gateway alone."""
    return {"injector": {"enabled": False}, "gateway": {"enabled": True, **values}}


INJECTOR: Final[dict[str, Values]] = {
    "defaults": {},
    "one replica": injector(replicas=1),
    "no budget": injector(podDisruptionBudget={"enabled": False}),
    "IPv6 only": {"listenHost": "[::]"},
    "stores of sidecars": {
        "redis": {
            "sidecars": {
                "secretName": "redis",
                "passwordKey": "password",
                "caKey": "ca",
                "certificateKey": "crt",
                "privateKeyKey": "key",
            }
        },
        "postgresql": {"sidecars": {"secretName": "pg", "caKey": "ca", "optional": True}},
    },
    "default service account": injector(serviceAccount={"create": False}),
    "dressed": injector(**_DRESSED, service={"annotations": {"a": "b"}}),
    "network policy": injector(networkPolicy={"enabled": True}),
    "network policy with peers": injector(
        networkPolicy={"enabled": True, "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    ),
    "fails open": webhook(failurePolicy="Ignore"),
    "one failure policy": webhook(namespaceFailurePolicy=False),
    "never reinvoked": webhook(reinvocationPolicy="Never", timeoutSeconds=30, annotations={"a": "b"}),
    "excluded namespaces": webhook(excludeNamespaces=["cert-manager", "kube-system"]),
    "cert-manager": webhook(tls={"mode": "certManager"}),
    "cert-manager's issuer": webhook(
        tls={"mode": "certManager", "certManager": {"issuerRef": {"name": "corporate", "kind": "ClusterIssuer"}}}
    ),
    "existing certificate": webhook(tls={"mode": "existing", "existing": {"secretName": "mine", "caBundle": PEM}}),
    "certificate filled in": webhook(
        annotations={"cert-manager.io/inject-ca-from": "a/b"}, tls={"mode": "existing", "existing": {"secretName": "m"}}
    ),
    "policy": injector(policy={"enabled": True}),
    "policy without way out": injector(
        policy={"enabled": True, "optOut": False, "closedActions": ["Deny", "Audit"], "openActions": ["Audit"]}
    ),
    "policy with conditions": injector(
        policy={
            "enabled": True,
            "matchConditions": [{"name": "no-robots", "expression": "request.userInfo.username != 'r'"}],
        }
    ),
    "policy, one failure policy": injector(
        policy={"enabled": True}, webhook={"failurePolicy": "Ignore", "namespaceFailurePolicy": False}
    ),
}

GATEWAY: Final[dict[str, Values]] = {
    "gateway": gateway(),
    "daemon set": gateway(kind="DaemonSet", service={"internalTrafficPolicy": "Local"}),
    "gateway dressed": gateway(
        **_DRESSED,
        env={"SKINFLINT_LOG__LEVEL": "debug"},
        secretEnv={"SKINFLINT_UPSTREAM__PROXY": {"name": "p", "key": "url"}},
    ),
    "gateway of IPv6": {**gateway(workers="auto"), "listenHost": "[::]"},
    "one replica, own claim": gateway(replicas=1, data={"kind": "claim", "claimName": "mine"}),
    "ephemeral claims": gateway(data={"kind": "ephemeral", "storageClassName": "fast", "size": "20Gi"}),
    "further volumes": gateway(
        extraVolumes=[{"name": "keys", "secret": {"secretName": "keys"}}],
        extraVolumeMounts=[{"name": "keys", "mountPath": "/etc/keys", "readOnly": True}],
    ),
    "load balancer": gateway(
        service={
            "type": "LoadBalancer",
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "trafficDistribution": "PreferClose",
        },
        metricsService={"enabled": False},
    ),
    "credentials": gateway(credentials={"secretName": "tenants", "key": "lines"}),
    "admin token": gateway(adminToken={"secretName": "operators", "key": "admin"}),
    "known by pod": gateway(kubernetes={"enabled": True}),
    "known by pod, on each node": gateway(kind="DaemonSet", kubernetes={"enabled": True}),
    "https proxy": gateway(tls={"enabled": True, "secretName": "proxy-tls"}),
    "https proxy of cert-manager": gateway(
        tls={"enabled": True, "issuerRef": {"name": "corporate"}, "dnsNames": ["llm.example.com"]}
    ),
    "client certificates": gateway(
        tls={"enabled": True, "secretName": "proxy-tls", "clientCa": {"secretName": "clients", "key": "ca.pem"}},
        settings={"access": {"sources": {"10.0.0.0/8": "inside"}}},
    ),
    "existing CA": gateway(ca={"mode": "existing", "secretName": "our-ca"}),
    "names that look like numbers": {
        **gateway(
            ca={"mode": "existing", "secretName": "123"},
            credentials={"secretName": "0x1f"},
            adminToken={"secretName": "1e3"},
            tls={"enabled": True, "secretName": "true"},
            data={"kind": "ephemeral", "storageClassName": "1", "size": "20Gi"},
        ),
        "image": {"pullSecrets": ["456"]},
        "redis": {"gateway": {"secretName": "7.5"}},
    },
    "CA of cert-manager": gateway(
        ca={
            "mode": "certManager",
            "certManager": {
                "issuerRef": {"name": "root", "kind": "ClusterIssuer", "group": "cert-manager.io"},
                "nameConstraints": {"critical": True, "permitted": {"dnsDomains": ["api.openai.com"]}},
            },
        }
    ),
    "CA for more hosts": gateway(ca={"hosts": ["llm.example.com", "*.example.org"]}),
    "scaled by CPU": gateway(autoscaling={"enabled": True}),
    "scaled by requests": gateway(
        autoscaling={
            "enabled": True,
            "cpuUtilization": None,
            "requestMetric": {"enabled": True, "type": "External", "selector": {"queue": "llm"}},
            "behavior": None,
        }
    ),
    "scaled by both": gateway(autoscaling={"enabled": True, "requestMetric": {"enabled": True}}),
    "keda": gateway(keda={"enabled": True, "triggers": [{"type": "cpu", "metadata": {"value": "60"}}]}),
    "vpa": gateway(vpa={"enabled": True, "updateMode": "Recreate", "maxAllowed": {"memory": "4Gi"}}),
    "vpa of a daemon set": gateway(kind="DaemonSet", vpa={"enabled": True, "controlledResources": ["cpu", "memory"]}),
    "gateway's network policy": gateway(networkPolicy={"enabled": True}),
    "narrow network policy": {
        **gateway(
            tls={"enabled": True, "secretName": "t"},
            kubernetes={"enabled": True},
            networkPolicy={
                "enabled": True,
                "clients": [],
                "monitoring": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
                "providers": {"ports": [443, 8443], "cidrs": ["203.0.113.0/24", "::/0"]},
                "redis": {"port": 6380, "to": [{"podSelector": {"matchLabels": {"app": "redis"}}}]},
                "egress": [{"ports": [{"port": 3128, "protocol": "TCP"}]}],
            },
        ),
        "redis": {"gateway": {"secretName": "redis"}},
        "postgresql": {"gateway": {"secretName": "pg"}},
    },
    "stores": {
        **gateway(),
        "redis": {
            "gateway": {
                "secretName": "redis",
                "urlKey": "where",
                "passwordKey": "password",
                "caKey": "ca",
                "certificateKey": "crt",
                "privateKeyKey": "key",
            }
        },
        "postgresql": {
            "gateway": {
                "secretName": "pg",
                "passwordKey": "password",
                "caKey": "ca",
                "certificateKey": "crt",
                "privateKeyKey": "key",
            }
        },
    },
    "both": {
        "gateway": {"enabled": True},
        "image": {"repository": "registry.example/skinflint", "digest": "sha256:" + "0" * 64, "pullSecrets": ["pull"]},
        "commonLabels": {"team": "platform"},
        "commonAnnotations": {"example.com/owner": "platform"},
        "redis": {"sidecars": {"secretName": "redis", "optional": True}},
    },
    "long names": {
        "gateway": {"enabled": True},
        "fullnameOverride": "a" * 63,
        "injector": {"policy": {"enabled": True}},
    },
}

ALL: Final = INJECTOR | GATEWAY
