#!/usr/bin/env python3
"""Planted keys looked for in the memory of a client and a server from another process: raw, as key material, as Base64. [AB-13]

What a core dump would hold is every mapping but those under MADV_DONTDUMP. In there nothing of a key may be, ever, but one
exception (docs/security.md): a cipher context in use holds its key schedule, which begins with the key. Everywhere, the mappings that are left out of dumps
too, nothing may be after the key was forgotten, the client closed, the server's short memory over.
"""
import base64
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("CSFLE_BUILD", os.path.join(TOP, "build", "debug"))
SERVER = os.environ.get("CSFLE_REGISTRY") or os.path.join(BUILD, "csfle-registry")
HOLDER = os.environ.get("CSFLE_MEMORY_HOLDER") or os.path.join(BUILD, "memory_holder")
W = "07V2ndh02DA73p+dTybwZFm7DKQSZN1tEwQh+FoX1DZLk4Yj2LLu4omYjp/84tAg3BYlkfGSz+zZacJHIE4="  # wrapped with the secret "mysecret"
R = base64.b64decode("GiBB5SNMJKak+FsdgjfpmhLfhyLwwhg3VWrNDset3lhpzw==")
SECRET = "mysecret"
CACHE_MS = 1500
CONTEXTS = 4  # the serde writes and reads with the key, and each has one context to seal and one to open
TYPE = "application/vnd.schemaregistry.v1+json"


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Memory:
    """The writable memory of a process as it is now: [(mapping's name, left out of dumps, bytes)]."""

    def __init__(self, pid):
        self.parts = []
        at = None
        with open(f"/proc/{pid}/smaps", encoding="ascii") as f, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
            for line in f:
                words = line.split()
                if "-" in words[0] and len(words) >= 5 and not words[0].endswith(":"):
                    start, end = (int(x, 16) for x in words[0].split("-"))
                    at = (start, end, words[1], words[5] if len(words) > 5 else "[anonymous]")
                elif words[0] == "VmFlags:" and at and "r" in at[2] and "w" in at[2]:
                    mem.seek(at[0])
                    try:
                        data = mem.read(at[1] - at[0])
                    except OSError:
                        continue  # a guard page
                    while len(data) < at[1] - at[0]:
                        more = mem.read(at[1] - at[0] - len(data))
                        if not more:
                            break
                        data += more
                    self.parts.append((at[3], "dd" in words[1:], data))
        assert self.parts, "no memory could be read"

    def find(self, needle, dumped_only=False):
        return [name for name, left_out, data in self.parts if not (dumped_only and left_out) for _ in range(data.count(needle))]


def forms(material):
    """What a key looks like: {name: bytes}. Base64 of it at the other two offsets inside a longer text has a common middle."""
    raw = material[2:]
    return {
        "key material": material, "Base64": base64.b64encode(material), "URL Base64": base64.urlsafe_b64encode(material).rstrip(b"="),
        "Base64 of the raw key": base64.b64encode(raw)[:-4], "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode(),
    }


