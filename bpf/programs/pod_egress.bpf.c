/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pod_egress: TCX ingress of a pod's host-side device (clsact before 6.6). Every packet that a pod sends.
 *
 * Stages: endpoint -> neighbour (ARP, NDP) -> parse -> source -> fragment -> [service translation] -> conntrack ->
 * for a new flow: identity, policy of both ends, row -> deliver (local pod, overlay, route, host's stack).
 */
#include "bpf/stages/verdict.h"
#include "bpf/stages/neighbour.h"
#include "bpf/stages/source.h"
#include "bpf/stages/fragment.h"
#include "bpf/stages/ct.h"
#include "bpf/stages/icmp_error.h"
#include "bpf/stages/policy.h"
#include "bpf/stages/deliver.h"

#define HOOK HOOK_POD_EGRESS

char program_license[] SEC("license") = "Dual BSD/GPL";

/* Opens the flow of a packet that conntrack does not know. 0 with flow->entry set, or a drop reason. */
static __noinline int open_flow(struct __sk_buff *skb, struct packet *pkt, struct endpoint_row *ep, struct flow *flow)
{
	struct identity_row *to = identity__lookup(&pkt->dst);
	struct node_row *node = node__get();
	struct ct_ends ends = { .hook = HOOK, .opener_ifindex = skb->ifindex };
	struct endpoint_row *peer;

	if (!to || !to->identity || !node)
		return DROP_NO_IDENTITY;
	if (!policy__allows_egress(ep))
		return DROP_POLICY_DENY;
	ends.opener_identity = ep->identity;
	ends.replier_identity = to->identity;
	ends.policy_revision = node->policy_revision;
	if (to->flags & ADDRESS_LOCAL_POD) {
		peer = endpoint__lookup(to->ifindex);
		if (!peer)
			return DROP_ENDPOINT_GONE;
		if (!policy__allows_ingress(peer, ep->identity))
			return DROP_POLICY_DENY;
		ends.replier_ifindex = to->ifindex;
	} else if (to->flags & ADDRESS_THIS_NODE) {
		ends.flags |= CT_HOST;
	} else {
		if (config.overlay && to->flags & ADDRESS_TUNNEL)
			ends.peer_node = to->node;
		if (config.translate && to->flags & ADDRESS_TRANSLATE)
			ends.flags |= CT_TRANSLATE;
	}
	return ct__create(skb, pkt, &ends, flow);
}

/*
 * The revision has moved on since verdict and way were stored: both are decided again. False: denied now. A packet of the
 * replier cannot judge the opener's policy; it only finds the way.
 */
static __noinline bool decide_again(struct packet *pkt, struct ct_entry *entry, struct endpoint_row *ep, __u8 dir)
{
	struct identity_row *to = identity__lookup(&pkt->dst);
	struct node_row *node = node__get();
	struct endpoint_row *peer;

	if (!to || !node)
		return true;
	if (config.overlay && !(to->flags & (ADDRESS_LOCAL_POD | ADDRESS_THIS_NODE)))
		entry->peer_node = to->flags & ADDRESS_TUNNEL ? to->node : (struct ip_addr){};
	entry->route_until_ns = 0;
	if (dir != CT_FROM_OPENER)
		return true;
	if (!policy__allows_egress(ep))
		return false;
	peer = entry->replier_ifindex ? endpoint__lookup(entry->replier_ifindex) : NULL;
	if (peer && !policy__allows_ingress(peer, ep->identity))
		return false;
	entry->policy_revision = node->policy_revision;
	return true;
}

/*
 * Nobody has answered, and what was decided for the flow is not so any more: it opens anew. One that goes where it went keeps
 * its row, and with it its translation.
 */
static __noinline bool is_outdated(struct packet *pkt, struct ct_entry *entry, __u32 policy_revision)
{
	__u32 way = CT_TRANSLATE | CT_HOST, now = 0;
	struct identity_row *to;

	if (entry->policy_revision == policy_revision || entry->state != CT_STATE_NEW)
		return false;
	to = identity__lookup(&pkt->dst);
	if (!to)
		return true;
	if (to->flags & ADDRESS_LOCAL_POD)
		return entry->replier_ifindex != to->ifindex;
	if (to->flags & ADDRESS_THIS_NODE)
		now = CT_HOST;
	else if (config.translate && to->flags & ADDRESS_TRANSLATE)
		now = CT_TRANSLATE;
	return entry->replier_ifindex || (entry->flags & way) != now;
}

/* To the far end of the flow. */
static __always_inline int deliver(struct __sk_buff *skb, struct packet *pkt, struct flow *flow, __u8 dir)
{
	struct ct_entry *entry = flow->entry;
	__u32 ifindex = dir == CT_FROM_OPENER ? entry->replier_ifindex : entry->opener_ifindex;
	struct endpoint_row *peer;

	if (ifindex) {
		peer = endpoint__lookup(ifindex);
		if (!peer) {
			if (!pkt->is_icmp_error)
				ct__delete(pkt, flow); /* the next packet finds who has the address now */
			return verdict__drop(skb, pkt, HOOK, DROP_ENDPOINT_GONE);
		}
		return deliver__local(skb, pkt, peer, ifindex, HOOK);
	}
	if (entry->flags & CT_HOST)
		return verdict__forward(skb, HOOK);
	if (config.overlay && addr__is_set(&entry->peer_node))
		return deliver__tunnel(skb, pkt, entry, HOOK);
	if (config.translate && entry->flags & CT_TRANSLATE && dir == CT_FROM_OPENER) {
		/* Nodes believe what comes through the tunnel by the node's address outside: not for a pod to borrow. */
		if (unlikely(config.overlay && pkt->dport_be == bpf_htons(TUNNEL_PORT) && pkt->proto == IPPROTO_UDP))
			return verdict__drop(skb, pkt, HOOK, DROP_TUNNEL_PORT);
		deliver__mark(skb, MARK_TRANSLATE);
	}
	return deliver__route(skb, pkt, entry, HOOK);
}

/* An error about a packet that the pod received, or about one that it forwarded: goes where the flow's other end is. */
static __noinline int send_icmp_error(struct __sk_buff *skb, struct packet *pkt)
{
	struct packet inner = {};
	struct flow flow = {};
	int reason = icmp_error__quoted(skb, pkt, &inner);

	if (reason)
		return verdict__drop(skb, pkt, HOOK, reason);
	/* Only about what the pod itself received, and to its sender: else any open flow lends a way past the policy. */
	if (!addr__equal(&inner.dst, &pkt->src) || !addr__equal(&inner.src, &pkt->dst))
		return verdict__drop(skb, pkt, HOOK, DROP_INVALID_PACKET);
	ct__lookup(&inner, &flow);
	if (!flow.entry)
		return verdict__drop(skb, pkt, HOOK, DROP_FLOW_UNKNOWN);
	/* The quote went the other way than the error goes. */
	return deliver(skb, pkt, &flow, flow.dir == CT_FROM_OPENER ? CT_FROM_REPLIER : CT_FROM_OPENER);
}

static __always_inline int neighbour(struct __sk_buff *skb, struct packet *pkt, int rc)
{
	if (rc > 0)
		return verdict__drop(skb, pkt, HOOK, rc);
	if (rc == NEIGHBOUR_STACK)
		return verdict__forward(skb, HOOK);
	return verdict__redirect(skb, pkt, HOOK, bpf_redirect(skb->ifindex, 0));
}

static __always_inline int arp(struct __sk_buff *skb, struct packet *pkt, struct endpoint_row *ep)
{
	struct node_row *node = node__get();

	if (!node)
		return verdict__drop(skb, pkt, HOOK, DROP_NO_ENDPOINT);
	return neighbour(skb, pkt, neighbour__arp(skb, pkt, ep, node));
}

SEC("tcx/ingress")
int pod_egress(struct __sk_buff *skb)
{
	struct endpoint_row *ep = endpoint__lookup(skb->ifindex);
	struct node_row *node = node__get();
	struct packet pkt = {};
	struct flow flow = {};
	int rc;

	verdict__seen(skb, HOOK);
	if (unlikely(!ep || !node))
		return verdict__drop(skb, &pkt, HOOK, DROP_NO_ENDPOINT);
	/* Any tag: it would leave with the packet, into a VLAN of the uplink's network or of another pod. */
	if (unlikely(skb->vlan_present))
		return verdict__drop(skb, &pkt, HOOK, DROP_UNSUPPORTED_L2);
	if (config.ipv4 && skb->protocol == bpf_htons(ETH_P_ARP))
		return arp(skb, &pkt, ep);
	rc = packet__parse(skb, &pkt, config.ipv4, config.ipv6);
	if (unlikely(rc))
		return verdict__drop(skb, &pkt, HOOK, rc);
	if (config.ipv6) {
		rc = neighbour__ndp(skb, &pkt, ep, node);
		if (unlikely(rc))
			return neighbour(skb, &pkt, rc);
	}
	rc = source__check(&pkt, ep);
	if (unlikely(rc > 0))
		return verdict__drop(skb, &pkt, HOOK, rc);
	if (unlikely(rc == SOURCE_LINK))
		return verdict__forward(skb, HOOK);
	rc = fragment__ports(&pkt);
	if (unlikely(rc))
		return verdict__drop(skb, &pkt, HOOK, rc);
	if (unlikely(pkt.is_icmp_error))
		return send_icmp_error(skb, &pkt);

	ct__lookup(&pkt, &flow);
	/* A row of an earlier pod with this address must not lend its verdict (P12). */
	if (unlikely(flow.entry &&
		     (ct__is_reopened(&pkt, flow.entry) || ct__sender_ifindex(&flow) != skb->ifindex ||
		      (flow.dir == CT_FROM_OPENER && is_outdated(&pkt, flow.entry, node->policy_revision))))) {
		ct__delete(&pkt, &flow);
	}
	if (unlikely(!flow.entry)) {
		rc = open_flow(skb, &pkt, ep, &flow);
		if (rc)
			return verdict__drop(skb, &pkt, HOOK, rc);
		if (!flow.entry)
			return verdict__drop(skb, &pkt, HOOK, DROP_CT_FULL);
		if (config.events)
			event__flow(skb, &pkt, flow.entry, flow.dir, EVENT_FLOW_OPEN, HOOK);
	} else {
		if (unlikely(flow.entry->policy_revision != node->policy_revision) &&
		    !decide_again(&pkt, flow.entry, ep, flow.dir))
			return verdict__drop(skb, &pkt, HOOK, DROP_POLICY_DENY);
		ct__account(skb, &pkt, &flow, HOOK, config.events);
	}
	return deliver(skb, &pkt, &flow, flow.dir);
}
