/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pod_ingress: TCX egress of a pod's host-side device (clsact before 6.6). What the host's stack sends to the pod: the
 * node's own processes, and what a program left to the stack. Redirected packets do not pass here.
 *
 * Stages: endpoint -> parse -> neighbour and multicast -> destination -> fragment -> conntrack -> for a new flow:
 * identity, policy, row -> device.
 */
#include "bpf/stages/verdict.h"
#include "bpf/stages/fragment.h"
#include "bpf/stages/ingress.h"

#define HOOK HOOK_POD_INGRESS

char program_license[] SEC("license") = "Dual BSD/GPL";

/* Neighbour discovery, router messages and MLD (P19), and everything else that stays on this link. */
static __always_inline bool is_link_control(const struct packet *pkt)
{
	if (pkt->is_v6 && pkt->proto == IPPROTO_ICMPV6 &&
	    ((pkt->icmp_type >= ICMP6_MLD_QUERY && pkt->icmp_type <= ICMP6_REDIRECT) ||
	     pkt->icmp_type == ICMP6_MLD2_REPORT))
		return true;
	return addr__is_multicast(&pkt->dst, pkt->is_v6) || (pkt->is_v6 && addr__is_link_local(&pkt->dst));
}

static __always_inline int track(struct __sk_buff *skb, struct packet *pkt, struct endpoint_row *ep)
{
	struct ingress in = { .pod_ifindex = skb->ifindex, .hook = HOOK };
	struct flow flow = {};
	int rc;

	ct__lookup(pkt, &flow);
	if (flow.entry && ct__is_reopened(pkt, flow.entry)) {
		ct__delete(pkt, &flow);
	}
	if (flow.entry) {
		if (!ingress__still_allowed(flow.entry, ep, flow.dir))
			return DROP_POLICY_DENY;
		ct__account(skb, pkt, &flow, HOOK, config.events);
		return 0;
	}
	rc = ingress__open(skb, pkt, &in, &flow);
	if (rc)
		return rc;
	if (!flow.entry)
		return DROP_CT_FULL;
	if (config.events)
		event__flow(skb, pkt, flow.entry, flow.dir, EVENT_FLOW_OPEN, HOOK);
	return 0;
}

SEC("tcx/egress")
int pod_ingress(struct __sk_buff *skb)
{
	struct endpoint_row *ep = endpoint__lookup(skb->ifindex);
	struct packet pkt = {};
	int rc;

	verdict__seen(skb, HOOK);
	if (unlikely(!ep))
		return verdict__drop(skb, &pkt, HOOK, DROP_NO_ENDPOINT);
	if (config.ipv4 && skb->protocol == bpf_htons(ETH_P_ARP))
		return verdict__forward(skb, HOOK);
	rc = packet__parse(skb, &pkt, config.ipv4, config.ipv6);
	if (unlikely(rc))
		return verdict__drop(skb, &pkt, HOOK, rc);
	if (unlikely(is_link_control(&pkt)))
		return verdict__forward(skb, HOOK);
	if (unlikely(!addr__equal(&pkt.dst, pkt.is_v6 ? &ep->ipv6 : &ep->ipv4)))
		return verdict__drop(skb, &pkt, HOOK, DROP_NOT_FOR_POD);
	rc = fragment__ports(&pkt);
	if (unlikely(rc))
		return verdict__drop(skb, &pkt, HOOK, rc);
	/* The stack sends errors about the pod's own packets only. */
	if (unlikely(pkt.is_icmp_error))
		return verdict__forward(skb, HOOK);
	rc = track(skb, &pkt, ep);
	if (unlikely(rc))
		return verdict__drop(skb, &pkt, HOOK, rc);
	return verdict__forward(skb, HOOK);
}
