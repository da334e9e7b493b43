#!/usr/bin/env python3
"""Joins two network interfaces as a cable would, with faults or a VLAN tag where asked.

usage: link.py A B [--loss P] [--duplicate P] [--reorder P] [--delay SECONDS] [--vlan ID] [--seed N]

Whole Ethernet frames that A receives leave through B and the other way round. P are probabilities from 0 to 1.
--delay holds every frame back, except those that --reorder picks: they overtake. --vlan adds an 802.1Q tag to what
goes from A to B and takes it off on the way back. Does what `tc ... netem` and VLAN devices do, on kernels that have
neither. Needs CAP_NET_RAW; prints "ready" once frames flow, runs until SIGTERM.
"""
import argparse
import heapq
import random
import select
import socket
import struct
import time

ETH_P_ALL = 0x0003
ETH_P_8021Q = 0x8100
SOL_PACKET = 263
PACKET_AUXDATA = 8
AUXDATA = struct.Struct("=IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid
TP_STATUS_VLAN_VALID = 0x10
FRAME_MAX = 65536


def open_interface(name):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    raw.bind((name, 0))
    return raw


def tagged(frame, tci):
    return frame[:12] + struct.pack("!HH", ETH_P_8021Q, tci) + frame[12:]


def receive(raw):
    """One frame and its VLAN tag (None without one); the kernel hands the tag over beside the frame."""
    frame, ancillary, _, address = raw.recvmsg(FRAME_MAX, socket.CMSG_SPACE(AUXDATA.size))
    if address[2] == socket.PACKET_OUTGOING:
        return None, None
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            fields = AUXDATA.unpack(data[: AUXDATA.size])
            if fields[0] & TP_STATUS_VLAN_VALID:
                return frame, fields[5]
    return frame, None


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a")
    parser.add_argument("b")
    for probability in ("--loss", "--duplicate", "--reorder"):
        parser.add_argument(probability, type=float, default=0.0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--vlan", type=int)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    options = arguments()
    chance = random.Random(options.seed)
    a, b = open_interface(options.a), open_interface(options.b)
    waiting = []  # heap of (due, order, interface, frame)
    order = 0
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, out, frame = heapq.heappop(waiting)
            out.send(frame)
        patience = max(0.0, waiting[0][0] - now) if waiting else None
        for raw in select.select([a, b], [], [], patience)[0]:
            frame, tag = receive(raw)
            if frame is None or chance.random() < options.loss:
                continue
            if raw is a and options.vlan is not None:
                frame = tagged(frame, options.vlan)
            elif tag is not None and options.vlan is None:
                frame = tagged(frame, tag)
            copies = 2 if chance.random() < options.duplicate else 1
            overtakes = chance.random() < options.reorder
            due = time.monotonic() + (0.0 if overtakes else options.delay)
            for _ in range(copies):
                order += 1
                heapq.heappush(waiting, (due, order, b if raw is a else a, frame))


main()
