"""A network that is cut between hosts: the side with the majority goes on, the other one refuses
rather than forget, and after healing all agree."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from hosts import Hosts
from workload import *


class Partition(LoadedTest):
    def setUp(self):
        super().setUp()
        self.hosts = Hosts(3)
        self.addCleanup(self.hosts.down)  # Before the nodes are ended: namespaces outlive names.
        self.hosts.up()
        for number, name in enumerate("abc", start=1):
            self.cluster.add(name, "--map-size", "4G", "--insecure", "--ranges", "64",
                             create=name == "a", host=self.hosts.address(number),
                             inside=self.hosts.inside(number))
        self.a, self.b, self.c = self.cluster.nodes
        self.wait_members(3)

    def rebalance(self):
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)

    def wait_verdict(self, node, verdict):
        wait_for(f"{node.name} to say {verdict}",
                 lambda: self.status(node)["verdict"] == verdict)
        return " ".join(self.status(node)["reasons"])

    def test_minority_and_majority(self):
        self.rebalance()
        load = self.load(self.cluster.nodes, writers=3)
        load.fill(self.a)
        self.cli("put", "old", "value")
        load.start()
        load.progress()
        self.assertEqual(load.failures, [])
        self.hosts.cut([1, 2], [3])
        for node in (self.a, self.b):
            self.assertIn("c down", self.wait_verdict(node, "DEGRADED"))
        reasons = self.wait_verdict(self.c, "UNAVAILABLE")
        self.assertIn("64 of 64 ranges have no majority", reasons)
        self.assertIn("a down", reasons)
        self.assertIn("b down", reasons)
        load.progress(300)  # With clients on both sides.
        for _ in range(3):
            done = self.cluster.cli("put", "cut off", "x", "--blind", "--deadline", "2s",
                                    nodes=[self.c])
            self.assertIn(done.returncode, (3, 7), done.stderr)
            done = self.cluster.cli("get", "old", "--deadline", "2s", nodes=[self.c])
            self.assertIn(done.returncode, (3, 7), done.stderr)
        # What one copy can answer, it does.
        self.assertEqual(self.cli("get", "old", "-r", "one", nodes=[self.c]), b"value")
        load.ask([self.a, self.b])
        majority = time.monotonic()
        load.progress(500)
        self.assertEqual(load.failed_since(majority), [])
        self.cli("put", "old", "newer", nodes=[self.b])

        self.hosts.heal()
        self.wait_members(3)
        load.ask(self.cluster.nodes)
        healed = time.monotonic()
        load.progress(500)
        load.stop()
        self.assertEqual(load.failed_since(healed), [])
        self.assertEqual(load.violations, [])
        for node in self.cluster.nodes:
            self.wait_verdict(node, "OK")
            self.assertEqual(self.cli("get", "old", nodes=[node]), b"newer")
        self.assert_all_there(load)
        self.assert_replicas_equal()

    def test_deaf_in_one_direction(self):
        """Frames from c to the others are lost, those to c arrive."""
        self.rebalance()
        load = self.load([self.a, self.b])
        load.fill(self.a)
        load.start()
        self.hosts.cut([3], [1, 2], both_ways=False)
        for node in (self.a, self.b):
            self.assertIn("c down", self.wait_verdict(node, "DEGRADED"))
        noticed = time.monotonic()
        load.progress(300)
        self.assertEqual(load.failed_since(noticed), [])
        self.hosts.heal()
        self.wait_members(3)
        load.ask(self.cluster.nodes)
        healed = time.monotonic()
        load.progress(300)
        load.stop()
        self.assertEqual(load.failed_since(healed), [])
        self.assertEqual(load.violations, [])
        self.assert_all_there(load)
        self.assert_replicas_equal()

    def test_cut_while_slots_move(self):
        load = self.load(self.cluster.nodes, keys=300, size_max=20000, pause=0.01)
        load.fill(self.a)
        load.start()
        self.admin("rebalance", "--rate", "1", "--yes")

        def done():
            return self.status(self.a)["plan"]["done"]

        # A third copy is filled from the first two: c may get its slots after b has all of its own.
        wait_for("some slots to have moved to each",
                 lambda: min(member["slots"] for member in self.status(self.a)["members"]) > 4)
        self.hosts.cut([1, 2], [3])
        for node in (self.a, self.b):
            wait_for(f"{node.name} to notice",
                     lambda: "c down" in " ".join(self.status(node)["reasons"]))
        self.assertLess(done(), 128, "nothing was left to move")
        load.progress(200)
        self.hosts.heal()
        self.wait_members(3)
        wait_for("the plan to be carried out", lambda: self.status()["plan"]["state"] == "done")
        self.wait_copies(3)
        healed = time.monotonic()
        load.progress(300)
        load.stop()
        self.assertEqual(load.failed_since(healed), [])
        self.assertEqual(load.violations, [])
        self.assert_all_there(load)
        self.assert_replicas_equal()


if __name__ == "__main__":
    unittest.main()
