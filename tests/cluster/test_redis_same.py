"""The same commands to a real Redis and to a node: the replies are the same, to the letter."""

import contextlib
import random
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from harness import *
from resp import Error, Resp

LONG = str(2 ** 63 - 1)


class Address:
    def __init__(self, port):
        self.port = port


@unittest.skipUnless(shutil.which("redis-server"), "needs the package redis-server")
class SameReplies(ClusterTest):
    def setUp(self):
        super().setUp()
        node = self.cluster.add("a", "--map-size", "4G", create=True)
        port = free_port()
        folder = tempfile.mkdtemp(prefix="redis-")
        self.addCleanup(shutil.rmtree, folder)
        redis = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1",
                                  "--save", "", "--dir", folder], stdout=subprocess.DEVNULL)
        self.addCleanup(redis.wait)
        self.addCleanup(redis.terminate)

        def answers():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
        wait_for("redis-server to listen", answers)
        self.both = Resp(Address(port)), Resp(node)
        for resp in self.both:
            self.addCleanup(resp.close)

    def same(self, *words):
        theirs, ours = (resp.call(*words) for resp in self.both)
        self.assertEqual(type(theirs), type(ours), (words, theirs, ours))
        self.assertEqual(theirs, ours, words)
        return ours

    def near(self, slack, *words):
        """Replies that hold a time: as near as two clocks' readings are."""
        theirs, ours = (resp.call(*words) for resp in self.both)
        if words == ("TIME",):
            theirs, ours = int(theirs[0]), int(ours[0])
        self.assertIsInstance(ours, int, words)
        self.assertLessEqual(abs(theirs - ours), slack, words)

    def lines(self, text):
        for line in text.strip().splitlines():
            self.same(*(bytes(word, "ascii").decode("unicode_escape").encode("latin1")
                        if word != "''" else b"" for word in line.split()))

    def test_strings(self):
        self.lines(f"""
            set k v
            get k
            set k w nx
            set k w xx get
            set none w xx
            set none w xx get
            set fresh w nx get
            set fresh x nx get
            get none
            setnx k x
            setnx n x
            setnx n y
            getset k new
            getset absent new
            getdel absent
            getdel absent
            strlen k
            append k -tail
            append a ''
            exists a
            append a x
            get k
            getrange k 0 -1
            getrange k -3 -1
            getrange k -1 -3
            getrange k 5 100
            getrange k 100 200
            getrange k -100 1
            getrange none 0 -1
            substr k 1 2
            setrange k 3 XYZ
            get k
            setrange z 4 zero
            get z
            setrange none 5 ''
            exists none
            setrange k 2 ''
            setrange k 0 \\x00\\xff
            get k
            mget k none z
            mset a 1 b 2
            mget a b
            msetnx one 1
            msetnx one 2
            type k
            type none
            exists k k none
            touch k none
            del k none k
            unlink a b z
            setex s 100 v
            psetex s 100000 v
            get s
        """)

    def test_numbers(self):
        self.lines(f"""
            incr n
            incrby n 41
            decr n
            decrby n 40
            decrby n -5
            incrby n {LONG}
            set n {LONG}
            incr n
            decrby n -1
            get n
            set n -{LONG}
            decr n
            decr n
            incrby n {int(LONG) + 1}
            incrby n x
            incrby n 1.5
            incrby n ''
            decrby n -{int(LONG) + 1}
            set n 012
            incr n
            set n +1
            incr n
            set n \\x201
            incr n
            set n -0
            incr n
            set n ''
            incr n
            incrbyfloat f 10.5
            incrbyfloat f 0.1
            incrbyfloat f -5
            incrbyfloat f 5.0e3
            incrbyfloat f -5005.6
            get f
            set f 3.0e3
            incrbyfloat f 200
            incrbyfloat f x
            incrbyfloat f nan
            incrbyfloat f inf
            incrbyfloat f ''
            incrbyfloat f \\x201
            set f abc
            incrbyfloat f 1
            set f 1e4000
            incrbyfloat f 1e4900
            set f 0.1
            incrbyfloat f 0.2
            incrbyfloat f -0.3
            get f
            incr f
        """)

    def test_expiry(self):
        now = int(time.time())
        self.lines(f"""
            ttl none
            pttl none
            expiretime none
            pexpiretime none
            expire none 10
            persist none
            set k v
            ttl k
            pttl k
            expiretime k
            pexpiretime k
            persist k
            expire k 100 xx
            expire k 100 gt
            ttl k
            expire k 100 nx
            expire k 200 nx
            expire k 50 gt
            expire k 200 gt
            expire k 300 lt
            expire k 100 lt
            expire k 500 xx gt
            ttl k
            set k w keepttl
            ttl k
            set k w
            ttl k
            expire k 10 lt
            ttl k
            getex k
            getex k persist
            ttl k
            getex k ex 70
            ttl k
            getex k pxat 1
            exists k
            set k v exat {now + 1000}
            expiretime k
            pexpireat k {now * 1000 + 77000777}
            pexpiretime k
            expireat k {now + 5000}
            expiretime k
            persist k
            persist k
            ttl k
            incr k
            pexpire k -1
            exists k
            set k v
            expire k 0
            get k
            set n 5 ex 100
            incr n
            append n 0
            setrange n 0 7
            ttl n
            getset n 1
            ttl n
            set n 5 px 100000
            ttl n
            expireat n 1
            get n
        """)
        self.both[0].call("SET", "k", "v"), self.both[1].call("SET", "k", "v")
        self.same("PEXPIRE", "k", 100000)
        self.near(1000, "PTTL", "k")
        self.near(1000, "PEXPIRETIME", "k")
        for resp in self.both:
            resp.call("PEXPIRE", "k", 1)
        for resp in self.both:
            wait_for("the key to expire", lambda: resp.call("EXISTS", "k") == 0)
        self.same("SET", "k", "again", "NX")

    def test_errors(self):
        self.lines(f"""
            set k v
            foo
            foo a b
            get
            get a b
            set k
            set k v ex
            set k v ex x
            set k v ex 0
            set k v px -1
            set k v nx xx
            set k v keepttl ex 5
            set k v ex 5 px 5
            set k v what
            setex k 0 v
            setex k x v
            psetex k -1 v
            setnx k
            getset k
            getex k ex
            getex k ex 0
            getex k persist ex 5
            getex k nx
            getdel
            incr
            incrby k
            incrbyfloat k
            append k
            setrange k -1 v
            setrange k x v
            setrange k 1
            setrange k 999999999 v
            getrange k a b
            expire k
            expire k x
            expire k 10 foo
            expire k 10 nx xx
            expire k 10 gt lt
            expire k {LONG}
            pexpireat k {LONG}0
            persist
            mset a
            mset a 1 b
            msetnx a
            mget
            del
            exists
            touch
            type
            ttl a b
            echo
            ping a b
            select x
            select -1
            scan x
            scan 0 count 0
            scan 0 count x
            scan 0 foo
            keys
            dbsize x
            hello 4
            hello x
            time x
            client foo
            client setname
            client setname a\\x20b
            client reply what
            client no-evict what
            client id x
            config foo
            config get
            command foo
            reset x
        """)

    def test_connection(self):
        self.lines("""
            ping
            ping \\x00\\r\\n
            echo hi
            client getname
            client setname me
            client getname
            client no-evict on
            client reply on
            dbsize
            keys *
            scan 0
            set one 1
            dbsize
            keys o*
            keys x*
            scan 0
            scan 0 type string
            scan 0 type hash
            scan 0 match x*
            config get save
            config get nothing
            reset
            client getname
        """)
        self.near(60, "TIME")

    def test_resp3(self):
        for resp in self.both:
            resp.call("HELLO", 3)
        for words in (("GET", "none"), ("SET", "n", 1), ("SET", "n", 2, "NX"), ("GETDEL", "none"),
                      ("INCR", "n"), ("INCRBYFLOAT", "n", "0.5"), ("MGET", "n", "none"),
                      ("CONFIG", "GET", "save"), ("CLIENT", "GETNAME"), ("SCAN", 0), ("FOO",)):
            raw = []
            for resp in self.both:
                resp.send(*words)
                resp.send("PING")
                reply = b""
                while not reply.endswith(b"+PONG\r\n"):
                    reply += resp.file.readline()
                raw.append(reply)
            self.assertEqual(raw[0], raw[1], words)

    def test_random_commands(self):
        """Thousands of commands on few keys: whatever the state, the replies agree."""
        rng = random.Random(14)
        print("seed 14")
        keys = ["a", "b", "c"]
        values = ["", "0", "7", "-3", "1.5", "text", LONG, "2e3"]
        numbers = ["0", "1", "-1", "5", "-100", "3000", "x", LONG]

        def draw():
            key, value, number = rng.choice(keys), rng.choice(values), rng.choice(numbers)
            options = rng.choice([(), (), ("NX",), ("XX",), ("GET",), ("KEEPTTL",), ("XX", "GET"),
                                  ("EX", 1000), ("PX", 1000000, "NX"), ("XX", "KEEPTTL", "GET")])
            when = rng.choice([1000, 5000, -1, 0, 100000])
            condition = rng.choice([(), (), ("NX",), ("XX",), ("GT",), ("LT",), ("XX", "LT")])
            return rng.choice([
                ("SET", key, value, *options), ("GET", key), ("SETNX", key, value), ("GETSET", key, value),
                ("GETDEL", key), ("DEL", key, rng.choice(keys)), ("EXISTS", *keys), ("INCR", key),
                ("INCRBY", key, number), ("DECR", key), ("DECRBY", key, number),
                ("INCRBYFLOAT", key, value), ("APPEND", key, value), ("STRLEN", key),
                ("SETRANGE", key, rng.randrange(12), value), ("GETRANGE", key, rng.randrange(-9, 9),
                                                              rng.randrange(-9, 9)),
                ("EXPIRE", key, when, *condition), ("PERSIST", key), ("TTL", key), ("TYPE", key),
                ("GETEX", key, *rng.choice([(), ("PERSIST",), ("EX", 2000)])), ("MGET", *keys),
                ("MSET", key, value, rng.choice(keys), number), ("DBSIZE",), ("TOUCH", key)])

        for _ in range(4000):
            self.same(*draw())


if __name__ == "__main__":
    unittest.main()
