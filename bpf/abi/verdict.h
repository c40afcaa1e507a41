/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hooks, what can become of a packet there, and the one list of reasons for a drop.
 * Numbers are part of the wire and of dashboards: never reuse one; a retired reason keeps its line in docs.
 */
#pragma once

#include "types.h"

/* X(NAME, number, code in the Hubble API's flow.DropReason, what it means and what to look at) */
#define DROP_REASONS(X)                                                                                                \
	X(NO_ENDPOINT, 1, 203, "the device belongs to no pod: its CNI ADD has not finished, or its pod is gone")       \
	X(INVALID_PACKET, 2, 134, "a header is truncated or contradicts itself")                                       \
	X(UNSUPPORTED_L2, 3, 166,                                                                                      \
	  "the frame is neither ARP, IPv4 nor IPv6, carries a VLAN tag, or that family is off on this node")           \
	X(SPOOFED_SOURCE, 4, 132, "the source address does not belong to the sender")                                  \
	X(NOT_THE_GATEWAY, 5, 150, "the pod asked for a neighbour that is not its gateway, or announced one")          \
	X(IPV6_EXTENSION, 6, 156, "more IPv6 extension headers than are walked, or an unknown one")                    \
	X(FRAGMENT_UNKNOWN, 7, 175, "a later fragment came before the first one, or its first was dropped")            \
	X(CT_FULL, 8, 155, "the conntrack or translation table is full: raise conntrack.maxEntries")                   \
	X(POLICY_DENY, 9, 133, "a network policy isolates the pod and no rule allows the flow")                        \
	X(NO_IDENTITY, 10, 171,                                                                                        \
	  "no row covers the peer: no first sync yet, or an address that is nobody's (loopback, the gateway)")         \
	X(NO_ROUTE, 11, 169, "the node has no route to the destination")                                               \
	X(ENDPOINT_GONE, 12, 151, "the local pod that owned the destination address is gone")                          \
	X(SNAT_EXHAUSTED, 13, 167,                                                                                     \
	  "every tried source port to this destination is taken: widen snat.portMin..portMax")                         \
	X(SNAT_NO_ADDRESS, 14, 204,                                                                                    \
	  "the uplink has no address of this family to translate to, or the flow's is gone and its next packet "       \
	  "starts anew")                                                                                               \
	X(TUNNEL_FAILED, 15, 141, "the encapsulation metadata could not be set")                                       \
	X(TUNNEL_UNKNOWN_NODE, 16, 172,                                                                                \
	  "the packet did not come from, or not by the tunnel of, the node that owns its source")                      \
	X(WRITE_FAILED, 17, 141, "a helper refused to change the packet")                                              \
	X(NOT_FOR_POD, 18, 151, "the frame or address handed to the pod's device is not the pod's")                    \
	X(FLOW_UNKNOWN, 19, 163, "a packet to be translated belongs to no flow that conntrack knows")                  \
	X(TUNNEL_PORT, 20, 132,                                                                                        \
	  "a pod sent to the tunnel's UDP port: with the node's address on it, it could speak for any pod; let "       \
	  "it use another port")                                                                                       \
	X(SNAT_NO_PORT, 21, 142,                                                                                       \
	  "the protocol has no port to translate: its answers could not be told from the node's own; where the "       \
	  "network knows the pods, name it in noTranslateCidrs")                                                       \
	X(SNAT_UNDECIDED, 22, 167,                                                                                     \
	  "another CPU was in the middle of writing the flow's translation: the flow's next packet passes")

enum drop_reason {
#define X(name, number, hubble, text) DROP_##name = number,
	DROP_REASONS(X)
#undef X
		DROP_REASON_MAX = 23, /* one above the highest number */
};

/* X(NAME, number, name in logs and metrics). Direction is the pod's: egress leaves a pod, ingress enters one. */
#define HOOKS(X)                                                                                                       \
	X(POD_EGRESS, 0, "pod_egress")                                                                                 \
	X(POD_INGRESS, 1, "pod_ingress")                                                                               \
	X(UPLINK_INGRESS, 2, "uplink_ingress")                                                                         \
	X(UPLINK_EGRESS, 3, "uplink_egress")

enum hook {
#define X(name, number, label) HOOK_##name = number,
	HOOKS(X)
#undef X
		HOOK_MAX = 4,
};

/* Every packet that a hook sees is counted once as SEEN and once as one of the other three. */
#define VERDICTS(X)                                                                                                    \
	X(SEEN, 0, "seen")                                                                                             \
	X(FORWARDED, 1, "forwarded")   /* left to the host's stack or to the device it was on its way to */            \
	X(REDIRECTED, 2, "redirected") /* handed to another device by the program */                                   \
	X(DROPPED, 3, "dropped")

enum verdict {
#define X(name, number, label) VERDICT_##name = number,
	VERDICTS(X)
#undef X
		VERDICT_MAX = 4,
};

/* sl_verdicts: per-CPU array, index hook * VERDICT_MAX + verdict. */
struct counter {
	__u64 packets;
	__u64 bytes;
};
ABI_ASSERT(sizeof(struct counter) == 16);

/* sl_drops: per-CPU hash, value struct counter. */
struct drop_key {
	__u32 ifindex; /* device at whose hook the packet was dropped */
	__u8 hook;
	__u8 reason;
	__u8 pad[2];
};
ABI_ASSERT(sizeof(struct drop_key) == 8);
