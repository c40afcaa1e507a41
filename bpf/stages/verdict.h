/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The four ways out of a program. Each packet leaves by exactly one, and is counted there. */
#pragma once

#include "bpf/stages/event.h"
#include "bpf/abi/config.h"

/* What the agent fixes before load. Defaults switch everything on, so that a check without an agent sees every branch. */
const volatile struct datapath_config config = { .ipv4 = 1, .ipv6 = 1, .overlay = 1, .translate = 1, .events = 1 };

static __always_inline void verdict__seen(struct __sk_buff *skb, __u32 hook)
{
	verdict__count(skb, hook, VERDICT_SEEN);
}

/* To the next program of the hook, then to the stack (ingress) or the device (egress). */
static __always_inline int verdict__forward(struct __sk_buff *skb, __u32 hook)
{
	verdict__count(skb, hook, VERDICT_FORWARDED);
	return ACT_NEXT;
}

/* Counts the drop by device and reports it, at most once a second for a flow and reason. */
static __stage int verdict__drop(struct __sk_buff *skb, struct packet *pkt, __u8 hook, __u8 reason)
{
	struct drop_key key = { .ifindex = skb->ifindex, .hook = hook, .reason = reason };
	struct counter fresh = { .packets = 1, .bytes = skb->len };
	struct counter *counter = bpf_map_lookup_elem(&sl_drops, &key);
	struct flow_event *event;
	__u32 suppressed = 0;

	verdict__count(skb, hook, VERDICT_DROPPED);
	if (counter) {
		counter->packets++;
		counter->bytes += skb->len;
	} else {
		bpf_map_update_elem(&sl_drops, &key, &fresh, BPF_NOEXIST);
	}
	if (!config.events || !event__drop_is_due(skb, pkt, reason, &suppressed))
		return ACT_SHOT;
	event = event__begin(skb, pkt, EVENT_DROP);
	if (!event)
		return ACT_SHOT;
	event->hook = hook;
	event->reason = reason;
	event->suppressed = suppressed;
	bpf_ringbuf_submit(event, 0);
	return ACT_SHOT;
}

/* `rc` is what a redirect helper returned. */
static __always_inline int verdict__redirect(struct __sk_buff *skb, struct packet *pkt, __u8 hook, long rc)
{
	if (unlikely(rc != ACT_REDIRECT))
		return verdict__drop(skb, pkt, hook, DROP_WRITE_FAILED);
	verdict__count(skb, hook, VERDICT_REDIRECTED);
	return ACT_REDIRECT;
}
