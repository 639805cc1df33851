#!/usr/bin/env python3
"""
The hcvault driver against HashiCorp Vault, built from its source: hvac and HashiCorp's client for Go on the other end of each key, a
proxy of ours in between where requests are counted or spoilt. Messages: test_hcvault_messages.py.
"""
# needs: hcvault hcvault-server
import base64
import json
import os
import ssl
import sys
import time

import bench

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "hcvault"))
import vault as bed  # noqa: E402
from bench import cut, endless, garbage, need, passed, redirect, replace, slow, stall, status  # noqa: E402

bed.use_venv()
vault = bed.Vault()
proxy = bench.FaultProxy(vault.url)
elsewhere = bench.FaultProxy()  # where nothing may arrive
tap = bench.Tap()

CARDS = vault.key("cards")
PLAIN = bytes(range(256))
HOSTS = {"csfle.allow.kms.hosts": f"{vault.url},{proxy.url}"}
vault.policy("cards", "transit/encrypt/cards", "transit/decrypt/cards")
TOKEN = {"token.id": vault.token("cards")}
ROLE = vault.role("cards")


def run(op, data, key=CARDS, props=None, through=None, **more):
    """through: the proxy, in front of Vault."""
    if through:
        key = key.replace(vault.url, through.url)
    return vault.driver(op, key, data, {**HOSTS, **(TOKEN if props is None else props)}, **more)


def wrap(data=PLAIN, **more):
    return run("wrap", data, **more)


def unwrap(data, **more):
    return run("unwrap", data, **more)


def good(result):
    need(result.ok, result.err)
    return result.out


def refused(result, code, http=None, says=""):
    need(not result.ok, "it passed")
    need(result.status == code and http in (None, result.http), f"{code} {http} expected: {result.err}")
    need(says in result.err, f"'{says}' expected: {result.err}")


def b64(data):
    return base64.b64encode(data).decode()


def encrypted(data, name="cards", mount="transit"):
    """By hvac."""
    return vault.root.secrets.transit.encrypt_data(name, b64(data), mount_point=mount)["data"]["ciphertext"].encode()


def decrypted(ciphertext, name="cards", mount="transit"):
    return base64.b64decode(vault.root.secrets.transit.decrypt_data(name, ciphertext.decode(), mount_point=mount)["data"]["plaintext"])


def paths():
    """What arrived at the proxy: ["login", "encrypt", ...]."""
    return ["login" if r.path.endswith("/login") else r.path.split("/")[-2] for r in proxy.seen]


def fresh(*faults):
    proxy.reset()
    elsewhere.reset()
    proxy.fault(*faults)


# ---- the two ends of a key


@tap.case("ENC-97: what the driver wraps hvac unwraps, and it is Vault's own text")
def _():
    for data in (b"\0", b"k" * 16, PLAIN[:34], PLAIN, os.urandom(4096)):
        text = good(wrap(data))
        need(text.startswith(b"vault:v1:") and decrypted(text) == data, text)


@tap.case("what hvac wraps the driver unwraps")
def _():
    for data in (b"\0", b"k" * 16, PLAIN[:34], PLAIN, os.urandom(4096)):
        need(good(unwrap(encrypted(data))) == data, "another plaintext")


@tap.case("HashiCorp's client for Go, both ways")
def _():
    token = TOKEN["token.id"]
    need(base64.b64decode(vault.write("plaintext", "transit/decrypt/cards", token, ciphertext=good(wrap()).decode())) == PLAIN, "another plaintext")
    need(good(unwrap(vault.write("ciphertext", "transit/encrypt/cards", token, plaintext=b64(PLAIN)).encode())) == PLAIN, "another plaintext")


@tap.case("each type of key that Vault can encrypt with")
def _():
    vault.policy("types", "transit/encrypt/type-*", "transit/decrypt/type-*")
    props = {"token.id": vault.token("types")}
    for kind in ("aes256-gcm96", "chacha20-poly1305", "rsa-2048"):
        key = vault.key("type-" + kind, key_type=kind)
        text = good(wrap(PLAIN[:34], key=key, props=props))
        need(decrypted(text, "type-" + kind) == PLAIN[:34], kind)
        need(good(unwrap(encrypted(PLAIN[:34], "type-" + kind), key=key, props=props)) == PLAIN[:34], kind)
    for kind, more in (("ed25519", {}), ("aes256-gcm96", {"derived": True})):
        key = vault.key("type-not-" + kind, key_type=kind, **more)
        refused(wrap(key=key, props=props), "CONFIG" if more else "DECRYPT", 400, "derived=true" if more else "not support")


