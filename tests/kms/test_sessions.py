#!/usr/bin/env python3
"""Logins are counted: one serves all data keys of a client's or a registry's KMS key, until it ends or is refused. Against an AppRole that counts."""
import json
import threading

import bench
import registry

tap = bench.Tap()
ROLE, SECRET = "role-of-the-test", "secret-id-of-the-test"
COUNT = 6


class Vault(bench.FaultProxy):
    """AppRole login and transit engine, as far as needed. `good`: the tokens that are taken."""

    def __init__(self):
        super().__init__()
        self.good, self.number = set(), 0
        self.check(self.answer)

    def answer(self, request):
        body = json.loads(request.body)
        if request.path == "/v1/auth/approle/login":
            if (body["role_id"], body["secret_id"]) != (ROLE, SECRET):
                return 400, b'{"errors":["invalid role or secret ID"]}'
            with self.lock:
                self.number += 1
                token = f"hvs.session-{self.number}"
                self.good.add(token)
            return 200, json.dumps({"auth": {"client_token": token, "lease_duration": 3600}}).encode()
        if request.headers.get("X-Vault-Token") not in self.good:
            return 403, b'{"errors":["permission denied"]}'
        return registry.transit(request)

    def logins(self):
        return sum(r.path.endswith("/login") for r in self.seen)

    def calls(self):
        return sum("/transit/" in r.path for r in self.seen)


vault = Vault()
KEY = vault.url + "/transit/keys/cards"
ENV = {"VAULT_APPROLE_ROLE_ID": ROLE, "VAULT_APPROLE_SECRET_ID": SECRET}


def server():
    return registry.running(f"csfle.allow.kms.hosts={vault.url}", "csfle.shared.dek.cache.ms=0", env=ENV, secrets=("hvs.session", SECRET))


def kek(url, name, shared):
    code, answer = registry.kek(url, name, "hcvault", KEY, shared)
    bench.need(code == 200, answer)


@tap.case("the registry logs in once for many data keys, at once too, and once more when the session is refused")
def _():
    with server() as url:
        kek(url, "k", True)
        vault.seen.clear()
        results = []
        threads = [threading.Thread(target=lambda n=n: results.append(registry.call(url, "POST", "/dek-registry/v1/keks/k/deks", {"subject": f"s{n}"})[0])) for n in range(COUNT)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        bench.need(results == [200] * COUNT, results)
        bench.need(vault.logins() == 1 and vault.calls() >= COUNT, (vault.logins(), vault.calls()))
        for n in range(COUNT):
            registry.good(url, "GET", f"/dek-registry/v1/keks/k/deks/s{n}")
        bench.need(vault.logins() == 1, vault.logins())
        vault.good.clear()  # revoked
        for n in range(COUNT):
            registry.good(url, "GET", f"/dek-registry/v1/keks/k/deks/s{n}")
        bench.need(vault.logins() == 2, vault.logins())
    with server() as url:  # another process has nothing of it
        vault.seen.clear()
        kek(url, "k", True)
        registry.good(url, "POST", "/dek-registry/v1/keks/k/deks", {"subject": "s"})
        bench.need(vault.logins() == 1, vault.logins())


@tap.case("a client logs in once for the data keys of all its rules, and its own credentials are all it has")
def _():
    with server() as url:
        names = [f"k{n}" for n in range(COUNT)]
        for name in names:
            kek(url, name, False)
        for subject, env, code, logins, calls in (("s", ENV, 0, 1, 2 * COUNT), ("other", {**ENV, "VAULT_APPROLE_SECRET_ID": "another"}, 1, 1, 0)):
            registry.contract(url, subject, *names)
            vault.seen.clear()
            ended, said = registry.register_deks(url, subject, f"csfle.allow.kms.hosts={vault.url}", env=env)
            bench.need((ended, vault.logins(), vault.calls()) == (code, logins, calls), (ended, said, vault.logins(), vault.calls()))


tap.done(2)
