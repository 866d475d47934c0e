"""More nodes lost for good than a majority survives: the administrator accepts what is lost with them,
and the cluster goes on with the copies that are left."""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from workload import *

REFUSED = 5


class AcceptedLoss(LoadedTest):
    OPTIONS = ("--map-size", "4G", "--ranges", "64")

    def setUp(self):
        super().setUp()
        self.a = self.cluster.add("a", *self.OPTIONS, create=True)
        self.b = self.cluster.add("b", *self.OPTIONS)
        self.c = self.cluster.add("c", *self.OPTIONS)
        self.wait_members(3)

    def fill(self, *nodes):
        """Full copies of 200 values, one of which is deleted again, and no write only some have."""
        self.work = self.load(self.cluster.nodes, keys=200, size_max=8000)
        self.work.fill(self.a)
        self.cli("put", "gone", "value")
        self.cli("del", "gone")
        self.cli("put", "kept", "before")
        self.admin("repair")
        wait_for("nothing to compare", lambda: all(
            self.dirty_ranges(node) == 0 for node in nodes))
        self.admin("verify")

    def dirty_ranges(self, node):
        with node.rpc() as rpc:
            return rpc.call("stats")["repair"]["dirty_ranges"]

    def lose(self, node):
        node.kill()
        self.cluster.forget(node)

    def wait_down(self, *names, at=None):
        wait_for(f"{names} to be missed", lambda: all(
            f"{name} down" in " ".join(self.status(node)["reasons"])
            for node in at or self.cluster.nodes for name in names))

    def refused(self, *arguments, code):
        done = self.cluster.cli(*arguments, tool="kvadmin")
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr.decode()

    def assert_there(self):
        """All that the survivors had, and what was deleted stays deleted."""
        self.assert_all_there(self.work)
        for node in self.cluster.nodes:
            self.assertIn(b"before", self.cli("get", "kept", "--strict", nodes=[node]))
            self.cli("get", "gone", "--strict", code=1, nodes=[node])

    def assert_whole(self):
        self.wait_copies(3)
        for node in self.cluster.nodes:
            wait_for(f"{node.name} to say OK", lambda: self.status(node)["verdict"] == "OK")
        self.assert_there()
        self.admin("verify")
        self.assert_replicas_equal()

    def test_two_of_three(self):
        """Two disks burn. The one that is left serves; new nodes come, and all copies are back."""
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        self.fill(*self.cluster.nodes)
        self.assertIn("use `kvadmin leave b`", self.refused("remove", "b", "--accept-loss", "--yes",
                                                            code=REFUSED))
        for node in (self.a, self.b):
            self.lose(node)
        shutil.rmtree(self.a.data)
        self.wait_down("a", "b")
        self.assertIn("see --accept-loss", self.refused("remove", "a", "--yes", code=3))
        # b might come back: it is not lost yet.
        told = self.admin("remove", "a", "--accept-loss", "--yes").decode()
        self.assertIn("64 ranges have no majority while these are down: b (0-63)", told)
        self.assertNotIn("for good:", told)
        self.cli("put", "kept", "after", "--strict", "--blind", code=3)
        told = self.admin("remove", "b", "--accept-loss", "--dry-run").decode()
        self.assertIn("64 ranges have no majority any more, for good: 0-63", told)
        self.assertIn("nothing was changed (--dry-run)", told)
        told = self.admin("remove", "b", "--accept-loss", "--yes").decode()
        self.assertIn("Lost is what only lost nodes had", told)
        self.assertNotIn("NO copy is left", told)
        self.assert_there()
        self.cli("put", "new", "value", "--strict")
        self.assertIn(b"value", self.cli("get", "new", "--strict"))

        # It comes back after all, and is told.
        self.b.start(ready=False)
        self.assertEqual(self.b.wait_exit(), REFUSED)
        self.assertIn("this node was removed from", self.b.log())

        self.work.nodes = list(self.cluster.nodes)
        self.work.start()
        self.cluster.add("d", *self.OPTIONS)
        self.cluster.add("e", *self.OPTIONS)
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        self.work.progress(200)
        self.work.stop()
        self.assertEqual(self.work.violations, [])
        self.assert_whole()
        self.assertIn(b"value", self.cli("get", "new", "--strict"))
        # A restart brings the fork back, and nobody else's word is needed for it.
        self.cluster.restart()
        self.wait_members(3)
        self.assert_whole()

    def test_only_copy(self):
        """The only copy is lost: its ranges start empty, and are copied to whoever is there."""
        self.fill(self.a)
        self.lose(self.a)
        shutil.rmtree(self.a.data)
        self.wait_down("a")
        told = self.admin("remove", "a", "--accept-loss", "--yes", "--wait").decode()
        self.assertIn("of 64 ranges NO copy is left: 0-63", told)
        self.wait_copies(2)
        self.cli("get", "kept", "--strict", code=1)
        for node in self.cluster.nodes:
            self.cli("put", f"by-{node.name}", "value", "--strict", nodes=[node])
        for node in self.cluster.nodes:
            for other in "bc":
                self.assertIn(b"value", self.cli("get", f"by-{other}", "--strict", nodes=[node]))
        self.admin("verify")
        self.assert_replicas_equal()

    def test_nothing_lost(self):
        """Where a plain removal would do, a loss is not accepted for nothing."""
        self.cluster.add("d", *self.OPTIONS)
        self.wait_members(4)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        self.lose(self.b)
        self.wait_down("b")
        self.assertIn("leave --accept-loss out",
                      self.refused("remove", "b", "--accept-loss", "--yes", code=REFUSED))
        self.admin("remove", "b", "--yes", "--wait")
        self.wait_copies(3)

    def wait_rift(self, *nodes):
        for node in nodes:
            wait_for(f"{node.name} to say that there are two clusters", lambda: any(
                "two clusters have come of one" in reason for reason in self.status(node)["reasons"]))

    def test_two_sides(self):
        """Each of two sides accepts the loss of the other, and both were there all the time. They are
        two clusters, which neither harm nor hear each other, and say so; one can be emptied into the
        other."""
        self.cluster.add("d", *self.OPTIONS)
        self.wait_members(4)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        self.fill(*self.cluster.nodes)
        sides = self.cluster.nodes[:2], self.cluster.nodes[2:]
        for node in sides[1]:
            node.kill()
        for side, other in (sides, sides[::-1]):
            names = [node.name for node in other]
            self.wait_down(*names, at=side)
            for name in names:
                self.admin("remove", name, "--accept-loss", "--fewer-copies", "--yes", nodes=side)
                self.admin("transfers", "cancel", "--yes", nodes=side)  # Some wait for the other.
            for node in side:
                node.wait_ready()
                wait_for(f"{node.name} to hear of it",
                         lambda: len(self.status(node)["members"]) == 2)
            self.wait_gossip(at=side)  # It is on its disk, too.
            self.cli("put", f"by-{side[0].name}", "value", "--strict", nodes=side)
            if side is sides[0]:
                for node in side:
                    node.kill()
                for node in other:
                    node.start(ready=False)
                    wait_for(f"{node.name} to answer", node.state)
        self.cluster.restart(sides[0], options=self.cluster.seeds())
        self.wait_rift(*sides[0])
        self.cluster.restart(options=self.cluster.seeds())
        self.wait_rift(*self.cluster.nodes)
        for side, other in (sides, sides[::-1]):
            for node in side:
                self.assertEqual(len(self.status(node)["members"]), 2)
                self.cli("get", f"by-{side[0].name}", "--strict", nodes=[node])
                self.cli("get", f"by-{other[0].name}", "--strict", code=1, nodes=[node])
        self.assert_there()

        carried = self.cli("export", nodes=sides[1])
        for node in sides[1]:
            self.lose(node)
        self.cli("import", input=carried)
        for side in sides:
            self.cli("get", f"by-{side[0].name}", "--strict")
        self.assert_there()


if __name__ == "__main__":
    unittest.main()
