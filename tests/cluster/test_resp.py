"""RESP on the client port: Redis clients and benchmarks drive a node as if it were Redis."""

import os
import shutil
import threading

from harness import *
from resp import Error, Resp


SYSTEM_PYTHON = "/usr/bin/python3"


class RespTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.node = self.cluster.add("a", "--map-size", "4G", create=True)
        self.resp = Resp(self.node)
        self.addCleanup(self.resp.close)
        self.call = self.resp.call

    def expect_error(self, text, *words):
        answer = self.call(*words)
        self.assertIsInstance(answer, Error, words)
        self.assertEqual(answer, text)


class Commands(RespTest):
    def test_strings(self):
        self.assertEqual(self.call("PING"), "PONG")
        self.assertEqual(self.call("PING", "hi"), b"hi")
        self.assertEqual(self.call("ECHO", b"\x00\r\n"), b"\x00\r\n")
        self.assertEqual(self.call("SET", "k", b"v\r\n\x00"), "OK")
        self.assertEqual(self.call("GET", "k"), b"v\r\n\x00")
        self.assertEqual(self.call("STRLEN", "k"), 4)
        self.assertEqual(self.call("TYPE", "k"), "string")
        self.assertIsNone(self.call("GET", "none"))
        self.assertEqual(self.call("TYPE", "none"), "none")
        self.assertEqual(self.call("STRLEN", "none"), 0)
        self.assertEqual(self.call("MSET", "a", 1, "b", 2, "a", 3), "OK")
        self.assertEqual(self.call("MGET", "a", "none", "b"), [b"3", None, b"2"])
        self.assertEqual(self.call("EXISTS", "a", "b", "a", "none"), 3)
        self.assertEqual(self.call("DEL", "a", "none", "a"), 1)
        self.assertEqual(self.call("UNLINK", "a", "b"), 1)
        self.assertEqual(self.call("MGET", "a", "b"), [None, None])

    def test_what_rpc_writes_is_there_and_back(self):
        with self.node.rpc() as rpc:
            rpc.call("put", key=b"r", value=b"from rpc")
            self.assertEqual(self.call("GET", "r"), b"from rpc")
            self.call("SET", "r", "from resp")
            self.assertEqual(rpc.call("get", key=b"r")["siblings"][0]["value"], b"from resp")

    def test_expiry(self):
        self.assertEqual(self.call("SET", "k", "v", "EX", 100), "OK")
        self.assertIn(self.call("TTL", "k"), (99, 100))
        self.assertIn(self.call("PTTL", "k"), range(90000, 100001))
        self.assertEqual(self.call("SET", "k", "v", "pxat", int(time.time() * 1000) + 50000), "OK")
        self.assertIn(self.call("TTL", "k"), (48, 49, 50, 51))
        self.assertEqual(self.call("SET", "k", "v"), "OK")
        self.assertEqual(self.call("TTL", "k"), -1)
        self.assertEqual(self.call("TTL", "none"), -2)
        self.assertEqual(self.call("SET", "k", "v", "EXAT", 1), "OK")
        self.assertIsNone(self.call("GET", "k"))
        self.call("SET", "short", "v", "PX", 1)
        wait_for("a key to expire", lambda: self.call("GET", "short") is None)
        self.assertEqual(self.call("PTTL", "short"), -2)
        for wrong in (0, -5, 10 ** 18):
            self.expect_error("ERR invalid expire time in 'set' command", "SET", "k", "v", "EX", wrong)
        self.expect_error("ERR value is not an integer or out of range", "SET", "k", "v", "EX", "1.5")

    def test_errors_in_redis_words(self):
        self.expect_error("ERR unknown command 'foo', with args beginning with: 'a' 'b c' ",
                          "foo", "a", "b c")
        self.expect_error("ERR unknown command 'LPUSH', with args beginning with: 'k' ", "LPUSH", "k")
        self.expect_error("ERR wrong number of arguments for 'get' command", "GET")
        self.expect_error("ERR wrong number of arguments for 'mset' command", "MSET", "a", "b", "c")
        self.expect_error("ERR wrong number of arguments for 'client|setname' command",
                          "CLIENT", "SETNAME")
        self.expect_error("ERR unknown subcommand 'foo'. Try CLIENT HELP.", "CLIENT", "foo")
        for options in (("NX", "XX"), ("EX",), ("KEEPTTL", "EX", 1), ("EX", 1, "PX", 1), ("SOON",)):
            self.expect_error("ERR syntax error", "SET", "k", "v", *options)
        self.assertIsNone(self.call("GET", "k"))
        self.expect_error("ERR DB index is out of range", "SELECT", 1)
        self.expect_error("ERR value is not an integer or out of range", "SELECT", "x")
        self.expect_error("ERR invalid cursor", "SCAN", "x")
        self.assertTrue(self.call("SET", "", "v").startswith("BAD_REQUEST "))
        self.assertTrue(self.call("SET", "k" * 65537, "v").startswith("TOO_LARGE "))
        self.assertTrue(self.call("SET", "k", bytes(1 << 21)).startswith("TOO_LARGE "))
        self.assertTrue(self.call("MGET", *["k"] * 1001).startswith("TOO_LARGE "))
        self.assertEqual(self.call("PING"), "PONG")

    def test_connection(self):
        number = self.call("CLIENT", "ID")
        with Resp(self.node) as other:
            self.assertGreater(other.call("CLIENT", "ID"), number)
        self.assertIsNone(self.call("CLIENT", "GETNAME"))
        self.assertEqual(self.call("CLIENT", "SETNAME", "me"), "OK")
        self.assertEqual(self.call("CLIENT", "GETNAME"), b"me")
        self.assertEqual(self.call("CLIENT", "SETINFO", "LIB-NAME", "lib"), "OK")
        self.assertEqual(self.call("CLIENT", "NO-EVICT", "on"), "OK")
        info = self.call("CLIENT", "INFO").decode()
        self.assertIn(f"id={number} addr=127.0.0.1:{self.resp.socket.getsockname()[1]} ", info)
        self.assertIn(" name=me ", info)
        self.assertIn(" lib-name=lib ", info)
        self.assertEqual(self.call("CONFIG", "GET", "save"), [b"save", b""])
        self.assertEqual(self.call("CONFIG", "GET", "append*"), [b"appendonly", b"yes"])
        self.assertEqual(self.call("COMMAND", "DOCS"), [])
        self.assertEqual([entry and entry[0] for entry in self.call("COMMAND", "INFO", "GET", "foo")],
                         [b"get", None])
        self.assertEqual(self.call("CLIENT", "LIST").count(b"\n"), 1)
        self.assertEqual(len(self.call("COMMAND")), self.call("COMMAND", "COUNT"))
        self.assertEqual(self.call("RESET"), "RESET")
        self.assertIsNone(self.call("CLIENT", "GETNAME"))
        self.assertEqual(self.call("QUIT"), "OK")
        self.assertIs(self.resp.read(), EOFError)

    def test_replies_that_nobody_wants(self):
        self.resp.send("CLIENT", "REPLY", "SKIP")
        self.resp.send("SET", "k", "skipped")
        self.assertEqual(self.call("GET", "k"), b"skipped")
        self.resp.send("CLIENT", "REPLY", "OFF")
        for number in range(100):
            self.resp.send("INCR", "n")
            self.resp.send("GET", "n" if number % 2 else "none")
            self.resp.send("FOO")
        self.resp.send("CLIENT", "REPLY", "SKIP")
        self.assertEqual(self.call("CLIENT", "REPLY", "ON"), "OK")
        self.assertEqual(self.call("GET", "n"), b"100")
        self.expect_error("ERR syntax error", "CLIENT", "REPLY", "LATER")

    def test_info_tells_what_happened(self):
        def figures():
            lines = self.call("INFO", "stats", "clients").decode().split("\r\n")
            return dict(line.split(":") for line in lines if ":" in line)

        before = figures()
        self.assertEqual(before["connected_clients"], "1")
        for _ in range(10):
            self.call("PING")
        self.assertEqual(int(figures()["total_commands_processed"]),
                         int(before["total_commands_processed"]) + 11)

    def test_resp3(self):
        self.expect_error("NOPROTO unsupported protocol version", "HELLO", 4)
        hello = self.call("HELLO", 3, "SETNAME", "three")
        self.assertEqual((hello[b"server"], hello[b"proto"]), (b"kvring", 3))
        self.assertEqual(self.call("CLIENT", "GETNAME"), b"three")
        self.resp.send("GET", "none")
        self.assertEqual(self.resp.file.readline(), b"_\r\n")
        self.assertEqual(self.call("CONFIG", "GET", "save"), {b"save": b""})
        self.assertIn(b"# Server", self.call("INFO"))
        self.assertIn(b"proto", self.call("HELLO", 2))

    def scan(self, *options):
        keys, cursor = [], 0
        while True:
            cursor, page = self.call("SCAN", cursor, *options)
            keys += page
            if cursor == b"0":
                return keys

    def test_scan_shows_each_key_once(self):
        keys = {b"key:%d" % number for number in range(500)}
        for key in keys:
            self.resp.send("SET", key, "v")
        for _ in keys:
            self.assertEqual(self.resp.read(), "OK")
        self.call("SET", "gone", "v")
        self.call("DEL", "gone")
        for count in (1, 7, 100, 1000000):
            found = self.scan("COUNT", count)
            self.assertEqual(len(found), 500)
            self.assertEqual(set(found), keys)
        self.assertEqual(set(self.scan("MATCH", "key:*7")), {k for k in keys if k.endswith(b"7")})
        self.assertEqual(set(self.scan("TYPE", "string")), keys)
        self.assertEqual(self.scan("TYPE", "hash", "COUNT", 100), [])
        self.assertEqual(self.call("DBSIZE"), 500)
        self.assertEqual(sorted(self.call("KEYS", "key:*7")),
                         sorted(k for k in keys if k.endswith(b"7")))

    def test_buckets_and_siblings(self):
        self.admin("bucket", "create", "db1", "--policy", "siblings")
        self.assertEqual(self.call("SET", "k", "zero"), "OK")
        self.assertEqual(self.call("SELECT", 1), "OK")
        self.assertIsNone(self.call("KV.GET", "k"))
        self.assertEqual(self.call("KV.PUT", "k", "one"), "OK")
        self.assertEqual(self.call("GET", "k"), b"one")
        self.assertEqual(self.call("KV.PUT", "k", "two"), "OK")
        answer = self.call("GET", "k")
        self.assertTrue(answer.startswith("CONFLICT ") and "KV.GET" in answer, answer)
        self.assertTrue(self.call("MGET", "none", "k").startswith("CONFLICT "))
        context, *values = self.call("KV.GET", "k")
        self.assertEqual(set(values), {b"one", b"two"})
        self.assertTrue(self.call("KV.PUT", "k", "x", "forged").startswith("BAD_CONTEXT "))
        self.assertEqual(self.call("KV.PUT", "k", "both", context), "OK")
        self.assertEqual(self.call("GET", "k"), b"both")
        # What that context had seen is gone; what came later is not.
        self.assertEqual(self.call("KV.DEL", "k", context), "OK")
        self.assertEqual(self.call("GET", "k"), b"both")
        self.assertEqual(self.call("KV.DEL", "k", self.call("KV.GET", "k")[0]), "OK")
        self.assertIsNone(self.call("GET", "k"))
        self.assertEqual(self.call("SELECT", 0), "OK")
        self.assertEqual(self.call("GET", "k"), b"zero")


