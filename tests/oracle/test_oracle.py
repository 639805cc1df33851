#!/usr/bin/env python3
"""The oracle: for random pairs of schema and datum exactly the tagged leaves are encrypted, every other byte is the input's, inside them stands
what decrypts to the input, reading gives the input back, and warm calls allocate nothing. [DESIGN.md section 9]

    tests/oracle/test_oracle.py [--seed S] [--pairs N] [--case N] [--processes N]

What is right is said by an Avro decoder of its own (avro.py), by the rules of the specification (contracts.py) and by the Python packages
fastavro and cryptography; oracle_driver runs the library. Beside the pairs there is a tenth as many cases that have to be refused, with no byte
of output. A failed case prints how to run it again: --seed S --case N.
"""
import argparse
import io
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))

try:
    import fastavro
    import seal
except ImportError:
    venv = subprocess.run([os.path.join(TOP, "scripts/fetch"), "python"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    if sys.prefix == venv:
        raise
    os.execv(os.path.join(venv, "bin/python"), [os.path.join(venv, "bin/python"), *sys.argv])

import avro
import contracts
import schemas

BUILD = os.path.dirname(os.environ["CSFLE_TOOL"]) if "CSFLE_TOOL" in os.environ else os.environ.get("CSFLE_BUILD", os.path.join(TOP, "build/debug"))
CHUNK = 500
DATUM, TYPE, MISMATCH, POLICY = 202, 203, 304, 305
sys.setrecursionlimit(20000)


class Wrong(Exception):
    """The library did what it must not."""


def check(truth, what):
    if not truth:
        raise Wrong(what)


class Driver:
    """The program that runs the library; one a process."""

    def __init__(self):
        self.process = subprocess.Popen([os.path.join(BUILD, "oracle_driver")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, case):
        self.process.stdin.write(json.dumps(case, ensure_ascii=False).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.__init__()
            raise Wrong(f"oracle_driver ended with code {code}")
        return json.loads(line)


class Run:
    """What the cases of one run share: the keys, so that a nonce used twice can show."""

    def __init__(self, seed):
        self.seed, self.driver, self.openers = seed, Driver(), {}
        rnd = random.Random(f"{seed}/keys")
        self.pool = {a: [rnd.randbytes(n) for _ in range(4)] for a, n in seal.KEY_BYTES.items()}

    def opener(self, algorithm, key):
        at = (algorithm, key)
        if at not in self.openers:
            if len(self.openers) > 1000:
                self.openers.clear()
            self.openers[at] = seal.Opener(algorithm, key)
        return self.openers[at]


class Case:
    """One pair, made from the seed and its number. `kind`: pair, or one of the ways to be refused."""

    KINDS = ("type", "place", "nowhere", "container", "bytes", "bytes", "layout")

    def __init__(self, run, number):
        self.number, self.rnd = number, random.Random(f"{run.seed}/{number}")
        rnd = self.rnd
        self.kind = "pair" if number % 11 else rnd.choice(self.KINDS)
        for _ in range(50):
            bare = number % 97 == 1 or (self.kind == "bytes" and rnd.random() < 0.1)  # a value outside any field, often bytes
            schema = schemas.Maker(rnd).root() if not bare else rnd.choice(("bytes", {"type": "bytes"}, schemas.Maker(rnd).scalar()))
            self.contract = contracts.make(rnd, schema, avro.parse)
            if bare:
                break
            if self.contract.rules or (self.kind == "pair" and rnd.random() < 0.05):
                break
        self.caller = None
        if self.kind != "pair" and self.contract.rules:
            self.spoil()
        elif rnd.random() < 0.15:
            self.caller = json.dumps(schemas.bare(self.contract.schema))
        for _ in range(12):
            self.data = self.datum()
            if self.kind != "pair" or not self.unsealable():
                break
        else:  # no such luck: a leaf that cannot be encrypted is always there
            self.contract = contracts.Contract(json.loads(json.dumps(schema)), {}, [], avro.parse)
            self.caller = None
        self.keys(run)

    def datum(self):
        rnd = self.rnd
        for _ in range(20):
            data = avro.Encoder(rnd, rnd.choice((0, 0, 0.1, 0.5)), rnd.choice((5, 30, 100, 300))).value(self.contract.root)
            if len(data) <= 100000:
                break
        if self.kind == "bytes":
            data = bytearray(data)
            for _ in range(rnd.choice((1, 1, 2))):
                at = rnd.randrange(len(data) + 1)
                how = rnd.random()
                if how < 0.3:
                    del data[at:]
                elif how < 0.5:
                    data[at:at] = rnd.randbytes(rnd.randint(1, 3))
                elif how < 0.6:
                    data += rnd.randbytes(1)
                elif at < len(data):
                    data[at] = rnd.choice((rnd.randrange(256), 0xFF, 0x80, 0, data[at] ^ 1))
        return bytes(data)

    def spoil(self):
        """Makes the contract, or the caller's schema, one that may have to be refused."""
        rnd, c = self.rnd, self.contract
        schema = json.loads(json.dumps(c.schema))
        patterns = {p: set(t) for p, t in c.patterns.items()}
        rules = list(c.rules)
        tag = rnd.choice(sorted(rules[0].tags or {"PII"}))
        fields = [f for r in avro.parse(schema)[1] for f in r.fields]

        def mark(choice):
            for f in rnd.sample(choice, min(len(choice), rnd.randint(1, 3))):
                f.json["confluent:tags"] = sorted({*f.json.get("confluent:tags", ()), tag})
        if self.kind == "type":
            mark([f for f in fields if contracts.own_kinds(f.type) - {"string", "bytes"}])
        elif self.kind == "container":
            mark([f for f in fields if contracts.own_records(f.type)])
        elif self.kind == "place":
            rnd.choice(schemas.type_objects(schema, []))["confluent:tags"] = [tag]
        elif self.kind == "nowhere":
            rules.insert(rnd.randint(0, len(rules)), contracts.Rule("nowhere", {"NOWHERE"}, "kek1", "AES256_GCM", 0))
        elif self.kind == "layout":
            self.caller = json.dumps(schema)
            root = schema if "fields" in schema else rnd.choice([t for t in schemas.type_objects(schema, []) if "fields" in t])
            if root["fields"] and rnd.random() < 0.5:
                f = rnd.choice(root["fields"])
                f["name"] += "_"
                f.pop("default", None), f.pop("aliases", None)
            else:
                root["fields"].append({"name": "one_more", "type": rnd.choice(("int", "string"))})
        self.contract = contracts.Contract(schema, patterns, rules, avro.parse)

    def unsealable(self):
        """Selected leaves of the datum that no rule can seal."""
        return [leaf for leaf in avro.decode(self.contract.root, self.data).leaves if leaf.kind not in ("string", "bytes") and self.contract.of(leaf)]

    def keys(self, run):
        """What the registry has. self.versions[rule]: whether the key there is, and its number; None where the library makes it."""
        rnd = self.rnd
        self.subjects, self.deks = {}, []
        for r in self.contract.rules:
            at = (r.kek, r.algorithm)
            if at in self.subjects:
                continue
            have = {} if rnd.random() < 0.15 else {1: rnd.choice((0, 0, 5, 400))}  # version: age in days
            if have and rnd.random() < 0.4:
                have[rnd.choice((2, 3, 7, 300))] = rnd.choice((0, 0, 400))
            self.subjects[at] = have
            for version, age in have.items():
                key = rnd.choice(run.pool[r.algorithm])
                self.deks.append(json.dumps({"kekName": r.kek, "subject": "oracle-value", "version": version, "algorithm": r.algorithm,
                                             "encryptedKeyMaterial": seal.wrap(rnd, r.algorithm, key), "ts": contracts.NOW - age * contracts.DAY}))

    def version_used(self, r, have):
        """The version rule r seals under; the library makes it, and `have` learns it, when it is missing or due."""
        if not r.days:
            have.setdefault(1, 0)
            return 1
        latest = max(have, default=0)
        if not latest or have[latest] >= r.days:
            latest += 1
            have[latest] = 0
        return latest

    def request(self):
        c = self.contract
        shared = self.rnd.random() < 0.1
        q = {"id": self.rnd.choice((1, 12, 99999)), "version": self.rnd.randint(1, 20), "schema": json.dumps(c.schema, ensure_ascii=self.rnd.random() < 0.5),
             "in": self.data.hex(), "apart": self.rnd.random() < 0.5, "deks": self.deks,
             "keks": [json.dumps({"name": k, "kmsType": "local-kms", "kmsKeyId": "key", "kmsProps": {}, "shared": False, "ts": contracts.NOW, "deleted": False})
                      for k in sorted({r.kek for r in c.rules})]}
        for name, text in (("caller", self.caller), ("metadata", c.metadata_json(shared)), ("rules", c.rules_json(self.rnd, shared))):
            if text:
                q[name] = text
        return q

    def refusals(self):
        """The codes one of which the library must answer; empty when it must write."""
        c = self.contract
        if c.refused():
            return {POLICY}
        if self.kind == "layout" and self.caller:
            return {MISMATCH, DATUM}  # DATUM: only a branch of a union cannot be resolved, and the value is in it
        try:
            leaves = avro.decode(c.root, self.data).leaves
        except avro.Bad:
            return {DATUM}
        codes = set()
        for leaf in leaves:
            if not c.of(leaf):
                continue
            if leaf.kind not in ("string", "bytes"):
                codes.add(TYPE)
            elif leaf.kind == "string":
                try:
                    self.data[leaf.off:leaf.end].decode()
                except UnicodeDecodeError:
                    codes.add(DATUM)
        return codes


def written(value, reader):
    stream = io.BytesIO(value)
    tree = fastavro.schemaless_reader(stream, reader, None)
    check(stream.tell() == len(value), "fastavro: bytes are left behind the value")
    return repr(tree)


class Judge:
    """Runs cases and counts."""

    def __init__(self, run):
        self.run, self.nonces = run, []
        self.count = dict.fromkeys(("pairs", "leaves", "sealings", "bytes", "data bytes", "inline and external tags", "several rules", "sized blocks",
                                    "fastavro", "refused", "resolved", "allocations", "plain pairs"), 0)

    def case(self, number):
        case = Case(self.run, number)
        self.last = case, case.request()
        answer = self.run.driver.ask(self.last[1])
        codes = case.refusals()
        check(answer["dirty"] == 0, "secret memory was released without a wipe")
        check(answer["live"] == 0, f"{answer['live']} allocations were never released")
        if case.kind == "layout" and case.caller and answer["status"] == 0:
            # no value lies where the layouts differ: resolved, and blocks are written anew; test_resolution.py looks at such values
            check(answer["read"] == 0 and answer["encrypted"] == answer["decrypted"] and answer["passed"] == 0, "a resolved value does not come back")
            self.count["resolved"] += 1
            return
        if codes:
            check(answer["status"] in codes, f"status is {answer['status']} ({answer['msg']}), expected one of {sorted(codes)}")
            check("out" not in answer and answer["left"] == 0, "a refused value has output")
            self.count["refused"] += 1
            return
        check(answer["status"] == 0, f"serialize: {answer['status']} {answer['where']} {answer['msg']}")
        check(answer["read"] == 0, f"deserialize: {answer['read']} {answer['where']} {answer['msg']}")
        self.sealed(case, answer)
        if case.kind == "pair":
            self.count["pairs"] += 1
            self.count["plain pairs"] += not case.contract.rules

    def sealed(self, case, answer):
        c, data = case.contract, case.data
        value = avro.decode(c.root, data)
        leaves = [(leaf, c.of(leaf)) for leaf in value.leaves]
        taken = [x for x in leaves if x[1]]
        blocks = [b for b in value.blocks if any(rules for _, rules in leaves[b.first:b.last])]
        places = sorted([(leaf.head, leaf.end, leaf, rules) for leaf, rules in taken] + [(b.head, b.off, b, None) for b in blocks], key=lambda p: p[0])
        keys = self.openers(case, answer, [r for r in c.active if any(r in rules for _, rules in taken)])
        raw = c.root.kind == "bytes"
        for name in ("out", "again"):
            out = bytes.fromhex(answer[name])
            check(out[:5] == b"\0" + self.last[1]["id"].to_bytes(4, "big"), f"the prefix is {out[:5].hex()}")
            if raw:
                check(out[5:] == data[value.leaves[0].off:], "top-level bytes are not the input's content")
            else:
                self.compare(data, out[5:], places, keys)
        self.back(case, value, places, bytes.fromhex(answer["again"])[5:], bytes.fromhex(answer["back"]), raw)
        check(answer["encrypted"] == len(taken) == answer["decrypted"] and answer["passed"] == 0,
              f"info says {answer['encrypted']} encrypted, {answer['decrypted']} decrypted, {answer['passed']} passed, expected {len(taken)}, {len(taken)}, 0")
        check(answer["allocs"] == [0, 0], f"a warm call allocated: {answer['allocs']} by the library (serialize, deserialize)")
        check(max(answer["mallocs"]) <= 0, f"a warm call allocated: {answer['mallocs']} calls of malloc (serialize, deserialize)")
        n = self.count
        n["leaves"] += len(taken)
        n["sealings"] += sum(len(rules) for _, rules in taken)
        n["data bytes"] += len(data)
        n["inline and external tags"] += bool(c.patterns)
        n["several rules"] += len(c.rules) > 1
        n["sized blocks"] += len(blocks)
        n["allocations"] += sum(answer["allocs"])

    def openers(self, case, answer, running):
        """(opener, version of the prefix or None) of each rule that has something to seal, by what the registry has in the end."""
        deks = {(d["kekName"], d["algorithm"], d["version"]): d for d in answer["deks"]}
        keys = {}
        for r in running:
            have = case.subjects[r.kek, r.algorithm]
            version = case.version_used(r, have)
            d = deks.get((r.kek, r.algorithm, version))
            check(d, f"rule {r.name}: the registry has no {r.algorithm} key of version {version}")
            keys[r] = self.run.opener(r.algorithm, seal.unwrap(r.algorithm, d["encryptedKeyMaterial"])), version if r.days else None
        made = sum(len(have) for have in case.subjects.values())
        check(len(deks) == made, f"the registry has {len(deks)} data keys in the end, expected {made}")
        return keys

    def compare(self, data, out, places, keys):
        """Every byte of out is the input's, or stands in the place of a tagged leaf, or is the header of a block around one."""
        at = to = 0
        for head, end, what, rules in places:
            check(out[to:to + head - at] == data[at:head], f"bytes of the input from {at} to {head} are not the output's at {to}")
            self.count["bytes"] += head - at
            to += head - at
            at = end
            if rules is None:
                new = avro.varint(what.count)
                check(out[to:to + len(new)] == new, f"the block at {head} has no plain count of {what.count} at {to}")
                to += len(new)
                continue
            d = avro.Decoder(out)
            d.at = to
            n = d.number()
            check(out[to:d.at] == avro.varint(n) and n >= 0, f"the length at {to} is not in its shortest form")
            stored = d.take(n)
            to = d.at
            try:
                plain = seal.open_field(what.kind, stored, [keys[r] for r in rules], self.nonces)
            except Exception as e:  # whatever the packages say, it is not a ciphertext
                raise Wrong(f"leaf {what.field.full} at {head}: {type(e).__name__} {e}") from e
            check(plain == data[what.off:what.end], f"leaf {what.field.full} at {head} decrypts to something else")
        check(out[to:] == data[at:], f"bytes of the input from {at} to the end are not the output's at {to}")
        self.count["bytes"] += len(data) - at

    def back(self, case, value, places, sealed, back, raw):
        """Reading gives the input: to the byte, where lengths and counts around leaves were in their shortest form."""
        data, want, at = case.data, bytearray(), 0
        for head, end, what, rules in places:
            want += data[at:head]
            at = end
            want += avro.varint(what.count) if rules is None else avro.varint(end - what.off) + data[what.off:end]
        want += data[at:]
        if raw:
            content = data[value.leaves[0].off:]
            want = avro.varint(len(content)) + content
        check(back == bytes(want), "deserialize does not give the input back")
        if case.kind == "bytes":
            return  # an unselected string may not even be text
        schema = schemas.plain(case.contract.schema)
        if any(t.get("namespace") == "" for t in schemas.type_objects(schema, [])):
            schema = schemas.numbered(schema)
        reader = fastavro.parse_schema(schema)
        before = written(data, reader)
        check(before == repr(value.tree), "fastavro and the oracle's decoder do not read the same input")
        check(written(back, reader) == before, "fastavro reads something else after decrypting")
        written(sealed if not raw else avro.varint(len(sealed)) + sealed, reader)
        self.count["fastavro"] += 1


# ---- running --------------------------------------------------------------------------------------------------------

RUN = None


def start(seed):
    global RUN
    RUN = Run(seed)


def chunk(numbers):
    """(counts, failures as texts, nonces) of some cases."""
    judge, failures = Judge(RUN), []
    for number in numbers:
        judge.last = None
        try:
            judge.case(number)
        except Exception as e:
            what = str(e) if isinstance(e, Wrong) else f"{type(e).__name__}: {e}"
            text = f"case {number}: {what}\nagain: tests/oracle/test_oracle.py --seed {RUN.seed} --case {number}"
            if judge.last and len(failures) < 3:
                text += "".join(f"\n{name}: {value}"[:6000] for name, value in judge.last[1].items())
            failures.append(text)
    return judge.count, failures, b"".join(judge.nonces)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seed", default=str(time.time_ns() // 1000 % 10**9))
    a.add_argument("--pairs", type=int, default=10000)
    a.add_argument("--case", type=int)
    a.add_argument("--processes", type=int, default=2)
    o = a.parse_args()
    begin = time.monotonic()
    if o.case is not None:
        start(o.seed)
        _, failures, _ = chunk([o.case])
        print("\n".join(failures) or f"ok: case {o.case} of seed {o.seed} is as it should be")
        sys.exit(bool(failures))
    size = CHUNK + CHUNK // 10
    jobs = [range(k * size, (k + 1) * size) for k in range(max(1, o.pairs // CHUNK))]
    print(f"# seed {o.seed}; fastavro {fastavro.__version__}; again: tests/oracle/test_oracle.py --seed {o.seed}", flush=True)
    print(f"1..{len(jobs) + 3}", flush=True)
    total, nonces, bad, test = {}, set(), 0, 0
    seen = 0
    with multiprocessing.Pool(o.processes, start, [o.seed]) as pool:
        for numbers, (count, failures, raw) in zip(jobs, pool.imap(chunk, jobs)):
            test += 1
            bad += len(failures)
            for name, n in count.items():
                total[name] = total.get(name, 0) + n
            seen += len(raw) // 20
            nonces.update(raw[i:i + 20] for i in range(0, len(raw), 20))
            print(f"{'not ok' if failures else 'ok'} {test} - cases {numbers[0]} to {numbers[-1]}: {count['pairs']} pairs, {count['leaves']} leaves sealed, "
                  f"{count['refused']} refused", flush=True)
            for text in failures[:3]:
                print("\n".join("# " + line for line in text.splitlines()), flush=True)
            if len(failures) > 3:
                print(f"# and {len(failures) - 3} more: " + "; ".join(t.splitlines()[0] for t in failures[3:13]), flush=True)
    for name, n in total.items():
        print(f"# {name}: {n}")
    print(f"# seconds: {time.monotonic() - begin:.1f}")

    def tell(truth, name):
        nonlocal test
        test += 1
        print(f"{'ok' if truth else 'not ok'} {test} - {name}", flush=True)
        return truth

    whole = tell(total["pairs"] == len(jobs) * CHUNK, f"{total['pairs']} pairs, {total['leaves']} leaves checked, {total['bytes']} bytes compared")
    zero = tell(not bad and total["allocations"] == 0, f"{total['allocations']} allocations in {2 * total['pairs']} warm calls")
    once = tell(len(nonces) == seen, f"{seen} nonces of AES-GCM, {seen - len(nonces)} of them twice under one key")
    sys.exit(bool(bad) or not (whole and zero and once))


if __name__ == "__main__":
    main()
