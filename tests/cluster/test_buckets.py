"""Buckets of three nodes: policies, siblings and contexts, expiry, deletion, through all nodes."""

from harness import *


class Buckets(ClusterTest):
    def setUp(self):
        super().setUp()
        self.a = self.cluster.add("a", "--map-size", "4G", "--ranges", "64", create=True)
        self.b = self.cluster.add("b", "--map-size", "4G")
        self.c = self.cluster.add("c", "--map-size", "4G")
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)

    def create(self, name, *options):
        """Through one node; until all know it."""
        self.admin("bucket", "create", name, *options, nodes=[self.b])
        for node in self.cluster.nodes:
            wait_for(f"{node.name} to know bucket {name}", lambda: self.cluster.cli(
                "bucket", "describe", name, tool="kvadmin", nodes=[node]).returncode == 0)

    def put_blind(self, bucket, key, *values):
        """One put through each node, none having seen another."""
        for node, value in zip(self.cluster.nodes, values):
            self.cli("put", key, value, "--blind", "-b", bucket, nodes=[node])

    def shown(self, bucket, key, node, code=0):
        answer = json.loads(self.cli("get", key, "-b", bucket, "--json", nodes=[node], code=code))
        return {sibling["value"] for sibling in answer["siblings"]}

    def test_what_a_bucket_is(self):
        self.create("carts", "--policy", "siblings", "-r", "one", "-w", "all", "--ttl", "7d",
                    "--log-mode", "interval")
        for node in self.cluster.nodes:
            bucket = json.loads(self.admin("bucket", "describe", "carts", "--json", nodes=[node]))
            self.assertEqual((bucket["policy"], bucket["r"], bucket["w"], bucket["ttl_ms"],
                              bucket["log_mode"]),
                             ("siblings", 1, "all", 7 * 86400 * 1000, "interval"))
        self.admin("bucket", "create", "carts", code=5)
        self.admin("bucket", "set", "carts", "--ttl", "0", nodes=[self.c])
        wait_for("a to know that carts stay", lambda: b'"ttl_ms":0' in self.admin(
            "bucket", "describe", "carts", "--json", nodes=[self.a]))
        self.assertIn(b"carts", self.admin("bucket", "list", nodes=[self.a]))
        self.admin("bucket", "describe", "nothing", code=5)
        self.admin("bucket", "set", "nothing", "--ttl", "1s", code=5)
        self.admin("bucket", "create", "no good name!", code=2)
        self.admin("bucket", "create", "x", "--policy", "wishful", code=2)

    def test_one_value_is_left(self):
        for policy in ("newest", "lww"):
            self.create(policy, "--policy", policy)
            self.put_blind(policy, "k", "one", "two", "three")
            for node in self.cluster.nodes:
                self.assertEqual(self.shown(policy, "k", node), {"three"})
            self.cli("put", "k", "four", "-b", policy, nodes=[self.c])
            for node in self.cluster.nodes:
                self.assertEqual(self.shown(policy, "k", node), {"four"})

    def test_siblings(self):
        self.create("carts", "--policy", "siblings")
        self.put_blind("carts", "k", "apples", "pears", "plums")
        for node in self.cluster.nodes:
            self.assertEqual(self.shown("carts", "k", node, code=4), {"apples", "pears", "plums"})
            stopped = self.cluster.cli("put", "k", "x", "-b", "carts", nodes=[node])
            self.assertEqual(stopped.returncode, 4)
            self.assertIn(b"CONFLICT", stopped.stderr)
            for value in (b"apples", b"pears", b"plums"):
                self.assertIn(value, stopped.stderr)
        self.assertIn(self.cli("get", "k", "-b", "carts", "--sibling", "1"),
                      (b"apples", b"pears", b"plums"))
        # Two that saw the same: both stay, what they saw goes.
        seen = json.loads(self.cli("get", "k", "-b", "carts", "--json", code=4))["context"]
        self.cli("put", "k", "jam", "-b", "carts", "--context", seen, nodes=[self.a])
        self.cli("put", "k", "pie", "-b", "carts", "--context", seen, nodes=[self.c])
        for node in self.cluster.nodes:
            self.assertEqual(self.shown("carts", "k", node, code=4), {"jam", "pie"})
        self.cli("put", "k", "both", "-b", "carts", "--resolve", nodes=[self.b])
        for node in self.cluster.nodes:
            self.assertEqual(self.cli("get", "k", "-b", "carts", nodes=[node]), b"both")
        # A put that has not seen a delete survives it.
        seen = json.loads(self.cli("get", "k", "-b", "carts", "--json"))["context"]
        self.cli("put", "k", "late", "-b", "carts", "--blind", nodes=[self.a])
        self.cli("del", "k", "-b", "carts", "--context", seen, nodes=[self.c])
        for node in self.cluster.nodes:
            self.assertEqual(self.shown("carts", "k", node), {"late"})

    def test_too_many_siblings(self):
        self.create("carts", "--policy", "siblings")
        with self.a.rpc() as rpc:
            for i in range(32):
                rpc.call("put", bucket="carts", key=b"k", value=b"%d" % i)
            with self.assertRaises(RpcError) as caught:
                rpc.call("put", bucket="carts", key=b"k", value=b"one more")
        self.assertEqual(caught.exception.code, "TOO_MANY_SIBLINGS")
        self.cli("put", "k", "all", "-b", "carts", "--blind", code=4)
        self.cli("put", "k", "all", "-b", "carts", "--resolve", nodes=[self.b])
        self.assertEqual(self.cli("get", "k", "-b", "carts", nodes=[self.c]), b"all")

    def assert_deleted(self, key, *options):
        for node in self.cluster.nodes:
            done = self.cluster.cli("get", key, *options, nodes=[node])
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertIn(b"DELETED", done.stderr)

    def test_deleted_is_not_missing(self):
        self.cli("put", "k", "v", nodes=[self.a])
        self.cli("del", "k", nodes=[self.b])
        self.assert_deleted("k")
        missing = self.cluster.cli("get", "never")
        self.assertEqual(missing.returncode, 1)
        self.assertNotIn(b"DELETED", missing.stderr)
        self.cli("put", "k", "again", nodes=[self.c])
        for node in self.cluster.nodes:
            self.assertEqual(self.cli("get", "k", nodes=[node]), b"again")

    def test_values_expire_everywhere(self):
        self.create("brief", "--ttl", "300ms")
        self.cli("put", "k", "v", "-b", "brief", nodes=[self.a])
        self.cli("put", "long", "v", "-b", "brief", "--ttl", "1h", nodes=[self.a])
        wait_for("the value to expire", lambda: self.cluster.cli(
            "get", "k", "-b", "brief", nodes=[self.a]).returncode == 1)
        self.assert_deleted("k", "-b", "brief")
        for node in self.cluster.nodes:
            self.assertEqual(self.cli("get", "long", "-b", "brief", nodes=[node]), b"v")
            self.assertNotIn(b"k", self.cli("scan", "-b", "brief", nodes=[node]).split())


if __name__ == "__main__":
    unittest.main()
