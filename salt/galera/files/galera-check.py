#!/usr/bin/python3
"""Answer HAProxy's question over HTTP: may this member of the Galera cluster take requests?

200 only when MariaDB is ready, in the primary component and synced; 503 with the reason otherwise.
One process and one connection to the local socket, so that an answer costs a millisecond and does
not depend on a free connection slot. Its user has no privileges. It starts itself anew when its
configuration or this file has changed.
"""

import json
import os
import pathlib
import socketserver
import sys
import threading
import time

import pymysql

CONFIG = "/etc/mysql/saltern-check.json"
FRESH = 0.2  # seconds that an answer is used for, however many balancers ask
PATIENCE = 0.8  # seconds that MariaDB may take
NAMES = ("wsrep_ready", "wsrep_cluster_status", "wsrep_local_state", "wsrep_local_state_comment")
QUERY = f"SHOW GLOBAL STATUS WHERE Variable_name IN {NAMES}"
SYNCED, DONOR = "4", "2"


def verdict(said, donor_serves):
    """``(serves, reason)`` from the status variables :data:`NAMES`."""
    state = said.get("wsrep_local_state")
    if said.get("wsrep_cluster_status") != "Primary":
        return False, f"{said.get('wsrep_cluster_status') or 'not in a cluster'}"
    if said.get("wsrep_ready") != "ON":
        return False, "not ready"
    if state == SYNCED or (donor_serves and state == DONOR):
        return True, "synced" if state == SYNCED else "donor, serving"
    return False, said.get("wsrep_local_state_comment") or f"state {state}"


class Member:
    """The local MariaDB, asked at most once per :data:`FRESH` seconds."""

    def __init__(self, config):
        self.config = config
        self.lock = threading.Lock()
        self.connection = None
        self.answer = (False, "not asked yet")
        self.asked = 0.0

    def ask(self):
        with self.lock:
            if time.monotonic() - self.asked > FRESH:
                try:
                    self.answer = verdict(self._status(), self.config["donor_serves"])
                except (pymysql.Error, OSError) as exc:
                    self.connection = None
                    self.answer = (False, f"MariaDB does not answer ({type(exc).__name__})")
                self.asked = time.monotonic()
            return self.answer

    def _status(self):
        if self.connection is None:
            self.connection = pymysql.connect(
                unix_socket=self.config["socket"],
                user=self.config["user"],
                password=self.config["password"],
                connect_timeout=PATIENCE,
                read_timeout=PATIENCE,
                write_timeout=PATIENCE,
            )
        with self.connection.cursor() as cursor:
            cursor.execute(QUERY)
            return dict(cursor.fetchall())


class Handler(socketserver.StreamRequestHandler):
    """One request, one answer, whatever was asked."""

    timeout = 1  # seconds; a client that says nothing is hung up on

    def handle(self):
        try:
            while self.rfile.readline(4096).strip():
                pass
            serves, reason = self.server.member.ask()
            body = f"{reason}\n".encode()
            head = "200 OK" if serves else "503 Service Unavailable"
            self.wfile.write(
                f"HTTP/1.1 {head}\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
        except OSError:
            return  # the balancer has gone: it will ask again


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, config, watched=()):
        self.member = Member(config)
        self.watched = {path: path.stat().st_mtime_ns for path in watched}
        super().__init__((config["address"], config["port"]), Handler)

    def service_actions(self):
        """Called by serve_forever twice a second."""
        for path, known in self.watched.items():
            if path.exists() and path.stat().st_mtime_ns != known:
                self.server_close()
                os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606


def main():
    config = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else CONFIG)
    with Server(json.loads(config.read_text()), [config, pathlib.Path(__file__)]) as server:
        server.serve_forever(poll_interval=0.5)


if __name__ == "__main__":
    main()
