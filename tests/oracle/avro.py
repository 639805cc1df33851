"""Avro, naively and for the oracle only: a schema text as a graph, random values in every legal encoding, and a decoder by recursive descent."""
import struct

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


class Type:
    """One type: kind and what that kind has. Named types are shared, so recursive schemas are graphs with cycles."""

    def __init__(self, kind, **rest):
        self.kind, self.full, self.fields, self.branches, self.item, self.symbols, self.size = kind, "", [], [], None, [], 0
        self.attributes = {}  # of the type object
        self.__dict__.update(rest)


class Field:
    def __init__(self, full, json):
        self.full, self.json, self.name, self.inline, self.type = full, json, json["name"], frozenset(json.get("confluent:tags", ())), None


def parse(schema):
    """The root type of a schema (JSON as Python has it, which the graph refers to), and its records in order of appearance."""
    names, records = {}, []

    def build(s, ns):
        if isinstance(s, str):
            if s in PRIMITIVES:
                return Type(s)
            return names[s if "." in s or not ns else ns + "." + s]
        if isinstance(s, list):
            t = Type("union")
            t.branches = [build(b, ns) for b in s]
            return t
        kind = "record" if s["type"] == "error" else s["type"]
        if kind == "array":
            return Type("array", attributes=s, item=build(s["items"], ns))
        if kind == "map":
            return Type("map", attributes=s, item=build(s["values"], ns))
        if kind not in ("record", "enum", "fixed"):
            t = build(kind, ns)
            return Type(kind, attributes=s) if kind in PRIMITIVES else t
        if "." in s["name"]:
            ns = s["name"].rpartition(".")[0]
        else:
            ns = s.get("namespace", ns)
        short = s["name"].rpartition(".")[2]
        t = names[ns + "." + short if ns else short] = Type(kind, attributes=s, full=ns + "." + short if ns else short)
        if kind == "enum":
            t.symbols = s["symbols"]
        elif kind == "fixed":
            t.size = s["size"]
        else:
            records.append(t)
            for f in s["fields"]:
                field = Field(t.full + "." + f["name"], f)
                field.type = build(f["type"], ns)
                t.fields.append(field)
        return t

    return build(schema, ""), records


# ---- values ---------------------------------------------------------------------------------------------------------

def varint(n, pad=0):
    """A zigzag varint, `pad` bytes longer than it has to be."""
    u = (n << 1) if n >= 0 else ((-n << 1) - 1)
    out = bytearray()
    while u >= 0x80:
        out.append(u & 0x7F | 0x80)
        u >>= 7
    out.append(u)
    if pad:
        out[-1] |= 0x80
        out += b"\x80" * (pad - 1) + b"\0"
    return bytes(out)


WORDS = ("", "a", "Zoë Ångström", "078-05-1120", "日本語テキスト", "\N{GRINNING FACE}", "\0\n\r\t\"\\", "null", "0" * 63, "x" * 64, "é" * 32)


class Encoder:
    """Random values of a type, written at once. `odd`: how often a length, count or number is longer than it has to be."""

    def __init__(self, rnd, odd, budget):
        self.rnd, self.odd, self.budget = rnd, odd, budget

    def number(self, n, most):
        short = varint(n)
        pad = self.rnd.randint(1, most - len(short)) if len(short) < most and self.rnd.random() < self.odd else 0
        return varint(n, pad)

    def integer(self, bits):
        r = self.rnd.random()
        edge = (1 << (bits - 1)) - 1
        if r < 0.1:
            return self.rnd.choice((edge, -edge - 1, 0, -1, 63, 64, -64, -65, 8191, 8192))
        return self.rnd.randint(-edge - 1, edge) if r < 0.3 else self.rnd.randint(-1000, 1000)

    def text(self):
        r = self.rnd.random()
        if r < 0.3:
            return self.rnd.choice(WORDS).encode()
        if r < 0.32:
            return ("".join(self.rnd.choices("abcdé漢", k=self.rnd.randint(100, 4000)))).encode()
        return ("".join(self.rnd.choices("abc xyz0189-@.", k=self.rnd.randint(1, 40)))).encode()

    def bytes(self):
        return self.text() if self.rnd.random() < 0.2 else self.rnd.randbytes(self.rnd.choice((0, 1, 8, 15, 16, 17, 33, 63, 64, 300)))

    def items(self, t):
        """Items in blocks: counted, or counted with their size; no block is empty but the last."""
        key = t.kind == "map"
        r = self.rnd.random()
        n = 0 if self.budget <= 0 or r < 0.15 else self.rnd.randint(1, 4) if r < 0.95 else self.rnd.randint(5, 70)
        out = bytearray()
        names = set()
        while n > 0:
            count = self.rnd.choice((n, self.rnd.randint(1, n)))
            n -= count
            body = bytearray()
            for _ in range(count):
                if key:
                    name = self.text()
                    while name in names and self.rnd.random() < 0.9:
                        name += b"%d" % self.rnd.randint(0, 99)
                    names.add(name)
                    body += self.number(len(name), 10) + name
                body += self.value(t.item)
            if self.rnd.random() < 0.5:
                out += self.number(count, 10)
            else:
                out += self.number(-count, 10) + self.number(len(body), 10)
            out += body
        return bytes(out + self.number(0, 10))

    def branch(self, t):
        nothing = [i for i, b in enumerate(t.branches) if b.kind == "null"]
        if nothing and (self.budget <= 0 or self.rnd.random() < 0.15):
            return nothing[0]
        if nothing and len(t.branches) > 1:
            return self.rnd.choice([i for i in range(len(t.branches)) if i != nothing[0]])
        return self.rnd.randrange(len(t.branches))

    def value(self, t):
        self.budget -= 1
        k = t.kind
        if k == "null":
            return b""
        if k == "boolean":
            return self.rnd.choice((b"\0", b"\1"))
        if k == "int":
            return self.number(self.integer(32), 5)
        if k == "long":
            return self.number(self.integer(64), 10)
        if k in ("float", "double"):
            return self.rnd.randbytes(4 if k == "float" else 8)
        if k in ("bytes", "string"):
            v = self.text() if k == "string" else self.bytes()
            return self.number(len(v), 10) + v
        if k == "fixed":
            return self.rnd.randbytes(t.size)
        if k == "enum":
            return self.number(self.rnd.randrange(len(t.symbols)), 5)
        if k == "record":
            return b"".join([self.value(f.type) for f in t.fields])
        if k == "union":
            i = self.branch(t)
            return self.number(i, 5) + self.value(t.branches[i])
        return self.items(t)


