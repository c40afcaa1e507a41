/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ways a packet leaves for its destination: into a local pod, through the overlay, by the node's routes. */
#pragma once

#include "bpf/stages/ct.h"
#include "bpf/stages/verdict.h"
#include "bpf/maps/endpoint.h"

/*
 * Straight into the pod behind `ep`, past the host's stack. The frame carries the pod's own MAC, so that a bridge inside
 * the pod takes it too (N13). The last hop's expiry is left to the stack, which answers with ICMP.
 */
static __always_inline int deliver__local(struct __sk_buff *skb, struct packet *pkt, const struct endpoint_row *ep,
					  __u32 ifindex, __u8 hook)
{
	if (unlikely(pkt->hops <= 1))
		return verdict__forward(skb, hook);
	if (!packet__set_macs(skb, ep->pod_mac, ep->host_mac) || !packet__decrement_hops(skb, pkt))
		return verdict__drop(skb, pkt, hook, DROP_WRITE_FAILED);
	return verdict__redirect(skb, pkt, hook, bpf_redirect_peer(ifindex, 0));
}

/* Only MARK_MASK's bits change. The barrier keeps clang 19 from storing the one byte: contexts take whole fields. */
static __always_inline void deliver__mark(struct __sk_buff *skb, __u32 bits)
{
	__u32 mark = (skb->mark & ~MARK_MASK) | bits;

	asm volatile("" : "+r"(mark));
	skb->mark = mark;
}

static __always_inline long deliver__set_tunnel(struct __sk_buff *skb, const struct ip_addr *remote,
						const struct node_row *node)
{
	struct bpf_tunnel_key key = { .tunnel_id = node->tunnel_id, .tunnel_ttl = 64 };
	__u64 flags = BPF_F_ZERO_CSUM_TX;

	if (remote->words_be[2] == bpf_htonl(0xffff) && !remote->halves[0]) {
		key.remote_ipv4 = bpf_ntohl(remote->words_be[3]);
	} else {
		/* IPv6 has no zero checksum here: the receiver's device would refuse it. */
		flags = BPF_F_TUNINFO_IPV6;
		__builtin_memcpy(key.remote_ipv6, remote, sizeof(key.remote_ipv6));
	}
	return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags);
}

/* Through the VXLAN device to node `remote`. Too long for it: the stack fragments or answers. */
static __stage int deliver__tunnel(struct __sk_buff *skb, struct packet *pkt, struct ct_entry *entry, __u8 hook)
{
	struct node_row *node = node__get();
	__u32 mtu = 0;
	long rc;

	if (!node || !node->overlay_ifindex)
		return verdict__drop(skb, pkt, hook, DROP_TUNNEL_FAILED);
	if (pkt->hops <= 1)
		return verdict__forward(skb, hook);
	rc = bpf_check_mtu(skb, node->overlay_ifindex, &mtu, 0, 0);
	if (rc < 0) /* no such device: the kernel would lose the redirected packet without a word */
		return verdict__drop(skb, pkt, hook, DROP_TUNNEL_FAILED);
	if (rc > 0)
		return verdict__forward(skb, hook);
	if (!packet__decrement_hops(skb, pkt))
		return verdict__drop(skb, pkt, hook, DROP_WRITE_FAILED);
	if (deliver__set_tunnel(skb, &entry->peer_node, node))
		return verdict__drop(skb, pkt, hook, DROP_TUNNEL_FAILED);
	deliver__mark(skb, MARK_TUNNELLED);
	return verdict__redirect(skb, pkt, hook, bpf_redirect(node->overlay_ifindex, 0));
}

static __always_inline void deliver__fib_params(struct __sk_buff *skb, const struct packet *pkt,
						struct bpf_fib_lookup *fib)
{
	fib->ifindex = skb->ifindex;
	fib->l4_protocol = pkt->proto;
	fib->sport = pkt->sport_be;
	fib->dport = pkt->dport_be;
	if (pkt->is_v6) {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_src, &pkt->src, sizeof(fib->ipv6_src));
		__builtin_memcpy(fib->ipv6_dst, &pkt->dst, sizeof(fib->ipv6_dst));
	} else {
		fib->family = AF_INET;
		fib->ipv4_src = pkt->src.words_be[3];
		fib->ipv4_dst = pkt->dst.words_be[3];
	}
}

