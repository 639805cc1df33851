"""Random tags and rules over a schema, and what the specification says of them: which leaves each rule takes, which contracts are refused."""
import json
import re

DAY = 86400000
NOW = 1700000000000  # of the driver's registry
TAGS = ("PII", "PRIVATE", "SECRET", "a b", "été")
ALGORITHMS = ("AES256_GCM", "AES128_GCM", "AES256_SIV")


def pattern_regex(pattern):
    """Section 6.2 of the specification of tag patterns; brackets and backslashes are not generated."""
    out, pattern = "", pattern.replace("**.*", "**")
    for part in re.findall(r"\*\*|\*|\?|[^*?]+", pattern):
        out += {"**": ".*", "*": "[^.]*", "?": "[^.]"}.get(part) or re.escape(part)
    return re.compile(out + r"\Z")


class Rule:
    def __init__(self, name, tags, kek, algorithm, days):
        self.name, self.tags, self.kek, self.algorithm, self.days = name, frozenset(tags), kek, algorithm, days
        self.runs = True


class Contract:
    """A schema text with metadata.tags and rules."""

    def __init__(self, schema, patterns, rules, parse):
        self.schema, self.patterns, self.rules = schema, patterns, rules
        self.root, self.records = parse(schema)
        regexes = [(pattern_regex(p), tags) for p, tags in patterns.items()]
        self.tags = {}
        for r in self.records:
            for f in r.fields:
                self.tags[f.full] = set(f.inline).union(*[t for p, t in regexes if p.match(f.full)])
        for i, r in enumerate(rules):  # same tags: only the first runs
            r.runs = not (r.tags and any(e.tags == r.tags for e in rules[:i]))
        self.active = [r for r in rules if r.runs]

    def takes(self, rule, field):
        return field is not None and (not rule.tags or bool(rule.tags & self.tags[field.full]))

    def of(self, leaf):
        """The rules that seal a leaf, in order."""
        return [r for r in self.active if self.takes(r, leaf.field)]

    def refused(self):
        """Whether writing under this contract is against the policy: a tag or a rule that can have no effect."""
        if not self.active:
            return False
        own, inner, outside = {}, {}, []
        rule_tags = frozenset().union(*[r.tags for r in self.active])
        problems = []

        def look(t, field, leaves, records):
            marked = rule_tags & set(t.attributes.get("confluent:tags", ()))
            if marked and t.kind in ("record", "enum", "fixed"):
                problems.append("tag on a named type")
            elif any(r.tags & marked and not (field and r.tags & self.tags[field.full]) for r in self.active):
                problems.append("tag on a type")
            if t.kind == "record":
                records.append(t)
            elif t.kind == "union":
                for b in t.branches:
                    look(b, field, leaves, records)
            elif t.kind in ("array", "map"):
                look(t.item, field, leaves, records)
            elif t.kind != "null":
                leaves.append(t)

        look(self.root, None, outside, [])
        for r in self.records:
            for f in r.fields:
                own[f], inner[f] = [], []
                look(f.type, f, own[f], inner[f])
        if problems or outside:
            return True
        fields = list(own)
        for rule in self.active:
            if not any(own[f] and self.takes(rule, f) for f in fields):
                return True  # reaches nothing
            if not rule.tags:
                continue
            carrying = {r for r in self.records if any(own[f] and self.takes(rule, f) for f in r.fields)}
            more = True
            while more:
                grown = {r for r in self.records if any(x in carrying for f in r.fields for x in inner[f])} - carrying
                carrying |= grown
                more = bool(grown)
            for f in fields:
                for record in inner[f] if self.takes(rule, f) else ():
                    direct = [x for x in record.fields if x.type.kind in ("boolean", "int", "long", "float", "double", "bytes", "string")]
                    if record not in carrying or not all(self.takes(rule, x) for x in direct):
                        return True  # a tag on a container
        return False

    def rules_json(self, rnd, shared):
        rules = []
        for r in self.rules:
            params = {"encrypt.kek.name": r.kek, "encrypt.kms.type": "local-kms", "encrypt.kms.key.id": "key"}
            if shared:
                del params["encrypt.kms.type"]
            if r.algorithm != "AES256_GCM" or rnd.random() < 0.5:
                params["encrypt.dek.algorithm"] = r.algorithm
            if r.days or rnd.random() < 0.1:
                params["encrypt.dek.expiry.days"] = str(r.days)
            rule = {"name": r.name, "kind": "TRANSFORM", "mode": "WRITEREAD", "type": "ENCRYPT", "tags": sorted(r.tags), "params": params}
            if rnd.random() < 0.3:
                rule["onFailure"] = "ERROR,NONE"
            rules.append(rule)
        return json.dumps({"domainRules": rules}) if rules else None

    def metadata_json(self, shared):
        m = {}
        if self.patterns:
            m["tags"] = {p: sorted(t) for p, t in self.patterns.items()}
        if shared:
            m["properties"] = {"encrypt.kms.type": "local-kms"}
        return json.dumps(m) if m else None


