"""Growth and shrinking while nodes are killed and started again all the time: requests may fail,
the moves end, nothing acknowledged is lost and nothing is made up."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from workload import *


class Killer(threading.Thread):
    """Kills one node after the other with SIGKILL; each is down for a second."""

    def __init__(self, seed, nodes):
        super().__init__()
        self.rng = random.Random(f"{seed} kills")
        self.nodes = list(nodes)
        self.lock = threading.Lock()  # Held while a node is down on purpose.
        self.stopping = threading.Event()
        self.kills = 0

    def run(self):
        while not self.stopping.wait(self.rng.uniform(1.0, 2.5)):
            with self.lock:
                node = self.rng.choice(self.nodes)
                if node.process.poll() is not None:
                    continue  # It has left. Whoever ended otherwise is missed at the end.
                node.kill()
                self.kills += 1
                time.sleep(1)
                node.start(ready=False)

    def spare(self, node):
        """Leave NODE alone from now on; it runs, unless it has ended by itself."""
        with self.lock:
            self.nodes.remove(node)

    def stop(self):
        self.stopping.set()
        self.join()


class KilledMoves(LoadedTest):
    RANGES = 64

    def persist(self, done, *command):
        """Give COMMAND until DONE: it may meet a node that was just killed."""
        def attempt():
            if done():
                return True
            self.last = self.cluster.cli(*command, tool="kvadmin")
            return done()

        self.last = None
        try:
            wait_for(f"{' '.join(command)} to be done", attempt, patience=120)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last attempt: {self.last}") from None

    def seen(self):
        """The status from any node that answers, None from none."""
        done = self.cluster.cli("status", "--json", tool="kvadmin")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def balanced(self, count):
        """Is everything moved, and are there COUNT owners?"""
        status = self.seen()
        if status is None:
            return False
        slots = [member["slots"] for member in status["members"]]
        return (status["stages"]["STABLE"] == self.RANGES and status["plan"]["left"] == 0 and
                len(slots) == count and min(slots) > 0 and sum(slots) == 3 * self.RANGES)

    def departed(self, node):
        status = self.seen()
        return status is not None and node.name not in [m["name"] for m in status["members"]]

    def test_nothing_is_lost(self):
        first = self.cluster.add("a", "--map-size", "4G", "--ranges", str(self.RANGES), create=True)
        load = self.load([first], size_max=30000, keys=300, pause=0.01)
        load.fill(first)
        load.start()
        killer = Killer(self.SEED, [first])
        self.addCleanup(killer.stop)
        for name in "bcde":
            # Only members are killed: what has not joined yet must be told its seed again.
            node = self.cluster.add(name, "--map-size", "4G")
            killer.nodes.append(node)
            load.ask(self.cluster.nodes)
            if name == "c":
                killer.start()
            if name in "ce":
                self.persist(lambda: self.balanced(len(self.cluster.nodes)),
                             "rebalance", "--rate", "1", "--yes", "--wait")
        for name in "be":
            node = next(node for node in self.cluster.nodes if node.name == name)
            load.ask([other for other in self.cluster.nodes if other is not node])
            self.persist(lambda: self.departed(node),
                         "leave", name, "--rate", "1", "--yes", "--wait")
            killer.spare(node)
            self.cluster.forget(node)
            self.assertIn(node.wait_exit(), (0, 5))  # 5: it was killed before it knew.
        killer.stop()
        for node in self.cluster.nodes:
            node.wait_ready()
        self.wait_members(3)
        self.wait_copies(3)
        quiet = time.monotonic()
        load.progress(300)
        load.stop()
        print(f"{killer.kills} kills, {load.answered} answers, {len(load.failures)} failures")
        self.assertEqual(load.violations, [])
        self.assertEqual(load.failed_since(quiet), [])
        self.assertGreater(killer.kills, 5)
        self.assert_all_there(load)
        self.assert_replicas_equal()


if __name__ == "__main__":
    unittest.main()