class World:
    def __init__(self, folder, *args):
        self.server = subprocess.Popen([SERVER, "--port", "0", "--store", os.path.join(folder, "store.db"), *args], stdout=subprocess.PIPE, text=True,
                                       stderr=open(os.path.join(folder, "log"), "a", encoding="utf-8"), preexec_fn=die_with_parent)
        self.log = os.path.join(folder, "log")
        line = self.server.stdout.readline()
        self.url = line.split()[-1]
        assert self.url.startswith("http"), line

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={"Content-Type": TYPE})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as reply:
            return json.loads(reply.read() or b"null")

    def contract(self, topic, kek):
        schema = {"type": "record", "name": "R", "fields": [{"name": "ssn", "type": "string", "confluent:tags": ["PII"]}]}
        rule = {"name": "e", "kind": "TRANSFORM", "mode": "WRITEREAD", "type": "ENCRYPT", "tags": ["PII"], "params": {"encrypt.kek.name": kek}}
        self.call("POST", f"/subjects/{topic}-value/versions", {"schema": json.dumps(schema), "ruleSet": {"domainRules": [rule]}})

    def holder(self, topic, properties=""):
        env = dict(os.environ, HOLDER_PROPERTIES=properties)
        env.pop("LOCAL_SECRET", None)
        return subprocess.Popen([HOLDER, self.url, topic, '{"ssn":"078-05-1120"}'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
                                preexec_fn=die_with_parent)

    def end(self):
        self.server.terminate()
        assert self.server.wait(20) == 0


def step(holder, word, send=True):
    if send:
        holder.stdin.write("\n")
        holder.stdin.flush()
    got = holder.stdout.readline().strip()
    assert got == word, f"the holder said {got!r}, not {word!r}"
    return Memory(holder.pid)


def look(memory, material, contexts, what):
    """No form of the key in what a core would hold but @contexts key schedules; returns what is in all of it."""
    for name, needle in forms(material).items():
        places = memory.find(needle, dumped_only=True)
        assert not places, f"{what}: the key as {name} lies in {sorted(set(places))}"
    places = memory.find(material[2:], dumped_only=True)
    assert len(places) <= contexts, f"{what}: the raw key lies {len(places)} times in memory that a core would hold ({sorted(set(places))}), {contexts} cipher contexts are in use"
    return memory


def gone(memory, material, what):
    for name, needle in [("the raw key", material[2:]), *forms(material).items()]:
        places = memory.find(needle)
        assert not places, f"{what}: {name} is still in {sorted(set(places))}"


def plain(world):
    """A key that only clients may open."""
    world.call("POST", "/dek-registry/v1/keks", {"name": "own", "kmsType": "local-kms", "kmsKeyId": "k"})
    world.call("POST", "/dek-registry/v1/keks/own/deks", {"subject": "plain-value", "algorithm": "AES256_GCM", "encryptedKeyMaterial": W})
    world.contract("plain", "own")
    holder = world.holder("plain", "rule.executors._default_.param.secret=" + SECRET)
    memory = look(step(holder, "used", send=False), R, CONTEXTS, "in use")
    assert memory.find(R[2:]), "the search does not find a key that is in use"
    gone(step(holder, "forgotten"), R, "after forget")
    look(step(holder, "used"), R, CONTEXTS, "in use again")
    gone(step(holder, "closed"), R, "after close")
    holder.stdin.close()
    assert holder.wait(20) == 0
    gone(Memory(world.server.pid), R, "the server, which never had it")


def shared(world):
    """A key that the server opens and sends."""
    world.call("POST", "/dek-registry/v1/keks", {"name": "sh", "kmsType": "local-kms", "kmsKeyId": "k", "kmsProps": {"secret": SECRET}, "shared": True})
    world.contract("shared", "sh")
    holder = world.holder("shared")
    memory = step(holder, "used", send=False)
    server = Memory(world.server.pid)  # as the client's reading left it
    dek = world.call("GET", "/dek-registry/v1/keks/sh/deks/shared-value")
    material = base64.b64decode(dek["keyMaterial"])
    assert len(material) == 34
    look(memory, material, CONTEXTS, "in use")
    assert memory.find(material[2:]), "the search does not find a key that is in use"
    look(server, material, 0, "the server after a shared read")
    gone(step(holder, "forgotten"), material, "after forget")
    look(step(holder, "used"), material, CONTEXTS, "in use again")
    gone(step(holder, "closed"), material, "after close")
    holder.stdin.close()
    assert holder.wait(20) == 0
    look(Memory(world.server.pid), material, 0, "the server with the key in its short memory")
    deadline = time.monotonic() + 20
    while True:  # it forgets by itself, a moment after the time it is told
        try:
            gone(Memory(world.server.pid), material, "the server after csfle.shared.dek.cache.ms")
            break
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    with open(world.log, "rb") as f:
        text = f.read()
    assert not any(needle in text for needle in [material[2:], *forms(material).values()]), "the server's log holds the key"


def no_core(world):
    """A server that is started with leave to write cores and is killed by SIGABRT leaves none."""
    with tempfile.TemporaryDirectory() as folder:
        def leave():
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
            die_with_parent()

        server = subprocess.Popen([SERVER, "--port", "0", "--store", os.path.join(folder, "s.db")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  text=True, cwd=folder, preexec_fn=leave)
        server.stdout.readline()
        with open(f"/proc/{server.pid}/limits", encoding="ascii") as f:
            line = next(x for x in f if x.startswith("Max core file size"))
        assert line.split()[4:6] == ["0", "0"], line
        os.kill(server.pid, signal.SIGABRT)
        _, status = os.waitpid(server.pid, 0)
        server.returncode = status
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGABRT, status
        assert not os.WCOREDUMP(status), "a core was written"
    assert world.server.poll() is None


CASES = [plain, shared, no_core]


def main():
    failed = 0
    print(f"1..{len(CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder, "-X", f"csfle.shared.dek.cache.ms={CACHE_MS}")
        for number, case in enumerate(CASES, 1):
            try:
                case(world)
                print(f"ok {number} - {case.__name__}: {case.__doc__.splitlines()[0]}")
            except Exception as e:  # pylint: disable=broad-except
                failed += 1
                print(f"not ok {number} - {case.__name__}\n# {type(e).__name__}: {e}")
        world.end()
    print(f"# {len(CASES)} cases")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
