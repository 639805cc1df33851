#!/usr/bin/env python3
"""The csfle tool against a real csfle-registry and librdkafka's test broker: every command, every exit code, every example of --help."""
import base64
import http.server
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "support"))
import programs  # noqa: E402

BUILD = os.environ.get("CSFLE_BUILD", os.path.join(TOP, "build", "debug"))
TOOL = os.environ.get("CSFLE_TOOL") or os.path.join(BUILD, "csfle")
SERVER = os.environ.get("CSFLE_REGISTRY") or os.path.join(BUILD, "csfle-registry")
SECRET = "a secret that is nowhere to be seen"
NOWHERE = "127.0.0.1:1"  # nobody listens on port 1

FIELDS = [{"name": "id", "type": "long"}, {"name": "name", "type": "string"},
          {"name": "ssn", "type": "string", "confluent:tags": ["PII"]},
          {"name": "email", "type": ["null", "string"], "default": None, "confluent:tags": ["PII"]},
          {"name": "photo", "type": "bytes", "confluent:tags": ["PII"]}]
SCHEMA = {"type": "record", "name": "Customer", "namespace": "shop", "fields": FIELDS}
# all commands, so that the examples of their help find what they need
ORDER = ["kek create", "kek list", "kek describe", "kek get", "kek update", "kek test", "schema register", "schema get", "schema check", "produce", "consume",
         "inspect", "dek create", "dek register", "dek rotate", "dek list", "dek subject list", "dek version list", "dek describe", "dek get", "kek rotate", "kek move", "dek delete",
         "dek undelete", "keys report", "keys backup", "keys verify-backup", "decrypt", "kek delete", "kek undelete", "trash list", "trash restore", "doctor", "mock-broker"]


def rule(on_failure="ERROR,NONE", days=None, kek="customers", **more):
    params = {"encrypt.kek.name": kek, "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": "demo"}
    if days:
        params["encrypt.dek.expiry.days"] = str(days)
    return {"domainRules": [{"name": "encryptPII", "kind": "TRANSFORM", "type": "ENCRYPT", "mode": "WRITEREAD", "tags": ["PII"],
                             "params": params, "onFailure": on_failure, **more}]}


def customer(i):
    email = {"string": f"user{i}@mail.example"} if i % 3 else None
    return {"id": i, "name": f"Name {i}", "ssn": f"000-{i:02d}-CANARY", "email": email, "photo": f"\x00\xff{i}"}


def lines_of(records):
    return "".join(json.dumps(r) + "\n" for r in records)


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __str__(self):
        return f"exit code {self.code}\nstdout: {self.out[-1500:]}\nstderr: {self.err[-1500:]}"


class World:
    """The programs, and files that the commands read."""

    def __init__(self, folder):
        self.folder = folder
        self.registry = programs.Registry(SERVER, log=os.path.join(folder, "registry.log"))
        self.broker = programs.Process("mock broker", [TOOL, "mock-broker"], log=os.path.join(folder, "broker.log"))
        self.brokers = self.broker.line(20)
        self.write("customer.avsc", json.dumps(SCHEMA))
        self.write("customer-next.avsc", json.dumps({**SCHEMA, "fields": [*FIELDS, {"name": "phone", "type": "string", "default": ""}]}))
        self.write("rules.json", json.dumps(rule()))
        self.write("customers.jsonl", "".join(f"key{i}|{json.dumps(customer(i))}\n" for i in range(40)))
        self.write("secret", SECRET + "\n")

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as f:
            f.write(text)
        return os.path.join(self.folder, name)

    def run(self, *argv, stdin="", secret=SECRET, env=None, timeout=60):
        environ = {k: v for k, v in os.environ.items() if k not in ("LOCAL_SECRET", "CSFLE_REGISTRY_URL")}
        environ["CSFLE_REGISTRY_URL"] = self.registry.url
        if secret:
            environ["LOCAL_SECRET"] = secret
        environ.update(env or {})
        done = subprocess.run([TOOL, *argv], input=stdin.encode() if isinstance(stdin, str) else stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=environ, cwd=self.folder, timeout=timeout, check=False,
                              preexec_fn=programs.die_with_parent)
        return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def kafka(self, topic):
        return ("-b", self.brokers, "-t", topic)

    def topic(self, name, rules=None, schema=None):
        """A topic with its subject registered."""
        self.write(f"{name}.avsc", json.dumps(schema or SCHEMA))
        argv = ["schema", "register", f"{name}-value", "--schema", f"{name}.avsc"]
        if rules:
            self.write(f"{name}.rules", json.dumps(rules))
            argv += ["--rules", f"{name}.rules"]
        expect(self.run(*argv), 0)
        return name

    def consume(self, topic, *more, **named):
        return expect(self.run("consume", *self.kafka(topic), "-e", *more, **named), 0)

    def stop(self):
        self.broker.stop()
        self.registry.stop()


def expect(result, code, *, err=None, out=None, quiet_out=False):
    """The result, when it is as expected; raises with all of it otherwise."""
    if result.code != code:
        raise programs.Failed(f"expected exit code {code}, got {result}")
    if err is not None and not re.search(err, result.err):
        raise programs.Failed(f"expected /{err}/ on stderr, got {result}")
    if out is not None and not re.search(out, result.out):
        raise programs.Failed(f"expected /{out}/ on stdout, got {result}")
    if quiet_out and result.out:
        raise programs.Failed(f"expected nothing on stdout, got {result}")
    return result


