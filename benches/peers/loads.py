"""What else a gateway of ours does while it forwards, and what that costs those who are forwarded: a parallel run at
sample 1.0 with candidates of every kind, and a generator at work."""

import http.client
import json
import sys
import threading
import time
from pathlib import Path

import measure
from servers import free_port

SHADOW = """
[upstreams.candidate]
url = "http://127.0.0.1:{port}"
[[route]]
name = "shadowed"
path = "/1k"
mode = "{mode}"
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


# Candidates stand on machines of their own. Here they share the processors, and so take only what nobody else wants.
ELSEWHERE = [sys.executable, str(Path(__file__).with_name("elsewhere.py"))]


def candidates(farm):
    """The port of each kind of candidate, by its name."""
    def python(name, *seconds):
        port = free_port()
        command = [*ELSEWHERE, sys.executable, Path(__file__).with_name("candidate.py"), str(port), *seconds]
        return farm.start(name, command, port)

    ports = {
        "fast": farm.origin("fast", before=ELSEWHERE).port,
        "slow": python("slow", "0.5").port,
        "hanging": python("hanging").port,
        "failing": farm.origin("failing", status=500, before=ELSEWHERE).port,
        "refusing": free_port(),
    }
    return ports


def shadowing(farm, binary, origin):
    """A gateway whose route has its shadow off, and one for each candidate, by name; and nginx without and with its
    `mirror`, which reads no answers."""
    ports = candidates(farm)
    gateways = {"nginx": farm.nginx(origin), "nginx, mirror": farm.nginx(origin, "mirror", mirrored_to=ports["fast"])}
    for name, port in {"off": ports["fast"], **ports}.items():
        more = SHADOW.format(port=port, mode="monolith" if name == "off" else "shadow")
        gateways[name] = farm.ours(binary, origin, f"shadow-{name}", more=more)
    return gateways


def interleaved(proxies, load, rounds):
    """Rounds of a load on each of some servers in turn, by name."""
    measured = {name: [] for name in proxies}
    for server in proxies.values():
        load(server)
    for turn in range(rounds):
        # Nobody always comes first, or after the same other.
        names = list(proxies)
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            server = proxies[name]
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
