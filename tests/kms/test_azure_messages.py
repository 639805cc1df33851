#!/usr/bin/env python3
"""
Messages whose data keys a Key Vault wraps: the csfle tool and the official Python and JavaScript clients with their own Azure drivers on
either end, the KEK used by clients and, shared, by the registry. All ask for *.vault.azure.net and login.microsoftonline.com; a proxy leads them to the suite's
servers, so that nobody needs other settings than in production.
"""
# needs: azure azure-server oidc js
import os
import sys

import bench

bench.inside("azure")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "azure"))
import bed as beds  # noqa: E402
import jwt  # noqa: E402
import messages  # noqa: E402
from azure.keyvault.keys.crypto import EncryptionAlgorithm  # noqa: E402
from bed import NAME, SECRET, TENANT  # noqa: E402
from bench import need  # noqa: E402

tap = bench.Tap()
bed = beds.Bed()
OAEP = EncryptionAlgorithm.rsa_oaep_256
VAULT = f"https://{NAME}/keys/"
UNREADABLE = 7  # exit code of csfle consume: some records failed
SAVE = {"encrypt.azure.key.version.save": "true"}
THERE = {"https_proxy": bed.tunnel.url}


def identity(client):
    return {**THERE, "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": client, "AZURE_CLIENT_SECRET": SECRET}


OURS, NOBODY = identity("app"), {}
m = messages.Messages("azure-kms", identity("registry"), ("-X", f"csfle.kms.ssl.ca.location={bed.cert}"))
PLAIN = ["-X", f"csfle.kms.ssl.ca.location={bed.cert}"]
m.options = PLAIN
theirs = m.peer(sys.executable, {**THERE, "REQUESTS_CA_BUNDLE": bed.cert}, {"tenant.id": TENANT, "client.id": "app", "client.secret": SECRET})
without = m.peer(sys.executable, NOBODY)
js = m.js_peer({**THERE, "NODE_EXTRA_CA_CERTS": bed.cert}, {"tenant.id": TENANT, "client.id": "app", "client.secret": SECRET})
m.carrier = theirs
print(f"# {theirs.version}; {js.version}")


def case(name):
    def decorate(function):
        bed.reset()
        return tap.case(name)(function)
    return decorate


def opens(name, version, wrapped):
    """What the SDK makes of it."""
    return bed.sdk(name, version).decrypt(OAEP, wrapped).plaintext


def callers():
    """Who the tokens were for that the vault has seen."""
    return {jwt.decode(r.headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})["client_id"] for r in bed.vault.seen if "Authorization" in r.headers}


@case("a KEK that clients use, made by the csfle tool, with a version in its key id: both clients write and read")
def _():
    version = bed.made("cards")
    m.register("ours-first", "kek-ours", f"{VAULT}cards/{version}")
    m.both_ways("ours-first", theirs, OURS, "ours")
    need(opens("cards", version, m.dek("kek-ours", "ours-first-value")[0]), "the SDK does not open it")
    need(callers() == {"app"} and set(bed.tunnel.asked) == {f"{NAME}:443", "login.microsoftonline.com:443"}, (callers(), bed.tunnel.asked))


@case("a KEK that clients use, made by the Python client, without a version: both clients write and read")
def _():
    m.register("theirs-first", "kek-theirs", VAULT + "cards")
    m.both_ways("theirs-first", theirs, OURS, "theirs")


@case("a KEK that clients use, made by the JavaScript client, and one made by the csfle tool: both write and read")
def _():
    version = bed.made("scripts")
    for first, key in (("theirs", VAULT + "scripts"), ("ours", f"{VAULT}scripts/{version}")):
        m.register(f"js-{first}", f"kek-js-{first}", key)
        m.both_ways(f"js-{first}", js, OURS, first)


@case("without a saved version a rotation of the key leaves messages unreadable, and the error says so")
def _():
    bed.made("turning")
    m.register("turning", "kek-turning", VAULT + "turning")
    m.we_write("turning", messages.records("ours"), OURS)
    bed.keys.rotate_key("turning")
    m.said = ""
    m.we_read("turning", OURS, code=UNREADABLE)
    need("BadParameter" in m.said and VAULT + "turning" in m.said, m.said)