def same(got, wanted, what="records"):
    if got != wanted:
        raise programs.Failed(f"{what} differ\nwanted {str(wanted)[:800]}\ngot    {str(got)[:800]}")


def parsed(text):
    return [json.loads(line) for line in text.split("\n") if line]  # not splitlines: U+0085 ends no line of JSON


def by_id(records):
    return sorted(records, key=lambda r: r["id"])


# ---- the tests, in order; each is named by its first line

def every_help_ends_with_an_example_that_runs(w):
    """every --help ends with an example, and the examples run"""
    listed = expect(w.run("--help"), 0).out
    same(sorted(m.group(1) for m in re.finditer(r"(?m)^  ([a-z][a-z -]*?) {2,}\S", listed) if m.group(1) != "help COMMAND"), sorted(ORDER), "commands")
    expect(w.run("kek", "create", "customers-old", "--kms-type", "local-kms", "--kms-key", "old"), 0)
    expect(w.run("kek", "create", "scrapped", "--kms-type", "local-kms", "--kms-key", "old"), 0)
    expect(w.run("kek", "delete", "scrapped"), 0)
    expect(w.run("kek", "delete", "scrapped", "--permanent", "--yes"), 0)
    for name in ORDER:
        help_text = expect(w.run(*name.split(), "--help"), 0).out
        same(expect(w.run("help", *name.split()), 0).out, help_text, "help texts")
        if f"  {name}" not in listed:
            raise programs.Failed(f"csfle --help does not list {name}")
        last = help_text.rstrip("\n").splitlines()[-1]
        if not last.startswith("Example: csfle "):
            raise programs.Failed(f"csfle {name} --help ends with '{last}'")
        if name == "decrypt":
            with open(os.path.join(w.folder, "record.bin"), "wb") as f:
                subprocess.run([TOOL, "inspect", *w.kafka("customers"), "-p", "0", "-o", "0", "--raw"], stdout=f, check=True, timeout=60)
        argv = shlex.split(last[len("Example: csfle "):].replace("localhost:9092", w.brokers).replace("</dev/null", ""))
        result = expect(w.run(*argv), 0)
        if not result.out and name != "produce":
            raise programs.Failed(f"{last}: printed nothing")
    last = listed.rstrip("\n").splitlines()[-1]
    expect(w.run(*shlex.split(last[len("Example: csfle "):])), 0, out="Usage: csfle produce")


def round_trip(w):
    """produce and consume: what comes back equals what went in, keys too"""
    wanted = parsed("".join(line.split("|", 1)[1] for line in open(os.path.join(w.folder, "customers.jsonl"), encoding="utf-8")))
    result = w.consume("customers")
    same(by_id(parsed(result.out)), wanted)
    if not re.search(r"^40 records, 40 read, 0 failed, 106 fields decrypted", result.err, re.M):
        raise programs.Failed(f"summary: {result.err}")
    keyed = w.consume("customers", "-K", "|", "-q")
    same(sorted(keyed.out.split("\n")[:-1])[0].split("|")[0], "key0", "first key")
    same(keyed.err, "", "stderr with -q")


def without_the_secret(w):
    """a consumer without the secret gets ciphertext, counted and marked, where the rule lets it pass"""
    result = w.consume("customers", secret=None)
    records = by_id(parsed(result.out))
    same(len(records), 40, "number of records")
    for i, record in enumerate(records):
        same((record["id"], record["name"]), (i, f"Name {i}"), "plain fields")
        if len(base64.b64decode(record["ssn"], validate=True)) != 28 + len(f"000-{i:02d}-CANARY"):
            raise programs.Failed(f"ssn is no ciphertext: {record['ssn']}")
    if "CANARY" in result.out + result.err or not re.search(r"106 passed through as ciphertext", result.err):
        raise programs.Failed(str(result))
    envelope = parsed(w.consume("customers", "-J", "-c", "1", secret=None).out)[0]
    if envelope["encrypted"]["decrypted"] != 0 or envelope["encrypted"]["passed_through"] < 2:
        raise programs.Failed(str(envelope))


def without_the_secret_and_onfailure_error(w):
    """without the secret and onFailure ERROR every record fails, nothing is printed"""
    topic = w.topic("strict", rule("ERROR"))
    expect(w.run("produce", *w.kafka(topic), stdin=lines_of(map(customer, range(5)))), 0)
    result = w.run("consume", *w.kafka(topic), "-e", secret=None)
    if result.code not in (4, 7) or result.out or "strict [" not in result.err or "CANARY" in result.err:
        raise programs.Failed(str(result))
    same(len(parsed(w.consume(topic).out)), 5, "number of records")


