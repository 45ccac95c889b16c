"""nginx beside the gateway: in front of it or behind it. Its port is the system's choice: it inherits the socket."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from wire import Address

START_S = 30


class Nginx:
    """Forwards to `upstream` over HTTP/1.1; `more` stands in its `server`, `location` in its `location /`, and `listen`
    says what else it speaks."""

    def __init__(
        self, folder: Path, upstream: Address, more: str = "", location: str | None = None, listen: str = ""
    ) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.set_inheritable(True)
        self.address: Address = self.listener.getsockname()
        self.url = f"http://{self.address[0]}:{self.address[1]}"
        where = f"proxy_pass http://{upstream[0]}:{upstream[1]};"
        config = folder / "nginx.conf"
        config.write_text(
            f"""
daemon off;
{'user root;' if os.geteuid() == 0 else ''}
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{self.address[1]} {listen};
        {more}
        location / {{
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Connection "";
            {location if location is not None else where}
        }}
    }}
}}
"""
        )
        command = ["nginx", "-c", config, "-p", folder]
        environment = os.environ | {"NGINX": f"{self.listener.fileno()};", "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[self.listener.fileno()],
            env=environment,
        )

    def __enter__(self) -> Nginx:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(START_S)
        self.listener.close()
