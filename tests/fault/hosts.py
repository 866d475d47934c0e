"""Hosts in network namespaces on one bridge, which can be cut: needs root, iproute2 and nftables.

Each host has a namespace of its own with an address 10.77.0.N; the test itself moves into the
client's, 10.77.0.100, which no cut concerns. The names hold the test's process id, so that several
may run at a time, and whatever a test leaves behind can be told."""

import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def enter(descriptor):
    """Move this thread, and what it starts from now on, into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Hosts:
    def __init__(self, count):
        self.count = count
        self.made = []
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def name(self, host):
        return f"kvt{os.getpid()}-{host}"

    def address(self, host):
        return f"10.77.0.{host}"

    def inside(self, host):
        return ["ip", "netns", "exec", self.name(host)]

    def make(self, host):
        run("ip", "netns", "add", self.name(host))
        self.made.append(host)
        run("ip", "-n", self.name(host), "link", "set", "lo", "up")

    def up(self):
        if os.geteuid() != 0:
            raise RuntimeError("this test needs root: it makes network namespaces")
        self.make("switch")
        switch = self.name("switch")
        run("ip", "-n", switch, "link", "add", "bridge", "type", "bridge", "stp_state", "0",
            "forward_delay", "0")
        run("ip", "-n", switch, "link", "set", "bridge", "up")
        for host in [*range(1, self.count + 1), 100]:
            self.make(host)
            own = self.name(host)
            run("ip", "-n", own, "link", "add", "eth0", "type", "veth",
                "peer", "name", f"port{host}", "netns", switch)
            run("ip", "-n", own, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
            run("ip", "-n", own, "link", "set", "eth0", "up")
            run("ip", "-n", switch, "link", "set", f"port{host}", "master", "bridge", "up")
        client = os.open(f"/run/netns/{self.name(100)}", os.O_RDONLY | os.O_CLOEXEC)
        enter(client)
        os.close(client)

    def cut(self, one, other, both_ways=True):
        """From now on frames from hosts ONE to hosts OTHER are lost, and the other way round."""
        def ports(hosts):
            return "{ " + ", ".join(f'"port{host}"' for host in hosts) + " }"

        rules = [f"iifname {ports(one)} oifname {ports(other)} drop"]
        if both_ways:
            rules.append(f"iifname {ports(other)} oifname {ports(one)} drop")
        self.heal()
        table = "table bridge cut { chain forward { type filter hook forward priority 0; " + \
            "; ".join(rules) + "; }\n}\n"
        run(*self.inside("switch"), "nft", "-f", "-", input=table)

    def heal(self):
        run(*self.inside("switch"), "nft", "-f", "-",
            input="table bridge cut {}\ndelete table bridge cut\n")

    def down(self):
        enter(self.home)
        for host in reversed(self.made):
            run("ip", "netns", "del", self.name(host))
        os.close(self.home)
