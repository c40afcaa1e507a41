/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Translates an ICMP error about a translated flow: its own header and the one it quotes (S18). */
#pragma once

#include "bpf/stages/icmp_error.h"
#include "bpf/stages/rewrite.h"

struct icmp_rewrite {
	struct ip_addr to;
	__be16 port_be;
	__u8 quoted_source; /* 1: source of the quote and destination of the error; 0: the other two */
	__u8 pad;
};

static __always_inline int icmp_error__rewrite_addr(struct __sk_buff *skb, const struct packet *outer,
						    const struct ip_addr *from, const struct icmp_rewrite *rewrite)
{
	__u32 check = outer->l4_offset + 2, quote = outer->l4_offset + ICMP_HEADER;
	bool source = rewrite->quoted_source;
	struct ip_addr to = rewrite->to;

	if (outer->is_v6) {
		__s64 diff = bpf_csum_diff((void *)from, sizeof(*from), (void *)&to, sizeof(to), 0);

		/* Once for the quote, once for the pseudo header. */
		return bpf_l4_csum_replace(skb, check, 0, diff, 0) || packet__replace_ipv6_sum(skb, check, diff, 0) ||
		       bpf_skb_store_bytes(skb, quote + (source ? 8 : 24), &to, sizeof(to), 0) ||
		       bpf_skb_store_bytes(skb, L3_OFFSET + (source ? 24 : 8), &to, sizeof(to), 0);
	}
	/* The quoted header's own checksum absorbs its change: the ICMP sum stays. */
	return bpf_l3_csum_replace(skb, quote + 10, from->words_be[3], to.words_be[3], 4) ||
	       bpf_skb_store_bytes(skb, quote + (source ? 12 : 16), &to.words_be[3], 4, 0) ||
	       bpf_l3_csum_replace(skb, L3_OFFSET + 10, from->words_be[3], to.words_be[3], 4) ||
	       bpf_skb_store_bytes(skb, L3_OFFSET + (source ? 16 : 12), &to.words_be[3], 4, 0);
}

/* How the sum that the quoted packet's own checksum covers changes; RFC 1624, in at most 32 bits. */
static __always_inline __u32 icmp_error__quoted_change(const struct packet *inner, struct ip_addr *from,
						       __be16 from_port, struct icmp_rewrite *rewrite)
{
	__be32 old_port = from_port, new_port = rewrite->port_be;
	__u32 sum = bpf_csum_diff(&old_port, sizeof(old_port), &new_port, sizeof(new_port), 0);

	if (inner->proto == IPPROTO_ICMP)
		return sum; /* has no pseudo header */
	return bpf_csum_diff((void *)from, sizeof(*from), (void *)&rewrite->to, sizeof(rewrite->to), sum);
}

/*
 * Puts the new address and port into the checksum of the quoted packet, and that into the error's own, as far as the quote
 * reaches. Who gets the error may check it, and finds its packet as it sent it. UDP without a checksum stays so.
 */
static __always_inline int icmp_error__rewrite_quoted_sum(struct __sk_buff *skb, const struct packet *outer,
							  const struct packet *inner, __u32 change)
{
	__u32 relative = rewrite__checksum_offset(inner), offset = inner->l4_offset + relative, sum;
	bool is_udp = inner->proto == IPPROTO_UDP;
	__be16 old, new;

	if (!relative || offset + sizeof(old) > (__u32)outer->len + L3_OFFSET)
		return 0;
	if (bpf_skb_load_bytes(skb, offset, &old, sizeof(old)))
		return 0; /* shorter than its length field says */
	if (is_udp && !old)
		return 0;
	sum = (__u16)~old + (change & 0xffff) + (change >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	new = ~((sum & 0xffff) + (sum >> 16));
	if (is_udp && !new)
		new = 0xffff;
	return bpf_l4_csum_replace(skb, outer->l4_offset + 2, old, new, 2) ||
	       bpf_skb_store_bytes(skb, offset, &new, sizeof(new), 0);
}

/* Gives the translated end another address and port, in the quote and outside. 0, or DROP_WRITE_FAILED. */
static __stage int icmp_error__rewrite(struct __sk_buff *skb, struct packet *outer, struct packet *inner,
				       struct icmp_rewrite *rewrite)
{
	bool source = rewrite->quoted_source;
	struct ip_addr from = source ? inner->src : inner->dst;
	__be16 from_port = source ? inner->sport_be : inner->dport_be;
	__u32 port_offset = inner->l4_offset + (source ? 0 : 2);

	if (packet__is_icmp(inner))
		port_offset = inner->l4_offset + 4;
	if (icmp_error__rewrite_addr(skb, outer, &from, rewrite) ||
	    icmp_error__rewrite_quoted_sum(skb, outer, inner,
					   icmp_error__quoted_change(inner, &from, from_port, rewrite)))
		return DROP_WRITE_FAILED;
	if (from_port != rewrite->port_be &&
	    (bpf_l4_csum_replace(skb, outer->l4_offset + 2, from_port, rewrite->port_be, 2) ||
	     bpf_skb_store_bytes(skb, port_offset, &rewrite->port_be, 2, 0)))
		return DROP_WRITE_FAILED;
	if (source) {
		inner->src = outer->dst = rewrite->to;
		inner->sport_be = rewrite->port_be;
	} else {
		inner->dst = outer->src = rewrite->to;
		inner->dport_be = rewrite->port_be;
	}
	return 0;
}