class Stream(RespTest):
    def test_a_pipeline_acts_as_one_command_at_a_time(self):
        """Random commands on few keys: each reply is what a dictionary says."""
        rng = random.Random(5)
        model, expected, sent = {}, [], b""
        for number in range(3000):
            key = b"k%d" % rng.randrange(8)
            action = rng.randrange(6)
            if action == 0:
                model[key] = b"v%d" % number
                sent += Resp.encode("SET", key, model[key])
                expected.append("OK")
            elif action == 1:
                sent += Resp.encode("DEL", key, "none")
                expected.append(int(model.pop(key, None) is not None))
            elif action == 2:
                sent += b"GET %s\r\n" % key
                expected.append(model.get(key))
            elif action == 3:
                sent += Resp.encode("MGET", key, "k0", key)
                expected.append([model.get(key), model.get(b"k0"), model.get(key)])
            elif action == 4:
                model[key] = model[b"k7"] = b"m%d" % number
                sent += Resp.encode("MSET", key, model[key], "k7", model[key])
                expected.append("OK")
            else:
                sent += Resp.encode("ECHO", number)
                expected.append(b"%d" % number)
        self.resp.socket.sendall(sent)
        for number, reply in enumerate(expected):
            self.assertEqual(self.resp.read(), reply, f"reply {number}")

    def test_commands_cut_anywhere(self):
        rng = random.Random(6)
        values = [rng.randbytes(rng.randrange(3000)) for _ in range(200)]
        sent = b"".join(Resp.encode("SET", f"c{n}", value) for n, value in enumerate(values))
        at = 0
        while at < len(sent):
            size = rng.choice((1, 2, 7, 100, 5000, 70000))
            self.resp.socket.sendall(sent[at:at + size])
            at += size
        for _ in values:
            self.assertEqual(self.resp.read(), "OK")
        self.assertEqual(self.call("MGET", *(f"c{n}" for n in range(200))), values)

    def test_deep_pipelines_and_quit(self):
        count = 5000
        self.resp.socket.sendall(b"".join(Resp.encode("SET", f"p{n}", n) for n in range(count)) +
                                 b"".join(Resp.encode("GET", f"p{n}") for n in range(count)) +
                                 b"QUIT\r\nPING\r\n")
        self.assertEqual([self.resp.read() for _ in range(count)], ["OK"] * count)
        self.assertEqual([self.resp.read() for _ in range(count)], [b"%d" % n for n in range(count)])
        self.assertEqual(self.resp.read(), "OK")
        self.assertIs(self.resp.read(), EOFError)

    def test_a_long_pipeline_on_one_key(self):
        """Each command waits for the one before; much more lies ready than is under way."""
        count = 4000
        self.resp.socket.sendall(b"".join(Resp.encode("SET", "one", b"%0100d" % n) + b"GET one\r\n"
                                          for n in range(count)))
        for number in range(count):
            self.assertEqual((self.resp.read(), self.resp.read()), ("OK", b"%0100d" % number))

    def test_answers_after_the_client_closed_its_side(self):
        self.resp.socket.sendall(b"".join(Resp.encode("SET", "same", n) for n in range(50)))
        self.resp.socket.shutdown(socket.SHUT_WR)
        self.assertEqual([self.resp.read() for _ in range(51)], ["OK"] * 50 + [EOFError])

    def test_protocol_errors_arrive_before_the_close(self):
        for sent, sentence in (
                (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "expected '$', got 'f'"),
                (b"*20000000\r\n", "invalid multibulk length"),
                (b"*1\r\n$2000000000\r\n", "invalid bulk length"),
                (b"GET \"a\r\n", "unbalanced quotes in request"),
                (b"x" * 200000, "too big inline request")):
            with Resp(self.node) as resp:
                resp.socket.sendall(Resp.encode("SET", "k", "v") + sent)
                self.assertEqual(resp.read(), "OK")
                # More is on its way: unread, it would destroy the error.
                with contextlib.suppress(OSError):
                    resp.socket.sendall(bytes(100000))
                self.assertEqual(resp.read(), Error("ERR Protocol error: " + sentence))
                self.assertIs(resp.read(), EOFError)

    def test_declared_sizes_cost_nothing(self):
        before = self.node.rss_bytes()
        held = [Resp(self.node) for _ in range(100)]
        for resp in held:
            resp.socket.sendall(b"*60000\r\n$16777216\r\nx")
        self.assertEqual(self.call("PING"), "PONG")
        self.assertLess(self.node.rss_bytes() - before, 64 << 20)
        for resp in held:
            resp.close()

    def test_a_reader_who_does_not_read_is_bounded(self):
        value = random.Random(3).randbytes(1 << 20)
        self.call("SET", "big", value)
        before = self.node.rss_bytes()
        with Resp(self.node) as other:
            self.resp.socket.sendall(Resp.encode("GET", "big") * 300)
            self.assertEqual(other.call("GET", "big"), value)
            self.assertLess(self.node.rss_bytes() - before, 200 << 20)
        answers = [self.resp.read() for _ in range(300)]
        self.assertTrue(all(answer == value or answer.startswith("BUSY ") for answer in answers))

    def test_connections_that_go_away(self):
        """With commands under way, held back and blocked."""
        for _ in range(50):
            with Resp(self.node) as resp:
                resp.socket.sendall(b"".join(Resp.encode("SET", "same", n) + Resp.encode("DEL", f"d{n}")
                                             for n in range(100)))
        # What had arrived may take effect still.
        wait_for("the connections to be closed",
                 lambda: b"connected_clients:1\r\n" in self.call("INFO", "clients"))
        self.assertEqual(self.call("SET", "same", "last"), "OK")
        self.assertEqual(self.call("GET", "same"), b"last")


