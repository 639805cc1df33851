#!/usr/bin/env python3
"""
Messages whose keys are in HashiCorp Vault, through a real csfle-registry and librdkafka's test broker: the csfle tool and the official
Python and JavaScript clients on either end, the KEK used by clients and, shared, by the registry.
"""
# needs: hcvault hcvault-server js
import base64
import concurrent.futures
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import bench

sys.path[:0] = [os.path.join(bench.TOP, "tests/support"), os.path.join(os.path.dirname(os.path.abspath(__file__)), "hcvault")]
import programs  # noqa: E402
import vault as bed  # noqa: E402
from bench import need  # noqa: E402

bed.use_venv()
tap = bench.Tap()
folder = bench.temporary("messages")
vault = bed.Vault()
elsewhere = bench.FaultProxy()  # where nothing may arrive

vault.root.sys.enable_auth_method("approle", path="corp/ar")
vault.root.sys.enable_secrets_engine("transit", path="team/a/kms")
KEYS = {"client": vault.key("cards"), "shared": vault.key("shared"), "deep": vault.key("cards", "team/a/kms")}
vault.policy("clients", "transit/encrypt/cards", "transit/decrypt/cards", "team/a/kms/encrypt/cards", "team/a/kms/decrypt/cards")
vault.policy("registry", "transit/encrypt/shared", "transit/decrypt/shared")
TOKEN = {"VAULT_TOKEN": vault.token("clients")}
REGISTRYS = vault.role("registry", mount="corp/ar")
NOBODY = {}
hosts = vault.url  # where the clients' tokens may go

registry_log = os.path.join(folder, "registry.log")


def start_registry(hosts):
    """One that may call these hosts, with an AppRole of its own."""
    env = {"VAULT_APPROLE_ROLE_ID": REGISTRYS["approle.role.id"], "VAULT_APPROLE_SECRET_ID": REGISTRYS["approle.secret.id"], "VAULT_APPROLE_MOUNT": "corp/ar"}
    return programs.Registry(bench.REGISTRY, log=registry_log, args=("--dev", "--port", "0", "-X", f"csfle.allow.kms.hosts={hosts}"), env=bench.bare_env(env))


registry = start_registry(vault.url)
broker = programs.Process("mock broker", [bench.TOOL, "mock-broker"], log=os.path.join(folder, "broker.log"))
brokers = broker.line(20)

SCHEMA = {"type": "record", "name": "Customer", "fields": [
    {"name": "id", "type": "long"}, {"name": "ssn", "type": "string", "confluent:tags": ["PII"]}, {"name": "photo", "type": "bytes", "confluent:tags": ["PII"]}]}
said = ""  # all that the tools printed


