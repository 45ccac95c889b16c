"""gRPC through the gateway, HTTP/2 on both sides: the official server behind, the official client in front."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from gateway import START_S

LARGE = bytes(range(256)) * 4096

left = threading.Event()


def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.send_initial_metadata([("x-first", "1"), ("x-bytes-bin", b"\x00\xff")])
    context.set_trailing_metadata([("x-length", str(len(request))), ("x-agent", dict(context.invocation_metadata())["x-ask"])])
    return request


def listed(request: bytes, _context: grpc.ServicerContext):
    for number in range(int(request)):
        yield str(number).encode()


def collected(requests, _context: grpc.ServicerContext) -> bytes:
    return b"+".join(requests)


def talking(requests, context: grpc.ServicerContext):
    for request in requests:
        if request == b"enough":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "it was enough")
        yield b"you said " + request


def failing(_request: bytes, context: grpc.ServicerContext) -> bytes:
    context.set_trailing_metadata([("x-why", "because")])
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such picture: 100%")
    raise AssertionError


def waiting(_request: bytes, context: grpc.ServicerContext) -> bytes:
    ended = threading.Event()
    context.add_callback(ended.set)
    assert ended.wait(START_S)
    left.set()
    return b""


class Service(grpc.GenericRpcHandler):
    METHODS = {
        "/shop.Images/Unary": grpc.unary_unary_rpc_method_handler(unary),
        "/shop.Images/Listed": grpc.unary_stream_rpc_method_handler(listed),
        "/shop.Images/Collected": grpc.stream_unary_rpc_method_handler(collected),
        "/shop.Images/Talking": grpc.stream_stream_rpc_method_handler(talking),
        "/shop.Images/Failing": grpc.unary_unary_rpc_method_handler(failing),
        "/shop.Images/Waiting": grpc.unary_unary_rpc_method_handler(waiting),
    }

    def service(self, handler_call_details):
        return self.METHODS.get(handler_call_details.method)


@pytest.fixture(scope="module")
def channel(gateways):
    server = grpc.server(ThreadPoolExecutor(8), handlers=[Service()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    gateway = gateways(("127.0.0.1", port), 'h2 = "prior-knowledge"')
    with grpc.insecure_channel(f"{gateway.public[0]}:{gateway.public[1]}") as channel:
        yield channel
    server.stop(None).wait(START_S)


def test_a_call_keeps_its_metadata_and_its_trailers(channel):
    call = channel.unary_unary("/shop.Images/Unary")
    for request in [b"", b"hello", LARGE]:
        answer, done = call.with_call(request, metadata=[("x-ask", "me")], timeout=START_S)
        assert answer == request
        initial = dict(done.initial_metadata())
        assert (initial["x-first"], initial["x-bytes-bin"]) == ("1", b"\x00\xff")
        assert dict(done.trailing_metadata())["x-length"] == str(len(request))
        assert dict(done.trailing_metadata())["x-agent"] == "me"
        assert done.code() is grpc.StatusCode.OK


def test_streams_flow_either_way(channel):
    listed = channel.unary_stream("/shop.Images/Listed")(b"1000", timeout=START_S)
    assert [int(number) for number in listed] == list(range(1000))
    pieces = [str(number).encode() for number in range(1000)]
    assert channel.stream_unary("/shop.Images/Collected")(iter(pieces), timeout=START_S) == b"+".join(pieces)


def test_both_sides_talk_in_turn(channel):
    """Each answer is waited for before the next request is sent: nothing may be held back on the way."""
    heard = threading.Semaphore(0)

    def requests():
        for number in range(50):
            yield str(number).encode()
            assert heard.acquire(timeout=START_S)
        yield b"enough"

    talk = channel.stream_stream("/shop.Images/Talking")(requests(), timeout=START_S)
    for number in range(50):
        assert next(talk) == f"you said {number}".encode()
        heard.release()
    with pytest.raises(grpc.RpcError) as ended:
        next(talk)
    assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ended.value.details() == "it was enough"


def test_errors_arrive_as_they_were_said(channel):
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/shop.Images/Failing")(b"", timeout=START_S)
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.value.details() == "no such picture: 100%"
    assert dict(failed.value.trailing_metadata())["x-why"] == "because"
    with pytest.raises(grpc.RpcError) as unknown:
        channel.unary_unary("/shop.Images/Nothing")(b"", timeout=START_S)
    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_call_that_is_given_up_ends_there_too(channel):
    with pytest.raises(grpc.RpcError) as late:
        channel.unary_unary("/shop.Images/Waiting")(b"", timeout=0.5)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert left.wait(START_S)