def usage(w):
    """exit code 2 and one line for whatever is typed wrong"""
    w.write("bad1.properties", "use.latest.version=true\nthis is no property\n")
    w.write("bad2.properties", "# fine\nno.such.property=topsecretvalue\n")
    w.write("bad3.properties", "include=bad3.properties\n")
    w.write("bad4.properties", "basic.auth.user.info=\\u12zz\n")
    for argv, text in [
        (["frobnicate"], "no command 'frobnicate'"), (["help", "frobnicate"], "no command"), (["kek", "rub"], "no command 'kek rub'"),
        (["produce", "--frob"], "unknown option --frob"), (["produce", "-Z"], "unknown option -Z"), (["produce", "-b"], "-b needs a value"),
        (["produce", "-t", "x"], "-b BROKERS is missing"), (["produce", "-b", NOWHERE], "-t TOPIC is missing"),
        (["consume", *w.kafka("x"), "-o", "5x"], "-o 5x"), (["consume", *w.kafka("x"), "-o", "stored"], "group.id"),
        (["consume", *w.kafka("x"), "-c", "-1"], "--count takes a number"), (["consume", *w.kafka("x"), "-f", "%y"], "there is no %y"),
        (["consume", *w.kafka("x"), "extra"], "one too many"), (["schema", "register", "s"], "--schema FILE is missing"),
        (["schema", "check", "a"], "usage: csfle schema check OLD NEW"),
        (["schema", "check", "a", "b", "--level", "SOME"], "FULL"), (["schema", "get"], "usage: csfle schema get SUBJECT"), (["schema", "get", "s", "-o", "xml"], "json or text"),
        (["kek", "create", "k"], "--kms-type TYPE is missing"), (["kek", "create", "k", "--kms-type", "t"], "--kms-key ID is missing"),
        (["kek", "create", "k", "--kms-prop", "x"], "NAME=VALUE"), (["dek", "get", "k"], "usage"), (["kek", "create"], "NAME"),
        (["kek", "get", "a", "b"], "'b' is one too many"), (["kek", "get", "a", "--name", "b"], "'a' is one too many"), (["kek", "update", "k"], "what shall change"),
        (["kek", "update", "k", "--shared=maybe"], "true or false"), (["kek", "create", "k", "--kms-properties", "a=b,=c"], "NAME=VALUE"),
        (["dek", "describe", "k", "s", "--version", "0"], "counts from 1"), (["dek", "create", "k", "s", "--version", "latest"], "dek rotate"),
        (["kek", "delete"], "NAME"), (["kek", "list", "-o", "yaml"], "json or text"),
        (["dek", "get", "k", "s", "--algorithm", "ROT13"], "AES256_SIV"), (["inspect"], "which record"),
        (["kek", "list", "-X", "noequals"], "NAME=VALUE"), (["kek", "list", "-X", "no.such.property=topsecretvalue"], "no.such.property"),
        (["kek", "list", "-X", "socket.timeout.ms=topsecretvalue"], "socket.timeout.ms"), (["kek", "list", "-X", "use.latest.version=5"], "true or false"),
        (["kek", "list", "-X", "secret=@env:NOT_SET"], "NOT_SET"), (["kek", "list", "-X", "secret=@no-such-file"], "no-such-file"),
        (["kek", "list", "-F", "no-such-file"], "no-such-file"), (["kek", "list", "-F", "bad1.properties"], "bad1.properties:2"),
        (["kek", "list", "-F", "bad2.properties"], "bad2.properties:2"), (["kek", "list", "-F", "bad3.properties"], "include each other"),
        (["kek", "list", "-F", "bad4.properties"], "bad4.properties:1"), (["kek", "list", "-r", "ftp://x"], "http"),
        (["kek", "list", "-X", "basic.auth.user.info=a:topsecretvalue"], "USER_INFO"), (["kek", "list", "-X", "csfle.frob=1"], "csfle.frob"),
        (["kek", "list", "-X", "value.schema.id.serializer=x"], "not supported"),
    ]:
        result = expect(w.run(*argv), 2, quiet_out=True)
        if result.err.count("\n") != 1 or text not in result.err or "topsecretvalue" in result.err:
            raise programs.Failed(f"csfle {' '.join(argv)}: expected one line with '{text}', got {result}")
    expect(w.run(), 2, err="Commands:", quiet_out=True)
    expect(w.run("schema"), 2, err="schema register", quiet_out=True)


def not_found(w):
    """exit code 3 for a subject, version, KEK, DEK, partition, record or file that is not there"""
    topic = w.topic("lonely", rule())
    expect(w.run("produce", *w.kafka(topic), stdin=""), 0, err="0 records")
    for argv in (["schema", "get", "nobody-value"], ["schema", "get", "customers-value", "99"], ["kek", "get", "nobody"], ["dek", "list", "nobody"],
                 ["dek", "list", "customers", "nobody"], ["dek", "get", "customers", "nobody"], ["dek", "get", "customers", "customers-value", "--version", "7"],
                 ["produce", *w.kafka("nobody")], ["produce", *w.kafka("customers"), "-q", "no-such-file"],
                 ["consume", *w.kafka("customers"), "-p", "99", "-e"], ["inspect", *w.kafka("customers"), "-p", "99"],
                 ["inspect", *w.kafka("customers"), "-p", "0", "-o", "999999"], ["schema", "register", "s", "--schema", "no-such-file"]):
        result = expect(w.run(*argv, stdin=lines_of([customer(1)])), 3, quiet_out=True)
        if result.err.count("\n") > 2:
            raise programs.Failed(f"csfle {' '.join(argv)}: more than a line: {result}")
    expect(w.run("schema", "get", "nobody-value"), 3, err="40401")
    with open(os.path.join(w.folder, "unknown.bin"), "wb") as f:
        f.write(b"\0\0\x0f\xff\xff" + b"x")
    expect(w.run("inspect", "unknown.bin"), 3, err="40403")


