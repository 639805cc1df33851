#!/usr/bin/env python3
"""register-deks and rewrap-deks against a real csfle-registry: DEK-182 to DEK-190, and what they must not do."""
import base64
import http.server
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "support"))
import programs  # noqa: E402

BUILD = os.environ.get("CSFLE_BUILD", os.path.join(TOP, "build", "debug"))
TOOLS = os.path.dirname(os.environ.get("CSFLE_TOOL") or os.path.join(BUILD, "csfle"))
SERVER = os.environ.get("CSFLE_REGISTRY") or os.path.join(BUILD, "csfle-registry")
SECRET = "mysecret"
PARAM = "rule.executors._default_.param.secret=" + SECRET
W = "07V2ndh02DA73p+dTybwZFm7DKQSZN1tEwQh+FoX1DZLk4Yj2LLu4omYjp/84tAg3BYlkfGSz+zZacJHIE4="  # wrapped with SECRET
W_PLAIN = "GiBB5SNMJKak+FsdgjfpmhLfhyLwwhg3VWrNDset3lhpzw=="
SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "ssn", "type": "string", "confluent:tags": ["PII"]}]}
REGISTER_HELP = """\
Usage: register-deks [-hV] [-X=<prop=val>]... <url> <subject> [<version>]
Register and/or auto-rotate DEKs according to a specified data contract.
      <url>                   SR (Schema Registry) URL
      <subject>               Subject
      [<version>]             Version, defaults to latest
  -X, --property=<prop=val>   Set configuration property.
  -h, --help                  Show this help message and exit.
  -V, --version               Print version information and exit.
"""
REWRAP_HELP = """\
Usage: rewrap-deks [-hV] [-X=<prop=val>]... <url> <kekName> [<subject>]
                   [<includeDeleted>]
Rewrap DEKs using the latest version of the KEK.
      <url>                   SR (Schema Registry) URL
      <kekName>               KEK name
      [<subject>]             Subject, defaults to all subjects
      [<includeDeleted>]      Include deleted DEKs, defaults to true
  -X, --property=<prop=val>   Set configuration property.
  -h, --help                  Show this help message and exit.
  -V, --version               Print version information and exit.
"""


def need(condition, text):
    if not condition:
        raise programs.Failed(str(text))


def rule(name="r", kind="ENCRYPT", kek="kek", more=None, **members):
    params = {"encrypt.kek.name": kek, "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": "mykey", **(more or {})}
    return {"name": name, "kind": "TRANSFORM", "type": kind, "mode": "WRITEREAD", "tags": ["PII"], "params": params, **members}


class World:
    def __init__(self, folder):
        self.folder = folder
        self.registry = programs.Registry(SERVER, log=os.path.join(folder, "registry.log"))
        self.url = self.registry.url
        self.said = ""  # everything that the tools printed

    def run(self, tool, *argv, code=0, env=None):
        environ = {k: v for k, v in os.environ.items() if k not in ("LOCAL_SECRET", "CSFLE_REGISTRY_URL")}
        done = subprocess.run([os.path.join(TOOLS, tool), *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**environ, **(env or {})}, timeout=60, check=False, preexec_fn=programs.die_with_parent)
        self.said += done.stdout + done.stderr
        need(done.returncode == code, f"{tool} {argv}: exit code {done.returncode}, expected {code}\n{done.stdout}{done.stderr}")
        return done

    def register(self, *argv, url=None, **more):
        return self.run("register-deks", url or self.url, *argv, **more)

    def rewrap(self, kek, *argv, **more):
        return self.run("rewrap-deks", self.url, kek, *argv, **more)

    def call(self, method, path, body=None, status=200):
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/vnd.schemaregistry.v1+json"})
        try:
            with urllib.request.urlopen(request, timeout=20) as r:
                got, text = r.status, r.read()
        except urllib.error.HTTPError as e:
            got, text = e.code, e.read()
        need(got == status, f"{method} {path}: {got} {text}")
        return json.loads(text) if text else None

    def contract(self, subject, domain=(), encoding=()):
        rules = {k: list(v) for k, v in (("domainRules", domain), ("encodingRules", encoding)) if v}
        self.call("POST", f"/subjects/{subject}/versions", {"schema": json.dumps(SCHEMA), **({"ruleSet": rules} if rules else {})})

    def kek(self, name, shared=False, props=None):
        self.call("POST", "/dek-registry/v1/keks", {"name": name, "kmsType": "local-kms", "kmsKeyId": "mykey", "shared": shared,
                                                    **({"kmsProps": props} if props else {})})

    def put_dek(self, kek, subject, algorithm="AES256_GCM", version=1, material=W):
        body = {"subject": subject, "algorithm": algorithm, "version": version, **({"encryptedKeyMaterial": material} if material else {})}
        return self.call("POST", f"/dek-registry/v1/keks/{kek}/deks", body)

    def dek(self, kek, subject, version="latest", algorithm="AES256_GCM", status=200, deleted="false"):
        return self.call("GET", f"/dek-registry/v1/keks/{kek}/deks/{urllib.parse.quote(subject, safe='')}/versions/{version}"
                                f"?algorithm={algorithm}&deleted={deleted}", status=status)

    def stop(self):
        self.registry.stop()