/* Bytes of the largest packet that this will be on the wire, from the network header. */
static __always_inline __u32 deliver__wire_len(struct __sk_buff *skb, const struct packet *pkt)
{
	if (likely(!skb->gso_size))
		return pkt->len;
	return skb->gso_size + pkt->l4_offset - L3_OFFSET + (pkt->proto == IPPROTO_TCP ? 20 : 8);
}

/* The flow carries an address that the node has given up since: no answer would find back. */
static __always_inline bool deliver__is_renumbered(const struct ct_entry *entry)
{
	struct identity_row *row;
	struct ip_addr source;
	__be16 port_be;

	if (!config.translate || !ct__read_translation(entry, &source, &port_be))
		return false;
	row = identity__lookup(&source);
	return !row || !(row->flags & ADDRESS_THIS_NODE);
}

/*
 * Looks the route up and keeps it in the flow's row. DELIVER_*: what the lookup cannot settle (too long, unreachable) is the
 * stack's, which answers.
 */
#define DELIVER_ROUTE 0
#define DELIVER_STACK 1
#define DELIVER_BLACKHOLE 2
#define DELIVER_RENUMBERED 3

static __stage int deliver__look_up(struct __sk_buff *skb, struct packet *pkt, struct ct_entry *entry)
{
	struct bpf_fib_lookup fib = {};
	__u32 len = deliver__wire_len(skb, pkt);
	long rc;

	if (deliver__is_renumbered(entry))
		return DELIVER_RENUMBERED;
	deliver__fib_params(skb, pkt, &fib);
	fib.tot_len = len > 0xffff ? 0xffff : len;
	rc = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (rc == BPF_FIB_LKUP_RET_BLACKHOLE)
		return DELIVER_BLACKHOLE;
	if (rc != BPF_FIB_LKUP_RET_SUCCESS && rc != BPF_FIB_LKUP_RET_NO_NEIGH)
		return DELIVER_STACK;
	/* Another CPU may use the row meanwhile: it finds the old route, the new one, or none. */
	entry->route_until_ns = 0;
	__builtin_memcpy(&entry->next_hop, fib.ipv6_dst, sizeof(entry->next_hop)); /* a union: IPv4 too */
	entry->route_ifindex = fib.ifindex;
	entry->route_family = fib.family;
	entry->route_mtu = fib.mtu_result;
	entry->route_until_ns = now_ns() + ROUTE_LIFETIME_NS;
	return DELIVER_ROUTE;
}

/* By the node's routes and neighbours. */
static __stage int deliver__route(struct __sk_buff *skb, struct packet *pkt, struct ct_entry *entry, __u8 hook)
{
	struct flow flow = { .entry = entry };
	struct bpf_redir_neigh next = {};
	int rc = DELIVER_ROUTE;

	if (pkt->hops <= 1)
		return verdict__forward(skb, hook);
	if (unlikely(now_ns() >= entry->route_until_ns || deliver__wire_len(skb, pkt) > entry->route_mtu))
		rc = deliver__look_up(skb, pkt, entry);
	if (unlikely(rc == DELIVER_BLACKHOLE))
		return verdict__drop(skb, pkt, hook, DROP_NO_ROUTE);
	if (unlikely(rc == DELIVER_RENUMBERED)) {
		ct__delete(pkt, &flow);
		return verdict__drop(skb, pkt, hook, DROP_SNAT_NO_ADDRESS);
	}
	if (unlikely(rc == DELIVER_STACK))
		return verdict__forward(skb, hook);
	if (!packet__decrement_hops(skb, pkt))
		return verdict__drop(skb, pkt, hook, DROP_WRITE_FAILED);
	next.nh_family = entry->route_family;
	__builtin_memcpy(next.ipv6_nh, &entry->next_hop, sizeof(next.ipv6_nh));
	return verdict__redirect(skb, pkt, hook, bpf_redirect_neigh(entry->route_ifindex, &next, sizeof(next), 0));
}
