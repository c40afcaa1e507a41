/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Gives the later fragments of a datagram the protocol and the ports of its first one. */
#pragma once

#include "bpf/core/packet.h"
#include "bpf/maps/ct.h"

/* 0, or a drop reason. Fills the packet's protocol and ports. */
static __stage int fragment__track(struct packet *pkt)
{
	struct frag_key key = {};
	struct frag_ports ports = {}, *known;

	key.src = pkt->src;
	key.dst = pkt->dst;
	key.id_be = pkt->fragment_id_be;
	key.proto = pkt->fragment_proto;
	if (pkt->fragment == FRAGMENT_FIRST) {
		ports.sport_be = pkt->sport_be;
		ports.dport_be = pkt->dport_be;
		ports.proto = pkt->proto;
		bpf_map_update_elem(&sl_frag, &key, &ports, BPF_ANY);
		return 0;
	}
	if (!packet__has_ports(pkt->proto) && !packet__is_icmp(pkt) &&
	    !(pkt->is_v6 && packet__is_extension(pkt->proto)))
		return 0;
	known = bpf_map_lookup_elem(&sl_frag, &key);
	if (!known)
		return DROP_FRAGMENT_UNKNOWN;
	pkt->proto = known->proto;
	pkt->sport_be = known->sport_be;
	pkt->dport_be = known->dport_be;
	return 0;
}

static __always_inline int fragment__ports(struct packet *pkt)
{
	if (likely(!pkt->fragment))
		return 0;
	return fragment__track(pkt);
}
