"""A csfle-registry of a suite's own, what is asked of it, and as much of Vault's transit engine as suites need that are not about Vault."""
import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request

import bench


@contextlib.contextmanager
def running(*settings, env=None, secrets=()):
    """The URL of a registry in memory. settings: "name=value"; env: all of its environment; none of the secrets may be in what it prints."""
    server = bench.start([bench.REGISTRY, "--dev", "--port", "0", *options(settings)], env=bench.bare_env(env), ready=r"^listening on (\S+)")
    try:
        yield server.match.group(1)
        bench.need(not any(s in server.text() for s in secrets), "a secret is in the registry's log")
    finally:
        server.stop()


def options(settings):
    return [word for s in settings for word in ("-X", s)]


def call(url, method, where, body=None):
    """(status, answer)."""
    request = urllib.request.Request(url + where, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/vnd.schemaregistry.v1+json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as r:
            return r.status, json.loads(r.read() or b"null")
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read() or b"null")


def good(url, method, where, body=None):
    """The answer, which has to be 200."""
    code, answer = call(url, method, where, body)
    bench.need(code == 200, (method, where, code, answer))
    return answer


def kek(url, name, kms, key, shared=False, props=None):
    """(status, answer) of creating it."""
    return call(url, "POST", "/dek-registry/v1/keks", {"name": name, "kmsType": kms, "kmsKeyId": key, "shared": shared, **({"kmsProps": props} if props else {})})


def contract(url, subject, *keks):
    """A schema whose n-th field is encrypted under the n-th KEK."""
    rules = [{"name": f"r{n}", "kind": "TRANSFORM", "type": "ENCRYPT", "mode": "WRITEREAD", "tags": [f"T{n}"], "params": {"encrypt.kek.name": name}} for n, name in enumerate(keks)]
    schema = {"type": "record", "name": "R", "fields": [{"name": f"f{n}", "type": "string", "confluent:tags": [f"T{n}"]} for n in range(len(keks))]}
    good(url, "POST", f"/subjects/{subject}/versions", {"schema": json.dumps(schema), "ruleSet": {"domainRules": rules}})


def register_deks(url, subject, *settings, env=None):
    """What register-deks did, a client: (exit code, all that it printed)."""
    done = subprocess.run([os.path.join(os.path.dirname(bench.TOOL), "register-deks"), *options(settings), url, subject], env=bench.bare_env(env), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False, preexec_fn=bench.die_with_parent)
    return done.returncode, done.stdout


def transit(request):
    """For FaultProxy.check: what is wrapped is the plaintext behind the prefix."""
    body = json.loads(request.body)
    if "/encrypt/" in request.path:
        return 200, json.dumps({"data": {"ciphertext": "vault:v1:" + body["plaintext"]}}).encode()
    return 200, json.dumps({"data": {"plaintext": body["ciphertext"][len("vault:v1:"):]}}).encode()
