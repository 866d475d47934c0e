"""Real nodes on loopback for end-to-end tests: start, ask, kill, clean up. Standard library only.

KVRING_BIN names the folder with kvnode, kvcli and kvadmin. Every node has its own temporary folder
and free ports, and is ended by its process id. A test that fails shows the nodes' logs.
"""

import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

BIN = os.environ.get("KVRING_BIN", os.path.join(os.path.dirname(__file__), "../../build/dev/bin"))
# Run all nodes with so many shards, where a test does not say so itself.
SHARDS = os.environ.get("KVRING_SHARDS")
# Sanitizers make everything slower; nothing here waits this long unless something is broken.
PATIENCE_S = 60


def program(name):
    path = os.path.join(BIN, name)
    if not os.path.exists(path):
        sys.exit(f"there is no {path}: set KVRING_BIN to the folder with the programs")
    return path


# --------------------------------------------------------------------------- MessagePack


def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        return b"\xcf" + struct.pack(">Q", value) if value >= 0 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        encoded = value.encode()
        return b"\xdb" + struct.pack(">I", len(encoded)) + encoded
    if isinstance(value, (bytes, bytearray)):
        return b"\xc6" + struct.pack(">I", len(value)) + bytes(value)
    if isinstance(value, (list, tuple)):
        head = bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdd" + struct.pack(">I", len(value))
        return head + b"".join(map(pack, value))
    if isinstance(value, dict):
        body = b"".join(pack(key) + pack(item) for key, item in value.items())
        return b"\xdf" + struct.pack(">I", len(value)) + body
    raise TypeError(type(value))


class Short(Exception):
    """More bytes are needed."""


class Unpacker:
    """Reads one value from the start of some bytes; `at` is where it ends."""

    FIXED = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
             0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
    SIZED = {0xC4: (">B", "bytes"), 0xC5: (">H", "bytes"), 0xC6: (">I", "bytes"),
             0xD9: (">B", "text"), 0xDA: (">H", "text"), 0xDB: (">I", "text"),
             0xDC: (">H", "list"), 0xDD: (">I", "list"), 0xDE: (">H", "map"), 0xDF: (">I", "map")}

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        if len(self.data) - self.at < size:
            raise Short
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def body(self, kind, size):
        if kind == "bytes":
            return bytes(self.take(size))
        if kind == "text":
            return bytes(self.take(size)).decode()
        if kind == "list":
            return [self.value() for _ in range(size)]
        return {self.value(): self.value() for _ in range(size)}

    def value(self):
        first = self.number(">B")
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 256
        if first < 0x90:
            return self.body("map", first & 15)
        if first < 0xA0:
            return self.body("list", first & 15)
        if first < 0xC0:
            return self.body("text", first & 31)
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if first in self.FIXED:
            return self.number(self.FIXED[first])
        form, kind = self.SIZED[first]
        return self.body(kind, self.number(form))


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.error = error
        self.code = error.get("code")


class Rpc:
    """One connection to the client port."""

    def __init__(self, port, timeout=PATIENCE_S, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.received = b""
        self.last_id = 0

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        """The next value, None at the end of the stream."""
        while True:
            unpacker = Unpacker(self.received)
            with contextlib.suppress(Short):
                value = unpacker.value()
                self.received = self.received[unpacker.at:]
                return value
            more = self.socket.recv(1 << 20)
            if not more:
                return None
            self.received += more

    def call(self, method, **params):
        self.last_id += 1
        self.send(pack([0, self.last_id, method, params]))
        answer = self.read()
        if answer is None:
            raise ConnectionError("the node closed the connection")
        kind, answer_id, error, result = answer
        assert kind == 1 and answer_id == self.last_id, answer
        if error is not None:
            raise RpcError(error)
        return result

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --------------------------------------------------------------------------------- Nodes


_ports_given = set()


def free_port():
    """A port that was free a moment ago, and that this process gives to nobody else. Below the range
    from which the kernel takes the ports of outgoing connections, so that no client takes it."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(10000, 30000)
        if port in _ports_given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_given.add(port)
        return port
    raise RuntimeError("no free port")


def wait_for(what, condition, patience=PATIENCE_S):
    """Ask CONDITION until it is true; returns its value."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience} s in vain for {what}")
        time.sleep(0.02)


