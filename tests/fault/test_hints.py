"""Owners are killed, and writes go on: other nodes keep them as hints, and hand them over when the
owners are back. Strict requests count owners only, and say so."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import *

HOST = {"host": "127.0.12.1"}
OPTIONS = ("--map-size", "4G", "--ranges", "64")


class Hints(ClusterTest):
    def grow(self, *more):
        self.cluster.add("a", *OPTIONS, *more, create=True, **HOST)
        for name in "bcde":
            self.cluster.add(name, *OPTIONS, *more, **HOST)
        self.wait_members(5)
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)
        self.values = {}

    def alive(self):
        return [node for node in self.cluster.nodes if node.process is not None]

    def kill(self, *names):
        for node in self.cluster.nodes:
            if node.name in names:
                node.kill()

        def noticed():
            states = [{m["name"]: m["state"] for m in self.status(node)["members"]}
                      for node in self.alive()]
            return all(state[name] == "down" for state in states for name in names)

        wait_for(f"{names} to be known as down", noticed)

    def put_all(self, count, round_, **options):
        """Put COUNT keys through the nodes that live, in turn: how often each answer came. What is
        acknowledged, and what was, is noted."""
        answers = {"sloppy": 0, "owners": 0}
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(node.rpc()) for node in self.alive()]
            for i in range(count):
                key, value = f"k{i}".encode(), f"{round_}.{i}".encode()
                asked = connections[i % len(connections)]
                try:
                    answer = asked.call("put", key=key, value=value, **options)
                    self.values[key] = value
                    answers["sloppy" if answer["sloppy"] else "owners"] += 1
                except RpcError as error:
                    answers[error.code] = answers.get(error.code, 0) + 1
        return answers

    def read_all(self, nodes, **options):
        for node in nodes:
            with node.rpc() as connection:
                for key, value in self.values.items():
                    answer = connection.call("get", key=key, **options)
                    found = [sibling["value"] for sibling in answer["siblings"]]
                    self.assertEqual(found, [value], f"{key} at {node.name}")

    def all_copies_read(self):
        try:
            self.read_all(self.cluster.nodes, strict=True, r="all")
            return True
        except RpcError as error:
            if error.code != "UNAVAILABLE":
                raise
            return False

    def hints(self):
        return json.loads(self.admin("hints", "--json", nodes=self.alive()))["nodes"]

    def wait_delivered(self):
        def none():
            return all("error" not in node and node["counted"] and node["keys"] == 0
                       for node in self.hints())

        wait_for("all hints to be delivered", none)
        self.assertIn(b"no hints are kept", self.admin("hints"))

    def test_owners_are_killed_and_writes_go_on(self):
        self.grow()
        # An owner may be silent for long enough to be replaced, on a machine that is busy.
        answers = self.put_all(200, "first")
        self.assertEqual(answers["sloppy"] + answers["owners"], 200)
        self.kill("d", "e")
        answers = self.put_all(200, "second")
        self.assertEqual(answers["sloppy"] + answers["owners"], 200)
        self.assertGreater(answers["sloppy"], 0)
        self.read_all(self.alive()[:1])  # Whoever keeps a hint of the key counts for a get.
        strict = self.put_all(200, "strict", strict=True)
        self.assertEqual(strict["sloppy"], 0)
        self.assertGreater(strict["owners"], 0)
        self.assertGreater(strict["UNAVAILABLE"], 0)
        kept = self.hints()
        self.assertGreater(sum(node.get("keys", 0) for node in kept), 0)
        for node in kept:
            for target in node.get("targets", []):
                self.assertEqual(target["held_by"], "down")
                self.assertIn(target["node"], ("d", "e"))
        # With three of five down some ranges have no owner left: a fallback coordinates.
        self.kill("c")
        answers = self.put_all(200, "third")
        self.assertEqual(answers["sloppy"] + answers["owners"], 200)
        self.assertGreater(sum(node.metric("kvring_fallback_puts_total") for node in self.alive()), 0)
        # Those that keep them are killed as well: hints are as durable as writes.
        for node in self.alive():
            node.kill()
        for node in self.cluster.nodes:
            node.start(ready=False)
        for node in self.cluster.nodes:
            node.wait_ready()
        self.wait_members(5)
        self.wait_delivered()
        self.read_all(self.cluster.nodes, strict=True, r="quorum")
        self.assertGreater(sum(node.metric("kvring_hints_delivered_total")
                               for node in self.cluster.nodes), 0)

    def test_a_full_fallback_refuses_and_drops_nothing(self):
        self.grow("--hints", "4K")
        self.put_all(100, "first")
        self.kill("d", "e")
        options = {"deadline_ms": 500}
        answers = self.put_all(400, "x" * 100, **options)
        refused = answers.get("UNAVAILABLE", 0) + answers.get("BUSY", 0) + answers.get("TIMEOUT", 0)
        self.assertGreater(answers["sloppy"], 0)
        self.assertGreater(refused, 0)
        unknown = answers.get("TIMEOUT", 0)
        for node in self.hints():
            self.assertLessEqual(node.get("bytes", 0), 4096 + 512)
        for node in self.cluster.nodes:
            if node not in self.alive():
                node.start(ready=False)
        for node in self.cluster.nodes:
            node.wait_ready()
        self.wait_members(5)
        self.wait_delivered()
        if unknown == 0:
            self.read_all(self.cluster.nodes[:1], strict=True)

    def test_damaged_hints_are_forgotten_once_all_owners_have_the_key(self):
        self.grow("--scrub-rate", "0", "--max-deadline", "2s")
        self.kill("e")
        answers = self.put_all(200, "kept by others")
        self.assertEqual(answers["sloppy"] + answers["owners"], 200)
        kept = {node["node"]: node["keys"] for node in self.hints() if "error" not in node}
        keeper = next(node for node in self.alive() if kept[node.name] > 0)
        self.assertEqual(keeper.stop(), 0)
        path = os.path.join(keeper.data, "db", "data.mdb")
        with open(path, "r+b") as file:
            data = file.read()
            at = data.find(b"kept by others")
            while at > 0:  # Of hints and of its own copies: both are to be mended.
                file.seek(at + 4)
                file.write(bytes([data[at + 4] ^ 1]))
                at = data.find(b"kept by others", at + 1)
        keeper.start()
        self.assertEqual(keeper.metric("kvring_hint_unreadable"), kept[keeper.name])
        self.assertIn(b"hints that cannot be read", self.admin("hints", nodes=self.alive()))
        e = self.cluster.nodes[4]
        e.start()
        self.wait_members(5)
        wait_for("the damaged hints to be forgotten",
                 lambda: keeper.metric("kvring_hint_unreadable") == 0)
        self.wait_delivered()
        wait_for("its own copies to be healed", self.all_copies_read)
        # Nothing holds the node any more.
        self.admin("leave", keeper.name, "--yes", "--wait")
        wait_for("it to have left", lambda: keeper.process.poll() is not None)
        keeper.process = None


if __name__ == "__main__":
    unittest.main()
