"""Nodes whose ranges are shared among threads: what users and administrators do is as with one."""

from workload import *

KEYS = 400


class Shards(LoadedTest):
    """Three nodes of 2 stores each, run by 2 shards."""

    def setUp(self):
        super().setUp()
        self.cluster.add("a", "--shards", "2", "--map-size", "4G", "--ranges", "64", create=True)
        for name in "bc":
            self.cluster.add(name, "--shards", "2", "--map-size", "4G")
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")

    def restart(self, node, shards, kill=False):
        if kill:
            node.kill()
        else:
            self.assertEqual(node.stop(), 0)
        node.options = [shards if before == "--shards" else option
                        for before, option in zip(["", *node.options], node.options)]
        node.start()

    def text(self, *arguments, **options):
        done = self.cluster.cli(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_data_of_all_shards_through_any_connection(self):
        """Keys of both shards over each of many connections: one by one, many at once, in order."""
        node = self.cluster.nodes[0]
        names = [b"k%d" % number for number in range(KEYS)]
        connections = [node.rpc() for _ in range(4)]
        for number, name in enumerate(names):
            connections[number % 4].call("put", key=name, value=name * 3)
        for connection in connections:
            # Pipelined: each answer bears the number of its request.
            connection.send(b"".join(pack([0, number, "get", {"key": name}])
                                     for number, name in enumerate(names)))
            answers = dict((answer[1], answer[3]) for answer in (connection.read() for _ in names))
            for number, name in enumerate(names):
                self.assertEqual(answers[number]["siblings"][0]["value"], name * 3)
            connection.close()
        self.assertEqual(sorted(self.text("scan").split()), sorted(names))
        listed = self.text("mget", *[name.decode() for name in names[:50]])
        self.assertEqual(listed.splitlines(), [name + b"\t" + name * 3 for name in names[:50]])
        self.assertEqual(self.text("export").count(b"\n"), KEYS)

    def test_a_bucket_is_there_at_once(self):
        """Whoever was told that a bucket exists can write to it, whichever thread has the key."""
        with self.cluster.nodes[0].rpc() as rpc, self.cluster.nodes[0].rpc() as other:
            for number in range(20):
                rpc.call("bucket_create", name="b%d" % number)
                for key in range(4):
                    other.call("put", bucket="b%d" % number, key=b"%d" % key, value=b"v")

    def test_the_administrator_sees_the_whole_node(self):
        data = self.load(self.cluster.nodes, keys=KEYS)
        data.fill(self.cluster.nodes[0])
        node = self.cluster.nodes[1]
        with node.rpc() as rpc:
            stats = rpc.call("stats")
            self.assertEqual(stats["store"]["keys"], KEYS)
            ranges = rpc.call("ranges")
            self.assertEqual(sum(ranges["keys"]), KEYS)
        for command in (("status",), ("ring",), ("gossip",), ("transfers",), ("hints",),
                        ("bucket", "list"), ("verify",), ("repair", "--wait")):
            self.admin(*command)
        self.assertGreater(node.metric("kvring_shard_handed_total"), 0)

    def test_rebalance_under_load_and_crashes(self):
        """A fourth node takes its share, one is killed, and each is run by another number of shards:
        nothing that was acknowledged is lost, nothing else is read."""
        data = self.load(self.cluster.nodes, keys=KEYS)
        data.fill(self.cluster.nodes[0])
        data.start()
        self.cluster.add("d", "--shards", "2", "--map-size", "4G")
        self.wait_members(4)
        self.admin("rebalance", "--yes", "--wait")
        self.restart(self.cluster.nodes[1], "1", kill=True)
        self.restart(self.cluster.nodes[2], "1")
        self.restart(self.cluster.nodes[1], "2")
        self.restart(self.cluster.nodes[2], "2", kill=True)
        data.stop()
        self.assertEqual(data.violations, [])
        self.assert_replicas_equal()
        self.assert_all_there(data)

    def test_what_does_not_fit_is_refused(self):
        node = self.cluster.nodes[2]
        self.assertEqual(node.stop(), 0)
        for shards, words in (("4", b"2 stores"), ("3", b"power of two")):
            done = subprocess.run([program("kvnode"), "serve", "--data", node.data,
                                   "--map-size", "4G", "--shards", shards],
                                  capture_output=True, timeout=PATIENCE_S, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)
        node.start()


if __name__ == "__main__":
    unittest.main()
