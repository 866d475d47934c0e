"""The client port as a stream: pipelines, slow readers, bounds, and who hangs up when."""

from harness import *

MIB = 1 << 20


class Clients(ClusterTest):
    def setUp(self):
        super().setUp()
        self.node = self.cluster.add("a", "--map-size", "4G", "--max-clients", "50",
                                     "--sender-timeout", "1s", create=True)

    def test_a_deep_pipeline_is_answered_in_full(self):
        """More than a connection may have under way: reading stops and goes on."""
        count = 5000
        with self.node.rpc() as rpc:
            requests = b"".join(pack([0, number, "put", {"key": b"k%d" % number,
                                                          "value": b"v%d" % number}])
                                for number in range(count))
            rpc.send(requests)
            ids = set()
            for _ in range(count):
                _, number, error, _ = rpc.read()
                self.assertIsNone(error)
                ids.add(number)
            self.assertEqual(ids, set(range(count)))
            rpc.send(b"".join(pack([0, number, "get", {"key": b"k%d" % number}])
                              for number in range(count)))
            for _ in range(count):
                _, number, error, result = rpc.read()
                self.assertIsNone(error)
                self.assertEqual(result["siblings"][0]["value"], b"v%d" % number)

    def test_requests_cut_anywhere(self):
        rng = random.Random(11)
        requests = b"".join(pack([0, number, "put", {"key": b"c%d" % number,
                                                      "value": rng.randbytes(rng.randrange(3000))}])
                            for number in range(200))
        with self.node.rpc() as rpc:
            at = 0
            while at < len(requests):
                size = rng.choice((1, 2, 7, 100, 5000, 70000))
                rpc.send(requests[at:at + size])
                at += size
            for _ in range(200):
                self.assertIsNone(rpc.read()[2])

    def test_answers_after_the_client_closed_its_side(self):
        with self.node.rpc() as rpc:
            for number in range(100):
                rpc.send(pack([0, number, "put", {"key": b"h%d" % number, "value": b"v"}]))
            rpc.socket.shutdown(socket.SHUT_WR)
            answers = 0
            while (answer := rpc.read()) is not None:
                self.assertIsNone(answer[2])
                answers += 1
            self.assertEqual(answers, 100)

    def test_mget_and_mput_answer_in_order(self):
        with self.node.rpc() as rpc:
            items = [{"key": b"m%d" % number, "value": b"v%d" % number} for number in range(1000)]
            results = rpc.call("mput", items=items)["results"]
            self.assertEqual(len(results), 1000)
            self.assertTrue(all("context" in part["result"] for part in results), results[:3])
            keys = [b"m%d" % number for number in range(0, 1000, 2)] + [b"nobody"]
            results = rpc.call("mget", keys=keys)["results"]
            for number, part in enumerate(results[:-1]):
                self.assertEqual(part["result"]["siblings"][0]["value"], b"v%d" % (2 * number))
            self.assertEqual(results[-1]["error"]["code"], "NOT_FOUND")
            with self.assertRaises(RpcError) as caught:
                rpc.call("mget", keys=[])
            self.assertEqual(caught.exception.code, "BAD_REQUEST")

    def test_a_reader_who_does_not_read_is_bounded(self):
        """Answers of 300 MiB are asked for and not read: the node keeps a part of that only, and
        serves others meanwhile."""
        value = random.Random(3).randbytes(MIB)
        with self.node.rpc() as rpc, self.node.rpc() as other:
            rpc.call("put", key=b"big", value=value)
            before = self.node.rss_bytes()
            request = pack([0, 1, "get", {"key": b"big"}])
            rpc.send(request * 300)
            for number in range(200):
                other.call("put", key=b"o%d" % number, value=b"v")
                self.assertLess(self.node.rss_bytes() - before, 150 * MIB)
            answers = [rpc.read() for _ in range(300)]
            for _, _, error, result in answers:
                if error is None:
                    self.assertEqual(result["siblings"][0]["value"], value)
                else:
                    self.assertEqual(error["code"], "BUSY")
            self.assertIsNone(answers[0][2])

    def test_too_many_connections(self):
        with contextlib.ExitStack() as stack:
            held, refused = [], []
            for _ in range(60):
                rpc = stack.enter_context(self.node.rpc())
                rpc.send(pack([0, 1, "ping", {}]))
                answer = rpc.read()
                (held if answer[1] == 1 else refused).append((rpc, answer))
            # A connection that closed just before may still count.
            self.assertIn(len(held), (48, 49, 50))
            for rpc, answer in refused:
                self.assertEqual((answer[0], answer[1], answer[2]["code"]), (1, 0, "BUSY"))
                with contextlib.suppress(ConnectionError):
                    self.assertIsNone(rpc.read())
            held[0][0].call("ping")
            for rpc, _ in held[1:]:
                rpc.close()

            def place():
                with self.node.rpc() as rpc:
                    with contextlib.suppress(RpcError, ConnectionError, AssertionError):
                        return rpc.call("ping")
                return None

            wait_for("a place", place)

    def test_a_slow_sender_is_told_and_an_idle_one_left_alone(self):
        with self.node.rpc() as slow, self.node.rpc() as idle, self.node.rpc() as done:
            done.call("ping")
            slow.send(pack([0, 1, "ping", {}])[:-1])
            answer = slow.read()
            self.assertEqual((answer[1], answer[2]["code"]), (0, "BAD_REQUEST"))
            self.assertIsNone(slow.read())
            idle.call("ping")
            done.call("ping")

    def line_of(self, data):
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=60) as stranger:
            stranger.sendall(data)
            received = b""
            while more := stranger.recv(4096):
                received += more
        return received

    def test_strangers_get_one_line(self):
        answer = self.line_of(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
        self.assertIn(b"127.0.0.1:%d" % self.node.http, answer)
        self.assertTrue(self.line_of(b"POST /x HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 "))
        self.assertTrue(self.line_of(b"Host: x\r\n\r\n").startswith(b"HTTP/1.1 400 "))
        self.assertTrue(self.line_of(b"\x16\x03\x01" + bytes(200)).startswith(b"-ERR "))

    def test_methods_that_do_not_exist(self):
        with self.node.rpc() as rpc:
            for method in ("frobnicate", "x" * 5000, "\n\x01", "pings"):
                with self.assertRaises(RpcError) as caught:
                    rpc.call(method)
                self.assertEqual(caught.exception.code, "UNKNOWN_METHOD")
            with self.assertRaises(RpcError) as caught:
                rpc.call("ping", loud=True)
            self.assertEqual(caught.exception.code, "BAD_REQUEST")
            self.assertEqual(rpc.call("ping")["state"], "ready")

    def test_verify_beside_other_requests(self):
        with self.node.rpc() as rpc, self.node.rpc() as other:
            rpc.call("mput", items=[{"key": b"w%d" % n, "value": bytes(100)} for n in range(1000)])
            rpc.send(pack([0, 77, "verify", {}]))
            rpc.send(pack([0, 78, "ping", {}]))
            other.call("get", key=b"w1")
            answers = {answer[1]: answer for answer in (rpc.read(), rpc.read())}
            ranges = answers[77][3]["ranges"]
            self.assertEqual(len(ranges), 1024)
            self.assertEqual(sum(entry["keys"] for entry in ranges), 1000)
        # A verification whose client has gone is given up, and its place is free again.
        for _ in range(10):
            with self.node.rpc() as rpc:
                rpc.send(pack([0, 1, "verify", {}]))
        with self.node.rpc() as rpc:
            def verified():
                with contextlib.suppress(RpcError):
                    return rpc.call("verify")["ranges"]
                return None

            self.assertEqual(len(wait_for("a place", verified)), 1024)

    def test_values_up_to_the_limit(self):
        value = random.Random(5).randbytes(MIB)
        with self.node.rpc() as rpc:
            rpc.call("put", key=b"max", value=value)
            self.assertEqual(rpc.call("get", key=b"max")["siblings"][0]["value"], value)
            with self.assertRaises(RpcError) as caught:
                rpc.call("put", key=b"over", value=value + b"x")
            self.assertEqual(caught.exception.code, "TOO_LARGE")
            self.assertEqual(rpc.call("ping")["state"], "ready")


if __name__ == "__main__":
    unittest.main()
