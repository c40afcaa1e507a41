/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A new flow towards a pod of this node, from the node itself, another node or the outside. */
#pragma once

#include "bpf/stages/ct.h"
#include "bpf/stages/policy.h"
#include "bpf/maps/endpoint.h"

/* The node that encapsulated the packet. False where there is no metadata, or that of another cluster's network. */
static __always_inline bool ingress__tunnel_remote(struct __sk_buff *skb, struct ip_addr *remote)
{
	struct node_row *node = node__get();
	struct bpf_tunnel_key key = {};

	if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0)) {
		addr__from_ipv4(remote, bpf_htonl(key.remote_ipv4));
	} else {
		if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6))
			return false;
		__builtin_memcpy(remote, key.remote_ipv6, sizeof(*remote));
	}
	return node && key.tunnel_id == node->tunnel_id;
}

/* The packet was encapsulated by this node. */
static __always_inline bool ingress__is_from(struct __sk_buff *skb, const struct ip_addr *node)
{
	struct ip_addr remote = {};

	return ingress__tunnel_remote(skb, &remote) && addr__equal(&remote, node);
}

/*
 * A packet from outside must not claim an address of this node; one from the overlay, not one of a node that did not send
 * it; one from the wire, not one of a pod that is behind the overlay.
 */
static __always_inline int ingress__check_source(struct __sk_buff *skb, const struct identity_row *from, bool overlay)
{
	if (from->flags & (ADDRESS_LOCAL_POD | ADDRESS_THIS_NODE))
		return DROP_SPOOFED_SOURCE;
	if (overlay ? !ingress__is_from(skb, &from->node) : !!(from->flags & ADDRESS_TUNNEL))
		return DROP_TUNNEL_UNKNOWN_NODE;
	return 0;
}

/* The same for a packet of the overlay by its own addresses. 0, or a drop reason. */
static __stage int ingress__check_outer(struct __sk_buff *skb, struct packet *pkt)
{
	struct identity_row *from = identity__lookup(&pkt->src);

	return from ? ingress__check_source(skb, from, true) : DROP_NO_IDENTITY;
}

/* What the caller knows of where the packet came in and where it goes. */
struct ingress {
	__u32 pod_ifindex;
	__u8 hook;
	__u8 from_outside; /* at an external or the overlay device */
	__u8 overlay;
	__u8 pad;
};

/* 0 with flow->entry set, or a drop reason. */
static __stage int ingress__open(struct __sk_buff *skb, struct packet *pkt, struct ingress *in, struct flow *flow)
{
	struct endpoint_row *ep = endpoint__lookup(in->pod_ifindex);
	struct identity_row *from = identity__lookup(&pkt->src);
	struct node_row *node = node__get();
	struct ct_ends ends = {};
	int rc;

	if (!ep)
		return DROP_ENDPOINT_GONE;
	if (!from || !from->identity || !node)
		return DROP_NO_IDENTITY;
	ends.peer_node = from->flags & ADDRESS_TUNNEL ? from->node : (struct ip_addr){};
	if (in->from_outside) {
		rc = ingress__check_source(skb, from, in->overlay);
		if (rc)
			return rc;
		if (in->overlay)
			ends.peer_node =
				from->node; /* also where the sender is that node itself: the answer goes back inside */
	}
	if (!policy__allows_ingress(ep, from->identity))
		return DROP_POLICY_DENY;
	ends.hook = in->hook;
	ends.opener_identity = from->identity;
	ends.replier_identity = ep->identity;
	ends.replier_ifindex = in->pod_ifindex;
	ends.policy_revision = node->policy_revision;
	/* What the stack has sent may carry another destination than it came with: the stack alone can turn the answer back. */
	ends.flags = in->from_outside ? 0 : CT_HOST;
	return ct__create(skb, pkt, &ends, flow);
}

/* The policy's revision has moved on since the verdict was stored: it is decided again. */
static __always_inline bool ingress__still_allowed(struct ct_entry *entry, const struct endpoint_row *ep, __u8 dir)
{
	struct node_row *node = node__get();

	if (!node || likely(entry->policy_revision == node->policy_revision) || dir != CT_FROM_OPENER)
		return true;
	if (!policy__allows_ingress(ep, entry->opener_identity))
		return false;
	entry->policy_revision = node->policy_revision;
	return true;
}