class Refusing(http.server.BaseHTTPRequestHandler):
    """A registry that lets nobody in, and remembers what it was told."""
    seen = []

    def answer(self):
        Refusing.seen.append((self.path, self.headers.get("Authorization")))
        body = b'{"error_code":401,"message":"Unauthorized"}'
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def denied(w):
    """exit code 4 when the registry refuses the credentials, which go by @env and are not shown"""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        for argv in (["kek", "list"], ["schema", "get", "s"], ["produce", *w.kafka("customers")], ["consume", *w.kafka("customers"), "-e"]):
            result = expect(w.run(*argv, "-r", url, "-X", "basic.auth.credentials.source=USER_INFO", "-X", "basic.auth.user.info=@env:USER_INFO",
                                  env={"USER_INFO": "alice:open sesame"}, stdin=lines_of([customer(1)])), 4, quiet_out=True)
            if "sesame" in result.err:
                raise programs.Failed(str(result))
            same(Refusing.seen[-1][1], "Basic " + base64.b64encode(b"alice:open sesame").decode(), "Authorization")
        expect(w.run("kek", "list", "-r", url.replace("//", "//bob:pw@")), 4)
        same(Refusing.seen[-1][1], "Basic " + base64.b64encode(b"bob:pw").decode(), "Authorization")
        expect(w.run("kek", "list", "-r", url, "-X", "bearer.auth.credentials.source=STATIC_TOKEN", "-X", "bearer.auth.token=tok"), 4)
        same(Refusing.seen[-1][1], "Bearer tok", "Authorization")
    finally:
        server.shutdown()
        server.server_close()


def unavailable(w):
    """exit code 5, within 20 s, when the registry or the broker is not there; the second URL of a list is tried"""
    quick = ("-X", "max.retries=1", "-X", "retries.wait.ms=10")
    for argv in (["kek", "list", "-r", f"http://{NOWHERE}"], ["schema", "get", "s", "-r", f"http://{NOWHERE}"],
                 ["produce", *w.kafka("customers"), "-r", f"http://{NOWHERE}", *quick], ["produce", "-b", NOWHERE, "-t", "customers"],
                 ["consume", "-b", NOWHERE, "-t", "customers", "-e"], ["inspect", "-b", NOWHERE, "-t", "customers"]):
        start = time.monotonic()
        result = expect(w.run(*argv, stdin=lines_of([customer(1)])), 5, quiet_out=True)
        if time.monotonic() - start > 20 or NOWHERE not in result.err:
            raise programs.Failed(f"csfle {' '.join(argv)}: {time.monotonic() - start:.1f} s; {result}")
    expect(w.run("kek", "list", "-r", f"http://{NOWHERE},{w.registry.url}"), 0, out="customers")


def conflict(w):
    """exit code 6 for a KEK that exists and for a schema that does not fit the one before"""
    expect(w.run("kek", "create", "customers", "--kms-type", "local-kms", "--kms-key-id", "other"), 6, err="40971", quiet_out=True)
    w.write("other.avsc", json.dumps({**SCHEMA, "fields": [{"name": "id", "type": "string"}]}))
    result = w.run("schema", "register", "customers-value", "--schema", "other.avsc")
    if result.code != 6 or "the registry answers" not in result.err:
        raise programs.Failed(str(result))


def check_two_files(w):
    """schema check compares two files without a registry, exit code 6 and the differences where they do not fit"""
    w.write("int.avsc", '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}')
    w.write("long.avsc", '/* wider */ {"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}')
    w.write("broken.avsc", '{"type": "record"}')
    nowhere = {"env": {"CSFLE_REGISTRY_URL": f"http://{NOWHERE}"}}
    same(expect(w.run("schema", "check", "int.avsc", "long.avsc", **nowhere), 0).out, "compatible\n", "verdict")
    same(expect(w.run("schema", "check", "long.avsc", "int.avsc", "--level", "forward", **nowhere), 0).out, "compatible\n", "verdict")
    wrong = expect(w.run("schema", "check", "int.avsc", "long.avsc", "--level", "FULL_TRANSITIVE", "--type", "AVRO"), 6)
    same((wrong.out, wrong.err), ("{errorType:'TYPE_MISMATCH', description:'The type (path '/fields/0/type') of a field in the old schema does not match "
         "with the new schema', additionalInfo:'reader type: INT not compatible with writer type: LONG'}\n", ""), "differences")
    answer = json.loads(expect(w.run("schema", "check", "long.avsc", "int.avsc", "-o", "json"), 6).out)
    same((answer["is_compatible"], len(answer["messages"])), (False, 2), "answer")
    same(json.loads(expect(w.run("schema", "check", "int.avsc", "long.avsc", "-o", "json"), 0).out), {"is_compatible": True, "messages": []}, "answer")
    same(expect(w.run("schema", "check", "long.avsc", "int.avsc", "--level", "NONE"), 0).out, "compatible\n", "verdict")
    expect(w.run("schema", "check", "int.avsc", "broken.avsc"), 1, err="new schema", quiet_out=True)
    expect(w.run("schema", "check", "broken.avsc", "int.avsc"), 1, err="old schema", quiet_out=True)
    expect(w.run("schema", "check", "int.avsc", "nothing.avsc"), 3, err="nothing.avsc", quiet_out=True)
    expect(w.run("schema", "check", "int.avsc", "long.avsc", "--type", "PROTOBUF"), 1, err="PROTOBUF", quiet_out=True)


