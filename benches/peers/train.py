"""Puts a gateway under the loads that a profile is to be of: `python3 benches/peers/train.py BINARY`.

What is forwarded is what most of a gateway's time goes to, so it is all that the profile knows: heads and bodies of all
sizes over HTTP/1.1, in plain and over TLS, HTTP/2, answers of 404, and what is shadowed: a share of large bodies, and
documents that are compared member by member.
"""

import sys

import measure
from servers import Farm

SHADOW = """
[[route]]
name = "bodies"
path = "/64k"
mode = "shadow"
candidate = "other"
subject = "client-ip"
[route.shadow]
sample = 0.2
[[route]]
name = "documents"
path = "/document.json"
mode = "shadow"
candidate = "other"
subject = "client-ip"
[route.shadow]
sample = 1.0
"""


def main(binary):
    with Farm() as farm:
        origin = farm.origin()
        plain = farm.ours(binary, origin)
        for path, seconds in (("/1k", 8), ("/64k", 3), ("/1m", 2), ("/missing", 1)):
            print(path, *measure.wrk(plain, path, 64, seconds)[:2])
        secure = farm.ours(binary, origin, name="secure", tls=True, more=SHADOW)
        for protocol, streams, connections in (("h2", 10, 6), ("http/1.1", 1, 64)):
            for path in ("/1k", "/64k", "/document.json"):
                print(protocol, path, *measure.h2load(secure, path, "https", protocol, connections, streams, 3)[:2])


if __name__ == "__main__":
    main(*sys.argv[1:])
