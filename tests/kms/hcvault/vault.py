"""A Vault of its own for a suite: started in memory, with the policies, keys and roles that tests ask for, and our driver against it."""
import os
import subprocess
import sys

import bench

ROOT = "root-token-of-the-suite"
VAULTD = os.path.join(bench.fetch("hcvault-server"), "vaultd")


def use_venv():
    """Goes on under the Python that has hvac."""
    python = os.path.join(bench.fetch("hcvault"), "bin/python")
    if os.path.abspath(sys.executable) != python:
        os.execv(python, [python, *sys.argv])


class Vault:
    """`.url`, `.root`: hvac's client with all rights, `.secrets`: what no error, answer or log may show."""

    def __init__(self, tls=False):
        import hvac  # only there under use_venv
        self.hvac = hvac
        self.port = bench.free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        certificate = bench.self_signed(bench.temporary("vault-tls")) if tls else ()
        self.ca = certificate[0] if tls else None
        self.secrets = {ROOT}
        self.server = bench.start([VAULTD, "server", f"127.0.0.1:{self.port}", ROOT, *certificate], ready=r"^([0-9a-f]{64})$")
        self.unseal_key = self.server.match.group(1)
        self.root = self.client(ROOT)
        self.root.sys.enable_secrets_engine("transit")
        self.root.sys.enable_auth_method("approle")

    def client(self, token):
        return self.hvac.Client(url=self.url, token=token, verify=self.ca or True)

    def key(self, name, mount="transit", **more):
        """Makes a key; its key id."""
        self.root.secrets.transit.create_key(name, mount_point=mount, **more)
        return f"{self.url}/{mount}/keys/{name}"

    def policy(self, name, *paths):
        """One that may update these paths; its name."""
        rules = "".join(f'path "{p}" {{ capabilities = ["update"] }}\n' for p in paths)
        self.root.sys.create_or_update_policy(name, rules)
        return name

    def token(self, policy, **more):
        return self.keep(self.root.auth.token.create(policies=[policy], no_default_policy=True, **more)["auth"]["client_token"])

    def role(self, policy, mount="approle", **more):
        """Makes a role: the properties of an AppRole login."""
        name = f"role-{len(self.secrets)}"
        at = self.root.auth.approle
        at.create_or_update_approle(name, token_policies=[policy], token_no_default_policy=True, mount_point=mount, **more)
        secret = at.generate_secret_id(name, mount_point=mount)["data"]["secret_id"]
        return {"approle.role.id": at.read_role_id(name, mount_point=mount)["data"]["role_id"], "approle.secret.id": self.keep(secret)}

    def keep(self, secret):
        self.secrets.add(secret)
        return secret

    def write(self, field, path, token, **values):
        """By HashiCorp's client for Go, which uses PUT: a field of the answer."""
        env = bench.bare_env({"VAULT_ADDR": self.url, "VAULT_TOKEN": token})
        return subprocess.run([VAULTD, "write", field, path, *(f"{n}={v}" for n, v in values.items())], env=env, stdout=subprocess.PIPE, text=True, check=True,
                              timeout=60, preexec_fn=bench.die_with_parent).stdout.strip()

    def driver(self, op, key, data, props=None, **more):
        """bench.driver, whose error must name KMS and key and show nothing secret."""
        result = bench.driver(op, "hcvault", key, data, props, **more)
        if not result.ok and "no time left" not in result.err:  # which kms_driver says itself
            bench.need("hcvault" in result.err and key.split("://")[-1] in result.err, result.err)
            self.clean(result.err)
        return result

    def clean(self, text):
        """No secret in it, nor any token that a login has got."""
        shown = [s for s in (*self.secrets, "hvs.") if s in text]
        bench.need(not shown, f"{len(shown)} secrets in: {text[:2000]}")
