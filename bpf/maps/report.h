/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What programs report: counters and events. Programs write, the agent reads. */
#pragma once

#include "bpf/core/bpf.h"
#include "bpf/abi/event.h"
#include "bpf/abi/verdict.h"

/* Index: hook * VERDICT_MAX + verdict. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOK_MAX *VERDICT_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct counter);
} sl_verdicts SEC(".maps");

/* By device, hook and reason. Full: the drop still counts in sl_verdicts. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, DROPS_MAX_DEFAULT);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct drop_key);
	__type(value, struct counter);
} sl_drops SEC(".maps");

/* When a flow's drops were last reported. Key: hash of tuple, device and reason; a collision only delays a report. */
struct drop_limit {
	__u64 reported_ns;
	__u32 suppressed;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, DROP_LIMIT_MAX_DEFAULT);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u64);
	__type(value, struct drop_limit);
} sl_drop_limit SEC(".maps");

/* struct flow_event. Full: the record is lost and counted in sl_event_loss; packets never wait. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES_DEFAULT);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} sl_events SEC(".maps");

/* A ring names no type of its own: this keeps the record's in the object's BTF, where tests and tools look. */
const struct flow_event *const sl_events_record = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENT_KIND_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} sl_event_loss SEC(".maps");

static __always_inline void verdict__count(struct __sk_buff *skb, __u32 hook, __u32 verdict)
{
	__u32 index = hook * VERDICT_MAX + verdict;
	struct counter *counter = bpf_map_lookup_elem(&sl_verdicts, &index);

	if (counter) {
		counter->packets++;
		counter->bytes += skb->len;
	}
}

static __always_inline void event_loss__count(__u32 kind)
{
	__u64 *lost = bpf_map_lookup_elem(&sl_event_loss, &kind);

	if (lost)
		(*lost)++;
}
