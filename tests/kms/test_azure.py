#!/usr/bin/env python3
"""
azure-kms against what others wrote: Microsoft's SDK on the other side of each wrap, a Key Vault on Microsoft's generated server codec
(tests/kms/azure), oidc-provider as the token service (tests/kms/oidc), and the official Python client with its own Azure driver.

The vault looks at every token: signature by the published keys, issuer, audience, expiry; what it knows of keys and permissions is ours,
as the service documents it. Proxies stand in front of both, count requests and make faults.
"""
# needs: azure azure-server oidc
import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse

import bench

bench.inside("azure")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "azure"))
import bed as beds  # noqa: E402
import jwt  # noqa: E402
from azure.identity import CertificateCredential, ClientSecretCredential  # noqa: E402
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm  # noqa: E402
from bed import NAME, SECRET, TENANT  # noqa: E402
from bench import need  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: E402

tap = bench.Tap()
bed = beds.Bed()
vault, login, keys, folder = bed.vault, bed.login, bed.keys, bed.folder
OTHER_SECRET = "nobody's secret"
MATERIAL = bytes(range(34))
NAMED = f"https://{beds.OTHER_NAME}:{vault.port}"
forger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
elsewhere = bench.FaultProxy(None)  # where nothing may ever arrive
elsewhere.check(lambda r: (200, b'{"value":"AAAA","access_token":"x","expires_in":3600}'))

CRM, V1 = f"{vault.url}/keys/crm", bed.made("crm")
PINNED = f"{CRM}/{V1}"
OAEP, WRAP = EncryptionAlgorithm.rsa_oaep_256, KeyWrapAlgorithm.rsa_oaep_256
WRAPPED = bed.sdk("crm", V1).encrypt(OAEP, MATERIAL).ciphertext


def made(name):
    """A new key: its id without a version, and its version."""
    return f"{vault.url}/keys/{name}", bed.made(name)


# ---- our side

HOSTS = {"csfle.allow.kms.hosts": f"127.0.0.1:{vault.port}"}
APP = {"tenant.id": TENANT, "client.id": "app", "client.secret": SECRET, **HOSTS}
AUTHORITY = {"AZURE_AUTHORITY_HOST": login.url}
secrets = {SECRET, OTHER_SECRET, "certificate password", urllib.parse.quote_plus(SECRET), base64.b64encode(MATERIAL).decode().rstrip("="), beds.IDENTITY_HEADER}


def run(op, data, key_id=None, props=None, env=None, **more):
    """A run of kms_driver, whose error holds no secret: none of those configured and no token that a server saw."""
    r = bench.driver(op, "azure-kms", key_id or PINNED, data, APP if props is None else props, AUTHORITY if env is None else env, ca=bed.cert, **more)
    for proxy in (vault, login):
        for seen in proxy.seen:
            secrets.update(t for t in (seen.headers.get("Authorization", "").removeprefix("Bearer "),) if t)
            secrets.update(v for n, v in urllib.parse.parse_qsl(seen.body.decode("latin-1")) if n in ("client_assertion", "client_secret"))
    for secret in secrets:
        need(not any(secret[i:i + 16] in r.err for i in range(max(1, len(secret) - 15))), f"the error holds a secret, or a piece of it: {r.err}")
    return r


def wrap(data=MATERIAL, key_id=None, **how):
    return run("wrap", data, key_id, **how)


def unwrap(data, key_id=None, **how):
    return run("unwrap", data, key_id, **how)


def good(result, out=None):
    need(result.ok and (out is None or result.out == out), result.err or "another plaintext")
    return result.out


def bad(result, status, http, *texts):
    need((result.status, result.http) == (status, http) and all(t in result.err for t in texts), result.err or "it worked")


def fresh():
    for p in (vault, login, elsewhere):
        p.reset()


def case(name):
    def decorate(function):
        fresh()
        return tap.case(name)(function)
    return decorate


def asked(proxy):
    return [f"{r.method} {r.path.split('?')[0].replace(TENANT, 'T')}" for r in proxy.seen]


TOKEN = "POST /T/oauth2/v2.0/token"
# ---- both directions


