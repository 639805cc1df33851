#!/usr/bin/env python3
"""Writes first inputs for the fuzz targets, from the vectors of the tests: `fuzz/seeds.py FOLDER` makes FOLDER/<target>/<n>."""
import hashlib
import json
import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ALGORITHMS = {"AES128_GCM": 0, "AES256_GCM": 1, "AES256_SIV": 2}


def vectors(name):
    with open(os.path.join(TOP, "tests/vectors", name + ".json"), encoding="utf-8") as f:
        return json.load(f)


def schema_text():
    for case in vectors("schema-forms-avro"):
        yield bytes([1 if case.get("new") else 0]) + case["schema"].encode()
    for case in vectors("compat-avro")[::4]:
        for text in case.values():
            if isinstance(text, str) and text.startswith("{"):
                yield b"\1" + text.encode()
    yield b'\1{"type":"record","name":"A","fields":[{"name":"r","type":"n.I"}]}\0{"type":"record","name":"n.I","fields":[{"name":"v","type":"string"}]}'


def key_material():
    for case in vectors("encryption")["dek_proto"]:
        yield bytes([ALGORITHMS[case["algorithm"]]]) + bytes.fromhex(case["proto_hex"])


def ciphertext():
    e = vectors("encryption")
    for case in e["field_ciphertext"] + e["gcm_fixed_nonce"] + e["rotation"] + e["negative"]:
        a = ALGORITHMS.get(case.get("algorithm"), 1)
        rotating = 2 if case.get("expiry_days") else 0
        if case.get("raw_hex"):
            yield bytes([a, rotating, 0, 9]) + bytes.fromhex(case["raw_hex"])
        for name in ("base64", "stored", "ciphertext"):
            if isinstance(case.get(name), str):
                yield bytes([a, 1 | rotating, 1, 2]) + case[name].encode()
    for text in ("", "hello world", "\u00fc\U0001f600"):
        for a in range(3):
            yield bytes([a, 3, 0, 44]) + text.encode()
            yield bytes([a, 0, 0, 130]) + text.encode()


def json_value():
    texts = ['{"id":1,"ssn":"078-05-1120","note":{"string":"x"}}', '{"id":-9223372036854775808,"ssn":"","note":null}',
             '{}', '{"b":false,"i":2147483647,"l":-1,"f":1e38,"d":-0.0,"y":"\\u0000\\u00ff","s":"\\ud83d\\ude00","x":"zz","e":"B","a":[1,2],"m":{"k":"v"}}',
             '{"p":{"T":{"p":{"array":[null,{"double":1.5},{"T":{}}]}}}}', '{"p":{"map":{"a":{"string":"x"},"b":{"T":{}}}}}', '{"p":"bare"}',
             'null', '{"long":7}', '{"n.E":"A"}', '{"n.R":{"a":{"int":3}}}', '{"string":"x"}', '{"double":"NaN"}',
             '[{"a":{"boolean":true},"b":{"float":0.1}},{},{"c":{"F":"abc"}}]', '"text"', '1.25e-7', '"Infinity"', '12', '"\\u00e9"']
    for text in texts:
        for schema in range(9):
            yield bytes([schema]) + text.encode()


def wire():
    for flags in range(4):
        header = b"\x05\x00\x00\x00\x00\x2a" if flags & 2 else b""
        yield bytes([flags]) + header + b"\0\0\0\0\1payload"
        header = b"\x11\x01" + bytes(range(16)) if flags & 2 else b""
        yield bytes([flags]) + header + b"\1" + bytes(range(16)) + b"payload"
    yield b"\2\0x"
    yield b"\0\0\0"


def tag_path():
    for case in vectors("tag-path-match"):
        yield "\n".join(str(case.get(k, "")) for k in ("pattern", "path")).encode()
    for text in ("**.ssn\na.b.ssn", "a.?.c\na.b.c", "{a,b}.c\na.c", "a.[a-c]*\na.bx", "**\na", "*.*.*\na.b.c", "[\na"):
        yield text.encode()


def properties():
    url = "schema.registry.url=http://127.0.0.1:1\n"
    for more in ("", "use.latest.version=true\n", "basic.auth.credentials.source=USER_INFO\nbasic.auth.user.info=user:secret\n", "bearer.auth.token=abcdefghijklmnopq\n",
                 "max.retries=3\nretries.wait.ms=1\n", "csfle.allow.plaintext=disabled\n", "unknown=1\n", "rule.executors._default_.param.secret=mysecret\n",
                 "# a comment\n\n", "cache.capacity=10\ncache.expiry.secs=-1\n", "use.schema.id=7\nauto.register.schemas=false\n", "csfle.require.tags=PII,PHI\n",
                 "proxy.host=proxy\nproxy.port=3128\n", "request.header.x=y\n"):
        yield (url + more).encode()
    yield b"schema.registry.url=http://user:pass@h:1,https://[::1]:2/base/\n"