class Between(http.server.ThreadingHTTPServer):
    """Stands between tool and registry: `change(path, answer)` alters answers; with `refuse` no DEK can be made."""

    daemon_threads = True

    def __init__(self, url, change, refuse=False):
        self.behind, self.change, self.refuse = url, change, refuse
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        try:
            if self.server.refuse and self.command == "POST" and "/deks/" in self.path:
                raise urllib.error.HTTPError(self.path, 422, "refused", None, io.BytesIO(b'{"error_code":422,"message":"not today"}'))
            with urllib.request.urlopen(urllib.request.Request(self.server.behind + self.path, data=body, method=self.command,
                                                               headers={"Content-Type": "application/vnd.schemaregistry.v1+json"}), timeout=20) as r:
                status, text = r.status, r.read()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read()
        text = json.dumps(self.server.change(self.path, json.loads(text))).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = handle_any


def aged(days):
    """Makes version 1 of every DEK that is read days old."""
    def change(path, answer):
        if "/deks/" in path and isinstance(answer, dict) and answer.get("version") == 1:
            answer["ts"] -= days * 86400000
        return answer
    return change


# ---- the tests

def usage(w):
    """DEK-182 DEK-186: help texts exactly, --version is silent, usage errors are 2 with a message and the help on stderr"""
    for tool, text in (("register-deks", REGISTER_HELP), ("rewrap-deks", REWRAP_HELP)):
        for flag in ("--help", "-h", "-hV"):
            done = w.run(tool, flag)
            need((done.stdout, done.stderr) == (text, ""), f"{tool} {flag}: {done}")
        done = w.run(tool, "-V")
        need((done.stdout, done.stderr) == ("", ""), done)
        w.run(tool, "a", "b", "c", "d", "e", "--help")
    for tool, argv, message in [
        ("register-deks", [], "Missing required parameters: '<url>', '<subject>'"), ("register-deks", [w.url], "Missing required parameter: '<subject>'"),
        ("register-deks", [w.url, "s", "latest"], "Invalid value for positional parameter at index 2 (<version>): 'latest' is not an int"),
        ("register-deks", [w.url, "s", "3000000000"], "'3000000000' is not an int"),
        ("register-deks", [w.url, "s", "1", "secret=topsecret"], "Unmatched argument at index 3: 'secret'"),
        ("register-deks", [w.url, "s", "1", "more"], "Unmatched argument at index 3: 'more'"), ("register-deks", ["--frob"], "Unknown option: '--frob'"),
        ("register-deks", ["--frob=topsecret"], "Unknown option: '--frob'"),
        ("register-deks", [w.url, "s", "-X"], "Missing required parameter for option '--property'"),
        ("register-deks", [w.url, "s", "-X", "topsecret"], "KEY=VALUE"), ("register-deks", [w.url, "s", "-Xtopsecret"], "KEY=VALUE"),
        ("register-deks", [w.url, "s", "--property", "=topsecret"], "KEY=VALUE"), ("register-deks", ["ftp://x", "s"], "http://"),
        ("rewrap-deks", [], "Missing required parameters: '<url>', '<kekName>'"), ("rewrap-deks", [w.url], "Missing required parameter: '<kekName>'"),
        ("rewrap-deks", [w.url, "k", "s", "maybe"], "Unmatched argument at index 3: 'maybe'"),
        ("rewrap-deks", [w.url, "k", "s", "true", "x"], "Unmatched argument at index 4: 'x'"),
    ]:
        done = w.run(tool, *argv, code=2)
        text = REGISTER_HELP if tool == "register-deks" else REWRAP_HELP
        need(done.stdout == "" and done.stderr.endswith("\n" + text) and message in done.stderr and "topsecret" not in done.stderr, f"{argv}: {done}")
    done = w.run("register-deks", w.url, "s", "-X", "no.such.property=topsecret", code=2)
    need("no.such.property" in done.stderr and "topsecret" not in done.stderr, done)


