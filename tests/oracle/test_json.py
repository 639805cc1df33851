#!/usr/bin/env python3
"""JSON text of Avro values against fastavro: for random schemas and data both write the same value and read each other's text.

    tests/oracle/test_json.py [--seed S] [--cases N] [--case N]

Bare unions have no peer: what a text without wrappers must be, and which branch it means, is written down here once more.
"""
import argparse
import io
import json
import math
import os
import random
import struct
import subprocess
import sys
import time

import test_resolution as other
from test_resolution import BUILD, Maker, fastavro, kind


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def same(a, b):
    if isinstance(a, float) or isinstance(b, float):
        if isinstance(a, bool) or isinstance(b, bool) or not isinstance(a, (int, float)) or not isinstance(b, (int, float)):
            return False
        try:
            return a == b or single(a) == single(b)  # fastavro prints a float as the double it is equal to
        except OverflowError:
            return False
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return type(a) is type(b) and a == b


class Finite(Maker):
    def datum(self, t, names, depth=0):
        value = super().datum(t, names, depth)
        if isinstance(value, float) and not math.isfinite(value):
            return 0.5  # JSON has no such number, and fastavro writes one all the same
        return value


def names_of(t, found):
    if isinstance(t, list):
        for b in t:
            names_of(b, found)
    elif isinstance(t, dict):
        if "name" in t:
            found[t["name"]] = t
        for key in ("items", "values"):
            if key in t:
                names_of(t[key], found)
        for f in t.get("fields", ()):
            names_of(f["type"], found)
    return found


def bare(t, value, names):
    """The text of a value for people: no wrapper around what a union holds."""
    t = names.get(t, t) if isinstance(t, str) else t
    k = kind(t)
    if k == "union":
        if value is None:
            return None
        name, inner = value
        branch = next(b for b in t if (names.get(b, b) if isinstance(b, str) else b) is names.get(name) or kind(b) == name)
        return bare(branch, inner, names)
    if k in ("bytes", "fixed"):
        return value.decode("latin-1")
    if k == "array":
        return [bare(t["items"], v, names) for v in value]
    if k == "map":
        return {m: bare(t["values"], v, names) for m, v in value.items()}
    if k == "record":
        return {f["name"]: bare(f["type"], value[f["name"]], names) for f in t["fields"]}
    return value


def has(t, kinds, names, seen):
    t = names.get(t, t) if isinstance(t, str) else t
    k = kind(t)
    if k in kinds:
        return True
    if k == "record":
        if t["name"] in seen:
            return False
        return any(has(f["type"], kinds, names, seen | {t["name"]}) for f in t["fields"])
    inner = t if k == "union" else [t["items"]] if k == "array" else [t["values"]] if k == "map" else []
    return any(has(x, kinds, names, seen) for x in inner)


def fits(t, v, names):
    """Whether bare JSON value v is one of type t, and as what datum: (True, datum) for fastavro to encode."""
    t = names.get(t, t) if isinstance(t, str) else t
    k = kind(t)
    if k == "null":
        return v is None, None
    if k == "boolean":
        return isinstance(v, bool), v
    if k in ("int", "long"):
        limit = 1 << (31 if k == "int" else 63)
        return isinstance(v, int) and not isinstance(v, bool) and -limit <= v < limit, v
    if k == "float":
        try:
            return isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(single(v)), v
        except OverflowError:
            return False, None  # larger than any float
    if k == "double":
        return isinstance(v, (int, float)) and not isinstance(v, bool), v
    if k == "string":
        return isinstance(v, str), v
    if k == "enum":
        return isinstance(v, str) and v in t["symbols"], v
    if k == "array":
        got = [fits(t["items"], x, names) for x in v] if isinstance(v, list) else [(False, None)]
        return all(ok for ok, _ in got), [d for _, d in got]
    if k == "map":
        got = {m: fits(t["values"], x, names) for m, x in v.items()} if isinstance(v, dict) else {"": (False, None)}
        return all(ok for ok, _ in got.values()), {m: d for m, (_, d) in got.items()}
    if k == "record":
        if not isinstance(v, dict) or set(v) != {f["name"] for f in t["fields"]}:
            return False, None
        got = {f["name"]: fits(f["type"], v[f["name"]], names) for f in t["fields"]}
        return all(ok for ok, _ in got.values()), {m: d for m, (_, d) in got.items()}
    for b in t:  # the first branch in declared order that fits
        ok, d = fits(b, v, names)
        if ok:
            of = names.get(b, b) if isinstance(b, str) else b
            return True, d if kind(of) == "null" else (of["name"] if kind(of) in ("record", "enum") else kind(of), d)
    return False, None


