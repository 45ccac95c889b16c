"""The servers of a run: one origin, the peers in front of it, and ours; each on a free port of the loopback."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

# Routes that no request of a run takes: every proxy looks the target up among them.
ROUTES = 200
SIZES = {"1k": 1024, "64k": 64 * 1024, "1m": 1024 * 1024}
# What an origin makes anew each time.
MADE = "<!--# echo var='request_id' -->"


@dataclass
class Server:
    """One process on one port, ended with the run."""

    name: str
    command: list[str]
    port: int
    log: Path
    process: subprocess.Popen | None = None

    def start(self, settle=10.0):
        # The lines of requests go nowhere: HAProxy writes each by itself, and a file would make that the dearest of all.
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=log)
        until = time.monotonic() + settle
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        raise SystemExit(f"{self.name} does not listen; its log:\n{self.log.read_text(errors='replace')[-2000:]}")

    def end(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def pid(self):
        return self.process.pid


@dataclass
class Farm:
    """A folder with the files of a run, and the servers that were started from it."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="peers.")))
    servers: dict[str, Server] = field(default_factory=dict)

    def __enter__(self):
        self.folder.chmod(0o755)
        www = self.folder / "www"
        www.mkdir()
        for name, size in SIZES.items():
            (www / name).write_bytes(os.urandom(size))
        (www / "document.json").write_text(json.dumps([{"id": n, "made": MADE, "title": f"a fig tree, {n}"} for n in range(150)]))
        return self

    def __exit__(self, *_):
        for server in self.servers.values():
            server.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def start(self, name, command, port):
        server = Server(name, command, port, self.folder / f"{name}.log")
        self.servers[name] = server
        server.start()
        return server

    # The origin, and what else a request may end at.

    def origin(self, name="origin", status=200, before=()):
        port = free_port()
        folder = self.folder / "www"
        conf = self.write(f"{name}.conf", f"""
worker_processes 1; daemon off; pid {self.folder}/{name}.pid; error_log stderr;
events {{ worker_connections 30000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600; sendfile on; tcp_nopush on;
  client_body_temp_path {self.folder}/{name}.tmp;
  server {{
    listen 127.0.0.1:{port} reuseport backlog=4096; root {folder};
    location /echo {{ return 200 "hello\\n"; }}
    location = /document.json {{ ssi on; ssi_types application/json; types {{ application/json json; }} }}
    {"" if status == 200 else f"location / {{ return {status}; }}"}
  }}
}}""")
        return self.start(name, [*before, "nginx", "-c", conf], port)

    def certificate(self):
        """A self-signed one; key and certificate in one file, as HAProxy wants them, and apart."""
        key, pem, both = (self.folder / name for name in ("site.key", "site.pem", "both.pem"))
        if not both.exists():
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", key, "-out", pem, "-days", "2", "-subj", "/CN=localhost", "-addext",
                 "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                check=True, capture_output=True)
            both.write_bytes(pem.read_bytes() + key.read_bytes())
        return key, pem, both

    # The peers. What ours does anyway, they are told to do: look a route up, add the forwarded fields and a request id,
    # write one line a request.

    def nginx(self, origin, name="nginx", tls=False, mirrored_to=None):
        """`mirrored_to`: a port, whose server is sent every request as well, and whose answers nobody reads."""
        port = free_port()
        listen = f"127.0.0.1:{port} reuseport backlog=4096"
        more = "http2 on;" if nginx_version() >= (1, 25) else ""
        if tls:
            key, pem, _ = self.certificate()
            listen += " ssl" if more else " ssl http2"
            more += f"ssl_certificate {pem}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; http2_max_requests 1000000000;"
            more = more.replace("http2_max_requests 1000000000;", "")
        routes = "\n".join(f"location /svc{n}/ {{ proxy_pass http://m; }}" for n in range(ROUTES))
        mirror, mirrored = "", ""
        if mirrored_to:
            mirror = "mirror /mirrored;"
            mirrored = "location = /mirrored { internal; proxy_pass http://mirrored$request_uri; }"
        conf = self.write(f"{name}.conf", f"""
worker_processes {WORKERS}; daemon off; pid {self.folder}/{name}.pid; error_log stderr;
events {{ worker_connections 30000; }}
http {{
  log_format line escape=json '{{"ts":"$time_iso8601","request_id":"$request_id","client":"$remote_addr","method":"$request_method",'
    '"host":"$http_host","target":"$request_uri","status":$status,"bytes":$bytes_sent,"duration":$request_time,"upstream":"$upstream_response_time"}}';
  access_log {self.folder}/{name}.access line buffer=64k flush=1s;
  client_body_temp_path {self.folder}/{name}.tmp; proxy_temp_path {self.folder}/{name}.ptmp;
  keepalive_requests 1000000000; keepalive_timeout 3600; client_max_body_size 0;
  upstream m {{ server 127.0.0.1:{origin.port}; keepalive 512; keepalive_requests 1000000000; }}
  upstream mirrored {{ server 127.0.0.1:{mirrored_to or origin.port}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen {listen}; {more}
    proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off;
    proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Request-Id $request_id;
    location / {{ {mirror} proxy_pass http://m; }}
    {mirrored}
    {routes}
  }}
}}""")
        return self.start(name, ["nginx", "-c", conf], port)

    def haproxy(self, origin, name="haproxy", tls=False):
        port = free_port()
        bind = f"127.0.0.1:{port}"
        if tls:
            bind += f" ssl crt {self.certificate()[2]} alpn h2,http/1.1"
        routes = self.write("routes.lst", "".join(f"/svc{n}/\n" for n in range(ROUTES)))
        conf = self.write(f"{name}.cfg", HAPROXY.format(mode="http", workers=WORKERS) + f"""
frontend site
  bind {bind}
  log stdout len 2048 format raw local0
  option httplog
  option forwardfor
  unique-id-format %{{+X}}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-Id
  http-request set-header X-Forwarded-Proto {"https" if tls else "http"}
  http-request set-header X-Forwarded-Host %[req.hdr(Host)]
  use_backend monolith if {{ path_beg -f {routes} }}
  default_backend monolith
backend monolith
  http-reuse always
  server origin 127.0.0.1:{origin.port} pool-max-conn 512
""")
        return self.start(name, ["haproxy", "-f", conf, "-db"], port)

    def relay(self, origin):
        """HAProxy copying bytes: what no proxy of HTTP can be below."""
        port = free_port()
        conf = self.write("relay.cfg", HAPROXY.format(mode="tcp", workers=WORKERS) + f"""
listen relay
  bind 127.0.0.1:{port}
  server origin 127.0.0.1:{origin.port}
""")
        return self.start("relay", ["haproxy", "-f", conf, "-db"], port)

    def ours(self, binary, origin, name="ours", tls=False, more="", generator=""):
        port = free_port()
        secure = ""
        if tls:
            key, pem, _ = self.certificate()
            secure = f'[gateway.tls]\ncertificate = "{pem}"\nkey = "{key}"'
        routes = "\n".join(
            f'[[route]]\nname = "svc{n}"\npath = "/svc{n}/{{*rest}}"\nmode = "canary"\ncandidate = "other"\nsubject = "client-ip"'
            for n in range(ROUTES))
        conf = self.write(f"{name}.toml", f"""
[gateway]
listen = "127.0.0.1:{port}"
admin = "127.0.0.1:{free_port()}"
workers = {WORKERS}
data = "{self.folder}/{name}-data"
[gateway.limits]
connections = 30000
{secure}
[log]
format = "json"
[monolith]
url = "http://127.0.0.1:{origin.port}"
idle_connections = 512
[upstreams.other]
url = "http://127.0.0.1:{origin.port}"
{generator}
{routes}
{more}
""")
        return self.start(name, [binary, "serve", "--config", conf], port)


# Of every proxy.
WORKERS = 2

HAPROXY = """
global
  nbthread {workers}
  maxconn 9000
defaults
  mode {mode}
  timeout client 3600s
  timeout server 3600s
  timeout connect 5s
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nginx_version():
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr
    return tuple(int(part) for part in said.rsplit("/", 1)[1].split()[0].split(".")[:2])