@tap.case("ENC-95: the whole mount path counts, with several segments and with the same name of key on two mounts")
def _():
    for mount in ("team/a/kms", "keys", "kms-2"):
        vault.root.sys.enable_secrets_engine("transit", path=mount)
        vault.policy("mounted", f"{mount}/encrypt/cards", f"{mount}/decrypt/cards")
        key, props = vault.key("cards", mount), {"token.id": vault.token("mounted")}
        text = good(wrap(key=key, props=props))
        need(decrypted(text, mount=mount) == PLAIN, "another plaintext")
        need(good(unwrap(encrypted(PLAIN, mount=mount), key=key, props=props)) == PLAIN, mount)
        refused(unwrap(text), "DECRYPT", 400, "authentication failed")
        refused(wrap(key=key), "FORBIDDEN", 403, "permission denied")


# ---- who asks


@tap.case("a token of the properties goes before that of VAULT_TOKEN, which does without")
def _():
    good(wrap(props={}, env={"VAULT_TOKEN": TOKEN["token.id"]}))
    good(wrap(env={"VAULT_TOKEN": "wrong"}))
    refused(wrap(props={}, env={"VAULT_TOKEN": vault.keep("hvs.wrong-token-of-the-suite")}), "FORBIDDEN", 403, "permission denied")
    refused(wrap(props={}), "CONFIG", 0, "no credentials")


@tap.case("an AppRole logs in, by properties or environment, and goes before a token")
def _():
    env = {"VAULT_APPROLE_ROLE_ID": ROLE["approle.role.id"], "VAULT_APPROLE_SECRET_ID": ROLE["approle.secret.id"]}
    good(unwrap(good(wrap(props=ROLE)), props={}, env=env))
    good(wrap(props={**ROLE, "token.id": "wrong"}))
    good(wrap(props={"token.id": "wrong"}, env={**env, "VAULT_TOKEN": "wrong"}))
    good(wrap(env={"VAULT_APPROLE_ROLE_ID": ROLE["approle.role.id"]}))  # half of one is none: the token
    refused(wrap(props={}, env={"VAULT_APPROLE_ROLE_ID": ROLE["approle.role.id"]}), "CONFIG", 0, "no credentials")


@tap.case("an AppRole method on a mount of its own")
def _():
    vault.root.sys.enable_auth_method("approle", path="corp/ar")
    role = vault.role("cards", mount="corp/ar")
    good(wrap(props={**role, "approle.mount": "corp/ar"}))
    good(wrap(props=role, env={"VAULT_APPROLE_MOUNT": "corp/ar"}))
    refused(wrap(props=role), "UNAUTHENTICATED", says="AppRole login")
    refused(wrap(props={**role, "approle.mount": "corp/none"}), "UNAUTHENTICATED", says="AppRole login")


@tap.case("ENC-95: the namespace goes with logins and operations alike, and nowhere without one")
def _():
    for props, env, ns in ((ROLE, {"VAULT_NAMESPACE": "ns1/team"}, "ns1/team"), ({**ROLE, "namespace": "ns2"}, {"VAULT_NAMESPACE": "ns1"}, "ns2"), (ROLE, {}, None),
                           ({**TOKEN, "namespace": "ns3/"}, {}, "ns3/")):
        fresh()
        good(unwrap(encrypted(PLAIN), props=props, env=env, through=proxy))
        need(paths() == (["decrypt"] if "token.id" in props else ["login", "decrypt"]), paths())
        need([(r.headers["X-Vault-Namespace"], r.headers["X-Vault-Request"]) for r in proxy.seen] == [(ns, "true")] * len(proxy.seen), [r.headers.items() for r in proxy.seen])
        need(not any("X-Vault-Token" in r.headers for r in proxy.seen if r.path.endswith("/login")), "a token with a login")