def server_config():
    for text in ("listeners=http://127.0.0.1:8081\n", "listeners = http\\://localhost\\:0\n# c\n! d\n", "schema.compatibility.level=full\n", "a\\\n  b=c\n", "x\\u00e9=y\n",
                 "listeners=http://[::1]:1\n", "listeners=https://x:1\n", "kafkastore.bootstrap.servers=x:9092\n", "dek.registry.max.keys=5\n", "",
                 "csfle.policy.text=a \\u00e9\n", "csfle.policy.aws.principal=arn:aws:iam::1:role/\"x\\n\ncsfle.policy.aws.tenant.id=none\n",
                 "csfle.policy.aws.principal=arn:aws-cn:x\nschema.registry.group.id=a\"b\n", "csfle.policy.aws.principal=x\n"):
        yield text.encode()


RULES = '"ruleSet":{"domainRules":[{"name":"r","kind":"TRANSFORM","mode":"WRITEREAD","type":"ENCRYPT","tags":["PII"],"params":{"encrypt.kek.name":"k"},"onFailure":"ERROR,NONE"}],"migrationRules":[],"enableAt":"CLIENT"}'
META = '"metadata":{"tags":{"**.ssn":["PII"]},"properties":{"a":"b"},"sensitive":["a"]}'
KEK = '{"name":"kek1","kmsType":"local-kms","kmsKeyId":"mykey","kmsProps":{"a":"b"},"doc":"d","shared":true,"ts":5,"deleted":false}'
DEK = '{"kekName":"kek1","subject":"s-value","version":1,"algorithm":"AES128_GCM","encryptedKeyMaterial":"AAEC","keyMaterial":"GhABAgMEBQYHCAkKCwwNDg8Q","ts":5}'


def model():
    schema = '{"subject":"%s","version":1,"id":1,"guid":"00000000-0000-0000-0000-000000000001","schemaType":"AVRO","schema":"\\"string\\"","references":[{"name":"n","subject":"s","version":1}],%s,%s}'
    for subject in ("s-value", ":.ctx:s", ":.ctx:", "", "::x"):
        yield b"\0" + (schema % (subject, META, RULES)).encode()
    yield b'\0{"schema":"x","ruleSet":null,"metadata":{}}'
    yield b'\0{"schema":"x","ruleSet":{"domainRules":[{"name":"r","kind":"CONDITION","mode":"UPDOWN","type":"CEL","expr":"a > 1","disabled":"true"}]}}'
    yield b"\1" + KEK.encode()
    yield b"\2" + DEK.encode()
    for t in vectors("encryption")["dek_registry_transcripts"][:8]:
        for x in t["http"]:
            body = x.get("response", {}).get("body")
            if body:
                text = body if isinstance(body, str) else json.dumps(body)
                for kind in range(3):
                    yield bytes([kind]) + text.encode()
    yield b'\3[1,2.50,-0,1e400,"\\u0000\\ud83d\\ude00",{"a":null,"a":true}]'


def http_target():
    for target in ("/subjects", "/subjects/a%2Fb/versions/latest?deleted=true&x=%20+", "/", "//x/?a&b=&=c&&", "/schemas/ids/1?format=resolved", "/%C3%BC", "/%zz", "x"):
        yield (target + "\napplication/vnd.schemaregistry.v1+json, */*;q=0.1\napplication/json; charset=utf-8\n{\"a\":1}").encode()
    import gzip
    yield b"/\ntext/html\ntext/plain\n" + gzip.compress(b"hello" * 50, mtime=0)
    yield b"/\n*/*;q=0\n\n" + gzip.compress(b"a" * 70000, mtime=0)


