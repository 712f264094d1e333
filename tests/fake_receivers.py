"""Servers that take messages and remember them: mail (with STARTTLS and a login) and web."""

from __future__ import annotations

import base64
import datetime
import http.server
import ipaddress
import json
import pathlib
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail for everybody but ``refused``; asks for a login when it has a ``password``."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, certificate: tuple[str, str] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.certificate = certificate
        self.password = ""
        self.refused: set[str] = set()
        self.mails: list[str] = []
        self.heard: list[str] = []  # every line but those of the mails

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Mail(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.secure = self.known = False
        self.say("220 fake")
        while line := self.rfile.readline():
            text = line.decode().strip()
            self.server.heard.append(text)
            verb = text.upper().split(" ")[0]
            if verb == "QUIT":
                self.say("221 bye")
                return
            getattr(self, f"do_{verb}", self.unknown)(text)

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def unknown(self, text: str) -> None:
        self.say("502 what?")

    def do_EHLO(self, text: str) -> None:
        offers = ["250-fake", "250-8BITMIME"]
        if self.server.certificate and not self.secure:
            offers.append("250-STARTTLS")
        if self.server.password and self.secure:
            offers.append("250-AUTH PLAIN")
        self.say("\r\n".join([*offers, "250 HELP"]))

    def do_STARTTLS(self, text: str) -> None:
        assert self.server.certificate
        self.say("220 go")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server.certificate)
        try:
            self.connection = context.wrap_socket(self.connection, server_side=True)
        except ssl.SSLError:  # the client does not trust us
            return
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.secure = True

    def do_AUTH(self, text: str) -> None:
        said = base64.b64decode(text.split(" ")[2]).decode().split("\0")[-1]
        self.known = said == self.server.password
        self.say("235 ok" if self.known else f"535 {said} is wrong")

    def do_MAIL(self, text: str) -> None:
        self.say("530 log in" if self.server.password and not self.known else "250 ok")

    def do_RCPT(self, text: str) -> None:
        refused = any(f"<{one}>" in text for one in self.server.refused)
        self.say("550 nobody" if refused else "250 ok")

    def do_RSET(self, text: str) -> None:
        self.say("250 ok")

    def do_DATA(self, text: str) -> None:
        self.say("354 go")
        lines = []
        while (line := self.rfile.readline().decode()) not in (".\r\n", ""):
            lines.append(line.rstrip("\r\n"))
        self.server.mails.append("\n".join(lines))
        self.say("250 ok")


class WebServer(http.server.ThreadingHTTPServer):
    """Answers with ``status``; hangs before that while ``hold`` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Web)
        self.status = 200
        self.got: list[tuple[str, str, Any]] = []  # method, path, body
        self.asked = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class _Web(http.server.BaseHTTPRequestHandler):
    server: WebServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.set()
        self.server.go.wait(60)
        self.server.got.append((self.command, self.path, json.loads(body) if body else None))
        self.send_response(self.server.status)
        if 300 <= self.server.status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """``server`` for as long as the block runs."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def certificate(home: pathlib.Path) -> tuple[str, str]:
    """Files with a certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    held = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = home / "cert.pem", home / "key.pem"
    cert_file.write_bytes(held.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(cert_file), str(key_file)
