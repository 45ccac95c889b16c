#!/usr/bin/env python3
"""A stand-in for AWS, moto, that answers one request after the other: `aws.py PORT`.

moto's own server answers in threads, and checks the conditions of two writes at once before it makes either. The real
DynamoDB does not; one at a time is as atomic as it is."""

import logging
import sys

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

logging.getLogger("werkzeug").setLevel(logging.ERROR)
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