@tap.case("one login serves the calls of a process")
def _():
    fresh()
    good(wrap(props=ROLE, through=proxy, count=5))
    need(paths() == ["login"] + ["encrypt"] * 5, paths())


@tap.case("ENC-96: a login whose lease runs out while the process lives is followed by another before it does")
def _():
    fresh()
    role = vault.role("cards", token_ttl="2s")
    good(wrap(props=role, through=proxy, count=5, pause_ms=700))
    answered = [r.headers.get("X-Vault-Token") for r in proxy.seen if not r.path.endswith("/login")]
    need(len(answered) == 5 and 2 <= paths().count("login") < 5 and len(set(answered)) == paths().count("login"), paths())


@tap.case("ENC-96: a token that was revoked is replaced by one more login, within the call")
def _():
    fresh()
    calls = []

    def revoke_at_second(request):
        if request.path.endswith("/encrypt/cards"):
            calls.append(request)
            if len(calls) == 2:
                vault.root.auth.token.revoke(request.headers["X-Vault-Token"])
    proxy.check(revoke_at_second)
    good(wrap(props=ROLE, through=proxy, count=3))
    need(paths() == ["login", "encrypt", "encrypt", "login", "encrypt", "encrypt"], paths())


@tap.case("ENC-96: tokens that may be used twice are fetched as often as needed")
def _():
    fresh()
    good(wrap(props=vault.role("cards", token_num_uses=2), through=proxy, count=5))
    need(paths() == ["login", "encrypt", "encrypt", "encrypt", "login", "encrypt", "encrypt", "encrypt", "login", "encrypt"], paths())


@tap.case("a token whose lease somebody renews serves past its first end; one that ran out is refused")
def _():
    def renew(request):
        vault.client(request.headers["X-Vault-Token"]).auth.token.renew_self(increment="2s")
    vault.policy("renewing", "transit/encrypt/cards", "auth/token/renew-self")
    token = vault.token("renewing", ttl="2s", renewable=True)
    fresh()
    proxy.check(renew)
    good(wrap(props={"token.id": token}, through=proxy, count=4, pause_ms=800))
    need(len(proxy.seen) == 4, paths())
    fresh()
    token = vault.token("cards", ttl="1s")
    time.sleep(1.2)
    refused(wrap(props={"token.id": token}, through=proxy), "FORBIDDEN", 403, "permission denied")
    need(len(proxy.seen) == 1, paths())


@tap.case("a secret id that is used up, wrong or of another role is refused credentials, and asked for once")
def _():
    once = vault.role("cards", secret_id_num_uses=1)
    good(wrap(props=once, count=3))
    other = vault.role("cards")
    for props in (once, {**other, "approle.secret.id": "wrong"}, {**other, "approle.secret.id": ROLE["approle.secret.id"]}, {**other, "approle.role.id": "none"}):
        fresh()
        result = wrap(props=props, through=proxy)
        refused(result, "UNAUTHENTICATED", says="AppRole login")
        need(result.http in (400, 500) and paths() == ["login"], f"{paths()} {result.err}")


# ---- what is refused


@tap.case("ENC-99: what the policy does not allow is FORBIDDEN and not tried again")
def _():
    vault.policy("half", "transit/encrypt/cards")
    half = {"token.id": vault.token("half")}
    text = good(wrap(props=half))
    for role in (half, vault.role("half")):
        fresh()
        refused(unwrap(text, props=role, through=proxy), "FORBIDDEN", 403, "permission denied")
        need(paths() == ["login"] * ("token.id" not in role) + ["decrypt"], paths())


@tap.case("an unknown key is neither made nor used by who may only update, an unknown mount is said")
def _():
    vault.policy("any", "transit/encrypt/*", "transit/decrypt/*", "nowhere/encrypt/*")
    props = {"token.id": vault.token("any")}
    refused(wrap(key=f"{vault.url}/transit/keys/unknown", props=props), "FORBIDDEN", 403)
    need("unknown" not in vault.root.secrets.transit.list_keys()["data"]["keys"], "the key was made")
    refused(unwrap(encrypted(PLAIN), key=f"{vault.url}/transit/keys/unknown", props=props), "KEY_GONE", 400, "encryption key not found")
    refused(wrap(key=f"{vault.url}/nowhere/keys/cards", props=props), "KEY_GONE", 404)


