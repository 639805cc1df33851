"""Random Avro schema texts: nested and recursive records, wide unions, named types used twice, every primitive, logical types, namespaces."""
import json

LOGICAL = {"int": ("date", "time-millis"), "long": ("timestamp-millis", "timestamp-micros", "time-micros", "local-timestamp-millis"),
           "string": ("uuid",), "bytes": ("decimal",)}
SCALARS = ("null", "boolean", "int", "long", "float", "double", "bytes", "string", "string", "string", "bytes")
SPACES = ("a", "a.b", "com.acme", "com.acme.orders", "x_1.Y")
NAMES = ("R", "Node", "Addr", "Item", "E", "F", "Order", "_n", "Customer", "T9", "x")
FIELDS = ("id", "ssn", "name", "note", "email", "next", "left", "items", "a", "b", "c", "d1", "d2", "_x", "value", "meta", "ssn2", "address", "f")


class Maker:
    def __init__(self, rnd):
        self.rnd, self.closed, self.open, self.left, self.serial = rnd, [], [], rnd.choice((3, 8, 15, 25, 40)), 0
        self.strings = rnd.random() < 0.15  # nothing but strings and bytes: where a rule without tags is legal

    def shuffled(self, d):
        keys = list(d)
        if self.rnd.random() < 0.3:
            self.rnd.shuffle(keys)
        return {k: d[k] for k in keys}

    def named(self, ns):
        """Attributes of a new name, the full name, and the namespace inside."""
        taken = {full for full in self.closed + self.open}
        while True:
            self.serial += 1
            short = self.rnd.choice(NAMES) + (str(self.serial) if self.rnd.random() < 0.5 else "")
            how = self.rnd.random()
            if how < 0.5:
                inner, attributes = ns, {"name": short}
            elif how < 0.75:
                inner = self.rnd.choice(SPACES)
                attributes = {"name": short, "namespace": inner}
            elif how < 0.95 or not ns:
                inner = self.rnd.choice(SPACES)
                attributes = {"name": inner + "." + short}
                if self.rnd.random() < 0.2:
                    attributes["namespace"] = "ignored.because.dotted"
            else:
                inner, attributes = "", {"name": short, "namespace": ""}
            full = inner + "." + short if inner else short
            if full not in taken:
                return attributes, full, inner

    def scalar(self):
        k = self.rnd.choice(("string", "bytes", "null", "string") if self.strings else SCALARS)
        r = self.rnd.random()
        if r < 0.15 and k in LOGICAL:
            name = self.rnd.choice(LOGICAL[k])
            return {"type": k, "logicalType": name, **({"precision": 9, "scale": 2} if name == "decimal" else {})}
        if r < 0.25:
            return {"type": k}
        if r < 0.3 and k == "string":
            return {"type": "string", "avro.java.string": "String"}
        return k

    def reference(self, ns, guarded, avoid=()):
        fit = [n for n in self.closed + (self.open if guarded else []) if n not in avoid and ("." in n or not ns)]
        if not fit:
            return None
        full = self.rnd.choice(fit)
        space, _, short = full.rpartition(".")
        return (short if space == ns and self.rnd.random() < 0.7 else full), full

    def definition(self, ns, depth):
        kind = self.rnd.choice(("record", "record", "record", "enum", "fixed")) if not self.strings else "record"
        attributes, full, inner = self.named(ns)
        if kind == "enum":
            symbols = [f"S{i}" for i in range(self.rnd.choice((1, 2, 3, 70)))]
            self.closed.append(full)
            return full, self.shuffled({"type": "enum", **attributes, "symbols": symbols})
        if kind == "fixed":
            self.closed.append(full)
            size = self.rnd.choice((1, 4, 12, 16, 100))
            return full, self.shuffled({"type": "fixed", **attributes, "size": size, **({"logicalType": "duration"} if size == 12 else {})})
        return full, self.record(attributes, full, inner, depth)

    def record(self, attributes, full, inner, depth):
        self.open.append(full)
        count = self.rnd.choice((0, 1, 1, 2, 3, 4, 5, 8)) if depth else self.rnd.randint(1, 10)
        names = self.rnd.sample(FIELDS, count)
        fields = []
        for name in names:
            f = {"name": name, "type": self.type(inner, depth + 1, False)}
            if self.rnd.random() < 0.1:
                f["doc"] = "what \"it\" is"
            if self.rnd.random() < 0.05:
                f["aliases"], f["order"] = ["was_" + name], "ignore"
            if isinstance(f["type"], list) and f["type"][0] == "null" and self.rnd.random() < 0.5:
                f["default"] = None
            fields.append(self.shuffled(f))
        self.open.remove(full)
        self.closed.append(full)
        word = "error" if self.rnd.random() < 0.02 else "record"
        out = {"type": word, **attributes, "fields": fields}
        if self.rnd.random() < 0.1:
            out["doc"] = "d"
        return self.shuffled(out) if self.rnd.random() < 0.5 else out

    def union(self, ns, depth):
        wide = self.rnd.random() < 0.08
        count = self.rnd.randint(10, 40) if wide else self.rnd.choice((1, 2, 2, 2, 3, 3, 4, 6))
        nullable = self.rnd.random() < 0.7
        branches, seen = (["null"], {"null"}) if nullable else ([], set())
        for _ in range(count if not nullable else max(1, count - 1)):
            r = self.rnd.random()
            if r < 0.25 and (ref := self.reference(ns, nullable, seen)):
                seen.add(ref[1])
                branches.append(ref[0])
                continue
            if wide or (r < 0.45 and depth < 5):
                full, b = self.definition(ns, depth + (2 if wide else 1))
                seen.add(full)
                branches.append(b)
                continue
            if r < 0.6 and depth < 5 and not {"array", "map"} <= seen:
                b = self.collection(ns, depth + 1, self.rnd.choice(sorted({"array", "map"} - seen)))
            else:
                b = self.scalar()
            word = b if isinstance(b, str) else b["type"]
            if word not in seen:
                seen.add(word)
                branches.append(b)
        if not branches:
            branches = ["string"]
        if nullable and self.rnd.random() < 0.4:
            branches.insert(self.rnd.randint(0, len(branches) - 1), branches.pop(0))
        return branches

    def collection(self, ns, depth, kind=None):
        kind = kind or self.rnd.choice(("array", "array", "map"))
        return {"type": kind, "items" if kind == "array" else "values": self.type(ns, depth + 1, True)}

    def type(self, ns, depth, guarded):
        self.left -= 1
        r = self.rnd.random()
        if r < 0.12 and (ref := self.reference(ns, guarded)):
            return ref[0]
        if self.left <= 0 or depth > 6 or r < 0.45:
            return self.scalar()
        if r < 0.62:
            return self.union(ns, depth)
        if r < 0.78:
            return self.collection(ns, depth)
        return self.definition(ns, depth)[1]

    def root(self):
        r = self.rnd.random()
        if r < 0.88:
            attributes, full, inner = self.named("")
            return self.record(attributes, full, inner, 0)
        return self.collection("", 0) if r < 0.94 else self.union("", 0) if r < 0.97 else self.scalar()


