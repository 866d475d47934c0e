"""A storm over five hosts: nodes are killed, stopped and cut off, first one at a time, then two at a
time, under puts and deletes with w=2 that are never repeated. While one node is known to be down no
write fails. When it is over, what was acknowledged, or something later, is read through every node:
nothing invented, nothing that was deleted.

No part of tests/run: it wants a machine of its own. By itself half a minute. The long form, two minutes, 2,000 writes a second and more over 100,000 keys,
20 disturbances at least (without sanitizers, or the machine is too slow):

  KVRING_STORM_S=120 KVRING_STORM_KEYS=100000 KVRING_STORM_RATE=2000 KVRING_STORM_COUNT=20 \
  KVRING_BIN=build/release/bin /usr/bin/python3 -B tests/fault/storm_hosts.py

KVRING_SEED: another one."""

import collections
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from hosts import Hosts
from workload import *

LASTS_S = float(os.environ.get("KVRING_STORM_S", "20"))
KEYS = int(os.environ.get("KVRING_STORM_KEYS", "2000"))
RATE = int(os.environ.get("KVRING_STORM_RATE", "300"))
COUNT = int(os.environ.get("KVRING_STORM_COUNT", "5"))
DEADLINE_MS = 2000
STEP_S = 1 / (1.2 * RATE)
FLIGHT_MAX = 2000  # Requests under way; beyond that the client waits.
AT_ONCE = 0.3      # So many of the writes that are acknowledged have another of their key right behind.


class Key:
    """What is known of one key: sequence numbers of its writes, even ones are deletes."""

    __slots__ = ("sent", "acked", "refused", "unknown", "flies", "answers")

    def __init__(self):
        self.sent = 0
        self.acked = 0
        self.refused = set()
        self.unknown = set()  # A stopped node may carry them out when it goes on, however late.
        self.flies = False
        self.answers = []  # Of each write: (sequence, node, begun, ended, what it was answered).


class Line:
    """The connection to one node, with many requests under way."""

    def __init__(self, node):
        self.node = node
        self.socket = None
        self.not_before = 0.0
        self.out = b""
        self.received = b""
        self.open = collections.OrderedDict()  # id -> (number, sequence, began)

    def connect(self, now):
        if self.socket is None and now >= self.not_before:
            try:
                self.socket = socket.create_connection((self.node.host, self.node.port), timeout=0.2)
                self.socket.setblocking(False)
            except OSError:
                self.not_before = now + 1
        return self.socket is not None

    def move(self):
        """Send and receive what goes without waiting. The answers, or OSError."""
        if self.out:
            with contextlib.suppress(BlockingIOError):
                self.out = self.out[self.socket.send(self.out):]
        try:
            more = self.socket.recv(1 << 18)
        except BlockingIOError:
            return []
        if not more:
            raise ConnectionError("closed")
        unpacker = Unpacker(self.received + more)
        answers = []
        at = 0
        with contextlib.suppress(Short):
            while True:
                answers.append(unpacker.value())
                at = unpacker.at
        self.received = unpacker.data[at:]
        return answers

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None
        self.out = self.received = b""


