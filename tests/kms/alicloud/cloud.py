"""
An Alibaba Cloud for one suite: KMS, STS and the metadata service of an instance, behind one address. It takes no signature on trust: ACS3 and
the older RPC signature are computed anew, from the vendor's description and not from core/kms/acs3.c; dates, nonces, tokens and rights are looked at.
Encrypt and Decrypt are AES-256-GCM. Needs the Python of scripts/fetch alicloud.
"""
import base64
import calendar
import hashlib
import hmac
import json
import os
import re
import threading
import time
import urllib.parse

import bench
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

REGION, ACCOUNT = "cn-hangzhou", "1234567890123456"
EMPTY = hashlib.sha256(b"").hexdigest()


class Refusal(Exception):
    def __init__(self, http, code, message):
        super().__init__(code)
        self.http, self.code, self.message = http, code, message


def quote(text):
    """RFC 3986: all but unreserved characters."""
    return urllib.parse.quote(text, safe="-_.~")


def pairs_of(query):
    return [tuple(urllib.parse.unquote(x) for x in p.partition("=")[::2]) for p in query.split("&") if p]


class User:
    """An access key, of a user or of a session. `actions`: what it may do."""

    def __init__(self, cloud, name, token=None, seconds=None, actions=("kms:Encrypt", "kms:Decrypt", "sts:AssumeRole")):
        self.id, self.secret, self.token = f"LTAI{name}", f"secret+of/{name}=" + os.urandom(6).hex(), token
        self.until = time.time() + seconds if seconds is not None else None
        self.actions = set(actions)
        cloud.users[self.id] = self
        cloud.secrets |= {self.secret} | ({token} if token else set())

    @property
    def props(self):
        return {"alicloud.kms.accessKeyId": self.id, "alicloud.kms.accessKeySecret": self.secret, **({"alicloud.kms.securityToken": self.token} if self.token else {})}

    @property
    def env(self):
        return {"ALIBABA_CLOUD_ACCESS_KEY_ID": self.id, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": self.secret, **({"ALIBABA_CLOUD_SECURITY_TOKEN": self.token} if self.token else {})}


class Cloud:
    """`.url`: where clients go, through `.proxy` with its faults; `.requests`: action and parameters of every call that was let in."""

    def __init__(self):
        self.users, self.keys, self.aliases, self.secrets = {}, {}, {}, set()
        self.requests, self.nonces, self.roles, self.oidc = [], set(), {}, {}
        self.session_seconds, self.sessions = 3600, 0
        self.lock = threading.Lock()
        self.metadata_tokens = set()
        self.server = bench.FaultProxy()
        self.server.check(self.answer)
        self.proxy = bench.FaultProxy(self.server.url)
        self.url, self.port = self.proxy.url, self.proxy.port

    def key(self, name, alias=None):
        self.keys[name] = {"state": "Enabled", "aead": AESGCM(AESGCM.generate_key(256))}
        if alias:
            self.aliases["alias/" + alias] = name
        return name

    @staticmethod
    def arn(key):
        return f"acs:kms:{REGION}:{ACCOUNT}:key/{key}"

    # ---- requests

    def answer(self, r):
        path, _, query = r.path.partition("?")
        with self.lock:
            try:
                if path.startswith("/latest/"):
                    return self.metadata(r, path)
                if path == "/credentials":
                    return 200, json.dumps({"Code": "Success", **self.session("uri")})
                if path != "/" or r.method != "POST":
                    raise Refusal(404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
                if r.headers.get("x-acs-action"):
                    return 200, json.dumps(self.kms(r, query))
                return 200, json.dumps(self.sts(r, query))
            except Refusal as e:
                body = {"RequestId": "7021B6EC-4BE7-4D3C-8A68-1E85D4D515A0", "HostId": f"kms.{REGION}.aliyuncs.com", "Code": e.code, "Message": e.message,
                        "Recommend": f"https://api.aliyun.com/troubleshoot?q={e.code}&product=Kms"}
                return e.http, json.dumps(body), {"Content-Type": "application/json"}

    def user(self, key_id, token):
        user = self.users.get(key_id)
        if not user:
            raise Refusal(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        if (token or None) != user.token:
            raise Refusal(400, "InvalidSecurityToken.MismatchWithAccessKey", "Specified SecurityToken mismatch with the AccessKey.")
        if user.until is not None and time.time() > user.until:
            raise Refusal(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
        return user

    def may(self, user, action):
        if action not in user.actions:
            raise Refusal(403, "Forbidden.NoPermission", "This operation is forbidden by permission system.")

    def unused(self, nonce, date):
        try:
            at = calendar.timegm(time.strptime(date, "%Y-%m-%dT%H:%M:%SZ"))
        except ValueError:
            raise Refusal(400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.") from None
        if abs(at - time.time()) > 900:
            raise Refusal(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
        if len(nonce) < 16 or nonce in self.nonces:
            raise Refusal(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self.nonces.add(nonce)

    def acs3(self, r, query):
        """The user, after the signature was found right."""
        match = re.fullmatch(r"ACS3-HMAC-SHA256 Credential=([^,]+),\s*SignedHeaders=([a-z0-9;-]+),\s*Signature=([0-9a-f]{64})", r.headers.get("Authorization") or "")
        if not match:
            raise Refusal(400, "IncompleteSignature", "The request signature does not conform to Aliyun standards.")
        key_id, names, given = match.group(1), match.group(2).split(";"), match.group(3)
        sent = {n.lower(): v.strip() for n, v in r.headers.items()}
        must = {n for n in sent if n.startswith("x-acs-") or n in ("host", "content-type")}
        if names != sorted(names) or not must <= set(names) or not set(names) <= set(sent):
            raise Refusal(400, "IncompleteSignature", "Headers are not signed: " + ", ".join(sorted(must ^ set(names))))
        digest = hashlib.sha256(r.body).hexdigest()
        if sent.get("x-acs-content-sha256") != digest:
            raise Refusal(400, "InvalidContentHash", "x-acs-content-sha256 is not that of the body.")
        canonical = "\n".join([r.method, "/", "&".join(f"{quote(k)}={quote(v)}" for k, v in sorted(pairs_of(query))),
                               "".join(f"{n}:{sent[n]}\n" for n in names), ";".join(names), digest])
        user = self.user(key_id, sent.get("x-acs-security-token"))
        to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
        if not hmac.compare_digest(hmac.new(user.secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest(), given):
            raise Refusal(400, "SignatureDoesNotMatch", f"Specified signature does not match our calculation. server StringToSign is [{to_sign}] server CanonicalRequest is [{canonical}]")
        self.unused(sent["x-acs-signature-nonce"], sent["x-acs-date"])
        return user

    def find(self, name):
        name = urllib.parse.unquote(name)
        if name.startswith("acs:kms:"):
            if not name.startswith(f"acs:kms:{REGION}:{ACCOUNT}:"):
                raise Refusal(403, "Forbidden.NoPermission", "This operation is forbidden by permission system.")
            name = name.split(":", 4)[4].removeprefix("key/")
        if name.startswith("alias/"):
            if name not in self.aliases:
                raise Refusal(404, "Forbidden.AliasNotFound", "The specified Alias is not found.")
            name = self.aliases[name]
        if name not in self.keys:
            raise Refusal(404, "Forbidden.KeyNotFound", "The specified Key is not found.")
        if self.keys[name]["state"] != "Enabled":
            state = self.keys[name]["state"]
            raise Refusal(409, f"Rejected.{state}", f"The request was rejected because the key state is {state}.")
        return name

    def kms(self, r, query):
        action, p = r.headers["x-acs-action"], dict(pairs_of(query))
        user = self.acs3(r, query)
        if r.headers.get("x-acs-version") != "2016-01-20" or action not in ("Encrypt", "Decrypt"):
            raise Refusal(400, "InvalidVersion", "Specified parameter Version is not valid.")
        self.may(user, "kms:" + action)
        self.requests.append((action, p, user.id))
        context = p.get("EncryptionContext", "").encode()
        if action == "Encrypt":
            plain = self.decoded(p, "Plaintext")
            if not 0 < len(plain) <= 6144:
                raise Refusal(400, "InvalidParameter", "The specified parameter Plaintext is not valid.")
            key = self.find(p.get("KeyId", ""))
            nonce = os.urandom(12)
            sealed = nonce + self.keys[key]["aead"].encrypt(nonce, base64.b64encode(plain), context)
            return {"CiphertextBlob": base64.b64encode(key.encode() + b"\0" + sealed).decode(), "KeyId": key, "KeyVersionId": "v1", "RequestId": "r"}
        name, zero, sealed = self.decoded(p, "CiphertextBlob").partition(b"\0")
        if not zero or name.decode("ascii", "replace") not in self.keys:
            raise Refusal(400, "InvalidParameter", "The specified parameter CiphertextBlob is not valid.")
        key = self.find(name.decode())
        try:
            plain = self.keys[key]["aead"].decrypt(sealed[:12], sealed[12:], context).decode()
        except InvalidTag:
            raise Refusal(400, "InvalidParameter", "The specified parameter CiphertextBlob is not valid.") from None
        return {"Plaintext": plain, "KeyId": key, "KeyVersionId": "v1", "RequestId": "r"}

    @staticmethod
    def decoded(p, name):
        try:
            return base64.b64decode(p.get(name, ""), validate=True)
        except ValueError:
            raise Refusal(400, "InvalidParameter", f"The specified parameter {name} is not valid.") from None

    # ---- sessions

    def session(self, name, seconds=None):
        self.sessions += 1
        token = "CAIS+token/of=" + os.urandom(16).hex()
        user = User(self, f"{name}{self.sessions}", token, self.session_seconds if seconds is None else seconds, ("kms:Encrypt", "kms:Decrypt", "sts:AssumeRole"))
        return {"AccessKeyId": user.id, "AccessKeySecret": user.secret, "SecurityToken": token, "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(user.until))}

    def sts(self, r, query):
        if not r.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            raise Refusal(400, "InvalidContentType", "no form")
        url, form = dict(pairs_of(query)), dict(pairs_of(r.body.decode().replace("+", "%20")))
        p = {**url, **form}
        if p.get("Version") != "2015-04-01" or p.get("Format") != "JSON" or not 900 <= int(p.get("DurationSeconds", 3600)) <= 43200:
            raise Refusal(400, "InvalidParameter", "Version, Format or DurationSeconds")
        if p.get("Action") == "AssumeRoleWithOIDC":
            if "Signature" in p or self.oidc.get(p.get("OIDCProviderArn")) != p.get("OIDCToken") or p.get("RoleArn") not in self.roles:
                raise Refusal(400, "AuthenticationFail.OIDCToken.Invalid", "This JWT Token is invalid.")
            self.unused(p["SignatureNonce"], p["Timestamp"])
        elif p.get("Action") == "AssumeRole":
            given = p.pop("Signature", "")
            if p.get("SignatureMethod") != "HMAC-SHA1" or p.get("SignatureVersion") != "1.0" or set(url) & set(form):
                raise Refusal(400, "IncompleteSignature", "The request signature does not conform to Aliyun standards.")
            user = self.user(p.get("AccessKeyId"), p.get("SecurityToken"))
            to_sign = "POST&%2F&" + quote("&".join(f"{quote(k)}={quote(v)}" for k, v in sorted(p.items())))
            if not hmac.compare_digest(base64.b64encode(hmac.new((user.secret + "&").encode(), to_sign.encode(), hashlib.sha1).digest()).decode(), given):
                raise Refusal(400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation. server string to sign is:" + to_sign)
            self.unused(p["SignatureNonce"], p["Timestamp"])
            self.may(user, "sts:AssumeRole")
            trust = self.roles.get(p.get("RoleArn"))
            if trust is None or trust != p.get("ExternalId", ""):
                raise Refusal(403, "NoPermission", "You are not authorized to do this action. You should be authorized by RAM.")
            p["Signature"] = given
        else:
            raise Refusal(404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
        self.requests.append((p["Action"], p, p.get("AccessKeyId")))
        return {"RequestId": "r", "AssumedRoleUser": {"Arn": p["RoleArn"]}, "Credentials": self.session("role")}

    def metadata(self, r, path):
        """The service of an instance with a RAM role, in its hardened mode: nothing without a token."""
        if path == "/latest/api/token" and r.method == "PUT":
            if not 0 < int(r.headers.get("X-aliyun-ecs-metadata-token-ttl-seconds") or 0) <= 21600:
                return 400, "bad ttl"
            token = "metadata-" + os.urandom(12).hex()
            self.metadata_tokens.add(token)
            self.secrets.add(token)
            return 200, token
        if r.method != "GET" or r.headers.get("X-aliyun-ecs-metadata-token") not in self.metadata_tokens:
            return 403, "forbidden"
        base = "/latest/meta-data/ram/security-credentials/"
        if path == base:
            return 200, "instance-role"
        if path == base + "instance-role":
            return 200, json.dumps({**self.session("ecs"), "LastUpdated": "2026-01-01T00:00:00Z", "Code": "Success"})
        return 404, "<html>404</html>"
