#!/usr/bin/env python3
# needs: aws
"""aws-kms against moto with its signature and IAM checks on: boto3 and the official Python client on the other side, every source of
credentials, and faults on the way. What moto does not check (expiry, web identity, tokens of metadata services) a proxy of ours checks.
Keys that are disabled or pending deletion: tests/vectors/kms-states.json, for moto has no such states."""
import base64
import calendar
import email.utils
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import bench

bench.inside("aws")
sys.path.insert(0, os.path.join(bench.TOP, "tests/support"))
import boto3  # noqa: E402
import programs  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition  # noqa: E402
from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: E402
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer  # noqa: E402
from confluent_kafka.schema_registry.rule_registry import RuleRegistry  # noqa: E402
from confluent_kafka.schema_registry.rules.encryption.awskms.aws_driver import AwsKmsDriver  # noqa: E402
from confluent_kafka.schema_registry.rules.encryption.encrypt_executor import FieldEncryptionExecutor  # noqa: E402
from confluent_kafka.serialization import MessageField, SerializationContext  # noqa: E402

REGION = "eu-central-1"
MATERIAL = b"\x1a\x20plain key material 0123456789ab"
secrets = [MATERIAL.decode("latin-1"), base64.b64encode(MATERIAL).decode()]  # no error and no answer may hold one of these
tap = bench.Tap()
need = bench.need
folder = bench.temporary("aws")


def secret(text):
    secrets.append(text)
    return text


def leaks(text):
    return [s for s in secrets if s in text]


# ---- the account: made without checks, used with them

moto = bench.start([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], ready=r"Running on (http://127\.0\.0\.1:\d+)")
MOTO = moto.match.group(1)


def client(service, identity=None, region=REGION):
    c = identity or {"AccessKeyId": "setup", "SecretAccessKey": "setup"}
    return boto3.client(service, region_name=region, endpoint_url=MOTO, aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"],
                        aws_session_token=c.get("SessionToken"))


def policy(actions, **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, **(more or {"Resource": "*"})}]})


def user(name, *actions):
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(list(actions)))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    secret(made["SecretAccessKey"])
    return made


def role(name, *actions, external=None):
    condition = {"Condition": {"StringEquals": {"sts:ExternalId": external}}} if external else {}
    trust = policy("sts:AssumeRole", Principal={"AWS": "*"}, **condition)
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(list(actions)))
    return arn


iam = client("iam")
kms = client("kms")
KEY = kms.create_key()["KeyMetadata"]["Arn"]
OTHER = kms.create_key()["KeyMetadata"]["Arn"]
kms.create_alias(AliasName="alias/orders-pii", TargetKeyId=KEY)
ALIAS = KEY.split("key/")[0] + "alias/orders-pii"
ABROAD = client("kms", region="us-west-2").create_key()["KeyMetadata"]["Arn"]
UNKNOWN = KEY[:-12] + "000000000000"
both = user("both", "kms:Encrypt", "kms:Decrypt")
sealer = user("sealer", "kms:Encrypt")
opener = user("opener", "kms:Decrypt")
climber = user("climber", "sts:AssumeRole")  # may do nothing but take a role
ROLE = role("keys", "kms:Encrypt", "kms:Decrypt")
GUARDED = role("guarded", "kms:Encrypt", "kms:Decrypt", external="tenant-7")
BOX = role("box", "kms:Encrypt", "kms:Decrypt")
urllib.request.urlopen(urllib.request.Request(MOTO + "/moto-api/reset-auth", data=b"0", method="POST", headers={"Content-Type": "text/plain"})).close()

to_kms = bench.FaultProxy(MOTO)
to_sts = bench.FaultProxy(MOTO)
ENV = {"AWS_ENDPOINT_URL_KMS": to_kms.url, "AWS_ENDPOINT_URL_STS": to_sts.url, "AWS_EC2_METADATA_DISABLED": "true"}


def props(identity):
    return {"access.key.id": identity["AccessKeyId"], "secret.access.key": identity["SecretAccessKey"]}


