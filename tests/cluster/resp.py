"""A client of the Redis protocol, as plain as can be. Standard library only."""

import socket


class Error(str):
    """An error reply."""


class Resp:
    """One connection; replies as Python values, errors as Error."""

    def __init__(self, node):
        self.socket = socket.create_connection(("127.0.0.1", node.port), timeout=60)
        self.file = self.socket.makefile("rb")

    @staticmethod
    def encode(*words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    def send(self, *words):
        self.socket.sendall(self.encode(*words))

    def read(self):
        line = self.file.readline()
        if not line:
            return EOFError
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Error(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"_" or rest == b"-1":
            return None
        if kind in b"$=":
            data = self.file.read(int(rest) + 2)[:-2]
            return data[4:] if kind == b"=" else data
        if kind == b"%":
            return {self.read(): self.read() for _ in range(int(rest))}
        assert kind == b"*", line
        return [self.read() for _ in range(int(rest))]

    def call(self, *words):
        self.send(*words)
        return self.read()

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