def refused(w):
    """exit code 8 where plaintext would be written, and nothing is; the named exception writes"""
    topic = w.topic("open", rule(disabled=True))
    lines = lines_of(map(customer, range(3)))
    expect(w.run("produce", *w.kafka(topic), stdin=lines), 8, quiet_out=True)
    same(w.consume(topic).out, "", "what was written")
    bare = w.topic("bare")
    expect(w.run("produce", *w.kafka(bare), "-X", "csfle.require.tags=PII", stdin=lines), 8, quiet_out=True)
    same(w.consume(bare).out, "", "what was written")
    expect(w.run("produce", *w.kafka(topic), "-X", "csfle.allow.plaintext=disabled-rules", stdin=lines), 0, err="3 sent, 0 failed, 0 fields encrypted")
    same(by_id(parsed(w.consume(topic, secret=None).out)), list(map(customer, range(3))))


def bad_lines(w):
    """exit code 7: a bad line is reported by its number and never shown, the others are written"""
    topic = w.topic("bad", rule())
    good = json.dumps(customer(1))
    lines = [good, "{\"id\": CANARYBAD", "", json.dumps({**customer(2), "id": "CANARYTYPE"}), "[\"CANARYLIST\"]", good, json.dumps({**customer(3), "more": "CANARYMORE"})]
    result = expect(w.run("produce", *w.kafka(topic), stdin="\n".join(lines)), 7, quiet_out=True, err=r"6 records, 2 sent, 4 failed")
    for number in (2, 4, 5, 7):
        if f"standard input line {number}:" not in result.err:
            raise programs.Failed(f"line {number} is not named: {result}")
    if "CANARY" in result.err:
        raise programs.Failed(f"a value is shown: {result}")
    same(len(parsed(w.consume(topic).out)), 2, "number of records")
    result = expect(w.run("produce", *w.kafka(topic), "-K", "|", stdin=good), 7, err="no key")
    same(expect(w.run("produce", *w.kafka(topic), "-K", "|", "-o", "json", "-q", stdin="a|" + good), 0).err, "", "stderr with -q")


def many_bad_lines(w):
    """a thousand bad lines are counted, and not all of them shown"""
    result = expect(w.run("produce", *w.kafka("bad"), stdin="{\n" * 1000), 7, err="1000 records, 0 sent, 1000 failed")
    if result.err.count("\n") > 30:
        raise programs.Failed(f"{result.err.count(chr(10))} lines on stderr")


def long_lines(w):
    """a record of 700 KB passes, one too large for the broker and a line over 16 MiB fail alone"""
    topic = w.topic("long", rule())
    big, larger = {**customer(1), "name": "n" * 700_000}, {**customer(2), "name": "n" * 2_000_000}
    text = lines_of([big, larger]) + "x" * (17 << 20) + "\n" + lines_of([customer(3)])
    result = expect(w.run("produce", *w.kafka(topic), stdin=text), 7, err="4 records, 2 sent, 2 failed")
    if "line 2:" not in result.err or "line 3: the line is longer than 16 MiB" not in result.err:
        raise programs.Failed(str(result))
    same(by_id(parsed(w.consume(topic).out)), [big, customer(3)])


def tombstones(w):
    """a line `null` is a tombstone and comes back as null"""
    topic = w.topic("tomb", rule())
    expect(w.run("produce", *w.kafka(topic), "-K", ":", "-p", "1", stdin=f"k:{json.dumps(customer(1))}\nk:null\n"), 0, err="2 sent")
    lines = w.consume(topic, "-K", ":", "-p", "1").out.split("\n")
    same(lines[1], "k:null", "second line")
    same(parsed(w.consume(topic, "-J", "-p", "1").out)[1]["payload"], None, "payload")
    expect(w.run("inspect", *w.kafka(topic), "-p", "1", "-o", "1"), 1, err="tombstone")


def where_to_read(w):
    """-p, -o N, -o -N, -o end and -c choose the records; -f and -J say where they lay"""
    topic = w.topic("where", rule())
    expect(w.run("produce", *w.kafka(topic), "-p", "2", stdin=lines_of(map(customer, range(10)))), 0)
    ids = lambda *argv: [r["id"] for r in parsed(w.consume(topic, "-p", "2", *argv).out)]  # noqa: E731
    same(ids(), list(range(10)), "all")
    same(ids("-o", "7"), [7, 8, 9], "-o 7")
    same(ids("-o", "-2"), [8, 9], "-o -2")
    same(ids("-o", "-99"), list(range(10)), "-o -99")
    same(ids("-o", "end"), [], "-o end")
    same(ids("-o", "2", "-c", "3"), [2, 3, 4], "-o 2 -c 3")
    same(ids("-c", "0"), [], "-c 0")
    same([r["id"] for r in parsed(w.consume(topic, "-o", "-1").out)], [9], "all partitions")
    text = w.consume(topic, "-p", "2", "-c", "1", "-f", r"%t:%p:%o:%K:%k:%%\t%S=%s\n").out
    value = json.dumps(customer(0), separators=(",", ":"))
    found = re.fullmatch(r"where:2:0:-1::%\t(\d+)=(.*)\n", text)
    if not found or int(found[1]) != len(found[2].encode()) or json.loads(found[2]) != json.loads(value):
        raise programs.Failed(text)
    record = parsed(w.consume(topic, "-p", "2", "-o", "4", "-c", "1", "-J").out)[0]
    same({k: record[k] for k in ("topic", "partition", "offset", "tstype", "key", "payload", "encrypted", "headers")},
         {"topic": "where", "partition": 2, "offset": 4, "tstype": "create", "key": None, "payload": customer(4),
          "encrypted": {"decrypted": 3, "passed_through": 0}, "headers": []}, "envelope")
    if abs(record["ts"] / 1000 - time.time()) > 600 or record["schema_id"] < 1:
        raise programs.Failed(str(record))


