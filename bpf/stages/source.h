/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A pod sends only from its own addresses; link-local IPv6 stays on its link. */
#pragma once

#include "bpf/core/packet.h"
#include "bpf/maps/endpoint.h"

#define SOURCE_OK 0
#define SOURCE_LINK (-1) /* link-local traffic: for the host's stack only, never forwarded */

/* The pod's one link-local address: that of its MAC (RFC 4291, appendix A), which the agent gave it. */
static __always_inline bool source__is_own_link_local(const struct ip_addr *a, const struct endpoint_row *ep)
{
	const __u8 *mac = ep->pod_mac;
	struct ip_addr own = { .bytes = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3],
					  mac[4], mac[5] } };

	return addr__equal(a, &own);
}

/*
 * Whether the packet stays on the pod's link. To the node's link-local address goes ICMP only: a connection would pass by
 * conntrack and policy. As with the gateway of IPv4, nothing is served there.
 */
static __always_inline bool source__stays_on_link(const struct packet *pkt)
{
	if (addr__is_multicast(&pkt->dst, pkt->is_v6))
		return true;
	return pkt->is_v6 && addr__is_link_local(&pkt->dst) && pkt->proto == IPPROTO_ICMPV6;
}

/* SOURCE_*, or a drop reason. */
static __always_inline int source__check(const struct packet *pkt, const struct endpoint_row *ep)
{
	const struct ip_addr *own = pkt->is_v6 ? &ep->ipv6 : &ep->ipv4;

	if (likely(addr__is_set(own) && addr__equal(&pkt->src, own))) {
		if (unlikely(source__stays_on_link(pkt)))
			return SOURCE_LINK;
		return pkt->is_v6 && addr__is_link_local(&pkt->dst) ? DROP_NO_IDENTITY : SOURCE_OK;
	}
	/* Router solicitation, MLD and what else a host says before and beside its global address (P19). */
	if (pkt->is_v6 && source__stays_on_link(pkt) &&
	    (!addr__is_set(&pkt->src) || source__is_own_link_local(&pkt->src, ep)))
		return SOURCE_LINK;
	return DROP_SPOOFED_SOURCE;
}
