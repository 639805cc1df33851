#!/usr/bin/env python3
"""
Messages whose data keys Alibaba Cloud's KMS wraps: the csfle tool on both ends, the KEK used by clients and, shared, by the registry; the vendor's
client unwraps what was stored. The official clients that know this KMS are Java's only.
"""
# needs: alicloud
import os
import sys

import bench

PYTHON = os.path.join(bench.fetch("alicloud"), "bin/python")
if os.path.abspath(sys.executable) != PYTHON:
    os.execv(PYTHON, [PYTHON, *sys.argv])

import base64  # noqa: E402
import urllib.parse  # noqa: E402

from alibabacloud_kms20160120.client import Client  # noqa: E402
from alibabacloud_kms20160120.models import DecryptRequest  # noqa: E402
from alibabacloud_tea_openapi import utils_models as open_api  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "alicloud"))
import cloud as bed  # noqa: E402
import messages  # noqa: E402
from bench import need  # noqa: E402

tap = bench.Tap()
cloud = bed.Cloud()
client, registry, stranger = bed.User(cloud, "client"), bed.User(cloud, "registry"), bed.User(cloud, "stranger", actions=())
CARDS, SHARED = (f"{bed.REGION}/{cloud.key(k, alias=k)}" for k in ("key-of-cards", "key-of-shared"))
ALIAS = f"{bed.REGION}/alias%2Fkey-of-cards"
HERE = {"ALICLOUD_KMS_ENDPOINT": cloud.url, "ALICLOUD_KMS_STS_ENDPOINT": cloud.url, "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
OURS, NOBODY = {**HERE, **client.env}, {}
m = messages.Messages("alicloud-kms", {**HERE, **registry.env})


def sdk_unwrap(blob):
    """The vendor's client."""
    config = open_api.Config(access_key_id=client.id, access_key_secret=client.secret, endpoint=cloud.url[7:], protocol="http")
    return base64.b64decode(Client(config).decrypt(DecryptRequest(ciphertext_blob=blob.decode())).body.plaintext)


def there_and_back(topic, env):
    for writer in ("first", "second"):
        m.we_write(topic, messages.records(writer), env)
    need(m.we_read(topic, env) == messages.records("first") + messages.records("second"), "something else is read")


@tap.case("a KEK that clients use, by key id and by alias; the vendor's client unwraps the data keys")
def _():
    for topic, key in (("by-id", CARDS), ("by-alias", ALIAS)):
        m.register(topic, "kek-" + topic, key)
        there_and_back(topic, OURS)
        need(len(sdk_unwrap(m.dek("kek-" + topic, topic + "-value")[0])) >= 32, "no key in it")


@tap.case("a shared KEK: the registry asks the KMS, the clients have no credentials at all")
def _():
    m.kek("shared", SHARED)
    m.register("shared", "shared", SHARED)
    there_and_back("shared", NOBODY)
    wrapped, plain = m.dek("shared", "shared-value")
    need(plain and sdk_unwrap(wrapped).endswith(plain), "the registry gave out another key than it stored")


@tap.case("a shared KEK that brings an access key, and a role to assume with it, is wrapped with that")
def _():
    role = f"acs:ram::{bed.ACCOUNT}:role/csfle"
    cloud.roles[role] = ""
    cloud.requests.clear()
    m.kek("brought", CARDS, {**client.props, "alicloud.kms.roleArn": role})
    code, dek = m.call("POST", "/dek-registry/v1/keks/brought/deks", {"subject": "s", "algorithm": "AES256_GCM"})
    need(code == 200 and sdk_unwrap(base64.b64decode(dek["encryptedKeyMaterial"])), dek)
    need([r[0] for r in cloud.requests][:2] == ["AssumeRole", "Encrypt"] and cloud.requests[0][2] == client.id, cloud.requests)


@tap.case("AB-7 AB-8: a KEK cannot have the registry's credentials sent elsewhere, or used for a role")
def _():
    elsewhere = bench.FaultProxy()
    for name, props, sent in (("evil-1", {"alicloud.kms.endpoint": elsewhere.url}, True), ("evil-2", {"alicloud.kms.stsEndpoint": elsewhere.url, "alicloud.kms.roleArn": "theirs"}, True),
                              ("evil-3", {**client.props, "alicloud.kms.endpoint": elsewhere.url}, False),
                              ("evil-4", {**client.props, "alicloud.kms.stsEndpoint": elsewhere.url, "alicloud.kms.roleArn": "theirs"}, False),
                              ("evil-5", {**client.props, "alicloud.kms.endpoint": elsewhere.url, "csfle.allow.kms.hosts": elsewhere.url}, False)):
        cloud.requests.clear()
        m.kek(name, SHARED, props)
        code, answer = m.call("POST", f"/dek-registry/v1/keks/{name}/deks", {"subject": "s", "algorithm": "AES256_GCM"})
        need(not elsewhere.seen, elsewhere.seen)
        if sent:  # those are left out: the registry's own key and endpoint, and no role
            need(code == 200 and {(r[0], r[2]) for r in cloud.requests} == {("Encrypt", registry.id), ("Decrypt", registry.id)}, f"{code} {answer} {cloud.requests}")
        else:
            need(code == 500 and "csfle.allow.kms.hosts" in answer["message"] and not cloud.requests, f"{code} {answer}")
    elsewhere.close()


@tap.case("who may not use the key neither writes nor reads; the registry's refusal is a 403 that says whose")
def _():
    foreign = {**HERE, **stranger.env}
    m.we_read("by-id", foreign, code=4)
    m.register("denied", "kek-denied", CARDS)
    done = m.we_write("denied", messages.records("ours"), foreign, code=4)
    need("Forbidden.NoPermission" in done.stderr and "403" in done.stderr, done.stderr)
    need(m.we_read("denied", OURS) == [], "something was written")
    registry.actions.clear()
    m.kek("not-mine", SHARED)
    code, answer = m.call("POST", "/dek-registry/v1/keks/not-mine/deks", {"subject": "s", "algorithm": "AES256_GCM"})
    need(code == 403 and "Forbidden.NoPermission" in answer["message"] and "alicloud-kms" in answer["message"], f"{code} {answer}")


@tap.case("ENC-102: no key, token or plaintext is in what the tools and the registry said, though the material is in the URL")
def _():
    sent = {r.path.split("Plaintext=")[1] for r in cloud.proxy.seen if "Plaintext=" in r.path}
    sent |= {urllib.parse.unquote(s) for s in sent}
    need(len(sent) > 4, "the material is not in the URL: this case can go")
    text = m.stop()
    for secret in cloud.secrets | sent | {"Plaintext", "Signature=", messages.CANARY}:
        need(secret not in text, f"'{secret[:12]}...' was printed")


cloud.proxy.close()
tap.done(6)