@case("the version is saved where the KEK says so: both clients write and read, before and after a rotation of the key")
def _():
    for first in ("ours", "theirs"):
        version = bed.made(f"saved-{first}")
        m.kek(f"kek-saved-{first}", f"{VAULT}saved-{first}", SAVE, shared=False)
        m.register(f"saved-{first}", f"kek-saved-{first}", f"{VAULT}saved-{first}")
        m.both_ways(f"saved-{first}", theirs, OURS, first)
        wrapped = m.dek(f"kek-saved-{first}", f"saved-{first}-value")[0]
        need(wrapped[:42] == f"azure:v1:{version}:".encode() and opens(f"saved-{first}", version, wrapped[42:]), wrapped[:42])
        newer = bed.keys.rotate_key(f"saved-{first}").properties.version
        need(len(m.we_read(f"saved-{first}", OURS)) == 6 and len(m.they_read(theirs, f"saved-{first}")) == 6, "read less")
        m.register(f"later-{first}", f"kek-saved-{first}", f"{VAULT}saved-{first}")
        m.both_ways(f"later-{first}", theirs, OURS, first)
        need(m.dek(f"kek-saved-{first}", f"later-{first}-value")[0][:42] == f"azure:v1:{newer}:".encode(), "not the newer version")


@case("the version is saved where our client's configuration says so, and the Python client reads it")
def _():
    version = bed.made("configured")
    m.options = PLAIN + ["-X", "encrypt.azure.key.version.save=true"]
    m.register("configured", "kek-configured", VAULT + "configured")
    m.both_ways("configured", theirs, OURS, "ours")
    m.options = PLAIN
    need(m.dek("kek-configured", "configured-value")[0][:42] == f"azure:v1:{version}:".encode(), "no version in front")
    bed.keys.rotate_key("configured")
    need(len(m.we_read("configured", OURS)) == 6, "read less")


@case("a shared KEK: the registry asks the vault as itself, the clients have no credentials at all")
def _():
    for first, save in (("ours", {}), ("theirs", SAVE)):
        name = topic = kek = f"shared-{first}"
        version = bed.made(name)
        m.kek(kek, VAULT + name, save)
        m.register(topic, kek, VAULT + name)
        m.both_ways(topic, without, NOBODY, first)
        wrapped, plain = m.dek(kek, topic + "-value")
        need(bool(save) == wrapped.startswith(b"azure:v1:") and opens(name, version, wrapped[42 if save else 0:]) == plain, "the registry gave out another key than it stored")
    need(callers() == {"registry"}, callers())


@case("kek rotate brings data keys to the newest version of the key, as the client and, shared, as the registry; old messages stay readable")
def _():
    for kek, topic, key, env, reader in (("kek-saved-ours", "saved-ours", "saved-ours", OURS, theirs), ("shared-theirs", "shared-theirs", "shared-theirs", NOBODY, without)):
        newest = bed.keys.rotate_key(key).properties.version
        before = m.dek(kek, topic + "-value")[0]
        m.tool("kek", "rotate", kek, *PLAIN, env=env)
        after = m.dek(kek, topic + "-value")[0]
        need(newest.encode() not in before and after[:42] == f"azure:v1:{newest}:".encode() and opens(key, newest, after[42:]), after[:42])
        need(len(m.we_read(topic, env)) == 6 and len(m.they_read(reader, topic)) == 6, "read less")


@case("a shared KEK that brings an application of its own is wrapped as that; one that only names one is not")  # AB-7
def _():
    m.kek("brought", VAULT + "cards", {"tenant.id": TENANT, "client.id": "app", "client.secret": SECRET})
    code, dek = m.call("POST", "/dek-registry/v1/keks/brought/deks", {"subject": "s", "algorithm": "AES256_GCM"})
    need(code == 200 and callers() == {"app"}, f"{code} {callers()}")
    bed.reset()
    m.kek("named", VAULT + "cards", {"tenant.id": TENANT, "client.id": "app"})
    code, dek = m.call("POST", "/dek-registry/v1/keks/named/deks", {"subject": "s", "algorithm": "AES256_GCM"})
    need(code == 200 and callers() == {"registry"}, f"{code} {callers()}")


