#!/usr/bin/env python3
"""
Messages whose data keys Cloud KMS wraps: the csfle tool and the official Python client on either end, the KEK used by clients and, shared, by
the registry. The Python client cannot be given another address than cloudkms.googleapis.com: a proxy leads it from there to the suite's server.
"""
# needs: gcp gcp-server
import base64
import os
import sys

import bench
import messages

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "gcp"))
import cloud as bed  # noqa: E402
from bench import need  # noqa: E402

tap = bench.Tap()
folder = bench.temporary("gcp")
client, registry, stranger = (bed.Account(folder, n) for n in ("client", "registry", "stranger"))
cloud = bed.Cloud(folder, [client, registry, stranger], {"cards": [client.email], "shared": [registry.email], "brought": [client.email]})
cloud.start_sdk()
HERE = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS": cloud.proxy.url}
OURS, NOBODY = {**HERE, "GOOGLE_APPLICATION_CREDENTIALS": client.file}, {}
m = messages.Messages("gcp-kms", {**HERE, "GOOGLE_APPLICATION_CREDENTIALS": registry.file})
tunnel = bench.Tunnel({"cloudkms.googleapis.com:443": cloud.tls})
python = os.path.join(bench.fetch("gcp"), "bin/python")
# It uses what its properties say, but does not begin without default credentials: it gets some that may nothing.
theirs = m.peer(python, {"https_proxy": tunnel.url, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": cloud.cert, "GOOGLE_APPLICATION_CREDENTIALS": stranger.file}, client.props)
without = m.peer(python, NOBODY)
print("# " + theirs.version)


@tap.case("a KEK that clients use, made by the csfle tool: both clients write and read")
def _():
    m.register("ours-first", "kek-ours", bed.PREFIX + "cards")
    m.both_ways("ours-first", theirs, OURS, "ours")
    need(cloud.sdk("unwrap", "cards", m.dek("kek-ours", "ours-first-value")[0], {"file": client.file}), "Google's client")
    need(set(tunnel.asked) == {"cloudkms.googleapis.com:443"}, tunnel.asked)


@tap.case("a KEK that clients use, made by the Python client: both clients write and read")
def _():
    m.register("theirs-first", "kek-theirs", bed.PREFIX + "cards")
    m.both_ways("theirs-first", theirs, OURS, "theirs")


@tap.case("after a rotation in Cloud KMS old messages stay readable and new data keys are under the new version")
def _():
    cloud.tell("rotate", key=bed.PREFIX + "cards")
    need(m.we_read("theirs-first", OURS) and m.they_read(theirs, "theirs-first"), "nothing is read")
    m.register("rotated", "kek-theirs", bed.PREFIX + "cards")
    m.both_ways("rotated", theirs, OURS, "ours")
    need(m.dek("kek-theirs", "rotated-value")[0][0] == 2, "wrapped under the old version")


@tap.case("a shared KEK: the registry asks Cloud KMS, the clients have no credentials at all")
def _():
    for first in ("ours", "theirs"):
        topic = kek = f"shared-{first}"
        m.kek(kek, bed.PREFIX + "shared")
        m.register(topic, kek, bed.PREFIX + "shared")
        m.both_ways(topic, without, NOBODY, first)
        wrapped, plain = m.dek(kek, topic + "-value")
        need(plain and cloud.sdk("unwrap", "shared", wrapped, {"file": registry.file}, "grpc").endswith(plain), "the registry gave out another key than it stored")


@tap.case("a shared KEK that brings a service account of its own is wrapped with that")
def _():
    m.kek("brought", bed.PREFIX + "brought", client.props)
    code, dek = m.call("POST", "/dek-registry/v1/keks/brought/deks", {"subject": "s", "algorithm": "AES256_GCM"})
    need(code == 200 and dek["encryptedKeyMaterial"], dek)
    need(isinstance(cloud.sdk("unwrap", "brought", base64.b64decode(dek["encryptedKeyMaterial"]), {"file": client.file}), bytes), "not that key")


@tap.case("AB-7 AB-8: a KEK cannot have the registry send an assertion elsewhere, or read a file of its machine")
def _():
    elsewhere = bench.FaultProxy()
    for name, props, says in (("evil-1", {**client.props, "token.uri": elsewhere.url + "/token"}, "csfle.allow.kms.hosts"),
                              ("evil-2", {"credentials.path": registry.file}, "credentials.path"),
                              ("evil-3", {**client.props, "token.uri": elsewhere.url + "/token", "csfle.allow.kms.hosts": elsewhere.url}, "csfle.allow.kms.hosts")):
        m.kek(name, bed.PREFIX + "cards", props)
        code, answer = m.call("POST", f"/dek-registry/v1/keks/{name}/deks", {"subject": "s", "algorithm": "AES256_GCM"})
        need(code == 500 and says in answer["message"] and not elsewhere.seen, f"{code} {answer} {elsewhere.seen}")
    elsewhere.close()


@tap.case("who may not use the key neither writes nor reads, and no plaintext is in the topic")
def _():
    foreign = {**HERE, "GOOGLE_APPLICATION_CREDENTIALS": stranger.file}
    m.we_read("ours-first", foreign, code=4)
    m.register("denied", "kek-denied", bed.PREFIX + "cards")
    done = m.we_write("denied", messages.records("ours"), foreign, code=4)
    need("PERMISSION_DENIED" in done.stderr and "403" in done.stderr, done.stderr)
    need(m.we_read("denied", OURS) == [], "something was written")
    m.kek("not-mine", bed.PREFIX + "cards")
    code, answer = m.call("POST", "/dek-registry/v1/keks/not-mine/deks", {"subject": "s", "algorithm": "AES256_GCM"})
    need(code == 403 and "PERMISSION_DENIED" in answer["message"] and "gcp-kms" in answer["message"], f"{code} {answer}")


@tap.case("ENC-102: no key, token or plaintext is in what the tools and the registry said")
def _():
    for peer in (theirs, without):
        peer.stop()
    text = m.stop()
    for secret in client.secrets() + registry.secrets() + stranger.secrets() + ["eyJ", "ya29.", "Bearer ", messages.CANARY]:
        need(secret not in text, f"'{secret[:12]}...' was printed")


cloud.stop()
tunnel.close()
tap.done(8)
