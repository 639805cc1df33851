#!/usr/bin/env python3
"""CPU time a message and cold start of the official Python and JavaScript clients and of csfle: one record, one schema, one rule, one run.

    bench/compare_clients.py [BUILD FOLDER] [COUNT [WARM]]      build/release, 10000 messages, 500 before them

The record is the one of bench_serde: ten fields, three of them tagged strings of 12 to 20 bytes, AES256_GCM, local KMS. Each client has a
topic and a KEK of its own, which its first message creates, and a process for each direction. CPU time is that of the client's process
during the measured loop (getrusage's clock; process.cpuUsage). Requests are counted by what stands between the clients and one
csfle-registry --dev. Everybody's messages are also read by csfle, so that what is compared is the same work. Fails when something does
not run, not on ratios: those say how far apart the clients are, and are nobody's budget.
"""
import collections
import http.client
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests/support"))
from programs import Failed, Registry, die, die_with_parent  # noqa: E402

PII = {"confluent:tags": ["PII"]}
SCHEMA = {"type": "record", "name": "Order", "fields": [
    {"name": "id", "type": "long"}, {"name": "name", "type": "string", **PII}, {"name": "quantity", "type": "int"},
    {"name": "price", "type": "double"}, {"name": "ssn", "type": "string", **PII}, {"name": "active", "type": "boolean"},
    {"name": "note", "type": ["null", "string"]}, {"name": "card", "type": "string", **PII}, {"name": "city", "type": "string"},
    {"name": "at", "type": "long"}]}
RECORD = {"id": 617, "name": "Ada Lovelace", "quantity": 7, "price": 10.0, "ssn": "078-05-1120/12345", "active": True, "note": "no doubts",
          "card": "4111111111111111/777", "city": "London", "at": 617}
AVRO_JSON = {**RECORD, "note": {"string": RECORD["note"]}}
NATIVE = (b"\xd2\x09\x18Ada Lovelace\x0e\0\0\0\0\0\0\x24\x40\x22078-05-1120/12345\x01\x02\x12no doubts\x28" b"4111111111111111/777"
          b"\x0cLondon\xd2\x09")


class Counter(http.server.ThreadingHTTPServer):
    """Passes requests on to the registry and counts them by path."""
    daemon_threads = True

    def __init__(self, target):
        super().__init__(("127.0.0.1", 0), Passing)
        self.target, self.seen = target.removeprefix("http://"), collections.Counter()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def take(self):
        """(requests for schemas, requests for keys) since the last time."""
        seen, self.seen = self.seen, collections.Counter()
        return seen["schemas"], seen["keys"]


class Passing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen["keys" if self.path.startswith("/dek-registry") else "schemas"] += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        onward = http.client.HTTPConnection(self.server.target)
        keep = {k: v for k, v in self.headers.items() if k.lower() in ("content-type", "accept", "authorization")}
        onward.request(self.command, self.path, body or None, keep)
        reply = onward.getresponse()
        text = reply.read()
        onward.close()
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_):
        pass


def fetched(what):
    run = subprocess.run([os.path.join(TOP, "scripts", what[0]), *what[1:]], stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        raise Failed(" ".join(what) + " failed")
    return run.stdout.strip()


def register(url, topic):
    rule = {"name": "encryptPII", "kind": "TRANSFORM", "mode": "WRITEREAD", "type": "ENCRYPT", "tags": ["PII"], "params": {
        "encrypt.kek.name": f"kek-{topic}", "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": "bench", "encrypt.dek.algorithm": "AES256_GCM"}}
    body = {"schemaType": "AVRO", "schema": json.dumps(SCHEMA), "ruleSet": {"domainRules": [rule]}}
    request = urllib.request.Request(f"{url}/subjects/{topic}-value/versions", json.dumps(body).encode(),
                                     {"Content-Type": "application/vnd.schemaregistry.v1+json"})
    urllib.request.urlopen(request).read()


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else os.path.join(TOP, "build/release")
    count, warm = (sys.argv[2:4] + ["10000", "500"][len(sys.argv[2:4]):])
    ours = [os.path.join(build, "bench_client")]
    clients = [
        ("csfle, Avro bytes", "native", ours),
        ("csfle, JSON text", "json", ours),
        ("official JavaScript", "object", [os.path.join(fetched(["find-node"]), "node"), os.path.join(TOP, "bench/compare_client.js"),
                                           os.path.join(fetched(["fetch", "js"]), "node_modules")]),
        ("official Python", "dict", [os.path.join(fetched(["fetch", "python"]), "bin/python"), os.path.join(TOP, "bench/compare_client.py")]),
    ]
    with tempfile.TemporaryDirectory(prefix="csfle-bench-") as folder:
        def kept(name, data):
            path = os.path.join(folder, name)
            with open(path, "wb") as f:
                f.write(data)
            return path

        schema = kept("schema", json.dumps(SCHEMA).encode())
        values = {"native": kept("native", NATIVE), "json": kept("json", json.dumps(AVRO_JSON).encode()), "object": kept("object", json.dumps(RECORD).encode())}
        values["dict"] = values["object"]
        registry = Registry(os.path.join(build, "csfle-registry"), log=os.path.join(folder, "registry.log"))
        counter = Counter(registry.url)

        def run(argv, direction, form, topic, file, n=count, before=warm):
            p = subprocess.run([*argv, direction, form, counter.url, topic, n, before, schema, file], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, timeout=300, check=False, preexec_fn=die_with_parent)
            if p.returncode:
                raise Failed(f"{topic} {direction}: exit code {p.returncode}: {p.stderr.strip()[-2000:]}")
            return json.loads(p.stdout.strip().splitlines()[-1]), counter.take()

        rows = []
        try:
            for i, (name, form, argv) in enumerate(clients):
                topic = f"bench{i}"
                register(registry.url, topic)
                written, cold_write = run(argv, "write", form, topic, values[form])
                message = kept(topic, bytes.fromhex(written["out"]))
                read, cold_read = run(argv, "read", form, topic, message)
                checked = bytes.fromhex(run(ours, "read", "native", topic, message, "0", "1")[0]["out"])
                back = read["out"] if form in ("object", "dict") else bytes.fromhex(read["out"])
                if checked != NATIVE or (back != NATIVE if form == "native" else json.loads(back) not in (RECORD, AVRO_JSON)):
                    raise Failed(f"{name}: what was read is not what was written")
                rows.append((name, written["ns"], read["ns"], cold_write, cold_read, read["version"]))
        finally:
            registry.stop()

    base = rows[0]
    print(f"CPU time a message, {count} after {warm}; requests of a first write and of a first read: schemas + keys")
    for row in rows[1:]:
        print(f"# {row[0]}: {row[5]}")
    print(f"{'':22}{'serialize':>14}{'ratio':>8}{'deserialize':>14}{'ratio':>8}{'cold write':>12}{'cold read':>11}")
    for name, w, r, cw, cr, _ in rows:
        print(f"{name:22}{w:>11,.0f} ns{w / base[1]:>8.1f}{r:>11,.0f} ns{r / base[2]:>8.1f}{cw[0]:>8} + {cw[1]}{cr[0]:>7} + {cr[1]}")


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError, subprocess.TimeoutExpired) as failure:
        die(f"compare_clients: {failure}")