def tool(name, *argv, stdin="", env=None, code=0):
    """Runs csfle, rewrap-deks, ... with no environment but env; all it printed goes through the search for secrets at the end."""
    global said
    done = subprocess.run([os.path.join(os.path.dirname(bench.TOOL), name), *argv], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=bench.bare_env({"CSFLE_REGISTRY_URL": registry.url, **(env or {})}), cwd=folder, timeout=60, check=False, preexec_fn=bench.die_with_parent)
    said += done.stdout + done.stderr
    need(done.returncode == code, f"{name} {' '.join(argv)}: exit code {done.returncode}, expected {code}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    return done


def peer(name, env):
    """The official client "python" or "js", with the credentials of env."""
    if name == "js":
        node = subprocess.run([os.path.join(bench.TOP, "scripts/find-node")], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        argv = [os.path.join(node, "node"), os.path.join(bench.TOP, "tests/interop/js/peer.js"), os.path.join(bench.fetch("js"), "node_modules"), registry.url]
    else:
        argv = [sys.executable, os.path.join(bench.TOP, "tests/interop/python/peer.py"), registry.url]
    return programs.Peer(name, argv, env=bench.bare_env({"INTEROP_KMS": "hcvault", **env}), log=os.path.join(folder, f"{name}.log"))


carrier = peer("python", NOBODY)  # to and from Kafka: it looks at no payload


def call(method, path, body=None, to=registry):
    """(status, answer) of the registry."""
    request = urllib.request.Request(to.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/vnd.schemaregistry.v1+json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as r:
            return r.status, json.loads(r.read() or "null")
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read() or "null")


def rule(kek, key, **params):
    return {"name": "encryptPII", "kind": "TRANSFORM", "type": "ENCRYPT", "mode": "WRITEREAD", "tags": ["PII"], "onFailure": "ERROR,ERROR",
            "params": {"encrypt.kek.name": kek, "encrypt.kms.type": "hcvault", "encrypt.kms.key.id": key, **params}}


def register(topic, kek, key, **params):
    for name, content in (("avsc", SCHEMA), ("rules", {"domainRules": [rule(kek, key, **params)]})):
        with open(os.path.join(folder, f"{topic}.{name}"), "w", encoding="utf-8") as f:
            json.dump(content, f)
    tool("csfle", "schema", "register", f"{topic}-value", "--schema", f"{topic}.avsc", "--rules", f"{topic}.rules")


def records(writer):
    return [{"id": i, "ssn": f"{writer} {i} CANARY", "photo": "\x00\xff" + writer} for i in range(3)]


def theirs(values):
    """As the Python client's peer has bytes."""
    return [{**v, "photo": {"$bytes": base64.b64encode(v["photo"].encode("latin-1")).decode()}} for v in values]


def kafka(topic):
    return ("-b", brokers, "-t", topic, "-q", "-X", f"csfle.allow.kms.hosts={hosts}")


def we_write(topic, values, env, **more):
    return tool("csfle", "produce", *kafka(topic), "-p", "0", stdin="".join(json.dumps(v) + "\n" for v in values), env=env, **more)


def we_read(topic, env, **more):
    done = tool("csfle", "consume", *kafka(topic), "-o", "beginning", "-e", env=env, **more)
    return [json.loads(line) for line in done.stdout.splitlines()]


def they_write(client, topic, values):
    payloads = client.call("serialize", topic=topic, values=theirs(values))
    carrier.call("produce", bootstrap=brokers, topic=topic, payloads=payloads)


def they_read(client, topic):
    payloads = carrier.call("fetch", bootstrap=brokers, topic=topic)
    need(payloads and not any(b"CANARY" in base64.b64decode(p) for p in payloads), "plaintext in the topic")
    return client.call("deserialize", topic=topic, payloads=payloads)


def wrapped(kek, subject):
    """The DEK's stored material, which is Vault's text."""
    code, dek = call("GET", f"/dek-registry/v1/keks/{kek}/deks/{subject}/versions/latest?algorithm=AES256_GCM")
    need(code == 200, dek)
    text = base64.b64decode(dek["encryptedKeyMaterial"]).decode()
    need(text.startswith("vault:v"), text)
    return text


def both_ways(topic, kek, key, env, first, name="python"):
    """Ours and the named client on one topic, both write and both read; who comes first makes KEK and DEK."""
    register(topic, kek, key)
    client = peer(name, env)
    try:
        expect = []
        for turn in range(2):
            writer = first if turn == 0 else ("ours" if first == "theirs" else "theirs")
            values = records(writer)
            expect += values
            if writer == "ours":
                we_write(topic, values, env)
            else:
                they_write(client, topic, values)
            need(we_read(topic, env) == expect, f"we read something else after {writer}")
            need(they_read(client, topic) == theirs(expect), f"they read something else after {writer}")
    finally:
        client.stop()


@tap.case("a KEK that clients use, made by the csfle tool: both clients write and read")
def _():
    both_ways("ours-first", "kek-ours", KEYS["client"], TOKEN, "ours")
    need(wrapped("kek-ours", "ours-first-value").startswith("vault:v1:"), "the material")


@tap.case("a KEK that clients use, made by the Python client: both clients write and read")
def _():
    both_ways("theirs-first", "kek-theirs", KEYS["client"], TOKEN, "theirs")
    plain = vault.root.secrets.transit.decrypt_data("cards", wrapped("kek-theirs", "theirs-first-value"))["data"]["plaintext"]
    need(len(base64.b64decode(plain)) >= 32, "no key in it")


@tap.case("the same with the JavaScript client, with a token and with an AppRole")
def _():
    both_ways("js-theirs", "kek-js-theirs", KEYS["client"], TOKEN, "theirs", "js")
    role = vault.role("clients")
    both_ways("js-ours", "kek-js-ours", KEYS["client"], {"VAULT_APPROLE_ROLE_ID": role["approle.role.id"], "VAULT_APPROLE_SECRET_ID": role["approle.secret.id"]}, "ours", "js")


@tap.case("ENC-95: the same with a key on a mount of several segments, and an AppRole for both clients")
def _():
    role = vault.role("clients")
    env = {"VAULT_APPROLE_ROLE_ID": role["approle.role.id"], "VAULT_APPROLE_SECRET_ID": role["approle.secret.id"]}
    both_ways("deep", "kek-deep", KEYS["deep"], env, "theirs")


@tap.case("the same with a Vault behind TLS, whose authority the environment names")
def _():
    global hosts
    tls = bed.Vault(tls=True)
    key = tls.key("cards")
    tls.policy("clients", "transit/encrypt/cards", "transit/decrypt/cards")
    hosts += f",127.0.0.1:{tls.port}"
    both_ways("tls", "kek-tls", key, {"VAULT_CACERT": tls.ca, "VAULT_TOKEN": vault.keep(tls.token("clients"))}, "ours")
    tls.server.stop()


@tap.case("a shared KEK: the registry asks Vault, as an AppRole; the clients have no credentials at all")
def _():
    for first, name in (("ours", "python"), ("theirs", "js")):
        tool("csfle", "kek", "create", f"shared-{first}", "--kms-type", "hcvault", "--kms-key-id", KEYS["shared"], "--shared")
        both_ways(f"shared-{first}", f"shared-{first}", KEYS["shared"], NOBODY, first, name)
        text = wrapped(f"shared-{first}", f"shared-{first}-value")
        need(vault.root.secrets.transit.decrypt_data("shared", text)["data"]["plaintext"], "not Vault's")


@tap.case("clients without a token, or with one that may not, neither write nor read, and no plaintext is in the topic")
def _():
    need("no credentials" in tool("csfle", "consume", *kafka("ours-first"), "-o", "beginning", "-e", env=NOBODY, code=7).stderr, "another reason")
    we_read("ours-first", {"VAULT_TOKEN": vault.token("registry")}, code=4)
    register("denied", "kek-denied", KEYS["client"])
    done = we_write("denied", records("ours"), {"VAULT_TOKEN": vault.token("registry")}, code=4)
    need("permission denied" in done.stderr and "403" in done.stderr, done.stderr)
    done = tool("csfle", "consume", *kafka("denied"), "-o", "beginning", "-e", env=TOKEN)
    need(done.stdout == "", done.stdout)


@tap.case("the registry's refusal by Vault is a 403 of its own, and says whose")
def _():
    call("POST", "/dek-registry/v1/keks", {"name": "not-mine", "kmsType": "hcvault", "kmsKeyId": KEYS["client"], "shared": True})
    code, answer = call("POST", "/dek-registry/v1/keks/not-mine/deks", {"subject": "s", "algorithm": "AES256_GCM"})
    need(code == 403 and "permission denied" in answer["message"] and "hcvault" in answer["message"], f"{code} {answer}")


@tap.case("after rotation in Vault rewrap-deks gives vault:v2:, and everything stays readable without the old version")
def _():
    transit = vault.root.secrets.transit
    for name, kek, topic, env in (("cards", "kek-theirs", "theirs-first", TOKEN), ("shared", "shared-ours", "shared-ours", NOBODY)):
        old = wrapped(kek, topic + "-value")
        before = we_read(topic, env)
        transit.rotate_key(name)
        tool("rewrap-deks", "-X", f"csfle.allow.kms.hosts={vault.url}", registry.url, kek, env=env)
        new = wrapped(kek, topic + "-value")
        need(old.startswith("vault:v1:") and new.startswith("vault:v2:"), (old, new))
        need(transit.decrypt_data(name, old)["data"]["plaintext"] == transit.decrypt_data(name, new)["data"]["plaintext"], "another key")
        transit.update_key_configuration(name, min_decryption_version=2)
        need(before and we_read(topic, env) == before, "something else is read")
        transit.update_key_configuration(name, min_decryption_version=1)


@tap.case("AB-8: a rule that leads to a host which the client does not list sends nothing there, and nothing is written")
def _():
    register("evil", "kek-evil", f"{elsewhere.url}/transit/keys/cards")
    done = we_write("evil", records("ours"), TOKEN, code=8)
    need("csfle.allow.kms.hosts" in done.stderr and "csfle.allow.plaintext" not in done.stderr and not elsewhere.seen, f"{elsewhere.seen} {done.stderr}")
    register("evil-alternate", "kek-alternate", f"{elsewhere.url}/transit/keys/cards", **{"encrypt.alternate.kms.key.ids": f"{elsewhere.url}/transit/keys/other"})
    we_write("evil-alternate", records("ours"), TOKEN, code=8)
    need(not elsewhere.seen, elsewhere.seen)
    need(tool("csfle", "consume", *kafka("evil"), "-o", "beginning", "-e", env=TOKEN).stdout == "", "something was written")


@tap.case("AB-7 AB-8: nor does the registry for a shared KEK, whatever its kmsProps say")
def _():
    for name, props in (("evil-1", {}), ("evil-2", {"csfle.allow.kms.hosts": elsewhere.url}), ("evil-3", {"token.id": "theirs"}),
                        ("evil-4", {"encrypt.alternate.kms.key.ids": f"{elsewhere.url}/transit/keys/other"})):
        call("POST", "/dek-registry/v1/keks", {"name": name, "kmsType": "hcvault", "kmsKeyId": f"{elsewhere.url}/transit/keys/cards", "kmsProps": props, "shared": True})
        code, answer = call("POST", f"/dek-registry/v1/keks/{name}/deks", {"subject": "s", "algorithm": "AES256_GCM"})
        need(code == 500 and "csfle.allow.kms.hosts" in answer["message"] and not elsewhere.seen, f"{code} {answer} {elsewhere.seen}")


@tap.case("AB-7: a KEK cannot have the registry log in elsewhere, or in another namespace; calls that begin at once share one login")
def _():
    proxy = bench.FaultProxy(vault.url)
    second = start_registry(proxy.url)
    try:
        key = KEYS["shared"].replace(vault.url, proxy.url)
        kek = {"name": "k", "kmsType": "hcvault", "kmsKeyId": key, "shared": True, "kmsProps": {"approle.mount": "theirs", "namespace": "theirs"}}
        need(call("POST", "/dek-registry/v1/keks", kek, second)[0] == 200, "no KEK")
        proxy.fault(bench.slow(0.5))
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            made = list(pool.map(lambda i: call("POST", "/dek-registry/v1/keks/k/deks", {"subject": f"s{i}", "algorithm": "AES256_GCM"}, second)[0], range(12)))
        need(made == [200] * 12, made)
        asked = [r.path for r in proxy.seen]
        need(asked.count("/v1/auth/corp/ar/login") == 1 and asked.count("/v1/transit/encrypt/shared") == 12 and not any("theirs" in path for path in asked), asked)
        need(not any("X-Vault-Namespace" in r.headers for r in proxy.seen), "a namespace")
    finally:
        second.stop()


@tap.case("ENC-102: no token, secret id or plaintext is in what the tools and the registry said")
def _():
    need(registry.stop() == 0, "exit code of the registry")
    with open(registry_log, encoding="utf-8", errors="replace") as f:
        log = f.read()
    vault.clean(log)
    vault.clean(said)
    need("CANARY" not in log, "plaintext in the registry's log")


carrier.stop()
broker.stop()
tap.done(13)
