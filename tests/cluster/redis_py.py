"""redis-py, which most programs in Python use, against the node at port sys.argv[1]."""

import sys

import redis

client = redis.Redis(port=int(sys.argv[1]), client_name="py")
assert client.ping()
assert client.set("k", 5, nx=True, ex=100)
assert client.set("k", 6, nx=True) is None
assert client.incr("k", 3) == 8
assert client.incrbyfloat("k", 0.5) == 8.5
assert client.getdel("k") == b"8.5"
assert client.append("k", "abc") == 3
assert client.expire("k", 60)
assert client.ttl("k") in (59, 60)
assert client.persist("k")
assert client.getrange("k", 1, -1) == b"bc"
with client.pipeline(transaction=False) as pipe:
    for _ in range(100):
        pipe.incr("n").get("n")
    assert pipe.execute() == [item for n in range(1, 101) for item in (n, b"%d" % n)]
assert sorted(client.scan_iter("*")) == [b"k", b"n"]
assert client.dbsize() == 2 and client.keys("k*") == [b"k"]
assert client.client_getname() == "py"
assert "connected_clients" in client.info()
try:
    client.incr("k")
    raise AssertionError("a text was counted up")
except redis.ResponseError as error:
    assert str(error) == "value is not an integer or out of range", error
# A lock is taken with SET NX PX, and given back by deleting it.
assert client.set("lock", "me", nx=True, px=60000)
assert client.set("lock", "you", nx=True, px=60000) is None
assert client.delete("lock") == 1
assert client.set("lock", "you", nx=True, px=60000)
