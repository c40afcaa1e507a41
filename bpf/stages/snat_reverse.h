/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Source translation on the way in: an answer, or an error about a translated packet, finds its pod again. */
#pragma once

#include "bpf/stages/icmp_translate.h"
#include "bpf/stages/rewrite.h"
#include "bpf/maps/ct.h"
#include "bpf/maps/endpoint.h"

static __always_inline struct nat_row *snat__find(const struct packet *pkt, const struct ip_addr *remote,
						  const struct ip_addr *own, __be16 remote_port_be, __be16 own_port_be)
{
	struct nat_key key = { .remote = *remote,
			       .node = *own,
			       .remote_port_be = remote_port_be,
			       .node_port_be = own_port_be,
			       .proto = pkt->proto };

	return bpf_map_lookup_elem(&sl_nat, &key);
}

static __stage int snat__reverse_error(struct __sk_buff *skb, struct packet *pkt)
{
	struct icmp_rewrite rewrite = { .quoted_source = 1 };
	struct packet inner = {};
	struct nat_row *row;

	/* What cannot be read, or tells one end about a packet of another, is not for a translated flow. */
	if (icmp_error__quoted(skb, pkt, &inner) || !addr__equal(&inner.src, &pkt->dst))
		return 0;
	row = snat__find(&inner, &inner.dst, &inner.src, inner.dport_be, inner.sport_be);
	if (!row)
		return 0;
	rewrite.to = row->pod;
	rewrite.port_be = row->pod_port_be;
	return icmp_error__rewrite(skb, pkt, &inner, &rewrite);
}

/* On the way in: gives the answer to a translated flow back its pod. 0 also where there is nothing to do, or a drop reason. */
static __always_inline int snat__reverse(struct __sk_buff *skb, struct packet *pkt, const struct node_row *node)
{
	__u16 port = bpf_ntohs(pkt->dport_be);
	struct nat_row *row;
	struct ip_addr to;

	if (pkt->is_icmp_error)
		return snat__reverse_error(skb, pkt);
	if (rewrite__has_port(pkt) && (port < node->snat_port_min || port > node->snat_port_max))
		return 0;
	row = snat__find(pkt, &pkt->src, &pkt->dst, pkt->sport_be, pkt->dport_be);
	if (!row)
		return 0;
	to = row->pod;
	return rewrite__end(skb, pkt, &to, row->pod_port_be, false);
}
