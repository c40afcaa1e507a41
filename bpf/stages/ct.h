/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Conntrack: one lookup finds a flow from either side; its row holds the verdict and the way. */
#pragma once

#include "bpf/stages/event.h"
#include "bpf/maps/ct.h"

struct flow {
	struct ct_entry *entry;
	__u8 from_a; /* the packet's sender is end `a` of the key */
	__u8 dir;    /* CT_FROM_*; valid with an entry */
};

/* Fills *key; returns whether the packet's sender is end `a`. */
static __always_inline bool ct__key(const struct packet *pkt, struct ct_key *key)
{
	bool from_a;

	if (pkt->src.halves[1] != pkt->dst.halves[1])
		from_a = pkt->src.halves[1] < pkt->dst.halves[1];
	else if (pkt->src.halves[0] != pkt->dst.halves[0])
		from_a = pkt->src.halves[0] < pkt->dst.halves[0];
	else
		from_a = pkt->sport_be <= pkt->dport_be;
	if (from_a) {
		key->addr_a = pkt->src;
		key->addr_b = pkt->dst;
		key->port_a_be = pkt->sport_be;
		key->port_b_be = pkt->dport_be;
	} else {
		key->addr_a = pkt->dst;
		key->addr_b = pkt->src;
		key->port_a_be = pkt->dport_be;
		key->port_b_be = pkt->sport_be;
	}
	key->proto = pkt->proto;
	key->pad[0] = key->pad[1] = key->pad[2] = 0;
	return from_a;
}

static __always_inline void ct__lookup(const struct packet *pkt, struct flow *flow)
{
	struct ct_key key;

	flow->from_a = ct__key(pkt, &key);
	flow->entry = bpf_map_lookup_elem(&sl_ct, &key);
	if (flow->entry)
		flow->dir = flow->from_a == !!(flow->entry->flags & CT_OPENER_IS_A) ? CT_FROM_OPENER : CT_FROM_REPLIER;
}

/* Forgets the flow, and the translation that nothing else would ever remove. */
static __stage void ct__delete(struct packet *pkt, struct flow *flow)
{
	struct nat_key nat = {};
	bool translated;
	struct ct_key key;

	if (!flow->entry)
		return;
	ct__key(pkt, &key);
	translated = ct__translation(&key, flow->entry, &nat);
	bpf_map_delete_elem(&sl_ct, &key);
	if (translated)
		bpf_map_delete_elem(&sl_nat, &nat);
	flow->entry = NULL;
}

