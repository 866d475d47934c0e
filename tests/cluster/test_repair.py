"""`kvadmin repair`: all copies or some, waited for, with a node down; and how fast it may go."""

from harness import *


class Repair(ClusterTest):
    OPTIONS = ("--map-size", "4G", "--ranges", "64")
    HOST = {"host": "127.0.35.1"}

    def setUp(self):
        super().setUp()
        self.cluster.add("a", *self.OPTIONS, create=True, **self.HOST)
        for name in "bc":
            self.cluster.add(name, *self.OPTIONS, **self.HOST)
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)

    def repair(self, *options, code=0):
        return json.loads(self.admin("repair", "--json", *options, code=code))

    def keys(self, node):
        return node.metric("kvring_store_keys")

    def test_choices(self):
        everything = self.repair("--wait")
        self.assertEqual((everything["comparisons"], everything["left"]), (128, 0))
        self.assertEqual(self.repair("--range", "3-4", "--wait")["comparisons"], 4)
        # Of three copies two are compared with that of b, or all where b compares.
        of_b = self.repair("--node", "b", "--wait")
        self.assertGreaterEqual(of_b["comparisons"], 64)
        self.assertLess(of_b["comparisons"], 128)
        dry = self.repair("--dry-run", "--node", "b")
        self.assertEqual((dry["comparisons"], dry["dry_run"]), (of_b["comparisons"], True))
        for wrong in (["--range", "64"], ["--range", "4-3"], ["--range", "x"], ["--range", "3-"]):
            self.admin("repair", *wrong, code=2)
        self.admin("repair", "--node", "nobody", code=5)

    def test_a_node_that_is_down_is_named_and_the_others_go_on(self):
        a, b, c = self.cluster.nodes
        with b.rpc() as rpc:
            for i in range(200):
                rpc.call("put", key=b"k%d" % i, value=b"v")
        self.repair("--wait")
        a.kill()
        wait_for("a to be missed", lambda: "a down" in " ".join(self.status(b)["reasons"]))
        done = self.cluster.cli("repair", "--wait", tool="kvadmin", nodes=[b, c])
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(b"a is down, and not compared", done.stderr)
        # What is compared by the reader of the lowest slot is so by the next one meanwhile.
        self.assertIn(b"2 nodes compared 64 of 128 pairs of copies", done.stdout)
        done = self.cluster.cli("repair", "--node", "a", tool="kvadmin", nodes=[b, c])
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"a is down", done.stderr)
        a.start()
        self.wait_members(3)
        self.assertEqual(self.repair("--wait")["left"], 0)
        self.assertEqual([self.keys(node) for node in self.cluster.nodes], [200] * 3)

    def test_what_one_alone_had_reaches_all_others(self):
        a, b, c = self.cluster.nodes
        for node in (a, b):
            node.kill()
        wait_for("both to be missed", lambda: {m["name"]: m["state"] for m in self.status(c)["members"]}
                 == {"a": "down", "b": "down", "c": "up"})
        with c.rpc() as rpc:
            for i in range(100):
                rpc.call("put", key=b"k%d" % i, value=b"v", w=1)
        # Those that compare find each other equal first, and then what c has.
        for node in (a, b):
            node.start()
        self.wait_members(3)
        self.assertEqual(self.repair("--wait")["left"], 0)
        self.assertEqual([self.keys(node) for node in self.cluster.nodes], [100] * 3)

    def test_of_one_bucket(self):
        a, b, c = self.cluster.nodes
        self.admin("bucket", "create", "carts", "--policy", "siblings")
        c.kill()
        wait_for("c to be missed", lambda: "c down" in " ".join(self.status(a)["reasons"]))
        with a.rpc() as rpc:
            for i in range(50):
                rpc.call("put", key=b"k%d" % i, value=b"v", bucket="carts")
                rpc.call("put", key=b"k%d" % i, value=b"v")
        c.start()
        self.wait_members(3)
        done = self.repair("--bucket", "carts", "--wait")
        self.assertEqual((done["comparisons"], done["left"]), (128, 0))
        # What else differs follows without a command.
        wait_for("all keys to be at c", lambda: self.keys(c) == 100)
        self.assertEqual(self.repair("--bucket", "carts", "--range", "3", "--dry-run")["comparisons"], 2)
        unknown = self.cluster.cli("repair", "--bucket", "nosuch", tool="kvadmin")
        self.assertEqual(unknown.returncode, 5, unknown.stderr)
        self.assertIn(b'there is no bucket "nosuch"', unknown.stderr)

    def test_its_pace_is_shown(self):
        rate = self.status()["repair"]["rate_bytes_s"]
        self.assertGreater(rate, 0)
        self.repair("--wait")
        for node in self.cluster.nodes:
            self.assertGreater(node.metric("kvring_repair_rate_bytes"), 0)
            wait_for("nothing to be left to compare",
                     lambda: node.metric("kvring_repair_dirty_ranges") == 0)
        self.assertGreater(sum(node.metric("kvring_repair_sent_bytes_total")
                               for node in self.cluster.nodes), 0)


if __name__ == "__main__":
    unittest.main()
