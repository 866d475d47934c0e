"""Starts that must not happen, each refused with its exit code and words that say what to do; and
starts that look odd and are fine."""

import shutil
import stat

from harness import *

USAGE, REFUSED = 2, 5


class Starts(ClusterTest):
    def refused(self, node, code, *words, arguments=()):
        """NODE must end by itself with CODE and say WORDS in the last line of its log."""
        node.start(*arguments, ready=False)
        self.assertEqual(node.wait_exit(), code, node.log())
        end = " ".join(node.log().splitlines()[-2:])
        for word in words:
            self.assertIn(word, end)

    def node(self, name, *options):
        """Not started yet."""
        node = Node(self.cluster.folder, name, ["--map-size", "4G", *options])
        self.cluster.nodes.append(node)
        return node

    def founded(self, name, *options):
        node = self.node(name, *options)
        node.start("--create")
        return node

    def test_an_empty_directory_founds_nothing_by_itself(self):
        node = self.node("a")
        self.refused(node, USAGE, "--create", "--seed", node.data)
        self.assertFalse(os.path.exists(node.data))
        os.mkdir(node.data)
        self.refused(node, USAGE, "--create", "--seed")
        self.assertEqual(os.listdir(node.data), [])
        self.refused(node, USAGE, "--create", "--seed",
                     arguments=["--create", "--seed", "127.0.0.1:1"])
        self.assertEqual(os.listdir(node.data), [])

    def test_creating_again_changes_nothing(self):
        node = self.founded("a", "--ranges", "64")
        self.cli("put", "k", "v")
        cluster = self.status()["cluster"]
        self.assertEqual(node.stop(), 0)
        node.start("--create")
        self.assertEqual(self.cli("get", "k"), b"v")
        self.assertEqual(self.status()["cluster"], cluster)
        self.assertEqual(stat.S_IMODE(os.stat(node.data).st_mode), 0o700)
        self.assertEqual(node.stop(), 0)
        # As another cluster than it is, it is not started.
        self.refused(node, REFUSED, "kvring", "other", arguments=["--create", "--cluster", "other"])
        node.start()
        self.assertEqual(self.cli("get", "k"), b"v")

    def test_seed_of_another_cluster(self):
        mine = self.founded("mine", "--cluster", "mine")
        other = self.founded("other", "--cluster", "other")
        self.cli("put", "k", "mine", nodes=[mine])
        self.assertEqual(mine.stop(), 0)
        # It stays what it is and says whose seed it was given.
        mine.start("--seed", other.peer_address)
        for node, said in ((mine, other.peer_address), (other, "peer connection closed")):
            wait_for(f"{node.name} to say why", lambda: any(
                "it belongs to another cluster" in line and said in line
                for line in node.log().splitlines()))
        self.wait_gossip()
        self.assertEqual(self.cli("get", "k", nodes=[mine]), b"mine")
        self.assertEqual(len(self.status(mine)["members"]), 1)
        self.assertEqual(len(self.status(other)["members"]), 1)

    def test_waiting_for_a_seed(self):
        node = self.node("a")
        node.start("--seed", "127.0.0.1:1", ready=False)
        wait_for("the node to say what it waits for", lambda:
                 "no seed is a member yet; start exactly one node with --create" in node.log())
        self.assertEqual(node.state(), "joining")
        done = self.cluster.cli("put", "k", "v")
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"NOT_READY", done.stderr)

    def test_a_directory_is_used_once(self):
        node = self.founded("a")
        second = self.node("second")
        second.data = node.data
        self.refused(second, REFUSED, "in use by another process", str(node.process.pid))
        self.cluster.forget(second)
        self.cli("put", "k", "v")

    def test_a_copied_directory(self):
        self.founded("a", "--ranges", "64")
        seed = self.cluster.nodes[0].peer_address
        original = self.node("b")
        original.start("--seed", seed)
        self.wait_members(2)
        self.admin("rebalance", "--yes", "--wait")
        self.cli("put", "k", "v")
        self.assertEqual(original.stop(), 0)
        copy = self.node("copy")
        shutil.copytree(original.data, copy.data)
        original.start()
        self.refused(copy, REFUSED, "copied")
        self.cluster.forget(copy)
        # The original is not harmed by it.
        self.wait_members(2)
        self.assertEqual(original.state(), "ready")
        for node in self.cluster.nodes:
            self.assertEqual(self.cli("get", "k", nodes=[node]), b"v")

    def test_an_old_backup(self):
        self.founded("a", "--ranges", "64")
        node = self.node("b")
        node.start("--seed", self.cluster.nodes[0].peer_address)
        self.wait_members(2)
        self.admin("rebalance", "--yes", "--wait")
        self.assertEqual(node.stop(), 0)
        backup = node.data + ".backup"
        shutil.copytree(node.data, backup)
        node.start()
        self.wait_members(2)
        self.cli("put", "k", "v", "-w", "all")
        self.assertEqual(node.stop(), 0)
        shutil.rmtree(node.data)
        os.rename(backup, node.data)
        self.refused(node, REFUSED, "AMNESIAC", "empty directory")
        self.cluster.forget(node)
        self.assertEqual(self.cli("get", "k", "-r", "1"), b"v")

    def test_configuration_file(self):
        node = self.node("a")
        path = os.path.join(self.cluster.folder, "kvnode.conf")
        node.options += ["--config", path]
        for text, words in (("[node]\nzome = x\n", ("zome", ":2")),
                            ("[nod]\nzone = x\n", ("nod", ":2")),
                            ("[node]\nzone x\n", (":2",)),
                            ("[store]\nmemory = lots\n", ("memory", "lots"))):
            with open(path, "w") as file:
                file.write(text)
            self.refused(node, USAGE, *words, arguments=["--create"])
            self.assertFalse(os.path.exists(node.data))
        with open(path, "w") as file:
            file.write("# Comment\n[node]\nzone = east\n")
        node.start("--create")
        self.assertEqual(self.status()["members"][0]["zone"], "east")

    def test_addresses(self):
        node = self.node("a")
        self.refused(node, USAGE, "--insecure", arguments=["--create", "--listen", "0.0.0.0:7379"])
        self.refused(node, USAGE, "--advertise",
                     arguments=["--create", "--insecure", "--listen", "0.0.0.0:7379"])
        self.refused(node, USAGE, "--insecure", arguments=["--create", "--peer", "10.1.2.3:7400"])
        self.refused(node, USAGE, "HOST:PORT",
                     arguments=["--create", "--listen", "127.0.0.1:99999"])
        self.assertFalse(os.path.exists(node.data))
        # Taken by somebody else.
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.refused(node, REFUSED, f"127.0.0.1:{port}",
                         arguments=["--create", "--listen", f"127.0.0.1:{port}"])
        node.start("--create", "--insecure", "--advertise", "127.0.0.1",
                   "--peer", f"0.0.0.0:{node.peer}")
        self.assertTrue(self.status()["node"]["insecure"])
        self.assertIn("TLS is off", node.log())

    def test_unknown_options(self):
        node = self.node("a")
        self.refused(node, USAGE, "--frobnicate", arguments=["--create", "--frobnicate"])
        self.refused(node, USAGE, "ranges", arguments=["--create", "--ranges", "100"])
        self.assertFalse(os.path.exists(node.data))


if __name__ == "__main__":
    unittest.main()
