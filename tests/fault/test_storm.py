"""A storm: five nodes of which one or two at a time are killed, stopped or wiped at random, one is
removed and one replaced in the middle, under puts that are not repeated. When it is over, whatever
was acknowledged is there through every node, all copies are equal and no hint is left.

KVRING_STORM_S: how long it lasts. KVRING_SEED: another one."""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from workload import *


HOST = {"host": "127.0.22.1"}


class Storm(LoadedTest):
    OPTIONS = ("--map-size", "4G", "--ranges", "64")
    LASTS_S = float(os.environ.get("KVRING_STORM_S", "30"))

    def setUp(self):
        super().setUp()
        self.cluster.add("a", *self.OPTIONS, create=True, **HOST)
        for name in "bcde":
            self.cluster.add(name, *self.OPTIONS, **HOST)
        self.wait_members(5)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        self.rng = random.Random(self.SEED)
        self.work = self.load(self.cluster.nodes, keys=300, size_max=4000, writers=4, readers=0)
        self.work.options["strict"] = False  # So that there are hints; what is read last is strict.
        self.work.fill(self.cluster.nodes[0])
        self.killed = set()
        self.stopped = set()

    def wake(self, node):
        if node in self.stopped:
            self.stopped.remove(node)
            node.process.send_signal(signal.SIGCONT)
        if node in self.killed:
            self.killed.remove(node)
            node.start(ready=False)  # It may have to wait for others to be up.

    def wake_all(self):
        for node in list(self.stopped | self.killed):
            self.wake(node)
        for node in self.cluster.nodes:
            node.wait_ready()

    def gust(self):
        """Something happens to one node; two at most are out at a time."""
        out = self.killed | self.stopped
        node = self.rng.choice(self.cluster.nodes)
        if node in out:
            self.wake(node)
        elif len(out) == 2:
            self.wake(self.rng.choice(sorted(out, key=lambda each: each.name)))
        elif self.rng.random() < 0.5:
            node.kill()
            self.killed.add(node)
        else:
            node.process.send_signal(signal.SIGSTOP)
            self.stopped.add(node)

    def blow(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.gust()
            self.work.stopping.wait(self.rng.uniform(0.1, 1.5))

    def lose(self, node):
        node.kill()
        shutil.rmtree(node.data)
        self.cluster.forget(node)
        self.work.ask(self.cluster.nodes)
        wait_for(f"{node.name} to be missed", lambda: all(
            f"{node.name} down" in " ".join(self.status(other)["reasons"])
            for other in self.cluster.nodes))

    def settle(self):
        """All are up, and all that others wait for has reached them."""
        self.wake_all()
        self.wait_members(len(self.cluster.nodes))
        wait_for("hints to be delivered", lambda: all(
            "error" not in node and node["counted"] and node["keys"] == 0
            for node in json.loads(self.admin("hints", "--json"))["nodes"]))
        self.admin("repair", "--wait")

    def test_storm(self):
        self.work.start()
        self.blow(self.LASTS_S / 3)
        # What only a node that is wiped may have had must be elsewhere before that.
        self.settle()
        lost = self.cluster.nodes[4]
        self.lose(lost)
        self.cluster.add("f", *self.OPTIONS, **HOST)
        self.work.ask(self.cluster.nodes)
        self.admin("replace", lost.name, "f", "--yes")
        self.blow(self.LASTS_S / 3)
        self.wake_all()
        self.wait_copies(3)
        self.settle()
        lost = self.cluster.nodes[1]
        self.lose(lost)
        self.admin("remove", lost.name, "--yes")
        self.blow(self.LASTS_S / 3)
        self.wake_all()
        self.wait_copies(3)
        self.settle()
        self.work.stop()
        self.assertEqual(self.work.violations, [])
        self.assert_all_there(self.work)
        self.admin("verify")
        self.assertIn(b"no hints are kept", self.admin("hints"))
        for node in self.cluster.nodes + self.cluster.ended:
            self.assertNotIn("ERROR: ", node.log())
            self.assertNotIn("assertion failed", node.log())
        print(f"{self.work.answered} answered, {len(self.work.failures)} not", flush=True)


if __name__ == "__main__":
    unittest.main()
