#!/usr/bin/env python3
"""examples/pkcs11.c, a KMS plug-in over the public interface, against SoftHSM; OpenSC's pkcs11-tool opens what it wraps, and wraps what it opens."""
import base64
import glob
import json
import os
import re
import secrets
import subprocess

import bench
import registry

tap = bench.Tap()
FOLDER = bench.temporary("pkcs11")
EXAMPLE = os.path.join(os.path.dirname(bench.DRIVER), "example_pkcs11")
MODULE = sorted(glob.glob("/usr/lib/*/softhsm/libsofthsm2.so") + glob.glob("/usr/lib/softhsm/libsofthsm2.so"))[0]
SPY = sorted(glob.glob("/usr/lib/*-linux-gnu/pkcs11-spy.so"))[0]
PIN, TOKEN, SSN = "739156", "csfle-token", "078-05-1120"
RECORD = json.dumps({"id": 1, "ssn": SSN}).encode()
os.mkdir(os.path.join(FOLDER, "tokens"))
with open(os.path.join(FOLDER, "softhsm2.conf"), "w", encoding="ascii") as conf:
    conf.write(f"directories.tokendir = {FOLDER}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
ENV = bench.bare_env({"SOFTHSM2_CONF": os.path.join(FOLDER, "softhsm2.conf")})


def run(*argv, data=None, env=None):
    return subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**ENV, **(env or {})}, timeout=60, check=False, preexec_fn=bench.die_with_parent)


def sure(*argv, **more):
    done = run(*argv, **more)
    bench.need(done.returncode == 0, f"{argv}: {done.returncode} {done.stderr.decode()}")
    return done.stdout


def pkcs11_tool(*argv):
    return sure("pkcs11-tool", "--module", MODULE, "--login", "--pin", PIN, "--token-label", TOKEN, *argv)


sure("softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "5678123")
for label, ident in (("kek", "01"), ("other", "02")):
    pkcs11_tool("--keygen", "--key-type", "AES:32", "--label", label, "--id", ident, "--sensitive")


# ---- AES-GCM over nothing but the AES block cipher of somebody else


def token_block(ident):
    def blocks(data):
        source, target = os.path.join(FOLDER, "in"), os.path.join(FOLDER, "out")
        with open(source, "wb") as f:
            f.write(data)
        pkcs11_tool("--encrypt", "--id", ident, "-m", "AES-ECB", "-i", source, "-o", target)
        with open(target, "rb") as f:
            return f.read()
    return blocks


def openssl_block(key):
    return lambda data: sure("openssl", "enc", f"-aes-{len(key) * 8}-ecb", "-nopad", "-K", key.hex(), data=data)


def ghash(h, data):
    h, y = int.from_bytes(h, "big"), 0
    for i in range(0, len(data), 16):
        y ^= int.from_bytes(data[i:i + 16], "big")
        z, v = 0, h
        for bit in range(127, -1, -1):
            z ^= v if y >> bit & 1 else 0
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
        y = z
    return y.to_bytes(16, "big")


def gcm(blocks, iv, text, sealing):
    """(output, tag) of AES-GCM without associated data."""
    count = (len(text) + 15) // 16
    stream = blocks(b"\0" * 16 + b"".join(iv + n.to_bytes(4, "big") for n in range(1, count + 2)))
    out = bytes(a ^ b for a, b in zip(text, stream[32:]))
    sealed = out if sealing else text
    s = ghash(stream[:16], sealed + b"\0" * (-len(sealed) % 16) + b"\0" * 8 + (8 * len(sealed)).to_bytes(8, "big"))
    return out, bytes(a ^ b for a, b in zip(s, stream[16:32]))


def gcm_open(blocks, sealed):
    out, tag = gcm(blocks, sealed[:12], sealed[12:-16], False)
    bench.need(tag == sealed[-16:], "the tag is wrong")
    return out


def gcm_seal(blocks, text):
    iv = secrets.token_bytes(12)
    out, tag = gcm(blocks, iv, text, True)
    return iv + out + tag


# ---- a registry with one contract


class World:
    def __init__(self, key="kek", props=None):
        self.server = bench.start([bench.REGISTRY, "--dev", "--port", "0"], env=ENV, ready=r"^listening on (\S+)")
        self.url = self.server.match.group(1)
        schema = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}, {"name": "ssn", "type": "string", "confluent:tags": ["PII"]}]}
        rule = {"name": "r", "kind": "TRANSFORM", "type": "ENCRYPT", "mode": "WRITEREAD", "tags": ["PII"], "params": {"encrypt.kek.name": "k"}}
        self.call("POST", "/dek-registry/v1/keks", {"name": "k", "kmsType": "pkcs11-kms", "kmsKeyId": key, **({"kmsProps": props} if props else {})})
        self.call("POST", "/subjects/orders-value/versions", {"schema": json.dumps(schema), "ruleSet": {"domainRules": [rule]}})

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.server.stop()

    def call(self, method, path, body=None):
        return registry.good(self.url, method, path, body)

    def material(self):
        return base64.b64decode(self.call("GET", "/dek-registry/v1/keks/k/deks/orders-value")["encryptedKeyMaterial"])

    def put(self, material):
        self.call("POST", "/dek-registry/v1/keks/k/deks", {"subject": "orders-value", "algorithm": "AES256_GCM", "version": 1, "encryptedKeyMaterial": base64.b64encode(material).decode()})

    def example(self, way, data, pin=PIN, module=MODULE, token=TOKEN, env=None):
        done = run(EXAMPLE, way, self.url, module, token, data=data, env={"PKCS11_PIN": pin, **(env or {})})
        bench.need(pin.encode() not in done.stderr and SSN.encode() not in done.stderr, "a secret is shown: " + done.stderr.decode())
        return done

    def encrypt(self, **more):
        done = self.example("encrypt", RECORD, **more)
        bench.need(done.returncode == 0, done.stderr.decode())
        return done.stdout

    def decrypts(self, payload, **more):
        done = self.example("decrypt", payload, **more)
        bench.need(done.returncode == 0 and json.loads(done.stdout) == json.loads(RECORD), done)

    def fails(self, status, *words, way="encrypt", data=RECORD, **more):
        done = self.example(way, data, **more)
        bench.need(done.returncode == 1 and not done.stdout and done.stderr.decode().startswith(status + ":") and all(w in done.stderr.decode() for w in words), done)