@case("what our driver wraps the SDK unwraps, at all sizes of key material")  # ENC-89
def _():
    for size in (18, 34, 66):
        material = os.urandom(size)
        wrapped = good(wrap(material))
        need(len(wrapped) == 256, len(wrapped))
        need(bed.sdk("crm", V1).decrypt(OAEP, wrapped).plaintext == material, "decrypt")
        need(bed.sdk("crm", V1).unwrap_key(WRAP, wrapped).key == material, "unwrapKey")
    body = json.loads(vault.seen[-1].body)
    need(set(body) == {"alg", "value"} and body["alg"] == "RSA-OAEP-256" and "=" not in body["value"], body)


@case("what the SDK wraps our driver unwraps: by the service, and with RSA of its own")  # ENC-89
def _():
    there = bed.sdk("crm", V1)
    here = CryptographyClient.from_jwk({"kid": PINNED, "kty": "RSA", "key_ops": ["encrypt", "wrapKey"], "n": (k := keys.get_key("crm", V1).key).n, "e": k.e})
    for wrapped in (there.encrypt(OAEP, MATERIAL).ciphertext, there.wrap_key(WRAP, MATERIAL).encrypted_key,
                    here.encrypt(OAEP, MATERIAL).ciphertext, here.wrap_key(WRAP, MATERIAL).encrypted_key):
        good(unwrap(wrapped), MATERIAL)


@case("a key id without a version is resolved first, to the newest; a version keeps what was wrapped before a rotation")  # ENC-91
def _():
    crm, v1 = made("turning")
    old = good(wrap(key_id=crm))
    need(asked(vault) == ["GET /keys/turning", f"POST /keys/turning/{v1}/encrypt"], asked(vault))
    v2 = keys.rotate_key("turning").properties.version
    need(bed.sdk("turning", v2).decrypt(OAEP, good(wrap(key_id=crm))).plaintext == MATERIAL, "not the newest version")
    bad(unwrap(old, crm), "DECRYPT", 400, "BadParameter")
    good(unwrap(old, f"{crm}/{v1}"), MATERIAL)


@case("encrypt.azure.key.version.save puts the version in front, and unwrapping looks for it whatever the setting")
def _():
    crm, v1 = made("saved")
    for how in ({"props": {**APP, "encrypt.azure.key.version.save": "TRUE"}}, {"registry": {"encrypt.azure.key.version.save": "true"}}):
        for key_id in (crm, f"{crm}/{v1}"):
            saved = good(wrap(key_id=key_id, **how))
            need(saved[:42] == f"azure:v1:{v1}:".encode() and bed.sdk("saved", v1).decrypt(OAEP, saved[42:]).plaintext == MATERIAL, saved[:42])
    v2 = keys.rotate_key("saved").properties.version
    for key_id in (crm, f"{crm}/{v1}", f"{crm}/{v2}"):
        good(unwrap(saved, key_id), MATERIAL)
    fresh()
    bad(unwrap(saved.replace(v1.encode(), b"../" * 10 + b"ab"), crm), "DECRYPT", 0, "32 hex digits")
    need(not vault.seen, asked(vault))


# ---- credentials


@case("client secret: four members of the form, and one token for many calls")  # ENC-88
def _():
    good(unwrap(WRAPPED, count=5), MATERIAL)
    need(asked(login) == [TOKEN] and len(vault.seen) == 5, asked(login))
    form = dict(urllib.parse.parse_qsl(login.seen[0].body.decode(), keep_blank_values=True))
    need(form == {"client_id": "app", "client_secret": SECRET, "scope": "https://vault.azure.net/.default", "grant_type": "client_credentials"}, form)


@case("environment: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, also where the properties are not complete")
def _():
    env = {**AUTHORITY, "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": "app", "AZURE_CLIENT_SECRET": SECRET}
    good(unwrap(WRAPPED, props=HOSTS, env=env), MATERIAL)
    good(unwrap(WRAPPED, props={**HOSTS, "tenant.id": "other"}, env=env), MATERIAL)
    bad(unwrap(WRAPPED, props=HOSTS, env={**env, "AZURE_CLIENT_SECRET": OTHER_SECRET}), "UNAUTHENTICATED", 401, "invalid_client", "token", CRM)
    good(unwrap(WRAPPED, env={**env, "AZURE_CLIENT_SECRET": OTHER_SECRET}), MATERIAL)  # the properties come first


