/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * uplink_egress: TCX egress of each external device and of the overlay device (clsact before 6.6). On an external
 * device it translates what pod_egress marked, and leaves the host's own packets alone after one comparison. On the
 * overlay device it gives the host's own packets to pods of other nodes their tunnel.
 *
 * Stages: mark -> parse -> fragment -> source translation | tunnel -> device.
 */
#include "bpf/stages/verdict.h"
#include "bpf/stages/fragment.h"
#include "bpf/stages/snat.h"
#include "bpf/stages/deliver.h"

#define HOOK HOOK_UPLINK_EGRESS

char program_license[] SEC("license") = "Dual BSD/GPL";

/*
 * All overlay devices have one MAC, and vxlan (6.18: vxlan_set_mac) takes a frame from its own address for a loop: what
 * the stack wrote would be lost at the receiver without a word. So such frames carry another source.
 */
static const __u8 overlay_mac[ETH_ALEN] = { 0x02, 0x53, 0x4c, 0x00, 0x00, 0x01 };
static const __u8 stack_mac[ETH_ALEN] = { 0x02, 0x53, 0x4c, 0x00, 0x00, 0x02 };

/* From the host's stack into the overlay. Only packets to pods of nodes behind it have business here. */
static __noinline int encapsulate(struct __sk_buff *skb, struct packet *pkt, struct node_row *node)
{
	struct identity_row *to;
	int rc = packet__parse(skb, pkt, config.ipv4, config.ipv6);

	if (rc)
		return verdict__drop(skb, pkt, HOOK, rc);
	to = identity__lookup(&pkt->dst);
	if (!to || !(to->flags & ADDRESS_TUNNEL))
		return verdict__drop(skb, pkt, HOOK, DROP_NO_ROUTE);
	if (!packet__set_macs(skb, overlay_mac, stack_mac))
		return verdict__drop(skb, pkt, HOOK, DROP_WRITE_FAILED);
	if (deliver__set_tunnel(skb, &to->node, node))
		return verdict__drop(skb, pkt, HOOK, DROP_TUNNEL_FAILED);
	return verdict__forward(skb, HOOK);
}

static __noinline int translate(struct __sk_buff *skb, struct packet *pkt)
{
	int rc = packet__parse(skb, pkt, config.ipv4, config.ipv6);

	if (!rc)
		rc = fragment__ports(pkt);
	if (!rc)
		rc = snat__translate(skb, pkt);
	if (rc)
		return verdict__drop(skb, pkt, HOOK, rc);
	deliver__mark(skb, 0);
	return verdict__forward(skb, HOOK);
}

/* The host asks by an id that a pod's flow carries outside: no socket shows that before. The answers are the host's. */
static __noinline void own_icmp(struct __sk_buff *skb, struct packet *pkt)
{
	if (packet__parse(skb, pkt, config.ipv4, config.ipv6) || pkt->fragment || !packet__is_echo_request(pkt))
		return;
	snat__give_back(pkt);
}

/* An ICMP packet, as far as its first header says. What lies outside the linear part is none of the host's own making. */
static __always_inline bool is_icmp(struct __sk_buff *skb)
{
	__u8 *l3 = (__u8 *)(long)skb->data + L3_OFFSET;

	if (l3 + 20 > (__u8 *)(long)skb->data_end)
		return false;
	if (config.ipv4 && skb->protocol == bpf_htons(ETH_P_IP))
		return l3[9] == IPPROTO_ICMP;
	return config.ipv6 && skb->protocol == bpf_htons(ETH_P_IPV6) && l3[6] == IPPROTO_ICMPV6;
}

SEC("tcx/egress")
int uplink_egress(struct __sk_buff *skb)
{
	__u32 mark = skb->mark & MARK_MASK;
	struct node_row *node = node__get();
	struct packet pkt = {};

	verdict__seen(skb, HOOK);
	if (config.translate && mark == MARK_TRANSLATE)
		return translate(skb, &pkt);
	if (config.overlay && node && skb->ifindex == node->overlay_ifindex) {
		if (mark != MARK_TUNNELLED)
			return encapsulate(skb, &pkt, node);
		deliver__mark(skb, 0); /* the outer packet is the node's own */
	}
	if (config.translate && unlikely(is_icmp(skb)))
		own_icmp(skb, &pkt);
	return verdict__forward(skb, HOOK);
}
