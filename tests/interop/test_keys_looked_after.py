#!/usr/bin/env python3
"""The official Python and JavaScript clients go on reading and writing after csfle rotated their KEK, rotated a DEK, and moved the KEK to another key."""
import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/support"))
from programs import Failed, Peer, Registry, Tap, tool  # noqa: E402

BUILD = os.environ.get("CSFLE_BUILD", os.path.join(TOP, "build", "debug"))
TOOL = os.environ.get("CSFLE_TOOL") or os.path.join(BUILD, "csfle")
SERVER = os.environ.get("CSFLE_REGISTRY") or os.path.join(BUILD, "csfle-registry")
OLD, NEW = "the secret of the first KMS", "the secret of another KMS"
SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "id", "type": "long"}, {"name": "ssn", "type": "string", "confluent:tags": ["PII"]}]}


def fetched(name):
    return subprocess.run([os.path.join(TOP, "scripts/fetch"), name], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class World:
    def __init__(self, folder, client):
        self.folder, self.client = folder, client
        self.registry = Registry(SERVER, log=os.path.join(folder, "registry.log"))
        self.written, self.payloads = [], []
        if client == "js":
            node = subprocess.run([os.path.join(TOP, "scripts/find-node")], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            self.argv = [os.path.join(node, "node"), os.path.join(TOP, "tests/interop/js/peer.js"), os.path.join(fetched("js"), "node_modules"), self.registry.url]
        else:
            self.argv = [os.path.join(fetched("python"), "bin/python"), os.path.join(TOP, "tests/interop/python/peer.py"), self.registry.url]

    @contextlib.contextmanager
    def fresh(self, secret):
        """A client that was just started: it holds no key."""
        env = {**{k: v for k, v in os.environ.items() if k != "LOCAL_SECRET"}, "INTEROP_SECRET": secret}
        peer = Peer(self.client, self.argv, env=env, log=os.path.join(self.folder, "peer.log"))
        try:
            yield peer
        finally:
            peer.stop()

    def csfle(self, *argv, secret=OLD):
        return tool(TOOL, *argv, "-r", self.registry.url, secret=secret)

    def write_and_read(self, peer, secret):
        """Reads what there is, writes more, reads that too; csfle reads it all."""
        before = peer.call("deserialize", topic="t", payloads=self.payloads)
        values = [{"id": len(self.written) + i, "ssn": f"078-05-{len(self.written)}{i}"} for i in range(2)]
        self.payloads += peer.call("serialize", topic="t", values=values)
        if before != self.written:
            return f"the client reads {before}, expected {self.written}"
        self.written += values
        after = peer.call("deserialize", topic="t", payloads=self.payloads)
        if after != self.written:
            return f"the client reads {after}, expected {self.written}"
        names = []
        for i, payload in enumerate(self.payloads):
            names.append(os.path.join(self.folder, f"record{i}"))
            with open(names[-1], "wb") as f:
                f.write(base64.b64decode(payload))
        ours = [json.loads(line) for line in self.csfle("decrypt", "-q", "-t", "t", *names, secret=secret).splitlines()]
        return None if ours == self.written else f"csfle reads {ours}, expected {self.written}"

    def secret_file(self, secret):
        path = os.path.join(self.folder, "secret")
        with open(path, "w", encoding="utf-8") as f:
            f.write(secret)
        return f"rule.executors._to_.param.secret=@{path}"

    def begin(self):
        """the client makes the data key and writes"""
        self.csfle("kek", "create", "looked-after", "--kms-type", "local-kms", "--kms-key", "first")
        rule = {"name": "e", "kind": "TRANSFORM", "mode": "WRITEREAD", "type": "ENCRYPT", "tags": ["PII"], "onFailure": "ERROR,ERROR",
                "params": {"encrypt.kek.name": "looked-after", "encrypt.dek.expiry.days": "30"}}
        with self.fresh(OLD) as peer:
            peer.call("register", subject="t-value", schema=json.dumps(SCHEMA), rule=rule)
            return self.write_and_read(peer, OLD)

    def rotate_kek(self):
        """csfle kek rotate: what was written is read, and more is written"""
        self.csfle("kek", "rotate", "looked-after")
        with self.fresh(OLD) as peer:
            return self.write_and_read(peer, OLD)

    def rotate_dek(self):
        """csfle dek rotate: the client writes with version 2 and reads both"""
        self.csfle("dek", "rotate", "looked-after", "t-value")
        with self.fresh(OLD) as peer:
            complaint = self.write_and_read(peer, OLD)
        versions = [key_version(p) for p in self.payloads]
        return complaint or (None if versions == [1, 1, 1, 1, 2, 2] else f"key versions of the records: {versions}")

    def move(self):
        """csfle kek move: with access to the new key the client reads all and writes; with the old one it reads nothing"""
        self.csfle("kek", "move", "looked-after", "--to", "local-kms:second", "-X", self.secret_file(NEW))
        with self.fresh(OLD) as peer:
            try:
                peer.call("deserialize", topic="t", payloads=self.payloads[:1])
                return "the old key still opens what was moved"
            except Failed:
                pass
        with self.fresh(NEW) as peer:
            return self.write_and_read(peer, NEW)

    def move_back(self):
        """csfle kek move --confirm, and back: the first key reads all again"""
        self.csfle("kek", "move", "looked-after", "--confirm", "-X", self.secret_file(NEW))
        self.csfle("kek", "move", "looked-after", "--to", "local-kms:first", "-X", self.secret_file(OLD), secret=NEW)
        with self.fresh(OLD) as peer:
            return self.write_and_read(peer, OLD)


def key_version(payload):
    """The DEK version in front of the ciphertext of ssn: after the schema id, the id (a varint), the length (a varint) and Base64."""
    data, at = base64.b64decode(payload), 5
    for _ in range(2):
        while data[at] & 0x80:
            at += 1
        at += 1
    return int.from_bytes(base64.b64decode(data[at:at + 8])[1:5], "big")


STEPS = ("begin", "rotate_kek", "rotate_dek", "move", "move_back")


def main():
    tap = Tap(2 * len(STEPS))
    for client in ("python", "js"):
        with tempfile.TemporaryDirectory(prefix="csfle-keys-interop-") as folder:
            world = World(folder, client)
            try:
                for step in STEPS:
                    check = getattr(world, step)
                    tap.test(f"{client}: {check.__doc__}", check)
            finally:
                world.registry.stop()
    return tap.exit_code()


if __name__ == "__main__":
    sys.exit(main())
