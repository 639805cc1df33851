#!/usr/bin/env python3
"""Certificates of one's own for KMS calls: csfle.kms.ssl.* in client, tools and server, and what Vault's settings say, against TLS servers that insist."""
import json
import os
import ssl
import subprocess

import bench
import registry

tap = bench.Tap()
FOLDER = bench.temporary("tls")
TOKEN, PASSWORD = "hvs.tlsTokenOfTheTest", "passw0rd-of-the-key"
MATERIAL = b"0123456789abcdef0123456789abcdef"


def openssl(*argv):
    subprocess.run(["openssl", *argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=FOLDER)


def path(name):
    return os.path.join(FOLDER, name)


def authority(name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def leaf(name, ca, extension):
    with open(path(f"{name}.ext"), "w", encoding="ascii") as f:
        f.write(extension)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")


authority("ca")
authority("stranger")
leaf("server", "ca", "subjectAltName=IP:127.0.0.1\n")
leaf("client", "ca", "extendedKeyUsage=clientAuth\n")
leaf("impostor", "stranger", "extendedKeyUsage=clientAuth\n")
openssl("pkcs8", "-topk8", "-in", "client.key", "-out", "client-locked.key", "-passout", f"pass:{PASSWORD}")


def vault(request):
    if request.headers.get("X-Vault-Token") != TOKEN:
        return 403, b'{"errors":["permission denied"]}'
    return registry.transit(request)


def server(wants_client):
    proxy = bench.FaultProxy(tls=(path("server.pem"), path("server.key")))
    proxy.listener.tls.verify_mode = ssl.CERT_REQUIRED if wants_client else ssl.CERT_NONE
    if wants_client:
        proxy.listener.tls.load_verify_locations(path("ca.pem"))
    proxy.check(vault)
    return proxy


plain, strict = server(False), server(True)
ENVIRONMENT = {"VAULT_TOKEN": TOKEN}


def key(proxy):
    return proxy.url + "/transit/keys/cards"


def wrap(proxy, props=None, env=None, registry=None, ca=None):
    proxy.seen.clear()
    return bench.driver("wrap", "hcvault", key(proxy), MATERIAL, props={"csfle.allow.kms.hosts": proxy.url[8:], **(props or {})}, env={**ENVIRONMENT, **(env or {})},
                        registry=registry, ca=ca)


def good(result):
    bench.need(result.ok and result.out.startswith(b"vault:v1:"), result)


def bad(proxy, result, status, *words):
    bench.need(not result.ok and result.status == status and all(w in result.err for w in words), result)
    bench.need(not proxy.seen, "a request went out")
    bench.need(TOKEN not in result.err and PASSWORD not in result.err, "a secret is shown")


@tap.case("a private authority is trusted only when it is named, for Vault alone or for every KMS")
def _():
    bad(plain, wrap(plain), "UNAVAILABLE", "not trusted")
    bad(plain, wrap(plain, {"ssl.ca.location": path("stranger.pem")}), "UNAVAILABLE", "not trusted")
    bad(plain, wrap(plain, env={"VAULT_CACERT": path("stranger.pem")}), "UNAVAILABLE", "not trusted")
    bad(plain, wrap(plain, ca=path("stranger.pem")), "UNAVAILABLE", "not trusted")
    good(wrap(plain, {"ssl.ca.location": path("ca.pem")}))
    good(wrap(plain, env={"VAULT_CACERT": path("ca.pem")}))
    good(wrap(plain, ca=path("ca.pem")))


@tap.case("Vault's own setting goes before the one of every KMS, the property before the environment")
def _():
    good(wrap(plain, {"ssl.ca.location": path("ca.pem")}, {"VAULT_CACERT": path("stranger.pem")}, ca=path("stranger.pem")))
    bad(plain, wrap(plain, {"ssl.ca.location": path("stranger.pem")}, {"VAULT_CACERT": path("ca.pem")}, ca=path("ca.pem")), "UNAVAILABLE", "not trusted")


@tap.case("no setting turns verification off, and a file that is not there is no reason to trust the system")
def _():
    for env in ({"VAULT_SKIP_VERIFY": "true"}, {"VAULT_CACERT": ""}):
        bad(plain, wrap(plain, env=env), "UNAVAILABLE", "not trusted")
    bad(plain, wrap(plain, {"ssl.ca.location": path("nowhere.pem")}), "CONFIG", "cannot be read")


@tap.case("a KEK names no file of this machine")
def _():
    for name in ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location"):
        bad(plain, wrap(plain, {"ssl.ca.location": path("ca.pem")}, registry={name: path("client.pem")}), "CONFIG", name)


@tap.case("a server that wants a certificate gets the operator's, and turns others away")
def _():
    ca = {"ssl.ca.location": path("ca.pem")}
    bad(strict, wrap(strict, ca), "UNAVAILABLE")
    bad(strict, wrap(strict, {**ca, "ssl.certificate.location": path("impostor.pem"), "ssl.key.location": path("impostor.key")}), "UNAVAILABLE")
    bad(strict, wrap(strict, {**ca, "ssl.certificate.location": path("client.pem"), "ssl.key.location": path("impostor.key")}), "CONFIG", "client certificate")
    bad(strict, wrap(strict, {**ca, "ssl.key.location": path("client.key")}), "CONFIG", "ssl.certificate.location")
    good(wrap(strict, {**ca, "ssl.certificate.location": path("client.pem"), "ssl.key.location": path("client.key")}))
    good(wrap(strict, env={"VAULT_CACERT": path("ca.pem"), "VAULT_CLIENT_CERT": path("client.pem"), "VAULT_CLIENT_KEY": path("client.key")}))


# ---- the properties of server and client


def properties(prefix, **values):
    return [f"{prefix}.ssl.{n.replace('_', '.')}={v}" for n, v in values.items()]


OURS = {"ca_location": path("ca.pem")}
WITH_CLIENT = {**OURS, "certificate_location": path("client.pem"), "key_location": path("client-locked.key"), "key_password": PASSWORD}


def registry_with(*settings):
    return registry.running(f"csfle.allow.kms.hosts={plain.url[8:]},{strict.url[8:]}", *settings, env=ENVIRONMENT, secrets=(PASSWORD, TOKEN))


@tap.case("csfle-registry trusts and shows for shared KEKs what csfle.kms.ssl says")
def _():
    for proxy, settings, works in ((plain, {}, False), (plain, {"ca_location": path("stranger.pem")}, False), (plain, OURS, True), (strict, OURS, False),
                                   (strict, {**WITH_CLIENT, "key_password": "wrong"}, False), (strict, WITH_CLIENT, True)):
        with registry_with(*properties("csfle.kms", **settings)) as url:
            code, body = registry.kek(url, "k", "hcvault", key(proxy), True)
            bench.need(code == 200, body)
            proxy.seen.clear()
            code, body = registry.call(url, "POST", "/dek-registry/v1/keks/k/deks", {"subject": "s"})
            bench.need((code == 200) == works and ("keyMaterial" in body) == works and bool(proxy.seen) == works, (settings, code, body))
            bench.need(PASSWORD not in json.dumps(body), "the password is shown")


@tap.case("a client's csfle.kms.ssl is for the KMS, and its schema.registry.ssl is not")
def _():
    with registry_with() as url:
        code, body = registry.kek(url, "k", "hcvault", key(strict))
        bench.need(code == 200, body)
        registry.contract(url, "s", "k")
        for settings, works in ((properties("schema.registry", **WITH_CLIENT), False), (properties("csfle.kms", **OURS), False),
                                (properties("csfle.kms", ca_location=path("ca.pem"), key_location=path("client.key")), False), (properties("csfle.kms", **WITH_CLIENT), True)):
            strict.seen.clear()
            code, said = registry.register_deks(url, "s", *settings, f"csfle.allow.kms.hosts={strict.url[8:]}", env=ENVIRONMENT)
            bench.need((code == 0) == works and bool(strict.seen) == works, (settings, code, said))
            bench.need(PASSWORD not in said and TOKEN not in said, "a secret is shown")


tap.done(7)