def plain(s):
    """Without logical types: the layout alone, for readers that would convert."""
    if isinstance(s, dict):
        return {k: plain(v) for k, v in s.items() if k != "logicalType"}
    return [plain(x) for x in s] if isinstance(s, list) else s


def field_objects(s, found):
    """Every field object of a schema, in order."""
    if isinstance(s, list):
        for b in s:
            field_objects(b, found)
    elif isinstance(s, dict):
        for f in s.get("fields", ()):
            found.append(f)
            field_objects(f["type"], found)
        for inner in ("items", "values"):
            if inner in s:
                field_objects(s[inner], found)
    return found


def type_objects(s, found):
    """Every object of a schema that describes a type."""
    if isinstance(s, list):
        for b in s:
            type_objects(b, found)
    elif isinstance(s, dict):
        found.append(s)
        for f in s.get("fields", ()):
            type_objects(f["type"], found)
        for inner in ("items", "values"):
            if inner in s:
                type_objects(s[inner], found)
    return found


def numbered(s):
    """With names T1, T2, ... without namespaces: fastavro lets "namespace": "" inherit the one around it."""
    names = {}

    def go(s, ns):
        if isinstance(s, str):
            return names.get(s if "." in s or not ns else ns + "." + s, s)
        if isinstance(s, list):
            return [go(b, ns) for b in s]
        if "name" in s:
            inner, _, short = s["name"].rpartition(".")
            if not inner:
                inner = s.get("namespace", ns)
            ns = inner
            number = names[inner + "." + short if inner else short] = f"T{len(names)}"
            s = {k: v for k, v in s.items() if k not in ("name", "namespace", "fields")} | \
                {"name": number} | ({"fields": s["fields"]} if "fields" in s else {})
        out = dict(s)
        for inner in ("items", "values"):
            if inner in s:
                out[inner] = go(s[inner], ns)
        if "fields" in s:
            out["fields"] = [{**f, "type": go(f["type"], ns)} for f in s["fields"]]
        return out

    return go(s, "")


def bare(s):
    """The same layout without tags, docs, defaults, aliases, logical types: what a caller may name as its own schema."""
    s = plain(json.loads(json.dumps(s)))
    for x in field_objects(s, []) + type_objects(s, []):
        for k in ("confluent:tags", "doc", "default", "aliases", "order", "avro.java.string"):
            x.pop(k, None)
    return s
