#!/usr/bin/env python3
# needs: hcvault hcvault-server
"""csfle kek and keys against two Vaults that nobody here wrote: a KEK is tried, rotated, saved and moved from one to the other; one login serves all."""
import base64
import json
import os
import subprocess
import sys

import bench

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "hcvault"))
import vault as bed  # noqa: E402

bed.use_venv()
sys.path.insert(0, os.path.join(bench.TOP, "tests/support"))
import programs  # noqa: E402

tap = bench.Tap()
need = bench.need
folder = bench.temporary("keys")
first, second = bed.Vault(), bed.Vault()
proxy = bench.FaultProxy(second.url)  # in front of the second, to count
registry = programs.Registry(bench.REGISTRY, log=os.path.join(folder, "registry.log"))
OLD = first.key("cards")
NEW = second.key("cards").replace(second.url, proxy.url)
first.policy("cards", "transit/encrypt/cards", "transit/decrypt/cards")
second.policy("cards", "transit/encrypt/cards", "transit/decrypt/cards")
ROLE = second.role("cards")
TOKEN = first.token("cards")
ENV = {**os.environ, "CSFLE_REGISTRY_URL": registry.url, "FIRST_TOKEN": TOKEN, "ROLE_ID": ROLE["approle.role.id"], "SECRET_ID": ROLE["approle.secret.id"]}
HOSTS = ("-X", f"csfle.allow.kms.hosts={first.url},{proxy.url}")
FROM_FIRST = (*HOSTS, "-X", "rule.executors._default_.param.token.id=@env:FIRST_TOKEN")


def to_second(executor):
    return (*HOSTS, "-X", f"rule.executors.{executor}.param.approle.role.id=@env:ROLE_ID", "-X", f"rule.executors.{executor}.param.approle.secret.id=@env:SECRET_ID")


said = []


def csfle(*argv, code=0):
    done = subprocess.run([bench.TOOL, *argv], env=ENV, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    said.append(done.stdout + done.stderr)
    need(done.returncode == code, f"csfle {' '.join(argv)}: exit code {done.returncode}, expected {code}: {done.stdout}{done.stderr}")
    return done


def deks():
    return json.loads(csfle("dek", "list", "cards", "--all", "-o", "json").stdout)


def wrapped():
    return [d["encryptedKeyMaterial"] for d in deks()]


@tap.case("a KEK of Vault is tried, and data keys are made under it")
def _():
    csfle("kek", "create", "cards", "--kms-type", "hcvault", "--kms-key", OLD)
    csfle("kek", "test", "cards", *HOSTS, code=1)  # no token
    csfle("kek", "test", "cards", "-X", "rule.executors._default_.param.token.id=@env:FIRST_TOKEN", code=8)  # no host allowed
    csfle("kek", "test", "cards", *FROM_FIRST)
    for i in range(5):
        csfle("dek", "create", "cards", f"s{i}-value", *FROM_FIRST)
    csfle("dek", "rotate", "cards", "s0-value", *FROM_FIRST)
    csfle("dek", "delete", "cards", "s4-value")


@tap.case("after Vault rotated the key kek rotate wraps all data keys with its new version")
def _():
    before = wrapped()
    first.root.secrets.transit.rotate_key("cards")
    csfle("kek", "rotate", "cards", *FROM_FIRST)
    after = wrapped()
    need(len(set(before) | set(after)) == 12, "not all were wrapped again")
    first.root.secrets.transit.update_key_configuration("cards", min_decryption_version=2)  # the first version is of no use now
    csfle("keys", "backup", "keys.jsonl")
    done = csfle("keys", "verify-backup", "keys.jsonl", *FROM_FIRST, "-r", "http://127.0.0.1:1")
    need(done.stdout == "1 KEKs, 6 data keys: 6 unwrapped, 0 failed\n", done.stdout)


@tap.case("a move to another Vault: what it cannot do changes nothing")
def _():
    before = wrapped()
    csfle("kek", "move", "cards", "--to", f"hcvault:{NEW}", *FROM_FIRST, code=4)  # Vault knows that token no more than any other
    csfle("kek", "move", "cards", "--to", f"hcvault:{NEW}-other", *FROM_FIRST, *to_second("_to_"), code=4)
    csfle("kek", "move", "cards", "--to", f"hcvault:{NEW}", *to_second("_to_"), code=1)  # no token for the old
    need(wrapped() == before and json.loads(csfle("kek", "get", "cards", "-o", "json").stdout)["kmsKeyId"] == OLD, "something was changed")


@tap.case("a move to another Vault: one login for all data keys")
def _():
    proxy.reset()
    csfle("kek", "move", "cards", "--to", f"hcvault:{NEW}", *FROM_FIRST, *to_second("_to_"))
    seen = [r.path for r in proxy.seen]
    need(sum(p.endswith("/login") for p in seen) == 1, f"logins: {seen}")
    need(sum("/encrypt/" in p for p in seen) == sum("/decrypt/" in p for p in seen) == 6, f"calls: {seen}")
    csfle("keys", "backup", "keys.jsonl")
    csfle("keys", "verify-backup", "keys.jsonl", *to_second("_default_"))
    done = csfle("keys", "verify-backup", "keys.jsonl", *FROM_FIRST, code=7)
    need("6 data keys: 0 unwrapped, 6 failed" in done.stdout, done.stdout)


@tap.case("a data key that a producer made under the old key since is found and wrapped when the move is confirmed")
def _():
    # wrapped by hvac, as the producer would
    stale = first.root.secrets.transit.encrypt_data("cards", "GiBB5SNMJKak+FsdgjfpmhLfhyLwwhg3VWrNDset3lhpzw==")["data"]["ciphertext"]
    csfle("dek", "create", "cards", "stale-value", "--encrypted-key-material", base64.b64encode(stale.encode()).decode())
    done = csfle("kek", "move", "cards", "--confirm", *FROM_FIRST, *to_second("_to_"))
    need("1 data keys were made under the old key" in done.stderr, done.stderr)
    csfle("keys", "backup", "keys.jsonl")
    csfle("keys", "verify-backup", "keys.jsonl", *to_second("_default_"))
    need(len(deks()) == 7 and [d["subject"] for d in deks() if d["deleted"]] == ["s4-value"], "the soft-deleted one")


@tap.case("no token, secret id or key was said")
def _():
    for text in (TOKEN, ROLE["approle.secret.id"], "GiBB5SNMJKak"):
        need(text not in "".join(said), "it was")


registry.stop()
tap.done(6)
