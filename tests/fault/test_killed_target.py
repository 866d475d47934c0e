"""A node dies while slots are on their way to it: they are taken back, nobody waits for it, and once
it is there again it can have them."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from workload import *


class KilledTarget(LoadedTest):
    RANGES = 64

    def setUp(self):
        super().setUp()
        options = ("--map-size", "4G", "--ranges", str(self.RANGES))
        self.cluster.add("a", *options, create=True)
        self.cluster.add("b", *options)
        self.cluster.add("c", *options)
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        self.work = self.load(self.cluster.nodes, keys=300, size_max=60000, pause=0.01)
        self.work.fill(self.cluster.nodes[0])
        self.alive = list(self.cluster.nodes)
        self.d = self.cluster.add("d", *options)
        self.wait_members(4)

    def moving(self):
        """(range, slot) of all that is on its way somewhere."""
        ring = json.loads(self.admin("ring", "--json", nodes=self.alive))
        return [(record["range"], slot["slot"]) for record in ring for slot in record["slots"]
                if slot["stage"] != "STABLE"]

    def plan(self):
        return self.status(self.alive[0])["plan"]

    def assert_served(self):
        """The others serve as if nothing was on its way."""
        self.work.ask(self.alive)
        since = time.monotonic()
        self.work.progress(300)
        self.assertEqual(self.work.failed_since(since), [])

    def test_taken_back(self):
        self.admin("rebalance", "--rate", "1", "--yes")
        wait_for("some slots to have moved", lambda: self.plan()["done"] > 3 and self.moving())
        self.d.kill()
        self.work.start()
        wait_for("d to be missed", lambda: "d down" in " ".join(
            self.status(self.alive[0])["reasons"]))
        self.assert_served()
        wait_for("what was on its way to be taken back", lambda: not self.moving())
        self.assertLess(self.plan()["done"], self.plan()["moves"], "nothing was left to move")
        self.assert_served()
        self.admin("transfers", "cancel", "--yes", nodes=self.alive)
        # No plan is made while an owner is down, and the words say who.
        refused = self.cluster.cli("leave", "c", "--yes", tool="kvadmin", nodes=self.alive)
        self.assertEqual(refused.returncode, 3, refused.stderr)
        self.assertIn(b"d owns slots and is down: start it first", refused.stderr)
        self.assert_served()

        self.d.start()
        self.wait_members(4)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        self.alive = self.cluster.nodes
        self.assert_served()
        self.work.stop()
        self.assertEqual(self.work.violations, [])
        self.assert_all_there(self.work)
        self.assert_replicas_equal()


if __name__ == "__main__":
    unittest.main()
