#!/usr/bin/env python3
"""Resolution against fastavro: for random writer schemas, reader schemas made from them, and data, both read the same value.

    tests/oracle/test_resolution.py [--seed S] [--cases N] [--case N]

What resolves at all must be what the compatibility check says; what it refuses as a whole fastavro may still read by luck (an empty array, a
branch not taken). Where fastavro itself is not what the Avro specification and Java say, DEVIATIONS names the shape, and only that is not made.
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

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
try:
    import fastavro
    from fastavro.read import SchemaResolutionError
except ImportError:
    venv = subprocess.run([os.path.join(TOP, "scripts/fetch"), "python"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    if sys.prefix == venv:
        raise
    os.execv(os.path.join(venv, "bin/python"), [os.path.join(venv, "bin/python"), *sys.argv])

BUILD = os.path.dirname(os.environ["CSFLE_TOOL"]) if "CSFLE_TOOL" in os.environ else os.environ.get("CSFLE_BUILD", os.path.join(TOP, "build/debug"))
DATUM, MISMATCH = 202, 304
DEVIATIONS = (
    # shape, fastavro, the specification and Java, how it is kept out
    ("default of bytes or fixed", "the JSON text itself", "the bytes of its code points", "compared as the bytes"),
    ("name without a namespace as alias in another namespace (.R)", "not found", "found", "every name has a namespace"),
    ("reader's union with a promotion of the type before the type itself", "the promotion", "the type itself, as Java's ResolvingDecoder",
     "numbers stand in order of promotion; string and bytes of one union count as the same"),
    ("items that cannot be read, in an array or map that is empty", "read", "Java reads it; here the pair of schemas is refused",
     "allowed when the compatibility check refuses the schemas too"),
    ("long or int as float", "not rounded", "rounded to a float", "compared rounded"),
)
SCALARS = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
PROMOTED = {"int": ("long", "float", "double"), "long": ("float", "double"), "float": ("double",), "string": ("bytes",), "bytes": ("string",)}


def kind(t):
    return "union" if isinstance(t, list) else t["type"] if isinstance(t, dict) else t


def in_order(branches):
    """The same union, its numbers in order of promotion."""
    numbers = ("int", "long", "float", "double")
    given = iter(n for n in numbers if n in branches)
    return [next(given) if isinstance(b, str) and b in numbers else b for b in branches]


def mixed(t):
    """Whether a union in it has both string and bytes."""
    if isinstance(t, list):
        return ("string" in t and "bytes" in t) or any(mixed(b) for b in t)
    if isinstance(t, dict):
        return any(mixed(x) for k, x in t.items() if k in ("type", "items", "values", "fields")) or any(mixed(f["type"]) for f in t.get("fields", ()))
    return False


class Maker:
    """Writer schemas, readers of them, data."""

    def __init__(self, rnd):
        self.rnd, self.serial, self.open, self.left = rnd, 0, [], rnd.choice((4, 10, 25))

    def name(self, what):
        self.serial += 1
        return f"{self.rnd.choice(('n.', 'a.', 'b.c.'))}{what}{self.serial}"

    def writer(self, depth=0, union=False):
        rnd = self.rnd
        self.left -= 1
        r = rnd.random()
        if depth == 0:
            r = rnd.choice((0.5, 0.5, 0.5, r))
        if depth > 5 or self.left < 0 or r < 0.35:
            return rnd.choice(SCALARS)
        if r < 0.6:
            full = self.name("R")
            t = {"type": "record", "name": full, "fields": []}
            self.open.append(full)
            for i in range(rnd.choice((0, 1, 2, 3, 5, 8))):
                t["fields"].append({"name": f"f{i}", "type": self.writer(depth + 1)})
            self.open.pop()
            return t
        if r < 0.67:
            return {"type": "enum", "name": self.name("E"), "symbols": [f"S{i}" for i in range(rnd.randint(1, 5))]}
        if r < 0.72:
            return {"type": "fixed", "name": self.name("F"), "size": rnd.randint(0, 5)}
        if r < 0.8:
            return {"type": "array", "items": self.writer(depth + 1)}
        if r < 0.87 or union:
            return {"type": "map", "values": self.writer(depth + 1)}
        branches, seen = [], set()
        for _ in range(rnd.randint(1, 5)):
            b = self.writer(depth + 1, True)
            if kind(b) in ("record", "enum", "fixed") or kind(b) not in seen:
                branches.append(b)
                seen.add(kind(b))
        if self.open and rnd.random() < 0.4:
            branches.append(rnd.choice(self.open))
        if "null" not in branches:
            branches.insert(rnd.randint(0, len(branches)), "null")
        return branches

    # ---- the reader's schema: the writer's, changed here and there; mostly so that it can still be resolved

    def reader(self, t):
        self.renamed, self.bold = {}, self.rnd.random() < 0.15
        return self.change(t)

    def rename(self, t, new):
        if self.rnd.random() < 0.15:
            new["name"] = self.name("X")
            if not self.bold or self.rnd.random() < 0.8:
                new["aliases"] = [t["name"]]
        self.renamed[t["name"]] = new["name"]
        return new

    def change(self, t, union=False):
        rnd, k = self.rnd, kind(t)
        if k in self.renamed:
            return self.renamed[k]
        if k == "union":
            new = [self.change(b, True) for b in t]
            new = [b for i, b in enumerate(new) if kind(b) in ("record", "enum", "fixed") or kind(b) not in [kind(x) for x in new[:i]]]
            if rnd.random() < 0.5:
                rnd.shuffle(new)
            if rnd.random() < 0.3:
                extra = rnd.choice(SCALARS)
                if extra not in new:
                    new.insert(rnd.randint(0, len(new)), extra)
            if self.bold and rnd.random() < 0.4:
                new.pop(rnd.randrange(len(new)))
            if self.bold and len(new) == 1:
                return new[0]
            return in_order(new) or ["null"]
        if k == "record":
            new = self.rename(t, {"type": "record", "name": t["name"], "fields": []})
            for f in t["fields"]:
                if rnd.random() < 0.15:
                    continue
                g = {"name": f["name"], "type": self.change(f["type"])}
                if rnd.random() < 0.15:
                    g["aliases"], g["name"] = [f["name"]], f["name"] + "_"
                new["fields"].append(g)
            if rnd.random() < 0.5:
                rnd.shuffle(new["fields"])
            for _ in range(rnd.choice((0, 0, 1, 2))):
                new["fields"].insert(rnd.randint(0, len(new["fields"])), self.added())
        elif k == "enum":
            new = self.rename(t, {"type": "enum", "name": t["name"], "symbols": list(t["symbols"])})
            if rnd.random() < 0.5:
                rnd.shuffle(new["symbols"])
            if rnd.random() < 0.3:
                new["symbols"].insert(rnd.randint(0, len(new["symbols"])), "NEW")
            if len(new["symbols"]) > 1 and rnd.random() < 0.3:
                new["symbols"].pop(rnd.randrange(len(new["symbols"])))
            if rnd.random() < 0.4:
                new["default"] = rnd.choice(new["symbols"])
        elif k == "fixed":
            new = self.rename(t, {"type": "fixed", "name": t["name"], "size": t["size"]})
            if self.bold and rnd.random() < 0.2:
                new["size"] += 1
        elif k == "array":
            new = {"type": "array", "items": self.change(t["items"])}
        elif k == "map":
            new = {"type": "map", "values": self.change(t["values"])}
        else:
            new = rnd.choice(PROMOTED[k]) if k in PROMOTED and rnd.random() < 0.3 else k
            if self.bold and rnd.random() < 0.1:
                new = rnd.choice(SCALARS)
        if not union and rnd.random() < 0.15:
            branches = [new] + [s for s in rnd.sample(SCALARS, 2) if s != kind(new)]
            rnd.shuffle(branches)
            return in_order(branches)
        return new

    def added(self):
        """A field that the writer does not have, with a default."""
        self.serial += 1
        rnd, name = self.rnd, f"g{self.serial}"
        enum = {"type": "enum", "name": f"D{self.serial}", "symbols": ["P", "Q"]}
        record = {"type": "record", "name": f"D{self.serial}", "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "string", "default": "why"}]}
        t, d = rnd.choice((("null", None), ("boolean", True), ("int", -5), ("long", 1 << 40), ("float", 1.5), ("double", -2.25), ("string", "text \u00e9"),
                           ("bytes", "\u0000\u00ff"), (enum, "Q"), ({"type": "fixed", "name": f"D{self.serial}", "size": 2}, "ab"),
                           ({"type": "array", "items": "int"}, [1, 2]), ({"type": "map", "values": "string"}, {"k": "v"}), (["null", "int"], None),
                           (["string", "null"], "first"), (record, {"x": 1, "y": "z"})))
        return {"name": name, "type": t, "default": d}

    # ---- data

    def datum(self, t, names, depth=0):
        rnd, k = self.rnd, kind(t)
        if k in names:
            t = names[k]
            k = kind(t)
        if k == "null":
            return None
        if k == "boolean":
            return rnd.random() < 0.5
        if k in ("int", "long"):
            bits = 31 if k == "int" else 63
            return rnd.choice((0, 1, -1, (1 << bits) - 1, -(1 << bits), rnd.randint(-100, 100)))
        if k == "float":
            return struct.unpack("<f", struct.pack("<f", rnd.choice((0.0, -1.5, 1e30, float("inf"), float("nan"), rnd.random()))))[0]
        if k == "double":
            return rnd.choice((0.0, -1.5, 1e300, float("-inf"), float("nan"), rnd.random()))
        if k == "string":
            return rnd.choice(("", "abc", "\u00e9\u4e2d", "x" * rnd.randint(0, 100)))
        if k == "bytes":
            return rnd.choice((b"", b"abc", b"\x00\x7f" * rnd.randint(0, 40)))  # readable as text too
        if k == "enum":
            return rnd.choice(t["symbols"])
        if k == "fixed":
            return rnd.randbytes(t["size"])
        n = rnd.choice((0, 0, 1, 2, 3)) if depth < 6 else 0
        if k == "array":
            return [self.datum(t["items"], names, depth + 1) for _ in range(n)]
        if k == "map":
            return {f"k{i}": self.datum(t["values"], names, depth + 1) for i in range(n)}
        if k == "record":
            names = {**names, t["name"]: t}
            return {f["name"]: self.datum(f["type"], names, depth + 1) for f in t["fields"]}
        if depth > 8:
            return None
        b = rnd.choice(t)
        value = self.datum(b, names, depth + 1)
        of = names.get(b, b) if isinstance(b, str) else b
        return value if kind(of) in ("null",) else (of["name"] if kind(of) in ("record", "enum", "fixed") else kind(of), value)


def same(ours, theirs, mix):
    if isinstance(ours, float) or isinstance(theirs, float):
        if isinstance(ours, bool) or isinstance(theirs, bool) or not isinstance(ours, (int, float)) or not isinstance(theirs, (int, float)):
            return False
        if math.isnan(ours) or math.isnan(theirs):
            return math.isnan(ours) and math.isnan(theirs)
        try:  # fastavro does not round what becomes a float
            return ours == theirs or ours == struct.unpack("<f", struct.pack("<f", theirs))[0]
        except OverflowError:
            return False
    if isinstance(ours, dict):
        return isinstance(theirs, dict) and ours.keys() == theirs.keys() and all(same(ours[k], theirs[k], mix) for k in ours)
    if isinstance(ours, list):
        return isinstance(theirs, list) and len(ours) == len(theirs) and all(same(a, b, mix) for a, b in zip(ours, theirs))
    if isinstance(ours, bytes) and isinstance(theirs, str):
        return ours == theirs.encode("latin-1", "replace")
    if mix and isinstance(ours, (str, bytes)) and isinstance(theirs, (str, bytes)) and type(ours) is not type(theirs):
        return (ours.encode() if isinstance(ours, str) else ours) == (theirs.encode() if isinstance(theirs, str) else theirs)
    return type(ours) is type(theirs) and ours == theirs


class Judge:
    def __init__(self, seed):
        self.seed = seed
        self.driver = subprocess.Popen([os.path.join(BUILD, "oracle_resolve_driver")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.count = dict.fromkeys(("same value", "record refused", "schemas refused", "of them read by fastavro"), 0)

    def case(self, number):
        """Empty, or what is wrong."""
        m = Maker(random.Random(f"{self.seed}/{number}"))
        w = m.writer()
        t = m.reader(w)
        datum = m.datum(w, {})
        writer, reader = json.dumps(w), json.dumps(t)
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, fastavro.parse_schema(w), datum)
        data = stream.getvalue()
        self.last = f"writer: {writer}\nreader: {reader}\ndata: {data.hex()}"
        self.driver.stdin.write(json.dumps({"writer": writer, "reader": reader, "in": data.hex()}).encode() + b"\n")
        self.driver.stdin.flush()
        a = json.loads(self.driver.stdout.readline())
        try:
            theirs, refused = fastavro.schemaless_reader(io.BytesIO(data), json.loads(writer), json.loads(reader)), None
        except Exception as e:  # fastavro has several ways to say no
            theirs, refused = None, f"{type(e).__name__} {e}"
        self.last += f"\nours: {a}\nfastavro: {refused or theirs}"
        if a["status"] == MISMATCH:
            self.count["schemas refused"] += 1
            self.count["of them read by fastavro"] += refused is None
            return "refused, but the schemas are compatible" if a["compatible"] else ""
        if a["status"] == DATUM:
            self.count["record refused"] += 1
            empty = '"items"' in writer or '"values"' in writer
            return "refused, and fastavro reads it" if refused is None and not empty else "refused, but the schemas are compatible" if a["compatible"] else ""
        if a["status"] != 0:
            return f"status {a['status']}"
        if not a["walked"] or a["consumed"] != len(data):
            return "the output does not fit the reader's schema, or input is left"
        if refused:
            return "fastavro refuses it"
        out = io.BytesIO(bytes.fromhex(a["out"]))
        ours = fastavro.schemaless_reader(out, json.loads(reader), None)
        self.count["same value"] += 1
        return "" if same(ours, theirs, mixed(t)) else f"another value: {ours}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", default=str(time.time_ns() // 1000 % 10**9))
    p.add_argument("--cases", type=int, default=3000)
    p.add_argument("--case", type=int)
    o = p.parse_args()
    judge = Judge(o.seed)
    if o.case is not None:
        wrong = judge.case(o.case)
        print(judge.last, wrong or "as it should be", sep="\n")
        sys.exit(bool(wrong))
    print(f"# seed {o.seed}; fastavro {fastavro.__version__}; again: tests/oracle/test_resolution.py --seed {o.seed} --case N\n1..2", flush=True)
    failures = 0
    for number in range(o.cases):
        wrong = judge.case(number)
        if wrong:
            failures += 1
            if failures <= 5:
                print(f"# case {number}: {wrong}\n" + "\n".join("#   " + line[:3000] for line in judge.last.splitlines()), flush=True)
    print(f"{'not ok' if failures else 'ok'} 1 - {o.cases} resolutions are fastavro's: " + ", ".join(f"{n} {what}" for what, n in judge.count.items()))
    enough = judge.count["same value"] >= o.cases * 2 // 3
    print(f"{'ok' if enough else 'not ok'} 2 - two thirds of them have a value: {judge.count['same value']}")
    sys.exit(bool(failures) or not enough)


if __name__ == "__main__":
    main()
