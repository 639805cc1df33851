#!/usr/bin/env python3
"""
alicloud-kms against the vendor's own client: the same call is the same request to the byte, what one wraps the other unwraps. No server of
Alibaba's installs, so alicloud/cloud.py stands in its place; it verifies what both send by an implementation of its own.
"""
# needs: alicloud
import os
import subprocess
import sys

import bench

PYTHON = os.path.join(bench.fetch("alicloud"), "bin/python")
if os.path.abspath(sys.executable) != PYTHON:
    os.execv(PYTHON, [PYTHON, *sys.argv])

import base64  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
import urllib.parse  # noqa: E402

from alibabacloud_credentials.models import CredentialModel  # noqa: E402
from alibabacloud_credentials.utils import parameter_helper  # noqa: E402
from alibabacloud_kms20160120.client import Client  # noqa: E402
from alibabacloud_kms20160120.models import DecryptRequest, EncryptRequest  # noqa: E402
from alibabacloud_tea_openapi import utils_models as open_api  # noqa: E402
from alibabacloud_tea_openapi.utils import Utils  # noqa: E402
from darabonba.runtime import RuntimeOptions  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "alicloud"))
import cloud as bed  # noqa: E402
from bench import need  # noqa: E402

tap = bench.Tap()
folder = bench.temporary("alicloud")
cloud = bed.Cloud()
proxy = cloud.proxy
runner = bed.User(cloud, "runner")
session = bed.User(cloud, "session", token="CAISxwJ1q6Ft5B2y/+fSj7=", seconds=3600)
reader = bed.User(cloud, "reader", actions=("kms:Decrypt",))
KEY, SECOND = cloud.key("08ec3bb9-034f-485b-b1cd-3459baa889c7", alias="csfle"), cloud.key("key-hzz630494463ejqjx0001", alias="team-a/code_1")
ROLE = f"acs:ram::{bed.ACCOUNT}:role/csfle"
cloud.roles[ROLE] = ""
MATERIAL = b"\xfb\xff\xbe" + bytes(range(7, 38))  # its base64 has + and /
HERE = {"ALICLOUD_KMS_ENDPOINT": cloud.url, "ALICLOUD_KMS_STS_ENDPOINT": cloud.url, "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
said = []  # every error of the suite


def name_of(key):
    return f"{bed.REGION}/" + urllib.parse.quote(key, safe="")


def run(op, data, key=KEY, props=None, env=None, **more):
    result = bench.driver(op, "alicloud-kms", name_of(key), data, props=runner.props if props is None else props, env=HERE if env is None else env, **more)
    said.append(result.err)
    return result


def wrap(data=MATERIAL, **more):
    return run("wrap", data, **more)


def unwrap(data, **more):
    return run("unwrap", data, **more)


def good(result, out=None):
    need(result.ok and (out is None or result.out == out), result.err or "other bytes came out")
    return result.out


def bad(result, status, http, *texts):
    need((result.status, result.http) == (status, http), f"expected {status} http={http}, got: {result.err or 'success'}")
    for text in texts if status in ("POLICY", "TIMEOUT") else ("alicloud-kms", *texts):
        need(text in result.err, f"'{text}' is not in: {result.err}")


def fresh(*faults):
    proxy.reset()
    proxy.fault(*faults)
    cloud.requests.clear()


def actions():
    return [r[0] for r in cloud.requests]


class Fixed:
    """Credentials for the vendor's client that name no provider: what it would add is telemetry."""

    def __init__(self, user):
        self.user = user

    def get_credential(self):
        return CredentialModel(access_key_id=self.user.id, access_key_secret=self.user.secret, security_token=self.user.token, type="sts" if self.user.token else "access_key")


def sdk(user, own=True):
    """own: with the client's own handling of credentials."""
    if own:
        config = open_api.Config(access_key_id=user.id, access_key_secret=user.secret, security_token=user.token, type="sts" if user.token else "access_key")
    else:
        config = open_api.Config(credential=Fixed(user))
    config.endpoint, config.protocol = cloud.url[7:], "http"
    return Client(config)


def sdk_wrap(data, key=KEY, user=runner):
    return sdk(user).encrypt(EncryptRequest(key_id=key, plaintext=base64.b64encode(data).decode())).body.ciphertext_blob.encode()


def sdk_unwrap(blob, user=runner):
    return base64.b64decode(sdk(user).decrypt(DecryptRequest(ciphertext_blob=blob.decode())).body.plaintext)


# ---- the vendor's client


def same_call(user, action, query):
    """The vendor's client makes the call that our driver made last, at the same time and with the same nonce; both requests."""
    ours = proxy.seen[-1]
    before = Utils.get_nonce, Utils.get_timestamp, Utils.get_authorization

    def as_the_others_do(request, *rest):
        """This version of the client signs two headers more, which the service does not ask for and that for Java leaves out: they name the client."""
        return before[2](type("", (), {**vars(request), "headers": {n: v for n, v in request.headers.items() if n not in ("accept", "user-agent")}}), *rest)
    Utils.get_nonce, Utils.get_timestamp = staticmethod(lambda: ours.headers["x-acs-signature-nonce"]), staticmethod(lambda: ours.headers["x-acs-date"])
    Utils.get_authorization = staticmethod(as_the_others_do)
    cloud.nonces.clear()
    try:
        sdk(user, own=False).call_api(open_api.Params(action=action, version="2016-01-20", protocol="HTTPS", pathname="/", method="POST", auth_type="AK", style="RPC",
                                                      req_body_type="formData", body_type="json"), open_api.OpenApiRequest(query=query), RuntimeOptions())
    finally:
        Utils.get_nonce, Utils.get_timestamp, Utils.get_authorization = map(staticmethod, before)
    return ours, proxy.seen[-1]


def compare(ours, theirs):
    need(ours is not theirs and (ours.method, ours.path, ours.body) == (theirs.method, theirs.path, theirs.body), f"{ours.path}\n{theirs.path}")
    mine, other = ({n.lower(): v for n, v in r.headers.items() if n.lower().startswith("x-acs-") or n.lower() in ("host", "authorization", "content-type")} for r in (ours, theirs))
    need(mine == other, f"{mine}\n{other}")


@tap.case("ENC-98: Encrypt and Decrypt are the vendor's requests to the byte, signature included, with and without a session token")
def _():
    for user in (runner, session):
        for key in (KEY, "alias/csfle", cloud.arn(KEY), "alias/team-a/code_1"):
            fresh()
            blob = good(wrap(key=key, props=user.props))
            compare(*same_call(user, "Encrypt", {"KeyId": key, "Plaintext": base64.b64encode(MATERIAL).decode()}))
            fresh()
            good(unwrap(blob, key=key, props=user.props), MATERIAL)
            compare(*same_call(user, "Decrypt", {"CiphertextBlob": blob.decode()}))


@tap.case("the vendor's client sends the material in the query too: its Encrypt has an empty body")
def _():
    fresh()
    sdk_wrap(MATERIAL)
    need("Plaintext=" in proxy.seen[0].path and proxy.seen[0].body == b"" and "EncryptionContext" not in proxy.seen[0].path, proxy.seen[0])


@tap.case("what our driver wraps the vendor's client unwraps, and the reverse, whatever its length")
def _():
    for size in (1, 18, 34, 66, 1000):
        plain = os.urandom(size)
        for user in (runner, session):
            blob = good(wrap(plain, props=user.props))
            need(sdk_unwrap(blob, user) == plain, f"{size} bytes")
            good(unwrap(sdk_wrap(plain, user=user), props=user.props), plain)
    blob = good(wrap())
    need(base64.b64decode(blob, validate=True), "wrapped bytes are the text of CiphertextBlob")


@tap.case("control: the service takes no other signature, date, nonce, body or token, whoever sends it")
def _():
    fresh()
    good(wrap())
    sent = proxy.seen[0]

    def code_of(path=sent.path, body=b"", **headers):
        cloud.nonces.clear()
        new = {**dict(sent.headers.items()), **{n.replace("_", "-"): v for n, v in headers.items()}}
        return json.loads(cloud.answer(bench.Request("POST", path, new, body))[1]).get("Code")
    need(code_of() is None, "the request itself is refused")
    for change, code in (({"path": sent.path.replace("KeyId=0", "KeyId=1")}, "SignatureDoesNotMatch"), ({"x_acs_action": "Decrypt"}, "SignatureDoesNotMatch"),
                         ({"x_acs_date": "2020-01-01T00:00:00Z"}, "SignatureDoesNotMatch"), ({"body": b"x"}, "InvalidContentHash"), ({"x_acs_more": "unsigned"}, "IncompleteSignature"),
                         ({"Authorization": ""}, "IncompleteSignature")):
        need(code_of(**change) == code, f"{change}: {code_of(**change)}")
    request = bench.Request("POST", sent.path, dict(sent.headers.items()), b"")
    need(code_of() is None and json.loads(cloud.answer(request)[1]).get("Code") == "SignatureNonceUsed", "a nonce passed twice")


# ---- ways in


@tap.case("an access key: properties, properties below rule.executors._default_.param., the environment; each type by name and by what is there")
def _():
    forms = [(runner.props, {}), ({"rule.executors._default_.param." + n: v for n, v in runner.props.items()}, {}), ({}, runner.env), (session.props, {}), ({}, session.env),
             ({**runner.props, "alicloud.kms.credentialType": "ACCESS-KEY"}, {}), ({**session.props, "alicloud.kms.credentialType": "sts"}, {}),
             ({"alicloud.kms.credentialType": "default"}, runner.env), ({}, {**session.env, "ALICLOUD_KMS_CREDENTIAL_TYPE": "STS"})]
    for props, env in forms:
        fresh()
        good(wrap(props=props, env={**HERE, **env}))
        need(actions() == ["Encrypt"], cloud.requests)
        need(cloud.requests[0][2] in (runner.id, session.id), cloud.requests)


@tap.case("the command line's configuration and the credentials file, in the home folder and elsewhere, by profile")
def _():
    def write(path, text):
        path = os.path.join(folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path
    profiles = {"current": "ak", "profiles": [
        {"name": "ak", "mode": "AK", "access_key_id": runner.id, "access_key_secret": runner.secret},
        {"name": "sts", "mode": "StsToken", "access_key_id": session.id, "access_key_secret": session.secret, "sts_token": session.token},
        {"name": "arn", "mode": "RamRoleArn", "access_key_id": runner.id, "access_key_secret": runner.secret, "ram_role_arn": ROLE, "ram_session_name": "from-config"}]}
    write("cli/.aliyun/config.json", json.dumps(profiles))
    for env, who in (({}, runner.id), ({"ALIBABA_CLOUD_PROFILE": "sts"}, session.id)):
        fresh()
        good(wrap(props={}, env={**HERE, **env, "HOME": os.path.join(folder, "cli")}))
        need([r[2] for r in cloud.requests] == [who], cloud.requests)
    fresh()
    good(wrap(props={}, env={**HERE, "ALIBABA_CLOUD_PROFILE": "arn", "HOME": os.path.join(folder, "cli")}))
    need(actions() == ["AssumeRole", "Encrypt"] and cloud.requests[0][1]["RoleSessionName"] == "from-config", cloud.requests)
    ini = (f"[default]\ntype = access_key\naccess_key_id = {runner.id}\naccess_key_secret = {runner.secret}\n"
           f"[two]\ntype = sts\naccess_key_id = {session.id}\naccess_key_secret = {session.secret}\nsecurity_token = {session.token}\n"
           f"[three]\ntype = ram_role_arn\naccess_key_id = {runner.id}\naccess_key_secret = {runner.secret}\nrole_arn = {ROLE}\nrole_session_name = from-file\n")
    write("java/.alibabacloud/credentials.ini", ini)  # where the vendor's Java and Python libraries look
    write("go/.alibabacloud/credentials", ini)  # and the one for Go
    named = write("elsewhere.ini", ini)
    for env in ({"HOME": os.path.join(folder, "java")}, {"HOME": os.path.join(folder, "go")}, {"ALIBABA_CLOUD_CREDENTIALS_FILE": named}):
        for profile, who in ((None, runner.id), ("two", session.id)):
            fresh()
            good(wrap(props={}, env={**HERE, **env, **({"ALIBABA_CLOUD_PROFILE": profile} if profile else {})}))
            need([r[2] for r in cloud.requests] == [who], cloud.requests)
        fresh()
        good(wrap(props={}, env={**HERE, **env, "ALIBABA_CLOUD_PROFILE": "three"}))
        need(actions() == ["AssumeRole", "Encrypt"] and cloud.requests[0][1]["RoleSessionName"] == "from-file", cloud.requests)


@tap.case("a role: signed as the vendor's library signs it, with every setting; from a key, a session and the environment")
def _():
    fresh()
    good(wrap(props={**runner.props, "alicloud.kms.roleArn": ROLE}))
    p = cloud.requests[0][1]
    need(actions() == ["AssumeRole", "Encrypt"] and (p["RoleSessionName"], p["DurationSeconds"]) == ("alicloud-kms-csfle", "3600"), cloud.requests)
    signed = {k: v for k, v in p.items() if k != "Signature"}
    need(parameter_helper.sign_string(parameter_helper.compose_string_to_sign("POST", signed), runner.secret + "&") == p["Signature"], "the vendor's library signs otherwise")
    need("SecurityToken" not in p and cloud.requests[1][2].startswith("LTAIrole"), cloud.requests)
    strict = ROLE + "-strict"
    cloud.roles[strict] = "ext/1 +2"
    policy = '{"Version":"1","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}'
    settings = {"alicloud.kms.roleArn": strict, "alicloud.kms.externalId": "ext/1 +2", "alicloud.kms.policy": policy, "alicloud.kms.roleSessionName": "me", "alicloud.kms.roleSessionExpiration": "900"}
    names = {"roleArn": "ALICLOUD_KMS_ROLE_ARN", "externalId": "ALICLOUD_KMS_EXTERNAL_ID", "policy": "ALICLOUD_KMS_ROLE_POLICY", "roleSessionName": "ALICLOUD_KMS_ROLE_SESSION_NAME",
             "roleSessionExpiration": "ALICLOUD_KMS_ROLE_SESSION_EXPIRATION"}
    by_env = {names[n.rsplit(".", 1)[1]]: v for n, v in settings.items()}
    for props, env in (({**session.props, **settings}, {}), (session.props, by_env), ({}, {**session.env, **by_env}), ({**session.props, **settings, "alicloud.kms.credentialType": "ram-role-arn"}, {})):
        fresh()
        good(wrap(props=props, env={**HERE, **env}))
        p = cloud.requests[0][1]
        need((p["ExternalId"], p["Policy"], p["RoleSessionName"], p["DurationSeconds"], p["SecurityToken"]) == ("ext/1 +2", policy, "me", "900", session.token), p)
    fresh()
    bad(wrap(props={**runner.props, "alicloud.kms.roleArn": strict}), "FORBIDDEN", 403, "AssumeRole", "NoPermission")
    need(len(proxy.seen) == 1, "tried again")


@tap.case("a role by an OIDC token, from its file, unsigned; as the environment says, and by profile")
def _():
    token = os.path.join(folder, "oidc.jwt")
    with open(token, "w", encoding="ascii") as f:
        f.write("eyJhbGciOi.JSUzI1NiJ9.c2ln\n")
    cloud.secrets.add("eyJhbGciOi.JSUzI1NiJ9")
    cloud.oidc["acs:ram::1:oidc-provider/k8s"] = "eyJhbGciOi.JSUzI1NiJ9.c2ln"
    env = {**HERE, "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/k8s", "ALIBABA_CLOUD_OIDC_TOKEN_FILE": token, "ALIBABA_CLOUD_ROLE_ARN": ROLE}
    fresh()
    good(wrap(props={}, env=env))
    need(actions() == ["AssumeRoleWithOIDC", "Encrypt"], cloud.requests)
    home = os.path.join(folder, "oidc-home")
    os.makedirs(os.path.join(home, ".aliyun"))
    profile = {"name": "p", "mode": "OIDC", "oidc_provider_arn": "acs:ram::1:oidc-provider/k8s", "oidc_token_file": token, "ram_role_arn": ROLE, "role_session_name": "pod"}
    with open(os.path.join(home, ".aliyun/config.json"), "w", encoding="ascii") as f:
        json.dump({"current": "p", "profiles": [profile]}, f)
    ini = os.path.join(folder, "oidc.ini")
    with open(ini, "w", encoding="ascii") as f:
        f.write(f"[default]\ntype = oidc_role_arn\noidc_provider_arn = {profile['oidc_provider_arn']}\noidc_token_file_path = {token}\nrole_arn = {ROLE}\nrole_session_name = pod\n")
    for where in ({"HOME": home}, {"ALIBABA_CLOUD_CREDENTIALS_FILE": ini}):
        fresh()
        good(wrap(props={}, env={**HERE, **where}))
        need(actions() == ["AssumeRoleWithOIDC", "Encrypt"] and cloud.requests[0][1]["RoleSessionName"] == "pod", cloud.requests)
    bad(wrap(props={}, env={**env, "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/other"}), "UNAUTHENTICATED", 400, "AssumeRoleWithOIDC", "AuthenticationFail")
    bad(wrap(props={}, env={**env, "ALIBABA_CLOUD_OIDC_TOKEN_FILE": token + ".none"}), "CONFIG", 0, "OIDC token file")


@tap.case("the RAM role of an instance, from the metadata service at its fixed address")
def _():
    library = os.path.join(folder, "redirect.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, os.path.join(bench.TOP, "tests/kms/alicloud/redirect.c")], check=True)
    there = {"ALICLOUD_KMS_ENDPOINT": cloud.url, "LD_PRELOAD": library, "REDIRECT_PORT": str(cloud.port)}
    for env in ({}, {"ALIBABA_CLOUD_ECS_METADATA": "instance-role"}):
        fresh()
        good(wrap(props={}, env={**there, **env}))
        need([r.method for r in proxy.seen] == ["PUT", "GET", "GET", "POST"] and proxy.seen[0].headers["Host"] == "100.100.100.200", [r.path for r in proxy.seen])
    fresh()
    good(wrap(props={}, env=there, count=3))
    need(actions() == ["Encrypt"] * 3 and len(proxy.seen) == 6, [r.path for r in proxy.seen])
    fresh(bench.status(404, "no such thing"))
    bad(wrap(props={}, env=there), "CONFIG", 0, "no credentials found")
    fresh()
    bad(wrap(props={}, env={**there, "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}), "CONFIG", 0, "no credentials found")
    need(not proxy.seen, proxy.seen)


@tap.case("the address of ALIBABA_CLOUD_CREDENTIALS_URI")
def _():
    fresh()
    good(wrap(props={}, env={**HERE, "ALIBABA_CLOUD_CREDENTIALS_URI": cloud.url + "/credentials"}))
    need(actions() == ["Encrypt"] and cloud.requests[0][2].startswith("LTAIuri"), cloud.requests)


@tap.case("wrong secret, unknown key, foreign and expired tokens are UNAUTHENTICATED, a right that lacks FORBIDDEN")
def _():
    old = bed.User(cloud, "old", token="CAISold", seconds=-10)
    for props, code, http in (({**runner.props, "alicloud.kms.accessKeySecret": "another"}, "SignatureDoesNotMatch", 400), ({**runner.props, "alicloud.kms.accessKeyId": "LTAInobody"}, "InvalidAccessKeyId.NotFound", 404),
                              ({**session.props, "alicloud.kms.securityToken": "CAISother"}, "InvalidSecurityToken", 400), (old.props, "InvalidSecurityToken.Expired", 400)):
        fresh()
        bad(wrap(props=props), "UNAUTHENTICATED", http, "Encrypt: HTTP", code)
        need(len(proxy.seen) == 1, "tried again")
        if not old.token == props.get("alicloud.kms.securityToken"):
            bad(wrap(props={**props, "alicloud.kms.roleArn": ROLE}), "UNAUTHENTICATED", http, "AssumeRole: HTTP", code)
    fresh()
    bad(wrap(props=reader.props), "FORBIDDEN", 403, "Forbidden.NoPermission", KEY)
    need(len(proxy.seen) == 1, "tried again")


# ---- sessions


@tap.case("one open driver keeps its role's session, takes a new one five minutes before its end, and when the service refuses it")
def _():
    props = {**runner.props, "alicloud.kms.roleArn": ROLE}
    fresh()
    good(wrap(props=props, count=4))
    need(actions() == ["AssumeRole"] + ["Encrypt"] * 4, actions())
    cloud.session_seconds = 302
    fresh()
    good(wrap(props=props, count=2, pause_ms=3000))
    need(actions() == ["AssumeRole", "Encrypt"] * 2, actions())
    cloud.session_seconds = 3600
    expire = lambda r: setattr(cloud.users[json.loads(r.body)["Credentials"]["AccessKeyId"]], "until", time.time() - 1) or r  # noqa: E731
    fresh(bench.passed(), bench.replace(lambda r: [setattr(u, "until", 0) for u in cloud.users.values() if u.id.startswith("LTAIrole")] and r))
    good(wrap(props=props, count=2))
    need(actions() == ["AssumeRole", "Encrypt", "AssumeRole", "Encrypt"] and len(proxy.seen) == 5, [r.path[:40] for r in proxy.seen])
    fresh(bench.replace(expire), bench.passed(), bench.replace(expire))
    bad(wrap(props=props), "UNAUTHENTICATED", 400, "InvalidSecurityToken.Expired")


# ---- refusals of the service


@tap.case("ENC-98: a ciphertext of another key is refused under an id and an ARN, and not under an alias")
def _():
    other = good(wrap(key=SECOND))
    for key in (KEY, cloud.arn(KEY)):
        bad(unwrap(other, key=key), "DECRYPT", 0, "wrong key id")
        good(unwrap(good(wrap(key=key)), key=key), MATERIAL)
    good(unwrap(other, key="alias/csfle"), MATERIAL)
    blob = good(wrap())
    for data in (blob[:-4], b"QUxJ", b"junk!", base64.b64encode(base64.b64decode(blob)[:-1] + bytes([base64.b64decode(blob)[-1] ^ 1]))):
        fresh()
        bad(unwrap(data), "DECRYPT", 400, "InvalidParameter", "Decrypt: HTTP 400")
        need(len(proxy.seen) == 1, "tried again")


@tap.case("ENC-99: unknown keys and aliases, and every state of a key that is not Enabled, are KEY_GONE and asked once")
def _():
    blob = good(wrap(key=SECOND))
    for key, code in (("00000000-0000-0000-0000-000000000000", "Forbidden.KeyNotFound"), ("alias/none", "Forbidden.AliasNotFound")):
        fresh()
        bad(wrap(key=key), "KEY_GONE", 404, code, "is not found")
        need(len(proxy.seen) == 1, "tried again")
    for state in ("Disabled", "PendingDeletion", "Unavailable"):
        cloud.keys[SECOND]["state"] = state
        fresh()
        bad(wrap(key=SECOND), "KEY_GONE", 409, f"Rejected.{state}", f"key state is {state}")
        bad(unwrap(blob, key=SECOND), "KEY_GONE", 409, f"Rejected.{state}")
        need(len(proxy.seen) == 2, "tried again")
    cloud.keys[SECOND]["state"] = "Enabled"


# ---- faults on the way


def error(http, code, text="words of the vendor", headers=None):
    return bench.status(http, json.dumps({"RequestId": "r", "Code": code, "Message": text}), headers)


@tap.case("ENC-99: throttled by code or status, and 5xx: three requests at most, Retry-After is waited for, an hour of it is not")
def _():
    for http, code, status in ((400, "Throttling.User", "THROTTLED"), (400, "Throttling", "THROTTLED"), (429, "Throttling.Api", "THROTTLED"), (429, "", "THROTTLED"),
                               (500, "InternalFailure", "UNAVAILABLE"), (502, "", "UNAVAILABLE"), (503, "ServiceUnavailableTemporary", "UNAVAILABLE"), (504, "", "UNAVAILABLE")):
        fresh(error(http, code))
        good(wrap())
        need(len(proxy.seen) == 2, f"{code}: {len(proxy.seen)}")
        nonces = {r.headers["x-acs-signature-nonce"] for r in proxy.seen}
        need(len(nonces) == 2, "a second try with the same nonce, which the service refuses")
        fresh(*[error(http, code)] * 4)
        bad(wrap(), status, http, code, "words of the vendor")
        need(len(proxy.seen) == 3, f"{code}: {len(proxy.seen)}")
        fresh(*[error(http, code)] * 4)
        bad(wrap(props={**runner.props, "alicloud.kms.roleArn": ROLE}), status, http, code, "AssumeRole")
        need(len(proxy.seen) == 3, f"{code}: {len(proxy.seen)}")
    fresh(error(429, "Throttling.User", headers={"Retry-After": "2"}))
    need(wrap().seconds >= 2, "did not wait")
    fresh(error(429, "Throttling.User", headers={"Retry-After": "3600"}))
    bad(wrap(), "THROTTLED", 429)
    need(len(proxy.seen) == 1, len(proxy.seen))


@tap.case("a service that answers nothing is a TIMEOUT within the time that was given")
def _():
    for props in (runner.props, {**runner.props, "alicloud.kms.roleArn": ROLE}):
        fresh(bench.stall(), bench.stall(), bench.stall())
        result = wrap(props=props, timeout_ms=1500)
        bad(result, "TIMEOUT", 0)
        need(result.seconds < 10, result.seconds)
    fresh(bench.slow(1))
    good(wrap(timeout_ms=8000))


@tap.case("AB-14: answers without end, no HTTP, cut off, or not what was asked for are errors")
def _():
    for props in (runner.props, {**runner.props, "alicloud.kms.roleArn": ROLE}):
        fresh(bench.endless())
        result = wrap(props=props)
        need(not result.ok and result.seconds < 30 and len(proxy.seen) == 1, f"{result} {len(proxy.seen)}")
        for fault in (bench.garbage(), bench.cut(10), bench.cut(60)):
            fresh(fault, fault, fault)
            need(not wrap(props=props).ok, "believed")
    for body in (b"", b"[]", b"{}", b"<html>", b'{"CiphertextBlob":7}', b'{"CiphertextBlob":""}', b"\xff\xfe"):
        fresh(bench.status(200, body))
        bad(wrap(), "UNAVAILABLE", 0, "Encrypt:")
    blob = good(wrap())
    for body in (b"", b"{}", b'{"Plaintext":"AAAA"}', b'{"KeyId":"%s"}' % KEY.encode(), b'{"KeyId":"%s","Plaintext":""}' % KEY.encode(), b'{"KeyId":"%s","Plaintext":"%%%%"}' % KEY.encode()):
        fresh(bench.status(200, body))
        bad(unwrap(blob), "DECRYPT" if body in (b"{}", b'{"Plaintext":"AAAA"}') else "UNAVAILABLE", 0, "Decrypt:")
    for body in (b"", b"{}", b'{"Credentials":{}}', b'{"Credentials":{"AccessKeyId":"a"}}', b'{"Credentials":[]}'):
        fresh(bench.status(200, body))
        bad(wrap(props={**runner.props, "alicloud.kms.roleArn": ROLE}), "UNAVAILABLE", 0, "AssumeRole", "no credentials")


@tap.case("AB-8: a redirect is not followed, by the KMS, STS or the credentials address")
def _():
    elsewhere = bench.FaultProxy()
    for how in ({}, {"props": {**runner.props, "alicloud.kms.roleArn": ROLE}}, {"props": {}, "env": {**HERE, "ALIBABA_CLOUD_CREDENTIALS_URI": cloud.url + "/credentials"}}):
        fresh(bench.redirect(elsewhere.url + "/"))
        need(not wrap(**how).ok and len(proxy.seen) == 1 and not elsewhere.seen, f"{len(proxy.seen)} {elsewhere.seen}")
    elsewhere.close()


# ---- where credentials may go


@tap.case("AB-8: endpoints that the registry names lead nowhere, the operator's do")
def _():
    fresh()
    off = {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
    bad(wrap(registry={"alicloud.kms.endpoint": cloud.url}, env=off), "POLICY", 0, "csfle.allow.kms.hosts")
    bad(wrap(registry={"alicloud.kms.endpoint": cloud.url}), "POLICY", 0, "csfle.allow.kms.hosts")
    bad(wrap(registry={"alicloud.kms.stsEndpoint": cloud.url, "alicloud.kms.roleArn": ROLE}), "POLICY", 0, "csfle.allow.kms.hosts")
    need(not proxy.seen, proxy.seen)
    good(wrap(registry={"alicloud.kms.endpoint": cloud.url}, props={**runner.props, "csfle.allow.kms.hosts": cloud.url}, env=off))
    good(wrap(props={**runner.props, "alicloud.kms.endpoint": cloud.url}, env=off))


@tap.case("the vendor's own host names, of the key's region and of STS, over TLS")
def _():
    cert, key = os.path.join(folder, "ali.pem"), os.path.join(folder, "ali.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=aliyuncs.com", "-addext",
                    f"subjectAltName=DNS:kms.{bed.REGION}.aliyuncs.com,DNS:sts.aliyuncs.com", "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    front = bench.FaultProxy(cloud.server.url, tls=(cert, key))
    at = f"127.0.0.1:{front.port}"
    tunnel = bench.Tunnel({f"kms.{bed.REGION}.aliyuncs.com:443": at, "sts.aliyuncs.com:443": at})
    good(wrap(props={**runner.props, "alicloud.kms.roleArn": ROLE}, env={"https_proxy": tunnel.url}, ca=cert))
    need(tunnel.asked == ["sts.aliyuncs.com:443", f"kms.{bed.REGION}.aliyuncs.com:443"], tunnel.asked)
    front.seen.clear()
    bad(wrap(env={"https_proxy": tunnel.url}), "UNAVAILABLE", 0, "certificate")
    need(not front.seen, front.seen)
    front.close()
    tunnel.close()


# ---- secrets


@tap.case("ENC-102: a vendor's message that repeats the request is not passed on")
def _():
    text = base64.b64encode(MATERIAL).decode()
    cloud.secrets |= {text, urllib.parse.quote(text, safe=""), urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""), MATERIAL.hex()}
    for message in (f"Specified signature does not match our calculation. server StringToSign is [x] server CanonicalRequest is [POST\\n/\\nPlaintext={urllib.parse.quote(text, safe='')}]",
                    f"Specified signature is not matched with our calculation. server string to sign is:POST&%2F&Plaintext%3D{text}", f"The specified parameter Plaintext is not valid: {text}",
                    f"bad value {text[4:40]}", f"unknown parameter Plaintext={urllib.parse.quote(text, safe='')}"):
        fresh(error(400, "InvalidParameter", message))
        result = wrap()
        bad(result, "DECRYPT", 400, "InvalidParameter")
        need(text[8:24] not in result.err and "Plaintext=" not in result.err and runner.secret not in result.err, result.err)
    fresh(error(400, "InvalidParameter", f"token {session.token[:18]} is odd"))
    bad(wrap(props=session.props), "DECRYPT", 400, "InvalidParameter")
    need(session.token[:12] not in said[-1], said[-1])
    # STS has the token of a session in what it signs
    props = {**session.props, "alicloud.kms.accessKeySecret": "another", "alicloud.kms.roleArn": ROLE}
    fresh()
    result = wrap(props=props)
    bad(result, "UNAUTHENTICATED", 400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation")
    need("string to sign" not in result.err and "CAIS" not in result.err, result.err)


@tap.case("ENC-102: no key, token or plaintext is in any of these errors")
def _():
    text = "\n".join(said)
    need(len([e for e in said if e]) > 80, "hardly an error was seen")
    for secret in cloud.secrets | {"Plaintext=", "another", "Signature="}:
        need(secret not in text, f"'{secret[:14]}...' is in an error")


proxy.close()
tap.done(22)
