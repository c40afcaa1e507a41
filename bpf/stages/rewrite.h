/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Gives one end of a packet another address and port, checksums included. */
#pragma once

#include "bpf/core/packet.h"

static __always_inline bool rewrite__has_port(const struct packet *pkt)
{
	return pkt->proto == IPPROTO_TCP || pkt->proto == IPPROTO_UDP || packet__is_icmp(pkt);
}

/* Offset of the checksum within the transport header; 0 where none covers address and port. */
static __always_inline __u32 rewrite__checksum_offset(const struct packet *pkt)
{
	if (pkt->fragment == FRAGMENT_LATER)
		return 0;
	if (pkt->proto == IPPROTO_TCP)
		return 16;
	if (pkt->proto == IPPROTO_UDP || pkt->proto == IPPROTO_UDPLITE)
		return 6;
	return packet__is_icmp(pkt) ? 2 : 0;
}

static __always_inline int rewrite__addr(struct __sk_buff *skb, const struct packet *pkt, const struct ip_addr *from,
					 const struct ip_addr *to, bool source)
{
	__u32 relative = rewrite__checksum_offset(pkt), check = pkt->l4_offset + relative;
	__u64 flags = BPF_F_PSEUDO_HDR | (pkt->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);

	if (pkt->is_v6) {
		__s64 diff = bpf_csum_diff((void *)from, sizeof(*from), (void *)to, sizeof(*to), 0);

		if (relative && packet__replace_ipv6_sum(skb, check, diff, flags))
			return DROP_WRITE_FAILED;
		/* No checksum absorbs the change: a sum of the whole packet that the card delivered must follow. */
		if (!relative)
			bpf_csum_update(skb, (__u32)diff);
		if (bpf_skb_store_bytes(skb, L3_OFFSET + (source ? 8 : 24), to, sizeof(*to), 0))
			return DROP_WRITE_FAILED;
		return 0;
	}
	if (relative && pkt->proto != IPPROTO_ICMP &&
	    bpf_l4_csum_replace(skb, check, from->words_be[3], to->words_be[3], flags | 4))
		return DROP_WRITE_FAILED;
	if (bpf_l3_csum_replace(skb, L3_OFFSET + 10, from->words_be[3], to->words_be[3], 4) ||
	    bpf_skb_store_bytes(skb, L3_OFFSET + (source ? 12 : 16), &to->words_be[3], 4, 0))
		return DROP_WRITE_FAILED;
	return 0;
}

/* Gives the source (or the destination) of the packet another address and port. 0, or DROP_WRITE_FAILED. */
static __stage int rewrite__end(struct __sk_buff *skb, struct packet *pkt, struct ip_addr *to, __be16 port_be,
				bool source)
{
	struct ip_addr from = source ? pkt->src : pkt->dst, target = *to;
	__be16 from_port = source ? pkt->sport_be : pkt->dport_be;
	__u32 relative = rewrite__checksum_offset(pkt), check = pkt->l4_offset + relative, offset;
	__u64 flags = pkt->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 | 2 : 2;

	if (rewrite__addr(skb, pkt, &from, &target, source))
		return DROP_WRITE_FAILED;
	if (from_port != port_be && relative && rewrite__has_port(pkt)) {
		offset = pkt->l4_offset + (packet__is_icmp(pkt) ? 4 : source ? 0 : 2);
		if (bpf_l4_csum_replace(skb, check, from_port, port_be, flags) ||
		    bpf_skb_store_bytes(skb, offset, &port_be, 2, 0))
			return DROP_WRITE_FAILED;
	}
	if (source) {
		pkt->src = target;
		pkt->sport_be = port_be;
	} else {
		pkt->dst = target;
		pkt->dport_be = port_be;
	}
	return 0;
}
