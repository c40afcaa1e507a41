/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A pod sends only from its own addresses; link-local IPv6 stays on its link. */
#pragma once

#include "bpf/core/packet.h"
#include "bpf/maps/endpoint.h"

#define SOURCE_OK 0
#define SOURCE_LINK (-1) /* link-local traffic: for the host's stack only, never forwarded */

/* SOURCE_*, or a drop reason. */
static __always_inline int source__check(const struct packet *pkt, const struct endpoint_row *ep)
{
	const struct ip_addr *own = pkt->is_v6 ? &ep->ipv6 : &ep->ipv4;

	if (likely(addr__is_set(own) && addr__equal(&pkt->src, own)))
		return addr__is_multicast(&pkt->dst, pkt->is_v6) || (pkt->is_v6 && addr__is_link_local(&pkt->dst))
			       ? SOURCE_LINK
			       : SOURCE_OK;
	if (!pkt->is_v6)
		return DROP_SPOOFED_SOURCE;
	/* Router solicitation, MLD and what else a host says before and beside its global address (P19). */
	if (!addr__is_set(&pkt->src) || addr__is_link_local(&pkt->src))
		if (addr__is_multicast(&pkt->dst, true) || addr__is_link_local(&pkt->dst))
			return SOURCE_LINK;
	return DROP_SPOOFED_SOURCE;
}