def registers(w):
    """DEK-183: KEK and DEK of an ENCRYPT rule are made once; a second run makes nothing"""
    w.contract("subj", [rule()])
    w.register("subj", "-X", PARAM)
    first = w.dek("kek", "subj")
    need(first["version"] == 1 and w.call("GET", "/dek-registry/v1/keks/kek")["kmsKeyId"] == "mykey", first)
    for argv in (["1"], ["-1"], ["--", "-7"], []):
        w.register("--property=" + PARAM, "subj", *argv)
    need(w.dek("kek", "subj") == first, "a later run changed the DEK")
    w.register("subj", "99", "-X", PARAM, code=1)
    # the key is one that a producer and the registry itself can use
    w.kek("check183", shared=True, props={"secret": SECRET})
    need(len(base64.b64decode(w.put_dek("check183", "subj", material=first["encryptedKeyMaterial"])["keyMaterial"])) == 34, "not an AES256_GCM key")


def parameters(w):
    """DEK-183: the secret by rule, by type (the upstream bug) and by _default_, @FILE and @env; the most specific wins; none is 1"""
    path = os.path.join(w.folder, "secret")
    with open(path, "w", encoding="utf-8") as f:
        f.write(SECRET + "\n")
    wrong = "rule.executors._default_.param.secret=another"
    for i, props in enumerate([["rule.executors.r.param.secret=" + SECRET, wrong, "rule.executors._ENCRYPT_.param.secret=another"],
                               ["rule.executors._ENCRYPT_.param.secret=" + SECRET, wrong], ["secret=" + SECRET],
                               ["rule.executors._default_.param.secret=@" + path], ["rule.executors._default_.param.secret=@env:MINE"]]):
        w.contract(f"param{i}", [rule(kek=f"param{i}")])
        w.register(f"param{i}", *(x for p in props for x in ("-X", p)), env={"MINE": SECRET})
        made = w.dek(f"param{i}", f"param{i}")["encryptedKeyMaterial"]
        w.kek(f"check{i}", shared=True, props={"secret": SECRET})
        w.put_dek(f"check{i}", "s", material=made)  # answers 500 when it was wrapped with another secret
    w.contract("nosecret", [rule(kek="nosecret")])
    done = w.register("nosecret", code=1)
    need("secret" in done.stderr and "nosecret" in done.stderr and done.stderr.count("\n") == 1, done)
    w.dek("nosecret", "nosecret", status=404)


def rotates(w):
    """DEK-184: an expired DEK of a rotating rule gets its successor, another does not; one that cannot be made is exit code 1"""
    w.contract("old", [rule(kek="rot", more={"encrypt.dek.expiry.days": "1"})])
    w.register("old", "-X", PARAM)
    for days, refuse, code, version in ((0, False, 0, 1), (2, True, 1, 1), (2, False, 0, 2), (2, False, 0, 2)):
        between = Between(w.url, aged(days), refuse)
        done = w.register("old", "-X", PARAM, url=between.url, code=code)
        between.shutdown()
        need(w.dek("rot", "old")["version"] == version, f"{days} days, refuse {refuse}: version {w.dek('rot', 'old')['version']}")
        need(not refuse or "past its age" in done.stderr, done)
    need(w.dek("rot", "old", 1)["encryptedKeyMaterial"] != w.dek("rot", "old", 2)["encryptedKeyMaterial"], "version 2 is version 1")


