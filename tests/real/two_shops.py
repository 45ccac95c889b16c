"""A shop and the one that is to replace it, whose answers agree, differ, or are pictures: what a parallel run compares."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image, ImageDraw
from wire import Address


def picture(blank: bool) -> bytes:
    image = Image.new("RGB", (320, 200), (60, 120, 80))
    if not blank:
        image = Image.effect_noise((320, 200), 20).convert("RGB")
        ImageDraw.Draw(image).ellipse((90, 40, 230, 170), fill=(96, 48, 112))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


class Old(BaseHTTPRequestHandler):
    """The control."""

    protocol_version = "HTTP/1.1"
    is_new = False

    def answer(self) -> tuple[str, bytes]:
        if self.path.startswith("/pictures"):
            return "image/png", picture(blank=self.is_new)
        said = {"total": 1200, "currency": "EUR", "items": [{"sku": "fig-1", "price": 400}, {"sku": "fig-2", "price": 800}]}
        if self.is_new and self.path.startswith("/prices"):
            said["total"] = "1,200.00 EUR, which is far longer than anybody would have thought of a price"
            said["items"][1] = {"sku": "fig-2"}
        return "application/json", json.dumps(said).encode()

    def do_GET(self) -> None:
        media_type, body = self.answer()
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class New(Old):
    """The candidate."""

    is_new = True


@contextmanager
def open_shop(shop: type[Old]) -> Iterator[Address]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), shop)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