# ---- reading --------------------------------------------------------------------------------------------------------

class Bad(Exception):
    """The bytes are no value of the type."""


class Leaf:
    """A value that is no container: its bytes are data[head:end], without a length prefix data[off:end]. field None: outside any."""

    def __init__(self, kind, field, head, off, end):
        self.kind, self.field, self.head, self.off, self.end = kind, field, head, off, end


class Block:
    """The header data[head:off] of a block of `count` items that carried its size, and its leaves[first:last]."""

    def __init__(self, head, off, count, first):
        self.head, self.off, self.count, self.first, self.last = head, off, count, first, first


class Decoder:
    def __init__(self, data):
        self.data, self.at, self.leaves, self.blocks = data, 0, [], []

    def take(self, n):
        if n < 0 or n > len(self.data) - self.at:
            raise Bad("longer than the bytes left")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, most=10, bits=64):
        u = n = 0
        while True:
            if n == most:
                raise Bad("varint too long")
            byte = self.take(1)[0]
            u |= (byte & 0x7F) << (7 * n)
            n += 1
            if byte < 0x80:
                break
        v = u >> 1 if not u & 1 else -(u >> 1) - 1
        if u >> 64 or not -(1 << (bits - 1)) <= v < 1 << (bits - 1):
            raise Bad("number out of range")
        return v

    def leaf(self, kind, field, head, off=None):
        self.leaves.append(Leaf(kind, field, head, head if off is None else off, self.at))

    def items(self, t, field):
        out = {} if t.kind == "map" else []
        while True:
            head, block, end = self.at, None, None
            n = self.number()
            if n == 0:
                return out
            if n < 0:
                n, size = -n, self.number()
                if size < 0 or size > len(self.data) - self.at:
                    raise Bad("block longer than the bytes left")
                end, block = self.at + size, Block(head, self.at, n, len(self.leaves))
                self.blocks.append(block)
            if n > 1000000:
                raise Bad("more items than anything here writes")
            for _ in range(n):
                if t.kind == "map":
                    key = self.take(self.number()).decode("utf-8", "surrogateescape")
                    out[key] = self.value(t.item, field)
                else:
                    out.append(self.value(t.item, field))
            if block:
                block.last = len(self.leaves)
                if self.at != end:
                    raise Bad("block of another size")

    def value(self, t, field=None):
        head, k = self.at, t.kind
        if k == "record":
            return {f.name: self.value(f.type, f) for f in t.fields}
        if k == "union":
            i = self.number(5, 32)
            if not 0 <= i < len(t.branches):
                raise Bad("no such branch")
            return self.value(t.branches[i], field)
        if k in ("array", "map"):
            return self.items(t, field)
        if k == "null":
            return None
        off = None
        if k == "boolean":
            v = self.take(1)[0]
            if v > 1:
                raise Bad("neither true nor false")
            v = bool(v)
        elif k in ("int", "long"):
            v = self.number(5 if k == "int" else 10, 32 if k == "int" else 64)
        elif k == "enum":
            v = self.number(5, 32)
            if not 0 <= v < len(t.symbols):
                raise Bad("no such symbol")
            v = t.symbols[v]
        elif k in ("bytes", "string"):
            n = self.number()
            off = self.at
            v = self.take(n)
            if k == "string":
                v = v.decode("utf-8", "surrogateescape")
        elif k == "fixed":
            v = self.take(t.size)
        else:
            v = struct.unpack("<f" if k == "float" else "<d", self.take(4 if k == "float" else 8))[0]
        self.leaf(k, field, head, off)
        return v


def decode(root, data):
    """A Decoder that has read data as one value of root, whole; Bad when it is none."""
    d = Decoder(data)
    d.tree = d.value(root)
    if d.at != len(data):
        raise Bad("bytes behind the value")
    return d