def variables(identity):
    token = {"AWS_SESSION_TOKEN": identity["SessionToken"]} if "SessionToken" in identity else {}
    return {"AWS_ACCESS_KEY_ID": identity["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": identity["SecretAccessKey"], **token}


def session(arn, name="helper"):
    """Temporary credentials as moto knows them, for the metadata services that we play."""
    c = client("sts", climber).assume_role(RoleArn=arn, RoleSessionName=name)["Credentials"]
    secret(c["SecretAccessKey"]), secret(c["SessionToken"])
    return c


def fresh(*faults):
    for proxy in (to_kms, to_sts):
        proxy.reset()
    to_kms.fault(*faults)


def run(op, data=MATERIAL, key=KEY, identity=None, env=None, **more):
    """The driver against moto; whatever it says holds no secret and names KMS, key and operation where the KMS was asked."""
    more.setdefault("props", props(identity) if identity else {})
    got = bench.driver(op, "aws-kms", key, data, env={**ENV, **(env or {})}, **more)
    need(not leaks(got.err), f"a secret in: {got.err}")
    return got


def good(got):
    need(got.ok and got.out, got.err)
    return got.out


def failed(got, status, *words, http=None):
    need(not got.ok and got.status == status, f"expected {status}: {got}")
    for word in words:
        need(word in got.err, f"no '{word}' in: {got.err}")
    need(http is None or got.http == http, f"expected HTTP {http}: {got.err}")


def action(request):
    return request.headers.get("X-Amz-Target", "").rpartition(".")[2] or urllib.parse.parse_qs(request.body.decode()).get("Action", ["?"])[0]


def form(request):
    return {n: v[0] for n, v in urllib.parse.parse_qs(request.body.decode()).items()}


def theirs_unwrap(blob, key=KEY, identity=both, **more):
    return client("kms", identity, key.split(":")[3]).decrypt(CiphertextBlob=blob, KeyId=key, **more)["Plaintext"]


def theirs_wrap(data=MATERIAL, key=KEY, identity=both, **more):
    return client("kms", identity, key.split(":")[3]).encrypt(KeyId=key, Plaintext=data, **more)["CiphertextBlob"]


# ---- both ways (moto cannot read what it wrapped under a multi-region key; to us it is a key ARN as any other)

for label, arn in (("key ARN", KEY), ("alias ARN", ALIAS), ("key of another region", ABROAD)):
    @tap.case(f"{label}: boto3 unwraps what we wrap, and we unwrap what boto3 wraps")  # ENC-82
    def _(arn=arn):
        fresh()
        need(theirs_unwrap(good(run("wrap", key=arn, identity=both)), arn) == MATERIAL, "boto3 got something else")
        need(good(run("unwrap", theirs_wrap(key=arn), key=arn, identity=both)) == MATERIAL, "we got something else")
        need([action(r) for r in to_kms.seen] == ["Encrypt", "Decrypt"] and not to_sts.seen, to_kms.seen)


@tap.case("the official Python client's driver unwraps what we wrap, and we unwrap what it wraps")
def _():
    os.environ["AWS_ENDPOINT_URL"] = MOTO
    official = AwsKmsDriver().new_kms_client(props(both), "aws-kms://" + KEY).get_aead("aws-kms://" + KEY)
    need(official.decrypt(good(run("wrap", identity=both)), b"") == MATERIAL, "it got something else")
    need(good(run("unwrap", official.encrypt(MATERIAL, b""), identity=both)) == MATERIAL, "we got something else")


# ---- refusals

@tap.case("moto checks signatures: a wrong secret, an unknown id and a token that is none are refused, once and as XML")
def _():
    stranger = {"AccessKeyId": "AKIANOBODYKNOWS00000", "SecretAccessKey": secret("aSecretThatNobodyKnows")}
    wrong = {**both, "SecretAccessKey": secret("wrongSecretOfTheRightId")}
    for identity, code in ((wrong, "SignatureDoesNotMatch"), (stranger, "InvalidClientTokenId")):
        fresh()
        failed(run("wrap", identity=identity), "UNAUTHENTICATED", f"aws-kms key '{KEY}': Encrypt: HTTP 403 {code}", http=403)
        need(len(to_kms.seen) == 1, "a refusal was tried again")
    fresh()
    failed(run("wrap", env=variables({**session(ROLE), "SessionToken": secret("notTheTokenOfThisSession")})), "UNAUTHENTICATED", "InvalidClientTokenId", http=403)


@tap.case("an identity without the right is denied, once: the error names KMS, key, operation, status, and what the vendor says")
def _():
    blob = good(run("wrap", identity=sealer))
    fresh()
    failed(run("unwrap", blob, identity=sealer), "FORBIDDEN", f"aws-kms key '{KEY}': Decrypt: HTTP 403 AccessDenied", "user/sealer", "kms:Decrypt", http=403)
    need(len(to_kms.seen) == 1, "a refusal was tried again")
    failed(run("wrap", identity=opener), "FORBIDDEN", "Encrypt", "kms:Encrypt")
    need(good(run("unwrap", blob, identity=opener)) == MATERIAL, "the opener may")


@tap.case("another key, another encryption context, a flipped bit, bytes that are none, a key that is none")
def _():
    blob = good(run("wrap", identity=both))
    flipped = blob[:-1] + bytes([blob[-1] ^ 1])
    for data, key, status, code in ((blob, OTHER, "FORBIDDEN", "AccessDeniedException"),  # what moto says where AWS says IncorrectKeyException
                                    (theirs_wrap(EncryptionContext={"a": "b"}), KEY, "DECRYPT", "InvalidCiphertextException"),
                                    (flipped, KEY, "DECRYPT", "InvalidCiphertextException"), (b"\0" * 40, KEY, "DECRYPT", "InvalidCiphertextException"),
                                    (blob, UNKNOWN, "KEY_GONE", "NotFoundException")):
        fresh()
        failed(run("unwrap", data, key=key, identity=both), status, f"aws-kms key '{key}': Decrypt: HTTP 400 {code}", http=400)
        need(len(to_kms.seen) == 1, f"{code} was tried again")
    try:
        theirs_unwrap(blob, EncryptionContext={"a": "b"})
    except ClientError as e:
        need("InvalidCiphertext" in str(e), e)
    else:
        need(False, "what we wrap is bound to an encryption context")


# ---- where credentials come from

@tap.case("static keys go before environment, web identity and files")
def _():
    fresh()
    env = {"AWS_ACCESS_KEY_ID": "AKIAWRONG", "AWS_SECRET_ACCESS_KEY": secret("wrongEnvironment"), "AWS_SESSION_TOKEN": secret("wrongToken"),
           "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent", "AWS_PROFILE": "nobody", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}
    good(run("wrap", identity=both, env=env))
    failed(run("wrap", env={"AWS_PROFILE": "nobody"}), "CONFIG", "profile 'nobody' has no credentials")
    failed(run("wrap"), "CONFIG", "no credentials found")


@tap.case("environment: keys alone, and temporary ones with their token")
def _():
    fresh()
    good(run("wrap", env=variables(both)))
    need("X-Amz-Security-Token" not in to_kms.seen[0].headers, "a token from nowhere")
    c = session(ROLE)
    good(run("wrap", env=variables(c)))
    need(to_kms.seen[1].headers["X-Amz-Security-Token"] == c["SessionToken"], "no token")


def home(credentials="", config=""):
    top = bench.temporary("home")
    os.mkdir(os.path.join(top, ".aws"))
    for name, text in (("credentials", credentials), ("config", config)):
        with open(os.path.join(top, ".aws", name), "w", encoding="utf-8") as f:
            f.write(text)
    return top


def section(name, identity, **more):
    lines = {"aws_access_key_id": identity["AccessKeyId"], "aws_secret_access_key": identity["SecretAccessKey"],
             **({"aws_session_token": identity["SessionToken"]} if "SessionToken" in identity else {}), **more} if identity else more
    return f"[{name}]\n" + "".join(f"{n} = {v}\n" for n, v in lines.items())


@tap.case("profile files: default, AWS_PROFILE, the property, files elsewhere, keys in the config file, a session token")
def _():
    fresh()
    nobody = {"AccessKeyId": "AKIANOBODY", "SecretAccessKey": secret("ofNobodyInTheFile")}
    a = home(section("default", both) + section("none", nobody), section("profile temporary", session(ROLE)))
    good(run("wrap", env={"HOME": a}))
    good(run("wrap", env={"HOME": a, "AWS_PROFILE": "temporary"}))
    good(run("wrap", env={"HOME": a, "AWS_PROFILE": "none"}, props={"profile": "temporary"}))
    failed(run("wrap", env={"HOME": a, "AWS_PROFILE": "none"}), "UNAUTHENTICATED", "InvalidClientTokenId")
    b = home(section("mine", both))
    good(run("wrap", env={"AWS_SHARED_CREDENTIALS_FILE": b + "/.aws/credentials", "AWS_PROFILE": "mine"}))
    good(run("wrap", env={"AWS_CONFIG_FILE": a + "/.aws/config"}, props={"profile": "temporary"}))


@tap.case("a profile's role is assumed with its source profile, under its names")
def _():
    fresh()
    a = home(section("base", climber), section("profile keys", None, role_arn=GUARDED, source_profile="base", external_id="tenant-7", role_session_name="from-file"))
    good(run("wrap", env={"HOME": a, "AWS_PROFILE": "keys"}))
    need([{**form(r), "Version": ""} for r in to_sts.seen] == [{"Action": "AssumeRole", "Version": "", "RoleArn": GUARDED, "RoleSessionName": "from-file",
                                                               "ExternalId": "tenant-7"}], [form(r) for r in to_sts.seen])


@tap.case("AssumeRole by properties and by environment; its session name is confluent-encrypt unless said")  # ENC-85
def _():
    for env, more, want in (({}, {"role.arn": ROLE}, ("confluent-encrypt", None, ROLE)),
                            ({}, {"role.arn": GUARDED, "role.session.name": "orders", "role.external.id": "tenant-7"}, ("orders", "tenant-7", GUARDED)),
                            ({"AWS_ROLE_ARN": GUARDED, "AWS_ROLE_SESSION_NAME": "fromenv", "AWS_ROLE_EXTERNAL_ID": "tenant-7"}, {}, ("fromenv", "tenant-7", GUARDED))):
        fresh()
        blob = good(run("wrap", props={**props(climber), **more}, env=env))
        asked = form(to_sts.seen[0])
        need((asked["RoleSessionName"], asked.get("ExternalId"), asked["RoleArn"]) == want and len(to_sts.seen) == 1, asked)
        need(theirs_unwrap(blob) == MATERIAL, "boto3 got something else")
    fresh()
    failed(run("wrap", props={**props(climber), "role.arn": GUARDED, "role.external.id": "tenant-8"}), "FORBIDDEN", f"aws-kms key '{KEY}': AssumeRole: HTTP 403 AccessDenied",
           "user/climber", http=403)
    need(len(to_sts.seen) == 1 and not to_kms.seen, "tried again, or went on without the role")
    failed(run("wrap", props={**props(both), "role.arn": ROLE}), "FORBIDDEN", "AssumeRole", "user/both")


@tap.case("one role session serves all calls of an open key")
def _():
    fresh()
    good(run("wrap", props={**props(climber), "role.arn": ROLE}, count=5))
    need([len(to_sts.seen), len(to_kms.seen)] == [1, 5], (len(to_sts.seen), len(to_kms.seen)))
    need(len({r.headers["X-Amz-Security-Token"] for r in to_kms.seen}) == 1, "another session")


IDP_KEY = os.urandom(16)


def identity_token(seconds=60):
    body = f"subject.{int(time.time() + seconds)}.{os.urandom(6).hex()}"
    return secret(body + "." + hmac.new(IDP_KEY, body.encode(), hashlib.sha256).hexdigest())


def token_valid(token):
    body, _, mac = token.rpartition(".")
    return hmac.compare_digest(mac, hmac.new(IDP_KEY, body.encode(), hashlib.sha256).hexdigest()) and int(body.split(".")[1]) > time.time()


def sts_with_web_identity(request):
    """moto cannot answer an unsigned request while it checks signatures, and takes any token when it does not: STS as it should be."""
    asked = form(request)
    if asked["Action"] != "AssumeRoleWithWebIdentity":
        return None
    if "Authorization" in request.headers:
        return 400, "<ErrorResponse><Error><Code>SignedIsNotRight</Code></Error></ErrorResponse>"
    if not token_valid(asked["WebIdentityToken"]):
        return 400, "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>Couldn't verify it</Message></Error></ErrorResponse>"
    c = session(asked["RoleArn"], asked["RoleSessionName"])
    expires = c["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ")
    return 200, (f"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{c['AccessKeyId']}</AccessKeyId><SecretAccessKey>"
                 f"{c['SecretAccessKey']}</SecretAccessKey><SessionToken>{c['SessionToken']}</SessionToken><Expiration>{expires}</Expiration></Credentials>"
                 "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>")


def token_file(text):
    path = os.path.join(bench.temporary("token"), "token")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


@tap.case("web identity: an unsigned exchange of the file's token; a configured role is assumed on top, the environment's is not again")  # ENC-86
def _():
    fresh()
    to_sts.check(sts_with_web_identity)
    env = {"AWS_WEB_IDENTITY_TOKEN_FILE": token_file(identity_token()), "AWS_ROLE_ARN": ROLE, "AWS_ROLE_SESSION_NAME": "pod-1"}
    need(theirs_unwrap(good(run("wrap", env=env, count=2))) == MATERIAL, "boto3 got something else")
    need([(action(r), form(r)["RoleSessionName"]) for r in to_sts.seen] == [("AssumeRoleWithWebIdentity", "pod-1")], to_sts.seen)
    failed(run("wrap", env={**env, "AWS_WEB_IDENTITY_TOKEN_FILE": token_file(identity_token(-1))}), "UNAUTHENTICATED",
           f"aws-kms key '{KEY}': AssumeRoleWithWebIdentity: HTTP 400 InvalidIdentityToken: Couldn't verify it")
    failed(run("wrap", env={**env, "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent"}), "CONFIG", "web identity token file '/nonexistent' cannot be read")
    fresh()
    to_sts.check(sts_with_web_identity)
    # moto lets nobody climb from this session: that we ask with it, for that role, is what there is to see
    failed(run("wrap", env=env, props={"role.arn": GUARDED}), "FORBIDDEN", "AssumeRole", "assumed-role/keys")
    need([(action(r), form(r)["RoleArn"]) for r in to_sts.seen] == [("AssumeRoleWithWebIdentity", ROLE), ("AssumeRole", GUARDED)], to_sts.seen)


class Box(bench.FaultProxy):
    """The credential endpoint of a container platform: a JSON of temporary credentials, for whoever has the token."""

    def __init__(self, life=3600, tls=None):
        super().__init__(tls=tls)
        self.life, self.token = life, secret("Bearer " + os.urandom(8).hex())
        self.check(self.answer_to)

    def answer_to(self, request):
        if request.path != "/creds" or request.headers.get("Authorization") != self.token:
            return 401, b'{"code":"UnauthorizedContainer","message":"not your credentials"}'
        return 200, credentials_json(session(BOX), self.life)


def credentials_json(c, life=3600, **more):
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + life))
    return json.dumps({**more, "AccessKeyId": c["AccessKeyId"], "SecretAccessKey": c["SecretAccessKey"], "Token": c["SessionToken"], "Expiration": expires}).encode()