/* A new connection on the tuple of one that has ended (S31): the old row must not judge it. */
static __always_inline bool ct__is_reopened(const struct packet *pkt, const struct ct_entry *entry)
{
	return pkt->proto == IPPROTO_TCP && entry->state >= CT_STATE_CLOSING &&
	       (pkt->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/* Host-side device of the packet's sender where that is a pod of this node, else 0. The flow has an entry. */
static __always_inline __u32 ct__sender_ifindex(const struct flow *flow)
{
	return flow->dir == CT_FROM_OPENER ? flow->entry->opener_ifindex : flow->entry->replier_ifindex;
}

/* The same of the packet's receiver. */
static __always_inline __u32 ct__receiver_ifindex(const struct flow *flow)
{
	return flow->dir == CT_FROM_OPENER ? flow->entry->replier_ifindex : flow->entry->opener_ifindex;
}

/* The state after this packet. */
static __always_inline __u8 ct__next_state(const struct packet *pkt, const struct ct_entry *entry, __u8 dir)
{
	__u8 state = entry->state;

	if (state == CT_STATE_NEW && dir == CT_FROM_REPLIER)
		state = CT_STATE_ESTABLISHED;
	if (pkt->proto != IPPROTO_TCP)
		return state;
	if (pkt->tcp_flags & TCP_RST)
		return CT_STATE_CLOSED;
	/* Who has reset sends no more: it was forged, or its receiver did not take it (RFC 5961). */
	if (unlikely(state == CT_STATE_CLOSED && entry->tcp_flags[dir] & TCP_RST && !(pkt->tcp_flags & TCP_SYN)))
		return CT_STATE_ESTABLISHED;
	if (entry->tcp_flags[0] & entry->tcp_flags[1] & TCP_FIN)
		return CT_STATE_CLOSED;
	if ((entry->tcp_flags[0] | entry->tcp_flags[1]) & TCP_FIN)
		return state == CT_STATE_CLOSED ? state : CT_STATE_CLOSING;
	return state;
}

/* Accounts the packet to its flow, follows its state and says when there is something to report. */
static __always_inline void ct__account(struct __sk_buff *skb, const struct packet *pkt, const struct flow *flow,
					__u8 hook, bool events)
{
	struct ct_entry *entry = flow->entry;
	__u8 dir = flow->dir & 1, before = entry->state, after;
	__u32 segments = skb->gso_segs, kind;
	__u64 now = now_ns();

	entry->last_seen_ns = now;
	__sync_fetch_and_add(&entry->packets[dir], segments ? segments : 1);
	__sync_fetch_and_add(&entry->bytes[dir], skb->len);
	if (pkt->tcp_flags & ~entry->tcp_flags[dir])
		entry->tcp_flags[dir] |= pkt->tcp_flags;
	after = ct__next_state(pkt, entry, dir);
	if (likely(after == before && now - entry->reported_ns < FLOW_REPORT_INTERVAL_NS))
		return;
	kind = EVENT_FLOW_UPDATE;
	if (after != before) {
		entry->state = after;
		if (before == CT_STATE_CLOSED && after == CT_STATE_ESTABLISHED) {
			entry->tcp_flags[dir] &= ~TCP_RST;
			entry->flags &= ~CT_CLOSE_REPORTED;
		}
		if (after == CT_STATE_CLOSED)
			kind = EVENT_FLOW_CLOSE;
	}
	if (kind == EVENT_FLOW_CLOSE && entry->flags & CT_CLOSE_REPORTED)
		return;
	if (kind == EVENT_FLOW_CLOSE)
		entry->flags |= CT_CLOSE_REPORTED;
	entry->reported_ns = now;
	if (events)
		event__flow(skb, pkt, entry, dir, kind, hook);
}

/* What the caller knows of a flow's ends when it opens one. Opener: the packet's sender. */
struct ct_ends {
	__u32 opener_identity;
	__u32 replier_identity;
	__u32 opener_ifindex;
	__u32 replier_ifindex;
	__u32 policy_revision;
	__u16 flags; /* CT_* but CT_OPENER_IS_A and CT_PICKED_UP */
	__u8 hook;
	__u8 pad;
	struct ip_addr peer_node;
};

/*
 * Makes the flow's row. A TCP packet that is no SYN opens it too: the flow is older than the table (N14, S29).
 * Returns 0 with flow->entry set, or DROP_CT_FULL.
 */
static __stage int ct__create(struct __sk_buff *skb, struct packet *pkt, struct ct_ends *ends, struct flow *flow)
{
	struct ct_entry *fresh;
	__u64 now = now_ns();
	struct ct_key key;
	__u32 zero = 0;
	long rc;

	fresh = bpf_map_lookup_elem(&sl_ct_scratch, &zero);
	if (!fresh)
		return DROP_CT_FULL;
	__builtin_memset(fresh, 0, sizeof(*fresh));
	flow->from_a = ct__key(pkt, &key);
	flow->dir = CT_FROM_OPENER;
	fresh->last_seen_ns = now;
	fresh->created_ns = now;
	fresh->reported_ns = now;
	fresh->packets[CT_FROM_OPENER] = skb->gso_segs ? skb->gso_segs : 1;
	fresh->bytes[CT_FROM_OPENER] = skb->len;
	fresh->opener_identity = ends->opener_identity;
	fresh->replier_identity = ends->replier_identity;
	fresh->opener_ifindex = ends->opener_ifindex;
	fresh->replier_ifindex = ends->replier_ifindex;
	fresh->policy_revision = ends->policy_revision;
	fresh->flags = ends->flags | (flow->from_a ? CT_OPENER_IS_A : 0);
	fresh->hook = ends->hook;
	fresh->tcp_flags[CT_FROM_OPENER] = pkt->tcp_flags;
	fresh->peer_node = ends->peer_node;
	/* New until the other side speaks, like any: else bare ACKs to nobody would hold the table for an hour each. */
	if (pkt->proto == IPPROTO_TCP && !(pkt->tcp_flags & TCP_SYN))
		fresh->flags |= CT_PICKED_UP;
	if (pkt->tcp_flags & TCP_RST)
		fresh->state = CT_STATE_CLOSED;
	rc = bpf_map_update_elem(&sl_ct, &key, fresh, BPF_NOEXIST);
	flow->entry = bpf_map_lookup_elem(&sl_ct, &key);
	if (!flow->entry)
		return DROP_CT_FULL;
	if (rc) /* another CPU made it a moment ago */
		flow->dir = flow->from_a == !!(flow->entry->flags & CT_OPENER_IS_A) ? CT_FROM_OPENER : CT_FROM_REPLIER;
	return 0;
}
