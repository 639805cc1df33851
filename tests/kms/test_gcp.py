#!/usr/bin/env python3
"""
gcp-kms against Google's own client: what one wraps the other unwraps, over a server of Google's stubs (gcp/main.go) that checks tokens, rights,
key states and checksums; every way to credentials that needs no Google; and what goes wrong on the way.
"""
# needs: gcp gcp-server
import base64
import json
import os
import sys
import urllib.error
import urllib.request

import bench

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "gcp"))
import cloud as bed  # noqa: E402
from bench import need  # noqa: E402

tap = bench.Tap()
folder = bench.temporary("gcp")
runner, other, stranger = (bed.Account(folder, n) for n in ("runner", "other", "stranger"))
USER = {"client_id": "764086051850.apps.example", "client_secret": "d-FL95Q19q7MQmFpd7hHD0Ty", "refresh_token": "1//0eREFRESH-TOKEN+of/user="}
cloud = bed.Cloud(folder, [runner, other], {"kek": [runner.email, bed.MACHINE, "user@example.com"], "second": [runner.email], "denied": [other.email],
                                            "off": [runner.email], "rotated": [runner.email]}, users=[{**USER, "email": "user@example.com"}], audiences=["https://cloudkms.universe.test/"])
proxy = cloud.proxy
sdk_name = cloud.start_sdk({"GCE_METADATA_HOST": cloud.rest, "GCE_METADATA_IP": cloud.rest})
MATERIAL = bytes(range(7, 41))  # 34 bytes, as the key material of AES256_GCM
HERE = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS": proxy.url}
MACHINE = {**HERE, "GCE_METADATA_HOST": proxy.url[7:]}
said = []  # every error of the suite


def run(op, key, data, env=None, props=None, **more):
    result = bench.driver(op, "gcp-kms", bed.PREFIX + key, data, props=props, env=HERE if env is None else env, **more)
    said.append(result.err)
    return result


def wrap(key="kek", data=MATERIAL, **more):
    return run("wrap", key, data, **{"props": runner.props, **more} if "env" not in more else more)


def unwrap(data, key="kek", **more):
    return run("unwrap", key, data, **{"props": runner.props, **more} if "env" not in more else more)


def good(result, out=None):
    need(result.ok and (out is None or result.out == out), result.err or "other bytes came out")
    return result.out


def bad(result, status, http, *texts):
    need((result.status, result.http) == (status, http), f"expected {status} http={http}, got: {result.err or 'success'}")
    for text in texts if status in ("POLICY", "TIMEOUT") else ("gcp-kms", *texts):  # what never became a request has no more to say
        need(text in result.err, f"'{text}' is not in: {result.err}")


def fresh(*faults):
    proxy.reset()
    proxy.fault(*faults)


def paths(which=""):
    return [r.path for r in proxy.seen if which in r.path]


def error(code, name, text, headers=None):
    return bench.status(code, json.dumps({"error": {"code": code, "message": text, "status": name}}), headers)


def file_of(name, content):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(content if isinstance(content, str) else json.dumps(content))
    return path


print("# " + sdk_name)

# ---- both ways with Google's client


@tap.case("ENC-93: what our driver wraps Google's client unwraps over REST and over gRPC, whatever its length")
def _():
    fresh()
    for size in (1, 18, 34, 66, 4096):
        plain = os.urandom(size)
        blob = good(wrap(data=plain))
        need(size < 16 or plain not in blob, "not wrapped")
        for transport in ("rest", "grpc"):
            need(cloud.sdk("unwrap", "kek", blob, {"file": runner.file}, transport) == plain, f"{transport}, {size} bytes")


@tap.case("ENC-93: what Google's client wraps over REST and over gRPC our driver unwraps")
def _():
    for size in (1, 18, 34, 66, 4096):
        plain = os.urandom(size)
        for transport in ("rest", "grpc"):
            blob = cloud.sdk("wrap", "kek", plain, {"file": runner.file}, transport)
            need(isinstance(blob, bytes), blob)
            good(unwrap(blob), plain)


