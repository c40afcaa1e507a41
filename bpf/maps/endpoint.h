/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who is where: pods by device, addresses by prefix, external devices, the node. The agent writes, programs read. */
#pragma once

#include "bpf/core/bpf.h"
#include "bpf/abi/endpoint.h"

/* Key: ifindex of a pod's host-side device. Sizing: pods of the node. Full: the agent refuses the pod's ADD. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ENDPOINT_MAX_DEFAULT);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct endpoint_row);
} sl_endpoint SEC(".maps");

/* Longest prefix wins. Sizing: nodes, pods that have an identity of their own here, CIDR peers. Full: kept as it was, reported. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, IDENTITY_MAX_DEFAULT);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct identity_key);
	__type(value, struct identity_row);
} sl_identity SEC(".maps");

/* Key: ifindex of an external or the overlay device. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, DEVICE_MAX_DEFAULT);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct device_row);
} sl_device SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct node_row);
} sl_node SEC(".maps");

static __always_inline struct endpoint_row *endpoint__lookup(__u32 ifindex)
{
	return bpf_map_lookup_elem(&sl_endpoint, &ifindex);
}

static __always_inline struct identity_row *identity__lookup(const struct ip_addr *addr)
{
	struct identity_key key = { .prefix_bits = 128 };

	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	return bpf_map_lookup_elem(&sl_identity, &key);
}

static __always_inline struct device_row *device__lookup(__u32 ifindex)
{
	return bpf_map_lookup_elem(&sl_device, &ifindex);
}

/* Never NULL in practice: an array has its one entry from the start. */
static __always_inline struct node_row *node__get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sl_node, &zero);
}
