/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Flow and drop events: straight into the ring, never waited for. */
#pragma once

#include "bpf/core/packet.h"
#include "bpf/maps/ct.h"
#include "bpf/maps/report.h"

static __always_inline struct flow_event *event__begin(struct __sk_buff *skb, const struct packet *pkt, __u32 kind)
{
	struct flow_event *event = bpf_ringbuf_reserve(&sl_events, sizeof(*event), 0);

	if (!event) {
		event_loss__count(kind);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->version = EVENT_VERSION;
	event->len = sizeof(*event);
	event->ifindex = skb->ifindex;
	event->time_ns = bpf_ktime_get_ns();
	event->src = pkt->src;
	event->dst = pkt->dst;
	event->sport_be = pkt->sport_be;
	event->dport_be = pkt->dport_be;
	event->proto = pkt->proto;
	event->tcp_flags = pkt->tcp_flags;
	event->icmp_type = pkt->icmp_type;
	event->icmp_code = pkt->icmp_code;
	event->packet_len = pkt->len;
	return event;
}

/* One record about a flow, seen from the packet in hand, which goes in direction `dir`. */
static __always_inline void event__flow(struct __sk_buff *skb, const struct packet *pkt, const struct ct_entry *entry,
					__u8 dir, __u32 kind, __u8 hook)
{
	struct flow_event *event = event__begin(skb, pkt, kind);

	if (!event)
		return;
	event->hook = hook;
	event->is_reply = dir == CT_FROM_REPLIER;
	event->ct_state = entry->state;
	event->ct_flags = entry->flags;
	event->src_identity = dir == CT_FROM_OPENER ? entry->opener_identity : entry->replier_identity;
	event->dst_identity = dir == CT_FROM_OPENER ? entry->replier_identity : entry->opener_identity;
	event->packets[0] = entry->packets[0];
	event->packets[1] = entry->packets[1];
	event->bytes[0] = entry->bytes[0];
	event->bytes[1] = entry->bytes[1];
	event->created_ns = entry->created_ns;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline __u64 event__mix(__u64 hash, __u64 value)
{
	return (hash ^ value) * 0x9e3779b97f4a7c15ULL;
}

/* Whether this drop is to be reported now; *suppressed: drops of the same flow and reason since the last report. */
static __always_inline bool event__drop_is_due(struct __sk_buff *skb, const struct packet *pkt, __u8 reason,
					       __u32 *suppressed)
{
	struct drop_limit fresh = { .reported_ns = bpf_ktime_get_ns() }, *limit;
	__u64 key = event__mix(((__u64)skb->ifindex << 8) | reason, pkt->src.halves[0]);

	key = event__mix(key, pkt->src.halves[1]);
	key = event__mix(key, pkt->dst.halves[0]);
	key = event__mix(key, pkt->dst.halves[1]);
	key = event__mix(key, ((__u64)pkt->proto << 32) | ((__u32)pkt->sport_be << 16) | pkt->dport_be);
	limit = bpf_map_lookup_elem(&sl_drop_limit, &key);
	if (!limit) {
		bpf_map_update_elem(&sl_drop_limit, &key, &fresh, BPF_ANY);
		return true;
	}
	if (fresh.reported_ns - limit->reported_ns < DROP_REPORT_INTERVAL_NS) {
		__sync_fetch_and_add(&limit->suppressed, 1);
		return false;
	}
	*suppressed = limit->suppressed;
	limit->suppressed = 0;
	limit->reported_ns = fresh.reported_ns;
	return true;
}
