"""Ours beside nginx, HAProxy and a TCP relay, in one run and with the same duties.

    python3 benches/peers target/dist/figueira [--table http1,bodies,tls,memory,calls,shadow,generation]

Every proxy has two workers, 200 routes of which no request takes one, adds the forwarded fields and a request id, and
writes one line a request. The origin is an nginx with one worker. Rounds are interleaved, so that what else the machine
does is spread over all; a figure is the median of them. Everything is on the loopback, on free ports, and ended with the
run; nothing is left behind. The tables are Markdown: they go into BENCHMARKS.md, with the machine and the command.

Processor time is of the proxy alone, a request, as the kernel accounts it. The relay copies bytes and knows no HTTP: it
is what no proxy can be below. Needs nginx, haproxy, wrk, h2load (nghttp2-client), strace and openssl.
"""

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys

import loads
import measure
from servers import Farm

def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("binary", help="the gateway: target/dist/figueira")
    arguments.add_argument("--table", default=",".join(TABLES), help="which of: %(default)s")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=2, help="of one load on one proxy")
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--rate", type=int, default=1000, help="requests a second, for `shadow` and `generation`")
    arguments.add_argument("--idle", type=int, default=4000, help="idle connections a proxy, for `memory`")
    arguments.add_argument("--held", type=int, default=20000, help="idle connections of ours, for `memory`")
    given = arguments.parse_args()
    if missing := [tool for tool in ("nginx", "haproxy", "wrk", "h2load", "strace", "openssl") if not shutil.which(tool)]:
        sys.exit(f"missing: {', '.join(missing)} (on Debian: apt-get install nginx-light haproxy wrk nghttp2-client strace openssl)")
    wanted = given.table.split(",")
    if unknown := set(wanted) - set(TABLES):
        sys.exit(f"no such table: {', '.join(unknown)}; there are {', '.join(TABLES)}")
    descriptors()
    print(machine(), flush=True)
    for name in wanted:
        with Farm() as farm:
            TABLES[name](farm, given)