@tap.case("ENC-93: requests carry the checksum as a text, and the server has verified it")
def _():
    fresh()
    blob = good(wrap())
    good(unwrap(blob))
    for seen, name, data in zip(proxy.seen, ("plaintext", "ciphertext"), (MATERIAL, blob)):
        body = json.loads(seen.body)
        need(sorted(body) == [name, name + "Crc32c"] and isinstance(body[name + "Crc32c"], str) and base64.b64decode(body[name]) == data, body)
    # the server does look at it
    text = proxy.seen[0].body.replace(b'"plaintextCrc32c":"', b'"plaintextCrc32c":"1')
    request = urllib.request.Request(cloud.url + proxy.seen[0].path, text, {"Authorization": proxy.seen[0].headers["Authorization"], "Content-Type": "application/json"})
    try:
        need(urllib.request.urlopen(request, timeout=20) is None, "the server took a wrong checksum")
    except urllib.error.HTTPError as e:
        need(e.code == 400 and b"checksum" in e.read(), e.code)


@tap.case("a ciphertext names its key version: after a rotation old and new ones unwrap, in both clients")
def _():
    old = good(wrap("rotated"))
    cloud.tell("rotate", key=bed.PREFIX + "rotated")
    new = good(wrap("rotated"))
    for blob in (old, new):
        good(unwrap(blob, "rotated"), MATERIAL)
        need(cloud.sdk("unwrap", "rotated", blob, {"file": runner.file}, "grpc") == MATERIAL, "Google's client")
    cloud.state("rotated", "DISABLED", 1)
    bad(unwrap(old, "rotated"), "KEY_GONE", 400, "FAILED_PRECONDITION", "cryptoKeyVersions/1")
    good(unwrap(new, "rotated"), MATERIAL)


# ---- ways in


@tap.case("ENC-92 ENC-94: a service account's properties, the key's line breaks real or as backslash-n; nothing is asked but the KMS")
def _():
    for key in (runner.private, runner.private.replace("\n", "\\n"), runner.private.rstrip()):
        fresh()
        blob = good(wrap(props={**runner.props, "private.key": key, "account.type": "service_account"}))
        good(unwrap(blob, props={**runner.props, "private.key": key}), MATERIAL)
        need(len(proxy.seen) == 2 and not paths("token"), paths())


@tap.case("ENC-92: with the operator's token.uri the key signs an assertion, and the server takes it as it takes that of Google's library")
def _():
    fresh()
    before = cloud.tell("counts")["tokens"]
    props = {**runner.props, "token.uri": proxy.url + "/token"}
    good(unwrap(good(wrap(props=props)), props=props), MATERIAL)
    need(paths("token") == ["/token"] * 2 and cloud.tell("counts")["tokens"] == before + 2, paths())
    theirs = runner.write("exchange.json", cloud.url + "/token")
    need(isinstance(cloud.sdk("wrap", "kek", MATERIAL, {"exchange": theirs}), bytes), "Google's library was refused: the server asks for something else than it sends")


@tap.case("GOOGLE_APPLICATION_CREDENTIALS: a service account's file, with Google's token URL and with one of its own")
def _():
    fresh()
    good(wrap(env={**HERE, "GOOGLE_APPLICATION_CREDENTIALS": runner.file}))
    need(not paths("token"), paths())
    fresh()
    own = runner.write("own.json", proxy.url + "/token")
    good(wrap(env={**HERE, "GOOGLE_APPLICATION_CREDENTIALS": own, "HOME": "/nonexistent"}))
    need(paths()[0] == "/token" and len(proxy.seen) == 2, paths())


@tap.case("the well-known file, below HOME and moved by CLOUDSDK_CONFIG: a user's refresh token")
def _():
    content = {"type": "authorized_user", **USER, "token_uri": proxy.url + "/token"}
    file_of("home/.config/gcloud/application_default_credentials.json", content)
    file_of("moved/application_default_credentials.json", content)
    for env in ({"HOME": os.path.join(folder, "home")}, {"CLOUDSDK_CONFIG": os.path.join(folder, "moved"), "HOME": "/nonexistent"}):
        fresh()
        good(unwrap(good(wrap(env={**HERE, **env})), env={**HERE, **env}), MATERIAL)
        need(paths()[0] == "/token" and proxy.seen[0].method == "POST", paths())
    theirs = cloud.sdk("wrap", "kek", MATERIAL, {"user": {**USER, "token_uri": cloud.url + "/token"}})
    need(isinstance(theirs, bytes), theirs)