@tap.case("container credentials: token by variable or file, over http on this machine or https; a refusal is one, once")  # ENC-87
def _():
    fresh()
    box = Box()
    env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": box.url + "/creds"}
    need(theirs_unwrap(good(run("wrap", env={**env, "AWS_CONTAINER_AUTHORIZATION_TOKEN": box.token}, count=3))) == MATERIAL, "boto3 got something else")
    need(len(box.seen) == 1 and len(to_kms.seen) == 3, (len(box.seen), len(to_kms.seen)))
    good(run("wrap", env={**env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token_file(box.token + "\n"), "AWS_CONTAINER_AUTHORIZATION_TOKEN": "not this"}))
    box.seen.clear()
    failed(run("wrap", env=env), "UNAUTHENTICATED", "container credentials: HTTP 401 UnauthorizedContainer: not your credentials", http=401)
    need(len(box.seen) == 1, "a refusal was tried again")
    cert, key = bench.self_signed(folder)
    secure = Box(tls=(cert, key))
    env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": secure.url + "/creds", "AWS_CONTAINER_AUTHORIZATION_TOKEN": secure.token}
    good(run("wrap", env=env, ca=cert))
    need(not run("wrap", env=env).ok and len(secure.seen) == 1, "a certificate that nobody knows was taken")
    box.close()
    secure.close()