def foreign_records(w):
    """a record of a schema that this registry does not know fails alone, the others are read"""
    topic = w.topic("mixed", rule())
    expect(w.run("produce", *w.kafka(topic), "-p", "0", stdin=lines_of([customer(1)])), 0)
    other = programs.Registry(SERVER, log=os.path.join(w.folder, "other.log"))
    try:
        for i in range(100):  # past every id of ours
            body = json.dumps({"schema": json.dumps({"type": "fixed", "name": "F", "size": i + 1})}).encode()
            request = urllib.request.Request(f"{other.url}/subjects/s{i}/versions", body, {"Content-Type": "application/vnd.schemaregistry.v1+json"})
            urllib.request.urlopen(request, timeout=20).close()
        expect(w.run("schema", "register", "mixed-value", "--schema", "customer.avsc", "-r", other.url), 0)
        expect(w.run("produce", *w.kafka(topic), "-p", "0", "-r", other.url, stdin=lines_of([customer(2)])), 0)
    finally:
        other.stop()
    expect(w.run("produce", *w.kafka(topic), "-p", "0", stdin=lines_of([customer(3)])), 0)
    result = expect(w.run("consume", *w.kafka(topic), "-e"), 7, err=r"mixed \[0\] at offset 1: (?s:.*)3 records, 2 read, 1 failed")
    same(parsed(result.out), [customer(1), customer(3)])


def results_as_json(w):
    """-o json gives programs what they need"""
    summary = json.loads(expect(w.run("produce", *w.kafka("customers"), "-o", "json", "-q", stdin=lines_of(map(customer, range(4)))), 0).out)
    same({k: summary[k] for k in ("records", "sent", "failed", "fields_encrypted")}, {"records": 4, "sent": 4, "failed": 0, "fields_encrypted": 10}, "summary")
    answer = json.loads(expect(w.run("schema", "get", "customers-value", "-o", "json"), 0).out)
    same((answer["subject"], answer["version"], json.loads(answer["schema"])), ("customers-value", 1, SCHEMA), "schema get")
    same(json.loads(expect(w.run("schema", "get", "customers-value", "1"), 0).out), SCHEMA, "schema text")
    again = json.loads(expect(w.run("schema", "register", "customers-value", "--schema", "customer.avsc", "--rules", "rules.json", "-o", "json"), 0).out)
    same(again["id"], answer["id"], "id")
    same(expect(w.run("schema", "register", "customers-value", "--schema", "customer.avsc", "--rules", "rules.json"), 0).out, f"{answer['id']}\n", "id")
    keks = json.loads(expect(w.run("kek", "list", "-o", "json"), 0).out)
    same([k["name"] for k in keks if k["name"] == "customers"], ["customers"], "KEKs")
    deks = json.loads(expect(w.run("dek", "list", "customers", "customers-value", "-o", "json"), 0).out)
    same([(d["subject"], d["algorithm"], d["version"]) for d in deks], [("customers-value", "AES256_GCM", 1)], "DEKs")
    dek = json.loads(expect(w.run("dek", "get", "customers", "customers-value", "-o", "json"), 0).out)
    if "keyMaterial" in dek or not dek["encryptedKeyMaterial"]:
        raise programs.Failed(str(dek))
    created = json.loads(expect(w.run("kek", "create", "second", "--kms-type", "local-kms", "--kms-key-id", "k2", "--kms-prop", "a=b=c", "--doc", "für \"zwei\"",
                                      "-o", "json"), 0).out)
    same((created["name"], created["kmsProps"], created["doc"], created["shared"]), ("second", {"a": "b=c"}, "für \"zwei\"", False), "created KEK")


def tables_for_people(w):
    """lists are tables with aligned columns"""
    lines = expect(w.run("kek", "list"), 0).out.splitlines()
    same(lines[0].split(), ["NAME", "KMS", "KEY", "SHARED", "SUBJECTS", "DEKS", "OLDEST", "STATE"], "header")
    at = lines[0].index("KMS")
    for line in lines[1:]:
        same(line[at:at + 9], "local-kms", "column KMS")
    lines = expect(w.run("dek", "list", "customers"), 0).out.splitlines()
    same(lines[0].split(), ["SUBJECT", "ALGORITHM", "VERSION", "CREATED", "STATE"], "header")
    expect(w.run("kek", "get", "second"), 0, out=r"(?m)^kms property +a=b=c$")
    expect(w.run("dek", "get", "customers", "customers-value"), 0, out=r"(?m)^wrapped key +[A-Za-z0-9+/=]+$")
    expect(w.run("--version"), 0, out=r"^csfle \d+\.\d+\.\d+ \(.*librdkafka")


