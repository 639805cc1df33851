#!/usr/bin/env python3
"""Making the keys of 1,000 subjects: register-deks a subject, and `csfle dek register --all`; requests and seconds, beside bare ones. See docs/performance.md.

    bench/register_deks.py FOLDER      with csfle, csfle-registry, register-deks

Beside register-deks stands the same number of `register-deks --version`: what starting a process costs. Beside the one client stand the same requests
by one curl over one connection, to another registry with the same subjects: what the registry takes for them.
"""
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests/support"))
from programs import Registry  # noqa: E402

SUBJECTS = int(os.environ.get("CSFLE_BENCH_SUBJECTS", "1000"))
SCHEMA = json.dumps({"type": "record", "name": "R", "fields": [{"name": "ssn", "type": "string", "confluent:tags": ["PII"]}]})
RULES = {"domainRules": [{"name": "e", "kind": "TRANSFORM", "type": "ENCRYPT", "mode": "WRITEREAD", "tags": ["PII"],
                          "params": {"encrypt.kek.name": "k", "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": "x"}}]}
MEDIA = {"Content-Type": "application/vnd.schemaregistry.v1+json"}


def send(connection, method, path, body=None):
    connection.request(method, path, json.dumps(body) if body is not None else None, MEDIA)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, text


def fresh(folder):
    """A registry with the subjects, and a connection to it."""
    registry = Registry(os.path.join(folder, "csfle-registry"))
    connection = http.client.HTTPConnection(registry.url.split("//")[1])
    for i in range(SUBJECTS):
        status, text = send(connection, "POST", f"/subjects/s{i}-value/versions", {"schema": SCHEMA, "ruleSet": RULES})
        if status != 200:
            sys.exit(f"registering: {status} {text}")
    return registry, connection


def requests(registry):
    with urllib.request.urlopen(registry.url + "/metrics", timeout=20) as r:
        text = r.read().decode()
    return sum(int(float(n)) for n in re.findall(r"(?m)^csfle_registry_requests_total\{.*\} (\d+)$", text))


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main():
    folder = sys.argv[1]
    env = {**os.environ, "LOCAL_SECRET": "a secret"}

    def run(*argv):
        subprocess.run([os.path.join(folder, argv[0]), *argv[1:]], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    registry, _ = fresh(folder)
    before = requests(registry)
    each = timed(lambda: [run("register-deks", registry.url, f"s{i}-value", "1") for i in range(SUBJECTS)])
    each_requests = requests(registry) - before - 1
    starts = timed(lambda: [run("register-deks", "--version") for _ in range(SUBJECTS)])
    before = requests(registry)
    again = timed(lambda: [run("register-deks", registry.url, f"s{i}-value", "1") for i in range(SUBJECTS)])
    again_requests = requests(registry) - before - 1
    registry.stop()

    registry, _ = fresh(folder)
    before = requests(registry)
    one = timed(lambda: run("csfle", "dek", "register", "--all", "-r", registry.url))
    one_requests = requests(registry) - before - 1
    registry.stop()

    registry, _ = fresh(folder)

    def ask(path, body=None):
        lines = [f'url = "{registry.url}{path}"', 'output = "/dev/null"', "silent"]
        if body:
            lines += ['header = "Content-Type: application/vnd.schemaregistry.v1+json"', "data = " + json.dumps(json.dumps(body))]
        return "\n".join(lines)

    keks = "/dek-registry/v1/keks"
    asked = [ask(keks, {"name": "k", "kmsType": "local-kms", "kmsKeyId": "x"}), ask("/schemas?limit=1000&subjectPrefix=:*:&deleted=true")]
    for i in range(SUBJECTS):
        dek = {"subject": f"s{i}-value", "version": 1, "algorithm": "AES256_GCM", "encryptedKeyMaterial": "A" * 84}
        asked += [ask(f"/subjects/s{i}-value/versions/latest"), ask(f"{keks}/k/deks/s{i}-value/versions/1?algorithm=AES256_GCM&deleted=false"),
                  ask(f"{keks}/k/deks/s{i}-value", dek)]
    with tempfile.NamedTemporaryFile("w", suffix=".curl") as config:
        config.write("\nnext\n".join(asked) + "\n")
        config.flush()
        plain = timed(lambda: subprocess.run(["curl", "-K", config.name], check=True))
    registry.stop()
    print(f"register-deks, {SUBJECTS} subjects, new keys: {each:.2f} s, {each / starts:.1f} x starting as many processes ({starts:.2f} s); {each_requests / SUBJECTS:.2f} requests a subject")
    print(f"register-deks, {SUBJECTS} subjects, keys there: {again:.2f} s, {again / starts:.1f} x; {again_requests / SUBJECTS:.2f} requests a subject")
    print(f"csfle dek register --all, new keys: {one:.2f} s, {one / plain:.2f} x the bare requests ({plain:.2f} s); {one_requests / SUBJECTS:.2f} requests a subject")


main()