@case("workload identity: the federated token goes as client_assertion, and the file is read again for the next token")
def _():
    path = os.path.join(folder, "federated")

    def write(text):
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(text + "\n")
        os.rename(path + ".new", path)

    env = {**AUTHORITY, "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": "pod", "AZURE_FEDERATED_TOKEN_FILE": path}
    write(bed.assertion(1))
    good(unwrap(WRAPPED, props=HOSTS, env=env, count=3), MATERIAL)
    form = dict(urllib.parse.parse_qsl(login.seen[0].body.decode()))
    need(len(login.seen) == 1 and form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" and "client_secret" not in form, form)
    # the service takes an assertion once: a second token needs the file's next content
    bad(unwrap(WRAPPED, props=HOSTS, env=env), "UNAUTHENTICATED", 401, "invalid_client")
    write(bed.assertion(2))
    fresh()
    vault.check(lambda r: write(bed.assertion(3)) or (401, b'{"error":{"code":"Unauthorized","message":"expired"}}') if len(vault.seen) == 2 else None)
    good(unwrap(WRAPPED, props=HOSTS, env=env, count=2), MATERIAL)
    need(len(login.seen) == 2 and len(vault.seen) == 3, asked(login))
    for wrong in (bed.assertion(4, signer=forger), bed.assertion(5, exp=int(time.time()) - 60), bed.assertion(6, aud="https://other"), "no.jwt.this"):
        write(wrong)
        r = unwrap(WRAPPED, props=HOSTS, env=env)
        need(r.status in ("UNAUTHENTICATED", "DECRYPT") and r.http in (400, 401), r.err)
    bad(unwrap(WRAPPED, props=HOSTS, env={**env, "AZURE_FEDERATED_TOKEN_FILE": path + ".none"}), "CONFIG", 0, path + ".none")


@case("certificate: an assertion of its own for every token, with and without a password; not another's key")
def _():
    env = {**AUTHORITY, "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": "certified", "AZURE_CLIENT_CERTIFICATE_PATH": bed.certificate}
    for _ in range(2):  # the service takes an assertion once
        good(unwrap(WRAPPED, props=HOSTS, env=env, count=2), MATERIAL)
    need(len(login.seen) == 2 and b"client_secret" not in login.seen[0].body, asked(login))
    locked = os.path.join(folder, "locked.pem")
    subprocess.run(["openssl", "pkcs8", "-topk8", "-in", bed.certificate, "-out", locked, "-passout", "pass:certificate password"], check=True)
    with open(locked, "a", encoding="ascii") as out, open(bed.certificate + ".crt", encoding="ascii") as f:
        out.write(f.read())
    good(unwrap(WRAPPED, props=HOSTS, env={**env, "AZURE_CLIENT_CERTIFICATE_PATH": locked, "AZURE_CLIENT_CERTIFICATE_PASSWORD": "certificate password"}), MATERIAL)
    bad(unwrap(WRAPPED, props=HOSTS, env={**env, "AZURE_CLIENT_CERTIFICATE_PATH": locked}), "CONFIG", 0, locked, "password")
    bad(unwrap(WRAPPED, props=HOSTS, env={**env, "AZURE_CLIENT_CERTIFICATE_PATH": bed.cert}), "CONFIG", 0, bed.cert, "RSA")
    stranger = os.path.join(folder, "stranger.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=app", "-keyout", stranger, "-out", stranger + ".crt"], check=True,
                   stderr=subprocess.DEVNULL)
    with open(stranger, "a", encoding="ascii") as out, open(stranger + ".crt", encoding="ascii") as f:
        out.write(f.read())
    bad(unwrap(WRAPPED, props=HOSTS, env={**env, "AZURE_CLIENT_CERTIFICATE_PATH": stranger}), "UNAUTHENTICATED", 401, "invalid_client")


imds = bench.FaultProxy(None)


def fresh_imds(*faults):
    fresh()
    imds.reset()
    imds.check(bed.metadata)
    imds.fault(*faults)


VM = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": imds.url}


@case("managed identity of a machine: system's, user's by AZURE_CLIENT_ID or client.id; one token for many calls")
def _():
    for env, props, client in ((VM, HOSTS, None), ({**VM, "AZURE_CLIENT_ID": "vm-2"}, HOSTS, "vm-2"), (VM, {**HOSTS, "client.id": "vm-2"}, "vm-2")):
        fresh_imds()
        good(unwrap(WRAPPED, props=props, env=env, count=3), MATERIAL)
        need(len(imds.seen) == 1 and not login.seen and len(vault.seen) == 3, asked(imds))
        need(dict(urllib.parse.parse_qsl(imds.seen[0].path.split("?")[1])).get("client_id") == client, imds.seen[0].path)
    bad(unwrap(WRAPPED, props=HOSTS, env={**VM, "AZURE_CLIENT_ID": "stranger"}), "UNAUTHENTICATED", 400, "Identity not found")


