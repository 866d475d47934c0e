"""Nodes that are lost for good, and nodes that come back wrong: with another disk, with an older copy
of their own, after they were removed."""

import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from workload import *

REFUSED = 5


class LostNode(LoadedTest):
    OPTIONS = ("--map-size", "4G", "--ranges", "64")

    def setUp(self):
        super().setUp()
        self.a = self.cluster.add("a", *self.OPTIONS, create=True)
        self.b = self.cluster.add("b", *self.OPTIONS)
        self.c = self.cluster.add("c", *self.OPTIONS)
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        self.work = self.load(self.cluster.nodes, keys=200, size_max=8000)
        self.work.fill(self.a)

    def wait_down(self, name):
        wait_for(f"{name} to be missed", lambda: all(
            f"{name} down" in " ".join(self.status(node)["reasons"]) for node in (self.a, self.b)))

    def lose(self, node):
        """Kill it and delete all it had; nobody asks it any more."""
        node.kill()
        shutil.rmtree(node.data)
        self.cluster.forget(node)
        self.work.ask(self.cluster.nodes)
        self.wait_down(node.name)

    def refused(self, *arguments, code=REFUSED):
        """The words with which kvadmin refuses."""
        done = self.cluster.cli(*arguments, tool="kvadmin")
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr.decode()

    def assert_whole(self):
        """Every value is there through each node, and every copy is the same."""
        self.wait_copies(3)
        self.work.stop()
        self.assertEqual(self.work.violations, [])
        self.assert_all_there(self.work)
        self.admin("verify")
        self.assert_replicas_equal()

    def test_replaced(self):
        """A wiped disk: under load, one command brings back all copies."""
        self.assertIn("use `kvadmin leave c`", self.refused("remove", "c", "--yes"))
        self.work.start()
        self.work.progress(200)
        self.lose(self.c)
        self.assertIn("start c, or `kvadmin replace c NEW`", self.status(self.a)["advice"])
        # Nobody is there yet who could take what c had, and with b gone as well it would be lost.
        self.assertIn("find no other node", self.refused("remove", "c", "--yes"))
        d = self.cluster.add("d", *self.OPTIONS)
        wait_for("d to be known", lambda: all(
            "d" in [m["name"] for m in self.status(node)["members"]] for node in self.cluster.nodes))
        self.b.process.send_signal(signal.SIGSTOP)
        wait_for("b to be missed", lambda: "b down" in " ".join(self.status(self.a)["reasons"]))
        refusal = self.cluster.cli("remove", "c", "--yes", tool="kvadmin", nodes=[self.a])
        self.b.process.send_signal(signal.SIGCONT)
        self.assertEqual(refusal.returncode, 3, refusal.stderr)
        self.assertIn(b"64 ranges (0-63) would be left without a majority", refusal.stderr)
        wait_for("b to be heard again", lambda: "b down" not in " ".join(
            self.status(self.a)["reasons"]))

        told = self.admin("replace", "c", "d", "--dry-run").decode()
        self.assertIn("64 ranges have less than full copies: 0-63", told)
        self.assertIn("nothing was changed (--dry-run)", told)
        self.admin("replace", "c", "d", "--yes", "--wait")
        self.work.ask(self.cluster.nodes)
        self.work.progress(200)
        self.assertEqual(self.status(d)["verdict"], "OK")
        self.assert_whole()

    def test_missed_writes_outlive_who_noted_them(self):
        """Only the reader of a range's lowest slot has replicas compared. Writes that another node
        missed while that reader was down are brought to it though the reader never comes back."""
        d = self.cluster.add("d", *self.OPTIONS)
        self.wait_members(4)
        leaders = {record["slots"][0]["owner"] for record in json.loads(self.admin("ring", "--json"))}
        ids = {m["name"]: m["id"] for m in self.status(self.b)["members"]}
        self.assertEqual(leaders, {ids["a"]})
        for node in (self.a, self.c):
            node.kill()
        wait_for("a and c to be missed", lambda: all(
            f"{name} down" in " ".join(self.status(self.b)["reasons"]) for name in "ac"))
        for number in range(100):
            self.cli("put", f"missed{number}", "value", nodes=[self.b])
        self.c.start()
        self.cluster.forget(self.a)
        wait_for("c to be heard", lambda: all("c down" not in " ".join(self.status(node)["reasons"])
                                              for node in (self.b, d)))
        self.admin("replace", "a", "d", "--yes", "--wait", nodes=[self.b])
        self.wait_copies(3)
        wait_for("nothing to compare", lambda: all(
            self.dirty_ranges(node) == 0 for node in self.cluster.nodes))
        self.admin("verify")

    def dirty_ranges(self, node):
        """How many ranges it has found worth to compare."""
        with node.rpc() as rpc:
            return rpc.call("stats")["repair"]["dirty_ranges"]

    def test_removed_returns(self):
        """A node that was only unreachable: it is told, stops, and may come back as a new one."""
        self.work.start()
        self.c.kill()
        self.wait_down("c")
        d = self.cluster.add("d", *self.OPTIONS, ready=False)
        d.wait_ready()
        self.cluster.forget(self.c)
        self.admin("remove", "c", "--yes", "--wait")
        self.work.ask(self.cluster.nodes)
        self.c.start(ready=False)
        self.assertEqual(self.c.wait_exit(), REFUSED)
        # It is refused, or hears of its departure first: both say what happened and what to do.
        self.assertIn("this node was removed from", self.c.log())
        self.assertRegex(self.c.log(), "with an empty (data )?directory")
        self.c.start(ready=False)  # A second try ends alike.
        self.assertEqual(self.c.wait_exit(), REFUSED)
        shutil.rmtree(self.c.data)
        self.c.start("--seed", self.a.peer_address)
        self.cluster.nodes.append(self.c)
        self.cluster.ended.remove(self.c)
        self.wait_members(4)
        self.admin("rebalance", "--yes", "--wait")
        self.assert_whole()

    def remembered(self):
        """The least that another node remembers of c's log."""
        return min(peer["position"] for node in (self.a, self.b)
                   for peer in json.loads(self.admin("gossip", "--json", nodes=[node]))["peers"]
                   if peer["name"] == "c")

    def copied(self):
        """Copy c's directory; how far the log in the copy is."""
        copy = self.c.data + ".copy"
        shutil.copytree(self.c.data, copy)
        scratch = copy + ".check"
        shutil.copytree(copy, scratch)  # To look at it would be a start of its own.
        told = subprocess.run([program("kvnode"), "check", "--data", scratch],
                              capture_output=True, check=True).stdout.decode()
        return int(re.search(r"log position (\d+)", told).group(1))

    def restore(self):
        self.c.kill()
        shutil.rmtree(self.c.data)
        shutil.copytree(self.c.data + ".copy", self.c.data)

    def assert_amnesiac(self):
        self.c.start(ready=False)
        self.assertEqual(self.c.wait_exit(), REFUSED)
        self.assertIn("AMNESIAC", self.c.log())
        self.assertIn("kvadmin replace c NEW", self.c.log())
        # Each start makes its log longer; it must not pass for the original when it is long enough.
        self.c.start(ready=False)
        self.assertEqual(self.c.wait_exit(), REFUSED)
        self.assertIn("it was told so at an earlier start", self.c.log())

    def replace(self):
        self.cluster.forget(self.c)
        self.work.ask(self.cluster.nodes)
        self.wait_down("c")
        self.cluster.add("d", *self.OPTIONS)
        self.admin("replace", "c", "d", "--yes", "--wait")
        self.work.ask(self.cluster.nodes)
        self.work.progress(100)
        self.assert_whole()

    def work_on(self, position):
        """Until the others know that c's log is past POSITION."""
        self.work.start()
        self.work.progress(300)
        wait_for("all to hear how far c's log is", lambda: self.remembered() > position)

    def test_restored(self):
        """A copy of the directory from before the last start: it would begin that life once more."""
        self.c.kill()
        position = self.copied()
        self.c.start()
        self.wait_members(3)
        self.work_on(position)
        self.restore()
        self.assert_amnesiac()
        self.replace()

    def test_backup(self):
        """A copy of a running node's directory, from within its last life."""
        self.c.process.send_signal(signal.SIGSTOP)
        position = self.copied()
        self.c.process.send_signal(signal.SIGCONT)
        self.work_on(position)
        self.restore()
        self.assert_amnesiac()
        self.replace()


if __name__ == "__main__":
    unittest.main()