@tap.case("changed, foreign and future ciphertexts are DECRYPT")
def _():
    text = good(wrap())
    raw = bytearray(base64.b64decode(text[9:]))
    for at in (0, 12, len(raw) - 1):
        raw[at] ^= 1
        refused(unwrap(b"vault:v1:" + base64.b64encode(raw)), "DECRYPT", 400, "message authentication failed")
        raw[at] ^= 1
    refused(unwrap(b"vault:v1:" + base64.b64encode(raw[:10])), "DECRYPT", 400)
    refused(unwrap(b"vault:v1:not base64".replace(b" ", b"?")), "DECRYPT", 400)
    refused(unwrap(b"vault:v7:" + text[9:]), "DECRYPT", 400)
    for foreign in (text[6:], b"", b"vault:v1:", b"azure:v1:" + text[9:], b'vault:v1:","x":"'):
        fresh()
        refused(unwrap(foreign, through=proxy), "DECRYPT", 0, "vault:v")
        need(not proxy.seen, "foreign bytes were sent")


@tap.case("keys rotate in Vault; what is older than min_decryption_version is KEY_GONE, and so is a deleted key")
def _():
    vault.policy("rotating", "transit/encrypt/rotating", "transit/decrypt/rotating")
    key, props = vault.key("rotating"), {"token.id": vault.token("rotating")}
    transit = vault.root.secrets.transit
    first = good(wrap(key=key, props=props))
    transit.rotate_key("rotating")
    second = good(wrap(key=key, props=props))
    need(first.startswith(b"vault:v1:") and second.startswith(b"vault:v2:"), (first, second))
    need(good(unwrap(first, key=key, props=props)) == good(unwrap(second, key=key, props=props)) == PLAIN, "another plaintext")
    transit.update_key_configuration("rotating", min_decryption_version=2)
    refused(unwrap(first, key=key, props=props), "KEY_GONE", 400, "disallowed by policy")
    need(good(unwrap(second, key=key, props=props)) == PLAIN, "another plaintext")
    transit.update_key_configuration("rotating", deletion_allowed=True)
    transit.delete_key("rotating")
    refused(unwrap(second, key=key, props=props), "KEY_GONE", 400, "encryption key not found")


@tap.case("a sealed Vault is UNAVAILABLE after three tries, and serves again when it is unsealed")
def _():
    vault.root.sys.seal()
    try:
        for props, asked in ((TOKEN, ["encrypt"] * 3), (ROLE, ["login"] * 3)):
            fresh()
            refused(wrap(props=props, through=proxy), "UNAVAILABLE", 503, "Vault is sealed")
            need(paths() == asked, paths())

        def unseal_at_second(request):
            if len(proxy.seen) == 2:
                vault.root.sys.submit_unseal_key(vault.unseal_key)
                while vault.root.sys.read_health_status().status_code != 200:
                    time.sleep(0.01)
        fresh()
        proxy.check(unseal_at_second)
        good(wrap(through=proxy))
        need(len(proxy.seen) == 2, paths())
    finally:
        vault.root.sys.submit_unseal_key(vault.unseal_key)
    good(wrap())


# ---- TLS


tls = bed.Vault(tls=True)
SECURE = bench.self_signed(bench.temporary("proxy"))  # an authority that is not Vault's, and its key
secure = bench.FaultProxy(tls.url, tls=SECURE)
tls.policy("cards", "transit/encrypt/cards")
TLS_CARDS = tls.key("cards")
TLS = {"csfle.allow.kms.hosts": f"127.0.0.1:{tls.port},127.0.0.1:{secure.port}", "token.id": tls.token("cards")}


@tap.case("a Vault behind TLS is believed under the authority of property or environment; a key id without a scheme means https")
def _():
    for key in (TLS_CARDS, TLS_CARDS.removeprefix("https://")):
        for props, env in (({"ssl.ca.location": tls.ca}, {}), ({}, {"VAULT_CACERT": tls.ca}), ({"ssl.ca.location": tls.ca}, {"VAULT_CACERT": "/nowhere.pem"}),
                           ({"ssl.ca.location": ""}, {"VAULT_CACERT": tls.ca})):
            need(good(tls.driver("wrap", key, PLAIN, {**TLS, **props}, env=env)).startswith(b"vault:v1:"), "not wrapped")
    role = {**TLS, **tls.role("cards"), "token.id": "", "ssl.ca.location": tls.ca}
    good(tls.driver("wrap", TLS_CARDS, PLAIN, role))
    for file in ("/nowhere.pem", __file__):
        result = tls.driver("wrap", TLS_CARDS, PLAIN, {**TLS, "ssl.ca.location": file})
        need(not result.ok and "certificates" in result.err, result)