@case("managed identity: what metadata asks to try again is tried again; where there is none the error says what may be set")
def _():
    for code in (404, 410, 429, 500):
        fresh_imds(bench.status(code, b"{}"))
        good(unwrap(WRAPPED, props=HOSTS, env=VM), MATERIAL)
        need(len(imds.seen) == 2, f"{code}: {asked(imds)}")
    with socket.socket() as nobody:  # who does not listen
        nobody.bind(("127.0.0.1", 0))
        env = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": f"http://127.0.0.1:{nobody.getsockname()[1]}"}
        bad(unwrap(WRAPPED, props=HOSTS, env=env), "CONFIG", 0, "no credentials found", "tenant.id", "workload identity", "managed identity")


@case("managed identity of App Service: IDENTITY_ENDPOINT with IDENTITY_HEADER")
def _():
    fresh_imds()
    env = {"IDENTITY_ENDPOINT": imds.url + "/msi/token", "IDENTITY_HEADER": beds.IDENTITY_HEADER}
    good(unwrap(WRAPPED, props=HOSTS, env=env, count=2), MATERIAL)
    need(asked(imds) == ["GET /msi/token"], asked(imds))
    secrets.add("an identity header that was guessed")
    bad(unwrap(WRAPPED, props=HOSTS, env={**env, "IDENTITY_HEADER": "an identity header that was guessed"}), "FORBIDDEN", 403, CRM, "token")


@case("with Microsoft's own names and no list of hosts: vault and login of the public cloud")
def _():
    env = {"https_proxy": bed.tunnel.url}
    props = {k: v for k, v in APP.items() if k not in HOSTS}
    good(unwrap(good(wrap(key_id=f"https://{NAME}/keys/crm", props=props, env=env)), f"https://{NAME}/keys/crm/{V1}", props=props, env=env), MATERIAL)
    need(set(bed.tunnel.asked) == {f"{NAME}:443", "login.microsoftonline.com:443"}, bed.tunnel.asked)


@case("the order: client secret, certificate, workload identity, managed identity")
def _():
    path = os.path.join(folder, "order")
    with open(path, "w", encoding="ascii") as f:
        f.write(bed.assertion(20))
    every = {**AUTHORITY, **VM, "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": "app", "AZURE_CLIENT_SECRET": SECRET, "AZURE_FEDERATED_TOKEN_FILE": path,
             "AZURE_CLIENT_CERTIFICATE_PATH": bed.certificate}
    fresh_imds()
    good(unwrap(WRAPPED, props=HOSTS, env=every), MATERIAL)
    need(b"client_secret=" in login.seen[0].body and not imds.seen, "not the secret")
    fresh_imds()
    good(unwrap(WRAPPED, props=HOSTS, env={**every, "AZURE_CLIENT_ID": "certified", "AZURE_CLIENT_SECRET": ""}), MATERIAL)
    need(b"client_assertion=" in login.seen[0].body and not imds.seen, "not the certificate")
    fresh_imds()
    every.update(AZURE_CLIENT_CERTIFICATE_PATH="", AZURE_CLIENT_SECRET="")
    good(unwrap(WRAPPED, props=HOSTS, env={**every, "AZURE_CLIENT_ID": "pod"}), MATERIAL)
    need(b"client_assertion=" in login.seen[0].body and not imds.seen, "not the federated token")
    fresh_imds()
    good(unwrap(WRAPPED, props=HOSTS, env={**every, "AZURE_CLIENT_ID": "vm-2", "AZURE_FEDERATED_TOKEN_FILE": ""}), MATERIAL)
    need(not login.seen and len(imds.seen) == 1, "not managed identity")


@case("a challenge names the resource of the vault, whose token is asked for and kept")
def _():
    props = {**APP, "csfle.allow.kms.hosts": NAMED.removeprefix("https://")}
    good(unwrap(WRAPPED, f"{NAMED}/keys/crm/{V1}", props=props, count=3), MATERIAL)
    scopes = [dict(urllib.parse.parse_qsl(r.body.decode()))["scope"] for r in login.seen]
    need(scopes == ["https://vault.azure.net/.default", f"{bed.other_resource}/.default"] and len(vault.seen) == 4, scopes)


