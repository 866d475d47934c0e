"""Three nodes: founded, joined, spread over under load, one killed and started again."""

from workload import *


class ThreeNodes(LoadedTest):
    RANGES = 256

    def setUp(self):
        super().setUp()
        self.a = self.cluster.add("a", "--map-size", "4G", "--ranges", str(self.RANGES),
                                  create=True)
        self.b = self.cluster.add("b", "--map-size", "4G")
        self.c = self.cluster.add("c", "--map-size", "4G")
        self.wait_members(3)

    def rebalance(self):
        self.admin("rebalance", "--yes", "--wait")
        self.wait_copies(3)

    def test_every_node_serves_every_key(self):
        for rebalanced in (False, True):
            for writer in self.cluster.nodes:
                for i in range(5):
                    key = f"{writer.name}{i}{rebalanced}"
                    self.cli("put", key, key * 3, nodes=[writer])
                    for reader in self.cluster.nodes:
                        self.assertEqual(self.cli("get", key, nodes=[reader]), key.encode() * 3)
            if not rebalanced:
                self.assertEqual(self.status()["verdict"], "DEGRADED")
                self.admin("status", "--check", code=3)
                self.rebalance()
        self.assertEqual(self.status()["verdict"], "OK")
        self.admin("status", "--check")
        self.admin("verify")

    def test_rebalance_disturbs_nobody(self):
        load = self.load(self.cluster.nodes)
        load.fill(self.a)
        load.start()
        load.progress()
        self.rebalance()
        load.progress()
        load.stop()
        self.assertEqual(load.violations, [])
        self.assertEqual(load.failures, [])
        status = self.status()
        self.assertEqual((status["verdict"], status["copies"][3]), ("OK", self.RANGES))
        self.assert_all_there(load)
        self.admin("verify")

    def test_one_node_is_killed_and_comes_back(self):
        self.rebalance()
        load = self.load([self.a, self.c])
        load.fill(self.a)
        load.start()
        load.progress()
        self.b.kill()
        load.progress()
        for node in (self.a, self.c):
            wait_for(f"{node.name} to notice", lambda: self.status(node)["verdict"] != "OK")
            status = self.status(node)
            self.assertEqual(status["verdict"], "DEGRADED")
            self.assertIn("b down", " ".join(status["reasons"]))
            self.assertEqual(status["copies"][2], self.RANGES)
        # What was on its way when b died may have failed; from now on nothing may.
        noticed = time.monotonic()
        load.progress(500)
        self.assertEqual(load.failed_since(noticed), [])
        self.b.start()
        self.wait_members(3)
        load.ask(self.cluster.nodes)
        back = time.monotonic()
        load.progress(500)
        load.stop()
        self.assertEqual(load.failed_since(back), [])
        self.assertEqual(load.violations, [])
        self.assertEqual(self.status()["verdict"], "OK")
        self.assert_all_there(load)
        self.assert_replicas_equal()

    def test_soak_finds_nothing_wrong_unless_something_is(self):
        """kvbench over a rebalance; then with a value that somebody else has overwritten."""
        stop = os.path.join(self.cluster.folder, "stop")
        ledger = os.path.join(self.cluster.folder, "ledger")
        environment = dict(os.environ, KV_NODES=",".join(n.address for n in self.cluster.nodes))
        command = [program("kvbench"), "soak", "--rate", "150", "--keys", "500",
                   "--seed", str(self.SEED), "--seconds", "120", "--stop-file", stop,
                   "--ledger", ledger]

        def requests():
            return self.a.metric("kvring_client_requests_total")

        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as soak:
            try:
                wait_for("soak to write", lambda: requests() > 1000)
                self.rebalance()
                done = requests()
                wait_for("soak to go on", lambda: requests() > done + 200)
            finally:
                open(stop, "w").close()
            output, words = soak.communicate(timeout=PATIENCE_S)
        self.assertEqual(soak.returncode, 0, output + words)
        self.cli("check", ledger, tool="kvbench")
        key = self.cli("scan", "--limit", "1").split()[0].decode()
        self.cli("put", key, "something else")
        self.cli("check", ledger, tool="kvbench", code=6)


if __name__ == "__main__":
    unittest.main()
