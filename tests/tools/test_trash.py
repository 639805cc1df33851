#!/usr/bin/env python3
"""csfle trash and csfle doctor against a real csfle-registry."""
import http.server
import json
import os
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
KEKS = "/dek-registry/v1/keks"


def need(condition, text):
    if not condition:
        raise programs.Failed(str(text))


def call(url, method, path, body=None, status=(200, 204)):
    request = urllib.request.Request(url + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        need(reply.status in status, f"{method} {path}: {reply.status}")
        text = reply.read()
    return json.loads(text) if text else None


def run(url, *argv, code=0):
    env = {k: v for k, v in os.environ.items() if k not in ("LOCAL_SECRET", "CSFLE_REGISTRY_URL")}
    done = subprocess.run([TOOL, *argv, "-r", url], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, timeout=60,
                          check=False, preexec_fn=programs.die_with_parent)
    need(done.returncode == code, f"csfle {argv}: exit code {done.returncode}, expected {code}\n{done.stdout}{done.stderr}")
    return done


class World:
    def __init__(self, folder):
        self.folder, self.count = folder, 0

    def registry(self, *more):
        self.count += 1
        return programs.Registry(SERVER, log=os.path.join(self.folder, f"registry{self.count}.log"), args=("--dev", "--port", "0", *more))


def scrap(url, kek, subjects):
    """a KEK and its DEKs, deleted for good"""
    call(url, "POST", KEKS, {"name": kek, "kmsType": "t", "kmsKeyId": "i"})
    for subject in subjects:
        call(url, "POST", f"{KEKS}/{kek}/deks/{subject}", {"encryptedKeyMaterial": "YQ=="})
    for path in [f"/{kek}/deks/{s}" for s in subjects] + [f"/{kek}"]:
        call(url, "DELETE", KEKS + path)
        call(url, "DELETE", KEKS + path + "?permanent=true")


def listed_and_restored(w):
    """a KEK with its DEKs comes back by name, one key by its id"""
    registry = w.registry()
    url = registry.url
    need(run(url, "trash", "list").stdout.splitlines() == ["ID  WHAT  KEK  SUBJECT  ALGORITHM  VERSION  WHY  SINCE  UNTIL"], "an empty trash")
    scrap(url, "a", ["s1", "s2"])
    scrap(url, "b", ["s1"])
    entries = json.loads(run(url, "trash", "list", "-o", "json").stdout)
    need([(e["type"], e["kekName"], e.get("subject")) for e in entries] ==
         [("DEK", "a", "s1"), ("DEK", "a", "s2"), ("KEK", "a", None), ("DEK", "b", "s1"), ("KEK", "b", None)], entries)
    table = run(url, "trash", "list", "--kek-name", "a", "--subject", "s2").stdout.splitlines()
    need(len(table) == 2 and table[1].split()[1:7] == ["DEK", "a", "s2", "AES256_GCM", "1", "deleted"], table)
    day = 86400
    until = time.mktime(time.strptime(table[1].split()[8], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.strptime(table[1].split()[7], "%Y-%m-%dT%H:%M:%SZ"))
    need(abs(until - 7 * day) < 3700, f"kept for {until / day} days")
    said = run(url, "trash", "restore", "--kek-name", "a").stdout.splitlines()
    need([line.split(":")[0] for line in said] == ["restored KEK a", "restored DEK a, subject s2", "restored DEK a, subject s1"], said)
    need(call(url, "GET", KEKS + "?deleted=true") == ["a"] and call(url, "GET", KEKS) == [], "soft-deleted, as it was")
    need(call(url, "GET", f"{KEKS}/a/deks?deleted=true") == ["s1", "s2"], "its DEKs")
    dek, kek = entries[3]["id"], entries[4]["id"]
    need("Key 'b' not found" in run(url, "trash", "restore", dek, code=3).stderr, "the KEK comes first")
    run(url, "trash", "restore", kek, dek)
    need(json.loads(run(url, "trash", "list", "-o", "json").stdout) == [], "nothing is left")
    registry.stop()


def large_trash(w):
    """a trash of more entries than are told at once is listed and restored whole"""
    registry = w.registry()
    url = registry.url
    call(url, "POST", KEKS, {"name": "k", "kmsType": "t", "kmsKeyId": "i"})
    for version in range(1, 1103):
        call(url, "POST", f"{KEKS}/k/deks/s", {"encryptedKeyMaterial": "YQ==", "version": version})
    for end in ("", "?permanent=true"):
        call(url, "DELETE", f"{KEKS}/k/deks/s{end}")
    need(len(call(url, "GET", "/csfle/v1/trash")) == 1000, "told at once")
    entries = json.loads(run(url, "trash", "list", "-o", "json").stdout)
    need(sorted(e["version"] for e in entries) == list(range(1, 1103)), f"{len(entries)} entries")
    need(len(run(url, "trash", "restore", "--kek-name", "k").stdout.splitlines()) == 1102, "restored")
    need(len(call(url, "GET", f"{KEKS}/k/deks/s/versions?deleted=true")) == 1102, "versions")
    registry.stop()


def refusals(w):
    """what cannot be restored is said, and nothing changes"""
    registry = w.registry()
    url = registry.url
    scrap(url, "a", [])
    call(url, "POST", KEKS, {"name": "a", "kmsType": "t", "kmsKeyId": "other"})
    need("already exists" in run(url, "trash", "restore", "--kek-name", "a", code=6).stderr, "a conflict")
    need(call(url, "GET", KEKS + "/a")["kmsKeyId"] == "other", "the KEK of that name now")
    need("csfle trash list" in run(url, "trash", "restore", code=2).stderr, "usage")
    run(url, "trash", "restore", "x", "--kek-name", "a", code=2)
    need("Trash entry 'nothing' not found" in run(url, "trash", "restore", "nothing", code=3).stderr, "an unknown id")
    need("csfle trash list" in run(url, "trash", "restore", "--kek-name", "none", code=3).stderr, "an unknown name")
    registry.stop()


def newest_of_several(w):
    """of two deleted keys of one name the newest is restored"""
    registry = w.registry()
    url = registry.url
    call(url, "POST", KEKS, {"name": "k", "kmsType": "t", "kmsKeyId": "i"})
    for material in ("b2xk", "bmV3"):
        call(url, "POST", f"{KEKS}/k/deks/s", {"encryptedKeyMaterial": material})
        call(url, "DELETE", f"{KEKS}/k/deks/s")
        call(url, "DELETE", f"{KEKS}/k/deks/s?permanent=true")
    need(len(run(url, "trash", "restore", "--kek-name", "k", "--subject", "s").stdout.splitlines()) == 1, "one key")
    need(call(url, "GET", f"{KEKS}/k/deks/s?deleted=true")["encryptedKeyMaterial"] == "bmV3", "the newest")
    call(url, "POST", f"{KEKS}/k/deks/s/undelete")
    call(url, "POST", f"{KEKS}/k/deks/s?rewrap=true", {"encryptedKeyMaterial": "anVuaw=="})
    replaced = [e["id"] for e in json.loads(run(url, "trash", "list", "-o", "json").stdout) if e["why"] == "replaced"]
    need("before the rewrap" in run(url, "trash", "restore", *replaced).stdout, "a rewrap")
    need(call(url, "GET", f"{KEKS}/k/deks/s")["encryptedKeyMaterial"] == "bmV3", "the material before the rewrap")
    registry.stop()


def doctor(w):
    """doctor: 0 when all is well, 1 and what to do when it is not"""
    registry = w.registry("-X", "dek.registry.max.keys=1")
    url = registry.url
    need(run(url, "doctor").stdout.startswith("nothing is wrong: 0 KEKs, 0 DEKs"), "well")
    for name in ("a", "b"):
        call(url, "POST", KEKS, {"name": name, "kmsType": "t", "kmsKeyId": "i"})
    said = run(url, "doctor", code=1).stdout
    need(said.startswith("key-limit: ") and "dek.registry.max.keys" in said and "ready, but see above: 2 KEKs" in said, said)
    health = json.loads(run(url, "doctor", "-o", "json", code=1).stdout)
    need(health["ready"] is True and [x["code"] for x in health["warnings"]] == ["key-limit"], health)
    registry.stop()
    need("check that the registry runs there" in run(url, "doctor", code=5).stderr, "no registry")


class Other(http.server.BaseHTTPRequestHandler):
    status, body = 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def do_GET(self):
        text = json.dumps(self.body).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def other_registries(w):
    """a registry that is not ours, and one that is not ready"""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    need("tells nothing of its health" in run(url, "doctor", code=1).stderr, "a foreign registry")
    need("no trash" in run(url, "trash", "list", code=3).stderr, "a foreign registry's trash")
    Other.status = 503
    Other.body = {"live": True, "ready": False, "warnings": [{"code": "store", "message": "the store takes no records\x1b[2J"}], "keks": 3}
    said = run(url, "doctor", code=1).stdout
    need(said.splitlines() == ["store: the store takes no records [2J", "NOT READY: 3 KEKs, 0 DEKs, 0 entries of the trash"], said)
    server.shutdown()


TESTS = [listed_and_restored, large_trash, refusals, newest_of_several, doctor, other_registries]


def main():
    tap = programs.Tap(len(TESTS))
    with tempfile.TemporaryDirectory(prefix="csfle-trash-") as folder:
        world = World(folder)
        for test in TESTS:
            tap.test(test.__doc__.splitlines()[0], lambda test=test: test(world))
    return tap.exit_code()


if __name__ == "__main__":
    sys.exit(main())
