"""What is sent to the client port by mistake or by malice: no crash, bounded memory, clear errors,
and other clients do not notice."""

import resource

from harness import *

SEED = int(os.environ.get("KVRING_SEED", "20240607"))
MIB = 1 << 20


class BadInput(ClusterTest):
    def setUp(self):
        super().setUp()
        print(f"seed {SEED}")
        self.rng = random.Random(SEED)
        self.node = self.cluster.add("a", "--map-size", "4G", "--sender-timeout", "1s", create=True)
        self.bystander = self.node.rpc()
        self.addCleanup(self.bystander.close)
        self.bystander.call("put", key=b"bystander", value=b"unharmed")
        self.rss_before = self.node.rss_bytes()

    def tearDown(self):
        if self.node.process is not None:
            self.assert_unharmed()
        super().tearDown()

    def assert_unharmed(self):
        self.assertIsNone(self.node.process.poll(), "the node has ended")
        answer = self.bystander.call("get", key=b"bystander")
        self.assertEqual(answer["siblings"][0]["value"], b"unharmed")

    def closes(self, data):
        """Send DATA in whatever protocol that is, and read until the node closes the connection."""
        with self.node.rpc() as rpc, contextlib.suppress(ConnectionError):
            rpc.send(data)
            rpc.socket.shutdown(socket.SHUT_WR)
            while rpc.socket.recv(65536):
                pass

    def ends(self, data):
        """Send DATA; the answers until the node closes the connection."""
        answers = []
        with self.node.rpc() as rpc:
            try:
                rpc.send(data)
                rpc.socket.shutdown(socket.SHUT_WR)
                while (answer := rpc.read()) is not None:
                    answers.append(answer)
            except (ConnectionError, BrokenPipeError):
                pass
        return answers

    def assert_refused(self, data):
        """The node answers with an error of id 0 and closes, without waiting for more."""
        with self.node.rpc() as rpc:
            rpc.send(data)
            answer = rpc.read()
            self.assertIsNotNone(answer, data[:40])
            self.assertEqual(answer[:2], [1, 0], data[:40])
            self.assertTrue(answer[2]["code"] and answer[2]["message"], answer)
            self.assertIsNone(rpc.read())

    def test_random_bytes(self):
        for first in (b"", b"*", b"*3\r\n$3\r\nSET\r\n$", b"a"):
            for _ in range(150):
                self.closes(first + self.rng.randbytes(self.rng.randrange(1, 3000)))
        for _ in range(300):
            self.ends(b"\x94" + self.rng.randbytes(self.rng.randrange(1, 3000)))
        self.assert_unharmed()

    def test_damaged_requests(self):
        good = pack([0, 1, "put", {"key": b"k", "value": b"v" * 50, "w": 1, "context": b"c" * 20}])
        for _ in range(500):
            data = bytearray(good)
            for _ in range(self.rng.randrange(1, 4)):
                data[self.rng.randrange(1, len(data))] = self.rng.randrange(256)
            self.ends(bytes(data))
        self.assert_unharmed()

    def test_truncated_requests(self):
        good = pack([0, 1, "mput", {"items": [{"key": b"k", "value": b"v"}] * 3}])
        for size in range(1, len(good)):
            self.assertEqual([a for a in self.ends(good[:size]) if a[2] is None], [])
        with self.node.rpc() as rpc:
            rpc.send(good)
            self.assertIsNone(rpc.read()[2])

    def test_huge_declared_lengths(self):
        for head in (b"\xdd\x10\x00\x00\x00", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
                     b"\xdb\x7f\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01"):
            self.assert_refused(b"\x94\x00\x01\xa3put" + head)
            self.assert_refused(b"\x94\x00\x01" + head)
        self.assertLess(self.node.rss_bytes() - self.rss_before, 64 * MIB)

    def test_deep_nesting(self):
        self.assert_refused(b"\x94\x00\x01\xa3put" + b"\x91" * 100000)
        self.assert_refused(b"\x94\x00\x01\xa3put" + b"\x81\xa1k" * 1000)

    def test_not_a_request(self):
        for value in ([2, 1, "ping", {}], [0, -1, "ping", {}], [0, 1 << 40, "ping", {}]):
            self.assert_refused(pack(value))
        # What has an id is answered under it.
        for value in ([0, 1, 7, {}], [0, 1, "ping", []]):
            with self.node.rpc() as rpc:
                rpc.send(pack(value))
                answer = rpc.read()
                self.assertEqual(answer[:2], [1, 1])
                self.assertEqual(answer[2]["code"], "BAD_REQUEST")
        self.ends(pack([0, 1, "ping"]))

    def test_http_is_refused(self):
        for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /v1 HTTP/1.1\r\n\r\n"):
            self.assertEqual([a for a in self.raw(text) if a], [])

    def raw(self, data):
        with self.node.rpc() as rpc:
            rpc.send(data)
            with contextlib.suppress(ConnectionError):
                while more := rpc.socket.recv(4096):
                    self.assertNotIn(b"200 OK", more)
        return []

    def test_wrong_parameters_are_named(self):
        with self.node.rpc() as rpc:
            for params, word in (({"key": b"k", "valeu": b"v"}, "valeu"), ({"value": b"v"}, "key"),
                                 ({"key": 7, "value": b"v"}, "key"),
                                 ({"key": b"k", "value": b"v", "w": "most"}, "w"),
                                 ({"key": b"k", "value": b"v", "deadline_ms": 1 << 60}, "deadline_ms")):
                with self.assertRaises(RpcError) as caught:
                    rpc.call("put", **params)
                self.assertEqual(caught.exception.code, "BAD_REQUEST")
                self.assertIn(word, caught.exception.error["message"])
            with self.assertRaises(RpcError) as caught:
                rpc.call("frobnicate")
            self.assertEqual(caught.exception.code, "UNKNOWN_METHOD")
            # The connection is as good as before.
            self.assertEqual(rpc.call("ping")["state"], "ready")

    def test_limits_of_sizes(self):
        with self.node.rpc() as rpc:
            for params in ({"key": b"", "value": b"v"}, {"key": bytes(65537), "value": b"v"},
                           {"key": b"k", "value": bytes(MIB + 1)},
                           {"key": b"k", "value": b"v", "type": "t" * 256},
                           {"key": b"k", "value": b"v", "context": bytes(16385)},
                           {"key": b"k", "value": b"v", "bucket": "b" * 65}):
                with self.assertRaises(RpcError) as caught:
                    rpc.call("put", **params)
                self.assertIn(caught.exception.code, ("BAD_REQUEST", "TOO_LARGE", "BAD_CONTEXT"))
            rpc.call("put", key=bytes(65536), value=bytes(MIB))
            self.assertEqual(rpc.call("get", key=bytes(65536))["siblings"][0]["value"], bytes(MIB))

    def test_more_than_a_request_may_have(self):
        declared = 64 * MIB
        data = b"\x94\x00\x01\xa3put\x82\xa3key\xa1k\xa5value\xc6" + struct.pack(">I", declared)
        self.assert_refused(data)
        self.assertLess(self.node.rss_bytes() - self.rss_before, 64 * MIB)

    def test_slow_senders_do_not_hold_others_up(self):
        request = pack([0, 1, "put", {"key": b"slow", "value": bytes(1000)}])
        slow = [self.node.rpc() for _ in range(50)]
        try:
            for at in range(10):
                for rpc in slow:
                    rpc.send(request[at:at + 1])
                start = time.monotonic()
                self.assert_unharmed()
                self.assertLess(time.monotonic() - start, 5)
            # One that never finishes is cut off in the end.
            for rpc in slow:
                with contextlib.suppress(ConnectionError):
                    while rpc.read() is not None:
                        pass
        finally:
            for rpc in slow:
                rpc.close()
        wait_for("the connections to be gone", lambda: self.node.descriptors() < 60)

    def test_a_reader_that_does_not_read(self):
        with self.node.rpc() as writer:
            writer.call("put", key=b"large", value=bytes(MIB))
        deaf = self.node.rpc()
        self.addCleanup(deaf.close)
        deaf.socket.setblocking(False)
        request = pack([0, 1, "get", {"key": b"large"}])
        sent = 0
        with contextlib.suppress(BlockingIOError, ConnectionError):
            for _ in range(2000):
                sent += deaf.socket.send(request)
        self.assert_unharmed()
        self.assertLess(self.node.rss_bytes() - self.rss_before, 300 * MIB)

    def test_thousands_of_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 10000
        most = hard if hard != resource.RLIM_INFINITY else 1 << 20
        count = min(wanted, most - 500)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 300), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        print(f"{count} connections")
        idle = []
        try:
            for i in range(count):
                idle.append(socket.create_connection(("127.0.0.1", self.node.port), timeout=30))
                if i % 1000 == 999:
                    self.assert_unharmed()
            wait_for("all connections to be taken", lambda: self.node.descriptors() >= count)
            self.assert_unharmed()
            # An idle one costs next to nothing, and still works.
            grown = self.node.rss_bytes() - self.rss_before
            self.assertLess(grown, count * 16384 + 32 * MIB)
            idle[count // 2].sendall(pack([0, 9, "ping", {}]))
            self.assertTrue(idle[count // 2].recv(1000).startswith(b"\x94\x01\x09"))
        finally:
            for connection in idle:
                connection.close()
        wait_for("the connections to be gone", lambda: self.node.descriptors() < 100)


if __name__ == "__main__":
    unittest.main()