def inspection(w):
    """inspect tells framing, schema, rules and fields, without any key and without values"""
    topic = w.topic("looked", rule(days=30))
    expect(w.run("produce", *w.kafka(topic), "-p", "0", stdin=lines_of([customer(1), customer(3)])), 0)
    at = ("inspect", *w.kafka(topic), "-p", "0", "-o", "0")
    text = expect(w.run(*at, secret=None), 0).out
    for pattern in (r"^framing +00, schema id \d+", r"^schema +.*looked-value version 1.*AVRO", r"^rules +encryptPII: ENCRYPT WRITEREAD, tags PII, KEK customers, AES256_GCM, a new key every 30 days",
                    r"^shop\.Customer\.ssn +STRING +PII +ciphertext, 64 bytes, rule encryptPII, key version 1$", r"^shop\.Customer\.name +STRING +- +plain, 6 bytes$",
                    r"^shop\.Customer\.photo +BYTES +PII +ciphertext, \d+ bytes, rule encryptPII, key version 1$"):
        if not re.search(pattern, text, re.M):
            raise programs.Failed(f"/{pattern}/ is not in\n{text}")
    if "Name 1" in text or "CANARY" in text:
        raise programs.Failed(text)
    expect(w.run(*at, "--values", secret=None), 0, out="Name 1")
    told = json.loads(expect(w.run(*at, "-J", secret=None), 0).out)
    states = {f["name"]: f["state"] for f in told["fields"]}
    same((states["shop.Customer.ssn"], states["shop.Customer.name"], states["shop.Customer.photo"]), ("ciphertext", "plain", "ciphertext"), "states")
    same([f["key_version"] for f in told["fields"] if f["name"] == "shop.Customer.ssn"], [1], "key version")
    last = json.loads(expect(w.run("inspect", *w.kafka(topic), "-J"), 0).out)
    if last["framing"]["id"] != told["framing"]["id"]:
        raise programs.Failed(str(last))


def inspection_of_files(w):
    """inspect of a file says what is wrong with it, and ends with 1 when a field that should be ciphertext is plain"""
    def avro_string(text):
        raw = text.encode()
        return bytes([len(raw) * 2]) + raw
    schema_id = json.loads(expect(w.run("schema", "get", "customers-value", "-o", "json"), 0).out)["id"]
    prefix = b"\0" + schema_id.to_bytes(4, "big")
    plain = prefix + b"\2" + avro_string("Name") + avro_string("CANARY") + b"\0" + avro_string("x")
    for data, code, text in ((b"", 1, "empty"), (b"\7\0\0\0\1", 1, "magic"), (b"\0\0", 1, "bytes"), (prefix + b"\2\x7f", 1, "byte"), (plain, 1, "2 fields that a rule is to encrypt are plain")):
        result = expect(w.run("inspect", "-", stdin=data), code, err=text)
        if "CANARY" in result.out + result.err:
            raise programs.Failed(str(result))
    with open(os.path.join(w.folder, "plain.bin"), "wb") as f:
        f.write(plain)
    expect(w.run("inspect", "plain.bin"), 1, out=r"Customer\.ssn +STRING +PII +PLAIN, 6 bytes, although rule encryptPII")
    w.write("bytes.avsc", '"bytes"')  # top-level bytes have no length in front of them (SERDE-18)
    bytes_id = int(expect(w.run("schema", "register", "raw-value", "--schema", "bytes.avsc"), 0).out)
    expect(w.run("inspect", "-", stdin=b"\0" + bytes_id.to_bytes(4, "big") + b"\xff\xfe\xfd"), 0, out="3 bytes of 8")