class Judge:
    def __init__(self, seed):
        self.seed = seed
        self.driver = subprocess.Popen([os.path.join(BUILD, "oracle_json_driver")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.count = dict.fromkeys(("texts", "bare texts", "characters", "not written by fastavro"), 0)

    def case(self, number):
        m = Finite(random.Random(f"{self.seed}/{number}"))
        schema = m.writer()
        while kind(schema) in other.SCALARS:
            schema = m.writer()
        names = names_of(schema, {})
        datum = m.datum(schema, {})
        text = json.dumps(schema)
        parsed = fastavro.parse_schema(json.loads(text))
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, parsed, datum)
        data = stream.getvalue()
        theirs = io.StringIO()
        try:
            fastavro.json_writer(theirs, parsed, [datum])
            theirs = theirs.getvalue().strip()
            sound = same(next(fastavro.json_reader(io.StringIO(theirs), parsed)), fastavro.schemaless_reader(io.BytesIO(data), parsed, None))
        except Exception:  # its JSON side stumbles over some schemas that are right (a root that is an array, recursion)
            sound = False
        if not sound:  # it cannot write them, or does not read its own text as the value
            self.count["not written by fastavro"] += 1
            return ""
        plain = bare(schema, datum, names)
        q = {"schema": text, "in": data.hex(), "texts": [theirs, json.dumps(plain)]}
        self.driver.stdin.write(json.dumps(q).encode() + b"\n")
        self.driver.stdin.flush()
        a = json.loads(self.driver.stdout.readline())
        self.last = f"schema: {text}\ndata: {data.hex()}\nfastavro: {theirs}\nplain: {json.dumps(plain)}\nours: {a}"
        if a["wrapped"] is None or a["plain"] is None:
            return "no text"
        if not same(json.loads(a["wrapped"]), json.loads(theirs)):
            return "another text than fastavro's"
        if not same(json.loads(a["plain"]), plain):
            return "another plain text"
        if a["encoded"][0] != data.hex():
            return "fastavro's text is read as another value"
        read = next(fastavro.json_reader(io.StringIO(a["wrapped"]), parsed))
        if not same(read, fastavro.schemaless_reader(io.BytesIO(data), parsed, None)):
            return "fastavro reads our text as another value"
        self.count["texts"] += 1
        self.count["characters"] += len(theirs)
        if not has(schema, ("bytes", "fixed"), names, frozenset()):
            ok, meant = fits(schema, plain, names)
            if not ok:
                return "the test itself cannot place its plain text"
            want = io.BytesIO()
            fastavro.schemaless_writer(want, parsed, meant)
            if a["encoded"][1] != want.getvalue().hex():
                return f"a bare text means another branch: {want.getvalue().hex()}"
            self.count["bare texts"] += 1
        return ""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", default=str(time.time_ns() // 1000 % 10**9))
    p.add_argument("--cases", type=int, default=2000)
    p.add_argument("--case", type=int)
    o = p.parse_args()
    judge = Judge(o.seed)
    if o.case is not None:
        wrong = judge.case(o.case)
        print(judge.last, wrong or "as it should be", sep="\n")
        sys.exit(bool(wrong))
    print(f"# seed {o.seed}; fastavro {fastavro.__version__}; again: tests/oracle/test_json.py --seed {o.seed} --case N\n1..2", flush=True)
    failures = 0
    for number in range(o.cases):
        wrong = judge.case(number)
        if wrong:
            failures += 1
            if failures <= 5:
                print(f"# case {number}: {wrong}\n" + "\n".join("#   " + line[:2000] for line in judge.last.splitlines()), flush=True)
    n = judge.count
    failures += n["texts"] * 2 < o.cases
    print(f"{'not ok' if failures else 'ok'} 1 - {o.cases} values have fastavro's JSON text, both ways: " + ", ".join(f"{x} {what}" for what, x in n.items()))
    few = n["bare texts"] * 5 <= o.cases
    print(f"{'not ok' if few else 'ok'} 2 - {n['bare texts']} of them were read without wrappers, each union's first branch that fits")
    sys.exit(bool(failures) or few)


if __name__ == "__main__":
    main()
