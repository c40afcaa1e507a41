/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * uplink_ingress: TCX ingress of each external device and of the overlay device (clsact before 6.6). What is for a pod of
 * this node goes straight to it; everything else is the host's and is left alone, malformed packets included (N14).
 *
 * Stages: parse -> fragment -> reverse translation -> [service translation] -> ICMP error -> conntrack -> for a new flow to
 * a pod: source, policy, row -> deliver (local pod).
 */
#include "bpf/stages/verdict.h"
#include "bpf/stages/fragment.h"
#include "bpf/stages/ingress.h"
#include "bpf/stages/snat_reverse.h"
#include "bpf/stages/deliver.h"

#define HOOK HOOK_UPLINK_INGRESS

char program_license[] SEC("license") = "Dual BSD/GPL";

/* The device of the pod that has this address; 0: none of ours. *is_ours: in this node's pod ranges. */
static __always_inline __u32 local_pod(const struct ip_addr *addr, bool *is_ours)
{
	struct identity_row *row = identity__lookup(addr);

	*is_ours = row && row->flags & ADDRESS_LOCAL_POD;
	return *is_ours ? row->ifindex : 0;
}

static __always_inline int deliver(struct __sk_buff *skb, struct packet *pkt, __u32 ifindex)
{
	struct endpoint_row *ep = endpoint__lookup(ifindex);

	if (!ep)
		return verdict__drop(skb, pkt, HOOK, DROP_ENDPOINT_GONE);
	return deliver__local(skb, pkt, ep, ifindex, HOOK);
}

/*
 * To the pod that sent the quoted packet. Only the sender is told about its packet: an error that is addressed to somebody
 * else would reach a pod past its policy. Nobody outside has seen a packet between two pods of this node.
 */
static __noinline int receive_icmp_error(struct __sk_buff *skb, struct packet *pkt)
{
	int reason = DROP_FLOW_UNKNOWN;
	struct packet inner = {};
	struct flow flow = {};
	bool is_ours;
	__u32 ifindex;

	if (!icmp_error__quoted(skb, pkt, &inner)) {
		if (addr__equal(&inner.src, &pkt->dst))
			ct__lookup(&inner, &flow);
		else
			reason = DROP_INVALID_PACKET;
	}
	if (flow.entry) {
		ifindex = ct__sender_ifindex(&flow);
		if (!ifindex)
			return verdict__forward(skb, HOOK);
		if (ct__receiver_ifindex(&flow))
			return verdict__drop(skb, pkt, HOOK, DROP_SPOOFED_SOURCE);
		return deliver(skb, pkt, ifindex);
	}
	local_pod(&pkt->dst, &is_ours);
	return is_ours ? verdict__drop(skb, pkt, HOOK, reason) : verdict__forward(skb, HOOK);
}

/* The packet opens a flow, or is none of ours. */
static __always_inline int receive_new(struct __sk_buff *skb, struct packet *pkt, bool overlay, bool ports_known)
{
	struct ingress in = { .hook = HOOK, .from_outside = 1, .overlay = overlay };
	struct flow flow = {};
	bool is_ours;
	int rc;

	in.pod_ifindex = local_pod(&pkt->dst, &is_ours);
	if (!is_ours) {
		/* To the node itself: whoever reaches the tunnel's port must not speak for others there either. */
		rc = overlay ? ingress__check_outer(skb, pkt) : 0;
		return rc ? verdict__drop(skb, pkt, HOOK, rc) : verdict__forward(skb, HOOK);
	}
	if (!ports_known)
		return verdict__drop(skb, pkt, HOOK, DROP_FRAGMENT_UNKNOWN);
	rc = ingress__open(skb, pkt, &in, &flow);
	if (rc)
		return verdict__drop(skb, pkt, HOOK, rc);
	if (!flow.entry)
		return verdict__drop(skb, pkt, HOOK, DROP_CT_FULL);
	if (config.events)
		event__flow(skb, pkt, flow.entry, flow.dir, EVENT_FLOW_OPEN, HOOK);
	return deliver(skb, pkt, in.pod_ifindex);
}

/* Of this node, or one of its pods: nobody outside speaks for it. */
static __noinline bool is_of_this_node(struct ip_addr *addr)
{
	struct identity_row *row = identity__lookup(addr);

	return row && row->flags & (ADDRESS_LOCAL_POD | ADDRESS_THIS_NODE);
}

static __always_inline int receive_known(struct __sk_buff *skb, struct packet *pkt, struct flow *flow, bool overlay)
{
	struct ct_entry *entry = flow->entry;
	__u32 ifindex = ct__receiver_ifindex(flow);
	struct endpoint_row *ep;

	if (unlikely(ct__sender_ifindex(flow) || (entry->flags & CT_HOST && is_of_this_node(&pkt->src))))
		return verdict__drop(skb, pkt, HOOK, DROP_SPOOFED_SOURCE); /* a flow between two of this node */
	if (overlay && !ingress__is_from(skb, &entry->peer_node) && ingress__check_outer(skb, pkt))
		return verdict__drop(skb, pkt, HOOK, DROP_TUNNEL_UNKNOWN_NODE);
	if (!ifindex)
		return verdict__forward(skb, HOOK);
	ep = endpoint__lookup(ifindex);
	if (!ep) {
		ct__delete(pkt, flow); /* the next packet finds who has the address now */
		return verdict__drop(skb, pkt, HOOK, DROP_ENDPOINT_GONE);
	}
	if (!ingress__still_allowed(entry, ep, flow->dir))
		return verdict__drop(skb, pkt, HOOK, DROP_POLICY_DENY);
	ct__account(skb, pkt, flow, HOOK, config.events);
	return deliver__local(skb, pkt, ep, ifindex, HOOK);
}

SEC("tcx/ingress")
int uplink_ingress(struct __sk_buff *skb)
{
	struct node_row *node = node__get();
	struct packet pkt = {};
	struct flow flow = {};
	bool ports_known, overlay;
	int rc;

	verdict__seen(skb, HOOK);
	if (unlikely(!node))
		return verdict__forward(skb, HOOK);
	overlay = config.overlay && skb->ifindex == node->overlay_ifindex;
	/* For another machine: a switch floods what it has not learnt yet, and a promiscuous device takes everything. */
	if (unlikely(!overlay && skb->pkt_type == PACKET_OTHERHOST))
		return verdict__forward(skb, HOOK);
	rc = packet__parse(skb, &pkt, config.ipv4, config.ipv6);
	if (unlikely(rc))
		return overlay ? verdict__drop(skb, &pkt, HOOK, rc) : verdict__forward(skb, HOOK);
	ports_known = !fragment__ports(&pkt);
	if (config.translate && likely(ports_known)) {
		rc = snat__reverse(skb, &pkt, node);
		if (unlikely(rc))
			return verdict__drop(skb, &pkt, HOOK, rc);
	}
	if (!overlay && addr__equal(&pkt.dst, &node->tunnel_source))
		return verdict__forward(skb, HOOK);
	if (unlikely(pkt.is_icmp_error)) {
		rc = overlay ? ingress__check_outer(skb, &pkt) : 0;
		return rc ? verdict__drop(skb, &pkt, HOOK, rc) : receive_icmp_error(skb, &pkt);
	}
	ct__lookup(&pkt, &flow);
	if (unlikely(flow.entry && ct__is_reopened(&pkt, flow.entry))) {
		ct__delete(&pkt, &flow);
	}
	if (unlikely(!flow.entry))
		return receive_new(skb, &pkt, overlay, ports_known);
	return receive_known(skb, &pkt, &flow, overlay);
}
