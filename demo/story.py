"""The steps of the demo, each of which checks what it shows and raises Failed when anything differs. demo/run tells them; tests/interop/demo.py
asserts them one by one, and runs them again with the rule switched off, to prove that the search finds what is there to be found."""
import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(TOP, "tests/support")]
from canary import Canaries  # noqa: E402
from kafka import Kafka, KafkaError  # noqa: E402
from programs import Failed, Process, Registry  # noqa: E402
from records import customers, tagged_values, untagged  # noqa: E402

KEK = "customer-kek"


class Demo:
    def __init__(self, tool, registry, count=10000, seed=None, rule_disabled=False):
        self.tool_path, self.registry_path = os.path.abspath(tool), os.path.abspath(registry)
        self.count = count
        self.seed = secrets.randbelow(10**6) if seed is None else seed
        self.rule_disabled = rule_disabled
        self.secret = secrets.token_urlsafe(32)  # lives in this process and in the environment of those that may use the key
        self.topic = f"csfle-demo-{secrets.token_hex(4)}"
        self.subject = self.topic + "-value"
        self.sent = list(customers(count, self.seed))
        self.canaries = Canaries(v for record in self.sent for v in tagged_values(record))
        self.broker = self.broker_is = self.registry = self.kafka = None
        self.said = ""  # all that our programs wrote to stderr
        self.read = self.denied = None

    def __enter__(self):
        self.exits = contextlib.ExitStack()
        self.folder = tempfile.mkdtemp(prefix="csfle-demo-")
        self.exits.callback(shutil.rmtree, self.folder, ignore_errors=True)
        return self

    def __exit__(self, *_):
        self.exits.close()

    # ---- the world

    def start_broker(self):
        """The broker of $BROKER, else a real Kafka, else librdkafka's stand-in. Sets broker_is, a line that says which."""
        if os.environ.get("BROKER"):
            self.broker = os.environ["BROKER"]
            self.broker_is = f"{self.broker} (named by BROKER)"
            return
        why = "no java here"
        if shutil.which("java"):
            try:
                self.kafka = Kafka(os.path.join(self.folder, "kafka"))
                self.kafka.start()
                self.exits.callback(self.kafka.stop)
                self.kafka.make_topic(self.topic)  # else the first record waits a second for it, and the rate shows that
                self.broker = self.kafka.address
                self.broker_is = f"Apache Kafka {os.path.basename(self.kafka.jars).split('-')[1]}, one KRaft node started for this demo, at {self.broker}"
                return
            except (KafkaError, OSError, subprocess.CalledProcessError) as e:
                self.kafka = None
                why = f"Apache Kafka did not come up: {e}"
        mock = Process("csfle mock-broker", [self.tool_path, "mock-broker"], log=os.path.join(self.folder, "mock.log"))
        self.exits.callback(mock.stop)
        self.broker = mock.line(20)
        self.broker_is = f"librdkafka's test broker at {self.broker} ({why})"

    def start_registry(self):
        self.registry = Registry(self.registry_path, log=os.path.join(self.folder, "registry.log"))
        self.exits.callback(self.registry.stop)

    def csfle(self, *args, key=False, stdin=None, expect=0):
        """Runs the tool against our registry, with or without the key's secret; (stdout, stderr)."""
        env = {k: v for k, v in os.environ.items() if k != "LOCAL_SECRET"}
        if key:
            env["LOCAL_SECRET"] = self.secret
        run = subprocess.run([self.tool_path, *args, "-r", self.registry.url], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             encoding="utf-8", env=env, timeout=120, check=False)
        self.said += run.stderr
        if run.returncode != expect:
            raise Failed(f"csfle {' '.join(args)}: exit code {run.returncode}, expected {expect}\n{run.stderr.strip()[-2000:]}")
        return run.stdout, run.stderr

    # ---- the steps

    def create_kek(self):
        self.csfle("kek", "create", KEK, "--kms-type", "local-kms", "--kms-key-id", "customer-key")

    def register_schema(self):
        """The id of the schema. With rule_disabled the rule set says so, as an operator's slip would."""
        rules = os.path.join(HERE, "rules.json")
        if self.rule_disabled:
            with open(rules, encoding="utf-8") as f:
                document = json.load(f)
            document["domainRules"][0]["disabled"] = True
            rules = os.path.join(self.folder, "rules.json")
            with open(rules, "w", encoding="utf-8") as f:
                json.dump(document, f)
        return self.csfle("schema", "register", self.subject, "--schema", os.path.join(HERE, "customer.avsc"), "--rules", rules)[0].strip()

    def produce(self, *extra, expect=0):
        """Sends all records; the summary of the tool."""
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in self.sent)
        return last_line(self.csfle("produce", "-b", self.broker, "-t", self.topic, "-p", "0", *extra, key=True, stdin=lines, expect=expect)[1])

    def consume(self, key):
        text, said = self.csfle("consume", "-b", self.broker, "-t", self.topic, "-p", "0", "-o", "beginning", "-e", key=key)
        return text, [json.loads(line) for line in text.split("\n") if line], last_line(said)

    def consume_with_key(self):
        """Every record is what was sent; the summary of the tool."""
        _, self.read, summary = self.consume(True)
        if len(self.read) != self.count:
            raise Failed(f"{len(self.read)} records came back, {self.count} were sent")
        for sent, read in zip(self.sent, self.read):
            if sent != read:
                raise Failed(f"record {sent['id']} came back different in {', '.join(k for k in sent if sent[k] != read.get(k))}")
        return summary

    def consume_without_key(self):
        """No tagged value appears anywhere, whatever is untagged is as it was sent; the summary of the tool."""
        text, self.denied, summary = self.consume(False)
        if len(self.denied) != self.count:
            raise Failed(f"{len(self.denied)} records came back without the key, {self.count} were sent")
        for sent, read in zip(self.sent, self.denied):
            if untagged(sent) != untagged(read):
                raise Failed(f"record {sent['id']} lost something untagged")
            if set(tagged_values(sent)) & set(tagged_values(read)):
                raise Failed(f"record {sent['id']} shows a tagged value to a reader without the key")
        self.none_of(self.canaries.find(text.encode()), "what a reader without the key got")
        return summary

    def none_of(self, found, where):
        if found:
            raise Failed(f"{len(found)} tagged values in {where}, the first as {next(iter(found))[0]}")

    def stored_files(self):
        """Where the broker and the registry keep what they keep. (A broker that is not ours shows us no files.)"""
        store = self.registry.store
        beside = [os.path.join(os.path.dirname(store), n) for n in os.listdir(os.path.dirname(store)) if n.startswith(os.path.basename(store))]
        return ([self.kafka.data, self.kafka.log] if self.kafka else []) + sorted(set(beside))

    def search(self):
        """(found, files, bytes) of the search over every file, and over all that was printed."""
        found, files, size = self.canaries.find_in_files(*self.stored_files(), os.path.join(self.folder, "registry.log"))
        printed = self.said.encode()
        return found | {("stderr", *f) for f in self.canaries.find(printed)}, files + 1, size + len(printed)

    def keys(self):
        """Text: the KEK and the DEK as the registry shows them. There is exactly one DEK and it has no plain key material."""
        keks = self.csfle("kek", "list")[0].split()
        deks = json.loads(self.csfle("dek", "get", KEK, self.subject, "-o", "json")[0])
        if KEK not in keks:
            raise Failed(f"'{KEK}' is not among the KEKs: {keks}")
        if not deks.get("encryptedKeyMaterial") or deks.get("keyMaterial"):
            raise Failed("the registry shows no wrapped data key, or a plain one")
        return deks


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", lines[-1].split("\r")[-1]) if lines else ""