@tap.case("the metadata server, where GCE_METADATA_HOST says, with its header both ways")
def _():
    fresh()
    blob = good(wrap(env=MACHINE))
    need(cloud.sdk("unwrap", "kek", blob, {"machine": True}) == MATERIAL, "Google's library was refused")
    need(paths()[0].startswith("/computeMetadata/v1/instance/service-accounts/default/token?scopes=") and proxy.seen[0].headers["Metadata-Flavor"] == "Google", paths())
    # a server that is no metadata server gives nothing that is used
    fresh(bench.replace(lambda r: bench.Reply(r.code, {k: v for k, v in r.headers.items() if k != "Metadata-Flavor"}, r.body)))
    bad(wrap(env=MACHINE), "CONFIG", 0, "no credentials found")
    need(len(proxy.seen) == 1, paths())


@tap.case("workload identity federation: another provider's token, from a file or a URL, as text or in JSON; as itself and as a service account")
def _():
    token = other.jwt(bed.POOL)
    provider = bench.FaultProxy()
    provider.check(lambda r: (200, json.dumps({"id": {"no": 1}, "value": token})) if r.headers.get("Authorization") == "secret=provider" else (403, "no"))
    text, inside = file_of("subject.jwt", token + "\n"), file_of("subject.json", {"value": token})
    as_json = {"type": "json", "subject_token_field_name": "value"}

    def write(name, source, **more):
        return file_of(name, {"type": "external_account", "audience": bed.POOL, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": proxy.url + "/sts/v1/token",
                              "credential_source": source, **more})
    become = {"service_account_impersonation_url": f"{proxy.url}/iam/v1/projects/-/serviceAccounts/{runner.email}:generateAccessToken"}
    from_url = {"url": provider.url + "/token?a=b", "headers": {"Authorization": "secret=provider"}, "format": as_json}
    for source, key, more in (({"file": text}, "denied", {}), ({"file": inside, "format": as_json}, "denied", {}), (from_url, "denied", {}), ({"file": text}, "kek", become), (from_url, "kek", become),
                              ({"file": text}, "kek", {**become, "service_account_impersonation": {"token_lifetime_seconds": 900}})):
        named = write("pool.json", source, **more)
        fresh()
        env = {**HERE, "GOOGLE_APPLICATION_CREDENTIALS": named}
        blob = good(wrap(key, env=env, count=2))
        need(len(proxy.seen) == (4 if more else 3), paths())
        answer = cloud.sdk("unwrap", key, blob, {"federated": named})
        need(answer == MATERIAL, f"Google's library: {answer}")
    fresh()
    named = write("pool.json", {"file": text}, **{"service_account_impersonation_url": become["service_account_impersonation_url"].replace(runner.email, other.email)})
    bad(wrap(env={**HERE, "GOOGLE_APPLICATION_CREDENTIALS": named}), "FORBIDDEN", 403, "generateAccessToken", "PERMISSION_DENIED")
    named = write("pool.json", {"file": file_of("stranger.jwt", stranger.jwt(bed.POOL))})
    bad(wrap(env={**HERE, "GOOGLE_APPLICATION_CREDENTIALS": named}), "UNAUTHENTICATED", 400, "token exchange", "invalid_grant")
    named = write("pool.json", {"url": provider.url, "headers": {"Authorization": "wrong"}})
    bad(wrap(env={**HERE, "GOOGLE_APPLICATION_CREDENTIALS": named}), "FORBIDDEN", 403, "subject token")
    for source, says in (({"environment_id": "aws1"}, "neither a file nor a URL"), ({"executable": {"command": "/bin/false"}}, "neither a file nor a URL"), ({"file": text + ".none"}, "cannot be read"),
                         ({"file": text, "format": as_json}, "no token")):
        bad(wrap(env={**HERE, "GOOGLE_APPLICATION_CREDENTIALS": write("pool.json", source)}), "CONFIG", 0, says)
    fresh(*[error(503, "UNAVAILABLE", "later")] * 2)
    good(wrap("denied", env={**HERE, "GOOGLE_APPLICATION_CREDENTIALS": write("pool.json", {"file": text})}))
    need(len(proxy.seen) == 4, paths())
    provider.close()