@case("a registry with the identity of its machine, of which a KEK can choose no other")  # AB-7
def _():
    imds = bench.FaultProxy(None)
    imds.check(bed.metadata)
    log = os.path.join(m.folder, "vm.log")
    registry = messages.programs.Registry(bench.REGISTRY, log=log, args=("--dev", "--port", "0", "-X", f"csfle.kms.ssl.ca.location={bed.cert}"),
                                          env=bench.bare_env({**THERE, "AZURE_POD_IDENTITY_AUTHORITY_HOST": imds.url}))
    m.registry, other = registry, m.registry
    try:
        for name, props in (("plain", {}), ("choosing", {"client.id": "vm-2"})):
            bed.reset()
            m.kek(name, VAULT + "cards", props)
            code, dek = m.call("POST", f"/dek-registry/v1/keks/{name}/deks", {"subject": "s", "algorithm": "AES256_GCM"})
            need(code == 200 and callers() == {"vm"}, f"{dek} {callers()}")
    finally:
        m.registry = other
        need(registry.stop() == 0, "exit code")
        imds.close()
    with open(log, encoding="utf-8") as f:
        need("eyJ" not in f.read(), "a token in the log")


@case("a shared KEK whose key is disabled, unknown or not for the registry: 403, 500, 403 in the vault's words")  # DEK-140
def _():
    bed.made("locked")
    locked = VAULT + "locked/" + bed.keys.update_key_properties("locked", enabled=False).properties.version
    for i, (key, props, http, text) in enumerate(((locked, {}, 403, "not allowed on a disabled key"), (VAULT + "none", {}, 500, "KeyNotFound"),
                                                  (VAULT + "cards", {"tenant.id": TENANT, "client.id": "nobody", "client.secret": SECRET}, 403, "does not have keys"))):
        m.kek(f"refused-{i}", key, props)
        code, answer = m.call("POST", f"/dek-registry/v1/keks/refused-{i}/deks", {"subject": "s", "algorithm": "AES256_GCM"})
        need(code == http and text in answer["message"] and "azure-kms" in answer["message"] and key in answer["message"], f"{code} {answer}")
        need(SECRET not in answer["message"], "the secret")


@case("a KEK that leads to a host of somebody else's: refused by registry and client, and no token is asked for")  # AB-8
def _():
    asked = len(bed.tunnel.asked)
    for i, key in enumerate(("https://kv-crm.vault.azure.net.evil.example/keys/cards", "https://169.254.169.254/keys/cards", f"https://127.0.0.1:{bed.vault.port}/keys/cards")):
        m.kek(f"astray-{i}", key)
        code, answer = m.call("POST", f"/dek-registry/v1/keks/astray-{i}/deks", {"subject": "s", "algorithm": "AES256_GCM"})
        need(code == 500 and "csfle.allow.kms.hosts" in answer["message"], f"{code} {answer}")
        m.register(f"astray-{i}", f"mine-{i}", key)
        need("csfle.allow.kms.hosts" in m.we_write(f"astray-{i}", messages.records("ours"), OURS, code=8).stderr, "refused otherwise")
    need(len(bed.tunnel.asked) == asked and not bed.vault.seen and not bed.login.seen, bed.tunnel.asked[asked:])


@case("who may not use the key neither writes nor reads, and nothing is written in clear")
def _():
    foreign = identity("nobody")
    m.we_read("ours-first", foreign, code=4)
    m.register("denied", "kek-denied", VAULT + "cards")
    done = m.we_write("denied", messages.records("ours"), foreign, code=4)
    need("403" in done.stderr and "does not have keys" in done.stderr, done.stderr)
    need(m.we_read("denied", OURS) == [], "something was written")


@case("no key, token, secret or plaintext is in what the tools and the registry said")  # ENC-102
def _():
    for peer in (theirs, without, js):
        peer.stop()
    text = m.stop()
    for secret in (SECRET, "eyJ", "Bearer ", messages.CANARY):
        need(secret not in text, f"'{secret[:12]}...' was printed")


tap.done(14)