def no_rules(w):
    """DEK-185: a schema without rules is 0 and no keys, a missing subject is 1; disabled and other rules are passed by"""
    w.contract("plain")
    before = w.call("GET", "/dek-registry/v1/keks")
    need("No rules found" in w.register("plain").stderr, "it does not say so")
    need("No schema found" in w.register("nobody", code=1).stderr, "it does not say so")
    cel = {"name": "c", "kind": "CONDITION", "type": "CEL", "mode": "WRITE", "expr": "true"}
    w.contract("others", [cel, rule("off", kek="off", disabled=True)])
    w.register("others", "-X", PARAM)
    need(w.call("GET", "/dek-registry/v1/keks") == before, "keys were made")
    w.run("register-deks", "http://127.0.0.1:1", "subj", "-X", "max.retries=0", code=1)


def every_rule(w):
    """DEK-183: domain rules, then encoding rules; each algorithm; keys made before an error stay"""
    w.contract("all", [rule("a", kek="all", more={"encrypt.dek.algorithm": "AES128_GCM"}), rule("b", kek="all", more={"encrypt.dek.algorithm": "AES256_SIV"})],
               [rule("p", "ENCRYPT_PAYLOAD", kek="payload")])
    lines = w.register("all", "-X", PARAM).stderr.splitlines()
    need([line.split(":")[1].strip() for line in lines] == ["rule a", "rule b", "rule p"], lines)
    for kek, algorithm in (("all", "AES128_GCM"), ("all", "AES256_SIV"), ("payload", "AES256_GCM")):
        w.dek(kek, "all", 1, algorithm)
    bad = rule("z", kek="late")
    bad["params"]["encrypt.kms.key.id"] = "otherkey"
    w.kek("late")
    w.contract("half", [rule("y", kek="early"), bad])
    done = w.register("half", "-X", PARAM, code=1)
    need("half v1 z" in done.stderr and "differs from rule kms key id" in done.stderr, done)
    w.dek("early", "half")


def rewraps_one(w):
    """DEK-187: material of one subject is another and unwraps to the same key; other subjects keep theirs"""
    w.kek("k")
    w.put_dek("k", "s1")
    w.put_dek("k", "s2")
    w.rewrap("k", "s1", "--property", PARAM)
    made = w.dek("k", "s1")
    need(made["encryptedKeyMaterial"] != W and w.dek("k", "s2")["encryptedKeyMaterial"] == W, made)
    w.kek("check187", shared=True, props={"secret": SECRET})
    need(w.put_dek("check187", "s", material=made["encryptedKeyMaterial"])["keyMaterial"] == W_PLAIN, "another key")


def rewraps_all(w):
    """DEK-188: all subjects, algorithms, versions and contexts; soft-deleted ones too, and still deleted; false leaves those out"""
    w.kek("many")
    keys = [("a", "AES256_GCM", 1), ("a", "AES256_GCM", 2), ("a", "AES256_GCM", 7), ("a", "AES256_SIV", 1),
            ("b/c d", "AES128_GCM", 1), (":.ctx:a", "AES256_GCM", 1)]
    for s, algorithm, version in keys:
        w.put_dek("many", s, algorithm, version)
    w.call("DELETE", "/dek-registry/v1/keks/many/deks/a/versions/2?algorithm=AES256_GCM", status=204)
    live = {k: w.dek("many", k[0], k[2], k[1], deleted="true") for k in keys}
    lines = w.rewrap("many", "-X", PARAM).stderr.splitlines()
    need(len(lines) == 6 and sum("(deleted)" in line for line in lines) == 1, lines)
    after = {k: w.dek("many", k[0], k[2], k[1], deleted="true") for k in keys}
    for k in keys:
        need(after[k]["encryptedKeyMaterial"] != W and bool(after[k].get("deleted")) == bool(live[k].get("deleted")) == (k[2] == 2), f"{k}: {after[k]}")
    w.dek("many", "a", 2, status=404)
    need(len({a["encryptedKeyMaterial"] for a in after.values()}) == 6, "the same material twice")
    need(len(w.rewrap("many", "a", "False", "-X", PARAM).stderr.splitlines()) == 3, "a soft-deleted one was not left out")
    need(w.dek("many", "a", 2, deleted="true") == after[("a", "AES256_GCM", 2)], "the soft-deleted one was changed")
    # a soft-deleted KEK
    w.kek("gone")
    w.put_dek("gone", "a")
    w.call("DELETE", "/dek-registry/v1/keks/gone/deks/a", status=204)
    w.call("DELETE", "/dek-registry/v1/keks/gone", status=204)
    w.rewrap("gone", "-X", PARAM)
    need(w.dek("gone", "a", 1, deleted="true")["encryptedKeyMaterial"] != W, "not rewrapped")
    w.kek("empty")
    w.rewrap("empty")


