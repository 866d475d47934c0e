"""What an administrator does to moves under way: pause, resume, cancel, slow down, single moves, and
dry runs that change nothing."""

from workload import *

MIB = 1 << 20


class Transfers(LoadedTest):
    """Three nodes with a few MiB, and a fourth, d, that owns nothing yet."""

    RANGES = 64

    def setUp(self):
        super().setUp()
        self.cluster.add("a", "--map-size", "4G", "--ranges", str(self.RANGES), create=True)
        for name in "bc":
            self.cluster.add(name, "--map-size", "4G")
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        self.data = self.load(self.cluster.nodes, keys=400, size_max=60000)
        self.data.fill(self.cluster.nodes[0])
        self.d = self.cluster.add("d", "--map-size", "4G")
        self.wait_members(4)

    def plan(self):
        return self.status()["plan"]

    def wait_still(self):
        """Until no node sees anything on its way; the plan as it is then."""
        wait_for("all transfers to end", lambda: not any(
            self.status(node)["transfers"]["moving"] for node in self.cluster.nodes))
        self.wait_gossip()
        return self.plan()

    def wait_state(self, state):
        for node in self.cluster.nodes:
            wait_for(f"{node.name} to know that the plan is {state}",
                     lambda: self.status(node)["plan"]["state"] == state)

    def slots(self):
        return {member["name"]: member["slots"] for member in self.status()["members"]}

    def assert_even(self):
        slots = self.slots().values()
        self.assertEqual(sum(slots), 3 * self.RANGES)
        self.assertLessEqual(max(slots), 1.05 * sum(slots) / len(slots))

    def picture(self):
        """All that a command could change."""
        ring = json.loads(self.admin("ring", "--json"))
        buckets = json.loads(self.admin("bucket", "list", "--json"))
        status = self.status()
        members = [(m["name"], m["state"], m["slots"]) for m in status["members"]]
        return ring, buckets, members, status["plan"]

    def test_pause_resume_cancel(self):
        self.admin("rebalance", "--rate", "1", "--yes")
        wait_for("some moves to be done", lambda: self.plan()["done"] >= 3)
        self.admin("transfers", "pause", "--yes")
        self.wait_state("paused")
        paused = self.wait_still()
        self.assertLess(paused["done"], paused["moves"], "nothing was left to pause")
        self.wait_gossip()
        self.assertEqual(self.plan()["done"], paused["done"])
        self.assertIn(b"paused", self.admin("transfers"))
        # A plan under way, even if paused, is not replaced.
        self.admin("rebalance", "--yes", code=5)

        self.admin("transfers", "resume", "--yes")
        wait_for("the moves to go on", lambda: self.plan()["done"] > paused["done"])
        self.admin("transfers", "cancel", "--yes")
        self.wait_state("cancelled")
        cancelled = self.wait_still()
        self.assertLess(cancelled["done"], cancelled["moves"], "nothing was left to cancel")
        self.wait_gossip()
        self.assertEqual(self.plan()["done"], cancelled["done"])
        # What has moved stays, what has not moved stays too, and all is there.
        self.wait_copies(3)
        self.assertEqual(self.slots()["d"], cancelled["done"])
        self.admin("transfers", "resume", "--yes", code=5)
        self.assert_all_there(self.data)
        self.admin("verify")

        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        self.assert_even()
        self.assert_all_there(self.data)
        self.admin("verify")

    def test_rate_bounds_what_a_source_sends(self):
        sources = self.cluster.nodes[:3]
        before = {node: node.metric("kvring_transfer_sent_bytes_total") for node in sources}
        slot_bytes = sources[0].metric("kvring_store_bytes") / self.RANGES
        start = time.monotonic()
        self.admin("rebalance", "--rate", "1", "--yes")
        most = 0  # Sent by one source.
        while self.plan()["state"] != "done":
            for node in sources:
                sent = node.metric("kvring_transfer_sent_bytes_total") - before[node]
                # Two slots may leave at a time, each before the bytes of the other count.
                self.assertLessEqual(sent, (time.monotonic() - start) * MIB + 6 * slot_bytes)
                most = max(most, sent)
        # The bound was in the way: otherwise this test would show nothing.
        self.assertGreater(most, 12 * slot_bytes)
        self.assertGreater(self.d.metric("kvring_transfer_received_bytes_total"), 40 * slot_bytes)
        self.assert_even()

    def test_the_debt_of_a_low_rate_is_forgotten_with_it(self):
        """At a byte a second the first chunk takes hours: nothing may wait for that afterwards."""
        def apply(rate):
            with self.cluster.nodes[0].rpc() as rpc:
                plan = rpc.call("plan")
                rpc.call("apply", moves=plan["moves"], counter=plan["counter"], rate=rate)

        sources = self.cluster.nodes[:3]
        before = sum(node.metric("kvring_transfer_sent_bytes_total") for node in sources)
        apply(1)
        wait_for("a chunk to be sent", lambda: sum(
            node.metric("kvring_transfer_sent_bytes_total") for node in sources) > before)
        self.admin("transfers", "cancel", "--yes")
        self.wait_state("cancelled")
        self.wait_still()
        apply(0)
        wait_for("the plan to be done", lambda: self.plan()["state"] == "done")
        self.assert_even()
        self.assert_all_there(self.data)

    def test_move_one_slot(self):
        ring = json.loads(self.admin("ring", "--json"))
        slot = next(slot for slot in ring[7]["slots"] if slot["slot"] == 1)
        self.admin("move", "7.1", "d", "--yes", "--wait")
        moved = json.loads(self.admin("ring", "--json"))
        ids = {member["name"]: member["id"] for member in self.status()["members"]}
        self.assertNotEqual(slot["owner"], ids["d"])
        self.assertEqual([s["owner"] for s in moved[7]["slots"] if s["slot"] == 1], [ids["d"]])
        self.assertEqual([r for r in moved if r["range"] != 7], [r for r in ring if r["range"] != 7])
        self.assertEqual(self.slots()["d"], 1)
        self.wait_copies(3)
        for arguments, code in ((("7.0", "d"), 5), (("64.0", "d"), 2), (("7.3", "d"), 2),
                                (("7", "d"), 2), (("8.0", "nobody"), 5)):
            self.admin("move", *arguments, "--yes", code=code)
        self.assert_all_there(self.data)
        self.admin("verify")

    def test_dry_runs_change_nothing(self):
        before = self.picture()
        for command in (["rebalance"], ["rebalance", "--by", "bytes"], ["move", "3.0", "d"],
                        ["leave", "a"], ["drain", "b"], ["bucket", "create", "new"],
                        ["bucket", "set", "default", "--policy", "siblings"]):
            self.assertNotEqual(self.admin(*command, "--dry-run"), b"", command)
        self.assertEqual(self.picture(), before)
        self.admin("rebalance", "--rate", "1", "--yes")
        for command in ("pause", "cancel"):
            self.admin("transfers", command, "--dry-run")
        self.wait_gossip(1)
        self.assertIn(self.plan()["state"], ("running", "done"))
        wait_for("the plan to be carried out", lambda: self.plan()["state"] == "done")
        self.assert_even()


if __name__ == "__main__":
    unittest.main()