def records():
    key = '0{"keytype":"SCHEMA","subject":"%s","version":%d,"magic":1}\t'
    value = '{"subject":"%s","version":%d,"id":%d,"schema":"\\"string\\"","deleted":%s}\n'
    one = key % ("s", 1) + value % ("s", 1, 1, "false")
    many = one + key % ("s", 2) + value % ("s", 2, 2, "true") + key % (":.c:s", 1) + value % (":.c:s", 1, 1, "false")
    yield one.encode()
    yield many.encode()
    yield (many + '0{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}\t{"subject":"s","version":2}\n').encode()
    yield (many + '0{"keytype":"CLEAR_SUBJECT","subject":"s","magic":0}\t{"subject":"s"}\n').encode()
    yield (many + key.replace("\t", "\n") % ("s", 1)).encode()
    yield b'0{"keytype":"CONFIG","subject":null,"magic":0}\t{"compatibilityLevel":"FULL"}\n0{"keytype":"MODE","subject":"s","magic":0}\t{"mode":"READONLY"}\n'
    yield ('0{"keytype":"CONFIG","subject":"s","magic":0}\t{"alias":"t","normalize":true,"defaultMetadata":{"properties":{"a":"b"}},"overrideRuleSet":{"domainRules":[]}}\n').encode()
    yield b'0{"keytype":"CONTEXT","tenant":"default","context":".c","magic":0}\t{"tenant":"default","context":".c"}\n0{"keytype":"NOOP","magic":0}\n'
    yield b'2{"kind":"ids","context":"."}\t{"max":9}\n'
    trash = '2{"kind":"trash","id":"%d"}\t{"why":"%s","since":%d,"kmsType":"t","kmsKeyId":"i","key":"{\\"type\\":\\"DEK\\"}","value":"{}"}\n'
    yield (trash % (1, "deleted", 5) + trash % (2, "replaced", 6) + trash % (3, "deleted", 7) + '2{"kind":"trash","id":"2"}\n').encode()
    yield (trash % (1, "replaced", 5) + trash % (1, "deleted", 5) + '2{"kind":"trash","id":"1"}\n2{"kind":"trash","id":"1"}\n').encode()
    kek = '1{"keytype":"KEK","name":"kek1"}\t' + KEK + "\n"
    dek = '1{"keytype":"DEK","kekName":"kek1","subject":"s-value","algorithm":"AES128_GCM","version":%d}\t' + DEK.replace('"version":1', '"version":%d') + "\n"
    yield (kek + dek % (1, 1) + dek % (2, 2)).encode()
    yield (dek % (1, 1) + kek + '1{"keytype":"KEK","name":"kek1"}\n').encode()
    yield (kek + dek % (1, 1) + '1{"keytype":"DEK","kekName":"kek1","subject":"s-value","algorithm":"AES128_GCM","version":1}\n').encode()


def api():
    """A KEK, its DEKs, and what is done with them."""
    keks, own = "/dek-registry/v1/keks", "/csfle/v1"
    kek = f'POST {keks} ' + '{"name":"k","kmsType":"%s","kmsKeyId":"i","kmsProps":{"secret":"s"},"shared":%s}\n'
    plain = kek % ("t", "false") + f'POST {keks}/k/deks/s ' + '{"encryptedKeyMaterial":"YQ=="}\n'
    shared = kek % ("local-kms", "true") + f"POST {keks}/k/deks/s {{}}\n"
    was = hashlib.sha256(b"YQ==").hexdigest()
    moved = plain + f"POST {own}/keks/k/move " + '{"kmsType":"t","kmsKeyId":"j","kmsProps":{},"deks":[{"subject":"s","algorithm":"AES256_GCM","version":1,"was":"%s","encryptedKeyMaterial":"Yg=="}]}\n' % was
    gone = "".join(f"DELETE {keks}/k{x}{end}\n" for x in ("/deks/s", "") for end in ("", "?permanent=true"))
    for flags in "0123":
        yield (flags + shared + f"GET {keks}/k/deks/s\nPOST {keks}/k/test\nPOST {keks}/k/deks/s?rewrap=true {{}}\nGET {own}/keks/k/deks?deleted=true&limit=5\nGET {own}/health\nGET /metrics\n").encode()
        yield (flags + moved + f"GET {own}/keks/k/move\nPOST {own}/keks/k/move/undo\nGET {keks}/k\n").encode()
        yield (flags + moved + f"POST {keks}/k/deks/s/undelete\nDELETE {own}/keks/k/move\n" + gone).encode()
        yield (flags + moved + gone + f"GET {own}/trash\nPOST {own}/trash/@/restore\nPOST {own}/trash/@/restore\n").encode()
    yield ("4" + plain + f'POST {keks}/k/deks/s?rewrap=true {{"encryptedKeyMaterial":"Yg=="}}\n' + gone + f"POST {own}/trash/@/restore\nGET {keks}?deleted=true\n").encode()
    yield ("1" + plain + f'PUT {keks}/k?testSharing=true {{"shared":true}}\nPOST {keks}/k/undelete\nPOST {keks}/k/deks {{"subject":"x","encryptedKeyMaterial":"YQ=="}}\n').encode()
    yield ("1" + "PUT /config/s {\"alias\":\"t\"}\n" + plain + f"GET /contexts/.c{keks}/k/deks/s/versions/latest\n").encode()
    yield b'1POST /subjects/s/versions {"schema":"\\"string\\""}\nGET /schemas/ids/1\nDELETE /subjects/s\nDELETE /subjects/s?permanent=true\nPUT /mode/s {"mode":"IMPORT"}\nGET /contexts\n'
    yield ("1" + '2{"kind":"move","kek":"k"}\t{"since":1,"from":' + KEK + "}\n" + '2{"kind":"moved","kek":"k","subject":"s","algorithm":"AES256_GCM","version":1}\t{"encryptedKeyMaterial":"YQ==","became":"' + was + '"}\n'
           + plain + f"POST {own}/keks/k/move/undo\n").encode()
    yield ("1" + '2{"kind":"trash","id":"1"}\t{"why":"replaced","since":9000000000000,"kmsType":"t","kmsKeyId":"i","key":"{\\"type\\":\\"KEK\\"}","value":"{\\"type\\":\\"KEK\\",\\"name\\":\\"z\\"}"}\n'
           + f"POST {own}/trash/1/restore\nGET {own}/trash?offset=0&limit=1\n").encode()


