/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ways a packet leaves for its destination: into a local pod, through the overlay, by the node's routes. */
#pragma once

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

/* By the node's routes and neighbours. What the lookup cannot settle (too long, unreachable) goes to the stack: it answers. */
static __stage int deliver__route(struct __sk_buff *skb, struct packet *pkt, __u8 hook)
{
	struct bpf_redir_neigh next = {};
	struct bpf_fib_lookup fib = {};
	long rc;

	if (pkt->hops <= 1)
		return verdict__forward(skb, hook);
	deliver__fib_params(skb, pkt, &fib);
	rc = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (rc == BPF_FIB_LKUP_RET_BLACKHOLE)
		return verdict__drop(skb, pkt, hook, DROP_NO_ROUTE);
	if (rc != BPF_FIB_LKUP_RET_SUCCESS && rc != BPF_FIB_LKUP_RET_NO_NEIGH)
		return verdict__forward(skb, hook);
	if (!packet__decrement_hops(skb, pkt))
		return verdict__drop(skb, pkt, hook, DROP_WRITE_FAILED);
	next.nh_family = fib.family;
	__builtin_memcpy(next.ipv6_nh, fib.ipv6_dst, sizeof(next.ipv6_nh)); /* a union: holds the IPv4 next hop too */
	return verdict__redirect(skb, pkt, hook, bpf_redirect_neigh(fib.ifindex, &next, sizeof(next), 0));
}
