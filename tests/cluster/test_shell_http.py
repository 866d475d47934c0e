"""The HTTP port: health, metrics that Prometheus accepts, status as JSON, and what it refuses."""

import re
import shutil
import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from harness import *


def fetch(node, path, method="GET", body=None):
    """Status, content type, body."""
    request = urllib.request.Request(f"http://127.0.0.1:{node.http}{path}", data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read()


def samples(page):
    """Name with labels -> value."""
    found = {}
    for line in page.decode().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


class Http(ClusterTest):
    def setUp(self):
        super().setUp()
        self.node = self.cluster.add("a", "--map-size", "4G", create=True)

    def test_health(self):
        self.assertEqual(fetch(self.node, "/healthz")[::2], (200, b"ok\n"))
        self.assertEqual(fetch(self.node, "/readyz")[::2], (200, b"ready\n"))

    def test_a_node_that_waits_for_its_seed_is_healthy_but_not_ready(self):
        waiting = Node(self.cluster.folder, "w", ["--map-size", "4G"])
        self.cluster.nodes.append(waiting)
        waiting.start("--seed", f"127.0.0.1:{free_port()}", ready=False)
        wait_for("it to listen", lambda: waiting.state() == "joining")
        self.assertEqual(fetch(waiting, "/healthz")[0], 200)
        self.assertEqual(fetch(waiting, "/readyz")[::2], (503, b"joining\n"))
        self.assertEqual(fetch(waiting, "/metrics")[0], 200)

    def test_metrics_count_what_was_done(self):
        with self.node.rpc() as rpc:
            for number in range(20):
                rpc.call("put", key=b"k%d" % number, value=b"v")
            for number in range(30):
                rpc.call("get", key=b"k%d" % (number % 20))
        status, kind, page = fetch(self.node, "/metrics")
        self.assertEqual(status, 200)
        self.assertTrue(kind.startswith("text/plain; version=0.0.4"), kind)
        found = samples(page)
        self.assertEqual(found['kvring_requests_total{method="put"}'], 20)
        self.assertEqual(found['kvring_requests_total{method="get"}'], 30)
        self.assertEqual(found['kvring_request_duration_seconds_count{method="get"}'], 30)
        self.assertEqual(found['kvring_state{state="ready"}'], 1)
        self.assertEqual(found["kvring_store_keys"], 20)
        self.assertEqual(found["kvring_members"], 1)
        self.assertGreater(found["process_resident_memory_bytes"], 1e6)
        self.assertGreater(found["process_open_fds"], 5)
        self.assertLess(abs(found["process_start_time_seconds"] - time.time()), 600)
        self.assertRegex(page.decode(), r'kvring_info\{version="[^"]+",node="[0-9a-f]{32}",name="a"')

    def test_histograms_are_cumulative(self):
        with self.node.rpc() as rpc:
            for number in range(50):
                rpc.call("put", key=b"k%d" % number, value=b"v")
        page = fetch(self.node, "/metrics")[2].decode()
        for family in ("kvring_request_duration_seconds", "kvring_loop_turn_seconds"):
            series = {}
            for labels, value in re.findall(rf"^{family}_bucket{{(.*)}} (\d+)$", page, re.M):
                rest, bound = re.fullmatch(r'(.*)le="(.*)"', labels).groups()
                series.setdefault(rest, []).append((float(bound.replace("+Inf", "inf")), int(value)))
            self.assertTrue(series)
            for buckets in series.values():
                self.assertEqual(buckets, sorted(buckets))
                counts = [count for _, count in buckets]
                self.assertEqual(counts, sorted(counts))

    def test_a_scraper_understands_the_metrics(self):
        page = fetch(self.node, "/metrics")[2]
        families = list(text_string_to_metric_families(page.decode()))
        self.assertGreater(len(families), 30)
        for family in families:
            self.assertIn(family.type, ("counter", "gauge", "histogram"), family.name)
            self.assertTrue(family.documentation, family.name)
            self.assertTrue(family.samples, family.name)
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=page,
                                  capture_output=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))

    def test_cluster_pages_show_what_the_methods_show(self):
        with self.node.rpc() as rpc:
            status = rpc.call("status")
            ring = rpc.call("ring", **{"from": 3, "count": 2})
        shown = json.loads(fetch(self.node, "/v1/cluster/status")[2])
        self.assertEqual(shown["cluster"], status["cluster"])
        self.assertEqual(shown["members"][0]["name"], "a")
        self.assertEqual(json.loads(fetch(self.node, "/v1/cluster/ring?from=3&count=2")[2]), ring)
        for page in ("members", "transfers", "gossip"):
            code, kind, body = fetch(self.node, f"/v1/cluster/{page}")
            self.assertEqual((code, kind), (200, "application/json"), body)
            json.loads(body)

    def test_what_is_refused(self):
        for path, method, code in (("/nowhere", "GET", 404), ("/v1/cluster/drain", "GET", 404),
                                   ("/v1/cluster/ring?from=x", "GET", 400),
                                   ("/v1/cluster/ring?form=1", "GET", 400),
                                   ("/metrics", "POST", 405), ("/metrics", "DELETE", 405)):
            answer = fetch(self.node, path, method, b"x" if method == "POST" else None)
            self.assertEqual(answer[0], code, (path, method, answer))
        error = json.loads(fetch(self.node, "/v1/cluster/ring?form=1")[2])["error"]
        self.assertEqual(error["code"], "BAD_REQUEST")
        self.assertIn("form", error["message"])
        self.assertEqual(self.node.state(), "ready")

    def test_off(self):
        other = Node(self.cluster.folder, "o", ["--map-size", "4G"])
        self.cluster.nodes.append(other)
        other.start("--create", "--http", "off")
        with self.assertRaises(urllib.error.URLError):
            fetch(other, "/healthz")


if __name__ == "__main__":
    unittest.main()