def descriptors(wanted=65536):
    """As many as `memory` holds connections, and more: root may ask for more than it was given."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, OSError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def machine():
    def first(command):
        said = subprocess.run(command, capture_output=True, text=True)
        return (said.stdout + said.stderr).strip().splitlines()[0]

    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return (f"{os.cpu_count()} processors ({model}), Linux {platform.release()}; {first(['nginx', '-v'])}; "
            f"{first(['haproxy', '-v'])}")


def table(title, columns, rows):
    print(f"\n{title}\n\n| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(values)} |")
    sys.stdout.flush()


COLUMNS = ["requests/s", "CPU us", "of it user", "p50 ms", "p99 ms", "failed"]


def figures(rounds):
    middle = lambda key: measure.median(rounds, key)
    return [f"{middle('rate'):.0f}", f"{middle('cpu'):.1f}", f"{middle('user'):.1f}", f"{middle('p50'):.2f}",
            f"{middle('p99'):.2f}", str(sum(load.failed for load in rounds))]


def peers(farm, given, origin):
    return [farm.nginx(origin), farm.haproxy(origin), farm.relay(origin), farm.ours(given.binary, origin)]


def http1(farm, given, path="/1k"):
    origin = farm.origin()
    proxies = {server.name: server for server in peers(farm, given, origin)}
    load = lambda server: measure.wrk(server, path, given.connections, given.seconds)
    measured = loads.interleaved(proxies, load, given.rounds)
    title = f"HTTP/1.1, {path[1:]}, {given.connections} connections, median of {given.rounds} rounds of {given.seconds} s"
    table(title, COLUMNS, {name: figures(rounds) for name, rounds in measured.items()})


def bodies(farm, given):
    origin = farm.origin()
    proxies = {server.name: server for server in peers(farm, given, origin)}
    for path in ("/64k", "/1m"):
        load = lambda server: measure.wrk(server, path, given.connections, given.seconds)
        measured = loads.interleaved(proxies, load, max(given.rounds // 2, 3))
        table(f"HTTP/1.1, {path[1:]}", COLUMNS, {name: figures(rounds) for name, rounds in measured.items()})


def tls(farm, given):
    origin = farm.origin()
    proxies = [farm.nginx(origin, tls=True), farm.haproxy(origin, tls=True), farm.ours(given.binary, origin, tls=True)]
    proxies = {server.name: server for server in proxies}
    for protocol, streams in (("h2", 10), ("http/1.1", 1)):
        connections = given.connections // streams or 1
        load = lambda server: measure.h2load(server, "/1k", "https", protocol, connections, streams, given.seconds)
        measured = loads.interleaved(proxies, load, given.rounds)
        title = f"TLS 1.3, {protocol}, 1k, {connections} connections of {streams} streams"
        table(title, COLUMNS, {name: figures(rounds) for name, rounds in measured.items()})


BURST = 1500


def memory(farm, given):
    origin = farm.origin()
    rows = {}
    for server in peers(farm, given, origin):
        # What a proxy allocates once is no connection's.
        measure.wrk(server, "/1k", given.connections, 1)
        each = measure.idle(server, given.idle)
        before = measure.settled(server)
        measure.burst(server, "/1m", BURST)
        peak = measure.pss(server.pid)
        after, seconds = measure.back_within(server, before * 1.1, 45)
        rows[server.name] = [f"{each:.2f}", *(f"{kib / 1024:.1f}" for kib in (before, peak, after)),
                             f"{(after / before - 1) * 100:+.0f} %", f"{seconds:.0f}"]
    columns = ["KiB an idle connection", "before, MiB", "just after", "at last", "kept", "after s"]
    table(f"Memory (PSS): {given.idle} idle keep-alive connections; a burst of {BURST} answers of 1 MiB at once", columns, rows)

    ours = farm.servers["ours"]
    # Both ends need a descriptor for each, and some beside.
    held = measure.hold(ours, min(given.held, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 300))
    answered = sum(measure.still_answers(connection) for connection in held[:: max(len(held) // 200, 1)])
    print(f"\n{len(held)} idle connections held by ours in {measure.settled(ours) / 1024:.1f} MiB; "
          f"of 200 among them {min(answered, 200)} answered a second request.")
    for connection in held:
        connection.close()

    secure = farm.ours(given.binary, origin, "ours-tls", tls=True)
    rows = {name: [f"{measure.idle_tls(secure, given.idle // 4, alpn):.1f}"] for name, alpn in
            (("TLS, HTTP/1.1", "http/1.1"), ("TLS, HTTP/2", "h2"))}
    table(f"One of {given.idle // 4} idle connections over TLS, ours", ["KiB"], rows)


def calls(farm, given):
    origin = farm.origin()
    rows = {}
    for server in peers(farm, given, origin):
        made = measure.system_calls(server, "/1k", given.connections, given.seconds)
        rows[server.name] = [f"{sum(made.values()):.2f}", ", ".join(f"{name} {count:.2f}" for name, count in made.items())]
    table("System calls a request, under load and strace", ["all", "by name"], rows)


def compared(title, measured, base):
    """Figures, and what they are of those of another server in the same round, whose name `base` says: the median of the
    rounds, and between what the true median lies with 95 % confidence."""
    def against(name, key):
        rounds = zip(measured[name], measured[base(name)])
        low, middle, high = measure.interval([getattr(load, key) / getattr(at, key) for load, at in rounds])
        return f"{middle:.3f} ({low:.3f}-{high:.3f})"

    rows = {name: [*figures(rounds), against(name, "rate"), against(name, "p99")] for name, rounds in measured.items()}
    table(title, [*COLUMNS, "rate, of it", "p99, of it"], rows)


def shadow(farm, given):
    origin = farm.origin()
    gateways = loads.shadowing(farm, given.binary, origin)
    # Of many short rounds most have none of the moments in which a shared machine stands still.
    paced = lambda server: measure.paced(server, "/1k", 16, 1, given.rate)
    base = lambda name: "nginx" if name.startswith("nginx") else "off"
    measured = loads.interleaved(gateways, paced, given.rounds * given.seconds)
    compared(f"The control of a shadow at sample 1.0, by its candidate: {given.rate} requests/s", measured, base)
    most = lambda server: measure.wrk(server, "/1k", given.connections, given.seconds)
    measured = loads.interleaved(gateways, most, given.rounds)
    compared("The same, as many as there can be: what the shadow works, the control lacks", measured, base)


def generation(farm, given):
    gateway = farm.ours(given.binary, farm.origin(), "generating", more=loads.GENERATOR)
    paced = lambda: measure.paced(gateway, "/1k", 16, given.seconds, given.rate)
    measured, drawn = loads.generation(gateway, paced, given.rounds)
    compared(f"Forwarding {given.rate} requests/s while {loads.JOBS} generations of 1024x1024 are in flight ({drawn} were drawn)",
             measured, lambda _: "idle")


TABLES = {table.__name__: table for table in (http1, bodies, tls, memory, calls, shadow, generation)}

main()
