# SPDX-License-Identifier: Apache-2.0
"""Frames made by hand: neighbour requests and packets with addresses that are not the sender's."""
import ipaddress
import select
import socket
import struct
import time

ETH_ALL, ETH_ARP, ETH_IP, ETH_IPV6 = 3, 0x0806, 0x0800, 0x86DD
BROADCAST = b"\xff" * 6


def mac_of(ns, device="eth0"):
    text = ns.exec(["cat", f"/sys/class/net/{device}/address"]).stdout if hasattr(ns, "lab") else \
        ns.exec(f"ip -o link show {device} | sed 's/.*ether \\([^ ]*\\).*/\\1/'").stdout
    return bytes.fromhex(text.strip().replace(":", ""))


def packet_socket(ns, device="eth0", protocol=ETH_ALL):
    sock = ns.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    sock.bind((device, protocol))
    return sock


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packed(address):
    return ipaddress.ip_address(address).packed


def pseudo_checksum(src, dst, protocol, body):
    return checksum(packed(src) + packed(dst) + struct.pack("!II", len(body), protocol) + body)


def ipv4(src, dst, protocol, body, ttl=64):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 7, 0, ttl, protocol, 0, packed(src), packed(dst))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def ipv6(src, dst, protocol, body, hops=64):
    return struct.pack("!IHBB16s16s", 6 << 28, len(body), protocol, hops, packed(src), packed(dst)) + body


def udp(src, dst, sport, dport, data=b"forged"):
    """An IP packet of either family with one datagram."""
    head = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
    if ":" in src:
        body = head[:6] + struct.pack("!H", pseudo_checksum(src, dst, 17, head + data) or 0xffff) + data
        return ipv6(src, dst, 17, body)
    return ipv4(src, dst, 17, head + data)


def arp_request(mac, sender, target):
    return BROADCAST + mac + struct.pack("!HHHBBH", ETH_ARP, 1, ETH_IP, 6, 4, 1) + mac + packed(sender) + bytes(6) \
        + packed(target)


def neighbour_solicitation(mac, sender, target):
    last = packed(target)[-3:]
    group = "ff02::1:ff" + last[:1].hex() + ":" + last[1:].hex()
    body = struct.pack("!BBHI", 135, 0, 0, 0) + packed(target) + b"\x01\x01" + mac
    body = body[:2] + struct.pack("!H", pseudo_checksum(sender, group, 58, body)) + body[4:]
    return b"\x33\x33\xff" + last + mac + struct.pack("!H", ETH_IPV6) + ipv6(sender, group, 58, body, 255)


def receive_until(sock, wanted, timeout=1.0):
    """The first frame for which wanted(frame) is true; None when the time is over."""
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        if select.select([sock], [], [], left)[0]:
            frame = sock.recv(65536)
            if wanted(frame):
                return frame
    return None


def is_arp_reply_for(address):
    return lambda f: f[12:14] == b"\x08\x06" and f[20:22] == b"\0\x02" and f[28:32] == packed(address)


def is_advertisement_for(address):
    return lambda f: f[12:14] == b"\x86\xdd" and f[20] == 58 and f[54] == 136 and f[62:78] == packed(address)