def pages(w):
    """DEK-188: a registry that hands out two entries of a list at once hides none"""
    small = programs.Registry(SERVER, log=os.path.join(w.folder, "small.log"), args=(
        "--dev", "--port", "0", "-X", "dek.subject.search.default.limit=2", "-X", "dek.version.search.default.limit=2"))
    big, w.url = w.url, small.url
    try:
        w.kek("k")
        for i in range(5):
            for version in range(1, 6 if i == 0 else 2):
                w.put_dek("k", f"s{i}", version=version)
        need(len(w.rewrap("k", "-X", PARAM).stderr.splitlines()) == 9, "some were left out")

        def forget_offset(path, answer):
            return ["s0", "s1"] if path.split("?")[0].endswith("/deks") else answer
        between = Between(small.url, forget_offset)
        need(len(w.run("rewrap-deks", between.url, "k", "-X", PARAM).stderr.splitlines()) == 6, "it goes round")
        between.shutdown()
    finally:
        w.url = big
        small.stop()


def rewraps_shared(w):
    """DEK-189: a shared KEK is rewrapped by the registry without a secret; keyMaterial stays"""
    w.kek("sh", shared=True, props={"secret": SECRET})
    before = w.put_dek("sh", "a", material=None)
    w.rewrap("sh")
    after = w.dek("sh", "a")
    need(after["encryptedKeyMaterial"] != before["encryptedKeyMaterial"] and after["keyMaterial"] == before["keyMaterial"], "not the same key")
    need(before["keyMaterial"] not in w.said and after["encryptedKeyMaterial"] not in w.said, "material was printed")


def rewrap_errors(w):
    """DEK-190: a missing KEK, subject or secret and a wrong secret are 1, nothing is changed; the error names KEK and subject"""
    done = w.rewrap("nope", code=1)
    need("nope" in done.stderr and done.stderr.count("\n") == 1, done)
    w.kek("e")
    w.put_dek("e", "s")
    w.put_dek("e", "t", material="bm90IHdyYXBwZWQ=")
    w.rewrap("e", "nobody", "-X", PARAM, code=1)
    for argv in ([], ["-X", "secret=another"]):
        need("Could not register dek for kek e, subject s: " in w.rewrap("e", "s", *argv, code=1).stderr, "text of the error")
    need(w.dek("e", "s")["encryptedKeyMaterial"] == W, "changed")
    done = w.rewrap("e", "-X", PARAM, code=1)
    need("subject t" in done.stderr and w.dek("e", "s")["encryptedKeyMaterial"] != W, done)  # keys done before stay
    need(w.dek("e", "t")["encryptedKeyMaterial"] == "bm90IHdyYXBwZWQ=", "changed")
    w.rewrap("e", "s", "-X", PARAM)  # again is safe


def nothing_secret(w):
    """DEK-183 DEK-187: no secret, no key and no wrapped material was ever printed"""
    for text in (SECRET, W, W_PLAIN):
        need(text not in w.said, "it was")


TESTS = [usage, registers, parameters, rotates, no_rules, every_rule, rewraps_one, rewraps_all, pages, rewraps_shared, rewrap_errors, nothing_secret]


def main():
    tap = programs.Tap(len(TESTS))
    with tempfile.TemporaryDirectory(prefix="csfle-deks-") as folder:
        world = World(folder)
        try:
            for test in TESTS:
                tap.test(test.__doc__.splitlines()[0], lambda test=test: test(world))
        finally:
            world.stop()
    return tap.exit_code()


if __name__ == "__main__":
    sys.exit(main())