class Metadata(bench.FaultProxy):
    """moto's instance metadata, which looks at no token, behind what does; and credentials that moto's KMS knows."""

    def __init__(self, life=3600, version2=True):
        super().__init__(MOTO, headers={"Host": "169.254.169.254"})
        self.life, self.version2 = life, version2
        self.check(self.answer_to)

    def answer_to(self, request):
        if request.path == "/latest/api/token":
            right = request.method == "PUT" and request.headers.get("X-aws-ec2-metadata-token-ttl-seconds") == "21600"
            return None if right and self.version2 else (403, b"")
        if self.version2 and request.headers.get("X-aws-ec2-metadata-token") != "fake-imdsv2-token":
            return 401, b""
        return (200, credentials_json(session(BOX), self.life, Code="Success")) if request.path.endswith("/default-role") else None


@tap.case("instance metadata: version 2 with its token, never version 1, and not at all when it is disabled")  # ENC-87
def _():
    fresh()
    imds = Metadata()
    env = {"AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url + "/"}
    need(theirs_unwrap(good(run("wrap", env=env, count=3))) == MATERIAL, "boto3 got something else")
    where = "/latest/meta-data/iam/security-credentials/"
    need([(r.method, r.path) for r in imds.seen] == [("PUT", "/latest/api/token"), ("GET", where), ("GET", where + "default-role")], imds.seen)
    imds.seen.clear()
    failed(run("wrap", env={**env, "AWS_EC2_METADATA_DISABLED": "true"}), "CONFIG", "no credentials found")
    need(not imds.seen, "asked although it is disabled")
    old = Metadata(version2=False)
    failed(run("wrap", env={**env, "AWS_EC2_METADATA_SERVICE_ENDPOINT": old.url}), "CONFIG", "no credentials found")
    need([r.method for r in old.seen] == ["PUT"], "version 1 was asked")
    old.close()
    imds.close()


class Expiring:
    """A check for the KMS: every session token is good for so many requests, then it has expired."""

    def __init__(self, good_for=2):
        self.used, self.good_for = {}, good_for

    def __call__(self, request):
        token = request.headers.get("X-Amz-Security-Token")
        self.used[token] = self.used.get(token, 0) + 1
        if self.used[token] > self.good_for:
            return 400, b'{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}'
        return None


@tap.case("a token that expires in the middle is replaced and the call goes on, whatever gave the token")
def _():
    box, imds = Box(), Metadata()
    path = token_file(identity_token())
    sources = {
        "role": ({}, {**props(climber), "role.arn": ROLE}, lambda: len(to_sts.seen)),
        "web": ({"AWS_WEB_IDENTITY_TOKEN_FILE": path, "AWS_ROLE_ARN": ROLE}, {}, lambda: len(to_sts.seen)),
        "container": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": box.url + "/creds", "AWS_CONTAINER_AUTHORIZATION_TOKEN": box.token}, {}, lambda: len(box.seen)),
        "metadata": ({"AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url}, {}, lambda: len(imds.seen) // 3),
    }
    for name, (env, more, logins) in sources.items():
        fresh()
        expiring = Expiring()
        to_kms.check(expiring)
        to_sts.check(sts_with_web_identity)
        good(run("wrap", env=env, props=more, count=4))
        need(logins() == 2 and list(expiring.used.values()) == [3, 2] and len(to_kms.seen) == 5, f"{name}: {logins()} logins, {list(expiring.used.values())}")
    fresh()
    to_kms.check(Expiring(0))  # nothing helps: one new login, and no more
    failed(run("wrap", props={**props(climber), "role.arn": ROLE}), "UNAUTHENTICATED", "ExpiredTokenException", "is expired", http=400)
    need(len(to_kms.seen) <= 2 and len(to_sts.seen) <= 2, (len(to_kms.seen), len(to_sts.seen)))
    box.close()
    imds.close()


@tap.case("an access key that its owner replaces in the file is found without a failure")
def _():
    fresh()
    old, new = home(section("default", both)), section("default", sealer)

    def retired(request):
        if both["AccessKeyId"] not in request.headers["Authorization"] or len(to_kms.seen) == 1:
            return None
        with open(os.path.join(old, ".aws/credentials"), "w", encoding="utf-8") as f:
            f.write(new)
        return 400, b'{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}'
    to_kms.check(retired)
    good(run("wrap", env={"HOME": old}, count=3))
    ids = [re.search(r"Credential=(\w+)", r.headers["Authorization"]).group(1) for r in to_kms.seen]
    need(ids == [both["AccessKeyId"]] * 2 + [sealer["AccessKeyId"]] * 2, ids)


@tap.case("credentials are renewed when less than five minutes are left, by reading the web identity's file again too")  # ENC-87
def _():
    for life, logins in ((3600, 1), (240, 3)):
        fresh()
        box = Box(life)
        good(run("wrap", env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": box.url + "/creds", "AWS_CONTAINER_AUTHORIZATION_TOKEN": box.token}, count=3))
        need(len(box.seen) == logins, f"{len(box.seen)} logins for credentials that live {life} s")
        box.close()
    fresh()
    path, tokens = token_file(identity_token()), []

    def rotating(request):
        tokens.append(form(request)["WebIdentityToken"])
        answer = sts_with_web_identity(request)
        with open(path, "w", encoding="utf-8") as f:
            f.write(identity_token())
        return answer[0], re.sub(r"<Expiration>[^<]*", "<Expiration>" + time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60)), answer[1])
    to_sts.check(rotating)
    good(run("wrap", env={"AWS_WEB_IDENTITY_TOKEN_FILE": path, "AWS_ROLE_ARN": ROLE}, count=3))
    need(len(tokens) == 3 and len(set(tokens)) == 3, "the file was not read again")


# ---- faults

def json_error(code, name, headers=None):
    return bench.status(code, json.dumps({"__type": f"com.amazonaws.kms#{name}", "message": "says the vendor"}), headers)


@tap.case("throttled or broken for a moment: tried again, and no other difference")  # ENC-99
def _():
    for fault in (bench.status(429), json_error(400, "ThrottlingException"), json_error(500, "KMSInternalException"), json_error(503, "DependencyTimeoutException"),
                  bench.status(503, "<html>try later</html>"), bench.cut(10), bench.cut(150), bench.garbage()):
        fresh(fault)
        need(theirs_unwrap(good(run("wrap", identity=both))) == MATERIAL and len(to_kms.seen) == 2, f"{len(to_kms.seen)} requests")
    fresh(bench.status(429), bench.garbage())
    good(run("wrap", identity=both))
    need(len(to_kms.seen) == 3, len(to_kms.seen))


@tap.case("Retry-After is kept to, and one that is too long ends the call")
def _():
    fresh(bench.status(429, headers={"Retry-After": "2"}))
    got = run("wrap", identity=both)
    need(good(got) and got.seconds >= 2 and len(to_kms.seen) == 2, got)
    fresh(bench.status(429, headers={"Retry-After": "3600"}))
    got = run("wrap", identity=both)
    failed(got, "THROTTLED", "HTTP 429", http=429)
    need(len(to_kms.seen) == 1 and got.seconds < 30, got)


@tap.case("a clock that is wrong is put right by what AWS says the time is, once, and stays right")
def _():
    theirs = time.time() + 3 * 3600

    def skewed(request):
        then = time.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
        if abs(calendar.timegm(then) - theirs) < 300:
            return None
        return 400, (b'{"__type":"InvalidSignatureException","message":"Signature expired"}'), {"Date": email.utils.formatdate(theirs, usegmt=True)}
    fresh()
    to_kms.check(skewed)
    good(run("wrap", identity=both, count=3))
    need(len(to_kms.seen) == 4, f"{len(to_kms.seen)} requests for 3 calls")
    fresh()
    to_kms.check(lambda r: (400, b'{"__type":"InvalidSignatureException"}', {"Date": email.utils.formatdate(usegmt=True)}))
    failed(run("wrap", identity=both), "UNAUTHENTICATED", "InvalidSignatureException")
    need(len(to_kms.seen) == 1, "the clock is right: asking again helps nothing")


@tap.case("no more than three tries")  # ENC-99
def _():
    for fault, status, words in ((bench.status(429), "THROTTLED", "HTTP 429"), (json_error(400, "ThrottlingException"), "THROTTLED", "ThrottlingException: says the vendor"),
                                 (json_error(500, "KMSInternalException"), "UNAVAILABLE", "HTTP 500 KMSInternalException: says the vendor"),
                                 (bench.cut(10), "UNAVAILABLE", ""), (bench.garbage(), "UNAVAILABLE", "")):
        fresh(*[fault] * 5)
        failed(run("wrap", identity=both), status, f"aws-kms key '{KEY}': Encrypt: ", words)
        need(len(to_kms.seen) == 3, f"{len(to_kms.seen)} requests for {words}")


@tap.case("denials and other final answers are not tried again")  # ENC-99
def _():
    for code, name, status in ((400, "AccessDeniedException", "FORBIDDEN"), (400, "DisabledException", "KEY_GONE"), (400, "KMSInvalidStateException", "KEY_GONE"),
                               (400, "UnrecognizedClientException", "UNAUTHENTICATED"), (400, "InvalidGrantTokenException", "CONFIG"), (404, "Anything", "CONFIG"), (403, "Anything", "FORBIDDEN")):
        fresh(json_error(code, name))
        failed(run("wrap", identity=both), status, f"HTTP {code} {name}: says the vendor", http=code)
        need(len(to_kms.seen) == 1, f"{name}: {len(to_kms.seen)} requests")


@tap.case("a server that says nothing: the call ends in its time")
def _():
    fresh(*[bench.stall()] * 3)
    got = run("wrap", identity=both, timeout_ms=1500)
    failed(got, "TIMEOUT")
    need(1.4 < got.seconds < 15, got)
    fresh(bench.slow(1))
    need(good(run("wrap", identity=both)) and len(to_kms.seen) == 1, "a slow answer is an answer")


@tap.case("an answer without end is cut off, and not asked for again")
def _():
    fresh(*[bench.endless()] * 3)
    failed(run("wrap", identity=both), "UNAVAILABLE", f"aws-kms key '{KEY}': Encrypt: ", "longer than")
    need(len(to_kms.seen) == 1, len(to_kms.seen))


@tap.case("a redirect is not followed")  # AB-8
def _():
    elsewhere = bench.FaultProxy(MOTO)
    for fault in (bench.redirect(elsewhere.url + "/"), bench.status(301, headers={"Location": elsewhere.url}), bench.status(302, headers={"Location": elsewhere.url})):
        fresh(fault)
        failed(run("wrap", identity=both), "CONFIG", f"aws-kms key '{KEY}': Encrypt: HTTP 30")
        need(len(to_kms.seen) == 1, to_kms.seen)
    fresh()
    to_sts.fault(bench.redirect(elsewhere.url + "/"))
    need(not run("wrap", props={**props(climber), "role.arn": ROLE}).ok and len(to_sts.seen) == 1 and not to_kms.seen, "went on")
    need(not elsewhere.seen, "followed")
    elsewhere.close()


def body(fn):
    return bench.replace(lambda r: bench.Reply(r.code, r.headers, fn(r.body)))


@tap.case("answers that are none: cut JSON, no JSON, other members, no base64, another key's")  # ENC-84
def _():
    blob = good(run("wrap", identity=both))
    for change, words in ((lambda b: b[:-2], ""), (lambda b: b"<html>captive portal</html>", ""), (lambda b: b"[]", "wrong key id"), (lambda b: b"{}", "wrong key id"), (lambda b: b"", ""),
                          (lambda b: b.replace(b'"Plaintext": "', b'"Plaintext": "!!'), "base64"), (lambda b: b"\xff\xfe" + b, ""), (lambda b: b'{"a":' * 5000, ""),
                          (lambda b: b.replace(KEY.encode(), OTHER.encode()), "wrong key id")):
        fresh(body(change))
        got = run("unwrap", blob, identity=both)
        failed(got, "DECRYPT" if "wrong" in words else "UNAVAILABLE", f"aws-kms key '{KEY}': Decrypt: ", words)
        need(len(to_kms.seen) == 1, len(to_kms.seen))
    fresh(body(lambda b: b.replace(KEY.encode(), OTHER.encode())))
    need(good(run("unwrap", blob, key=ALIAS, identity=both)) == MATERIAL, "under an alias any key may answer")


@tap.case("error bodies of any sort: long, with line feeds and escapes, XML, a canonical request with a token in it")
def _():
    token = secret("aTokenThatTheServerRepeats")
    for text, words in ((b'{"__type":"X","message":"first line\\nx-amz-security-token:' + token.encode() + b'"}', "first line"),
                        (b"<ErrorResponse><Error><Code>Denied\x1b[31m</Code><Message>no\nsecond " + token.encode() + b"</Message></Error></ErrorResponse>", "no"),
                        (b"<html>" + b"x" * 100000, "HTTP 400"), (b'{"message":"' + b"y" * 100000 + b'"}', "yyy"), (b"\0\1\2", "HTTP 400"), (b"", "HTTP 400")):
        fresh(bench.status(400, text))
        got = run("wrap", identity=both)
        need(not got.ok and words in got.err and len(got.err) < 700 and "\x1b" not in got.err, got)


@tap.case("STS that fails for a moment is asked again; what it answers is checked")
def _():
    for fault in (bench.status(503), bench.cut(20), bench.garbage()):
        fresh()
        to_sts.fault(fault)
        good(run("wrap", props={**props(climber), "role.arn": ROLE}))
        need(len(to_sts.seen) == 2, len(to_sts.seen))
    for change in (lambda b: b"<html/>", lambda b: b.replace(b"<SessionToken>", b"<SessionToken>\n evil: 1 "), lambda b: b[:200]):
        fresh()
        to_sts.fault(body(change))
        failed(run("wrap", props={**props(climber), "role.arn": ROLE}), "UNAVAILABLE", "AssumeRole: answer has no credentials")
        need(not to_kms.seen, "went on without credentials")
    fresh()
    to_sts.fault(*[bench.endless()] * 3)
    failed(run("wrap", props={**props(climber), "role.arn": ROLE}), "UNAVAILABLE", "AssumeRole")


@tap.case("over TLS the certificate is checked")
def _():
    cert, key = bench.self_signed(folder)
    secure = bench.FaultProxy(MOTO, tls=(cert, key))
    env = {"AWS_ENDPOINT_URL_KMS": secure.url}
    need(theirs_unwrap(good(run("wrap", identity=both, env=env, ca=cert))) == MATERIAL, "boto3 got something else")
    need(not run("wrap", identity=both, env=env).ok and len(secure.seen) == 1, "an unknown certificate was taken")
    secure.close()


@tap.case("a key id leads to no host but those allowed: nothing is sent, not even to a proxy")  # AB-8
def _():
    way_out = bench.FaultProxy()
    env = {"AWS_ENDPOINT_URL_KMS": "", "AWS_ENDPOINT_URL_STS": "", "https_proxy": way_out.url}
    here = {**props(both), "csfle.allow.kms.hosts": f"kms.{REGION}.amazonaws.com"}
    run("wrap", props=here, env=env, timeout_ms=5000)
    need({(r.method, r.path) for r in way_out.seen} == {("CONNECT", f"kms.{REGION}.amazonaws.com:443")}, "the allowed one is not asked: this case proves nothing")
    way_out.seen.clear()
    for more in ({}, {"registry": {"csfle.allow.kms.hosts": "kms.us-west-2.amazonaws.com"}}):
        failed(run("wrap", key=ABROAD, props=here, env=env, **more), "POLICY", "kms.us-west-2.amazonaws.com", "csfle.allow.kms.hosts")
    failed(run("wrap", props={**here, "csfle.allow.kms.hosts": "vault.bank:8200"}, env=env), "POLICY", f"kms.{REGION}.amazonaws.com")
    need(not way_out.seen, way_out.seen)
    way_out.close()


# ---- messages, end to end

broker = programs.Process("mock broker", [bench.TOOL, "mock-broker"], log=os.path.join(folder, "broker.log"))
BROKERS = broker.line(30)
AwsKmsDriver.register()
SCHEMA = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "int"}, {"name": "card", "type": "string", "confluent:tags": ["PII"]}]}


