#!/usr/bin/env python3
"""The official JavaScript and Python clients and csfle, on the two ends of a real Kafka. Prints TAP; one test is one direction of one row.

    tests/interop/run.py [-k TEXT]      programs in $CSFLE_TOOL and $CSFLE_REGISTRY

A row is client x algorithm x rotation. Each row has two topics. In `theirs` the client registers schema and rules and writes first, so
it creates KEK and DEK and we find them; in `ours` the csfle tool does. In both, both write and both read, and a reader without the
secret (ours and the client's) sees the same ciphertext and no tagged value. Every record goes through the broker: the JavaScript
client's bytes are carried by the Python one's producer and consumer, which look at none of them.
"""
import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/support"))
from kafka import Kafka  # noqa: E402
from programs import Failed, Peer, Registry, Tap, tool  # noqa: E402

SECRET = "interoperability secret, known to both ends"
ALGORITHMS = ("AES128_GCM", "AES256_GCM", "AES256_SIV")
CLIENTS = ("js", "python")
PII = {"confluent:tags": ["PII"]}
SCHEMA = {
    "type": "record", "name": "Customer", "namespace": "csfle.interop", "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": "string", **PII},
        {"name": "token", "type": "bytes", **PII},
        {"name": "email", "type": ["null", "string"], "default": None, **PII},
        {"name": "phones", "type": {"type": "array", "items": "string"}, **PII},
        {"name": "cards", "type": {"type": "map", "values": "string"}, **PII},
        {"name": "home", "type": {"type": "record", "name": "Address", "fields": [
            {"name": "street", "type": "string", **PII}, {"name": "zip", "type": "string"}]}},
        {"name": "work", "type": "Address"},
        {"name": "age", "type": "int"},
        {"name": "balance", "type": "double"},
        {"name": "active", "type": "boolean"},
        {"name": "plan", "type": {"type": "enum", "name": "Plan", "symbols": ["FREE", "PRO"]}},
    ]}
TAGGED = ("name", "token", "email", "phones", "cards")  # and street of both addresses


def values_from(writer):
    """The records that one end writes; what they hold names the writer, so that no mix-up goes unseen."""
    def b(x):
        return {"$bytes": base64.b64encode(x).decode()}
    return [
        {"id": 1, "name": f"Ada {writer} Lovelace", "token": b(bytes(range(256))), "email": f"ada@{writer}.example",
         "phones": [f"+44 {writer} 1", f"+44 {writer} 2"], "cards": {"main": f"4000 {writer} 0001", "other": f"4000 {writer} 0002"},
         "home": {"street": f"1 {writer} Street", "zip": "N1"}, "work": {"street": f"2 {writer} Row", "zip": "E2"},
         "age": 36, "balance": 0.1, "active": True, "plan": "PRO"},
        {"id": 9007199254740990, "name": f"Grüße 你好 \U0001F600 {writer}", "token": b(b"\0" + writer.encode()), "email": None,
         "phones": [], "cards": {}, "home": {"street": f"{writer} \"quoted\" \\ back\tslash", "zip": ""},
         "work": {"street": f"{writer} {'long ' * 500}", "zip": "0"},
         "age": -2147483648, "balance": -1.5e300, "active": False, "plan": "FREE"},
        {"id": -1, "name": f"{writer} third", "token": b(f"{writer} token".encode()), "email": f"\u0001{writer}@x", "phones": [f"{writer} only one"],
         "cards": {f"ключ {writer}": f"{writer} value"}, "home": {"street": f"{writer} same", "zip": "same"},
         "work": {"street": f"{writer} same", "zip": "same"}, "age": 0, "balance": 0.0, "active": True, "plan": "FREE"},
    ]


def named_types(schema, types=None):
    types = {} if types is None else types
    if isinstance(schema, list):
        for s in schema:
            named_types(s, types)
    elif isinstance(schema, dict):
        if "name" in schema and schema["type"] in ("record", "enum", "fixed"):
            types[schema["name"]] = schema
        for part in [schema.get("items"), schema.get("values")] + [f["type"] for f in schema.get("fields", [])]:
            if part is not None:
                named_types(part, types)
    return types


TYPES = named_types(SCHEMA)


def avro_json(schema, v, back=False):
    """A value in Avro's JSON encoding (what csfle reads and writes), or back from it: bytes are text of one character a byte, unions wrapped."""
    schema = TYPES.get(schema, schema) if isinstance(schema, str) else schema
    if isinstance(schema, list):
        if v is None:
            return None
        return avro_json("string", v["string"], True) if back else {"string": avro_json("string", v)}
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind == "record":
        return {f["name"]: avro_json(f["type"], v[f["name"]], back) for f in schema["fields"]}
    if kind == "array":
        return [avro_json(schema["items"], x, back) for x in v]
    if kind == "map":
        return {k: avro_json(schema["values"], x, back) for k, x in v.items()}
    if kind == "bytes":
        return {"$bytes": base64.b64encode(v.encode("latin-1")).decode()} if back else base64.b64decode(v["$bytes"]).decode("latin-1")
    return v


