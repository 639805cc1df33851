#!/usr/bin/env python3
"""A real one-node Apache Kafka (KRaft) on free ports, for tests and the demo.

    with Kafka(folder) as kafka: ... kafka.address ...     from Python
    tests/support/kafka.py FOLDER                           from a shell: prints the address, runs until its stdin closes or SIGTERM

Its data lie in FOLDER/data, its log in FOLDER/kafka.log. It is ready when it answers a metadata request for itself, which is later than
when its port opens. Topics are made when first used. Standard library only.
"""
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from programs import die_with_parent  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=true
num.partitions=1
log.cleaner.dedupe.buffer.size=2097152
"""


class KafkaError(Exception):
    pass


def free_ports(count):
    """Ports that nobody listens on now. Another process may take one before it is used: whoever uses them tries again."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def metadata(port, topics=(), timeout=5.0):
    """(brokers, topics without an error) in the answer to a Metadata request, version 1. A topic that is asked for is made if need be."""
    def text(t):
        return struct.pack(">h", len(t)) + t.encode()
    body = struct.pack(">hhi", 3, 1, 1) + text("csfle-tests") + struct.pack(">i", len(topics)) + b"".join(text(t) for t in topics)
    with socket.create_connection(("127.0.0.1", port), timeout) as s, s.makefile("rb") as answer:
        s.sendall(struct.pack(">i", len(body)) + body)

        def take(form):
            data = answer.read(struct.calcsize(form))
            if len(data) < struct.calcsize(form):
                raise OSError("connection closed")
            return struct.unpack(form, data)[0]

        def skip_text():
            answer.read(max(take(">h"), 0))

        take(">i"), take(">i")  # size, correlation id
        brokers = take(">i")
        for _ in range(brokers):
            take(">i"), skip_text(), take(">i"), skip_text()
        take(">i")  # controller
        ready = 0
        for _ in range(take(">i")):
            good = take(">h") == 0
            skip_text()
            take(">b")
            for _ in range(take(">i")):
                good = take(">h") == 0 and good
                take(">i"), take(">i")
                for _ in range(2):  # replicas, those in sync
                    for _ in range(take(">i")):
                        take(">i")
            ready += good
        return brokers, ready


class Kafka:
    """start() makes it ready or raises KafkaError with the end of its log; stop() waits until it is gone."""

    def __init__(self, folder, jars=None):
        self.folder = os.path.abspath(folder)
        self.data = os.path.join(self.folder, "data")
        self.log = os.path.join(self.folder, "kafka.log")
        self.jars = jars
        self.process = None
        self.address = None

    def start(self, timeout=90):
        if self.jars is None:
            self.jars = subprocess.run([os.path.join(TOP, "scripts/fetch"), "kafka"], check=True, stdout=subprocess.PIPE,
                                       text=True).stdout.strip()
        os.makedirs(self.folder, exist_ok=True)
        if not os.path.isdir(self.data):
            shutil.copytree(os.path.join(self.jars, "formatted"), self.data)
        for attempt in range(3):
            if self._try(timeout):
                return self
        raise KafkaError("Kafka did not start:\n" + self.log_tail())

    def _try(self, timeout):
        port, controller = free_ports(2)
        config = os.path.join(self.folder, "server.properties")
        with open(config, "w", encoding="utf-8") as f:
            f.write(PROPERTIES.format(port=port, controller=controller, data=self.data))
        # one compiler tier and the serial collector: a short life on a busy machine
        command = ["java", "-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                   "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", os.path.join(self.jars, "libs", "*"), "kafka.Kafka", config]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                            preexec_fn=die_with_parent,
                                            start_new_session=True)  # a Ctrl-C is for whoever started it, who then stops it
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False  # most likely a port that somebody took in between
            try:
                if metadata(port)[0] > 0:
                    self.address = f"127.0.0.1:{port}"
                    return True
            except OSError:
                pass
            time.sleep(0.1)
        self.stop()
        raise KafkaError(f"Kafka gave no metadata within {timeout} s:\n" + self.log_tail())

    def make_topic(self, name, timeout=30):
        """Makes a topic of one partition and waits until it has a leader."""
        end = time.monotonic() + timeout
        while metadata(int(self.address.split(":")[1]), [name])[1] == 0:
            if time.monotonic() > end:
                raise KafkaError(f"topic '{name}' has no leader after {timeout} s:\n" + self.log_tail())
            time.sleep(0.05)

    def log_tail(self, lines=15):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return ""

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with Kafka(sys.argv[1]) as kafka:
            print(kafka.address, flush=True)
            sys.stdin.read()
    except (KafkaError, subprocess.CalledProcessError) as e:
        print(f"kafka.py: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
