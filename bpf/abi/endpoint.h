/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rows about who is where: local pods by device, addresses by prefix, external devices, the node itself. */
#pragma once

#include "types.h"

/* sl_endpoint: hash, key __u32 ifindex of the pod's host-side device. Written by the agent. */
struct endpoint_row {
	struct ip_addr ipv4; /* mapped; all zero where the pod has none */
	struct ip_addr ipv6; /* all zero where the pod has none */
	__u32 identity;	     /* the agent's number for the pod's identity */
	__u32 flags;	     /* ENDPOINT_* */
	__u8 pod_mac[6];     /* the device inside the pod */
	__u8 host_mac[6];    /* the host-side device: the gateway's MAC in the pod's eyes */
	__u32 pad;
};
ABI_ASSERT(sizeof(struct endpoint_row) == 56);
ABI_ASSERT(ABI_OFFSETOF(endpoint_row, identity) == 32);
ABI_ASSERT(ABI_OFFSETOF(endpoint_row, pod_mac) == 40);

#define ENDPOINT_ISOLATED_INGRESS (1U << 0) /* a policy selects the pod for ingress: what no rule allows is denied */
#define ENDPOINT_ISOLATED_EGRESS (1U << 1)

/* sl_identity: LPM trie, who owns an address and how it is reached. Written by the agent. */
struct identity_key {
	__u32 prefix_bits; /* 0..128, in the mapped form */
	__u8 addr[16];	   /* struct ip_addr without its alignment */
};
ABI_ASSERT(sizeof(struct identity_key) == 20);

struct identity_row {
	__u32 identity; /* IDENTITY_* or a number of the agent's */
	__u32 flags;	/* ADDRESS_* */
	__u32 ifindex;	/* ADDRESS_LOCAL_POD: the pod's host-side device, key of sl_endpoint */
	__u32 pad;
	struct ip_addr
		node; /* the node that owns the address: tunnel endpoint if ADDRESS_TUNNEL; zero where none does */
};
ABI_ASSERT(sizeof(struct identity_row) == 32);

#define ADDRESS_LOCAL_POD (1U << 0)  /* a pod of this node */
#define ADDRESS_REMOTE_POD (1U << 1) /* a pod, or the pod range, of another node */
#define ADDRESS_THIS_NODE (1U << 2)  /* an address of this node: goes to the host's stack */
#define ADDRESS_REMOTE_NODE (1U << 3)
#define ADDRESS_TUNNEL (1U << 4)    /* reached through the overlay, by way of .node */
#define ADDRESS_TRANSLATE (1U << 5) /* a pod's packets to it carry the node's address */

/* Reserved identities, the same on every node; the agent numbers its own from IDENTITY_FIRST_LOCAL. */
#define IDENTITY_UNKNOWN 0
#define IDENTITY_HOST 1
#define IDENTITY_WORLD 2
#define IDENTITY_UNMANAGED 3
#define IDENTITY_HEALTH 4
#define IDENTITY_INIT 5
#define IDENTITY_REMOTE_NODE 6
#define IDENTITY_KUBE_APISERVER 7
#define IDENTITY_FIRST_LOCAL 256

/* sl_device: hash, key __u32 ifindex of an external device or of the overlay device. Written by the agent. */
struct device_row {
	struct ip_addr ipv4; /* source translation uses it; mapped; zero where the device has none */
	struct ip_addr ipv6;
	__u32 flags; /* DEVICE_* */
	__u32 pad;
};
ABI_ASSERT(sizeof(struct device_row) == 40);

#define DEVICE_OVERLAY (1U << 0) /* the VXLAN device: packets there carry tunnel metadata */

/* sl_node: array of one, what may change while programs run. Written by the agent. */
struct node_row {
	__u32 overlay_ifindex;	      /* 0 where no node is reached through the overlay */
	__u32 policy_revision;	      /* verdicts stored under another revision are decided again */
	__u32 tunnel_id;	      /* VNI */
	__u16 snat_port_min;	      /* inclusive, host order */
	__u16 snat_port_max;	      /* inclusive */
	struct ip_addr gateway4;      /* what pods take for their router, 169.254.1.1 mapped */
	struct ip_addr gateway6;      /* fe80::1 */
	struct ip_addr tunnel_source; /* the node's own address in the underlay */
};
ABI_ASSERT(sizeof(struct node_row) == 64);

/*
 * skb->mark from pod_egress to uplink_egress, also across the host's stack. Only these bits are read and written,
 * and only between our own programs.
 */
#define MARK_MASK 0xff000000U
#define MARK_TRANSLATE 0x53000000U /* leaves the cluster: needs the node's address */
#define MARK_TUNNELLED 0x54000000U /* tunnel metadata is set */
