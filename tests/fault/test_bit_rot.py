"""Bits of one node's database flip while it is stopped: no read ever shows a wrong value or a missing
key, puts to damaged keys succeed, and all is mended from the other nodes, found by reads or by the
scrub."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import *


class BitRot(ClusterTest):
    KEYS = 400
    ROTTEN = 60

    def start(self, *scrub):
        options = ("--map-size", "4G", "--ranges", "64", "--max-deadline", "5s", *scrub)
        self.a = self.cluster.add("a", *options, create=True)
        self.b = self.cluster.add("b", *options)
        self.c = self.cluster.add("c", *options)
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        with self.a.rpc() as rpc:
            for i in range(self.KEYS):
                rpc.call("put", bucket="default", key=self.key(i), value=self.value(i), w="all")

    @staticmethod
    def key(i):
        return b"key-%d" % i

    @staticmethod
    def value(i):
        return b"the value of key %d;" % i + bytes([i % 251]) * (i % 1500)

    def rot(self):
        """Flip a bit in as many values of b; a stopped node has all in its database."""
        self.assertEqual(self.b.stop(), 0)
        path = os.path.join(self.b.data, "db", "data.mdb")
        with open(path, "r+b") as file:
            data = file.read()
            for i in range(0, self.KEYS, self.KEYS // self.ROTTEN):
                at = data.find(b"the value of key %d;" % i)
                self.assertGreater(at, 0)
                while at > 0:  # An older page may hold it as well.
                    file.seek(at + 4)
                    file.write(bytes([data[at + 4] ^ 1 << i % 8]))
                    at = data.find(b"the value of key %d;" % i, at + 1)
        return list(range(0, self.KEYS, self.KEYS // self.ROTTEN))

    def rot_keys(self):
        """Flip a bit in the keys of as many records of b's database: of the hash, the bucket, the key.
        What branches of the tree repeat of a key stays."""
        path = os.path.join(self.b.data, "db", "data.mdb")
        rotten = list(range(0, self.KEYS, self.KEYS // self.ROTTEN))
        with open(path, "r+b") as file:
            data = file.read()
            for number, i in enumerate(rotten):
                name = b"default\0" + self.key(i)
                value = b"the value of key %d;" % i
                at, found = data.find(name), 0
                while at > 0:  # An older page may hold it as well.
                    if value in data[at + len(name):at + len(name) + 200]:
                        byte = at - 8 + number % (8 + len(name))
                        file.seek(byte)
                        file.write(bytes([data[byte] ^ 0x80 >> number // 7 % 8]))
                        found += 1
                    at = data.find(name, at + 1)
                self.assertGreater(found, 0)
        return rotten

    def wait_filled_in(self, least):
        def filled_in():
            return (self.b.metric("kvring_store_lost_keys_total") >= least and
                    self.b.metric("kvring_store_holes") == 0 and
                    self.b.metric("kvring_store_damaged_records") == 0)

        wait_for("the holes to be filled in", filled_in, patience=3 * PATIENCE_S)

    def get(self, rpc, i, **options):
        answer = rpc.call("get", bucket="default", key=self.key(i), **options)
        return answer["siblings"][0]["value"]

    def wait_healed(self, count):
        def healed():
            return (self.b.metric("kvring_store_healed_records_total") >= count and
                    self.b.metric("kvring_store_damaged_records") == 0)

        # After a start it takes as long as the longest request (--max-deadline).
        wait_for("the damaged records to be healed", healed, patience=3 * PATIENCE_S)

    def assert_whole(self, rotten):
        self.assertEqual(self.b.metric("kvring_store_lost_records_total"), 0)
        self.admin("verify")
        status = self.status(self.b)
        self.assertEqual(status["verdict"], "OK", status["reasons"])
        self.assertEqual(status["store"]["damaged"], 0)
        self.assertEqual(status["store"]["healed"], len(rotten))
        # What it has now it has for good, and alone.
        self.assertEqual(self.b.stop(), 0)
        self.b.start()
        self.wait_members(3)
        self.admin("verify")

    def put_over_and_read(self, rotten):
        """Put every third of ROTTEN, read all; returns what every key has then."""
        values = {i: self.value(i) for i in range(self.KEYS)}
        with self.b.rpc() as rpc:
            for i in rotten[::3]:
                values[i] = b"newer %d" % i
                rpc.call("put", bucket="default", key=self.key(i), value=values[i])
            for i in values:
                for r in (1, "quorum"):
                    self.assertEqual(self.get(rpc, i, r=r), values[i])
        return values

    def test_reads_and_puts_of_damaged_keys(self):
        self.start("--scrub-rate", "0")
        rotten = self.rot()
        self.b.start()
        self.wait_members(3)
        values = self.put_over_and_read(rotten)
        self.wait_healed(len(rotten))
        self.assert_whole(rotten)
        with self.b.rpc() as rpc:
            for i in values:
                self.assertEqual(self.get(rpc, i, r="all"), values[i])

    def test_the_scrub_finds_what_nobody_reads(self):
        self.start("--scrub-rate", "64M", "--scrub-interval", "1s")
        rotten = self.rot()
        self.b.start()
        self.wait_members(3)
        self.wait_healed(len(rotten))
        self.assertGreater(self.b.metric("kvring_store_scrub_bad_records_total"), 0)
        self.assert_whole(rotten)

    def assert_all(self, values):
        self.admin("verify")
        status = self.status(self.b)
        self.assertEqual(status["verdict"], "OK", status["reasons"])
        self.assertEqual(status["store"]["holes"], 0)
        self.assertEqual(self.b.stop(), 0)
        self.b.start()
        self.wait_members(3)
        self.admin("verify")
        with self.b.rpc() as rpc:
            for i in values:
                self.assertEqual(self.get(rpc, i, r="all"), values[i])

    def test_keys_rot_while_it_is_stopped(self):
        self.start("--scrub-rate", "0")
        self.assertEqual(self.b.stop(), 0)
        rotten = self.rot_keys()
        self.b.start()
        self.wait_members(3)
        values = self.put_over_and_read(rotten)
        self.wait_filled_in(len(rotten))
        self.assert_all(values)

    def test_keys_rot_while_it_runs(self):
        self.start("--scrub-rate", "64M", "--scrub-interval", "1s")
        self.assertEqual(self.b.stop(), 0)
        self.b.start()
        self.wait_members(3)
        rotten = self.rot_keys()
        self.wait_filled_in(len(rotten))
        self.assert_all({i: self.value(i) for i in range(self.KEYS)})

    def test_a_checkpoint_comes_by_keys_out_of_order(self):
        self.start("--scrub-rate", "64M", "--scrub-interval", "1s")
        self.assertEqual(self.b.stop(), 0)
        self.b.start("--scrub-rate", "0")
        self.wait_members(3)
        self.rot_keys()
        values = {i: self.value(i) for i in range(self.KEYS)}
        with self.a.rpc() as rpc:
            for i in range(1, self.KEYS, 3):
                values[i] = b"newer %d" % i
                rpc.call("put", bucket="default", key=self.key(i), value=values[i], w="all")
        self.assertEqual(self.b.stop(), 0)  # All that is in memory goes to the database.
        self.b.start()
        self.wait_members(3)
        wait_for("the scrub to come round", lambda: self.b.metric("kvring_store_scrub_rounds_total") > 1)
        self.wait_filled_in(0)
        self.assert_all(values)

    def test_with_another_node_down(self):
        self.start("--scrub-rate", "64M", "--scrub-interval", "1s")
        rotten = self.rot()
        self.c.kill()
        self.b.start()
        wait_for("b to see its damage", lambda: self.b.metric("kvring_store_damaged_records") > 0)
        # Two of three take a put, as ever; but a read needs more than b's lost copy can give.
        wait_for("b to know that c is down", lambda: any(
            member["name"] == "c" and member["state"] == "down" for member in self.status(self.b)["members"]))
        with self.b.rpc() as rpc:
            rpc.call("put", bucket="default", key=self.key(rotten[0]), value=b"newer")
            with self.assertRaises(RpcError) as refused:
                self.get(rpc, rotten[1], deadline_ms=1000)
            self.assertIn(refused.exception.code, ("UNAVAILABLE", "UNREADABLE"))
        self.assertIn("damaged records on this node", " ".join(self.status(self.b)["reasons"]))
        self.c.start()
        self.wait_members(3)
        self.wait_healed(len(rotten))
        with self.b.rpc() as rpc:
            self.assertEqual(self.get(rpc, rotten[0], r="all"), b"newer")
            self.assertEqual(self.get(rpc, rotten[1], r="all"), self.value(rotten[1]))


if __name__ == "__main__":
    unittest.main()
