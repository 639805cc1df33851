"""Messages whose data keys a KMS wraps, end to end: a real csfle-registry, librdkafka's test broker, the csfle tool, and the official Python client where it knows the KMS."""
import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import bench
from bench import need

sys.path.insert(0, os.path.join(bench.TOP, "tests/support"))
import programs  # noqa: E402

SCHEMA = {"type": "record", "name": "Customer", "fields": [
    {"name": "id", "type": "long"}, {"name": "ssn", "type": "string", "confluent:tags": ["PII"]}, {"name": "photo", "type": "bytes", "confluent:tags": ["PII"]}]}
CANARY = "CANARY"


def records(writer):
    return [{"id": i, "ssn": f"{writer} {i} {CANARY}", "photo": "\x00\xff" + writer} for i in range(3)]


def as_peer(values):
    """As the Python client's peer has bytes."""
    return [{**v, "photo": {"$bytes": base64.b64encode(v["photo"].encode("latin-1")).decode()}} for v in values]


class Messages:
    """kms_type: of all keys. registry_env: the credentials with which the registry wraps for shared KEKs. `.said`: all that our programs
    printed. `.options`: arguments of every produce and consume. `.carrier`: a Python client that brings other clients' bytes to and from Kafka."""

    def __init__(self, kms_type, registry_env, registry_options=()):
        self.kms_type, self.said, self.options = kms_type, "", []
        self.carrier = None
        self.folder = bench.temporary("messages")
        self.log = os.path.join(self.folder, "registry.log")
        self.registry = programs.Registry(bench.REGISTRY, log=self.log, args=("--dev", "--port", "0", *registry_options), env=bench.bare_env(registry_env))
        self.broker = programs.Process("mock broker", [bench.TOOL, "mock-broker"], log=os.path.join(self.folder, "broker.log"))
        self.brokers = self.broker.line(20)

    def peer(self, python, env, rule_conf=None):
        """The official Python client, run by a Python that has the vendor's packages."""
        argv = [python, os.path.join(bench.TOP, "tests/interop/python/peer.py"), self.registry.url]
        return programs.Peer("the Python client", argv, env=bench.bare_env({"INTEROP_KMS": self.kms_type, "INTEROP_RULE_CONF": json.dumps(rule_conf or {}), **env}),
                             log=os.path.join(self.folder, "peer.log"))

    def js_peer(self, env, rule_conf=None):
        """The official JavaScript client, which has all vendors' packages. It needs a `.carrier`."""
        node = subprocess.run([os.path.join(bench.TOP, "scripts/find-node")], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        argv = [os.path.join(node, "node"), os.path.join(bench.TOP, "tests/interop/js/peer.js"), os.path.join(bench.fetch("js"), "node_modules"), self.registry.url]
        return programs.Peer("the JavaScript client", argv, env=bench.bare_env({"INTEROP_KMS": self.kms_type, "INTEROP_RULE_CONF": json.dumps(rule_conf or {}), **env}),
                             log=os.path.join(self.folder, "js.log"))

    def tool(self, *argv, stdin="", env=None, code=0):
        """Runs csfle with no environment but env."""
        done = subprocess.run([bench.TOOL, *argv], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder, timeout=60, check=False,
                              env=bench.bare_env({"CSFLE_REGISTRY_URL": self.registry.url, **(env or {})}), preexec_fn=bench.die_with_parent)
        self.said += done.stderr
        need(done.returncode == code, f"csfle {' '.join(argv)}: exit code {done.returncode}, expected {code}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done

    def call(self, method, path, body=None):
        """(status, answer) of the registry."""
        request = urllib.request.Request(self.registry.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/vnd.schemaregistry.v1+json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as r:
                return r.status, json.loads(r.read() or "null")
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read() or "null")

    def kek(self, name, key, props=None, shared=True):
        code, answer = self.call("POST", "/dek-registry/v1/keks", {"name": name, "kmsType": self.kms_type, "kmsKeyId": key, "kmsProps": props or {}, "shared": shared})
        need(code == 200, answer)

    def dek(self, kek, subject):
        """(wrapped material, plain material or None)."""
        code, dek = self.call("GET", f"/dek-registry/v1/keks/{kek}/deks/{subject}/versions/latest?algorithm=AES256_GCM")
        need(code == 200, dek)
        plain = dek.get("keyMaterial")
        return base64.b64decode(dek["encryptedKeyMaterial"]), base64.b64decode(plain) if plain else None

    def register(self, topic, kek, key, **params):
        rule = {"name": "encryptPII", "kind": "TRANSFORM", "type": "ENCRYPT", "mode": "WRITEREAD", "tags": ["PII"], "onFailure": "ERROR,ERROR",
                "params": {"encrypt.kek.name": kek, "encrypt.kms.type": self.kms_type, "encrypt.kms.key.id": key, **params}}
        for name, content in (("avsc", SCHEMA), ("rules", {"domainRules": [rule]})):
            with open(os.path.join(self.folder, f"{topic}.{name}"), "w", encoding="utf-8") as f:
                json.dump(content, f)
        self.tool("schema", "register", f"{topic}-value", "--schema", f"{topic}.avsc", "--rules", f"{topic}.rules")

    def we_write(self, topic, values, env=None, code=0):
        lines = "".join(json.dumps(v) + "\n" for v in values)
        return self.tool("produce", "-b", self.brokers, "-t", topic, "-p", "0", "-q", *self.options, stdin=lines, env=env, code=code)

    def we_read(self, topic, env=None, code=0):
        done = self.tool("consume", "-b", self.brokers, "-t", topic, "-o", "beginning", "-e", "-q", *self.options, env=env, code=code)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def they_write(self, client, topic, values):
        (self.carrier or client).call("produce", bootstrap=self.brokers, topic=topic, payloads=client.call("serialize", topic=topic, values=as_peer(values)))

    def they_read(self, client, topic):
        """What the client reads; no plaintext is in the topic."""
        payloads = (self.carrier or client).call("fetch", bootstrap=self.brokers, topic=topic)
        need(payloads and not any(CANARY.encode() in base64.b64decode(p) for p in payloads), "plaintext in the topic")
        return client.call("deserialize", topic=topic, payloads=payloads)

    def both_ways(self, topic, client, env, first):
        """Four directions on a topic that is registered; who comes first makes KEK and DEK where there is none."""
        expect = []
        for writer in (first, "ours" if first == "theirs" else "theirs"):
            values = records(writer)
            expect += values
            if writer == "ours":
                self.we_write(topic, values, env)
            else:
                self.they_write(client, topic, values)
            need(self.we_read(topic, env) == expect, f"we read something else after {writer}")
            need(self.they_read(client, topic) == as_peer(expect), f"they read something else after {writer}")

    def stop(self):
        """Ends all; what the registry and the tools said."""
        need(self.registry.stop() == 0, "exit code of the registry")
        self.broker.stop()
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read() + self.said