# ---- making them ----------------------------------------------------------------------------------------------------

def own_kinds(t):
    if t.kind == "union":
        return set().union(*[own_kinds(b) for b in t.branches])
    if t.kind in ("array", "map"):
        return own_kinds(t.item)
    return set() if t.kind in ("record", "null") else {t.kind}


def own_records(t):
    if t.kind == "union":
        return [r for b in t.branches for r in own_records(b)]
    if t.kind in ("array", "map"):
        return own_records(t.item)
    return [t] if t.kind == "record" else []


def pattern_for(rnd, full):
    """A pattern that matches the name, and perhaps others."""
    parts = full.split(".")
    r = rnd.random()
    if r < 0.25:
        return full
    if r < 0.45:
        return "**." + parts[-1] if len(parts) > 1 else full
    if r < 0.6:
        return ".".join("*" if rnd.random() < 0.4 else p for p in parts)
    if r < 0.75:
        i = rnd.randrange(len(full))
        return "".join("?" if c != "." and abs(i - k) < 2 else c for k, c in enumerate(full))
    if r < 0.85:
        return parts[0] + ".**.*"
    if r < 0.95:
        return "**" + full[rnd.randrange(len(full)):].replace("*", "")
    return "**"


def make_rules(rnd, tags, strings):
    rules = []
    for i in range(rnd.choice((1, 1, 1, 2, 2, 3))):
        chosen = rnd.sample(tags, rnd.randint(1, len(tags)))
        if strings and rnd.random() < 0.2:
            chosen = []
        kek = f"kek{rnd.randint(1, 2)}"
        rules.append(Rule(f"rule {i}" if rnd.random() < 0.2 else f"encrypt{i}", chosen, kek, rnd.choice(ALGORITHMS), rnd.choice((0, 0, 1, 30))))
    return rules


def tag_fields(rnd, schema, fields, tags):
    """Puts each tag on some of the fields, inline or by a pattern; the patterns."""
    patterns = {}
    for tag in tags:
        for f in rnd.sample(fields, rnd.randint(1, min(len(fields), rnd.choice((1, 2, 3, 6))))):
            if rnd.random() < 0.5:
                f.json["confluent:tags"] = sorted({*f.json.get("confluent:tags", ()), tag})
            else:
                patterns.setdefault(pattern_for(rnd, f.full), set()).add(tag)
    return patterns


def make(rnd, schema, parse):
    """A contract over a copy of the schema that may be written under; without rules where the schema has nothing to encrypt."""
    for attempt in range(8):
        copy = json.loads(json.dumps(schema))
        fields = sorted((f for r in parse(copy)[1] for f in r.fields), key=lambda f: f.full)
        pure = [f for f in fields if own_kinds(f.type) and own_kinds(f.type) <= {"string", "bytes"}]
        if attempt > 4 or rnd.random() < 0.6:
            pure = [f for f in pure if not own_records(f.type)]  # containers of both rarely pass
        elif rnd.random() < 0.3:
            pure += [f for f in fields if own_kinds(f.type) & {"string", "bytes"} and f not in pure]
        if not pure or rnd.random() < 0.03:
            break
        tags = rnd.sample(TAGS, rnd.choice((1, 1, 2, 3)))
        if attempt > 5:
            tags = tags[:1]
        patterns = tag_fields(rnd, copy, pure, tags)
        if rnd.random() < 0.1:  # a tag on a container whose fields all carry it
            for f in fields:
                inner = own_records(f.type)
                if inner and rnd.random() < 0.5:
                    for x in [f] + [x for r in inner for x in r.fields if own_kinds(x.type) <= {"string", "bytes"}]:
                        x.json["confluent:tags"] = sorted({*x.json.get("confluent:tags", ()), tags[0]})
        if rnd.random() < 0.2:  # tags for other purposes may stand anywhere
            rnd.choice(fields).json.setdefault("confluent:tags", []).append("OTHER")
            patterns.setdefault("**", set()).add("NOBODY")
        strings = all(own_kinds(f.type) <= {"string", "bytes"} for f in fields)
        c = Contract(copy, patterns, make_rules(rnd, tags, strings), parse)
        if not c.refused():
            return c
    return Contract(json.loads(json.dumps(schema)), {}, [], parse)
