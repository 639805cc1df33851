#!/usr/bin/env python3
"""csfle kek, dek, keys and decrypt: key life cycles, tables byte for byte, prompts, backups that are read without a registry."""
import hashlib
import http.server
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_csfle as base  # noqa: E402
from test_csfle import SECRET, TOOL, customer, expect, lines_of, parsed, rule, same  # noqa: E402
import programs  # noqa: E402

DAY = 86400000
KEKS = "/dek-registry/v1/keks"
TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
MATERIAL = "07V2ndh02DA73p+dTybwZFm7DKQSZN1tEwQh+FoX1DZLk4Yj2LLu4omYjp/84tAg3BYlkfGSz+zZacJHIE4="


def need(condition, text):
    if not condition:
        raise programs.Failed(str(text))


class Fake(http.server.ThreadingHTTPServer):
    """A registry of given answers: `keks` and `deks` are lists of objects, `schemas` too. `ours` False: it is no csfle-registry."""

    daemon_threads = True

    def __init__(self, keks, deks, schemas=(), ours=True, page=None):
        self.keks, self.deks, self.schemas, self.ours, self.page, self.asked = {k["name"]: k for k in keks}, {}, list(schemas), ours, page, []
        for d in deks:
            self.deks.setdefault(d["kekName"], []).append(d)
        super().__init__(("127.0.0.1", 0), FakeHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self, path, query):
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", -1))
        limit = min(x for x in (limit, self.page) if x and x > 0) if (limit > 0 or self.page) else None

        def page(items):
            return items[offset:][:limit]

        if path == ["schemas"]:
            return page(self.schemas)
        if path[:3] == ["csfle", "v1", "keks"] and self.ours:
            return page(self.deks.get(path[3], []))
        if path[:3] != ["dek-registry", "v1", "keks"]:
            return None
        rest = path[3:]
        if not rest:
            return page(sorted(self.keks))
        of = self.deks.get(rest[0], [])
        if len(rest) == 1:
            return self.keks.get(rest[0])
        if len(rest) == 2:
            return page(sorted({d["subject"] for d in of}))
        of = [d for d in of if d["subject"] == rest[2] and d["algorithm"] == query.get("algorithm")]
        if len(rest) == 4:
            return page([d["version"] for d in of])
        return next((d for d in of if str(d["version"]) == rest[4]), None)


class FakeHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        target = urllib.parse.urlsplit(self.path)
        self.server.asked.append(self.path)
        found = self.server.answer([urllib.parse.unquote(p) for p in target.path.strip("/").split("/")], dict(urllib.parse.parse_qsl(target.query)))
        text = json.dumps({"error_code": 404, "message": "HTTP 404 Not Found"} if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def kek(name, kms="local-kms", key="demo", shared=False, **more):
    return {"name": name, "kmsType": kms, "kmsKeyId": key, "kmsProps": {}, "shared": shared, "ts": 1, **more}


def dek(of, subject, version=1, days=0, algorithm="AES256_GCM", **more):
    return {"kekName": of, "subject": subject, "version": version, "algorithm": algorithm, "encryptedKeyMaterial": MATERIAL,
            "ts": int(time.time() * 1000) - days * DAY - 3600000, **more}


def schema(subject, version, number, kek_name, days=None, algorithm=None, **more):
    rules = rule(kek=kek_name, days=days)
    if algorithm:
        rules["domainRules"][0]["params"]["encrypt.dek.algorithm"] = algorithm
    return {"subject": subject, "version": version, "id": number, "schemaType": "AVRO", "schema": json.dumps(base.SCHEMA), "ruleSet": rules, **more}


def the_issue():
    """What the table of the documentation shows."""
    now = int(time.time() * 1000)
    keks = [kek("orders-pii", "aws-kms", "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
            kek("cards", "hcvault", "https://vault.bank:8200/transit/keys/cards", True),
            kek("old-crm", "azure-kms", "https://kv-crm.vault.azure.net/keys/crm", deleted=True, ts=now - 12 * DAY - 5000)]
    deks = [dek("cards", "cards-value", v, 112 if v == 3 else 300 - v) for v in (1, 2, 3)]
    deks += [dek("old-crm", f"crm{i}-value", 1, 400 if i else 390, deleted=True) for i in range(2)]
    deks += [dek("orders-pii", f"o{i}-value", v, 41 if (i, v) == (0, 3) else 10) for i in range(6) for v in range(1, 4 if i < 4 else 2)]
    return keks, deks, [schema("cards-value", 1, 1, "cards"), schema("cards-value", 2, 2, "cards", 90), schema("o0-value", 1, 3, "orders-pii", 60)]


TABLE = """\
NAME        KMS        KEY                                               SHARED  SUBJECTS  DEKS  OLDEST  STATE
cards       hcvault    https://vault.bank:8200/transit/keys/cards        yes            1     3  112d    ROTATION OVERDUE (90d)
old-crm     azure-kms  https://kv-crm.vault.azure.net/keys/crm           no             2     2  400d    deleted 12d ago
orders-pii  aws-kms    arn:aws:kms:eu-central-1:111122223333:key/1234..  no             6    14  41d     ok
"""


def on_terminal(w, argv, typed):
    """Runs csfle on a pseudo-terminal, types what is to be typed when it asks; (exit code, all it showed)."""
    env = {**os.environ, "CSFLE_REGISTRY_URL": w.registry.url, "LOCAL_SECRET": SECRET}
    echo = b""
    try:
        parent, child = pty.openpty()
    except OSError:  # a root without /dev/pts
        parent, child = (s.detach() for s in socket.socketpair())
        env["LD_PRELOAD"] = os.path.join(os.path.dirname(TOOL), "libtests_terminal.so")
        echo = typed.encode() + b"\n"
    run = subprocess.Popen([TOOL, *argv], stdin=child, stdout=child, stderr=child, env=env, preexec_fn=programs.die_with_parent)
    os.close(child)
    shown, asked, end = b"", False, time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([parent], [], [], 0.1)[0]:
            try:
                got = os.read(parent, 4096)
            except OSError:
                break
            if not got:
                break
            shown += got
        if not asked and re.search(rb"Type \S+ to [a-z ]+: $", shown):
            os.write(parent, typed.encode() + b"\n")
            shown += echo
            asked = True
    os.close(parent)
    return run.wait(10), shown.decode().replace("\r\n", "\n")


def make_kek(w, name, *more):
    expect(w.run("kek", "create", name, "--kms-type", "local-kms", "--kms-key", "demo", *more), 0)
    return name


# ---- the tests

def kek_table(w):
    """the list of KEKs is the documented table, byte for byte; of a csfle-registry and of another"""
    for ours in (True, False):
        fake = Fake(*the_issue(), ours=ours)
        same(expect(w.run("kek", "list", "-r", fake.url), 0).out, TABLE, "table")
        same(any("/versions/" in path for path in fake.asked), not ours, "reading one by one")
        live = expect(w.run("kek", "list", "--live", "-r", fake.url), 0).out
        need("old-crm" not in live and "cards" in live, live)
        keks = json.loads(expect(w.run("kek", "list", "-o", "json", "-r", fake.url), 0).out)
        same([(k["name"], k["subjects"], k["deks"], k["oldestDays"], k.get("rotationOverdueDays"), k["state"], k["deleted"]) for k in keks],
             [("cards", 1, 3, 112, 90, "ROTATION OVERDUE (90d)", False), ("old-crm", 2, 2, 400, None, "deleted 12d ago", True),
              ("orders-pii", 6, 14, 41, None, "ok", False)], "JSON")
        fake.shutdown()
    for rows, wanted in (([], "[]\n"), ([kek("k")], None)):
        fake = Fake(rows, [])
        out = expect(w.run("kek", "list", "-o", "json", "-r", fake.url), 0).out
        same(out if wanted else json.loads(out)[0]["state"], wanted or "ok", "JSON")
        fake.shutdown()


def report_formats(w):
    """keys report as a table, CSV and JSON"""
    now = int(time.time() * 1000)
    deks = [dek("k1", "a-value", 1, 100), dek("k1", "a-value", 2, 95), dek("k1", "b-value", 1, 3, "AES256_SIV"), dek("k1", '=c,"d"', 1, 5),
            dek("k1", "e-value", 1, 5, deleted=True), dek("k2", "a-value", 1, 7)]
    schemas = [schema("a-value", 1, 1, "k1", 90), schema("b-value", 1, 2, "k1", 30, "AES256_SIV")]
    fake = Fake([kek("k1", shared=True), kek("k2", deleted=True), kek("k3")], deks, schemas)
    table = expect(w.run("keys", "report", "-r", fake.url), 0).out
    same(TIME.sub("TIME", table), """\
KEK  KMS        SUBJECT  ALGORITHM   VERSION  CREATED               AGE   EXPIRES               STATE
k1   local-kms  =c,"d"   AES256_GCM        1  TIME  5d    -                     no rule
k1   local-kms  a-value  AES256_GCM        1  TIME  100d  -                     older version
k1   local-kms  a-value  AES256_GCM        2  TIME  95d   TIME  ROTATION OVERDUE
k1   local-kms  b-value  AES256_SIV        1  TIME  3d    TIME  in use
k1   local-kms  e-value  AES256_GCM        1  TIME  5d    -                     deleted
k2   local-kms  a-value  AES256_GCM        1  TIME  7d    -                     KEK deleted
k3   local-kms  -        -                 -  -                     -     -                     no data keys
""", "table")
    csv = expect(w.run("keys", "report", "-o", "csv", "-r", fake.url), 0).out.split("\r\n")
    same(csv[0], "kek,kms_type,kms_key_id,shared,subject,algorithm,version,created,age_days,expiry_days,expires,state", "CSV header")
    same(TIME.sub("TIME", csv[1]), 'k1,local-kms,demo,true,"\'=c,""d""",AES256_GCM,1,TIME,5,,,no rule', "CSV with what a spreadsheet would run")
    same(TIME.sub("TIME", csv[3]), "k1,local-kms,demo,true,a-value,AES256_GCM,2,TIME,95,90,TIME,ROTATION OVERDUE", "CSV")
    got = json.loads(expect(w.run("keys", "report", "-o", "json", "-r", fake.url), 0).out)
    same([(r["kekName"], r.get("subject"), r.get("version"), r["state"]) for r in got][2:5:2] + [got[-1]["state"]],
         [("k1", "a-value", 2, "ROTATION OVERDUE"), ("k1", "e-value", 1, "deleted"), "no data keys"], "JSON")
    need(abs(got[2]["expires"] - (now - 5 * DAY)) < DAY and got[2]["expiryDays"] == 90 and MATERIAL not in json.dumps(got), got[2])
    fake.shutdown()
    expect(w.run("keys", "report", "-o", "yaml"), 2, err="table, csv or json")


def paging(w):
    """20,000 data keys are read in pages; another registry that hands out few at once hides none"""
    fake = Fake([kek("big")], [dek("big", f"s{i:05d}") for i in range(20000)], page=1000)
    same(expect(w.run("kek", "list", "-r", fake.url, timeout=120), 0).out.splitlines()[1].split()[4:6], ["20000", "20000"], "counts")
    need(len(fake.asked) < 40, f"{len(fake.asked)} requests")
    same(len(expect(w.run("dek", "list", "big", "-r", fake.url, timeout=120), 0).out.splitlines()), 20001, "lines")
    fake.shutdown()
    few = Fake([kek(f"k{i}") for i in range(7)], [dek("k0", f"s{i}", v) for i in range(9) for v in range(1, 6)], ours=False, page=2)
    rows = [line.split()[:6:5] for line in expect(w.run("kek", "list", "-r", few.url), 0).out.splitlines()[1:]]
    same(rows, [["k0", "45"]] + [[f"k{i}", "0"] for i in range(1, 7)], "names and counts")
    few.shutdown()


class Moving(Fake):
    """takes the first data key away before it hands out a later part of them, as often as `times`"""

    times = 1

    def answer(self, path, query):
        if path[0] == "csfle" and int(query.get("offset", 0)) > 0 and self.times:
            self.times -= 1
            self.deks["k"].pop(0)
        return super().answer(path, query)


def moving_lists(w):
    """a list that changes while it is read hides nothing: it is read again, and refused when it never stands still"""
    fake = Moving([kek("k")], [dek("k", f"s{i:02d}") for i in range(40)], page=10)
    told = expect(w.run("dek", "list", "k", "-o", "json", "-r", fake.url), 0).out
    same([d["subject"] for d in json.loads(told)], [f"s{i:02d}" for i in range(1, 40)], "data keys")
    fake.times = 1
    lines = [json.loads(line) for line in expect(w.run("keys", "backup", "-", "-r", fake.url), 0).out.splitlines()]
    same([line["dek"]["subject"] for line in lines if "dek" in line], [f"s{i:02d}" for i in range(2, 40)], "data keys of a backup")
    fake.times = 1000
    fake.deks["k"] += [dek("k", f"t{i:03d}") for i in range(900)]
    expect(w.run("keys", "backup", "-", "-r", fake.url), 1, out="^$", err="change too often to be read")
    fake.shutdown()


class Interrupting(Fake):
    """sends SIGINT to the csfle that asks for a later part of the data keys"""

    told = False

    def answer(self, path, query):
        if path[0] == "csfle" and int(query.get("offset", 0)) > 0 and not self.told:
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                        parent = f.read().rsplit(")", 1)[1].split()[1]
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        command = f.read().split(b"\0")
                    ours = parent == str(os.getpid()) and os.readlink(f"/proc/{pid}/exe") == os.path.realpath(TOOL) and b"mock-broker" not in command
                except OSError:
                    continue
                if ours:
                    os.kill(int(pid), signal.SIGINT)
                    self.told = True
        return super().answer(path, query)


def interrupted(w):
    """a list that is broken off is not taken for the whole"""
    for argv in (("dek", "list", "k", "--all"), ("kek", "list"), ("keys", "report"), ("keys", "backup", "-"), ("kek", "delete", "k", "--permanent", "--yes")):
        fake = Interrupting([kek("k", deleted=True)], [dek("k", f"s{i:02d}", deleted=True) for i in range(40)], page=10)
        expect(w.run(*argv, "-r", fake.url), 1, out="^$", err="stopped")
        need(fake.told, "it was interrupted")
        fake.shutdown()


def the_registry_itself(w):
    """a csfle-registry tells all data keys of a KEK at once, wrapped; a shared KEK's need no KMS for that"""
    expect(w.run("kek", "create", "atonce", "--kms-type", "local-kms", "--kms-key", "demo", "--shared", "--kms-prop", "secret=@secret"), 0)
    for subject in ("a", "b", "c"):
        expect(w.run("dek", "create", "atonce", subject, secret=None), 0)
    expect(w.run("dek", "delete", "atonce", "b"), 0)

    def ask(query):
        with urllib.request.urlopen(f"{w.registry.url}/csfle/v1/keks/atonce/deks{query}", timeout=20) as r:
            return json.loads(r.read())

    same([d["subject"] for d in ask("")], ["a", "c"], "live ones")
    same([d["subject"] for d in ask("?deleted=true&offset=1&limit=1")], ["b"], "a page")
    need(all("keyMaterial" not in d and d["encryptedKeyMaterial"] for d in ask("?deleted=true")), "material in clear")
    same(expect(w.run("dek", "list", "atonce"), 0).out.count("\n"), 3, "lines")
    shown = expect(w.run("kek", "describe", "atonce"), 0).out
    need(SECRET not in shown and "kms property   secret=(not shown)" in shown, shown)
    need(SECRET not in expect(w.run("kek", "list", "-o", "json"), 0).out, "a secret in the list")


def kek_life(w):
    """create, describe, update, delete, undelete by the vendor's option names"""
    made = expect(w.run("kek", "create", "--name", "life", "--kms-type", "local-kms", "--kms-key", "demo", "--kms-properties", "a=1,b=x,y,c=", "--doc", "d", "--shared=false",
                        "-o", "json"), 0).out
    same({k: v for k, v in json.loads(made).items() if k != "ts"}, {"name": "life", "kmsType": "local-kms", "kmsKeyId": "demo", "kmsProps": {"a": "1", "b": "x,y", "c": ""},
                                                                    "doc": "d", "shared": False, "deleted": False}, "created")
    same(TIME.sub("TIME", expect(w.run("kek", "describe", "life"), 0).out), """\
name           life
kms type       local-kms
kms key id     demo
kms property   a=1
kms property   b=x,y
kms property   c=
doc            d
shared         no
changed        TIME
""", "description")
    same(expect(w.run("kek", "get", "--name", "life"), 0).out, expect(w.run("kek", "describe", "life"), 0).out, "alias")
    updated = json.loads(expect(w.run("kek", "update", "life", "--shared", "--doc", "e", "-o", "json"), 0).out)
    same((updated["shared"], updated["doc"], updated["kmsProps"]["a"]), (True, "e", "1"), "updated")
    updated = json.loads(expect(w.run("kek", "update", "life", "--shared=false", "--kms-prop", "z=1,2", "-o", "json"), 0).out)
    same((updated["shared"], updated["kmsProps"]), (False, {"z": "1,2"}), "updated")
    expect(w.run("dek", "create", "life", "s"), 0)
    expect(w.run("kek", "delete", "life"), 1, err="42272.*\n.*csfle dek delete", quiet_out=True)
    expect(w.run("kek", "delete", "life", "--permanent", "--yes"), 6, err="is in use", quiet_out=True)
    same(expect(w.run("dek", "delete", "--kek-name", "life", "--subject", "s", "--force"), 0).out, "deleted KEK life subject s AES256_GCM all versions\n", "dek delete")
    make_kek(w, "life2")
    same(expect(w.run("kek", "delete", "life", "life2"), 0).out, "deleted KEK life\ndeleted KEK life2\n", "kek delete")
    expect(w.run("kek", "describe", "life"), 3)
    same(json.loads(expect(w.run("kek", "describe", "life", "--all", "-o", "json"), 0).out)["deleted"], True, "deleted flag")
    expect(w.run("dek", "list", "life"), 3, err="--all")
    same(expect(w.run("kek", "undelete", "life", "life2", "--force"), 0).out, "undeleted KEK life\nundeleted KEK life2\n", "kek undelete")
    expect(w.run("dek", "describe", "life", "s"), 3)
    expect(w.run("dek", "undelete", "life", "s"), 0)
    expect(w.run("dek", "describe", "life", "s"), 0)
    expect(w.run("kek", "delete", "nobody"), 3)


def dek_life(w):
    """data keys are made, rotated, listed, deleted and brought back; under a shared KEK without the secret"""
    make_kek(w, "dl")
    expect(w.run("kek", "create", "dls", "--kms-type", "local-kms", "--kms-key", "demo", "--shared", "--kms-properties", "secret=@secret,a=b"), 0)
    for of, secret in (("dl", SECRET), ("dls", None)):
        first = json.loads(expect(w.run("dek", "create", "--kek-name", of, "--subject", "s", "--algorithm", "AES128_GCM", "-o", "json", secret=secret), 0).out)
        need((first["version"], first["algorithm"]) == (1, "AES128_GCM") and "keyMaterial" not in first, first)
        expect(w.run("dek", "create", of, "s", "--algorithm", "AES128_GCM", secret=secret), 6, err="40971")
        same(json.loads(expect(w.run("dek", "rotate", of, "s", "--algorithm", "AES128_GCM", "-o", "json", secret=secret), 0).out)["version"], 2, "rotated")
        expect(w.run("dek", "delete", of, "s", "--algorithm", "AES128_GCM", "--version", "2"), 0, out="version 2")
        same(json.loads(expect(w.run("dek", "rotate", of, "s", "--algorithm", "AES128_GCM", "-o", "json", secret=secret), 0).out)["version"], 3, "number of a deleted one")
        same(expect(w.run("dek", "version", "list", of, "s", "--algorithm", "AES128_GCM"), 0).out, "VERSION\n1\n3\n", "versions")
        same(expect(w.run("dek", "version", "list", of, "s", "--algorithm", "AES128_GCM", "--all", "-o", "json"), 0).out, "[1,2,3]\n", "versions")
        expect(w.run("dek", "undelete", of, "s", "--algorithm", "AES128_GCM", "--version", "2"), 0)
        same(json.loads(expect(w.run("dek", "describe", of, "s", "--algorithm", "AES128_GCM", "--version", "latest", "-o", "json"), 0).out)["version"], 3, "latest")
        expect(w.run("dek", "version", "list", of, "s"), 3, err="no data key")
    expect(w.run("dek", "create", "dl", "t", secret=None), 1, err="LOCAL_SECRET", quiet_out=True)
    expect(w.run("dek", "describe", "dl", "t"), 3)
    w.write("material", MATERIAL + "\n")
    same(json.loads(expect(w.run("dek", "create", "dl", "t", "--version", "4", "--encrypted-key-material", "@material", "-o", "json"), 0).out)["encryptedKeyMaterial"], MATERIAL,
         "material")
    same(expect(w.run("dek", "subject", "list", "dl"), 0).out, "SUBJECT\ns\nt\n", "subjects")
    # what was made is a key that producers can use: a KEK that the registry may use unwraps it
    expect(w.run("kek", "update", "dl", "--shared", "--kms-prop", f"secret={SECRET}"), 0)
    expect(w.run("dek", "describe", "dl", "s", "--algorithm", "AES128_GCM", "--version", "1"), 0, err="not shown")


def registers_many(w):
    """dek register makes the keys of many subjects with one client; what fails is told and the next goes on"""
    for name in ("r1", "r2"):
        w.topic(name, rule(kek="reg"))
    broken = rule(kek="reg")
    broken["domainRules"][0]["params"]["encrypt.kms.key.id"] = "elsewhere"
    w.topic("r3", broken)
    w.topic("r4")
    same(expect(w.run("dek", "register", "r1-value", "r4-value"), 0, err="No rules found").out, "2 subjects, 1 data keys are there, 0 subjects failed\n", "two")
    same(expect(w.run("dek", "register", "r1-value", "r3-value", "r2-value", "nobody-value"), 7, err="r3-value.*differs from rule(.|\n)*nobody-value.*No schema found").out,
         "4 subjects, 2 data keys are there, 2 subjects failed\n", "four")
    same(expect(w.run("dek", "subject", "list", "reg"), 0).out, "SUBJECT\nr1-value\nr2-value\n", "subjects")
    expect(w.run("dek", "register", "r3-value"), 1)
    expect(w.run("dek", "register"), 2, err="which subjects")
    expect(w.run("dek", "register", "--all", "x"), 2, err="which subjects")
    everything = expect(w.run("dek", "register", "--all"), 7, err="r3-value")
    need("r1-value" in everything.err and "r4-value" not in everything.err, everything)
    expect(w.run("dek", "register", "nobody-value"), 3)
    need(w.run("dek", "register", "--all", secret=None).code in (1, 7), "exit code without the secret")


def tests_a_kek(w):
    """kek test: the registry tries a shared KEK, csfle itself another one, with its own credentials"""
    make_kek(w, "tk")
    expect(w.run("kek", "create", "tks", "--kms-type", "local-kms", "--kms-key", "demo", "--shared", "--kms-prop", f"secret={SECRET}"), 0)
    expect(w.run("kek", "create", "tkx", "--kms-type", "local-kms", "--kms-key", "demo", "--shared"), 0)
    expect(w.run("kek", "test", "tk"), 0, out="works")
    expect(w.run("kek", "test", "tk", secret=None), 1, err="LOCAL_SECRET", quiet_out=True)
    same(expect(w.run("kek", "test", "tks", "-o", "json", secret=None), 0).out, '{"ok":true}\n', "JSON")
    result = w.run("kek", "test", "tkx")
    need(result.code not in (0, 2, 3) and not result.out and SECRET not in result.err, result)
    expect(w.run("kek", "test", "nobody"), 3)
    same(expect(w.run("dek", "list", "tk"), 0).out.count("\n"), 1, "what a test leaves")


def rotates_a_kek(w):
    """kek rotate wraps every data key anew, as rewrap-deks does; what was produced stays readable"""
    make_kek(w, "rk")
    topic = w.topic("rotated", rule("ERROR", kek="rk"))
    expect(w.run("produce", *w.kafka(topic), stdin=lines_of([customer(1)])), 0)
    before = json.loads(expect(w.run("dek", "get", "rk", f"{topic}-value", "-o", "json"), 0).out)
    expect(w.run("kek", "rotate", "rk"), 0, out="1 data keys", err="rewrapped: KEK rk")
    after = json.loads(expect(w.run("dek", "get", "rk", f"{topic}-value", "-o", "json"), 0).out)
    need(after["encryptedKeyMaterial"] != before["encryptedKeyMaterial"], "not wrapped again")
    same(parsed(w.consume(topic).out), [customer(1)], "records")
    same(expect(w.run("kek", "rotate", "rk", "-o", "json"), 0).out, '{"rewrapped":1}\n', "JSON")
    expect(w.run("kek", "rotate", "rk", secret="another"), 1, err="Could not register dek")


def asks(w):
    """what cannot be undone is told and asked for; without a terminal and without --yes nothing is done"""
    make_kek(w, "ask")
    topic = w.topic("asked", rule(kek="ask"))
    expect(w.run("dek", "create", "ask", f"{topic}-value"), 0)
    expect(w.run("dek", "rotate", "ask", f"{topic}-value"), 0)
    expect(w.run("dek", "create", "ask", "other", "--algorithm", "AES256_SIV"), 0)
    for argv in ((f"{topic}-value",), ("other", "--algorithm", "AES256_SIV")):
        expect(w.run("dek", "delete", "ask", *argv), 0)
    expect(w.run("kek", "delete", "ask"), 0)
    refused = expect(w.run("kek", "delete", "ask", "--permanent"), 2, err="there is no terminal to ask on", quiet_out=True)
    expect(w.run("dek", "delete", "ask", "other", "--algorithm", "AES256_SIV", "--permanent"), 2, err="there is no terminal to ask on", quiet_out=True)
    told = """\
csfle kek delete: KEK 'ask' (local-kms demo) with 3 data keys of 2 subjects goes for good.
SUBJECT      ALGORITHM   VERSIONS
asked-value  AES256_GCM  1, 2
other        AES256_SIV  1

Producers of these subjects write by a rule that names this KEK; they will fail, or make a new one:
  asked-value version 1

Unreadable for ever becomes what was encrypted with them: in topics, and wherever it was copied to (other topics, sinks,
lakes, backups). Not known here: how many records that are, where they lie, and who still needs them; whether the wrapped
keys were saved elsewhere ('csfle keys backup' does that). The key in the KMS stays as it is.
This registry keeps them in its trash until csfle.trash.days are over: 'csfle trash restore --kek-name' takes it back.
"""
    need(refused.err.startswith(told), refused)
    code, shown = on_terminal(w, ["kek", "delete", "ask", "--permanent"], "yes")
    need(code == 1 and "nothing was changed: that is not 'ask'" in shown and shown.startswith(told + "Type ask to remove it: "), f"{code} {shown}")
    same(json.loads(expect(w.run("dek", "version", "list", "ask", f"{topic}-value", "--all", "-o", "json"), 0).out), [1, 2], "what is left")
    code, shown = on_terminal(w, ["dek", "delete", "ask", "other", "--algorithm", "AES256_SIV", "--permanent"], "other")
    need(code == 0 and "removed KEK ask subject other" in shown, f"{code} {shown}")
    code, shown = on_terminal(w, ["kek", "delete", "ask", "--permanent"], "ask")
    need(code == 0 and "removed KEK ask\n" in shown, f"{code} {shown}")
    expect(w.run("kek", "describe", "ask", "--all"), 3)
    make_kek(w, "ask2")
    expect(w.run("kek", "delete", "ask2"), 0)
    same(expect(w.run("kek", "delete", "ask2", "--permanent", "--force"), 0).out, "removed KEK ask2\n", "--force")


def backup(w):
    """a backup holds keys wrapped, and the schemas that need them; with it and the KMS records are read while the registry is gone"""
    make_kek(w, "bk")
    strict = w.topic("saved", rule("ERROR", kek="bk", days=30))
    records = [customer(i) for i in range(5)]
    expect(w.run("produce", *w.kafka(strict), "-p", "0", stdin=lines_of(records)), 0)
    expect(w.run("dek", "rotate", "bk", f"{strict}-value"), 0)
    expect(w.run("produce", *w.kafka(strict), "-p", "0", stdin=lines_of(records)), 0)
    expect(w.run("dek", "delete", "bk", f"{strict}-value", "--version", "1"), 0)
    w.topic("unsaved")
    expect(w.run("keys", "backup", "keys.jsonl"), 0, out=r"^\d+ KEKs, \d+ data keys, \d+ schemas saved\n$")
    path = os.path.join(w.folder, "keys.jsonl")
    same(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode of the file")
    with open(path, "rb") as f:
        data = f.read()
    lines = [json.loads(line) for line in data.splitlines()]
    same((lines[0]["csfle"], lines[0]["format"], lines[0]["registry"]), ("keys backup", 1, w.registry.url), "first line")
    body = data[:data.rstrip(b"\n").rindex(b"\n") + 1]
    same(lines[-1]["end"]["sha256"], hashlib.sha256(body).hexdigest(), "digest")
    deks = [line["dek"] for line in lines if "dek" in line]
    same([(d["version"], d["deleted"]) for d in deks if d["kekName"] == "bk"], [(1, True), (2, False)], "data keys")
    need(all(d["ts"] > 0 and d["encryptedKeyMaterial"] for d in deks), "times and material")
    subjects = {line["schema"]["subject"] for line in lines if "schema" in line}
    need(f"{strict}-value" in subjects and "unsaved-value" not in subjects, subjects)
    need(SECRET.encode() not in data and b"keyMaterial\"" not in data, "it holds a secret")
    same(expect(w.run("keys", "backup", "-"), 0).out.count("\n"), len(lines), "lines on standard output")

    nowhere = ("-r", f"http://{base.NOWHERE}")
    got = expect(w.run("consume", *w.kafka(strict), "-e", "-q", "--backup", "keys.jsonl", *nowhere), 0).out
    same(parsed(got), records + records, "records read without a registry")
    raw = w.run("consume", *w.kafka(strict), "-e", "-q", "--backup", "keys.jsonl", *nowhere, secret=None)
    need(raw.code in (4, 7) and not raw.out, raw)
    expect(w.run("consume", *w.kafka(strict), "-e", "-q", *nowhere, "-X", "max.retries=0"), 5)

    record = raw_value(w, strict)
    with open(os.path.join(w.folder, "record.bin"), "wb") as f:
        f.write(record)
    with open(os.path.join(w.folder, "broken.bin"), "wb") as f:
        f.write(record[:-3] + bytes(3))
    decrypted = expect(w.run("decrypt", "-t", strict, "--backup", "keys.jsonl", *nowhere, "record.bin", "record.bin"), 0, err="2 records, 2 read")
    same(parsed(decrypted.out), [records[0]] * 2, "decrypted")
    same(parsed(expect(w.run("decrypt", "-t", strict, "-q", "record.bin"), 0).out), [records[0]], "decrypted with the registry")
    same(expect(w.run("inspect", "--backup", "keys.jsonl", *nowhere, "record.bin"), 0).out, expect(w.run("inspect", "record.bin"), 0).out, "inspect")
    expect(w.run("inspect", "--backup", "few-none.jsonl", "record.bin"), 3)
    partly = expect(w.run("decrypt", "-t", strict, "--backup", "keys.jsonl", *nowhere, "broken.bin", "record.bin"), 7, err="broken.bin")
    same(parsed(partly.out), [records[0]], "the good one")
    expect(w.run("decrypt", "-t", strict, "--backup", "keys.jsonl", "no-such-file"), 3)
    expect(w.run("decrypt", "-t", "other", "--backup", "keys.jsonl", *nowhere, "record.bin"), 7, err="No dek found|cannot|None|none")
    expect(w.run("decrypt", "--backup", "keys.jsonl", "record.bin"), 2, err="-t TOPIC")


def backup_of_references(w):
    """a backup has what a schema refers to, and versions from before there was a rule"""
    def post(path, body):
        request = urllib.request.Request(w.registry.url + path, method="POST", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as r:
            return json.loads(r.read())

    make_kek(w, "rf")
    inner = {"type": "record", "name": "Inner", "namespace": "n", "fields": [{"name": "ssn", "type": "string", "confluent:tags": ["PII"]}]}
    outer = {"type": "record", "name": "Outer", "namespace": "n", "fields": [{"name": "a", "type": "n.Inner"}]}
    refs = [{"name": "n.Inner", "subject": "inner", "version": 1}]
    post("/subjects/inner/versions", {"schema": json.dumps(inner)})
    post("/subjects/other/versions", {"schema": json.dumps(inner)})
    post("/subjects/refs-value/versions", {"schema": json.dumps({**outer, "doc": "before"}), "references": refs})
    post("/subjects/refs-value/versions", {"schema": json.dumps(outer), "references": refs, "ruleSet": rule("ERROR", kek="rf")})
    expect(w.run("produce", *w.kafka("refs"), "-p", "0", stdin='{"a":{"ssn":"1"}}\n'), 0)
    expect(w.run("keys", "backup", "refs.jsonl"), 0)
    with open(os.path.join(w.folder, "refs.jsonl"), encoding="utf-8") as f:
        saved = {(s["subject"], s["version"]) for s in (json.loads(line).get("schema") for line in f) if s}
    need({("inner", 1), ("refs-value", 1), ("refs-value", 2)} <= saved and ("other", 1) not in saved, saved)
    same(expect(w.run("consume", *w.kafka("refs"), "-e", "-q", "--backup", "refs.jsonl", "-r", f"http://{base.NOWHERE}"), 0).out, '{"a":{"ssn":"1"}}\n', "record")


def raw_value(w, topic):
    """The bytes of the first value of partition 0."""
    with open(os.path.join(w.folder, "raw"), "wb") as f:
        subprocess.run([TOOL, "inspect", *w.kafka(topic), "-p", "0", "-o", "0", "--raw"], stdout=f, check=True, timeout=60, preexec_fn=programs.die_with_parent)
    with open(os.path.join(w.folder, "raw"), "rb") as f:
        return f.read()


def damaged(w):
    """a backup that was cut, changed or is none is refused whole"""
    path = os.path.join(w.folder, "keys.jsonl")
    with open(path, "rb") as f:
        data = f.read()
    lines = data.splitlines(keepends=True)
    changed = data.replace(b'"AES256_GCM"', b'"AES128_GCM"', 1)
    ended = [*lines[:-1]]

    def with_end(body, **counts):
        end = {**json.loads(lines[-1])["end"], "sha256": hashlib.sha256(body).hexdigest(), **counts}
        return body + json.dumps({"end": end}).encode() + b"\n"

    clear = b'{"dek":{"kekName":"bk","subject":"s","version":1,"keyMaterial":"AAAA"}}\n'
    for content, text in ((data[:-len(lines[-1])], "its end is missing"), (data[:len(data) // 2], "its end is missing"), (changed, "it was changed"), (b"", "no keys backup"),
                          (b"{}\n", "no keys backup"), (with_end(b"".join(ended[1:])), "line 1"), (with_end(b"".join(ended), deks=1), "its last line says 1"),
                          (with_end(lines[0].replace(b'"format":1', b'"format":2')), "format 2"), (with_end(lines[0] + b"nonsense\n"), "line 2"),
                          (with_end(lines[0] + b'{"key":{}}\n'), "neither"), (with_end(lines[0] + clear), "in clear")):
        w.write("bad.jsonl", content.decode())
        for argv in (("keys", "verify-backup", "bad.jsonl"), ("decrypt", "-t", "t", "--backup", "bad.jsonl", "record.bin")):
            result = expect(w.run(*argv), 1, quiet_out=True)
            need(text in result.err and "bad.jsonl" in result.err and result.err.count("\n") == 1, f"expected '{text}': {result}")
    expect(w.run("keys", "verify-backup", "no-such-file"), 3)


def verifies(w):
    """verify-backup unwraps each data key once without the registry, and names those it cannot (7)"""
    nowhere = ("-r", f"http://{base.NOWHERE}")
    make_kek(w, "vb")
    expect(w.run("dek", "create", "vb", "good"), 0)
    expect(w.run("dek", "create", "vb", "bad", "--encrypted-key-material", MATERIAL), 0)
    expect(w.run("kek", "create", "vbaws", "--kms-type", "aws-kms", "--kms-key", "arn:aws:kms:eu-central-1:111122223333:key/1"), 0)
    fake = Fake([kek("vb"), kek("none")], [json.loads(expect(w.run("dek", "get", "vb", s, "-o", "json"), 0).out) for s in ("bad", "good")])
    expect(w.run("keys", "backup", "few.jsonl", "-r", fake.url), 0, out="2 KEKs, 2 data keys, 0 schemas saved")
    fake.shutdown()
    result = expect(w.run("keys", "verify-backup", "few.jsonl", *nowhere), 7, out=r"^2 KEKs, 2 data keys: 1 unwrapped, 1 failed\n$",
                    err="KEK vb, subject bad, AES256_GCM, version 1: ")
    need("good" not in result.err and MATERIAL not in result.err, result)
    got = json.loads(expect(w.run("keys", "verify-backup", "few.jsonl", "-o", "json", *nowhere), 7).out)
    same((got["deks"], got["unwrapped"], [f["subject"] for f in got["failed"]]), (2, 1, ["bad"]), "JSON")
    same(json.loads(expect(w.run("keys", "verify-backup", "few.jsonl", "-o", "json", *nowhere, secret=None), 7).out)["unwrapped"], 0, "without the secret")


def moves(w):
    """kek move: all data keys under another key at once, readers go on; a dry run, what fails and what a rule forbids change nothing; --undo, --confirm"""
    other = ("-X", "rule.executors._to_.param.secret=@new-secret")
    w.write("new-secret", "another secret, of another KMS\n")
    make_kek(w, "mv", "--kms-prop", "p=1")
    quiet_rule = rule("ERROR", kek="mv")
    for name in ("encrypt.kms.type", "encrypt.kms.key.id"):
        del quiet_rule["domainRules"][0]["params"][name]
    topic = w.topic("moved", quiet_rule)
    records = [customer(i) for i in range(3)]
    expect(w.run("produce", *w.kafka(topic), "-p", "0", stdin=lines_of(records)), 0)
    expect(w.run("dek", "create", "mv", "gone", "--algorithm", "AES256_SIV"), 0)
    expect(w.run("dek", "delete", "mv", "gone", "--algorithm", "AES256_SIV"), 0)

    def state():
        return (json.loads(expect(w.run("kek", "describe", "mv", "-o", "json"), 0).out), json.loads(expect(w.run("dek", "list", "mv", "--all", "-o", "json"), 0).out))

    def reads(secret):
        return w.run("consume", *w.kafka(topic), "-p", "0", "-e", "-q", secret=secret)

    before = state()
    same(expect(w.run("kek", "move", "mv", "--to", "local-kms:demo-2", "--dry-run", *other), 0).out,
         "KEK mv: 2 data keys were unwrapped and wrapped, and would move from local-kms demo to local-kms demo-2\n", "dry run")
    for argv, code, text in ((("--to", "nonsense"), 2, "TYPE:ID"), (("--to", "local-kms:"), 2, "TYPE:ID"), (("--to", "local-kms:demo"), 6, "has that key already"),
                             (("--to", "local-kms:x", "--undo"), 2, "one of"), (("--to", "aws-kms:nope", *other), 1, "nothing was changed: new key"), ((), 3, "no move"),
                             (("--confirm",), 3, "no move"), (("--undo",), 3, "no move")):
        expect(w.run("kek", "move", "mv", *argv), code, err=text, quiet_out=True)
    expect(w.run("kek", "move", "mv", "--to", "local-kms:demo-2", *other, secret="wrong"), 1, err="nothing was changed: old key, subject gone", quiet_out=True)
    same(state(), before, "what refused moves leave")

    moved = expect(w.run("kek", "move", "mv", "--to", "local-kms:demo-2", *other), 0)
    need(moved.out.startswith("KEK mv: 2 data keys moved from local-kms demo to local-kms demo-2\n") and "another secret" not in moved.out + moved.err, moved)
    after = state()
    same((after[0]["kmsKeyId"], after[0]["kmsProps"]), ("demo-2", {"p": "1"}), "KEK")
    same([(d["subject"], d["version"], d["deleted"]) for d in after[1]], [(d["subject"], d["version"], d["deleted"]) for d in before[1]], "data keys")
    need(not {d["encryptedKeyMaterial"] for d in after[1]} & {d["encryptedKeyMaterial"] for d in before[1]}, "material is the old")
    same(parsed(expect(reads("another secret, of another KMS"), 0).out), records, "records after the move")
    need(reads(SECRET).code in (4, 7), "the old key still reads")
    same(TIME.sub("TIME", expect(w.run("kek", "move", "mv"), 0).out), "moved          TIME\nkms type was   local-kms\nkey id was     demo\ndata keys      2\n", "status")
    same(json.loads(expect(w.run("kek", "move", "mv", "-o", "json"), 0).out)["kmsKeyId"], "demo", "status")
    expect(w.run("kek", "move", "mv", "--to", "local-kms:demo-3", *other, secret="another secret, of another KMS"), 6, err="confirm or undo", quiet_out=True)
    same(expect(w.run("kek", "move", "mv", "--undo"), 0).out, "undone: the move of KEK mv\n", "undo")
    back = state()
    same([d["encryptedKeyMaterial"] for d in back[1]], [d["encryptedKeyMaterial"] for d in before[1]], "material after the undo")
    same(parsed(expect(reads(SECRET), 0).out), records, "records after the undo")
    same(json.loads(expect(w.run("kek", "move", "mv", "--to", "local-kms:demo-2", "--kms-properties", "q=2", "-o", "json", *other), 0).out), {"moved": True, "deks": 2}, "JSON")
    expect(w.run("dek", "create", "mv", "since", secret="another secret, of another KMS"), 0)
    expect(w.run("kek", "move", "mv", "--undo"), 6, err="1 data keys of KEK 'mv' were made", quiet_out=True)
    # a producer that holds the KEK from before makes a data key under the old key; what neither key unwraps is not confirmed
    stale = json.loads(expect(w.run("dek", "list", "mv", f"{topic}-value", "-o", "json"), 0).out)[0]
    stale_material = back[1][[d["subject"] for d in back[1]].index(f"{topic}-value")]["encryptedKeyMaterial"]
    expect(w.run("dek", "create", "mv", f"{topic}-value", "--version", "2", "--encrypted-key-material", stale_material), 0)
    expect(w.run("dek", "create", "mv", "bad", "--encrypted-key-material", MATERIAL), 0)
    expect(w.run("kek", "move", "mv", "--confirm", *other), 7, err="subject bad, AES256_GCM, version 1(.|\n)*1 data keys were made under the old key(.|\n)*not confirmed", quiet_out=True)
    again = json.loads(expect(w.run("dek", "list", "mv", f"{topic}-value", "-o", "json"), 0).out)
    need(again[0] == stale and again[1]["encryptedKeyMaterial"] != stale_material, again)
    expect(w.run("dek", "delete", "mv", "bad"), 0)
    expect(w.run("dek", "delete", "mv", "bad", "--permanent", "--yes"), 0)
    expect(w.run("dek", "delete", "mv", f"{topic}-value", "--version", "2"), 0)
    expect(w.run("dek", "delete", "mv", f"{topic}-value", "--version", "2", "--permanent", "--yes"), 0)
    same(expect(w.run("kek", "move", "mv", "--confirm", *other), 0).out, "confirmed the move of KEK mv\n", "confirm")
    # back again by a move, for what was made since
    expect(w.run("kek", "move", "mv", "--to", "local-kms:demo", "-X", "rule.executors._to_.param.secret=@secret", secret="another secret, of another KMS"), 0, out="3 data keys moved")
    same(parsed(expect(reads(SECRET), 0).out), records, "records after moving back")


def moves_a_shared_kek(w):
    """after the move of a shared KEK the registry is asked whether it can use the new key; a KEK without data keys tries it too"""
    other = ("-X", "rule.executors._to_.param.secret=@new-secret")
    w.write("new-secret", "another secret, of another KMS\n")
    expect(w.run("kek", "create", "ms", "--kms-type", "local-kms", "--kms-key", "demo", "--shared", "--kms-prop", "secret=@secret"), 0)
    expect(w.run("dek", "create", "ms", "s"), 0)
    result = w.run("kek", "move", "ms", "--to", "local-kms:demo-2", "--kms-prop", "other=1", *other)
    need(result.code not in (0, 2) and "--undo" in result.err, result)
    expect(w.run("kek", "move", "ms", "--undo"), 0)
    expect(w.run("kek", "move", "ms", "--to", "local-kms:demo-2", "--kms-prop", "secret=@new-secret", *other), 0)
    expect(w.run("dek", "describe", "ms", "s"), 0, err="not shown")  # the registry unwraps it
    expect(w.run("kek", "move", "ms", "--confirm", "--yes"), 0)
    make_kek(w, "me")
    expect(w.run("kek", "move", "me", "--to", "aws-kms:arn:aws:kms:eu-central-1:111122223333:key/1"), 1, err="nothing was changed: new key", quiet_out=True)
    expect(w.run("kek", "move", "me", "--to", "local-kms:demo-2"), 0, out="0 data keys moved")


class Loses(http.server.BaseHTTPRequestHandler):
    """In front of a registry: passes on what it is asked, but loses the answer to a move."""

    def log_message(self, *_):
        pass

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        request = urllib.request.Request(self.server.behind + self.path, data=body, method=self.command, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=20) as r:
                code, text = r.status, r.read()
        except urllib.error.HTTPError as e:
            code, text = e.code, e.read()
        if self.command == "POST" and self.path.endswith("/move"):
            self.close_connection = True
            return
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = handle_any


def moves_though_the_answer_is_lost(w):
    """a move whose answer is lost is looked for: it was done, or it is not known"""
    make_kek(w, "ml")
    expect(w.run("dek", "create", "ml", "s"), 0)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Loses)
    server.behind = w.registry.url
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        expect(w.run("kek", "move", "ml", "--to", "local-kms:demo-2", "-r", f"{url},{w.registry.url}"), 0, out="1 data keys moved", err="done all the same")
        expect(w.run("kek", "move", "ml", "--undo"), 0)
        expect(w.run("kek", "move", "ml", "--to", "local-kms:demo-2", "-r", url), 0, out="1 data keys moved", err="done all the same")
    finally:
        server.shutdown()


def moves_against_rules(w):
    """a rule that names the old key is told, and the move asked for; another registry cannot move"""
    other = ("-X", "rule.executors._to_.param.secret=@new-secret")
    make_kek(w, "mr")
    topic = w.topic("ruled", rule("ERROR", kek="mr"))
    expect(w.run("dek", "create", "mr", f"{topic}-value"), 0)
    result = expect(w.run("kek", "move", "mr", "--to", "local-kms:demo-2", *other), 2, err="ruled-value version 1, the newest", quiet_out=True)
    need("use.latest.version=true" in result.err and "there is no terminal" in result.err, result)
    code, shown = on_terminal(w, ["kek", "move", "mr", "--to", "local-kms:demo-2"], "no")
    need(code == 1 and "Type mr to move it all the same: " in shown, shown)
    same(json.loads(expect(w.run("kek", "describe", "mr", "-o", "json"), 0).out)["kmsKeyId"], "demo", "key")
    expect(w.run("kek", "move", "mr", "--to", "local-kms:demo-2", "--dry-run", *other), 0, err="ruled-value version 1")
    expect(w.run("kek", "move", "mr", "--to", "local-kms:demo-2", "--yes", *other), 0)
    fake = Fake([kek("k")], [dek("k", "s")], ours=False)
    expect(w.run("kek", "move", "k", "--to", "local-kms:x", "-r", fake.url), 1, err="no csfle-registry", quiet_out=True)
    fake.shutdown()


def away_and_denied(w):
    """every command tells 5 when the registry is away and 4 when it refuses, in a line or two"""
    class Denies(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def handle_any(self):
            self.send_response(403)
            text = b'{"error_code":40301,"message":"User is denied operation"}'
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Denies)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    commands = [("kek", "create", "k", "--kms-type", "local-kms", "--kms-key", "x"), ("kek", "list"), ("kek", "describe", "k"), ("kek", "update", "k", "--doc", "d"),
                ("kek", "test", "k"), ("kek", "rotate", "k"), ("kek", "delete", "k"), ("kek", "delete", "k", "--permanent", "--yes"), ("kek", "undelete", "k"), ("kek", "move", "k", "--to", "local-kms:x"), ("kek", "move", "k", "--confirm"), ("kek", "move", "k", "--undo"), ("kek", "move", "k"),
                ("dek", "create", "k", "s"), ("dek", "rotate", "k", "s"), ("dek", "register", "s"), ("dek", "register", "--all"), ("dek", "list", "k"), ("dek", "describe", "k", "s"), ("dek", "delete", "k", "s"),
                ("dek", "undelete", "k", "s"), ("dek", "subject", "list", "k"), ("dek", "version", "list", "k", "s"), ("keys", "report"), ("keys", "backup", "never")]
    try:
        for url, code in ((f"http://{base.NOWHERE}", 5), (f"http://127.0.0.1:{server.server_address[1]}", 4)):
            for argv in commands:
                result = expect(w.run(*argv, "-r", url, "-X", "max.retries=0"), code, quiet_out=argv[:3] != ("dek", "register", "s"))
                need(1 <= result.err.count("\n") <= 2, f"{argv}: {result}")
    finally:
        server.shutdown()
    need(not os.path.exists(os.path.join(w.folder, "never")), "a file was written")
    need(not [f for f in os.listdir(w.folder) if f.startswith("never")], "a part of a file is left")


def hostile_names(w):
    """texts of a registry do not steer the terminal"""
    fake = Fake([kek("k", key="\x1b[2J\x9bred\x7f\n\u0085x")], [dek("k", "s\x1b]0;title\x07")])
    for argv in (("kek", "list"), ("dek", "list", "k"), ("kek", "describe", "k"), ("keys", "report"), ("keys", "report", "-o", "csv")):
        out = expect(w.run(*argv, "-r", fake.url), 0).out
        need(not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]", out), f"{argv}: {out!r}")
    fake.shutdown()


def hostile_numbers(w):
    """times and periods of a registry past all bounds are reckoned with"""
    for ts in (2 ** 63 - 1, -2 ** 63, 0):
        fake = Fake([kek("k", ts=ts)], [{**dek("k", "s"), "ts": ts}], [schema("s", 1, 1, "k", 2 ** 63 - 1)])
        for argv in (("kek", "list"), ("dek", "list", "k"), ("keys", "report"), ("keys", "report", "-o", "json")):
            expect(w.run(*argv, "-r", fake.url), 0)
        fake.shutdown()


TESTS = [kek_table, report_formats, paging, moving_lists, interrupted, the_registry_itself, kek_life, dek_life, registers_many, tests_a_kek, rotates_a_kek, asks, backup, backup_of_references, damaged, verifies, moves, moves_a_shared_kek, moves_though_the_answer_is_lost, moves_against_rules, away_and_denied,
         hostile_names, hostile_numbers]


def main():
    only = sys.argv[1:]
    tests = [t for t in TESTS if not only or t.__name__ in only]
    tap = programs.Tap(len(tests))
    with tempfile.TemporaryDirectory(prefix="csfle-keys-") as folder:
        world = base.World(folder)
        try:
            for test in tests:
                tap.test(test.__doc__.splitlines()[0], lambda test=test: test(world))
        finally:
            world.stop()
    return tap.exit_code()


if __name__ == "__main__":
    sys.exit(main())
