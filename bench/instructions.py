#!/usr/bin/env python3
"""Instructions of one serialize and one deserialize by function, counted by valgrind's callgrind: where the time goes.

    bench/instructions.py [BUILD FOLDER]      build/profile: cmake -S . -B build/profile -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS=-g

The record of bench_serde as Avro bytes, through bench_client and a csfle-registry --dev. Two runs that differ by 1,000 messages, so
that the first message, which makes keys, does not count. Calls into libraries are counted where they are spent.
"""
import collections
import json
import os
import re
import subprocess
import sys
import tempfile

from compare_clients import NATIVE, SCHEMA, TOP, register
from programs import Failed, Registry, die, die_with_parent

MESSAGES = 1000
LINE = re.compile(r"^\s*([\d,]+) \([^)]*\)\s+(\S*?):(\S+?)(?:'\d+)?(?: \[(.*)\])?$")


def counted(argv, folder, messages):
    out = os.path.join(folder, f"callgrind.{argv[1]}.{messages}")
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *argv[:5], "0", str(messages), *argv[5:]]
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, check=False, preexec_fn=die_with_parent)
    if p.returncode:
        raise Failed(f"{argv[1]}: exit code {p.returncode}: {p.stderr.strip()[-2000:]}")
    table = subprocess.run(["callgrind_annotate", "--threshold=100", "--auto=no", out], stdout=subprocess.PIPE, text=True, check=True).stdout
    counts = collections.Counter()
    for line in table.splitlines():
        m = LINE.match(line)
        if m:
            counts[m[3], os.path.basename(m[4] or "")] += int(m[1].replace(",", ""))
    return counts, json.loads(p.stdout.strip().splitlines()[-1])["out"]


def report(direction, argv, folder):
    few, _ = counted(argv, folder, 100)
    many, out = counted(argv, folder, 100 + MESSAGES)
    each = {k: (many[k] - few[k]) / MESSAGES for k in many}
    each = {k: v for k, v in each.items() if v > 0.5}
    total = sum(each.values())
    objects = collections.Counter()
    for (_, where), v in each.items():
        objects[where] += v
    print(f"{direction}: {total:,.0f} instructions; " + ", ".join(f"{w} {v:,.0f} ({v / total:.0%})" for w, v in objects.most_common(5)))
    for (name, where), v in sorted(each.items(), key=lambda x: -x[1])[:12]:
        print(f"{v:>10,.0f} {v / total:>6.1%}  {name}  [{where}]")
    return out


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else os.path.join(TOP, "build/profile")
    with tempfile.TemporaryDirectory(prefix="csfle-bench-") as folder:
        def kept(name, data):
            path = os.path.join(folder, name)
            with open(path, "wb") as f:
                f.write(data)
            return path

        schema = kept("schema", json.dumps(SCHEMA).encode())
        registry = Registry(os.path.join(build, "csfle-registry"), log=os.path.join(folder, "registry.log"))
        try:
            register(registry.url, "bench")
            client = os.path.join(build, "bench_client")
            message = report("serialize", [client, "write", "native", registry.url, "bench", schema, kept("value", NATIVE)], folder)
            report("deserialize", [client, "read", "native", registry.url, "bench", schema, kept("message", bytes.fromhex(message))], folder)
        finally:
            registry.stop()


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError, subprocess.SubprocessError) as failure:
        die(f"instructions: {failure}")
