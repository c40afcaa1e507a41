/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Conntrack and source translation rows. */
#pragma once

#include "types.h"

/*
 * sl_ct: hash. One row per flow, whichever side a packet comes from: the end with the lower (address, port) is `a`.
 * Written by the programs; removed by ct_sweep, which the agent runs.
 * ICMP echo: the requester's port is the echo id, the other's 0. Protocols without ports: both 0.
 */
struct ct_key {
	struct ip_addr addr_a;
	struct ip_addr addr_b;
	__be16 port_a_be;
	__be16 port_b_be;
	__u8 proto; /* IPPROTO_* */
	__u8 pad[3];
};
ABI_ASSERT(sizeof(struct ct_key) == 40);

#define CT_FROM_OPENER 0 /* index of per-direction fields: packets of the end that sent the first packet */
#define CT_FROM_REPLIER 1

struct ct_entry {
	__u64 last_seen_ns; /* CLOCK_MONOTONIC, coarse */
	__u64 created_ns;
	__u64 reported_ns; /* last flow event */
	__u64 packets[2];
	__u64 bytes[2];
	__u32 opener_identity;
	__u32 replier_identity;
	__u32 opener_ifindex;  /* host-side device where the opener is a pod of this node, else 0 */
	__u32 replier_ifindex; /* the same of the other end */
	__u32 policy_revision; /* under which the verdict was decided */
	__u16 flags;	       /* CT_* */
	__u8 state;	       /* CT_STATE_* */
	__u8 hook;	       /* that created the row */
	__u8 tcp_flags[2];     /* seen, by direction */
	__be16 nat_port_be;    /* source translation: the node's port (or echo id) */
	__u32 nat_state;       /* CT_NAT_*, and in the low half the port once it is chosen */
	__u32 route_ifindex;   /* the node's route to the end that is elsewhere, as last looked up */
	__u16 route_mtu;
	__u8 route_family; /* AF_INET, AF_INET6: of the next hop */
	__u8 pad;
	struct ip_addr nat_addr;  /* the node's address of the translation */
	struct ip_addr peer_node; /* tunnel endpoint of the remote end, zero where the flow is not tunnelled */
	struct ip_addr next_hop;  /* of the route, in the form of bpf_redir_neigh: IPv4 in the first 4 bytes */
	__u64 route_until_ns;	  /* until when it is used without another look; 0: never looked up */
};
ABI_ASSERT(sizeof(struct ct_entry) == 152);
ABI_ASSERT(ABI_OFFSETOF(ct_entry, opener_identity) == 56);
ABI_ASSERT(ABI_OFFSETOF(ct_entry, nat_addr) == 96);

#define CT_OPENER_IS_A (1U << 0)
#define CT_TRANSLATE (1U << 1) /* the opener is a pod, the other end outside: source translation */
#define CT_HOST (1U << 2)      /* the end that is no pod of this node is the node itself */
#define CT_PICKED_UP (1U << 3) /* TCP flow met in the middle: it is older than the row */
#define CT_CLOSE_REPORTED (1U << 4)

/*
 * High half of nat_state; only forward. NONE to CHOSEN by the one CPU whose compare-and-swap succeeds, to READY by the same
 * when nat_addr and nat_port_be may be read.
 */
#define CT_NAT_NONE 0U
#define CT_NAT_CHOSEN (1U << 16)
#define CT_NAT_READY (2U << 16)
#define CT_NAT_STATE_MASK (3U << 16)

enum ct_state {
	CT_STATE_NEW = 0,	  /* TCP: SYN seen, no answer; others: one direction only */
	CT_STATE_ESTABLISHED = 1, /* both directions seen */
	CT_STATE_CLOSING = 2,	  /* TCP: FIN from one side */
	CT_STATE_CLOSED = 3,	  /* TCP: FIN from both, or RST */
};

/* Timeouts in seconds by protocol and state (rodata of ct_sweep; defaults are S30's). */
struct ct_timeouts {
	__u32 tcp_new_s;	 /* 20 */
	__u32 tcp_established_s; /* 3600 */
	__u32 tcp_closing_s;	 /* 120 */
	__u32 tcp_closed_s;	 /* 40 */
	__u32 udp_s;		 /* 60 */
	__u32 icmp_s;		 /* 5 */
	__u32 other_s;		 /* 600 */
	__u32 pad;
};
ABI_ASSERT(sizeof(struct ct_timeouts) == 32);
#define CT_TIMEOUTS_DEFAULT { 20, 3600, 120, 40, 60, 5, 600, 0 }

/* sl_nat: hash. From the answer's tuple, as it arrives, to the pod that it is for. Lives and dies with its sl_ct row. */
struct nat_key {
	struct ip_addr remote;
	struct ip_addr node;
	__be16 remote_port_be; /* ICMP echo: 0 */
	__be16 node_port_be;   /* ICMP echo: the translated id */
	__u8 proto;
	__u8 pad[3];
};
ABI_ASSERT(sizeof(struct nat_key) == 40);

struct nat_row {
	struct ip_addr pod;
	__be16 pod_port_be;
	__u8 pad[6];
	__u64 created_ns;
};
ABI_ASSERT(sizeof(struct nat_row) == 32);

/* sl_frag: LRU hash. Protocol and ports of a fragmented datagram, from its first fragment. */
struct frag_key {
	struct ip_addr src;
	struct ip_addr dst;
	__be32 id_be; /* IPv4 in the low half */
	__u8 proto; /* as the fragment header names it: IPv6 may have further headers behind, in the first fragment only */
	__u8 pad[3];
};
ABI_ASSERT(sizeof(struct frag_key) == 40);

struct frag_ports {
	__be16 sport_be;
	__be16 dport_be;
	__u8 proto; /* of the transport header */
	__u8 pad[3];
};
ABI_ASSERT(sizeof(struct frag_ports) == 8);

/*
 * What the syscall program ct_sweep works on, its global variable `sweep` (memory shared with the agent): the agent
 * walks sl_ct in batches and names what looked expired; the program looks again and removes a flow and its
 * translation together.
 */
struct ct_sweep_args {
	__u32 count;		 /* in: keys that follow, at most CT_SWEEP_BATCH */
	__u32 removed;		 /* out */
	struct ct_key keys[256]; /* in */
};
ABI_ASSERT(sizeof(struct ct_sweep_args) == 8 + 256 * 40);