@case("a challenge that names a resource to which the vault does not belong gets no token")  # AB-8
def _():
    for resource in ("https://management.azure.com", "https://graph.microsoft.com", "https://0.0.1", "https://1", "https://7.0.0.1"):
        fresh()
        head = {"WWW-Authenticate": f'Bearer authorization="{login.url}/{TENANT}", resource="{resource}"'}
        vault.fault(bench.status(401, b'{"error":{"code":"Unauthorized","message":"who"}}', head))
        bad(unwrap(WRAPPED), "POLICY", 0, resource)
        need(len(login.seen) == 1 and len(vault.seen) == 1, asked(login))


# ---- tokens that end


@case("a token is renewed five minutes before its end")
def _():
    brief = {**APP, "client.id": "brief"}
    good(unwrap(WRAPPED, props=brief, count=2), MATERIAL)
    need(len(login.seen) == 1, asked(login))
    fresh()
    good(unwrap(WRAPPED, props=brief, count=2, pause_ms=5500), MATERIAL)
    need(len(login.seen) == 2 and len(vault.seen) == 2, asked(login))


@case("a token that has expired mid-run is refused by the vault: one new token, and the call goes on")
def _():
    def lasting(reply):
        return bench.Reply(reply.code, reply.headers, json.dumps({**json.loads(reply.body), "expires_in": 3600}).encode())
    login.fault(bench.replace(lasting))
    good(unwrap(WRAPPED, props={**APP, "client.id": "instant"}, count=2, pause_ms=3500), MATERIAL)
    need(asked(login) == [TOKEN] * 2 and len(vault.seen) == 3, (asked(login), asked(vault)))


@case("a forged token is refused, and a second one is the last")
def _():
    real = jwt.decode(bed.token("https://vault.azure.net/.default", "app").token, options={"verify_signature": False})

    def forged(signer, **other):
        token = jwt.encode({**real, **other}, signer, algorithm="RS256", headers={"kid": "signing", "typ": "at+jwt"})
        return bench.status(200, json.dumps({"access_token": token, "expires_in": 3600, "token_type": "Bearer"}))
    none = jwt.encode(real, None, algorithm="none")
    good_one = bed.token("https://vault.azure.net/.default", "nobody").token.split(".")
    swapped = ".".join([good_one[0], base64.urlsafe_b64encode(json.dumps(real).encode()).decode().rstrip("="), good_one[2]])
    raw = [bench.status(200, json.dumps({"access_token": t, "expires_in": 3600})) for t in (none, swapped)]
    for fault in (forged(forger), *raw):
        fresh()
        login.fault(fault, fault)
        bad(unwrap(WRAPPED), "UNAUTHENTICATED", 401, "Unauthorized", CRM)
        need(len(login.seen) == 2 and len(vault.seen) == 2, asked(login))


@case("a token for another audience is refused")
def _():
    other = bed.token("https://management.azure.com/.default", "app").token
    login.fault(*[bench.status(200, json.dumps({"access_token": other, "expires_in": 3600}))] * 2)
    bad(unwrap(WRAPPED), "UNAUTHENTICATED", 401, "AKV10022: Invalid audience")


@case("unknown tenant and client, and a wrong secret: refused once, in the service's words")
def _():
    for props, http, text in (({"tenant.id": "elsewhere"}, 400, "AADSTS90002"), ({"client.id": "stranger"}, 401, "invalid_client"),
                              ({"client.secret": OTHER_SECRET}, 401, "invalid_client")):
        fresh()
        bad(unwrap(WRAPPED, props={**APP, **props}), "UNAUTHENTICATED", http, text, "azure-kms", CRM, "token")
        need(len(login.seen) == 1 and not vault.seen, asked(login))


# ---- refusals of the vault


