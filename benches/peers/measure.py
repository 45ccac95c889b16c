"""What is measured of a server while it is under load: its processor time, its memory, its system calls, and what the
clients saw. Everything is read from /proc or from the tools' own output."""

import collections
import math
import os
import re
import shutil
import selectors
import socket
import ssl
import statistics
import subprocess
import time
from dataclasses import dataclass

TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Load:
    """One round of load on one server."""

    requests: int
    rate: float
    p50: float
    p99: float
    user: float
    system: float
    failed: int

    @property
    def cpu(self):
        return self.user + self.system


def median(loads, key):
    return statistics.median(getattr(load, key) for load in loads)


def interval(values):
    """Their median between the bounds of its 95 % interval: order statistics, whatever the distribution."""
    ordered, n = sorted(values), len(values)
    below = [sum(math.comb(n, k) for k in range(rank)) / 2**n for rank in range(n // 2 + 1)]
    rank = max((rank for rank, chance in enumerate(below) if 2 * chance <= 0.05), default=0)
    return ordered[max(rank - 1, 0)], statistics.median(ordered), ordered[n - max(rank, 1)]


def family(pid):
    """A process and all below it."""
    found = [pid]
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(stat(entry)[1]) == pid:
                found += family(int(entry))
        except OSError:
            pass
    return found


def stat(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()


def cpu(pid):
    """Seconds of user and system time so far."""
    user = system = 0
    for member in family(pid):
        try:
            fields = stat(member)
        except OSError:
            continue
        user, system = user + int(fields[11]), system + int(fields[12])
    return user / TICK, system / TICK


def pss(pid):
    """KiB, each shared page by its share."""
    total = 0
    for member in family(pid):
        try:
            with open(f"/proc/{member}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return total


def under(server, run):
    """Runs a load and says what it cost the server."""
    before = cpu(server.pid)
    requests, rate, p50, p99, failed = run()
    after = cpu(server.pid)
    user, system = ((now - then) / max(requests, 1) * 1e6 for now, then in zip(after, before))
    return Load(requests, rate, p50, p99, user, system, failed)


def wrk(server, path, connections, seconds):
    said = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{server.port}{path}"],
        capture_output=True, text=True, check=True).stdout

    def ms(percentile):
        value, unit = re.search(rf"^ +{percentile}% +([\d.]+)(us|ms|s)$", said, re.M).groups()
        return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]

    failed = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", said))
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    failed += sum(map(int, errors.groups())) if errors else 0
    requests = int(re.search(r"(\d+) requests in", said)[1])
    return requests, float(re.search(r"Requests/sec: +([\d.]+)", said)[1]), ms(50), ms(99), failed


def h2load(server, path, scheme, protocol, connections, streams, seconds):
    """`protocol`: h2, or http/1.1."""
    log = f"/tmp/h2load.{os.getpid()}.{server.port}"
    command = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", f"--log-file={log}"]
    command += ["--h1"] if protocol == "http/1.1" else []
    try:
        said = subprocess.run(
            [*command, f"{scheme}://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, check=True).stdout
        with open(log) as file:
            times = sorted(int(line.split("\t")[2]) / 1000 for line in file)
    finally:
        if os.path.exists(log):
            os.unlink(log)
    total, done, failed = (int(re.search(rf"requests:.* (\d+) {what}", said)[1]) for what in ("done", "succeeded", "failed"))
    rate = float(re.search(r"([\d.]+) req/s", said)[1])
    at = lambda share: times[min(int(len(times) * share), len(times) - 1)] if times else 0.0
    return done, rate, at(0.5), at(0.99), failed + total - done


def system_calls(server, path, connections, seconds):
    """System calls of each kind, a request, under load."""
    if not shutil.which("strace"):
        return {}
    summary = f"/tmp/strace.{os.getpid()}.{server.port}"
    attach = [argument for member in family(server.pid) for argument in ("-p", str(member))]
    with open(os.devnull, "w") as null:
        tracing = subprocess.Popen(["strace", "-f", "-c", "-o", summary, *attach], stderr=null)
    try:
        time.sleep(0.5)
        requests = wrk(server, path, connections, seconds)[0]
    finally:
        tracing.terminate()
        tracing.wait()
    calls = collections.Counter()
    with open(summary) as file:
        for line in file:
            fields = line.split()
            if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
                calls[fields[-1]] += int(fields[3])
    os.unlink(summary)
    return {name: count / requests for name, count in calls.most_common() if count / requests > 0.005}


# Memory.

REQUEST = b"GET %s HTTP/1.1\r\nHost: peers.test\r\n\r\n"


def hold(server, count, request=REQUEST % b"/echo"):
    """Keep-alive connections that each have had one answer."""
    held = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port), 10)
        connection.sendall(request)
        head_and_body(connection)
        held.append(connection)
    return held


def head_and_body(connection):
    """Reads one answer to its end, which its Content-Length tells."""
    came = b""
    while b"\r\n\r\n" not in came:
        piece = connection.recv(65536)
        if not piece:
            raise SystemExit("a connection was closed before its answer")
        came += piece
    head, body = came.split(b"\r\n\r\n", 1)
    left = int(re.search(rb"(?i)content-length: *(\d+)", head)[1]) - len(body)
    while left > 0:
        left -= len(connection.recv(1 << 20))


def settled(server, patience=20.0):
    """Memory once it moves no more, or the patience is over."""
    until, last = time.monotonic() + patience, pss(server.pid)
    while time.monotonic() < until:
        time.sleep(1)
        now = pss(server.pid)
        if abs(now - last) <= max(64, last * 0.002):
            return now
        last = now
    return last


def back_within(server, limit, patience):
    """Memory once it is within `limit`, or when the patience is over; and how many seconds that took."""
    began = time.monotonic()
    while (now := pss(server.pid)) > limit and time.monotonic() < began + patience:
        time.sleep(1)
    return now, time.monotonic() - began


def idle(server, count):
    """KiB of one idle keep-alive connection among `count`, beside as many before it: what they make a server allocate
    once, or give back, is no connection's."""
    held = hold(server, count)
    before = settled(server)
    held += hold(server, count)
    each = (settled(server) - before) / count
    for connection in held:
        connection.close()
    return each


# A load that does not grow when the server is quick: for comparing times.

def paced(server, path, connections, seconds, rate):
    """`rate` requests a second over `connections`, as even as one thread can make it; times count from when a request was
    due, so that a stall is not hidden by the requests that it holds up."""
    request = (b"GET %s HTTP/1.1\r\nHost: peers.test\r\n\r\n") % path.encode()
    # Not epoll, which waits whole milliseconds: a request would be late by as much as its answer takes.
    selector, idle, busy, times, failed = selectors.SelectSelector(), [], {}, [], 0
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", server.port), 10)
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
        idle.append(connection)
    began = time.perf_counter()
    due, every = began, 1 / rate
    try:
        while (now := time.perf_counter()) < began + seconds or busy:
            if now > began + seconds + 5:
                failed += len(busy)
                break
            while due <= now < began + seconds and idle:
                connection = idle.pop()
                connection.send(request)
                busy[connection] = [due, b"", None]
                due += every
            for key, _ in selector.select(max(0.0, min(due - time.perf_counter(), 0.01))):
                connection = key.fileobj
                state = busy.get(connection)
                piece = connection.recv(65536)
                if state is None or not piece:
                    raise SystemExit("a connection was closed during a paced load")
                state[1] += piece
                if state[2] is None and b"\r\n\r\n" in state[1]:
                    head, _ = state[1].split(b"\r\n\r\n", 1)
                    state[2] = len(head) + 4 + int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
                    failed += not head.startswith(b"HTTP/1.1 200")
                if state[2] is not None and len(state[1]) >= state[2]:
                    times.append(time.perf_counter() - state[0])
                    del busy[connection]
                    idle.append(connection)
    finally:
        for connection in [*idle, *busy]:
            selector.unregister(connection)
            connection.close()
    times.sort()
    at = lambda share: times[min(int(len(times) * share), len(times) - 1)] * 1000
    return len(times), len(times) / seconds, at(0.5), at(0.99), failed


def burst(server, path, count):
    """`count` answers at once, each over its own connection, all asked for before the first is read."""
    asked = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port), 10)
        connection.sendall(REQUEST % path.encode())
        asked.append(connection)
    for connection in asked:
        connection.settimeout(30)
        head_and_body(connection)
        connection.close()


def still_answers(connection):
    connection.sendall(REQUEST % b"/echo")
    head_and_body(connection)
    return True


def idle_tls(server, count, alpn):
    """KiB of one idle connection over TLS that has had one answer, or over HTTP/2 has shaken hands in full."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    before, held = settled(server), []
    for _ in range(count):
        connection = context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), 10))
        if alpn == "h2":
            # The preface and empty SETTINGS (RFC 9113, 3.4); then ours, and the acknowledgement of each.
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            connection.recv(4096)
            connection.sendall(bytes([0, 0, 0, 4, 1, 0, 0, 0, 0]))
        else:
            connection.sendall(REQUEST % b"/echo")
            head_and_body(connection)
        held.append(connection)
    each = (settled(server) - before) / count
    for connection in held:
        connection.close()
    return each