def registry(env=None):
    server = bench.start([bench.REGISTRY, "--dev", "--port", "0"], env={**{n: "" for n in ENV}, **(env or {})}, ready=r"^listening on (\S+)$")
    server.url = server.match.group(1)
    return server


def rest(server, method, path, content=None):
    request = urllib.request.Request(server.url + path, json.dumps(content).encode() if content is not None else None, method=method,
                                     headers={"Content-Type": "application/vnd.schemaregistry.v1+json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)


def contract(server, topic, kek, key=KEY, shared=False, more=None):
    code, answer = rest(server, "POST", "/dek-registry/v1/keks", {"name": kek, "kmsType": "aws-kms", "kmsKeyId": key, "kmsProps": more or {}, "shared": shared})
    need(code == 200, answer)
    rule = {"name": "pii", "kind": "TRANSFORM", "type": "ENCRYPT", "mode": "WRITEREAD", "tags": ["PII"], "onFailure": "ERROR,ERROR",
            "params": {"encrypt.kek.name": kek, "encrypt.kms.type": "aws-kms", "encrypt.kms.key.id": key}}
    code, answer = rest(server, "POST", f"/subjects/{topic}-value/versions", {"schema": json.dumps(SCHEMA), "ruleSet": {"domainRules": [rule]}})
    need(code == 200, answer)


def tool(server, *argv, identity=None, stdin="", code=0, env=None):
    env = bench.bare_env({**ENV, "CSFLE_REGISTRY_URL": server.url, **(variables(identity) if identity else {}), **(env or {})})
    ran = subprocess.run([bench.TOOL, *argv], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, timeout=120, check=False,
                         preexec_fn=bench.die_with_parent)
    need(ran.returncode == code, f"{argv}: exit code {ran.returncode}, expected {code}: {ran.stderr}")
    need(not leaks(ran.stderr), f"a secret in: {ran.stderr}")
    return ran.stdout if code == 0 else ran.stderr


def produce(server, topic, records, identity=None, **more):
    return tool(server, "produce", "-b", BROKERS, "-t", topic, "-q", identity=identity, stdin="".join(json.dumps(r) + "\n" for r in records), **more)


def consume(server, topic, identity=None, **more):
    out = tool(server, "consume", "-b", BROKERS, "-t", topic, "-o", "beginning", "-e", "-q", identity=identity, **more)
    return out if more.get("code") else [json.loads(line) for line in out.splitlines()]


def official(server, topic, identity):
    """(serialize, deserialize) of the official client; its driver takes its endpoint from the environment."""
    os.environ["AWS_ENDPOINT_URL"] = MOTO
    sr, conf = SchemaRegistryClient({"url": server.url}), props(identity) if identity else {}
    rules = [RuleRegistry(), RuleRegistry()]
    for r in rules:
        r.register_executor(FieldEncryptionExecutor())  # a new one: it can be configured once
    writer = AvroSerializer(sr, None, conf={"auto.register.schemas": False, "use.latest.version": True}, rule_conf=conf, rule_registry=rules[0])
    reader = AvroDeserializer(sr, rule_conf=conf, rule_registry=rules[1])
    where = SerializationContext(topic, MessageField.VALUE)
    return lambda v: writer(v, where), lambda b: reader(b, where)


def put(topic, payloads):
    producer = Producer({"bootstrap.servers": BROKERS})
    for p in payloads:
        producer.produce(topic, value=p, partition=0)
    need(producer.flush(30) == 0, "not delivered")


def payloads_of(topic):
    reader = Consumer({"bootstrap.servers": BROKERS, "group.id": "unused", "enable.partition.eof": True, "enable.auto.commit": False})
    reader.assign([TopicPartition(topic, n, 0) for n in range(len(reader.list_topics(topic, 30).topics[topic].partitions))])
    found, open_ends = [], len(reader.assignment())
    while open_ends:
        message = reader.poll(30)
        need(message is not None, "no end of partition")
        if message.error():
            need(message.error().code() == KafkaError._PARTITION_EOF, message.error())
            open_ends -= 1
        else:
            found.append(message.value())
    reader.close()
    return found


ORDERS = [{"id": i, "card": f"4000 0000 0000 {i:04}"} for i in range(3)]


def by_id(records):
    return sorted(records, key=lambda r: r["id"])


def round_trip(server, topic, identity):
    """We write and both read; the official client writes and both read; nothing of it is plain on the broker."""
    serialize, deserialize = official(server, topic, identity)
    produce(server, topic, ORDERS, identity)
    need(by_id(deserialize(p) for p in payloads_of(topic)) == ORDERS, "the official client read something else")
    more = [{"id": 10 + i, "card": f"5000 0000 0000 {i:04}"} for i in range(3)]
    put(topic, [serialize(dict(r)) for r in more])  # it encrypts in place
    need(by_id(consume(server, topic, identity)) == ORDERS + more, "we read something else")
    need(by_id(deserialize(p) for p in payloads_of(topic)) == ORDERS + more, "the official client read something else")
    need(not [p for p in payloads_of(topic) if b"000 0000 0000" in p], "plain on the broker")


@tap.case("client-side KEK: messages of ours and of the official client, read by both; the registry has no AWS credentials")
def _():
    fresh()
    server = registry()
    contract(server, "client-side", "mine")
    round_trip(server, "client-side", both)
    need({action(r) for r in to_kms.seen} == {"Encrypt", "Decrypt"}, "our client did not go to the KMS")
    need("keyMaterial" not in rest(server, "GET", "/dek-registry/v1/keks/mine/deks/client-side-value")[1], "the registry has the key in clear")
    text = consume(server, "client-side", sealer, code=4)
    need("kms:Decrypt" in text and "AccessDenied" in text, text)
    server.stop()
    need(not leaks(server.text()), "a secret in the registry's log")


@tap.case("shared KEK: the registry wraps and unwraps with its own credentials; clients have none")
def _():
    fresh()
    server = registry({**ENV, **variables(climber), "AWS_ROLE_ARN": ROLE})
    contract(server, "shared-pii", "theirs", shared=True)
    round_trip(server, "shared-pii", None)
    need({action(r) for r in to_kms.seen} == {"Encrypt", "Decrypt"}, "the server did not go to the KMS")
    need([action(r) for r in to_sts.seen] == ["AssumeRole"], f"{len(to_sts.seen)} role sessions")
    need({r.headers["Authorization"].split("Credential=")[1].split("/")[0] for r in to_sts.seen} == {climber["AccessKeyId"]}, "another identity")
    wrapped = rest(server, "GET", "/dek-registry/v1/keks/theirs/deks/shared-pii-value")[1]
    need(theirs_unwrap(base64.b64decode(wrapped["encryptedKeyMaterial"])) == base64.b64decode(wrapped["keyMaterial"]), "boto3 unwraps something else")
    server.stop()
    need(not leaks(server.text()), "a secret in the registry's log")


@tap.case("the properties of docs/usage/kms.md: keys from a file and the environment, a role, one session for a run")
def _():
    fresh()
    server = registry()
    contract(server, "by-property", "mine")
    param = "rule.executors._default_.param."
    argv = ["-X", param + "access.key.id=" + climber["AccessKeyId"], "-X", param + "secret.access.key=@env:MY_SECRET", "-X", param + "role.arn=" + ROLE,
            "-X", param + "role.session.name=orders-writer"]
    env = {"MY_SECRET": climber["SecretAccessKey"]}
    tool(server, "produce", "-b", BROKERS, "-t", "by-property", "-q", *argv, env=env, stdin="".join(json.dumps(r) + "\n" for r in ORDERS))
    need([(action(r), form(r)["RoleSessionName"]) for r in to_sts.seen] == [("AssumeRole", "orders-writer")], [form(r) for r in to_sts.seen])
    need(by_id(consume(server, "by-property", both)) == ORDERS, "read something else")
    server.stop()


for where, shared in (("client", False), ("server", True)):
    @tap.case(f"kmsProps of a KEK choose neither role nor profile, {where}")  # ENC-80, AB-8
    def _(where=where, shared=shared):
        fresh()
        server = registry({**ENV, **variables(both)} if shared else None)
        topic, identity = f"steered-{where}", None if shared else both
        contract(server, topic, "steered", shared=shared, more={"role.arn": GUARDED, "role.external.id": "tenant-7", "profile": "admin"})
        produce(server, topic, ORDERS, identity)
        need(by_id(consume(server, topic, identity)) == ORDERS and not to_sts.seen, "the KEK's role was assumed")
        need({re.search(r"Credential=(\w+)", r.headers["Authorization"]).group(1) for r in to_kms.seen} == {both["AccessKeyId"]}, "another identity")
        server.stop()


@tap.case("shared KEK: a server that is denied says so, with KMS, key, operation and the vendor's words")
def _():
    fresh()
    server = registry({**ENV, **variables(opener)})
    need(rest(server, "POST", "/dek-registry/v1/keks", {"name": "k", "kmsType": "aws-kms", "kmsKeyId": KEY, "shared": True})[0] == 200, "no KEK")
    code, answer = rest(server, "POST", "/dek-registry/v1/keks/k/deks", {"subject": "s", "version": 1, "algorithm": "AES256_GCM"})
    need(code == 403 and answer["error_code"] == 40370 and not leaks(json.dumps(answer)), answer)
    need(all(word in answer["message"] for word in (f"aws-kms key '{KEY}': Encrypt: HTTP 403 AccessDenied", "user/opener", "kms:Encrypt")), answer)
    server.stop()


for where, shared in (("client", False), ("server", True)):
    @tap.case(f"alternate key ids, {where}: in order, for wrapping and unwrapping")  # ENC-79
    def _(where=where, shared=shared):
        fresh()
        server = registry({**ENV, **variables(both)} if shared else None)
        topic, identity = f"alternate-{where}", None if shared else both
        contract(server, topic, "alt", key=UNKNOWN, shared=shared, more={"encrypt.alternate.kms.key.ids": f" {UNKNOWN[:-1]}1 ,,{OTHER}, {KEY}"})
        produce(server, topic, ORDERS, identity)
        need(by_id(consume(server, topic, identity)) == ORDERS, "read something else")
        asked = [(action(r), json.loads(r.body)["KeyId"]) for r in to_kms.seen]
        order = [UNKNOWN, UNKNOWN[:-1] + "1", OTHER]
        need([k for a, k in asked if a == "Encrypt"] == order and [k for a, k in asked if a == "Decrypt"][:3] == order, asked)
        wrapped = rest(server, "GET", f"/dek-registry/v1/keks/alt/deks/{topic}-value")[1]["encryptedKeyMaterial"]
        need(theirs_unwrap(base64.b64decode(wrapped), OTHER), "not wrapped by the third")
        server.stop()


broker.stop()
tap.done(40)