@case("wrong key, garbage, unknown key and version, disabled key, no permission: each once, with its verdict and the vault's words")
def _():
    other, v = made("other")
    made("locked")
    locked = f"{vault.url}/keys/locked/{keys.update_key_properties('locked', enabled=False).properties.version}"
    for op, data, key_id, props, status, http, texts in (
            ("unwrap", WRAPPED, f"{other}/{v}", APP, "DECRYPT", 400, ("BadParameter", "decrypt")),
            ("unwrap", b"garbage", PINNED, APP, "DECRYPT", 400, ("BadParameter",)),
            ("unwrap", WRAPPED[:-1] + bytes([WRAPPED[-1] ^ 1]), PINNED, APP, "DECRYPT", 400, ("BadParameter",)),
            ("unwrap", WRAPPED, f"{vault.url}/keys/none/{v}", APP, "KEY_GONE", 404, ("KeyNotFound",)),
            ("unwrap", WRAPPED, f"{CRM}/{v}", APP, "KEY_GONE", 404, ("KeyNotFound",)),
            ("wrap", MATERIAL, f"{vault.url}/keys/none", APP, "KEY_GONE", 404, ("KeyNotFound", "get key")),
            ("wrap", MATERIAL, locked, APP, "KEY_GONE", 403, ("Forbidden", "encrypt is not allowed on a disabled key")),
            ("unwrap", WRAPPED, locked, APP, "KEY_GONE", 403, ("decrypt is not allowed on a disabled key",)),
            ("wrap", MATERIAL, PINNED, {**APP, "client.id": "nobody"}, "FORBIDDEN", 403, ("does not have keys encrypt permission",)),
            ("wrap", b"x" * 191, PINNED, APP, "DECRYPT", 400, ("BadParameter",))):
        fresh()
        bad(run(op, data, key_id, props=props), status, http, "azure-kms", key_id, *texts)
        need(len(vault.seen) == 1 and len(login.seen) == 1, f"{key_id}: {asked(vault)}")


# ---- faults


@case("throttled: Retry-After is waited for, three tries are made, and a long Retry-After is none")  # ENC-99
def _():
    busy = b'{"error":{"code":"Throttled","message":"too many requests"}}'
    vault.fault(bench.status(429, busy, {"Retry-After": "1"}))
    r = unwrap(WRAPPED)
    good(r, MATERIAL)
    need(r.seconds >= 1 and len(vault.seen) == 2, r.seconds)
    fresh()
    vault.fault(bench.status(429, busy), bench.status(429, busy))
    good(unwrap(WRAPPED), MATERIAL)
    fresh()
    vault.fault(*[bench.status(429, busy)] * 4)
    bad(unwrap(WRAPPED), "THROTTLED", 429, "Throttled", "too many requests")
    need(len(vault.seen) == 3 and len(login.seen) == 1, asked(vault))
    fresh()
    vault.fault(bench.status(429, busy, {"Retry-After": "3000"}))
    bad(unwrap(WRAPPED), "THROTTLED", 429)
    need(len(vault.seen) == 1, asked(vault))


@case("errors that pass are tried again, of vault and token service alike; others are not")  # ENC-99
def _():
    for proxy in (vault, login):
        for code in (408, 429, 500, 502, 503, 504):
            fresh()
            proxy.fault(*[bench.status(code, b"<html>upstream</html>")] * 2)
            good(unwrap(WRAPPED), MATERIAL)
            need(len(proxy.seen) == 3, f"{code}: {asked(proxy)}")
        for code in (400, 403, 409, 418, 501):
            fresh()
            proxy.fault(bench.status(code, b'{"error":{"code":"No","message":"never"}}'))
            r = unwrap(WRAPPED)
            need(not r.ok and r.http == code and "never" in r.err and len(proxy.seen) == 1, f"{code}: {r.err}")


@case("no answer, and an answer cut off, end in time and are tried again as far as that is safe")
def _():
    for proxy in (vault, login):
        fresh()
        proxy.fault(*[bench.stall()] * 3)
        r = unwrap(WRAPPED, timeout_ms=1500)
        need(r.status == "TIMEOUT" and r.seconds < 30, r)
        fresh()
        proxy.fault(bench.cut(60), bench.cut(250))  # inside the head, inside the body
        good(unwrap(WRAPPED), MATERIAL)
        fresh()
        proxy.fault(bench.garbage(), bench.garbage(), bench.garbage())
        bad(unwrap(WRAPPED), "UNAVAILABLE", 0)
        need(len(proxy.seen) == 3, asked(proxy))


@case("an answer without end is cut off")
def _():
    for proxy in (vault, login):
        fresh()
        proxy.fault(*[bench.endless()] * 3)
        r = unwrap(WRAPPED)
        need(not r.ok and r.status != "TIMEOUT" and len(proxy.seen) <= 3, r)


