"""Nodes of kvring that a benchmark starts, drives and ends, all on this machine."""
import json
import os
import subprocess
import time
import urllib.request


class Cluster:
    """Nodes a, b, ... at BASE.1, BASE.2, ... with the options that all of them get, and their own."""

    def __init__(self, binaries, base, folder, count, *common, own=None):
        self.binaries = binaries
        self.base = base
        self.folder = folder
        self.names = "abcdefghi"[:count]
        self.common = common
        self.own = own or {}
        self.processes = {}
        try:
            for i, name in enumerate(self.names):
                self.start(name, *(["--create"] if i == 0 else ["--seed", self.host(0) + ":7400"]))
            self.admin("rebalance", "--yes", "--wait")
            self.admin("repair", "--wait")
        except BaseException:
            self.end()
            raise

    def host(self, i):
        return f"{self.base}.{i + 1}"

    def nodes(self, names=None):
        return ",".join(f"{self.host(self.names.index(name))}:7379" for name in names or self.names)

    def start(self, name, *more):
        host = self.host(self.names.index(name))
        with open(os.path.join(self.folder, name + ".log"), "ab") as log:
            self.processes[name] = subprocess.Popen(
                [self.tool("kvnode"), "serve", "--data", os.path.join(self.folder, name),
                 "--name", name, "--peer", f"{host}:7400", "--listen", f"{host}:7379",
                 "--http", f"{host}:7380", *self.common, *self.own.get(name, []), *more],
                stdout=log, stderr=log)
        self.wait(f"{name} to be ready", lambda: self.ready(host))

    def ready(self, host):
        try:
            with urllib.request.urlopen(f"http://{host}:7380/readyz", timeout=5):
                return True
        except OSError:
            return False

    def wait(self, what, condition, seconds=600):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"waited in vain for {what}")
            time.sleep(0.05)

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()

    def tool(self, name):
        return os.path.join(self.binaries, name)

    def run(self, tool, *arguments, check=True, names=None):
        done = subprocess.run([self.tool(tool), *arguments], capture_output=True, text=True,
                              check=False, env=dict(os.environ, KV_NODES=self.nodes(names)))
        if check and done.returncode != 0:
            raise SystemExit(f"{tool} {' '.join(arguments)}: {done.stderr}")
        return done

    def admin(self, *arguments, **options):
        return self.run("kvadmin", *arguments, **options).stdout

    def load(self, keys, size, *more, names=None):
        self.run("kvbench", "load", "--keys", str(keys), "--size", str(size), *more, names=names)

    def load_modes(self, keys, size):
        """Every key in a bucket of either log mode: the default one, and "interval", made here."""
        self.admin("bucket", "create", "interval", "--log-mode", "interval")
        for more in ([], ["--bucket", "interval"]):
            self.load(keys, size, *more)

    def bench(self, *arguments, names=None, check=True):
        """What `kvbench run` has measured, the servers' costs included."""
        done = self.run("kvbench", "run", *arguments, "--pids", self.pids(), "--json", names=names,
                        check=check)
        return json.loads(done.stdout)

    def metric(self, name, metric):
        host = self.host(self.names.index(name))
        with urllib.request.urlopen(f"http://{host}:7380/metrics", timeout=30) as page:
            for line in page.read().decode().splitlines():
                if line.startswith(metric + " "):
                    return float(line.split()[1])
        raise SystemExit(f"{name} has no metric {metric}")

    def sum(self, metric):
        return sum(self.metric(name, metric) for name in self.names)

    def pids(self):
        return ",".join(str(process.pid) for process in self.processes.values()
                        if process.poll() is None)

    def ranges(self):
        return json.loads(self.admin("status", "--json"))["cluster"]["ranges"]

    def states(self, name):
        return {m["name"]: m["state"] for m in
                json.loads(self.admin("status", "--json", names=[name]))["members"]}

    def missed(self, name):
        """Until all others know that it is down."""
        others = [other for other in self.names if other != name]
        self.wait(f"{name} to be missed",
                  lambda: all(self.states(other)[name] == "down" for other in others))

    def calm(self):
        self.wait("nothing to be left to compare",
                  lambda: self.sum("kvring_repair_dirty_ranges") == 0)

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            process.wait()