@tap.case("ENC-100: no token leaves for a server whose authority is another, nor with empty settings, nor by a KEK's leave")
def _():
    key = TLS_CARDS.replace(tls.url, secure.url)
    theirs = SECURE[0]
    for props, env in (({}, {}), ({"ssl.ca.location": tls.ca}, {}), ({"ssl.ca.location": ""}, {"VAULT_CACERT": "", "VAULT_SKIP_VERIFY": "true"})):
        refused(tls.driver("wrap", key, PLAIN, {**TLS, **props}, env=env), "UNAVAILABLE", 0, "certificate of the server is not trusted")
    refused(bench.driver("wrap", "hcvault", key, PLAIN, TLS, registry={"ssl.ca.location": theirs}), "CONFIG", 0, "a KEK may not")
    need(not secure.seen, f"{len(secure.seen)} requests")
    good(tls.driver("wrap", key, PLAIN, {**TLS, "ssl.ca.location": theirs}))
    need(len(secure.seen) == 1, "the control: under its own authority it is called")
    other_name = {**TLS, "ssl.ca.location": theirs, "csfle.allow.kms.hosts": f"127.0.0.2:{secure.port}"}
    refused(tls.driver("wrap", key.replace("127.0.0.1", "127.0.0.2"), PLAIN, other_name), "UNAVAILABLE", 0)
    need(len(secure.seen) == 1, "another name")


@tap.case("a client certificate is shown where the server wants one, with login and operation; a key without one is an error")
def _():
    cert, private = bench.self_signed(bench.temporary("client"))
    both = bench.FaultProxy(tls.url, tls=SECURE)
    both.listener.tls.load_verify_locations(cert)
    both.listener.tls.verify_mode = ssl.CERT_REQUIRED
    key = TLS_CARDS.replace(tls.url, both.url)
    own = {**TLS, "ssl.ca.location": SECURE[0], "csfle.allow.kms.hosts": f"127.0.0.1:{both.port}"}
    shown = {"ssl.certificate.location": cert, "ssl.key.location": private}
    good(tls.driver("wrap", key, PLAIN, {**own, **shown}))
    good(tls.driver("wrap", key, PLAIN, own, env={"VAULT_CLIENT_CERT": cert, "VAULT_CLIENT_KEY": private}))
    good(tls.driver("wrap", key, PLAIN, {**own, **shown, **tls.role("cards")}))
    need([r.path.split("/")[-1] for r in both.seen] == ["cards", "cards", "login", "cards"], both.seen)
    both.reset()
    refused(tls.driver("wrap", key, PLAIN, own), "UNAVAILABLE", 0)
    result = bench.driver("wrap", "hcvault", key, PLAIN, {**own, "ssl.key.location": private})
    refused(result, "CONFIG", 0, "ssl.certificate.location")
    result = bench.driver("wrap", "hcvault", key, PLAIN, {**own, "ssl.keystore.location": "/a.jks"})
    refused(result, "CONFIG", 0, "ssl.keystore.location")
    need(not both.seen, both.seen)
    both.close()


# ---- faults


@tap.case("ENC-99: transient answers are tried three times, operations and logins alike, and the last one is told")
def _():
    words = json.dumps({"errors": ["request path is limited"]})
    for code, verdict in ((412, "UNAVAILABLE"), (429, "THROTTLED"), (500, "UNAVAILABLE"), (502, "UNAVAILABLE"), (503, "UNAVAILABLE"), (504, "UNAVAILABLE")):
        for props in (TOKEN, ROLE):
            fresh(*[status(code, words)] * 3)
            refused(wrap(props=props, through=proxy), verdict, code, "request path is limited")
            need(len(proxy.seen) == 3 and len(set(paths())) == 1, paths())
    fresh(status(429), status(503), passed())
    need(decrypted(good(wrap(through=proxy))) == PLAIN and len(proxy.seen) == 3, paths())
    fresh(status(500), passed(), status(412), passed())
    good(wrap(props=ROLE, through=proxy))
    need(paths() == ["login", "login", "encrypt", "encrypt"], paths())