@case("malformed answers are refused")
def _():
    for body in (b"", b"{", b"null", b"[]", b'{"value":7}', b'{"value":""}', b'{"value":"%%%"}', b'{"kid":"x"}', b"\xff\xfe"):
        fresh()
        vault.fault(bench.status(200, body))
        bad(unwrap(WRAPPED), "UNAVAILABLE", 0, "answer has no value")
    for body in (b"", b"{", b"{}", b'{"access_token":""}', b'{"access_token":1}', b'{"access_token":"a\\r\\nX: y"}', b'{"token":"x"}'):
        fresh()
        login.fault(bench.status(200, body))
        r = unwrap(WRAPPED)
        need(r.status in ("UNAVAILABLE", "CONFIG") and not vault.seen, f"{body}: {r.err} {asked(vault)}")
    for kid in ('"https://kv/keys/crm"', '"https://kv/keys/crm/../../x"', "7", '""'):
        fresh()
        vault.fault(bench.status(200, b'{"key":{"kid":' + kid.encode() + b"}}"))
        bad(wrap(key_id=CRM), "UNAVAILABLE", 0, "key.kid")
        need(len(vault.seen) == 1, asked(vault))


@case("no redirect is followed: of the vault, the token service, metadata")  # AB-8
def _():
    for proxy, how in ((vault, {}), (login, {}), (imds, {"props": HOSTS, "env": VM})):
        fresh_imds()
        proxy.fault(*[bench.redirect(elsewhere.url + "/keys/x")] * 3)
        r = unwrap(WRAPPED, **how)
        need(not r.ok and r.http == 307 and len(proxy.seen) == 1, f"{r.err} {asked(proxy)}")
        need(not elsewhere.seen, asked(elsewhere))


@case("what a service repeats of the request is in no error")  # ENC-102
def _():
    vault.check(lambda r: (400, json.dumps({"error": {"code": r.headers["Authorization"], "message": f"refused {r.headers['Authorization']} with {r.body.decode()}"}}).encode()))
    bad(wrap(), "DECRYPT", 400)
    login.check(lambda r: (400, json.dumps({"error": "invalid_request", "error_description": "cannot read " + r.body.decode()}).encode()))
    bad(wrap(), "UNAUTHENTICATED", 400)
    login.check(lambda r: (400, json.dumps({"error": "invalid_request", "error_description": f"cannot read {SECRET}"}).encode()))
    bad(wrap(), "UNAUTHENTICATED", 400)


# ---- where credentials may go


@case("a key id that leads elsewhere is refused before any request, whatever the registry says of allowed hosts")  # AB-8
def _():
    away = f"https://127.0.0.1:{elsewhere.port}/keys/crm/{V1}"
    for key_id in (away, f"https://vault.azure.net.evil.example/keys/crm/{V1}", f"https://169.254.169.254/keys/crm/{V1}", f"https://kv.vault.azure.net.:443/keys/crm/{V1}",
                   f"https://[::ffff:169.254.169.254]/keys/crm/{V1}", f"https://localhost:{vault.port}/keys/crm/{V1}", f"http://127.0.0.1:{vault.port}/keys/crm/{V1}"):
        fresh()
        r = unwrap(WRAPPED, key_id, registry={"csfle.allow.kms.hosts": f"127.0.0.1:{elsewhere.port}"})
        need(r.status in ("POLICY", "CONFIG") and not vault.seen and not elsewhere.seen and not login.seen, f"{key_id}: {r.err} {asked(login)}")
    bad(unwrap(WRAPPED, away), "POLICY", 0, "csfle.allow.kms.hosts", f"127.0.0.1:{elsewhere.port}")
    without = {k: v for k, v in APP.items() if k not in HOSTS}
    bad(unwrap(WRAPPED, props=without), "POLICY", 0, "csfle.allow.kms.hosts")  # by default only Microsoft's
    need(not vault.seen, asked(vault))


@case("a vault whose certificate nobody trusts gets nothing")
def _():
    r = bench.driver("unwrap", "azure-kms", PINNED, WRAPPED, APP, AUTHORITY)
    need(not r.ok and r.http == 0 and not vault.seen and not login.seen, r.err)


@case("Microsoft's own credentials get their tokens from the same service for the same secret and certificate")
def _():
    how = {"authority": bed.issuer, "disable_instance_discovery": True, "connection_verify": bed.cert}
    for credential in (ClientSecretCredential(TENANT, "app", SECRET, **how), CertificateCredential(TENANT, "certified", bed.certificate, **how)):
        need(bed.sdk("crm", V1, credential).decrypt(OAEP, good(wrap())).plaintext == MATERIAL, "another plaintext")


tap.done(31)