@unittest.skipUnless(shutil.which("redis-cli"), "needs the package redis-tools")
class Tools(RespTest):
    def run_tool(self, *arguments, **options):
        done = subprocess.run([arguments[0], "-p", str(self.node.port), *arguments[1:]], timeout=300,
                              capture_output=True, check=False, **options)
        self.assertEqual(done.returncode, 0, (done.stdout, done.stderr))
        return done.stdout.decode()

    def test_redis_cli(self):
        self.assertEqual(self.run_tool("redis-cli", "SET", "k", "v", "EX", "100"), "OK\n")
        self.assertEqual(self.run_tool("redis-cli", "-3", "GET", "k"), "v\n")
        self.assertEqual(self.run_tool("redis-cli", "--scan", "--pattern", "*"), "k\n")
        self.assertIn("unknown command", self.run_tool("redis-cli", "LPUSH", "l", "x"))
        commands = "".join(f"SET m{n} {n}\r\n" for n in range(1000)).encode()
        self.assertIn("errors: 0, replies: 1000",
                      self.run_tool("redis-cli", "--pipe", input=commands))
        self.assertEqual(self.call("GET", "m999"), b"999")

    def test_redis_benchmark(self):
        for pipeline in ("1", "16"):
            out = self.run_tool("redis-benchmark", "-t", "ping,set,get,incr,mset", "-n", "2000", "-c", "20",
                                "-r", "500", "-P", pipeline, "--csv")
            names = [line.split('"')[1] for line in out.splitlines()[1:]]
            self.assertEqual(names, ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR",
                                         "MSET (10 keys)"])
        self.assertGreater(self.node.metric("kvring_client_requests_total"), 20000)
        self.assertEqual(self.node.metric("kvring_client_malformed_total"), 0)


