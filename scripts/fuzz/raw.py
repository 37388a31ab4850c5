"""Throws at both ports what no client library would send: metadata, messages and frames at gRPC, headers and framing at HTTP.

Python, since its fuzzer (hypothesis) is the one that schemathesis brings along. Ends with 1 when an answer is one that the
service must not give: a status of 5xx, a gRPC status that is not in the contract, or a look inside.
"""

import argparse
import re
import socket
import sys
import time

import grpc
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

arguments = argparse.ArgumentParser()
for name in ("--http", "--grpc"):
    arguments.add_argument(name, required=True, help="host:port")
for name in ("--seconds", "--rate", "--seed"):
    arguments.add_argument(name, type=int, required=True)
options = arguments.parse_args()
end = time.monotonic() + options.seconds
sent = {"grpc calls": 0, "http2 connections": 0, "http1 connections": 0}

INSIDE = re.compile(rb"node_modules|\.[jt]s\b|\bat \S+:\d|select |postgres|ECONN|HPE_", re.IGNORECASE)
ALLOWED = {
    grpc.StatusCode[name]
    for name in ("OK", "INVALID_ARGUMENT", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "INTERNAL")
}


def wait_turn(kind):
    sent[kind] += 1
    time.sleep(1 / options.rate)


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def exchange(where, data):
    """What comes back on a connection of its own, until it is closed or silent for a moment."""
    answer = b""
    with socket.create_connection(address(where), timeout=5) as connection:
        try:
            connection.sendall(data)
            connection.settimeout(0.3)
            while part := connection.recv(65536):
                answer += part
        except (TimeoutError, ConnectionError):
            pass
    return answer


texts = st.text(max_size=200) | st.sampled_from(["", "a.b.c", "null", "../../etc/passwd", "' or 1=1 --", "\x1b[31m", "\u2028"])
field = st.binary(max_size=300) | texts.map(lambda text: b"\x0a" + bytes([len(text.encode()[:127])]) + text.encode()[:127])
metadata = st.lists(
    st.tuples(
        st.from_regex(r"\A[a-z][a-z0-9_.-]{0,30}\Z").filter(lambda key: not key.startswith("grpc-")),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200),
    ),
    max_size=8,
)
methods = st.sampled_from(["/roles.RolesService/GetUserRole"] * 8 + ["/roles.RolesService/Nothing", "/a/b", "/grpc.health.v1.Health/Check"])
channel = grpc.insecure_channel(options.grpc)


def call_grpc(method, message, more):
    wait_turn("grpc calls")
    call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    try:
        call(message, metadata=more, timeout=10)
    except ValueError:
        return  # The client itself refuses this metadata.
    except grpc.RpcError as error:
        health = "Health" in method and error.code() == grpc.StatusCode.NOT_FOUND
        assert health or error.code() in ALLOWED, (method, message, error.code(), error.details())
        assert not INSIDE.search((error.details() or "").encode()), error.details()


frames = st.lists(
    st.builds(
        lambda kind, flags, stream, body: len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body,
        st.integers(0, 12) | st.integers(0, 255),
        st.integers(0, 255),
        st.sampled_from([0, 1, 1, 1, 2, 3, 5, 2**31 - 1, 2**32 - 1]),
        st.binary(max_size=200),
    ),
    max_size=12,
)
prefaces = st.sampled_from([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"] * 6 + [b"", b"PRI * HTTP/2.0\r\n\r\n"])


def call_http2(preface, parts):
    wait_turn("http2 connections")
    assert not INSIDE.search(exchange(options.grpc, preface + b"".join(parts)))


paths = st.sampled_from(
    [b"/", b"/health/live", b"/openapi.json", b"/api/v1/tokens/", b"/api/v1/tokens/refresh/", b"/api/v1/users/current/"]
    + [b"/api/v1/users/1/", b"/api/v1/users/customers/", b"/api/v1/users/MQ/verify/x/", b"/media/avatars/x", b"*"]
) | st.binary(max_size=60).map(lambda tail: b"/" + tail)
verbs = st.sampled_from([b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"HEAD", b"TRACE", b"QUERY", b"get"])
names = st.sampled_from(
    [b"Host", b"User-Agent", b"X-Request-ID", b"X-Forwarded-For", b"X-Forwarded-Host", b"Forwarded", b"Cookie", b"Origin"]
    + [b"Authorization", b"traceparent", b"Content-Type", b"Content-Length", b"Transfer-Encoding", b"Content-Encoding"]
    + [b"Idempotency-Key", b"Sec-Fetch-Site", b"If-None-Match", b"Expect", b"Upgrade", b"Connection", b"__proto__"]
) | st.binary(max_size=20)
headers_values = st.sampled_from(
    [b"application/json", b"chunked", b"0", b"-1", b"5", b"1e3", b"identity", b"gzip", b"keep-alive", b"websocket", b"100-continue"]
    + [b"access_token=x; access_token=y", b"refresh_token=" + b"A" * 86, b"Bearer a.b.c", b"a" * 17000, b"\x9b31m\xe2\x80\xa8"]
) | st.binary(max_size=80).map(lambda value: value.replace(b"\n", b"\x9b"))
bodies = st.sampled_from([b"", b"{}", b"{", b"0\r\n\r\n", b'5;x="y"\r\n{"a":\r\n0\r\n\r\n', b'{"__proto__":{}}']) | st.binary(max_size=200)
breaks = st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r", b"\r\n "])


def call_http1(verb, path, more, body, line_break):
    wait_turn("http1 connections")
    lines = [verb + b" " + path + b" HTTP/1.1", b"Host: fuzz", *[name + b": " + value for name, value in more]]
    answer = exchange(options.http, line_break.join(lines) + b"\r\n\r\n" + body)
    # Whatever was read as a second request is answered as well.
    for status in re.findall(rb"HTTP/1\.1 (\d+)", answer):
        assert int(status) < 500, (lines, body, status)
    if not path.startswith((b"/openapi", b"/docs")):
        assert not INSIDE.search(answer), answer


targets = [
    (call_grpc, dict(method=methods, message=field, more=metadata)),
    (call_http2, dict(preface=prefaces, parts=frames)),
    (
        call_http1,
        dict(verb=verbs, path=paths, more=st.lists(st.tuples(names, headers_values), max_size=6), body=bodies, line_break=breaks),
    ),
]
failed = 0
turn = 0
while time.monotonic() < end:
    function, inputs = targets[turn % len(targets)]
    check = given(**inputs)(lambda **given_inputs: function(**given_inputs))
    check = seed(options.seed + turn)(check)
    limits = settings(
        max_examples=100, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    try:
        limits(check)()
    except AssertionError as problem:
        failed += 1
        print(f"FAILED: {function.__name__}, seed {options.seed + turn}: {problem}", flush=True)
    turn += 1
channel.close()
print(f"raw.py sent {sent}; {failed} turn(s) failed", flush=True)
sys.exit(1 if failed else 0)
