#!/usr/bin/env python3
"""A shared KEK as the official Python client and csfle have it from csfle-registry: over TLS, and not over a plain connection that others can read. AB-7."""
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "support"))
import programs  # noqa: E402

BUILD = os.environ.get("CSFLE_BUILD", os.path.join(TOP, "build", "debug"))
TOOL = os.environ.get("CSFLE_TOOL") or os.path.join(BUILD, "csfle")
SERVER = os.environ.get("CSFLE_REGISTRY") or os.path.join(BUILD, "csfle-registry")
SIOCGIFADDR = 0x8915
SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "ssn", "type": "string", "confluent:tags": ["PII"]}]}
RULE = {"name": "r", "kind": "TRANSFORM", "mode": "WRITEREAD", "type": "ENCRYPT", "tags": ["PII"], "onFailure": "ERROR,ERROR",
        "params": {"encrypt.kek.name": "sh", "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": "k"}}


def need(condition, text):
    if not condition:
        raise programs.Failed(str(text))


def own_address():
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _, name in socket.if_nameindex():
            try:
                address = socket.inet_ntoa(fcntl.ioctl(s, SIOCGIFADDR, struct.pack("256s", name.encode()))[20:24])
            except OSError:
                continue  # it has none
            if not address.startswith("127."):
                return address
    raise programs.Failed("this machine has no address but loopback: a connection that leaves it cannot be tried")


class World:
    def __init__(self, folder):
        self.folder, self.address = folder, own_address()
        key, self.ca, both = (os.path.join(folder, n) for n in ("key.pem", "ca.pem", "both.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", self.ca, "-days", "2",
                        "-subj", "/CN=csfle-registry", "-addext", f"subjectAltName=IP:{self.address}"], check=True, stderr=subprocess.DEVNULL)
        with open(both, "w", encoding="ascii") as out:
            for name in (key, self.ca):
                with open(name, encoding="ascii") as f:
                    out.write(f.read())
        self.registry = programs.Process("csfle-registry", [SERVER, "--dev", "-X", "listeners=http://0.0.0.0:0,https://0.0.0.0:0", "-X", "csfle.anonymous=write",
                                                            "-X", f"ssl.keystore.location={both}"], log=os.path.join(folder, "registry.log"), stdin=subprocess.DEVNULL)
        ports = [self.registry.line(20).rsplit(":", 1)[1] for _ in range(2)]
        self.plain, self.tls, self.near = f"http://{self.address}:{ports[0]}", f"https://{self.address}:{ports[1]}", f"http://127.0.0.1:{ports[0]}"
        python = subprocess.run([os.path.join(TOP, "scripts/fetch"), "python"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        self.python = os.path.join(python, "bin/python")
        programs.tool(TOOL, "kek", "create", "sh", "--kms-type", "local-kms", "--kms-key", "k", "--kms-properties", "secret=the registry's alone", "--shared", "-r", self.near)

    def client(self, url):
        """the official client, which has no secret of its own"""
        env = {k: v for k, v in os.environ.items() if k not in ("LOCAL_SECRET", "INTEROP_SECRET")}
        return programs.Peer("the Python client", [self.python, os.path.join(TOP, "tests/interop/python/peer.py"), url], env={**env, "INTEROP_CA": self.ca},
                             log=os.path.join(self.folder, "peer.log"))


def refused(w):
    """over a plain connection the official client writes nothing, and no key is made"""
    peer = w.client(w.plain)
    peer.call("register", subject="t-value", schema=json.dumps(SCHEMA), rule=RULE)
    try:
        payloads = peer.call("serialize", topic="t", values=[{"ssn": "CANARY"}])
    except programs.Failed as e:
        need("kek sh" in str(e), e)
    else:
        return f"it wrote {payloads}"
    need(json.loads(programs.tool(TOOL, "dek", "list", "sh", "-o", "json", "-r", w.near)) == [], "a key was made")
    peer.stop()


def over_tls(w):
    """over TLS it writes, and reads what it wrote, with keys that only the registry can unwrap"""
    peer = w.client(w.tls)
    w.payloads = peer.call("serialize", topic="t", values=[{"ssn": "078-05-1120"}])
    need(peer.call("deserialize", topic="t", payloads=w.payloads) == [{"ssn": "078-05-1120"}], "what it read")
    peer.stop()


def reader_refused(w):
    """a reader with a plain connection gets an error, not ciphertext"""
    peer = w.client(w.plain)
    try:
        values = peer.call("deserialize", topic="t", payloads=w.payloads)
    except programs.Failed as e:
        need("kek sh" in str(e), e)
    else:
        return f"it read {values}"
    peer.stop()


def own_tool(w):
    """csfle sees the key over TLS, and says what to do where it is refused"""
    said = programs.tool(TOOL, "dek", "describe", "sh", "t-value", "-o", "json", "-r", w.tls, "-X", f"schema.registry.ssl.ca.location={w.ca}")
    need(json.loads(said)["subject"] == "t-value" and '"keyMaterial"' not in said, said)
    run = subprocess.run([TOOL, "dek", "describe", "sh", "t-value", "-r", w.plain], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    need(run.returncode == 4 and "csfle.key.material.over=plain" in run.stderr, f"{run.returncode} {run.stderr}")


TESTS = [refused, over_tls, reader_refused, own_tool]


def main():
    tap = programs.Tap(len(TESTS))
    with tempfile.TemporaryDirectory(prefix="csfle-shared-") as folder:
        world = World(folder)
        try:
            for test in TESTS:
                tap.test(test.__doc__, lambda test=test: test(world))
        finally:
            world.registry.stop()
    return tap.exit_code()


if __name__ == "__main__":
    sys.exit(main())