def has_redis_py():
    """The Debian package belongs to the system's Python, which need not be the one that runs this."""
    return subprocess.run([SYSTEM_PYTHON, "-c", "import redis"], capture_output=True,
                          check=False).returncode == 0


@unittest.skipUnless(has_redis_py(), "needs the package python3-redis")
class RedisPy(RespTest):
    def test_redis_py(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "redis_py.py")
        done = subprocess.run([SYSTEM_PYTHON, "-B", script, str(self.node.port)], timeout=300,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


class ThreeNodes(ClusterTest):
    def test_any_node_serves_what_any_other_took(self):
        first = self.cluster.add("a", "--map-size", "4G", create=True)
        for name in "bc":
            self.cluster.add(name, "--map-size", "4G")
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        connections = [Resp(node) for node in self.cluster.nodes]
        for resp in connections:
            self.addCleanup(resp.close)
        rng = random.Random(8)
        for number in range(100):
            writer, reader = rng.choice(connections), rng.choice(connections)
            self.assertEqual(writer.call("SET", f"k{number % 10}", number), "OK")
            self.assertEqual(reader.call("GET", f"k{number % 10}"), b"%d" % number)
        # A pipeline through a node that is no coordinator keeps its order.
        for resp in connections:
            resp.socket.sendall(b"".join(Resp.encode("SET", "one", n) + Resp.encode("GET", "one")
                                         for n in range(100)))
            for number in range(100):
                self.assertEqual((resp.read(), resp.read()), ("OK", b"%d" % number))
        self.assertEqual(connections[1].call("DEL", *(f"k{n}" for n in range(10))), 10)
        self.assertEqual(connections[2].call("EXISTS", *(f"k{n}" for n in range(10))), 0)
        self.count_together()
        self.change_nothing()
        self.assertEqual(first.metric("kvring_client_malformed_total"), 0)

    def change_nothing(self):
        """Commands on keys that never were, through each node: nothing is there to be changed."""
        commands = [("SET", "v", "XX"), ("EXPIRE", 100), ("PERSIST",), ("GETDEL",), ("GETEX",)]
        for number, node in enumerate(self.cluster.nodes):
            with Resp(node) as resp:
                for command, *words in commands:
                    for turn in range(5):
                        answer = resp.call(command, f"never{number}.{turn}", *words)
                        self.assertIn(answer, (None, 0), command)
        for node in self.cluster.nodes:
            self.assertEqual(node.metric("kvring_peer_corrupt_total"), 0)

    def count_together(self):
        """Clients of all nodes at once: no increment is lost, one of them gets each lock."""
        won, sums = [], []

        def work(node):
            with Resp(node) as resp:
                for number in range(100):
                    sums.append(resp.call("INCR", "shared"))
                    if resp.call("SET", f"lock{number}", "mine", "NX") == "OK":
                        won.append(number)

        threads = [threading.Thread(target=work, args=(node,)) for node in self.cluster.nodes * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(sums), list(range(1, 601)))
        self.assertEqual(sorted(won), list(range(100)))


if __name__ == "__main__":
    unittest.main()
