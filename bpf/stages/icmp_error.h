/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An ICMP error belongs to the flow whose packet it quotes (P9, S18): reads the quote. */
#pragma once

#include "bpf/core/packet.h"

#define ICMP_HEADER 8

/* The quoted packet, as it was sent: inner->l4_offset and ports are its own. 0, or DROP_INVALID_PACKET. */
static __stage int icmp_error__quoted(struct __sk_buff *skb, struct packet *outer, struct packet *inner)
{
	__u32 offset = outer->l4_offset + ICMP_HEADER;
	__u8 *h;

	if (offset > L4_OFFSET_MAX)
		return DROP_INVALID_PACKET;
	inner->is_v6 = outer->is_v6;
	if (outer->is_v6) {
		struct ipv6hdr *ip6 = packet__need(skb, offset, sizeof(*ip6));

		if (!ip6 || ip6->version != 6)
			return DROP_INVALID_PACKET;
		__builtin_memcpy(&inner->src, &ip6->saddr, sizeof(inner->src));
		__builtin_memcpy(&inner->dst, &ip6->daddr, sizeof(inner->dst));
		inner->proto = ip6->nexthdr;
		offset += sizeof(*ip6);
	} else {
		struct iphdr *ip = packet__need(skb, offset, sizeof(*ip));

		if (!ip || ip->version != 4 || ip->ihl < 5)
			return DROP_INVALID_PACKET;
		addr__from_ipv4(&inner->src, ip->saddr);
		addr__from_ipv4(&inner->dst, ip->daddr);
		inner->proto = ip->protocol;
		offset += ip->ihl * 4;
	}
	if (offset > L4_OFFSET_MAX)
		return DROP_INVALID_PACKET;
	inner->l4_offset = offset;
	if (!packet__has_ports(inner->proto) && !packet__is_icmp(inner))
		return 0;
	h = packet__need(skb, offset, 8);
	if (!h)
		return DROP_INVALID_PACKET;
	if (packet__is_icmp(inner)) {
		packet__read_icmp(inner, h);
		return inner->is_icmp_error ? DROP_INVALID_PACKET : 0;
	}
	inner->sport_be = *(__be16 *)h;
	inner->dport_be = *(__be16 *)(h + 2);
	return 0;
}