class Writer(threading.Thread):
    """Writes at a fixed rate through any of `nodes`, whoever is slow. A key has one write under way at
    a time."""

    def __init__(self, seed, nodes):
        super().__init__()
        self.seed = seed
        self.nodes = nodes
        self.keys = [Key() for _ in range(KEYS)]
        self.lines = {node.name: Line(node) for node in nodes}
        self.rng = random.Random(seed)
        self.flying = 0
        self.last_id = 0
        self.sent = 0
        self.acked = 0
        self.failures = []  # (begun, node, why)
        self.problem = None
        self.over = threading.Event()

    def name_of(self, number):
        return b"storm-%d" % number

    def value(self, number, sequence):
        return b"%d:%d:%d:" % (self.seed, number, sequence) + b"x" * 60

    def stop(self):
        self.over.set()
        if self.is_alive():
            self.join()
        if self.problem is not None:
            raise self.problem

    def run(self):
        self.due = time.monotonic()
        try:
            while not self.over.is_set() or self.flying > 0:
                now = time.monotonic()
                while self.due <= now and self.flying < FLIGHT_MAX and not self.over.is_set():
                    if not any(self.write(now, self.rng.randrange(KEYS)) for _ in range(8)):
                        self.due += STEP_S
                self.wait(min(max(self.due - now, 0), 0.05))
                self.expire(time.monotonic())
        except Exception as problem:
            self.problem = problem
        for line in self.lines.values():
            line.close()

    def write(self, now, number):
        """Unless that key is being written, or the node cannot be reached."""
        key = self.keys[number]
        line = self.lines[self.rng.choice(self.nodes).name]
        if key.flies or not line.connect(now):
            return False
        # Odd numbers are puts; a delete has the even one behind.
        deletes = key.sent % 2 == 1 and self.rng.random() < 0.2
        sequence = key.sent + (1 if deletes or key.sent % 2 == 0 else 2)
        params = {"key": self.name_of(number), "w": 2, "deadline_ms": DEADLINE_MS}
        if not deletes:
            params["value"] = self.value(number, sequence)
        self.due += STEP_S
        key.sent = sequence
        key.flies = True
        self.sent += 1
        self.flying += 1
        self.last_id = self.last_id % 0xffffffff + 1
        line.open[self.last_id] = (number, sequence, now)
        line.out += pack([0, self.last_id, "delete" if deletes else "put", params])
        return True

    def wait(self, seconds):
        lines = [line for line in self.lines.values() if line.socket is not None]
        out = [line.socket for line in lines if line.out]
        if lines:
            select.select([line.socket for line in lines], out, [], seconds)
        else:
            self.over.wait(max(seconds, 0.01))
        for line in lines:
            try:
                for _, number, error, result in line.move():
                    self.settle(line, number, error, result)
            except OSError as error:
                self.lost(line, repr(error))

    def settle(self, line, request, error, result=None):
        if request not in line.open:
            return
        number, sequence, began = line.open.pop(request)
        key = self.keys[number]
        key.flies = False
        self.flying -= 1
        now = time.monotonic()
        key.answers.append((sequence, line.node.name, began, now, error or result))
        if error is None:
            key.acked = sequence
            self.acked += 1
            if self.rng.random() < AT_ONCE and not self.over.is_set():
                self.write(now, number)
            return
        if error["code"] == "TIMEOUT":
            key.unknown.add(sequence)
        else:
            key.refused.add(sequence)
        self.failures.append((began, line.node.name, f"{error['code']}: {error['message']}"))

    def lost(self, line, why):
        """Whatever is under way there is of unknown outcome."""
        line.close()
        for request in list(line.open):
            self.settle(line, request, {"code": "TIMEOUT", "message": why})

    def expire(self, now):
        for line in self.lines.values():
            while line.open:
                request, (_, _, began) = next(iter(line.open.items()))
                if now < began + DEADLINE_MS / 1000 + 1:
                    break
                self.settle(line, request, {"code": "TIMEOUT", "message": "no answer"})

    def judge(self, number, siblings):
        """None, or what is wrong with a read that brought these values."""
        key = self.keys[number]
        if len(siblings) > 1:
            return f"{len(siblings)} siblings"
        sequence = 0
        if siblings:
            value = siblings[0]["value"]
            sequence = int(value.split(b":", 3)[2])
            if value != self.value(number, sequence):
                return f"invented: {value[:60]}"
            if sequence > key.sent or sequence in key.refused or sequence % 2 == 0:
                return f"{sequence} is no write that was sent, or it was refused"
        late = sequence in key.unknown
        if sequence >= key.acked or late or (not siblings and self.may_be_gone(key)):
            return None
        return f"{sequence} is read although {key.acked} was acknowledged"

    def story(self, number):
        """What was written to a key, and what came of it."""
        key = self.keys[number]
        lines = [f"key {number}: {key.sent} sent, {key.acked} acknowledged; refused {sorted(key.refused)}, "
                 f"of unknown outcome {sorted(key.unknown)}"]
        for sequence, node, began, ended, answer in key.answers:
            what = {name: answer.get(name) for name in ("code", "message", "hlc", "got", "sloppy")}
            lines.append(f"  {sequence} through {node}, {began:.4f} to {ended:.4f}: {what}")
        return "\n".join(lines)

    @staticmethod
    def may_be_gone(key):
        """Was a delete acknowledged last, or is one of unknown outcome?"""
        return key.acked % 2 == 0 or any(sequence % 2 == 0 for sequence in key.unknown)

    def wrong_through(self, node):
        """What is wrong with what is read through NODE: (key, fault)."""
        wrong = []
        with node.rpc() as rpc:
            for first in range(0, KEYS, 500):
                numbers = range(first, min(first + 500, KEYS))
                answer = rpc.call("mget", keys=[self.name_of(number) for number in numbers])
                for number, one in zip(numbers, answer["results"]):
                    if "result" in one:
                        fault = self.judge(number, one["result"]["siblings"])
                    elif one["error"]["code"] in ("NOT_FOUND", "DELETED"):
                        fault = self.judge(number, [])
                    else:
                        fault = str(one["error"])
                    if fault:
                        wrong.append((number, f"{node.name}: key {number}: {fault}"))
        return wrong