@tap.case("ENC-99: Retry-After is waited for; one beyond reason ends the call at once")
def _():
    fresh(status(429, headers={"Retry-After": "1"}))
    result = wrap(through=proxy)
    good(result)
    need(len(proxy.seen) == 2 and result.seconds >= 1, f"{len(proxy.seen)} requests, {result.seconds} s")
    fresh(status(429, headers={"Retry-After": "3600"}))
    refused(wrap(through=proxy), "THROTTLED", 429)
    need(len(proxy.seen) == 1, paths())


@tap.case("ENC-99: what cannot get better is not tried again")
def _():
    for code, verdict in ((400, "DECRYPT"), (401, "UNAUTHENTICATED"), (403, "FORBIDDEN"), (404, "KEY_GONE"), (405, "DECRYPT"), (413, "DECRYPT"), (501, "UNAVAILABLE")):
        fresh(status(code, "<html>\r\nnot JSON</html>"))
        refused(wrap(through=proxy), verdict, code)
        need(len(proxy.seen) == 1, f"{code}: {paths()}")


@tap.case("AB-8: a redirect is an error, and what it names is not called, with the operation and with the login")
def _():
    for props in (TOKEN, ROLE):
        for code in (301, 302, 303, 308):
            fresh(status(code, headers={"Location": elsewhere.url + "/v1/transit/encrypt/cards"}))
            refused(wrap(props=props, through=proxy), "CONFIG", code)
            need(len(proxy.seen) == 1 and not elsewhere.seen, f"{paths()} {elsewhere.seen}")
        fresh(*[redirect(elsewhere.url + "/v1/transit/encrypt/cards")] * 3)  # what a standby node says that cannot forward
        refused(wrap(props=props, through=proxy), "UNAVAILABLE", 307, "not the active one")
        need(len(proxy.seen) == 3 and not elsewhere.seen, f"{paths()} {elsewhere.seen}")
    fresh(redirect(proxy.url + "/v1/transit/decrypt/cards"))
    good(wrap(through=proxy))
    need(paths() == ["encrypt", "encrypt"], paths())


@tap.case("silence ends with the time that a call has")
def _():
    fresh(stall(), stall(), stall())
    result = wrap(through=proxy, timeout_ms=1500)
    refused(result, "TIMEOUT", 0)
    need(result.seconds < 20, f"{result.seconds} s")
    fresh(slow(0.5))
    good(wrap(through=proxy, timeout_ms=20000))
    fresh(slow(60))
    refused(wrap(props=ROLE, through=proxy, timeout_ms=1000), "TIMEOUT", 0)


@tap.case("a connection that is cut, no HTTP at all, and no listener: three tries, then UNAVAILABLE")
def _():
    for fault in (cut(0), cut(20), cut(300), garbage()):
        fresh(fault, fault, fault)
        refused(wrap(through=proxy), "UNAVAILABLE", 0)
        need(len(proxy.seen) == 3, paths())
        fresh(fault)
        good(wrap(through=proxy))
        need(len(proxy.seen) == 2, paths())
    nobody = f"http://127.0.0.1:{bench.free_port()}"
    refused(vault.driver("wrap", nobody + "/transit/keys/cards", PLAIN, {**TOKEN, "csfle.allow.kms.hosts": nobody}), "UNAVAILABLE", 0)


@tap.case("AB-14: an endless answer is given up at its limit, and not asked for again")
def _():
    for props in (TOKEN, ROLE):
        fresh(endless(), endless())
        result = wrap(props=props, through=proxy, timeout_ms=60000)
        need(not result.ok and "longer than" in result.err and len(proxy.seen) == 1, f"{paths()} {result.err}")


