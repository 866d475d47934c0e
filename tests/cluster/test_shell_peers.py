"""Connections between peers: strangers, other clusters, copies, restarts at other addresses."""

import ctypes
import shutil

from harness import *

OPTIONS = ["--map-size", "4G", "--ranges", "64"]


BULK, CHOSEN = 7, 17  # Of enum message_type.

_xxhash = ctypes.CDLL("libxxhash.so.0")
_xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
_xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]


def checksum(data, seed=0):
    return struct.pack("<Q", _xxhash.XXH3_64bits_withSeed(data, len(data), seed))


def id_bytes(text):
    number = int(text, 16)
    return struct.pack("<QQ", number >> 64, number & ((1 << 64) - 1))


def varint(number):
    encoded = b""
    while number >= 0x80:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


class Stranger:
    """Somebody at the peer port who speaks the protocol and says what he likes."""

    def __init__(self, node, cluster):
        self.socket = socket.create_connection(("127.0.0.1", node.peer), timeout=60)
        prelude = (b"KVRP" + struct.pack("<I", 1) + id_bytes("5a" * 16) + struct.pack("<Q", 1) +
                   id_bytes(cluster))
        self.socket.sendall(prelude + checksum(prelude))

    @staticmethod
    def frame(message):
        payload = pack(message)
        return struct.pack("<I", len(payload)) + checksum(payload, len(payload)) + payload

    def send(self, message):
        self.socket.sendall(self.frame(message))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class Peers(ClusterTest):
    def metric(self, node, name):
        with socket.create_connection(("127.0.0.1", node.http), timeout=60) as http:
            http.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            page = b""
            while more := http.recv(65536):
                page += more
        for line in page.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        raise AssertionError(f"no metric {name}")

    def three(self):
        nodes = [self.cluster.add("a", *OPTIONS, create=True)]
        nodes += [self.cluster.add(name, *OPTIONS) for name in "bc"]
        self.rebalance()
        return nodes

    def rebalance(self):
        done = self.cluster.cli("rebalance", "--yes", "--wait", tool="kvadmin")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_strangers_at_the_peer_port(self):
        node = self.cluster.add("a", *OPTIONS, create=True)
        rng = random.Random(17)
        for _ in range(200):
            with socket.create_connection(("127.0.0.1", node.peer), timeout=60) as stranger:
                with contextlib.suppress(ConnectionError):
                    stranger.sendall(rng.choice((b"", b"KVRP")) + rng.randbytes(rng.randrange(1, 4000)))
                    stranger.shutdown(socket.SHUT_WR)
                    while stranger.recv(65536):
                        pass
        self.assertGreater(self.metric(node, "kvring_peer_corrupt_total"), 100)
        self.assertEqual(node.state(), "ready")
        # What strangers do is logged, but does not fill the log.
        self.assertIn("peer connection closed", node.log())
        self.assertLess(len(node.log().splitlines()), 60)

    def test_a_record_of_the_last_epoch_ends_no_node(self):
        """Nothing can follow it, so whoever has to act on it leaves it as it is, a restart later too."""
        node = self.cluster.add("a", *OPTIONS, create=True)
        with node.rpc() as rpc:
            pong = rpc.call("ping")
        epoch = (1 << 64) - 1
        former = id_bytes("0d" * 16)
        record = self.record(0, epoch, pong["node"], former)
        departure = former + b"\x01" + id_bytes(pong["node"]) + bytes(8)
        with Stranger(node, pong["cluster"]) as stranger:
            stranger.send([BULK, 0, [departure], [], [], []])
            stranger.send(self.chosen(0, epoch, record))
            wait_for("the record", lambda: self.epoch(node, 0) == epoch)
        self.wait_gossip()
        self.assertIsNone(node.process.poll(), "the node has ended")
        self.assertEqual(node.stop(), 0)
        node.start()
        self.wait_gossip()
        self.assertEqual(self.epoch(node, 0), epoch)

    def test_what_came_before_a_damaged_frame_counts(self):
        """Messages that come together are read ahead, but each takes its turn."""
        node = self.cluster.add("a", *OPTIONS, create=True)
        with node.rpc() as rpc:
            pong = rpc.call("ping")
        frames = [Stranger.frame(self.chosen(number, 5, self.record(number, 5, pong["node"],
                                                                    id_bytes("0d" * 16))))
                  for number in range(6)]
        frames[4] = frames[4][:-1] + bytes([frames[4][-1] ^ 1])
        before = self.metric(node, "kvring_peer_corrupt_total")
        with Stranger(node, pong["cluster"]) as stranger:
            stranger.socket.sendall(b"".join(frames))
            while stranger.socket.recv(65536):
                pass
        wait_for("the records", lambda: self.epoch(node, 3) == 5)
        self.assertEqual([self.epoch(node, number) for number in range(6)], [5, 5, 5, 5, 1, 1])
        self.assertEqual(self.metric(node, "kvring_peer_corrupt_total"), before + 1)
        self.assertEqual(node.state(), "ready")

    @staticmethod
    def record(number, epoch, owner, former):
        """Of one slot, that OWNER has, and FORMER had."""
        return (varint(number) + b"\x00" + varint(epoch) + b"\x01\x00" + id_bytes(owner) + b"\x01" +
                former)

    @staticmethod
    def chosen(number, epoch, record):
        return [CHOSEN, number, 0, 0, epoch, 0, None, False, 0, None, True, record, 0]

    @staticmethod
    def epoch(node, number):
        with node.rpc() as rpc:
            return rpc.call("ring", **{"from": number, "count": 1})["records"][0]["epoch"]

    def test_a_silent_stranger_is_closed(self):
        node = self.cluster.add("a", *OPTIONS, create=True)
        with socket.create_connection(("127.0.0.1", node.peer), timeout=60) as stranger:
            prelude = stranger.recv(56)
            self.assertEqual(prelude[:4], b"KVRP")
            self.assertEqual(stranger.recv(1), b"")

    def test_another_cluster_as_seed(self):
        first = self.cluster.add("a", *OPTIONS, create=True)
        second = Node(self.cluster.folder, "b", OPTIONS)
        self.cluster.nodes.append(second)
        second.start("--create")
        self.assertEqual(second.stop(), 0)
        second.start("--seed", first.peer_address, ready=False)
        wait_for("the refusal", lambda: "another cluster" in second.log())
        with first.rpc() as rpc:
            self.assertEqual(len(rpc.call("members")["members"]), 1)
        if second.process.poll() is None:
            second.kill()
        second.process = None

    def test_a_copied_directory(self):
        node = self.cluster.add("a", *OPTIONS, create=True)
        self.assertEqual(node.stop(), 0)
        copy = Node(self.cluster.folder, "copy", OPTIONS)
        shutil.copytree(node.data, copy.data)
        node.start()
        self.cluster.nodes.append(copy)
        copy.start("--seed", node.peer_address, ready=False)
        wait_for("a word on the copy", lambda: "copied" in node.log() + copy.log() or
                 "own" in copy.log())
        copy.kill()
        self.assertEqual(node.state(), "ready")

    def test_a_member_comes_back_at_another_address(self):
        a, b, c = self.three()
        with a.rpc() as rpc:
            for number in range(100):
                rpc.call("put", key=b"k%d" % number, value=b"v%d" % number, w="all")
        self.assertEqual(b.stop(), 0)
        b.peer, b.port, b.http = free_port(), free_port(), free_port()
        b.start()

        def seen():
            with c.rpc() as rpc:
                members = {member["name"]: member for member in rpc.call("status")["members"]}
            return members["b"]["peer"] == b.peer_address and members["b"]["state"] == "up"

        wait_for("the news", seen)
        with b.rpc() as rpc, c.rpc() as other:
            for number in range(100):
                answer = rpc.call("get", key=b"k%d" % number, r="all")
                self.assertEqual(answer["siblings"][0]["value"], b"v%d" % number)
                other.call("put", key=b"k%d" % number, value=b"w", w="all")

    def test_a_killed_peer_is_found_again(self):
        a, b, _ = self.three()
        with a.rpc() as rpc:
            for round_number in range(3):
                b.kill()
                for number in range(50):
                    rpc.call("put", key=b"r%d" % number, value=b"v%d" % round_number)
                b.start()
                wait_for("all copies", lambda: self.all_copies(rpc, b"all%d" % round_number))
        for node in (a, b):
            with node.rpc() as rpc:
                for number in range(50):
                    answer = rpc.call("get", key=b"r%d" % number)
                    self.assertEqual(answer["siblings"][0]["value"], b"v2")

    @staticmethod
    def all_copies(rpc, key):
        with contextlib.suppress(RpcError):
            return rpc.call("put", key=key, value=b"v", w="all", deadline_ms=500)
        return None

    def test_large_values_between_nodes(self):
        a, b, c = self.three()
        values = {b"l%d" % n: random.Random(n).randbytes(1 << 20) for n in range(12)}
        with a.rpc() as rpc:
            for number, (key, value) in enumerate(values.items()):
                rpc.send(pack([0, number, "put", {"key": key, "value": value, "w": "all",
                                                  "deadline_ms": 60000}]))
            for _ in values:
                self.assertIsNone(rpc.read()[2])
        for node in (b, c):
            with node.rpc() as rpc:
                for key, value in values.items():
                    self.assertEqual(rpc.call("get", key=key, r="all")["siblings"][0]["value"], value)


if __name__ == "__main__":
    unittest.main()