def tagged_texts(v):
    """Every tagged value of a record as bytes."""
    out = [v["name"].encode(), base64.b64decode(v["token"]["$bytes"]), v["home"]["street"].encode(), v["work"]["street"].encode()]
    out += [v["email"].encode()] if v["email"] is not None else []
    return out + [x.encode() for x in v["phones"]] + [x.encode() for x in v["cards"].values()]


def without_tagged(v):
    v = {k: x for k, x in v.items() if k not in TAGGED}
    return {**v, "home": v["home"]["zip"], "work": v["work"]["zip"]}


def difference(got, expected):
    """None when equal, else a text that says where."""
    if got == expected:
        return None
    if len(got) != len(expected):
        return f"{len(got)} records, expected {len(expected)}"
    for i, (g, e) in enumerate(zip(got, expected)):
        if g != e:
            names = [k for k in e if g.get(k) != e[k]] or sorted(set(g) - set(e))
            return f"record {i} differs in {', '.join(names)}: {g.get(names[0])!r:.300}, expected {e.get(names[0])!r:.300}"
    return "different"


class World:
    """The broker, our registry, our tool, and the clients' processes with and without the secret."""

    def __init__(self, folder):
        self.folder = folder
        self.tool_path = os.environ["CSFLE_TOOL"]
        self.kafka = Kafka(os.path.join(folder, "kafka"))
        self.registry = None
        self.peers = {}

    def start(self):
        self.kafka.start()
        self.registry = Registry(os.environ["CSFLE_REGISTRY"], log=os.path.join(self.folder, "registry.log"))
        fetch = os.path.join(TOP, "scripts/fetch")
        js = subprocess.run([fetch, "js"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        py = subprocess.run([fetch, "python"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        node = subprocess.run([os.path.join(TOP, "scripts/find-node")], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        argv = {"js": [os.path.join(node, "node"), os.path.join(TOP, "tests/interop/js/peer.js"), os.path.join(js, "node_modules"), self.registry.url],
                "python": [os.path.join(py, "bin/python"), os.path.join(TOP, "tests/interop/python/peer.py"), self.registry.url]}
        for client in CLIENTS:
            for key in (True, False):
                env = {k: v for k, v in os.environ.items() if k not in ("LOCAL_SECRET", "INTEROP_SECRET")}
                if key:
                    env["INTEROP_SECRET"] = SECRET
                name = client + ("" if key else " without the secret")
                self.peers[client, key] = Peer(name, argv[client], env=env, log=os.path.join(self.folder, f"{name}.log"))

    def stop(self):
        for peer in self.peers.values():
            peer.stop()
        if self.registry:
            self.registry.stop()
        self.kafka.stop()

    def csfle(self, *args, secret=SECRET, stdin=None):
        return tool(self.tool_path, *args, secret=secret, stdin=stdin)

    def stored(self, topic):
        return self.peers["python", True].call("fetch", bootstrap=self.kafka.address, topic=topic)

    def we_write(self, topic, values):
        lines = "".join(json.dumps(avro_json(SCHEMA, v), ensure_ascii=False) + "\n" for v in values)
        self.csfle("produce", "-b", self.kafka.address, "-t", topic, "-p", "0", "-r", self.registry.url, "-q", stdin=lines)

    def we_read(self, topic, secret=SECRET):
        text = self.csfle("consume", "-b", self.kafka.address, "-t", topic, "-o", "beginning", "-e", "-q", "-r", self.registry.url, secret=secret)
        return [avro_json(SCHEMA, json.loads(line), back=True) for line in text.split("\n") if line]

    def they_write(self, client, topic, values):
        payloads = self.peers[client, True].call("serialize", topic=topic, values=values)
        self.peers["python", True].call("produce", bootstrap=self.kafka.address, topic=topic, payloads=payloads)

    def they_read(self, client, topic, key=True):
        return self.peers[client, key].call("deserialize", topic=topic, payloads=self.stored(topic))


def rule(kek, algorithm, rotate):
    params = {"encrypt.kek.name": kek, "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": f"{kek}-id", "encrypt.dek.algorithm": algorithm}
    if rotate:
        params["encrypt.dek.expiry.days"] = "1"
    return {"name": "encryptPII", "kind": "TRANSFORM", "mode": "WRITEREAD", "type": "ENCRYPT", "tags": ["PII"], "params": params,
            "onFailure": "ERROR,NONE"}


class Row:
    """One topic of the matrix. `first` creates schema and keys; what has been written so far is in self.written."""

    def __init__(self, world, client, algorithm, rotate, first):
        self.world, self.client, self.algorithm, self.rotate, self.first = world, client, algorithm, rotate, first
        self.topic = f"{client}-{algorithm.lower()}-{'rotating' if rotate else 'fixed'}-{first}"
        self.written = []

    def register(self):
        r = rule(f"kek-{self.topic}", self.algorithm, self.rotate)
        if self.first == "theirs":
            self.world.peers[self.client, True].call("register", subject=f"{self.topic}-value", schema=json.dumps(SCHEMA), rule=r)
            return
        paths = {}
        for name, content in (("schema", SCHEMA), ("rules", {"domainRules": [r]})):
            paths[name] = os.path.join(self.world.folder, f"{self.topic}.{name}.json")
            with open(paths[name], "w", encoding="utf-8") as f:
                json.dump(content, f)
        self.world.csfle("schema", "register", f"{self.topic}-value", "-r", self.world.registry.url, "--schema", paths["schema"], "--rules",
                         paths["rules"])

    def they_write_we_read(self):
        if self.first == "theirs":
            self.register()
        values = values_from(f"{self.client}-{self.algorithm}")
        self.world.they_write(self.client, self.topic, values)
        self.written += values
        return difference(self.world.we_read(self.topic), self.written)

    def we_write_they_read(self):
        if self.first == "ours":
            self.register()
        values = values_from(f"csfle-{self.algorithm}")
        self.world.we_write(self.topic, values)
        self.written += values
        return difference(self.world.they_read(self.client, self.topic), self.written)

    def nobody_without_the_secret(self):
        """Ciphertext, and the same, for both kinds of reader; nothing tagged in the stored bytes; the version prefix where there is rotation."""
        stored = [base64.b64decode(p) for p in self.world.stored(self.topic)]
        if len(stored) != len(self.written):
            return f"{len(stored)} records stored, {len(self.written)} written"
        for i, v in enumerate(self.written):
            for text in tagged_texts(v):
                if text and text in stored[i]:
                    return f"record {i} holds a tagged value in clear"
        ours = self.world.we_read(self.topic, secret=None)
        theirs = self.world.they_read(self.client, self.topic, key=False)
        complaint = difference(ours, theirs) or difference([without_tagged(v) for v in ours], [without_tagged(v) for v in self.written])
        if complaint:
            return complaint
        overhead = (16 if self.algorithm == "AES256_SIV" else 28) + (5 if self.rotate else 0)
        for i, (sealed, plain) in enumerate(zip(ours, self.written)):
            raw = base64.b64decode(sealed["name"], validate=True)
            if len(raw) != len(plain["name"].encode()) + overhead:
                return f"record {i}: name is {len(raw)} bytes of ciphertext, expected {len(plain['name'].encode()) + overhead}"
            token = base64.b64decode(sealed["token"]["$bytes"])
            if self.rotate and not (raw.startswith(b"\0\0\0\0\1") and token.startswith(b"\0\0\0\0\1")):
                return f"record {i}: no prefix of DEK version 1"
        same = ours[2]["home"]["street"] == ours[2]["work"]["street"]
        if same != (self.algorithm == "AES256_SIV"):
            return "equal values have " + ("equal" if same else "different") + f" ciphertexts under {self.algorithm}"
        return None

    def tests(self):
        turn = {"theirs": (self.they_write_we_read, self.we_write_they_read), "ours": (self.we_write_they_read, self.they_write_we_read)}[self.first]
        words = {"they_write_we_read": f"{self.client} writes, csfle reads", "we_write_they_read": f"csfle writes, {self.client} reads"}
        where = f"{self.algorithm}, {'DEK rotation' if self.rotate else 'no rotation'}, keys made by {'csfle' if self.first == 'ours' else self.client}"
        for step in turn:
            yield f"{words[step.__name__]}: {where}", step
        yield f"without the secret csfle and {self.client} see the same ciphertext: {where}", self.nobody_without_the_secret


def through_us(world, writer, reader):
    """What one client wrote comes out of csfle, goes back in, and is read by the other client: three implementations, one value."""
    def check():
        source, target = (Row(world, writer, "AES256_GCM", False, f) for f in ("theirs", "ours"))
        source.topic, target.topic = f"relay-{writer}-in", f"relay-{writer}-out"
        source.register()
        target.register()
        values = values_from(f"relay-{writer}")
        world.they_write(writer, source.topic, values)
        world.we_write(target.topic, world.we_read(source.topic))
        return difference(world.they_read(reader, target.topic), values)
    return f"{writer} writes, csfle reads and writes, {reader} reads", check


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-k", metavar="TEXT", default="")
    pattern = parser.parse_args().k
    with tempfile.TemporaryDirectory(prefix="csfle-interop-", ignore_cleanup_errors=True) as folder:
        world = World(folder)
        try:
            world.start()
            rows = [list(Row(world, client, algorithm, rotate, first).tests())
                    for client in CLIENTS for algorithm in ALGORITHMS for rotate in (False, True) for first in ("theirs", "ours")]
            rows += [[through_us(world, "js", "python")], [through_us(world, "python", "js")]]
            tests = [t for row in rows if any(pattern in name for name, _ in row) for t in row]  # the steps of a row need each other
            tap = Tap(len(tests))
            tap.note("csfle: " + world.csfle("--version").strip().splitlines()[0])
            tap.note(f"broker: Apache Kafka {os.path.basename(world.kafka.jars).split('-')[1]}")
            for client in CLIENTS:
                tap.note(f"{client}: {world.peers[client, True].version}")
            for name, check in tests:
                tap.test(name, check)
            return tap.exit_code()
        except Failed as e:
            print(f"Bail out! {e}")
            return 1
        finally:
            world.stop()


if __name__ == "__main__":
    sys.exit(main())