def kms_reply():
    """What the recorded servers answered, to every sort of credentials; errors, and files of profiles."""
    firsts = {"aws": range(6), "ali": range(6, 10), "azu": range(10, 13), "gcp": range(13, 15), "vau": range(15, 17)}
    for entry in vectors("encryption")["kms_http"]:
        bodies = []
        for x in entry["http"]:
            body = x["response"]["body"]
            bodies.append(b"2" + (body if isinstance(body, str) else json.dumps(body)).encode())
        for number in firsts[entry["title"][:3].lower()]:
            for unwrap in (0, 1):
                yield bytes([number, unwrap]) + b"\x1e".join(bodies)
                yield bytes([number, unwrap]) + b"\x1e".join(bodies[::-1])
    for number in range(17):
        yield bytes([number, 1]) + b'4x-amzn-ErrorType: a#B:c\r\nRetry-After: 1\r\n\x1f{"__type":"p#ThrottlingException"}\x1e5\x1e9'
        yield bytes([number, 0]) + b'3<E><Code>SignatureDoesNotMatch</Code><Message>m</Message></E>\x1e1{"errors":["permission denied"]}'
        yield bytes([number, 0]) + b'4Date: Sun, 22 Nov 2026 02:55:12 GMT\r\n\x1f{"__type":"InvalidSignatureException"}\x1e4{"error":{"code":"x","message":"y"}}'
    yield b"\x02\0[p]\naws_access_key_id = A # x\naws_secret_access_key=B\n\x1e[profile p]\nrole_arn=r\nsource_profile=p\n\x1e2"
    yield b'\x08\0{"current":"a","profiles":[{"name":"a","mode":"AK","access_key_id":"A","access_key_secret":"B"}]}\x1e2{"CiphertextBlob":"QQ=="}'
    yield b"\x08\0{}\x1e[default]\ntype=access_key\naccess_key_id=A\naccess_key_secret=B\n\x1e2{\"CiphertextBlob\":\"QQ==\"}"
    yield b'\x0d\0{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}\x1e2{"access_token":"t","expires_in":3599}\x1e2{"ciphertext":"QUJD"}'


def backup():
    kek = '{"kek":{"name":"k","kmsType":"local-kms","kmsKeyId":"x","shared":false,"ts":1}}\n'
    dek = '{"dek":{"kekName":"k","subject":"%s","version":%d,"algorithm":"AES256_GCM","encryptedKeyMaterial":"YTE=","ts":1%s}}\n'
    schema = '{"schema":{"subject":"%s","version":%d,"id":%d,"guid":"g","schema":"\\"string\\"","ruleSet":{"domainRules":[]}%s}}\n'
    paths = ("/dek-registry/v1/keks/k?deleted=true\n/dek-registry/v1/keks/k/deks/s/versions/-1?algorithm=AES256_GCM&deleted=true\n/schemas/ids/7?subject=%3A.c%3As\n"
             "/schemas/guids/g\n/subjects/s/versions/latest\n/subjects/s/versions/1?deleted=true\n/subjects/%zz/versions/1\n/")
    whole = kek + dek % ("s", 1, "") + dek % ("s", 2, ',"deleted":true') + schema % (":.c:s", 1, 7, "") + schema % ("s", 1, 8, ',"deleted":true')
    yield ("\1" + whole + "\x1e" + paths).encode()
    yield ("\1" + dek % ("s", 1, ',"keyMaterial":"YQ=="') + "\x1e/").encode()
    yield ("\1" + kek + '{"key":{}}\n').encode()
    yield b'\0{"csfle":"keys backup","format":1,"created":1,"registry":""}\n{"end":{"keks":0,"deks":0,"schemas":0,"sha256":"00"}}\n'


def main():
    for target in (schema_text, key_material, ciphertext, json_value, wire, tag_path, properties, server_config, model, http_target, records, api, kms_reply, backup):
        folder = os.path.join(sys.argv[1], "fuzz_" + target.__name__)
        os.makedirs(folder, exist_ok=True)
        for number, seed in enumerate(target()):
            with open(os.path.join(folder, str(number)), "wb") as f:
                f.write(seed)


if __name__ == "__main__":
    main()
