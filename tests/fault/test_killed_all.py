"""All nodes are killed at one moment under load, again and again: what was acknowledged is there
when they are back, and they come back by themselves."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from workload import *


class KilledAll(LoadedTest):
    def test_nothing_is_lost(self):
        # Little memory, so that checkpoints are under way when it happens.
        options = ("--map-size", "4G", "--ranges", "64", "--memory", "1M")
        self.cluster.add("a", *options, create=True)
        self.cluster.add("b", *options)
        self.cluster.add("c", *options)
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        load = self.load(self.cluster.nodes, size_max=8000)
        load.fill(self.cluster.nodes[0])
        load.start()
        checkpoints = 0
        for _ in range(4):
            load.progress(1000)
            checkpoints += self.cluster.nodes[0].metric("kvring_store_checkpoints_total")
            for node in self.cluster.nodes:
                node.process.kill()
            self.cluster.restart()
        self.wait_members(3)
        load.ask(self.cluster.nodes)
        ready = time.monotonic()
        load.progress(300)
        load.stop()
        self.assertEqual(load.failed_since(ready), [])
        self.assertEqual(load.violations, [])
        self.assertGreater(checkpoints, 0)
        self.assert_all_there(load)
        self.assert_replicas_equal()


if __name__ == "__main__":
    unittest.main()
