"""A small ssh server for tests, spoken to by the real ssh: one algorithm of each kind, public keys, `git-upload-pack`.

RFC 4253 (transport), 8731 (curve25519), 5647 (AES-GCM as OpenSSH names it), 4252 (authentication), 4254 (channels).
"""

import contextlib
import hashlib
import os
import shlex
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

MAX_DATA = 16 * 1024


class SshServer:
    """Serves the repositories below a folder to whoever has `client_key`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host_key = Ed25519PrivateKey.generate()
        self.client_key = Ed25519PrivateKey.generate()
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        return self._socket.getsockname()[1]

    @property
    def known_hosts(self) -> str:
        public = self.host_key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        return f"[127.0.0.1]:{self.port} {public}"

    @property
    def private_key(self) -> str:
        return openssh(self.client_key)

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(connection,))
                thread.start()
                self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(120)
        with connection, contextlib.suppress(ConnectionError):
            Session(connection, self).run()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(120)


@contextlib.contextmanager
def serve_ssh(root: Path) -> Iterator[SshServer]:
    server = SshServer(root)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


def openssh(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


class Session:
    """One connection."""

    def __init__(self, connection: socket.socket, server: SshServer) -> None:
        self._socket = connection
        self._stream = connection.makefile("rb")
        self._server = server
        self._ciphers: tuple[Cipher, Cipher] | None = None

    def run(self) -> None:
        self._socket.sendall(b"SSH-2.0-small\r\n")
        theirs = self._stream.readline().rstrip(b"\r\n")
        self._exchange_keys(theirs, b"SSH-2.0-small")
        if self._authenticate():
            self._serve_channel()

    # --- packets

    def _send(self, payload: bytes) -> None:
        block = 16
        head = 1 if self._ciphers else 5  # with AES-GCM the length stands outside of what is padded
        padding = block - (head + len(payload)) % block
        padding += block if padding < 4 else 0
        body = bytes([padding]) + payload + os.urandom(padding)
        length = struct.pack(">I", len(body))
        self._socket.sendall(length + (self._ciphers[1].seal(body, length) if self._ciphers else body))

    def _receive(self) -> bytes:
        length = self._read(4)
        size = struct.unpack(">I", length)[0]
        body = self._ciphers[0].open(self._read(size + 16), length) if self._ciphers else self._read(size)
        payload = body[1 : len(body) - body[0]]
        if payload[0] == 1:
            raise ConnectionError("the client says goodbye")
        return payload if payload[0] not in {2, 4} else self._receive()  # IGNORE, DEBUG

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise ConnectionError("the client hung up")
        return data

    # --- transport

    def _exchange_keys(self, theirs: bytes, ours: bytes) -> None:
        lists = (b"curve25519-sha256", b"ssh-ed25519", *[b"aes256-gcm@openssh.com"] * 2, *[b"hmac-sha2-256"] * 2)
        mine = b"\x14" + os.urandom(16) + b"".join(map(string, (*lists, b"none", b"none", b"", b""))) + bytes(5)
        self._send(mine)
        yours = self._receive()
        client_public = Reader(self._receive()[1:]).string()
        secret = X25519PrivateKey.generate()
        public = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        shared = mpint(secret.exchange(X25519PublicKey.from_public_bytes(client_public)))
        key = self._server.host_key
        host_key = key_blob(key.public_key())
        parts = (theirs, ours, yours, mine, host_key, client_public, public)
        digest = hashlib.sha256(b"".join(map(string, parts)) + shared).digest()
        signature = string(b"ssh-ed25519") + string(key.sign(digest))
        self._send(b"\x1f" + string(host_key) + string(public) + string(signature))
        self._send(b"\x15")
        assert self._receive() == b"\x15"
        self._id = digest

        def derived(letter: bytes, size: int) -> bytes:
            return hashlib.sha256(shared + digest + letter + digest).digest()[:size]

        self._ciphers = (
            Cipher(derived(b"C", 32), derived(b"A", 12)),
            Cipher(derived(b"D", 32), derived(b"B", 12)),
        )

    # --- authentication

    def _authenticate(self) -> bool:
        assert self._receive() == b"\x05" + string(b"ssh-userauth")
        self._send(b"\x06" + string(b"ssh-userauth"))
        while True:
            request = self._receive()
            if self._is_good(request):
                self._send(b"\x34")
                return True

    def _is_good(self, request: bytes) -> bool:
        reader = Reader(request[1:])
        reader.string(), reader.string()
        method = reader.string()
        mine = key_blob(self._server.client_key.public_key())
        if method == b"publickey":
            signed, algorithm, blob = reader.byte(), reader.string(), reader.string()
            if blob == mine and not signed:
                self._send(b"\x3c" + string(algorithm) + string(blob))
                return False
            if blob == mine and self._verifies(request, reader):
                return True
        self._send(b"\x33" + string(b"publickey") + b"\x00")
        return False

    def _verifies(self, request: bytes, reader: "Reader") -> bool:
        said = request[: 1 + reader.at]
        signature = Reader(reader.string())
        signature.string()
        public: Ed25519PublicKey = self._server.client_key.public_key()
        try:
            public.verify(signature.string(), string(self._id) + said)
        except InvalidSignature:
            return False
        return True

    # --- the one channel

    def _serve_channel(self) -> None:
        self._peer = b""
        with contextlib.ExitStack() as stack:
            self._follow(stack)

    def _follow(self, stack: contextlib.ExitStack) -> None:
        process = None
        while True:
            message = self._receive()
            kind, reader = message[0], Reader(message[1:])
            if kind == 90:  # CHANNEL_OPEN
                reader.string()
                self._peer = reader.take(4)
                self._send(b"\x5b" + self._peer + bytes(4) + struct.pack(">II", 2**31 - 1, MAX_DATA))
            elif kind == 98:  # CHANNEL_REQUEST
                reader.take(4)
                name, wants_reply = reader.string(), reader.byte()
                process = self._start(stack, reader.string()) if name == b"exec" else process
                if wants_reply:
                    self._send((b"\x63" if name in {b"exec", b"env"} else b"\x64") + self._peer)
            elif kind == 94 and process:  # CHANNEL_DATA
                reader.take(4)
                process.stdin.write(reader.string())
                process.stdin.flush()
            elif kind == 96 and process:  # CHANNEL_EOF
                process.stdin.close()
            elif kind == 97:  # CHANNEL_CLOSE
                return
            elif kind == 80 and Reader(message[1:]).string() and message[-1]:  # GLOBAL_REQUEST
                self._send(b"\x52")

    def _start(self, stack: contextlib.ExitStack, command: bytes) -> "subprocess.Popen[bytes]":
        program, path = shlex.split(command.decode())
        assert program == "git-upload-pack"
        process = subprocess.Popen(
            ["git", "upload-pack", str(self._server.root / path.lstrip("/"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        thread = threading.Thread(target=self._answer, args=(process,))
        thread.start()
        stack.callback(thread.join, 20)
        stack.callback(process.stdin.close)
        return process

    def _answer(self, process: "subprocess.Popen[bytes]") -> None:
        with contextlib.suppress(OSError):
            while data := process.stdout.read1(MAX_DATA):
                self._send(b"\x5e" + self._peer + string(data))
            code = process.wait()
            process.stdout.close()
            self._send(b"\x62" + self._peer + string(b"exit-status") + b"\x00" + struct.pack(">I", code))
            self._send(b"\x60" + self._peer)
            self._send(b"\x61" + self._peer)


class Cipher:
    """AES-256-GCM whose nonce counts the packets."""

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._aes, self._fixed, self._count = AESGCM(key), nonce[:4], int.from_bytes(nonce[4:])

    def _nonce(self) -> bytes:
        self._count += 1
        return self._fixed + (self._count - 1).to_bytes(8)

    def seal(self, body: bytes, length: bytes) -> bytes:
        return self._aes.encrypt(self._nonce(), body, length)

    def open(self, body: bytes, length: bytes) -> bytes:
        return self._aes.decrypt(self._nonce(), body, length)


class Reader:
    """Reads the fields of a message."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self._data[self.at - size : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def string(self) -> bytes:
        return self.take(struct.unpack(">I", self.take(4))[0])


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def mpint(data: bytes) -> bytes:
    stripped = data.lstrip(b"\0")
    return string(b"\0" + stripped if stripped and stripped[0] > 127 else stripped)


def key_blob(key: Ed25519PublicKey) -> bytes:
    return string(b"ssh-ed25519") + string(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
