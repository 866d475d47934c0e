"""Deletes with one replica down: the tombstones stay until it is back and all is proven, then keys
and bytes are gone, and no restart in any order brings a key back. A dropped bucket goes the same
way. Where collection is switched off nothing is collected, and a dropped bucket is empty all the
same."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import *

KEYS = int(os.environ.get("KVRING_KEYS", "120"))  # Of which half are deleted.
OPTIONS = ("--map-size", "4G", "--ranges", "64", "--max-deadline", "1s")


class HorizonTest(ClusterTest):
    collect = ()

    def setUp(self):
        super().setUp()
        options = OPTIONS + self.collect
        self.a = self.cluster.add("a", *options, create=True)
        self.b = self.cluster.add("b", *options)
        self.c = self.cluster.add("c", *options)
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)

    def ask(self, node, method, **params):
        """Until it is done: what is unknown or unavailable for a moment is asked again."""
        def done():
            try:
                with node.rpc() as rpc:
                    return [rpc.call(method, **params)]
            except RpcError as error:
                if error.code in ("TIMEOUT", "UNAVAILABLE", "BUSY", "NOT_READY"):
                    return None
                if error.code in ("NOT_FOUND", "DELETED"):
                    return [None]
                raise

        return wait_for(f"{method} to succeed", done)[0]

    def put(self, count, bucket="default"):
        for first in range(0, count, 500):
            items = [{"key": b"key%d" % i, "value": b"x" * 200}
                     for i in range(first, min(first + 500, count))]
            for one in self.ask(self.a, "mput", bucket=bucket, items=items)["results"]:
                self.assertIn("result", one)

    def keys(self, node):
        return node.metric("kvring_store_keys")

    def wait_keys(self, count):
        for node in self.cluster.nodes:
            wait_for(f"{node.name} to have {count} keys", lambda: self.keys(node) == count)

    def drop_and_create(self, says):
        self.put(KEYS, "logs")
        self.put(3)
        self.wait_keys(KEYS + 3)
        self.assertIn(says, self.admin("bucket", "drop", "logs", "--yes"))
        self.admin("bucket", "create", "logs")
        self.wait_gossip()
        for node in self.cluster.nodes:
            self.assertIsNone(self.ask(node, "get", bucket="logs", key=b"key1"))
        self.ask(self.a, "put", bucket="logs", key=b"key1", value=b"new")
        self.assertIsNotNone(self.ask(self.b, "get", bucket="logs", key=b"key1"))

    def assert_left(self, left):
        """Only every other key is there, whoever is asked."""
        for node in self.cluster.nodes:
            for first in range(0, KEYS, 500):
                numbers = range(first, min(first + 500, KEYS))
                answer = self.ask(node, "mget", bucket="default",
                                  keys=[b"key%d" % i for i in numbers])
                for i, one in zip(numbers, answer["results"]):
                    self.assertEqual("result" in one, i in left, f"key{i} at {node.name}: {one}")


class Horizon(HorizonTest):
    collect = ("--collect-interval", "500ms")

    def test_collected_by_proof(self):
        self.put(KEYS)
        self.wait_keys(KEYS)
        full = self.a.metric("kvring_store_bytes")
        self.c.kill()
        left = set(range(0, KEYS, 2))
        for i in set(range(KEYS)) - left:
            self.ask(self.a, "delete", key=b"key%d" % i, bucket="default")
        held = wait_for("c to hold the horizon", lambda: self.status(self.a)["horizon"]["held_by"])
        self.assertEqual(held, "c")
        # What c promised last may still come by way of others.
        wait_for("all that c promised to be known", lambda: self.status(self.a)["horizon"]["age_ms"] > 3000)
        first = self.status(self.a)["horizon"]
        # Much later than they would go if nobody held them.
        wait_for("the horizon to be old", lambda: self.status(self.a)["horizon"]["age_ms"] >
                 first["age_ms"] + 8000)
        self.assertEqual(self.status(self.a)["horizon"]["at_ms"], first["at_ms"])
        for node in (self.a, self.b):
            self.assertEqual(self.keys(node), KEYS, "a tombstone went while c was down")
        self.assertIn(b", held by c", self.admin("status", nodes=[self.a]))

        self.c.start()
        self.wait_keys(KEYS // 2)
        self.assertLess(self.a.metric("kvring_store_bytes"), full * 0.6)
        risen = self.status(self.a)["horizon"]
        self.assertGreater(risen["at_ms"], first["at_ms"])
        self.assertTrue(all(stands <= horizon for _, horizon, stands, _ in risen["ranges"]))
        self.assert_left(left)

        for order in ((self.a, self.b, self.c), (self.c, self.a, self.b), (self.b, self.c, self.a)):
            self.cluster.restart(order)
        self.wait_members(3)
        self.assert_left(left)
        self.wait_keys(KEYS // 2)
        self.admin("repair", "--wait")
        self.wait_keys(KEYS // 2)

    def test_dropped_bucket(self):
        self.admin("bucket", "create", "logs")
        self.put(1, "logs")
        self.wait_keys(1)
        self.admin("bucket", "drop", "logs", code=5)  # Nobody said yes.
        self.admin("bucket", "drop", "default", "--yes", code=5)
        self.admin("bucket", "drop", "logs", "--dry-run")
        self.assertIsNotNone(self.ask(self.b, "get", bucket="logs", key=b"key0"))
        self.drop_and_create(b"comes free")
        self.wait_keys(4)
        described = json.loads(self.admin("bucket", "describe", "logs", "--json"))
        self.assertEqual(described["drops"], 1)


class HorizonOff(HorizonTest):
    collect = ("--collect-interval", "0")

    def test_nothing_is_collected(self):
        self.admin("bucket", "create", "logs")
        self.put(KEYS)
        left = set(range(0, KEYS, 2))
        for i in set(range(KEYS)) - left:
            self.ask(self.a, "delete", key=b"key%d" % i, bucket="default")
        self.wait_keys(KEYS)
        self.assert_left(left)

    def test_a_dropped_bucket_is_empty_and_keeps_its_space(self):
        self.admin("bucket", "create", "logs")
        self.drop_and_create(b"stays taken")
        self.cluster.restart()
        self.wait_members(3)
        for node in self.cluster.nodes:
            self.assertIsNone(self.ask(node, "get", bucket="logs", key=b"key2"))
            self.assertIsNotNone(self.ask(node, "get", bucket="logs", key=b"key1"))
        self.wait_keys(KEYS + 3)
        for node in self.cluster.nodes:
            self.assertNotIn("horizon", self.status(node))
            self.assertEqual(node.metric("kvring_horizons_raised_total"), 0)
            self.assertEqual(node.metric("kvring_horizon_age_seconds"), 0)
        self.assertNotIn(b"horizon", self.admin("status"))


if __name__ == "__main__":
    unittest.main()
