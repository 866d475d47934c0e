"""Writers and readers that know what a read may bring, for tests that disturb the nodes meanwhile.

Every value names its run, key and sequence number, and all its bytes follow from these. Of each key
at most one put is under way. A put whose outcome is unknown may take effect until its deadline has
passed; its key rests until then, so that what is acknowledged later is newer. So a read has to
bring a value that was sent, that was not refused, and that is no older than what was acknowledged
before the read began."""

import hashlib
import threading

from harness import *


class Ledger:
    """What was sent and what became of it."""

    def __init__(self, keys):
        self.lock = threading.Lock()
        self.sent = [0] * keys
        self.acked = [0] * keys
        self.refused = [set() for _ in range(keys)]

    def begin(self, key):
        with self.lock:
            self.sent[key] += 1
            return self.sent[key]

    def floor(self, key):
        with self.lock:
            return self.acked[key]

    def settle(self, key, sequence, outcome):
        with self.lock:
            if outcome == "acked":
                self.acked[key] = sequence
            elif outcome == "refused":
                self.refused[key].add(sequence)

    def judge(self, key, floor, sequence):
        """None, or what is wrong with a read that brought SEQUENCE (0: nothing)."""
        with self.lock:
            if sequence < floor:
                return f"stale: {sequence}, although {floor} was acknowledged before"
            if sequence > self.sent[key]:
                return f"{sequence} was never sent, only {self.sent[key]}"
            if sequence in self.refused[key]:
                return f"{sequence} was refused, so it must not have changed anything"
            return None