@tap.case("no credentials anywhere: an error that says where it looked")
def _():
    bad(wrap(env={**HERE, "HOME": os.path.join(folder, "nobody"), "GCE_METADATA_HOST": f"127.0.0.1:{bench.free_port()}"}), "CONFIG", 0, "no credentials found", "private.key", "metadata")
    bad(wrap(env={**HERE, "GOOGLE_APPLICATION_CREDENTIALS": os.path.join(folder, "none.json")}), "CONFIG", 0, "GOOGLE_APPLICATION_CREDENTIALS", "none.json")
    bad(wrap(env={**HERE, "GOOGLE_APPLICATION_CREDENTIALS": file_of("odd.json", {"type": "gdch_service_account"})}), "CONFIG", 0, "gdch_service_account")


@tap.case("credentials that the server refuses are UNAUTHENTICATED, with its words")
def _():
    for props, uri in ((stranger.props, None), ({**runner.props, "private.key": stranger.private}, None), ({**runner.props, "private.key.id": "kid-other"}, None),
                       (stranger.props, proxy.url + "/token"), ({**runner.props, "private.key": stranger.private}, proxy.url + "/token")):
        fresh()
        bad(wrap(props={**props, **({"token.uri": uri} if uri else {})}), "UNAUTHENTICATED", 400 if uri else 401, "invalid_grant" if uri else "UNAUTHENTICATED")
        need(len(proxy.seen) == (1 if uri else 2), paths())  # a refused token is made anew once, a refused login is final
    for name in USER:
        user = file_of("wrong.json", {"type": "authorized_user", **USER, name: "wrong-" + name, "token_uri": proxy.url + "/token"})
        bad(wrap(env={**HERE, "GOOGLE_APPLICATION_CREDENTIALS": user}), "UNAUTHENTICATED", 400, "invalid_grant", "token:")


# ---- tokens


@tap.case("one open driver logs in once, and again when its token is about to end")
def _():
    fresh()
    props = {**runner.props, "token.uri": proxy.url + "/token"}
    before = cloud.tell("counts")["tokens"]
    good(wrap(props=props, count=5))
    need(len(paths("token")) == 1 and len(paths(":encrypt")) == 5 and cloud.tell("counts")["tokens"] == before + 1, paths())
    cloud.tell("seconds", n=227)
    fresh()
    good(wrap(props=props, count=2, pause_ms=3000))
    need([p[:6] for p in paths()] == ["/token", "/v1/pr", "/token", "/v1/pr"], paths())
    cloud.tell("seconds", n=3599)
    tokens = {r.headers["Authorization"] for r in proxy.seen if "token" not in r.path}
    need(len(tokens) == 2, "the same token again")


@tap.case("a token that the server knows no longer is fetched anew, once")
def _():
    fresh(bench.passed(), bench.replace(lambda r: cloud.tell("revoke") and r))
    props = {**runner.props, "token.uri": proxy.url + "/token"}
    good(wrap(props=props, count=2))
    need([p[:6] for p in paths()] == ["/token", "/v1/pr", "/v1/pr", "/token", "/v1/pr"], paths())
    always = bench.status(401, b'{"error":{"code":401,"message":"old token","status":"UNAUTHENTICATED"}}')
    fresh(bench.passed(), always, bench.passed(), always)
    bad(wrap(props=props), "UNAUTHENTICATED", 401, "old token")
    need(len(proxy.seen) == 4, paths())


# ---- refusals of the service


@tap.case("another key's ciphertext, damaged and foreign bytes are DECRYPT")
def _():
    blob = good(wrap())
    fresh()
    for data in (good(wrap("second")), blob[:-1], blob + b"x", bytes([blob[0] ^ 1]) + blob[1:], b"\x01", b"junk"):
        bad(unwrap(data), "DECRYPT", 400, "INVALID_ARGUMENT", "decrypt: HTTP 400", bed.PREFIX + "kek", "ciphertext is invalid")
    need(len(paths(":decrypt")) == 6, "tried again")


