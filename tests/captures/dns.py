#!/usr/bin/env python3
"""The smallest DNS server and client (RFC 1035): one A record for every name.

usage: dns.py serve ADDRESS          answers on port 53 until SIGTERM; prints "ready"
       dns.py ask ADDRESS NAME...    asks for each name from a port of its own; prints one fact a line:
                                     udp_flow PORT BYTES_ASKED BYTES_ANSWERED
"""
import socket
import struct
import sys

PORT = 53
TYPE_A, CLASS_IN = 1, 1
RECURSION_DESIRED, RESPONSE = 0x0100, 0x8000


def query(identifier, name):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", identifier, RECURSION_DESIRED, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", TYPE_A, CLASS_IN)


def answer(question):
    identifier = struct.unpack_from("!H", question)[0]
    header = struct.pack("!6H", identifier, RESPONSE | RECURSION_DESIRED, 1, 1, 0, 0)
    name_of_question = 0xC00C  # pointer to offset 12
    record = struct.pack("!HHHIH", name_of_question, TYPE_A, CLASS_IN, 60, 4) + socket.inet_aton("192.0.2.80")
    return header + question[12:] + record


def serve(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((address, PORT))
        print("ready", flush=True)
        while True:
            question, peer = udp.recvfrom(512)
            udp.sendto(answer(question), peer)


def ask(address, names):
    print("udp_flows", len(names))
    for identifier, name in enumerate(names, 1):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(5)
            udp.connect((address, PORT))
            question = query(identifier, name)
            udp.send(question)
            reply = udp.recv(512)
            print("udp_flow", udp.getsockname()[1], len(question), len(reply))


if sys.argv[1] == "serve":
    serve(sys.argv[2])
else:
    ask(sys.argv[2], sys.argv[3:])
