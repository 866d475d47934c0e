"""One node and kvcli: what a newcomer tries first, and what scripts rely on."""

import base64
import pty
import termios
import threading
import time
import xml.etree.ElementTree

from harness import *


class OneNode(ClusterTest):
    def setUp(self):
        super().setUp()
        self.node = self.cluster.add("a", "--map-size", "4G", create=True)

    def test_put_get_del(self):
        self.cli("put", "greeting", "hello")
        self.assertEqual(self.cli("get", "greeting"), b"hello")
        self.cli("put", "greeting", "hello again")
        self.assertEqual(self.cli("get", "greeting"), b"hello again")
        self.cli("del", "greeting")
        done = self.cluster.cli("get", "greeting")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, b"")
        self.assertIn(b"DELETED", done.stderr)

    def test_values_are_kept_byte_for_byte(self):
        values = {"empty": b"", "newline": b"a\n", "zero": b"\0", "all": bytes(range(256)) * 40,
                  "large": random.Random(7).randbytes(1000000)}
        for key, value in values.items():
            self.cli("put", key, "-", input=value)
        for key, value in values.items():
            self.assertEqual(self.cli("get", key), value, key)

    def test_exit_codes(self):
        self.cli("get", "nobody", code=1)
        self.cli("del", "nobody", code=1)
        self.cli("get", code=2)
        self.cli("frobnicate", code=2)
        self.cli("put", "k", "v", "--ttl", "soon", code=2)
        self.cli("put", "k", "v", "--bucket", "no such bucket!", code=2)
        self.cli("put", "k", "v", "--bucket", "nowhere", code=5)
        self.cli("put", "k", "-", input=bytes(1 << 21), code=5)
        self.cli("put", "k", "v", "--context", "AAAA", code=5)
        self.cli("-n", "127.0.0.1:1", "get", "k", code=3)

    def test_load_needs_a_node_that_answers(self):
        for command in ("load", "soak", "run"):
            done = self.cluster.cli(command, "-n", f"127.0.0.1:{free_port()}", tool="kvbench")
            self.assertEqual(done.returncode, 3, (command, done.stderr))
            self.assertIn(b"cannot connect", done.stderr)
            self.assertEqual(done.stdout, b"")

    def test_a_run_is_drawn_over_time(self):
        path = os.path.join(self.cluster.folder, "run.svg")
        result = json.loads(self.cli("run", "--seconds", "3", "-c", "4", "--keys", "100", "--json",
                                     "--svg", path, tool="kvbench"))
        points = result["timeline"]
        self.assertEqual(points[0]["from_s"], 0)
        for one, next_one in zip(points, points[1:]):
            self.assertEqual(one["to_s"], next_one["from_s"])
        self.assertAlmostEqual(points[-1]["to_s"], result["seconds"], places=1)
        # What was under way at the end is counted, and belongs to no second.
        self.assertLessEqual(result["done"] - sum(point["done"] for point in points), 4)
        picture = xml.etree.ElementTree.parse(path)
        words = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
        self.assertLessEqual({"operations a second", "done", "failed", "p50", "p99.9", "max"}, words)
        done = self.cluster.cli("run", "--count", "10", "--svg", path + "/no", tool="kvbench")
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn(b"cannot write", done.stderr)

    def test_a_closed_standard_output_is_an_error(self):
        """Not a connection that takes its number and gets what is printed."""
        self.cli("put", "k", "v")
        for command in ("get k", "export", "scan"):
            done = subprocess.run(f"{program('kvcli')} -n {self.node.address} {command} >&-",
                                  shell=True, stderr=subprocess.PIPE, timeout=60, check=False)
            self.assertEqual(done.returncode, 6, (command, done.stderr))
            self.assertIn(b"cannot write", done.stderr)

    def test_a_node_without_standard_streams_gives_their_numbers_to_nobody(self):
        self.node.stop()
        line = (f"exec {program('kvnode')} serve --data {self.node.data} --peer {self.node.peer_address}"
                f" --listen {self.node.address} --http 127.0.0.1:{self.node.http} <&- >&- 2>&-")
        self.node.process = subprocess.Popen(["sh", "-c", line])
        self.node.wait_ready()
        for fd in range(3):
            self.assertEqual(os.readlink(f"/proc/{self.node.process.pid}/fd/{fd}"), "/dev/null")

    def test_errors_say_what_to_do(self):
        done = self.cluster.cli("put", "k", "v", "--bucket", "nowhere")
        self.assertIn(b"UNKNOWN_BUCKET", done.stderr)
        self.assertIn(b"do: ", done.stderr)
        error = json.loads(self.cli("put", "k", "v", "--bucket", "nowhere", "--json", code=5))["error"]
        self.assertEqual(error["code"], "UNKNOWN_BUCKET")
        self.assertTrue(error["message"] and error["advice"])

    def test_json(self):
        put = json.loads(self.cli("put", "k", "v", "--json"))
        self.assertEqual((put["bucket"], put["key"]), ("default", "k"))
        get = json.loads(self.cli("get", "k", "--json"))
        self.assertEqual(get["siblings"][0]["value"], "v")
        self.assertEqual(get["siblings"][0]["hlc"], put["hlc"])
        self.assertEqual((get["slots"], get["copies"]), (1, 3))

    def test_one_copy_is_said(self):
        done = self.cluster.cli("put", "k", "v")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"stored on 1 of 3 copies: run `kvadmin rebalance`", done.stderr)

    def test_a_value_expires(self):
        self.cli("put", "brief", "v", "--ttl", "300ms")
        wait_for("the value to expire", lambda: self.cluster.cli("get", "brief").returncode == 1)
        self.cli("put", "brief", "again")
        self.assertEqual(self.cli("get", "brief"), b"again")

    def test_siblings(self):
        self.assertEqual(self.cluster.cli("bucket", "create", "carts", "--policy", "siblings",
                                          tool="kvadmin").returncode, 0)
        self.cli("put", "cart", "apples", "--blind", "-b", "carts")
        self.cli("put", "cart", "pears", "--blind", "-b", "carts")
        shown = self.cluster.cli("get", "cart", "-b", "carts")
        self.assertEqual((shown.returncode, shown.stdout), (4, b""))
        self.assertIn(b"apples", shown.stderr)
        self.assertIn(b"pears", shown.stderr)
        stopped = self.cluster.cli("put", "cart", "both", "-b", "carts")
        self.assertEqual(stopped.returncode, 4)
        self.assertIn(b"CONFLICT", stopped.stderr)
        both = json.loads(self.cli("get", "cart", "-b", "carts", "--json", code=4))
        self.assertEqual({s["value"] for s in both["siblings"]}, {"apples", "pears"})
        self.cli("put", "cart", "both", "-b", "carts", "--context", both["context"])
        self.assertEqual(self.cli("get", "cart", "-b", "carts"), b"both")
        # The same context again is older than what is there now.
        self.cli("put", "cart", "late", "-b", "carts", "--context", both["context"])
        self.cli("get", "cart", "-b", "carts", code=4)
        self.cli("put", "cart", "one", "-b", "carts", "--resolve")
        self.assertEqual(self.cli("get", "cart", "-b", "carts"), b"one")
        # A context belongs to its key.
        self.cli("put", "other", "x", "-b", "carts", "--context", both["context"], code=5)

    def test_mget_and_scan(self):
        for i in range(30):
            self.cli("put", f"key{i}", f"value\t{i}")
        lines = self.cli("mget", "key3", "missing", "key7", code=1).splitlines()
        self.assertEqual(lines, [b"key3\tvalue\\t3", b"key7\tvalue\\t7"])
        self.assertEqual(set(self.cli("scan").split()), {b"key%d" % i for i in range(30)})
        rows = self.cli("scan", "--values", "--json").splitlines()
        self.assertEqual({json.loads(row)["value"] for row in rows},
                         {f"value\t{i}" for i in range(30)})
        some = self.cluster.cli("scan", "--limit", "12")
        cursor = some.stderr.split()[-1].decode()
        rest = self.cli("scan", "--cursor", cursor)
        self.assertEqual(len(some.stdout.split()), 12)
        self.assertEqual(sorted(some.stdout.split() + rest.split()),
                         sorted(b"key%d" % i for i in range(30)))

    def test_import_and_export_come_back_the_same(self):
        rng = random.Random(11)
        rows = {}
        for i in range(5000):
            key = f"k{i}" if i % 3 else rng.randbytes(8)
            rows[key] = "grün" * (i % 7) if i % 2 else rng.randbytes(i % 300)
        lines = []
        for key, value in rows.items():
            row = {"bucket": "default"}
            for name, field in (("key", key), ("value", value)):
                if isinstance(field, bytes):
                    row[name + "_base64"] = base64.b64encode(field).decode()
                else:
                    row[name] = field
            lines.append(json.dumps(row))
        report = json.loads(self.cli("import", "--json", input="\n".join(lines).encode()))
        self.assertEqual(report["stored"], len(rows))

        def field_of(row, name):
            return row[name].encode() if name in row else base64.b64decode(row[name + "_base64"])

        path = os.path.join(self.cluster.folder, "export")
        self.cli("export", path)
        with open(path) as file:
            back = {field_of(row, "key"): field_of(row, "value") for row in map(json.loads, file)}
        plain = {key if isinstance(key, bytes) else key.encode():
                 value if isinstance(value, bytes) else value.encode() for key, value in rows.items()}
        self.assertEqual(back, plain)

    def test_import_names_the_line_that_failed(self):
        lines = [json.dumps({"key": f"k{i}", "value": "v"}) for i in range(1000)]
        lines[700] = json.dumps({"key": "k", "value": "v", "bucket": "nowhere"})
        done = self.cluster.cli("import", input="\n".join(lines).encode())
        self.assertEqual(done.returncode, 8)
        self.assertIn(b"line 701:", done.stderr)
        self.assertIn(b"all before it were stored", done.stderr)
        stored = self.cli("scan").split()
        self.assertTrue({b"k%d" % i for i in range(700)} <= set(stored))
        self.assertIn(b"%d lines in all" % len(stored), done.stderr)
        done = self.cluster.cli("import", input=b'{"key": "a"}\n')
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"line 1:", done.stderr)

    def test_commands_from_standard_input(self):
        script = b"put 'a key' 'its value'\nget 'a key'\nget missing\nquit\nput x y\n"
        self.assertEqual(self.cli(input=script, code=1), b"its value")
        self.cli("get", "x", code=1)

    def test_the_prompt(self):
        environment = dict(os.environ, HOME=self.cluster.folder, TERM="xterm",
                           KV_NODES=self.node.address)
        child, terminal = pty.fork()
        if child == 0:
            os.execve(program("kvcli"), ["kvcli"], environment)
        screen = b""

        def until(text):
            nonlocal screen
            while text not in screen:
                ready, _, _ = select.select([terminal], [], [], 30)
                self.assertTrue(ready, screen)
                screen += os.read(terminal, 4096)
            screen = screen.partition(text)[2]

        until(b"kvcli> ")
        os.write(terminal, b"pu\tcolour green\n")
        until(b"colour green\r\n")
        until(b"kvcli> ")
        os.write(terminal, b"get colour\n")
        until(b"\r\ngreen")
        until(b"kvcli> ")
        os.write(terminal, b"\x1b[A\n")
        until(b"\r\ngreen")
        until(b"kvcli> ")
        os.write(terminal, b"get 'it\n")
        until(b"BAD_REQUEST")
        until(b"kvcli> ")
        # While the terminal still gathers lines, an end of file is no key yet.
        while termios.tcgetattr(terminal)[3] & termios.ICANON:
            time.sleep(0.01)
        os.write(terminal, b"\x04")
        _, status = os.waitpid(child, 0)
        self.assertEqual(status, 0)
        os.close(terminal)
        history = os.path.join(self.cluster.folder, ".kvcli_history")
        self.assertEqual(os.stat(history).st_mode & 0o777, 0o600)
        with open(history) as file:
            self.assertIn("get", file.read())

    def test_values_survive_a_stop_and_a_kill(self):
        self.cli("put", "stopped", "1")
        self.assertEqual(self.node.stop(), 0)
        self.node.start()
        self.cli("put", "killed", "2")
        self.node.kill()
        self.node.start()
        self.assertEqual(self.cli("get", "stopped"), b"1")
        self.assertEqual(self.cli("get", "killed"), b"2")

    def test_many_clients_at_once(self):
        failures = []

        def work(number):
            try:
                with self.node.rpc() as rpc:
                    for i in range(200):
                        key = b"c%d-%d" % (number, i)
                        rpc.call("put", key=key, value=key * 3)
                        if rpc.call("get", key=key)["siblings"][0]["value"] != key * 3:
                            failures.append(key)
            except Exception as error:  # Shown by the main thread.
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


if __name__ == "__main__":
    unittest.main()
