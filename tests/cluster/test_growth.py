"""From one node to five and back to three while clients write and read: nobody notices, and whoever
has left has left for ever."""

from workload import *


class Growth(LoadedTest):
    RANGES = 128

    def leave(self, node):
        self.admin("leave", node.name, "--yes", "--wait")
        self.assertEqual(node.wait_exit(), 0, f"{node.name} did not end in peace")
        self.cluster.forget(node)

    def test_grow_and_shrink(self):
        first = self.cluster.add("a", "--map-size", "4G", "--ranges", str(self.RANGES), create=True)
        load = self.load([first])
        load.fill(first)
        load.start()
        for count, name in enumerate("bcde", start=2):
            node = self.cluster.add(name, "--map-size", "4G")
            self.wait_members(count)
            load.ask(self.cluster.nodes)
            self.admin("rebalance", "--yes", "--wait")
            self.wait_copies(min(count, 3))
            load.progress()
            self.assertEqual(load.failures, [])
        slots = [member["slots"] for member in self.status()["members"]]
        self.assertEqual(sum(slots), 3 * self.RANGES)
        self.assertLessEqual(max(slots), 1.05 * sum(slots) / 5 + 1)
        self.assert_all_there(load)
        self.admin("verify")
        leavers = [self.cluster.nodes[0], self.cluster.nodes[3]]  # The founder and a late one.
        for node in leavers:
            load.ask([other for other in self.cluster.nodes if other is not node])
            self.leave(node)
            self.wait_copies(3)
            load.progress()
        load.stop()
        self.assertEqual(load.failures, [])
        self.assertEqual(load.violations, [])
        status = self.status()
        self.assertEqual((status["verdict"], len(status["members"])), ("OK", 3))
        self.assert_all_there(load)
        self.admin("verify")
        for node in leavers:
            node.start(ready=False)
            self.assertEqual(node.wait_exit(), 5)
            self.assertIn("has left", node.log().splitlines()[-1])
            self.assertIn("empty data directory", node.log().splitlines()[-1])
        self.assertEqual(len(self.status()["members"]), 3)
        self.assert_all_there(load)

    def test_leaving_where_nobody_can_take_over(self):
        for name in "abc":
            self.cluster.add(name, "--map-size", "4G", "--ranges", str(self.RANGES),
                             create=name == "a")
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        load = self.load(self.cluster.nodes)
        load.fill(self.cluster.nodes[0])
        refused = self.cluster.cli("leave", "c", "--yes", tool="kvadmin")
        self.assertEqual(refused.returncode, 5)
        self.assertIn(b"fewer copies", refused.stderr)
        self.assertEqual([m["state"] for m in self.status()["members"]], ["up"] * 3)

        load.start()
        load.progress()
        c = self.cluster.nodes[2]
        load.ask(self.cluster.nodes[:2])
        self.admin("leave", "c", "--fewer-copies", "--yes", "--wait")
        self.cluster.forget(c)
        self.assertEqual(c.wait_exit(), 0)
        load.progress()
        load.stop()
        self.assertEqual(load.failures, [])
        self.assertEqual(load.violations, [])
        self.wait_copies(2)
        self.assert_all_there(load)
        self.assert_replicas_equal()
        self.assertIn("2 of 3 copies", " ".join(self.status()["reasons"]))

    def test_leaving_is_taken_back(self):
        for name in "abcd":
            self.cluster.add(name, "--map-size", "4G", "--ranges", str(self.RANGES),
                             create=name == "a")
        self.wait_members(4)
        self.admin("rebalance", "--yes", "--wait")
        load = self.load(self.cluster.nodes, size_max=60000)
        load.fill(self.cluster.nodes[0])
        self.admin("leave", "d", "--rate", "1", "--yes")
        wait_for("d to be leaving", lambda: "leaving" in [
            m["state"] for m in self.status()["members"]])
        self.admin("leave", "d", "--cancel", "--yes")
        self.admin("transfers", "cancel", "--yes")
        self.wait_members(4)
        self.wait_copies(3)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        slots = [member["slots"] for member in self.status()["members"]]
        self.assertGreater(min(slots), 0)
        self.assert_all_there(load)
        self.assert_replicas_equal()


if __name__ == "__main__":
    unittest.main()