class StormHosts(ClusterTest):
    SEED = int(os.environ.get("KVRING_SEED", "1"))

    def setUp(self):
        super().setUp()
        print(f"seed {self.SEED}", flush=True)
        self.rng = random.Random(self.SEED)
        self.hosts = Hosts(5)
        self.addCleanup(self.hosts.down)
        self.hosts.up()
        for number, name in enumerate("abcde", start=1):
            self.cluster.add(name, "--map-size", "4G", "--insecure", "--ranges", "64",
                             create=name == "a", host=self.hosts.address(number),
                             inside=self.hosts.inside(number))
        self.wait_members(5)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        self.writers = Writer(self.SEED, list(self.cluster.nodes))
        self.addCleanup(self.writers.stop)
        self.happened = []

    def number(self, node):
        return self.cluster.nodes.index(node) + 1

    def disturb(self, nodes):
        """Something happens to each of NODES; returns what undoes it."""
        undo = []
        cut = []
        for node in nodes:
            what = self.rng.choice(["kill", "stop", "cut"])
            self.happened.append(f"{what} {node.name}")
            if what == "kill":
                node.kill()
                undo.append(lambda node=node: node.start(ready=False))
            elif what == "stop":
                node.process.send_signal(signal.SIGSTOP)
                undo.append(lambda node=node: node.process.send_signal(signal.SIGCONT))
            else:
                cut.append(self.number(node))
        if cut:
            self.hosts.cut(cut, [number for number in range(1, 6) if number not in cut])
            undo.append(self.hosts.heal)
        return undo

    def known_down(self, victim, seconds=0):
        """Do all others know, and did all that time?"""
        for other in self.cluster.nodes:
            if other is victim:
                continue
            with other.rpc() as rpc:
                members = {m["name"]: m for m in rpc.call("status")["members"]}
            seen = members[victim.name]
            if seen["state"] != "down" or seen["since_ms"] < seconds * 1000:
                return False
        return True

    def undo(self, actions):
        for action in actions:
            action()
        for node in self.cluster.nodes:
            node.wait_ready()
        self.wait_members(5)

    def one_at_a_time(self, until):
        """While one is known to be down, the others take every write."""
        down_s = 0
        while time.monotonic() < until or len(self.happened) < COUNT // 2:
            victim = self.rng.choice(self.cluster.nodes)
            actions = self.disturb([victim])
            others = [node for node in self.cluster.nodes if node is not victim]
            self.writers.nodes = others  # Clients leave a node that does not answer.
            wait_for(f"{victim.name} to be missed", lambda: self.known_down(victim))
            # Whatever was begun before may end with a node that is no more.
            began = time.monotonic()
            self.writers.over.wait(self.rng.uniform(1, 2))
            ended = time.monotonic()
            # A node that was slow to read what had come before may have thought otherwise meanwhile.
            known = self.known_down(victim, ended - began)
            wait_for("writes of that time to end",
                     lambda: not any(since < ended for line in list(self.writers.lines.values())
                                     for _, _, since in list(line.open.values())))
            failed = collections.Counter((node, why)
                                         for since, node, why in list(self.writers.failures)
                                         if began <= since < ended)
            if known:
                self.assertEqual(failed, {}, self.happened[-1])
                down_s += ended - began
            else:
                print(f"{self.happened[-1]}: not known to all throughout; {failed}", flush=True)
            self.writers.nodes = list(self.cluster.nodes)
            self.undo(actions)
        print(f"{down_s:.0f} s with one node down, no write failed", flush=True)

    def two_at_a_time(self, until):
        while time.monotonic() < until or len(self.happened) < COUNT:
            actions = self.disturb(self.rng.sample(self.cluster.nodes, 2))
            self.writers.over.wait(self.rng.uniform(0.5, 3))
            self.undo(actions)

    def settle(self):
        wait_for("hints to be delivered", lambda: all(
            "error" not in node and node["counted"] and node["keys"] == 0
            for node in json.loads(self.admin("hints", "--json"))["nodes"]))
        self.admin("repair", "--wait")

    def test_storm(self):
        began = time.monotonic()
        self.writers.start()
        self.one_at_a_time(began + LASTS_S / 2)
        self.two_at_a_time(began + LASTS_S)
        took = time.monotonic() - began
        self.writers.stop()
        self.settle()
        acked = self.writers.acked
        print(f"{len(self.happened)} disturbances in {took:.0f} s ({', '.join(self.happened)}); "
              f"{self.writers.sent} writes, {self.writers.sent / took:.0f} a second, {acked} acknowledged, "
              f"{len(self.writers.failures)} failed or of unknown outcome", flush=True)
        self.assertGreaterEqual(len(self.happened), COUNT)
        self.assertGreaterEqual(self.writers.sent / took, RATE)
        wrong = [fault for node in self.cluster.nodes for fault in self.writers.wrong_through(node)]
        for number in sorted({number for number, _ in wrong})[:20]:
            print(self.writers.story(number), flush=True)
        self.assertEqual([fault for _, fault in wrong], [])
        self.admin("verify")
        for node in self.cluster.nodes:
            self.assertNotIn("assertion failed", node.log())


if __name__ == "__main__":
    unittest.main()