def secrets_stay_secret(w):
    """a secret by @file, by @env and by a property file works, and is neither in the output nor in the process list"""
    w.write("with-secret.properties", f"# secret by file\nsecret=@{w.folder}/secret\ninclude=more.properties\n")
    w.write("more.properties", "client.id = con\\\n    tinued\n")
    for argv, env in ((["-X", "secret=@secret"], {}), (["-X", "rule.executors._default_.param.secret=@env:MINE"], {"MINE": SECRET}),
                      (["-F", "with-secret.properties"], {})):
        result = expect(w.run("consume", *w.kafka("customers"), "-e", "-v", *argv, secret=None, env=env), 0, err="0 failed")
        if "passed through" in result.err or SECRET in result.out + result.err:
            raise programs.Failed(str(result))
    environ = {**os.environ, "MINE": SECRET, "CSFLE_REGISTRY_URL": w.registry.url}
    child = subprocess.Popen([TOOL, "consume", *w.kafka("customers"), "-c", "1", "-X", "secret=@env:MINE"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=environ, cwd=w.folder, preexec_fn=programs.die_with_parent)
    with open(f"/proc/{child.pid}/cmdline", "rb") as f:
        shown = f.read()
    child.communicate(timeout=30)
    if SECRET.encode() in shown:
        raise programs.Failed("the secret is in the command line")


def signals(w):
    """SIGINT writes what was read and ends with a summary; SIGTERM ends consume and the mock broker"""
    topic = w.topic("signal", rule())
    environ = {**os.environ, "LOCAL_SECRET": SECRET, "CSFLE_REGISTRY_URL": w.registry.url}
    child = subprocess.Popen([TOOL, "produce", *w.kafka(topic)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ,
                             cwd=w.folder, preexec_fn=programs.die_with_parent)
    child.stdin.write(lines_of(map(customer, range(3))).encode())
    child.stdin.flush()
    reader = subprocess.Popen([TOOL, "consume", *w.kafka(topic), "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, cwd=w.folder,
                              preexec_fn=programs.die_with_parent)
    got = [json.loads(reader.stdout.readline()) for _ in range(3)]  # they arrive although standard input of produce is still open
    same(by_id(got), list(map(customer, range(3))))
    child.send_signal(signal.SIGINT)
    err = child.stderr.read()
    if child.wait(30) != 0 or b"3 records, 3 sent, 0 failed" not in err:
        raise programs.Failed(f"produce: {child.returncode} {err}")
    child = subprocess.Popen([TOOL, "produce", *w.kafka(topic), "/dev/stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=environ, cwd=w.folder, preexec_fn=programs.die_with_parent)
    child.stdin.write(lines_of([customer(7)]).encode())
    child.stdin.flush()
    same(json.loads(reader.stdout.readline()), customer(7))
    child.send_signal(signal.SIGTERM)
    err = child.stderr.read()  # its input stays open until it has ended: an end of the file would be an end
    if child.wait(30) != 1 or b"1 records, 1 sent, 0 failed" not in err:
        raise programs.Failed(f"a file that was not read to its end: {child.returncode} {err}")
    reader.send_signal(signal.SIGTERM)
    reader.communicate(timeout=30)
    same(reader.returncode, 0, "exit code of consume")
    broker = programs.Process("mock broker", [TOOL, "mock-broker"])
    broker.line(20)
    same(broker.stop(), 0, "exit code of mock-broker")


def broker_lost(w):
    """a broker that goes away in the middle ends produce and consume with 5"""
    broker = programs.Process("mock broker", [TOOL, "mock-broker"])
    brokers = broker.line(20)
    environ = {**os.environ, "LOCAL_SECRET": SECRET, "CSFLE_REGISTRY_URL": w.registry.url}
    pipe, named = subprocess.PIPE, {"env": environ, "cwd": w.folder, "preexec_fn": programs.die_with_parent}
    writer = subprocess.Popen([TOOL, "produce", "-b", brokers, "-t", "customers"], stdin=pipe, stdout=pipe, stderr=pipe, **named)
    writer.stdin.write(lines_of([customer(1)]).encode())
    writer.stdin.flush()
    reader = subprocess.Popen([TOOL, "consume", "-b", brokers, "-t", "customers"], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, **named)
    same(json.loads(reader.stdout.readline()), customer(1))
    broker.stop()
    start = time.monotonic()
    writer.stdin.write(lines_of([customer(2)]).encode())
    writer.stdin.flush()
    for child, summary in ((writer, b"2 records, 1 sent, 1 failed"), (reader, b"1 records, 1 read, 0 failed")):
        err = child.stderr.read()  # standard input of the writer stays open
        if child.wait(30) != 5 or summary not in err or brokers.encode() not in err:
            raise programs.Failed(f"exit code {child.returncode}: {err}")
    if time.monotonic() - start > 25:
        raise programs.Failed(f"it took {time.monotonic() - start:.0f} s")


def closed_output(w):
    """a reader that closes its end stops consume; a full disk is an error"""
    environ = {**os.environ, "LOCAL_SECRET": SECRET, "CSFLE_REGISTRY_URL": w.registry.url}
    child = subprocess.Popen([TOOL, "consume", *w.kafka("customers"), "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, cwd=w.folder,
                             preexec_fn=programs.die_with_parent)
    child.stdout.readline()
    child.stdout.close()
    expect(w.run("produce", *w.kafka("customers"), stdin=lines_of(map(customer, range(2000)))), 0)
    err = child.stderr.read()
    same((child.wait(30), err), (0, b""), "exit code and stderr")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([TOOL, "kek", "list"], stdout=full, stderr=subprocess.PIPE, env=environ, timeout=30, check=False)
    same(done.returncode, 1, "exit code on /dev/full")


def many_records(w):
    """twenty thousand records go through, in order within their partition"""
    topic = w.topic("many", rule())
    records = [customer(i) for i in range(20000)]
    start = time.monotonic()
    expect(w.run("produce", *w.kafka(topic), "-p", "0", stdin=lines_of(records)), 0, err="20000 records, 20000 sent, 0 failed")
    middle = time.monotonic()
    got = parsed(w.consume(topic, "-p", "0", "-q").out)
    w.note = f"# produce {20000 / (middle - start):.0f}/s, consume {20000 / (time.monotonic() - middle):.0f}/s"
    same(got, records)


TESTS = [every_help_ends_with_an_example_that_runs, round_trip, without_the_secret, without_the_secret_and_onfailure_error, usage, not_found, denied,
         unavailable, conflict, check_two_files, refused, bad_lines, many_bad_lines, long_lines, tombstones, where_to_read, foreign_records, results_as_json, tables_for_people,
         inspection, inspection_of_files, secrets_stay_secret, signals, broker_lost, closed_output, many_records]


def main():
    only = sys.argv[1:]
    tests = [t for t in TESTS if not only or t.__name__ in only or t is TESTS[0]]
    tap = programs.Tap(len(tests))
    with tempfile.TemporaryDirectory(prefix="csfle-tools-") as folder:
        world = World(folder)
        try:
            for test in tests:
                tap.test(test.__doc__.splitlines()[0], lambda test=test: test(world))
            if getattr(world, "note", None):
                print(world.note)
        finally:
            world.stop()
    return tap.exit_code()


if __name__ == "__main__":
    sys.exit(main())
