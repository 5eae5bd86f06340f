"""Lists and watches every kind of an API group with the Python client, as scripts and operators do, and says at the
end whether what it holds is what a fresh list shows.

Usage: watch.py GROUP/VERSION SECONDS, with KUBECONFIG. Prints one line of JSON per kind; fails where they differ.
"""

import json
import sys
import threading
import time

from kubernetes import client, config, watch

PATIENCE = 30


class Held:
    """What a client knows of one kind: a list, and the events since."""

    def __init__(self, api, group, version, plural):
        self.api, self.where, self.plural = api, (group, version), plural
        self.objects, self.events, self.relists, self.errors = {}, {}, 0, []

    def list(self):
        group, version = self.where
        return self.api.list_cluster_custom_object(group, version, self.plural)

    def follow(self, until):
        try:
            while time.monotonic() < until:
                found = self.list()
                self.relists += 1
                self.objects = {key(item): settled(item) for item in found["items"]}
                self.watch(found["metadata"]["resourceVersion"], until)
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            self.errors.append(repr(error))

    def watch(self, version, until):
        group, api_version = self.where
        while time.monotonic() < until:
            left = max(1, min(10, int(until - time.monotonic())))
            stream = watch.Watch().stream(
                self.api.list_cluster_custom_object,
                group,
                api_version,
                self.plural,
                resource_version=version,
                timeout_seconds=left,
                allow_watch_bookmarks=True,
            )
            try:
                for event in stream:
                    version = event["object"]["metadata"]["resourceVersion"]
                    self.apply(event["type"], event["object"])
            except client.ApiException as gone:
                if gone.status != 410:
                    raise
                return

    def apply(self, kind, item):
        self.events[kind] = self.events.get(kind, 0) + 1
        if kind == "DELETED":
            self.objects.pop(key(item), None)
        elif kind in ("ADDED", "MODIFIED"):
            self.objects[key(item)] = settled(item)


def key(item):
    return f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


def settled(item):
    """When the server last looked is no part of what it saw."""
    item.get("status", {}).pop("observedAt", None)
    return item


def kinds(group_version):
    group, version = group_version.split("/")
    listed = client.CustomObjectsApi().get_api_resources(group, version).resources
    return [found.name for found in listed if {"list", "watch"} <= set(found.verbs)]


def main():
    group_version, seconds = sys.argv[1], float(sys.argv[2])
    config.load_kube_config()
    group, version = group_version.split("/")
    every = [Held(client.CustomObjectsApi(client.ApiClient()), group, version, name) for name in kinds(group_version)]
    until = time.monotonic() + seconds
    # The last watches run on until what they hold can be compared.
    threads = [threading.Thread(target=one.follow, args=(until + PATIENCE,), daemon=True) for one in every]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    equal = {}
    while len(equal) < len(every) and time.monotonic() < until + PATIENCE:
        for one in every:
            fresh = {key(item): settled(item) for item in one.list()["items"]}
            if fresh == one.objects:
                equal[one.plural] = len(fresh)
        time.sleep(1)
    for one in every:
        said = {"objects": equal.get(one.plural), "events": one.events, "relists": one.relists, "errors": one.errors}
        print(json.dumps({"resource": one.plural, **said}), flush=True)
    if not every or len(equal) < len(every) or any(one.errors for one in every):
        sys.exit("what was held is not what was listed")


if __name__ == "__main__":
    main()
