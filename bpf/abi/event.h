/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of the ring buffer sl_events. A change of meaning is a new kind; readers skip kinds they do not know by len. */
#pragma once

#include "types.h"

enum event_kind {
	EVENT_FLOW_OPEN = 1,   /* a conntrack row was made: the packet's tuple, from its sender */
	EVENT_FLOW_UPDATE = 2, /* counters of a flow that is still open; TCP: also when it becomes established */
	EVENT_FLOW_CLOSE = 3,  /* TCP: FIN from both sides or RST */
	EVENT_DROP = 4,
	EVENT_KIND_MAX = 5,
};

/* sl_event_loss: per-CPU array of __u64, index enum event_kind: records that the ring had no room for. */

#define EVENT_VERSION 1

struct flow_event {
	__u8 kind;
	__u8 version;
	__u16 len; /* of the record, bytes */
	__u32 ifindex;
	__u64 time_ns; /* CLOCK_MONOTONIC */
	struct ip_addr src;
	struct ip_addr dst;
	__be16 sport_be; /* ICMP: 0 */
	__be16 dport_be;
	__u8 proto;
	__u8 hook;
	__u8 reason;	/* EVENT_DROP: enum drop_reason */
	__u8 tcp_flags; /* of this packet */
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 is_reply;	    /* the sender is not the one that opened the flow */
	__u8 ct_state;	    /* enum ct_state */
	__u16 ct_flags;	    /* CT_* */
	__u16 packet_len;   /* bytes, from the network header */
	__u32 src_identity; /* IDENTITY_UNKNOWN where the packet was dropped before it was looked up */
	__u32 dst_identity;
	__u64 packets[2]; /* EVENT_FLOW_*: the row's counters, by direction */
	__u64 bytes[2];
	__u64 created_ns; /* EVENT_FLOW_*: of the row */
	__u32 suppressed; /* EVENT_DROP: drops of this flow and reason since its last event */
	__u32 pad;
};
ABI_ASSERT(sizeof(struct flow_event) == 120);
ABI_ASSERT(ABI_OFFSETOF(flow_event, sport_be) == 48);
ABI_ASSERT(ABI_OFFSETOF(flow_event, packets) == 72);