class Workload:
    """Each client asks any of `nodes`, one request at a time."""

    REST_S = 1  # Beyond the deadline.

    def __init__(self, nodes, keys=200, writers=2, readers=2, deadline_ms=2000, seed=1, pause=0.002,
                 size_max=800, **options):
        self.nodes = list(nodes)
        self.seed = seed
        self.ledger = Ledger(keys)
        self.keys = keys
        # That a read shows what was acknowledged before is promised to strict requests.
        self.options = dict(options, deadline_ms=deadline_ms, strict=True)
        self.pause = pause
        self.size_max = size_max  # Of values, about.
        self.failures = []   # Requests that got no answer or an error: (when, text).
        self.violations = []
        self.answered = 0
        self.begun = [0] * (writers + readers)  # Requests of each thread.
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(self.write_one, n, n, writers))
                        for n in range(writers)]
        self.threads += [threading.Thread(target=self.run, args=(self.read_one, writers + n, 0, 1))
                         for n in range(readers)]

    # ------------------------------------------------------------------ Values

    def name(self, key):
        return b"key-%d-%d" % (self.seed, key)

    def value(self, key, sequence):
        head = b"%d:%d:%d:" % (self.seed, key, sequence)
        body = hashlib.sha256(head).digest()
        return head + body * (1 + self.size_max // 32 * body[0] // 256)

    def sequence_of(self, key, answer):
        """The sequence number of an answer's value; a text if it is no value of ours."""
        siblings = answer["siblings"]
        if len(siblings) != 1:
            return f"{len(siblings)} siblings"
        value = siblings[0]["value"]
        try:
            sequence = int(value.split(b":", 3)[2])
        except (IndexError, ValueError):
            return f"foreign bytes {value[:60]}"
        return sequence if self.value(key, sequence) == value else f"torn value {value[:60]}"

    # ----------------------------------------------------------------- Requests

    def fail(self, what, key, node, error):
        self.failures.append((time.monotonic(), f"{what} of {key} through {node.name}: {error!r}"))

    def write_one(self, rng, connections, mine):
        key = rng.choice(mine)
        if connections.resting.get(key, 0) > time.monotonic():
            return
        node = rng.choice(self.nodes)
        sequence = self.ledger.begin(key)
        try:
            rpc = connections.open(node)
        except OSError as error:
            self.ledger.settle(key, sequence, "refused")
            self.fail("put", key, node, error)
            return
        try:
            rpc.call("put", key=self.name(key), value=self.value(key, sequence), **self.options)
            self.ledger.settle(key, sequence, "acked")
            self.answered += 1
        except (OSError, RpcError) as error:
            refused = isinstance(error, RpcError) and error.code != "TIMEOUT"
            if refused:
                self.ledger.settle(key, sequence, "refused")
            else:
                deadline_s = self.options["deadline_ms"] / 1000
                connections.resting[key] = time.monotonic() + deadline_s + self.REST_S
            self.fail("put", key, node, error)
            connections.close(node, error)

    def read_one(self, rng, connections, mine):
        key = rng.choice(mine)
        node = rng.choice(self.nodes)
        floor = self.ledger.floor(key)
        try:
            answer = connections.open(node).call("get", key=self.name(key), **self.options)
            sequence = self.sequence_of(key, answer)
        except (OSError, RpcError) as error:
            if not isinstance(error, RpcError) or error.code != "NOT_FOUND":
                self.fail("get", key, node, error)
                connections.close(node, error)
                return
            sequence = 0
        self.answered += 1
        wrong = sequence if isinstance(sequence, str) else self.ledger.judge(key, floor, sequence)
        if wrong:
            self.violations.append(f"get of {key} through {node.name}: {wrong}")

    def run(self, step, number, first, stride):
        rng = random.Random(f"{self.seed} {number}")
        connections = Connections()
        mine = range(first, self.keys, stride)
        try:
            while not self.stopping.wait(self.pause):
                self.begun[number] += 1
                step(rng, connections, mine)
        except Exception as error:  # Shown by the main thread.
            self.violations.append(f"the test itself: {error!r}")
            raise
        finally:
            connections.close_all()

    # --------------------------------------------------------------- For tests

    def fill(self, node):
        """Put every key once, before anything is disturbed."""
        with node.rpc() as rpc:
            for key in range(self.keys):
                sequence = self.ledger.begin(key)
                rpc.call("put", key=self.name(key), value=self.value(key, sequence), **self.options)
                self.ledger.settle(key, sequence, "acked")

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            if thread.is_alive():
                thread.join()

    def progress(self, requests=100):
        """Wait until REQUESTS more were answered."""
        goal = self.answered + requests
        wait_for(f"{requests} more requests to be answered", lambda: self.answered >= goal)

    def ask(self, nodes):
        """Ask these nodes from now on; returns when no request to others is under way any more."""
        self.nodes = list(nodes)
        before = list(self.begun)
        wait_for("requests to other nodes to end",
                 lambda: all(now > then for now, then in zip(self.begun, before)))

    def failed_since(self, moment):
        return [text for when, text in self.failures if when >= moment]

    def wrong_through(self, node, **options):
        """Read every key through NODE: what is not as it must be."""
        wrong = []
        with node.rpc() as rpc:
            for key in range(self.keys):
                floor = self.ledger.floor(key)
                try:
                    answer = rpc.call("get", key=self.name(key), strict=True, **options)
                    sequence = self.sequence_of(key, answer)
                except RpcError as error:
                    sequence = 0 if error.code == "NOT_FOUND" else str(error)
                if not isinstance(sequence, str):
                    sequence = self.ledger.judge(key, floor, sequence)
                if sequence:
                    wrong.append(f"get of {key} through {node.name}: {sequence}")
        return wrong


class LoadedTest(ClusterTest):
    """A test with a seed and workloads that end with it."""

    SEED = int(os.environ.get("KVRING_SEED", "1"))

    def setUp(self):
        super().setUp()
        print(f"seed {self.SEED}", flush=True)

    def load(self, nodes, **options):
        load = Workload(nodes, seed=self.SEED, **options)
        self.addCleanup(load.stop)
        return load

    def assert_all_there(self, load, **options):
        """Every node returns what was acknowledged."""
        for node in self.cluster.nodes:
            self.assertEqual(load.wrong_through(node, **options), [])

    def assert_replicas_equal(self):
        """Once they have compared themselves."""
        self.admin("repair", "--wait")
        self.admin("verify")


class Connections:
    """Of one thread, one for each node; and the keys whose last put may still take effect."""

    def __init__(self):
        self.by_node = {}
        self.resting = {}

    def open(self, node):
        if node not in self.by_node:
            self.by_node[node] = node.rpc()
        return self.by_node[node]

    def close(self, node, error):
        """After ERROR: an answer leaves the connection usable, anything else does not."""
        if not isinstance(error, RpcError) and node in self.by_node:
            self.by_node.pop(node).close()

    def close_all(self):
        for rpc in self.by_node.values():
            rpc.close()
