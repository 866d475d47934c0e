"""The life of a node's process: what a start refuses, what a stop keeps, what signals do."""

import stat

from harness import *

SMALL = ["--map-size", "4G"]


def serve(*arguments, timeout=60):
    """A start that is expected to end by itself."""
    return subprocess.run([program("kvnode"), "serve", *arguments], capture_output=True,
                          timeout=timeout, check=False)


def check(data):
    return subprocess.run([program("kvnode"), "check", "--data", data], capture_output=True,
                          timeout=120, check=False)


class Start(ClusterTest):
    def path(self, name):
        return os.path.join(self.cluster.folder, name)

    def refused(self, code, words, *arguments):
        done = serve(*arguments)
        text = (done.stdout + done.stderr).decode()
        self.assertEqual(done.returncode, code, text)
        for word in words:
            self.assertIn(word, text)

    def test_an_empty_directory_founds_nothing_by_accident(self):
        self.refused(2, ["--create", "--seed"], "--data", self.path("new"))
        self.assertFalse(os.path.exists(self.path("new")))
        os.mkdir(self.path("mounted"))
        os.mkdir(self.path("mounted/lost+found"))
        self.refused(2, ["--create", "--seed"], "--data", self.path("mounted"))

    def test_usage(self):
        self.refused(2, ["--data"], "--create")
        self.refused(2, ["one of them"], "--data", self.path("d"), "--create", "--seed", "a:1")
        self.refused(2, ["--nmae"], "--data", self.path("d"), "--create", "--nmae", "x")
        self.refused(2, ["--insecure"], "--data", self.path("d"), "--create", "--listen", "0.0.0.0:1")
        with open(self.path("conf"), "w", encoding="utf-8") as file:
            file.write("[node]\nname = a\nzoen = b\n")
        self.refused(2, ["conf:3", "zoen"], "--data", self.path("d"), "--create", "--config",
                     self.path("conf"))
        self.assertFalse(os.path.exists(self.path("d")))

    def test_help_and_version(self):
        for arguments in (["--help"], ["serve", "--help"], ["check", "--help"], ["--version"]):
            done = subprocess.run([program("kvnode"), *arguments], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, arguments)
            self.assertTrue(done.stdout)
            self.assertFalse(done.stderr)
        done = subprocess.run([program("kvnode"), "srve"], capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"srve", done.stderr)

    def test_an_address_in_use_leaves_no_directory(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.refused(5, ["in use"], "--data", self.path("d"), "--create", "--listen",
                         f"127.0.0.1:{port}", "--peer", f"127.0.0.1:{free_port()}", "--http", "off")
        self.assertFalse(os.path.exists(self.path("d")))

    def test_one_address_for_two_listeners(self):
        """Is refused, and not remembered for the next start."""
        port = f"127.0.0.1:{free_port()}"
        self.refused(5, ["two of them have", port], "--data", self.path("d"), "--create", "--listen",
                     port, "--peer", port, "--http", "off")
        self.assertFalse(os.path.exists(self.path("d")))
        node = self.cluster.add("a", *SMALL, create=True)
        self.assertEqual(node.stop(), 0)
        self.refused(5, ["two of them have"], "--data", node.data, "--http", node.address)
        node.start()
        self.assertEqual(node.state(), "ready")

    def test_a_second_process_on_one_directory(self):
        node = self.cluster.add("a", *SMALL, create=True)
        self.refused(5, ["in use", str(node.process.pid)], "--data", node.data, "--listen",
                     f"127.0.0.1:{free_port()}", "--peer", f"127.0.0.1:{free_port()}", "--http", "off")
        self.assertEqual(node.state(), "ready")

    def test_the_directory_is_private(self):
        os.mkdir(self.path("a"), 0o755)
        node = self.cluster.add("a", *SMALL, create=True)
        self.assertEqual(stat.S_IMODE(os.stat(node.data).st_mode), 0o700)

    def test_a_directory_remembers(self):
        """Cluster, name, zone and data are there without a flag; another cluster is refused."""
        node = self.cluster.add("first", *SMALL, "--zone", "z7", "--cluster", "prod", "--ranges",
                                "128", create=True)
        with node.rpc() as rpc:
            rpc.call("put", key=b"k", value=b"v")
        self.assertEqual(node.stop(), 0)
        ports = ["--peer", node.peer_address, "--listen", node.address, "--http", "off"]
        node.process = subprocess.Popen([program("kvnode"), "serve", "--data", node.data, *ports],
                                        stderr=subprocess.DEVNULL)
        node.wait_ready()
        with node.rpc() as rpc:
            self.assertEqual(rpc.call("get", key=b"k")["siblings"][0]["value"], b"v")
            ping = rpc.call("ping")
            member = rpc.call("status")["members"][0]
        self.assertEqual((ping["name"], ping["cluster_name"]), ("first", "prod"))
        self.assertEqual(member["zone"], "z7")
        self.assertEqual(node.stop(), 0)
        self.refused(5, ["prod", "other"], "--data", node.data, "--cluster", "other", *ports)
        # --create again is a no-op.
        node.start("--create")
        with node.rpc() as rpc:
            self.assertEqual(rpc.call("get", key=b"k")["siblings"][0]["value"], b"v")
            self.assertEqual(rpc.call("ping")["cluster"], ping["cluster"])

    def test_a_directory_remembers_its_addresses(self):
        """Each by itself: what is given wins, and is what the next start comes up with."""
        node = self.cluster.add("first", *SMALL, "--advertise", "localhost", create=True)

        def restart(*options):
            self.assertEqual(node.stop(), 0)
            with open(node.log_path, "ab") as log:
                node.process = subprocess.Popen([program("kvnode"), "serve", "--data", node.data,
                                                 *SMALL, *options], stderr=log)
            node.wait_ready()
            with node.rpc() as rpc:
                member = rpc.call("status")["members"][0]
            return [member[field] for field in ("peer", "client", "http")]

        first = [f"localhost:{port}" for port in (node.peer, node.port, node.http)]
        self.assertEqual(restart(), first)
        node.port = free_port()
        moved = [first[0], f"localhost:{node.port}", first[2]]
        self.assertEqual(restart("--listen", node.address), moved)
        self.assertEqual(restart(), moved)
        config = self.path("conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write("[listen]\nhttp = off\n[node]\nadvertise = 127.0.0.1\n")
        quiet = [f"127.0.0.1:{node.peer}", node.address, ""]
        self.assertEqual(restart("--config", config), quiet)
        self.assertEqual(restart(), quiet)

    def test_a_remembered_address_in_use(self):
        """Is refused with its name, and the next start finds all."""
        node = self.cluster.add("a", *SMALL, create=True)
        with node.rpc() as rpc:
            rpc.call("put", key=b"k", value=b"v")
        self.assertEqual(node.stop(), 0)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", node.port))
            taken.listen()
            self.refused(5, ["in use", str(node.port)], "--data", node.data)
        node.start()
        with node.rpc() as rpc:
            self.assertEqual(rpc.call("get", key=b"k")["siblings"][0]["value"], b"v")

    def test_waiting_for_a_seed(self):
        seed = Node(self.cluster.folder, "seed", SMALL)
        waiting = Node(self.cluster.folder, "waiting", SMALL)
        self.cluster.nodes += [seed, waiting]
        waiting.start("--seed", seed.peer_address, ready=False)
        wait_for("the line", lambda: "no seed is a member yet; start exactly one node with --create"
                 in waiting.log())
        with waiting.rpc() as rpc:
            with self.assertRaises(RpcError) as caught:
                rpc.call("get", key=b"k")
            self.assertEqual(caught.exception.code, "NOT_READY")
        seed.start("--create")
        waiting.wait_ready()

    def test_an_interrupted_wait_can_go_on_but_not_found(self):
        node = Node(self.cluster.folder, "w", SMALL)
        self.cluster.nodes.append(node)
        node.start("--seed", f"127.0.0.1:{free_port()}", ready=False)
        wait_for("it to listen", lambda: node.state() == "joining")
        self.assertEqual(node.stop(), 0)
        ports = ["--peer", node.peer_address, "--listen", node.address, "--http", "off"]
        self.refused(5, ["--seed"], "--data", node.data, "--create", *ports)
        self.refused(2, ["--seed"], "--data", node.data, *ports)


class Stop(ClusterTest):
    def setUp(self):
        super().setUp()
        self.node = self.cluster.add("a", *SMALL, create=True)

    def test_a_stop_is_clean_and_nothing_is_replayed(self):
        with self.node.rpc() as rpc:
            for number in range(500):
                rpc.call("put", key=b"k%d" % number, value=b"v%d" % number)
        self.assertEqual(self.node.stop(), 0)
        done = check(self.node.data)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(b"500 keys", done.stdout)
        self.assertIn(b"last stop clean", done.stdout)
        self.node.start()
        self.assertIn("last_stop=clean", self.node.log())
        with self.node.rpc() as rpc:
            for number in range(500):
                answer = rpc.call("get", key=b"k%d" % number)
                self.assertEqual(answer["siblings"][0]["value"], b"v%d" % number)

    def test_a_kill_is_unclean_and_loses_nothing_acknowledged(self):
        with self.node.rpc() as rpc:
            for number in range(500):
                rpc.call("put", key=b"k%d" % number, value=b"v%d" % number)
        self.node.kill()
        done = check(self.node.data)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(b"500 keys", done.stdout)
        self.assertIn(b"last stop unclean", done.stdout)
        self.node.start()
        with self.node.rpc() as rpc:
            for number in range(500):
                answer = rpc.call("get", key=b"k%d" % number)
                self.assertEqual(answer["siblings"][0]["value"], b"v%d" % number)

    def test_interrupt_stops_as_terminate_does(self):
        self.node.process.send_signal(signal.SIGINT)
        self.assertEqual(self.node.process.wait(60), 0)
        self.node.process = None

    def test_drain_by_method_ends_the_process(self):
        with self.node.rpc() as rpc:
            rpc.call("drain")
        self.assertEqual(self.node.process.wait(60), 0)
        self.node.process = None

    def test_requests_under_way_are_answered_before_the_end(self):
        with self.node.rpc() as rpc:
            for number in range(200):
                rpc.send(pack([0, number, "put", {"key": b"k%d" % number, "value": b"v"}]))
            first = rpc.read()
            self.assertIsNone(first[2])
            self.node.process.send_signal(signal.SIGTERM)
            answers = {first[1]: first}
            while (answer := rpc.read()) is not None:
                answers[answer[1]] = answer
        self.assertEqual(self.node.process.wait(60), 0)
        self.node.process = None
        # Each was acknowledged or refused; what was acknowledged is there.
        self.assertEqual(len(answers), 200)
        self.node.start()
        with self.node.rpc() as rpc:
            for number, answer in answers.items():
                if answer[2] is None:
                    rpc.call("get", key=b"k%d" % number)

    def test_hangup_reloads_the_log_level(self):
        path = os.path.join(self.cluster.folder, "conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("[log]\nformat = text\n")
        self.assertEqual(self.node.stop(), 0)
        self.node.start("--config", path)
        with open(path, "w", encoding="utf-8") as file:
            file.write("[log]\nformat = json\n")
        self.node.process.send_signal(signal.SIGHUP)
        line = wait_for("the reload", lambda: [line for line in self.node.log().splitlines()
                                               if "configuration reloaded" in line])[0]
        self.assertEqual(json.loads(line)["level"], "info")
        with open(path, "w", encoding="utf-8") as file:
            file.write("[log]\nlevle = info\n")
        self.node.process.send_signal(signal.SIGHUP)
        wait_for("the refusal", lambda: "configuration not reloaded" in self.node.log())
        self.assertIn("levle", self.node.log())
        self.assertEqual(self.node.state(), "ready")

    def test_the_service_manager_is_told(self):
        self.assertEqual(self.node.stop(), 0)
        path = os.path.join(self.cluster.folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(60)
            os.environ["NOTIFY_SOCKET"] = path
            self.addCleanup(os.environ.pop, "NOTIFY_SOCKET", None)
            self.node.start()
            self.assertEqual(manager.recv(100), b"READY=1")
            self.assertEqual(self.node.stop(), 0)
            self.assertEqual(manager.recv(100), b"STOPPING=1")


if __name__ == "__main__":
    unittest.main()