def field_of(payload):
    """The sealed ssn of a payload: 00, schema id, id 1, length, text."""
    bench.need(payload[0] == 0 and payload[5] == 2, payload)
    length, at, shift = 0, 6, 0
    while True:
        length |= (payload[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if payload[at - 1] < 128:
            break
    bench.need(len(payload) == at + length // 2, payload)
    return base64.b64decode(payload[at:])


@tap.case("a record goes out under a key in the token and comes back in another process")
def _():
    with World() as w:
        payload = w.encrypt()
        bench.need(SSN.encode() not in payload, payload)
        w.decrypts(payload)
        w.decrypts(w.encrypt())


@tap.case("pkcs11-tool opens the wrapped data key, and with it openssl the field")
def _():
    with World() as w:
        payload = w.encrypt()
        material = gcm_open(token_block("01"), w.material())
        bench.need(material[:2] == b"\x1a\x20" and len(material) == 34, "no AES-256 key in it")
        bench.need(gcm_open(openssl_block(material[2:]), field_of(payload)) == SSN.encode(), "another value")


@tap.case("a data key that pkcs11-tool has wrapped is used for writing and reading")
def _():
    key = secrets.token_bytes(32)
    with World() as w:
        w.put(gcm_seal(token_block("01"), b"\x1a\x20" + key))
        payload = w.encrypt()
        bench.need(gcm_open(openssl_block(key), field_of(payload)) == SSN.encode(), "another value")
        w.decrypts(payload)


@tap.case("the key never leaves the token: nothing asks for its value")
def _():
    log = os.path.join(FOLDER, "spy.log")
    with World() as w:
        w.decrypts(w.encrypt(), module=SPY, env={"PKCS11SPY": MODULE, "PKCS11SPY_OUTPUT": log})
    with open(log, encoding="utf-8", errors="replace") as f:
        text = f.read()
    bench.need("C_DecryptInit" in text and "C_Login" in text and "CKA_VALUE" not in text and "C_WrapKey" not in text, text[-3000:])


@tap.case("wrapped bytes that were changed, or wrapped by another key of the token, are refused")
def _():
    with World() as w:
        payload = w.encrypt()
        good = w.material()
    for bad in (good[:20] + bytes([good[20] ^ 1]) + good[21:], good[:-1] + bytes([good[-1] ^ 1]), b"\0" + good[1:], good[:28], b"x", gcm_seal(token_block("02"), b"\x1a\x20" + b"k" * 32)):
        with World() as w:
            w.put(bad)
            w.fails("DECRYPT", "pkcs11-kms key 'kek'", way="decrypt", data=payload)
            w.fails("DECRYPT", "pkcs11-kms key 'kek'")


@tap.case("a wrong PIN is refused, and tried once however many keys are asked for")
def _():
    log = os.path.join(FOLDER, "pin.log")
    with World(props={"encrypt.alternate.kms.key.ids": "other,kek"}) as w:
        w.fails("UNAUTHENTICATED", "pkcs11-kms key 'kek'", "PIN", pin="000111", module=SPY, env={"PKCS11SPY": MODULE, "PKCS11SPY_OUTPUT": log})
    with open(log, encoding="utf-8", errors="replace") as f:
        bench.need(len(re.findall(r"^\d+: C_Login$", f.read(), re.M)) == 1, "the token was asked more than once")


@tap.case("a key that is not in the token is gone; an alternate one takes its place")
def _():
    with World("nokey") as w:
        w.fails("KEY_GONE", "pkcs11-kms key 'nokey'", "no key in the token has that label")
    with World("nokey", {"encrypt.alternate.kms.key.ids": "other"}) as w:
        w.decrypts(w.encrypt())
        gcm_open(token_block("02"), w.material())


@tap.case("without the token, the module, or the plug-in's settings the error says what is missing")
def _():
    with World() as w:
        w.fails("UNAVAILABLE", "no token with the label", token="elsewhere")
        w.fails("CONFIG", "module cannot be loaded", module="/nowhere/module.so")
        w.fails("CONFIG", "module cannot be loaded", module="/dev/null")


@tap.case("a client without the plug-in says that it has no driver")
def _():
    with World() as w:
        done = run(os.path.join(os.path.dirname(bench.TOOL), "register-deks"), w.url, "orders-value")
        bench.need(done.returncode == 1 and b"no KMS driver supports: pkcs11-kms://kek" in done.stdout + done.stderr, done)


tap.done(9)
