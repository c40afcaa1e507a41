/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Conntrack, source translation and fragments. Programs write from every CPU; ct_sweep removes. */
#pragma once

#include "bpf/core/bpf.h"
#include "bpf/abi/ct.h"

/*
 * One row a flow. Sizing: open flows of the node, 2^19 by default; memory follows use. Full: new flows are refused with
 * DROP_CT_FULL, open ones are untouched (an LRU would instead forget the longest silent ones at random).
 * Concurrent writers: counters by atomic add; state and flags are monotonous within a flow's life, a lost update is
 * repeated by the next packet; the translation by compare-and-swap (ct__set_translation).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CT_MAX_DEFAULT);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct ct_key);
	__type(value, struct ct_entry);
} sl_ct SEC(".maps");

/* Answers to translated flows, by the tuple they arrive with. Full: DROP_CT_FULL. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NAT_MAX_DEFAULT);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct nat_key);
	__type(value, struct nat_row);
} sl_nat SEC(".maps");

/* Datagrams whose first fragment was seen. Full: the oldest datagram's later fragments are dropped, and counted. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAG_MAX_DEFAULT);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct frag_key);
	__type(value, struct frag_ports);
} sl_frag SEC(".maps");

/* Where a row is put together: the stack has no room for it. One program runs at a time on a CPU; not shared, not pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ct_entry);
} sl_ct_scratch SEC(".maps");

/*
 * The flow's translation, all of it or nothing: false until it is READY, and from then on it does not change. Every CPU may
 * read: the offset of 0 is computed from the state, so that also a CPU that reorders loads reads the rest after it.
 */
static __always_inline bool ct__read_translation(const struct ct_entry *entry, struct ip_addr *addr, __be16 *port_be)
{
	__u32 state = *(const volatile __u32 *)&entry->nat_state & CT_NAT_STATE_MASK;

	if (state != CT_NAT_READY)
		return false;
	asm volatile("" : "+r"(state));
	entry = (const void *)entry + (state ^ CT_NAT_READY);
	*addr = entry->nat_addr;
	*port_be = entry->nat_port_be;
	return true;
}

/*
 * Gives the flow its translation, once. CT_NAT_NONE, or the nat_state of another CPU that was first. Of CPUs that translate a
 * flow's first packets at the same time the compare-and-swap lets one through, and nobody reads what it writes before the
 * exchange, which orders both (atomic operations that return a value are full barriers).
 */
static __always_inline __u32 ct__set_translation(struct ct_entry *entry, const struct ip_addr *addr, __be16 port_be)
{
	__u32 first = __sync_val_compare_and_swap(&entry->nat_state, CT_NAT_NONE, CT_NAT_CHOSEN | port_be);

	if (first != CT_NAT_NONE)
		return first;
	entry->nat_addr = *addr;
	entry->nat_port_be = port_be;
	__sync_lock_test_and_set(&entry->nat_state, CT_NAT_READY | port_be);
	return CT_NAT_NONE;
}

/* The row by which answers to this flow find their pod. False: it has none, or not yet (the agent finds what is left of it). */
static __always_inline bool ct__translation(const struct ct_key *key, const struct ct_entry *entry, struct nat_key *nat)
{
	bool opener_is_a = entry->flags & CT_OPENER_IS_A;

	nat->remote = opener_is_a ? key->addr_b : key->addr_a;
	nat->remote_port_be = opener_is_a ? key->port_b_be : key->port_a_be;
	nat->proto = key->proto;
	return ct__read_translation(entry, &nat->node, &nat->node_port_be);
}