class Node:
    """HOST is where it listens, INSIDE a command that starts it elsewhere (`ip netns exec ...`)."""

    def __init__(self, folder, name, options=(), host="127.0.0.1", inside=()):
        self.name = name
        self.host = host
        self.inside = list(inside)
        self.data = os.path.join(folder, name)
        self.log_path = os.path.join(folder, name + ".log")
        self.peer = free_port()
        self.port = free_port()
        self.http = free_port()
        self.options = list(options)
        self.process = None

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    @property
    def peer_address(self):
        return f"{self.host}:{self.peer}"

    def start(self, *extra, ready=True):
        command = [*self.inside, program("kvnode"), "serve", "--data", self.data, "--name", self.name,
                   "--peer", self.peer_address, "--listen", self.address,
                   "--http", f"{self.host}:{self.http}", *self.options, *extra]
        if SHARDS and "--shards" not in command:
            command += ["--shards", SHARDS]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if ready:
            self.wait_ready()

    def state(self):
        """What the node says of itself, None while it does not answer."""
        try:
            with Rpc(self.port, timeout=5, host=self.host) as rpc:
                return rpc.call("ping")["state"]
        except (OSError, ConnectionError, RpcError):
            return None

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}")
            return self.state() == "ready"

        wait_for(f"{self.name} to be ready", ready)

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        """Stop as an operator would; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    def wait_exit(self):
        """Wait until the process ends by itself; the exit code."""
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def rpc(self):
        return Rpc(self.port, host=self.host)

    def metric(self, name):
        """The value of a metric without labels."""
        with urllib.request.urlopen(f"http://{self.host}:{self.http}/metrics", timeout=PATIENCE_S) as page:
            for line in page.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[1])
        raise AssertionError(f"{self.name} has no metric {name}")

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()


class Cluster:
    """Nodes in one temporary folder."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="kvring-test-")
        self.nodes = []
        self.ended = []  # Nodes that nobody shall ask any more; their logs are still shown.

    def add(self, name, *options, create=False, ready=True, **where):
        seeds = self.seeds()
        node = Node(self.folder, name, options, **where)
        self.nodes.append(node)
        node.start(*(["--create"] if create else seeds), ready=ready)
        return node

    def seeds(self):
        """Options that name all nodes as seeds."""
        return [option for node in self.nodes for option in ("--seed", node.peer_address)]

    def restart(self, nodes=None, options=()):
        """Kill NODES (-9) that run, or all, and start them in that order: one may need others to be
        ready."""
        nodes = self.nodes if nodes is None else nodes
        for node in nodes:
            if node.process is not None:
                node.kill()
        for node in nodes:
            node.start(*options, ready=False)
        for node in nodes:
            node.wait_ready()

    def forget(self, node):
        self.nodes.remove(node)
        self.ended.append(node)

    def cli(self, *arguments, tool="kvcli", nodes=None, **options):
        """Run a tool against the nodes; the completed process with bytes in stdout and stderr."""
        environment = dict(os.environ, HOME=self.folder)
        environment["KV_NODES"] = ",".join(node.address for node in nodes or self.nodes)
        options.setdefault("input", b"")
        return subprocess.run([program(tool), *arguments], env=environment, capture_output=True,
                              timeout=PATIENCE_S * 4, check=False, **options)

    def show_logs(self, lines=40):
        for node in self.nodes + self.ended:
            tail = "\n".join(node.log().splitlines()[-lines:])
            print(f"--- {node.name} ({node.log_path})\n{tail}", file=sys.stderr)

    def close(self):
        for node in self.nodes + self.ended:
            if node.process is not None and node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class ClusterTest(unittest.TestCase):
    """A test case with `self.cluster`; a failure shows the nodes' logs, and nodes that are still
    there at the end must stop cleanly."""

    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.close)

    def tearDown(self):
        result = self._outcome.result
        if any(test is self for test, _ in result.failures + result.errors):
            self.cluster.show_logs()
            return
        for node in self.cluster.nodes:
            if node.process is not None:
                code = node.stop()
                if code != 0:
                    self.cluster.show_logs()
                self.assertEqual(code, 0, f"{node.name} did not stop cleanly")

    def cli(self, *arguments, code=0, **options):
        """Run kvcli, expect an exit code, return its stdout."""
        done = self.cluster.cli(*arguments, **options)
        message = f"{arguments}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        self.assertEqual(done.returncode, code, message)
        return done.stdout

    def admin(self, *arguments, code=0, **options):
        """The same with kvadmin."""
        return self.cli(*arguments, code=code, tool="kvadmin", **options)

    def status(self, node=None):
        """What NODE, or the first one that answers, says of the cluster."""
        return json.loads(self.admin("status", "--json", nodes=node and [node]))

    def wait_gossip(self, rounds=3, at=None):
        """Let gossip go round on every node, or those: what was to be told has been told since."""
        before = {node: node.metric("kvring_gossip_rounds_total") for node in at or self.cluster.nodes}
        for node, count in before.items():
            wait_for(f"gossip of {node.name}",
                     lambda: node.metric("kvring_gossip_rounds_total") >= count + rounds)

    def wait_members(self, count):
        """Until every node knows COUNT members, all up."""
        def known():
            states = [[m["state"] for m in self.status(node)["members"]] for node in self.cluster.nodes]
            return all(state == ["up"] * count for state in states)

        wait_for(f"all nodes to know {count} members", known)

    def wait_copies(self, copies):
        """Until every node says that all ranges have COPIES and nothing is on its way."""
        def full():
            for node in self.cluster.nodes:
                status = self.status(node)
                if (status["copies"][copies] != status["cluster"]["ranges"] or
                        status["transfers"]["moving"] != 0):
                    return False
            return True

        wait_for(f"all ranges to have {copies} copies", full)


__all__ = ["Cluster", "ClusterTest", "Node", "Rpc", "RpcError", "Short", "Unpacker", "pack", "program",
           "contextlib", "free_port", "wait_for", "json", "os", "random", "select", "signal", "socket", "struct",
           "PATIENCE_S", "subprocess", "time", "unittest"]