@tap.case("ENC-99: denied, unknown, disabled and destroyed have codes of their own and are asked once")
def _():
    def once(result, *args):
        bad(result, *args)
        need(len(proxy.seen) == 1, paths())
        fresh()
    fresh()
    once(wrap("denied"), "FORBIDDEN", 403, "PERMISSION_DENIED", "useToEncrypt", bed.PREFIX + "denied")
    once(unwrap(b"any", "denied"), "FORBIDDEN", 403, "PERMISSION_DENIED", "useToDecrypt")
    once(wrap("nowhere"), "KEY_GONE", 404, "NOT_FOUND", bed.PREFIX + "nowhere")
    blob = good(wrap("off"))
    for state in ("DISABLED", "DESTROYED"):
        cloud.state("off", state)
        fresh()
        once(wrap("off"), "KEY_GONE", 400, "FAILED_PRECONDITION", state)
        once(unwrap(blob, "off"), "KEY_GONE", 400, "FAILED_PRECONDITION", state)
    cloud.state("off", "ENABLED")
    good(unwrap(blob, "off"), MATERIAL)


# ---- faults on the way


@tap.case("ENC-99: throttled: three requests at most, Retry-After is waited for, an hour of it is not")
def _():
    throttled = error(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Cryptographic requests'")
    fresh(throttled)
    good(wrap())
    need(len(proxy.seen) == 2, paths())
    fresh(throttled, throttled, throttled, throttled)
    bad(wrap(), "THROTTLED", 429, "RESOURCE_EXHAUSTED", "Quota exceeded")
    need(len(proxy.seen) == 3, paths())
    fresh(error(429, "RESOURCE_EXHAUSTED", "x", {"Retry-After": "2"}))
    need(wrap().seconds >= 2, "did not wait")
    fresh(error(429, "RESOURCE_EXHAUSTED", "x", {"Retry-After": "3600"}))
    bad(wrap(), "THROTTLED", 429)
    need(len(proxy.seen) == 1, paths())


@tap.case("ENC-99: 500, 502, 503, 504 are tried three times, at the KMS and at the login; other codes never")
def _():
    props = {**runner.props, "token.uri": proxy.url + "/token"}
    for code, name in ((500, "INTERNAL"), (502, ""), (503, "UNAVAILABLE"), (504, "DEADLINE_EXCEEDED")):
        fresh(*[error(code, name, "try later")] * 3)
        bad(wrap(), "UNAVAILABLE", code, name, "try later")
        need(len(proxy.seen) == 3, paths())
    fresh(*[error(503, "UNAVAILABLE", "try later")] * 2)
    good(wrap(props=props))
    need([p[:6] for p in paths()] == ["/token"] * 3 + ["/v1/pr"], paths())
    fresh(*[error(503, "UNAVAILABLE", "try later")] * 3)
    bad(wrap(props=props), "UNAVAILABLE", 503, "token: HTTP 503")
    need(paths() == ["/token"] * 3, paths())
    for code, verdict in ((400, "DECRYPT"), (409, "DECRYPT"), (501, "UNAVAILABLE")):
        fresh(*[error(code, "X", "no")] * 3)
        bad(wrap(), verdict, code)
        need(len(proxy.seen) == 1, paths())


@tap.case("ENC-93: a wrong checksum in an answer, or none, is asked again, and never believed")
def _():
    def spoil(name, value):
        def change(reply):
            body = json.loads(reply.body)
            body[name] = value(body[name]) if callable(value) else value
            return reply._replace(body=json.dumps(body).encode())
        return bench.replace(change)
    fresh()
    blob = good(wrap())
    flipped = lambda text: base64.b64encode(bytes([base64.b64decode(text)[0] ^ 1]) + base64.b64decode(text)[1:]).decode()  # noqa: E731
    for do, faults in (("wrap", (("ciphertext", flipped), ("ciphertextCrc32c", "7"), ("ciphertextCrc32c", None), ("verifiedPlaintextCrc32c", False))),
                       ("unwrap", (("plaintext", flipped), ("plaintextCrc32c", "7"), ("plaintextCrc32c", None)))):
        again = wrap if do == "wrap" else lambda: unwrap(blob)
        for fault in faults:
            fresh(spoil(*fault))
            good(again())
            need(len(proxy.seen) == 2, paths())
            fresh(*[spoil(*fault)] * 3)
            bad(again(), "UNAVAILABLE", 0, "checksums do not match")
            need(len(proxy.seen) == 3, paths())


@tap.case("a server that answers nothing is a TIMEOUT within the time that was given")
def _():
    fresh(bench.stall(), bench.stall(), bench.stall())
    result = wrap(timeout_ms=1500)
    bad(result, "TIMEOUT", 0)
    need(result.seconds < 10, result.seconds)
    fresh(bench.stall())
    result = wrap(props={**runner.props, "token.uri": proxy.url + "/token"}, timeout_ms=1500)
    bad(result, "TIMEOUT", 0)
    fresh(bench.slow(1))
    good(wrap(timeout_ms=8000))


@tap.case("AB-14: an endless answer of the KMS or of the login is cut off")
def _():
    fresh(bench.endless())
    result = wrap()
    need(not result.ok and result.seconds < 30 and len(proxy.seen) == 1, f"{result} {paths()}")
    fresh(bench.endless())
    result = wrap(props={**runner.props, "token.uri": proxy.url + "/token"})
    need(not result.ok and result.seconds < 30 and len(proxy.seen) == 1, f"{result} {paths()}")


@tap.case("answers that are no HTTP, cut off, or not what was asked for are errors")
def _():
    for fault in (bench.garbage(), bench.cut(10), bench.cut(200)):
        fresh(fault, fault, fault)
        need(not wrap().ok, "believed")
        need(len(proxy.seen) == 3, paths())  # nothing has side effects here
    for body in (b"", b"[]", b"{}", b"<html>proxy login</html>", b'{"ciphertext":7}', b'{"ciphertext":""}', b'{"ciphertext":"%%%"}', b'{"ciphertext":"AA==', b"\xff\xfe"):
        fresh(bench.status(200, body))
        bad(wrap(), "UNAVAILABLE", 0, "ciphertext")
        need(len(proxy.seen) == 1, paths())
    for body in (b"", b"{}", b"nonsense", b'{"access_token":7}', b'{"access_token":""}'):
        fresh(bench.status(200, body))
        bad(wrap(props={**runner.props, "token.uri": proxy.url + "/token"}), "UNAVAILABLE", 0, "no access_token")
    fresh(bench.status(200, b'{"access_token":"a\\r\\nX-Evil: 1","expires_in":3599}'))
    bad(wrap(props={**runner.props, "token.uri": proxy.url + "/token"}), "UNAVAILABLE", 0, "no access_token")
    need(len(proxy.seen) == 1, paths())


@tap.case("AB-8: a redirect is not followed, by the KMS, the login or the metadata server")
def _():
    elsewhere = bench.FaultProxy(cloud.url)
    for how in ({}, {"props": {**runner.props, "token.uri": proxy.url + "/token"}}, {"env": MACHINE}):
        fresh(bench.redirect(elsewhere.url + "/token"))
        need(not wrap(**how).ok and len(proxy.seen) == 1 and not elsewhere.seen, f"{paths()} {elsewhere.seen}")
    elsewhere.close()


# ---- where credentials may go


@tap.case("AB-8: a token.uri or key file of the registry's leads nowhere, the operator's does")
def _():
    fresh()
    bad(wrap(registry={"token.uri": proxy.url + "/token"}), "POLICY", 0, "csfle.allow.kms.hosts")
    bad(wrap(props={**runner.props, "token.uri": cloud.url + "/token"}, registry={"token.uri": proxy.url + "/token"}), "POLICY", 0, "csfle.allow.kms.hosts")
    need(not proxy.seen, paths())
    good(wrap(props={**runner.props, "csfle.allow.kms.hosts": proxy.url}, registry={"token.uri": proxy.url + "/token"}))
    need(paths()[0] == "/token", paths())


@tap.case("AB-8: a list of hosts without the vendor's forbids the vendor, and nothing is sent")
def _():
    fresh()
    result = bench.driver("wrap", "gcp-kms", bed.PREFIX + "kek", MATERIAL, props={**runner.props, "csfle.allow.kms.hosts": "vault.bank:8200"}, env={})
    said.append(result.err)
    bad(result, "POLICY", 0, "cloudkms.googleapis.com", "csfle.allow.kms.hosts")
    need(not proxy.seen, paths())


@tap.case("AB-8: a file that the registry names is not read, the operator's is")
def _():
    fresh()
    bad(wrap(props={}, registry={"credentials.path": runner.file}), "POLICY", 0, "credentials.path")
    bad(wrap(props={"credentials.path": other.file}, registry={"credentials.path": runner.file}), "POLICY", 0, "credentials.path")
    need(not proxy.seen, paths())
    good(wrap(props={"credentials.path": runner.file}))
    bad(wrap(props={"credentials.path": other.file}, env={**HERE, "GOOGLE_APPLICATION_CREDENTIALS": runner.file}), "FORBIDDEN", 403, "PERMISSION_DENIED")


@tap.case("Google's own host names, over TLS: certificate and name are verified, and without a setting nothing else is called")
def _():
    front = bench.FaultProxy(cloud.url, tls=(cloud.cert, cloud.cert_key))
    at = f"127.0.0.1:{front.port}"
    tunnel = bench.Tunnel({"cloudkms.googleapis.com:443": at, "oauth2.googleapis.com:443": at, "wrong.universe.test:443": at})
    env = {"https_proxy": tunnel.url}
    blob = good(wrap(env=env, props=runner.props, ca=cloud.cert))
    good(unwrap(blob, env=env, props={**runner.props, "token.uri": "https://oauth2.googleapis.com/token"}, ca=cloud.cert), MATERIAL)
    need([r.path.rsplit(":")[-1] for r in front.seen] == ["encrypt", "/token", "decrypt"], front.seen)
    need(tunnel.asked == ["cloudkms.googleapis.com:443", "oauth2.googleapis.com:443", "cloudkms.googleapis.com:443"], tunnel.asked)
    front.seen.clear()
    bad(wrap(env=env, props=runner.props), "UNAVAILABLE", 0)  # a certificate that nobody vouches for
    bad(wrap(env={**env, "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS": "https://wrong.universe.test"}, props=runner.props, ca=cloud.cert), "UNAVAILABLE", 0)
    need(not front.seen, "a request without a certificate that fits")
    front.close()
    tunnel.close()


@tap.case("AB-8: a universe domain of the operator's: its host, tokens made for it, no credentials of another")
def _():
    front = bench.FaultProxy(cloud.url, tls=(cloud.cert, cloud.cert_key))
    tunnel = bench.Tunnel({"cloudkms.universe.test:443": f"127.0.0.1:{front.port}"})
    there = {"https_proxy": tunnel.url, "GOOGLE_CLOUD_UNIVERSE_DOMAIN": "universe.test"}
    theirs = runner.write("universe.json", "https://oauth2.universe.test/token", universe_domain="universe.test")
    good(unwrap(good(wrap(env={**there, "GOOGLE_APPLICATION_CREDENTIALS": theirs}, ca=cloud.cert)), env={**there, "GOOGLE_APPLICATION_CREDENTIALS": theirs}, ca=cloud.cert), MATERIAL)
    need(len(front.seen) == 2 and set(tunnel.asked) == {"cloudkms.universe.test:443"}, tunnel.asked)
    jwt = front.seen[0].headers["Authorization"].split(".")[1]
    need(json.loads(base64.urlsafe_b64decode(jwt + "=="))["aud"] == "https://cloudkms.universe.test/", "for another service")
    front.seen.clear()
    bad(wrap(env={**there, "GOOGLE_APPLICATION_CREDENTIALS": runner.file}, ca=cloud.cert), "CONFIG", 0, "universe domain 'googleapis.com'")
    bad(wrap(env={"https_proxy": tunnel.url, "GOOGLE_APPLICATION_CREDENTIALS": theirs}, ca=cloud.cert), "CONFIG", 0, "universe domain 'universe.test'", "GOOGLE_CLOUD_UNIVERSE_DOMAIN")
    need(not front.seen, front.seen)
    front.close()
    tunnel.close()


# ---- the end


@tap.case("ENC-102: no key, token, secret or plaintext is in any of these errors")
def _():
    text = "\n".join(said)
    need(len([e for e in said if e]) > 60, "hardly an error was seen")
    secrets = runner.secrets() + other.secrets() + stranger.secrets() + [USER["client_secret"], USER["refresh_token"], "ya29.", "Bearer", "eyJ"]
    for secret in secrets + [MATERIAL.hex(), base64.b64encode(MATERIAL).decode().rstrip("=")]:
        need(secret not in text, f"'{secret[:12]}...' is in an error")


cloud.stop()
tap.done(29)