@tap.case("answers that are none: empty, other JSON, deep, wrong types, no prefix, no Base64")
def _():
    def body(text, code=200):
        return status(code, text, {"Content-Type": "application/json"})
    for text in ("", "null", "[]", "{}", '{"data":null}', '{"data":{}}', '{"data":{"ciphertext":7}}', '{"data":{"ciphertext":""}}', '{"data":{"ciphertext":"plain"}}',
                 '{"data":{"ciphertext":"vault:v1:"}}', '{"data":{"ciphertext":"vault:v1:a\\nb"}}', '{"data":{"ciphertext":"vault:v1:QUJD"}', "[" * 100000, "\0", "<html>"):
        fresh(body(text))
        refused(wrap(through=proxy), "UNAVAILABLE", says="no data.ciphertext")
        need(len(proxy.seen) == 1, paths())
    text = encrypted(PLAIN)
    for answer in ("", "{}", '{"data":{"plaintext":""}}', '{"data":{"plaintext":"%%%"}}', '{"data":{"plaintext":["QUJD"]}}', '{"data":{"ciphertext":"QUJD"}}'):
        fresh(body(answer))
        refused(unwrap(text, through=proxy), "UNAVAILABLE", says="no data.plaintext")
    for answer in ("", "{}", '{"auth":null}', '{"auth":{"client_token":""}}', '{"auth":{"client_token":5}}', '{"auth":{"client_token":"a\\r\\nX-Evil: 1"}}'):
        fresh(body(answer))
        refused(wrap(props=ROLE, through=proxy), "UNAVAILABLE", says="no auth.client_token")
        need(paths() == ["login"], paths())


@tap.case("a login that says odd things of its lease is used all the same")
def _():
    def with_lease(lease):
        def change(reply):
            answer = json.loads(reply.body)
            answer["auth"]["lease_duration"] = lease
            return reply._replace(body=json.dumps(answer).encode())
        return replace(change)
    for lease in (0, -5, 10 ** 30, "ten", None, 2 ** 62):
        fresh(with_lease(lease))
        good(wrap(props=ROLE, through=proxy, count=2))
        need(paths()[0] == "login" and paths().count("encrypt") == 2, paths())


@tap.case("Vault's words are told as far as they are words: the first line, no more than fits, no control characters")
def _():
    for words in ("first\nsecond " + TOKEN["token.id"], "2 errors occurred:\n\t* first\n\t* " + TOKEN["token.id"], "x" * 10000, "\u0007\u001b[31mred", "\U0001F512" * 200):
        fresh(status(400, json.dumps({"errors": [words]})))
        result = wrap(through=proxy)
        refused(result, "DECRYPT", 400)
        need(len(result.err.encode()) < 600 and result.err.isprintable(), result.err)


# ---- where requests may go


@tap.case("AB-8: Vault has no host of its own: a key id that leads where the operator lists nothing sends nothing")
def _():
    key = f"{elsewhere.url}/transit/keys/cards"
    at = f"127.0.0.1:{elsewhere.port}"
    text = encrypted(PLAIN)
    for hosts in (None, vault.url, at, "https://" + at, "*.bank.example", f"http://127.0.0.2:{elsewhere.port}", f"http://localhost:{elsewhere.port}"):
        for props in (TOKEN, ROLE):
            fresh()
            own = {**props, **({"csfle.allow.kms.hosts": hosts} if hosts else {})}
            for op, data in (("wrap", PLAIN), ("unwrap", text)):
                # a list that came from the registry is none
                refused(vault.driver(op, key, data, own, registry={"csfle.allow.kms.hosts": elsewhere.url}), "POLICY", 0, "csfle.allow.kms.hosts")
            need(not elsewhere.seen, f"{hosts}: {elsewhere.seen}")
    fresh()
    vault.driver("wrap", key, PLAIN, {**TOKEN, "csfle.allow.kms.hosts": elsewhere.url})
    need(len(elsewhere.seen) == 3, "the control: a listed host is called")


@tap.case("AB-8: odd spellings of an address that is not listed lead nowhere")
def _():
    port = elsewhere.port
    for host in ("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "[::1]", "localhost", "user@127.0.0.1", "0.0.0.0"):
        fresh()
        result = vault.driver("wrap", f"http://{host}:{port}/transit/keys/cards", PLAIN, {**TOKEN, **HOSTS})
        need(result.status in ("POLICY", "CONFIG") and not elsewhere.seen, f"{host}: {result}")


tap.done(35)
