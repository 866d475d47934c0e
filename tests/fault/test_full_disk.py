"""One node's disk fills up: it says so, the others serve, reads go on, and all mends itself once
there is space again. The disk is a small tmpfs: needs root."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from workload import *

MIB = 1 << 20


class FullDisk(LoadedTest):
    SIZE = 320 * MIB
    RESERVE = 64 * MIB

    def setUp(self):
        super().setUp()
        self.disk = os.path.join(self.cluster.folder, "disk")
        os.mkdir(self.disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.SIZE}", "none", self.disk],
                       check=True)
        # Lazily: a node that did not stop still has it.
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.disk], check=True)
        options = ("--map-size", "4G", "--ranges", "64", "--reserve", str(self.RESERVE))
        self.a = self.cluster.add("a", *options, create=True)
        self.b = self.cluster.add("b", *options)
        self.c = Node(self.cluster.folder, "c", [*options, "--memory", "2M"])
        self.c.data = os.path.join(self.disk, "c")
        self.cluster.nodes.append(self.c)
        self.c.start("--seed", self.a.peer_address)
        self.wait_members(3)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)

    def free(self):
        space = os.statvfs(self.disk)
        return space.f_bavail * space.f_frsize

    def take(self, left):
        """Somebody else fills the disk until LEFT bytes are free."""
        with open(os.path.join(self.disk, "ballast"), "ab") as ballast:
            size = ballast.tell()
            os.posix_fallocate(ballast.fileno(), size, self.free() - left)

    def give_back(self):
        os.unlink(os.path.join(self.disk, "ballast"))

    def put_through_c(self):
        """The exit code and words."""
        done = self.cluster.cli("put", "probe", "x", "--deadline", "2s", nodes=[self.c])
        return done.returncode, done.stderr

    def wait_refused(self):
        wait_for("c to refuse writes", lambda: self.put_through_c()[0] != 0)
        code, words = self.put_through_c()
        self.assertEqual(code, 3, words)
        self.assertIn(b"DISK_FULL", words)

    def assert_only_c_refused(self, load):
        for _, text in load.failures:
            self.assertRegex(text, "^put of .* through c: .*DISK_FULL")
        self.assertIsNone(self.c.process.poll())

    def wait_taken(self):
        """All copies take a write again."""
        wait_for("c to take writes again", lambda: self.cluster.cli(
            "put", "probe", "x", "-w", "all", "--deadline", "2s", nodes=[self.c]).returncode == 0)

    def test_below_the_reserve_and_back(self):
        load = self.load(self.cluster.nodes)
        load.fill(self.a)
        self.cli("put", "doomed", "x")
        load.start()
        load.progress()
        self.take(self.RESERVE // 2)
        self.wait_refused()
        # Reads and deletes go on everywhere; puts do but where c would coordinate them.
        load.progress(500)
        self.assert_only_c_refused(load)
        self.cli("del", "doomed", "-w", "all", nodes=[self.c])
        self.cli("get", "doomed", "-r", "all", nodes=[self.b], code=1)
        self.assertIn("disk of this node is full", " ".join(self.status(self.c)["reasons"]))
        load.ask([self.a, self.b])
        refused = len(load.failures)
        load.progress(300)
        self.assertEqual(load.failures[refused:], [])
        # Then even the reserve is gone.
        load.ask(self.cluster.nodes)
        self.take(0)
        load.progress(500)
        self.assert_only_c_refused(load)

        self.give_back()
        self.wait_taken()
        again = time.monotonic()
        load.progress(300)
        load.stop()
        self.assertEqual(load.failed_since(again), [])
        self.assertEqual(load.violations, [])
        self.assert_all_there(load)
        self.assert_replicas_equal()

    def test_restart_on_a_full_disk(self):
        load = self.load(self.cluster.nodes)
        load.fill(self.a)
        self.take(self.RESERVE // 2)
        self.wait_refused()
        self.c.kill()
        self.c.start()
        self.wait_members(3)
        self.wait_refused()
        self.assert_all_there(load)
        self.give_back()
        self.wait_taken()
        self.assert_replicas_equal()


if __name__ == "__main__":
    unittest.main()
