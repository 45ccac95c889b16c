"""What else a gateway of ours does while it forwards, and what that costs those who are forwarded: a parallel run at
sample 1.0 with candidates of every kind, and a generator at work."""

import contextlib
import http.client
import json
import socket
import socketserver
import threading
import time

import measure

SHADOW = """
[upstreams.candidate]
url = "http://127.0.0.1:{port}"
[[route]]
name = "shadowed"
path = "/1k"
mode = "shadow"
candidate = "candidate"
[route.shadow]
sample = 1.0
deadline = "2s"
"""

GENERATOR = """
[[route]]
name = "images"
methods = ["POST"]
path = "/v1/images/generations"
mode = "migrated"
candidate = "generator"
contract = "openai"
"""

JOBS = 16


class Candidate(socketserver.ThreadingTCPServer):
    """Takes every connection, and answers after `delay` seconds; after none at all where that is `None`."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, delay):
        super().__init__(("127.0.0.1", 0), Exchange)
        self.delay, self.over = delay, threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.server_address[1]

    def handle_error(self, *_):
        """A client that left is no news."""

    def end(self):
        self.over.set()
        self.shutdown()
        self.server_close()


class Exchange(socketserver.BaseRequestHandler):
    def handle(self):
        while request := self.request.recv(65536):
            if b"\r\n\r\n" not in request:
                continue
            if self.server.over.wait(self.server.delay):
                return
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def candidates(farm):
    """Each kind of candidate by its name: its port, and how it is ended."""
    slow, hanging = Candidate(0.5), Candidate(None)
    fast, failing = farm.origin("fast"), farm.origin("failing", status=500)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()[1]
    ports = {"fast": fast.port, "slow": slow.port, "hanging": hanging.port, "failing": failing.port, "refusing": nobody}
    return ports, [slow, hanging]


@contextlib.contextmanager
def shadowing(farm, binary, origin):
    """A gateway with the shadow off, and one for each candidate, by name."""
    ports, threads = candidates(farm)
    try:
        gateways = {"off": farm.ours(binary, origin, "off")}
        for name, port in ports.items():
            gateways[name] = farm.ours(binary, origin, f"shadow-{name}", more=SHADOW.format(port=port))
        yield gateways
    finally:
        for candidate in threads:
            candidate.end()


def interleaved(proxies, load, rounds):
    """Rounds of a load on each of some servers in turn, by name."""
    measured = {name: [] for name in proxies}
    for server in proxies.values():
        load(server)
    for _ in range(rounds):
        for name, server in proxies.items():
            measured[name].append(measure.under(server, lambda: load(server)))
            # What is still under way for one must not be the next one's load.
            time.sleep(0.2)
    return measured


def generation(gateway, load, rounds):
    """Rounds of a load with nobody generating, and with `JOBS` orders in flight all the time; and how many were drawn."""
    measured, drawn = {"idle": [], f"{JOBS} jobs": []}, 0
    load()
    for _ in range(rounds):
        measured["idle"].append(measure.under(gateway, load))
        with Orders(gateway) as orders:
            measured[f"{JOBS} jobs"].append(measure.under(gateway, load))
        drawn += orders.answered
    return measured, drawn


class Orders:
    """Keeps `JOBS` orders for images in flight."""

    def __init__(self, gateway):
        self.gateway, self.over, self.answered = gateway, threading.Event(), 0
        self.threads = [threading.Thread(target=self.order, args=(n,), daemon=True) for n in range(JOBS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def order(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)
        turn = 0
        while not self.over.is_set():
            turn += 1
            order = {"prompt": f"a fig tree, {number}, {turn}", "size": "1024x1024", "response_format": "url"}
            connection.request("POST", "/v1/images/generations", json.dumps(order), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                self.answered += 1
            else:
                time.sleep(0.1)
