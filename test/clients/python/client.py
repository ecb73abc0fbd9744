"""Uses a cluster by Python's official client, and prints what it saw as JSON (test/clients/support/facts.ts)."""

import json
import os
import sys

from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException
from kubernetes.config.incluster_config import InClusterConfigLoader

NAMESPACE = "default"
WATCH_SECONDS = 20


def config_map(name):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data={"value": "one"})


def service(name):
    spec = client.V1ServiceSpec(selector={"value": "one"}, ports=[client.V1ServicePort(port=80)])
    return client.V1Service(metadata=client.V1ObjectMeta(name=name), spec=spec)


KINDS = {
    "ConfigMap": ("config_map", config_map, lambda found: found.data, lambda value: {"data": value}),
    "Service": (
        "service",
        service,
        lambda found: found.spec.selector,
        lambda value: {"spec": {"selector": value}},
    ),
}


def code_of(call, *arguments):
    """The status of the answer to a call."""
    try:
        call(*arguments)
        return 200
    except ApiException as error:
        return error.status


def first_event(api, kind, since):
    listing = getattr(api, f"list_namespaced_{kind}")
    stream = watch.Watch().stream(listing, NAMESPACE, resource_version=since, timeout_seconds=WATCH_SECONDS)
    for event in stream:
        return f"{event['type']} {event['object'].metadata.name}"
    return "nothing"


def kind_facts(api, name, described):
    kind, make, values, patch = described

    def call(verb, *arguments):
        return getattr(api, f"{verb}_namespaced_{kind}")(*arguments)

    since = call("list", NAMESPACE).metadata.resource_version
    created = call("create", NAMESPACE, make(name))
    facts = {"created": values(created)["value"], "watched": first_event(api, kind, since)}
    facts["listed"] = name in [item.metadata.name for item in call("list", NAMESPACE).items]
    changed = call("read", name, NAMESPACE)
    stale = call("read", name, NAMESPACE)
    values(changed)["value"] = "two"
    facts["updated"] = values(call("replace", name, NAMESPACE, changed))["value"]
    facts["conflict"] = code_of(call, "replace", name, NAMESPACE, stale)
    facts["patched"] = values(call("patch", name, NAMESPACE, patch({"value": "three"})))["value"]
    call("delete", name, NAMESPACE)
    facts["deleted"] = code_of(call, "read", name, NAMESPACE)
    return facts


def facts(kubeconfig, name):
    config.load_kube_config(config_file=kubeconfig)
    found = {"version": client.VersionApi().get_code().git_version}
    for kind, described in KINDS.items():
        found[kind] = kind_facts(client.CoreV1Api(), name, described)
    return found


def rights(directory):
    """With the credentials that a pod has, which lie in a directory here."""
    token, authority = (os.path.join(directory, file) for file in ("token", "ca.crt"))
    InClusterConfigLoader(token_filename=token, cert_filename=authority).load_and_set()
    api = client.CoreV1Api()
    container = client.V1Container(name="main", image="none")
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name="refused"), spec=client.V1PodSpec(containers=[container])
    )
    return {
        "listPods": code_of(api.list_namespaced_pod, NAMESPACE),
        "createPod": code_of(api.create_namespaced_pod, NAMESPACE, pod),
        "listSecrets": code_of(api.list_namespaced_secret, NAMESPACE),
    }


print(json.dumps({"facts": facts, "rights": rights}[sys.argv[1]](*sys.argv[2:])))
