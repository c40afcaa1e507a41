/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ct_sweep: run by the agent, attached to nothing. Of the flows that the agent found silent, removes those that still are:
 * the look at the clock is repeated here, next to the removal, so that a flow that spoke meanwhile stays (S30).
 */
#include "bpf/core/bpf.h"
#include "bpf/maps/ct.h"

char program_license[] SEC("license") = "Dual BSD/GPL";

#define IPPROTO_ICMP6 58
#define NS_PER_S 1000000000ULL

const volatile struct ct_timeouts timeouts = CT_TIMEOUTS_DEFAULT;

struct ct_sweep_args sweep;

static __always_inline __u32 timeout_s(__u8 proto, __u8 state)
{
	switch (proto) {
	case IPPROTO_TCP:
		if (state == CT_STATE_NEW)
			return timeouts.tcp_new_s;
		if (state == CT_STATE_ESTABLISHED)
			return timeouts.tcp_established_s;
		return state == CT_STATE_CLOSING ? timeouts.tcp_closing_s : timeouts.tcp_closed_s;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return timeouts.udp_s;
	case IPPROTO_ICMP:
	case IPPROTO_ICMP6:
		return timeouts.icmp_s;
	default:
		return timeouts.other_s;
	}
}

static long sweep_one(__u32 turn, void *unused __attribute__((unused)))
{
	struct ct_entry *entry;
	struct nat_key nat = {};
	bool translated;
	struct ct_key key;
	__u64 now = bpf_ktime_get_ns();

	if (turn >= sweep.count || turn >= CT_SWEEP_BATCH)
		return 1;
	key = sweep.keys[turn];
	entry = bpf_map_lookup_elem(&sl_ct, &key);
	if (!entry || now < entry->last_seen_ns + timeout_s(key.proto, entry->state) * NS_PER_S)
		return 0;
	translated = ct__translation(&key, entry, &nat);
	/* The flow first: a packet that comes in between opens it anew, with another translation. */
	if (bpf_map_delete_elem(&sl_ct, &key))
		return 0;
	if (translated)
		bpf_map_delete_elem(&sl_nat, &nat);
	sweep.removed++;
	return 0;
}

SEC("syscall")
int ct_sweep(void *context __attribute__((unused)))
{
	sweep.removed = 0;
	bpf_loop(CT_SWEEP_BATCH, sweep_one, NULL, 0);
	return 0;
}
