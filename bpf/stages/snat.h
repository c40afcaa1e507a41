/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Source translation on the way out: pods that leave the cluster carry the node's address and a port of a range of its
 * own. The flow's conntrack row holds the translation; sl_nat finds the pod from the answer (S14, S15).
 */
#pragma once

#include "bpf/stages/ct.h"
#include "bpf/stages/icmp_translate.h"
#include "bpf/stages/rewrite.h"
#include "bpf/maps/endpoint.h"

/* The kernel's own conntrack, where it has it (6.0 on) and shows it to us: weak, or no program would load without. */
struct nf_conn { /* only named; without a body libbpf would not find the function that returns it */
	__u8 unused;
};
struct kernel_ct_options { /* of struct bpf_ct_opts, as long as it was before 6.10: later kernels take both */
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple__sz,
					 struct kernel_ct_options *options, __u32 options__sz) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *conn) __ksym __weak;

/* State of the search for a free port. */
struct snat_search {
	struct __sk_buff *skb;
	struct nat_key key;
	struct nat_row row;
	__u32 next;  /* offset into the range */
	__u32 range; /* ports */
	__u16 first;
	__u8 is_v6;
	__u8 found;
	__u8 full;
	__u8 has_port;
	__u8 pad[2];
};

/* A flow that the kernel translates itself, or that a container beside us has with the node's address. */
static __always_inline bool snat__is_kernel_flow(struct snat_search *search, struct bpf_sock_tuple *tuple, __u32 size)
{
	struct kernel_ct_options options = { .netns_id = BPF_F_CURRENT_NETNS, .l4proto = search->key.proto };
	struct nf_conn *conn;

	if (!bpf_ksym_exists(bpf_skb_ct_lookup) || !bpf_ksym_exists(bpf_ct_release))
		return false;
	conn = bpf_skb_ct_lookup(search->skb, tuple, size, &options, sizeof(options));
	if (!conn)
		return false;
	bpf_ct_release(conn);
	return true;
}

/* Somebody on the host would take the answer: a socket, connected or listening, or what the kernel translates. */
static __always_inline bool snat__is_taken(struct snat_search *search)
{
	const struct nat_key *key = &search->key;
	struct bpf_sock_tuple tuple = {};
	__u32 size = sizeof(tuple.ipv4);
	struct bpf_sock *sk;

	if (search->is_v6) {
		size = sizeof(tuple.ipv6);
		__builtin_memcpy(tuple.ipv6.saddr, &key->remote, 16);
		__builtin_memcpy(tuple.ipv6.daddr, &key->node, 16);
		tuple.ipv6.sport = key->remote_port_be;
		tuple.ipv6.dport = key->node_port_be;
	} else {
		tuple.ipv4.saddr = key->remote.words_be[3];
		tuple.ipv4.daddr = key->node.words_be[3];
		tuple.ipv4.sport = key->remote_port_be;
		tuple.ipv4.dport = key->node_port_be;
	}
	if (key->proto == IPPROTO_TCP)
		sk = bpf_sk_lookup_tcp(search->skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else if (key->proto == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(search->skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else
		return false;
	if (!sk)
		return snat__is_kernel_flow(search, &tuple, size);
	bpf_sk_release(sk);
	return true;
}

/* One turn of the search: claims the next port by inserting its answer's row. 1: stop. */
static long snat__try(__u32 turn __attribute__((unused)), struct snat_search *search)
{
	long rc;

	if (search->has_port) {
		search->key.node_port_be = bpf_htons(search->first + search->next);
		search->next = (search->next + 1) % search->range;
		if (snat__is_taken(search))
			return 0;
	}
	rc = bpf_map_update_elem(&sl_nat, &search->key, &search->row, BPF_NOEXIST);
	if (!rc) {
		search->found = 1;
		return 1;
	}
	if (rc != -17 /* EEXIST: taken, on to the next */) {
		search->full = 1;
		return 1;
	}
	return !search->has_port;
}

struct snat_choice {
	struct ip_addr addr;
	__be16 port_be;
	__u8 pad[6];
};

/*
 * Another CPU has given the flow its translation while this one searched. What was claimed here was never used and goes back;
 * the other's row in sl_nat was there before its choice, so that its address need not be waited for. 0, or a drop reason.
 */
static __always_inline int snat__yield(struct ct_entry *entry, struct snat_search *search, __be16 port_be,
				       struct snat_choice *choice)
{
	struct nat_row *row;

	bpf_map_delete_elem(&sl_nat, &search->key);
	if (ct__read_translation(entry, &choice->addr, &choice->port_be))
		return 0;
	search->key.node_port_be = port_be;
	row = bpf_map_lookup_elem(&sl_nat, &search->key);
	if (!row || !addr__equal(&row->pod, &search->row.pod) || row->pod_port_be != search->row.pod_port_be)
		return DROP_SNAT_UNDECIDED; /* chosen at a device with another address */
	choice->addr = search->key.node;
	choice->port_be = port_be;
	return 0;
}

/* Chooses the flow's translation and writes both rows. 0, or a drop reason. */
static __stage int snat__allocate(struct __sk_buff *skb, struct packet *pkt, struct ct_entry *entry,
				  struct snat_choice *choice)
{
	struct device_row *device = device__lookup(skb->ifindex);
	struct node_row *node = node__get();
	struct snat_search search = { .skb = skb };
	struct ip_addr *source;
	__u32 first;

	if (!device || !node)
		return DROP_SNAT_NO_ADDRESS;
	source = pkt->is_v6 ? &device->ipv6 : &device->ipv4;
	if (!addr__is_set(source))
		return DROP_SNAT_NO_ADDRESS;
	search.key.remote = pkt->dst;
	search.key.node = *source;
	search.key.remote_port_be = pkt->dport_be;
	search.key.node_port_be = pkt->sport_be;
	search.key.proto = pkt->proto;
	search.row.pod = pkt->src;
	search.row.pod_port_be = pkt->sport_be;
	search.row.created_ns = now_ns();
	search.is_v6 = pkt->is_v6;
	search.has_port = rewrite__has_port(pkt);
	/* One such packet would turn all that the peer sends to the node by this protocol over to the pod. */
	if (!search.has_port && !packet__has_ports(pkt->proto))
		return DROP_SNAT_NO_PORT;
	search.first = node->snat_port_min;
	search.range = (__u32)node->snat_port_max - node->snat_port_min + 1;
	if (!search.range || node->snat_port_max < node->snat_port_min)
		return DROP_SNAT_EXHAUSTED;
	search.next = bpf_get_prandom_u32() % search.range;
	bpf_loop(SNAT_TRIES_MAX, snat__try, &search, 0);
	if (search.full)
		return DROP_CT_FULL;
	if (!search.found)
		return DROP_SNAT_EXHAUSTED;
	first = ct__set_translation(entry, &search.key.node, search.key.node_port_be);
	if (first != CT_NAT_NONE)
		return snat__yield(entry, &search, (__be16)first, choice);
	choice->addr = search.key.node;
	choice->port_be = search.key.node_port_be;
	return 0;
}

/*
 * The node's own packet uses the end that a pod's flow was given. That flow is forgotten, with its translation: the pod's next
 * packet opens it anew, and it gets another end.
 */
static __stage void snat__give_back(struct packet *own)
{
	struct nat_key key = { .remote = own->dst,
			       .node = own->src,
			       .remote_port_be = own->dport_be,
			       .node_port_be = own->sport_be,
			       .proto = own->proto };
	struct nat_row *row = bpf_map_lookup_elem(&sl_nat, &key);
	struct packet pods = *own;
	struct flow flow = {};

	if (!row)
		return;
	pods.src = row->pod;
	pods.sport_be = row->pod_port_be;
	ct__lookup(&pods, &flow);
	ct__delete(&pods, &flow);
	bpf_map_delete_elem(&sl_nat, &key);
}

/* An error that a pod sends about a packet of a translated flow: the quote names the pod, the receiver knows the node. */
static __stage int snat__translate_error(struct __sk_buff *skb, struct packet *pkt)
{
	struct icmp_rewrite rewrite = {};
	struct packet inner = {};
	struct flow flow = {};
	int reason = icmp_error__quoted(skb, pkt, &inner);

	if (reason)
		return reason;
	ct__lookup(&inner, &flow);
	if (!flow.entry || !ct__read_translation(flow.entry, &rewrite.to, &rewrite.port_be))
		return DROP_FLOW_UNKNOWN;
	return icmp_error__rewrite(skb, pkt, &inner, &rewrite);
}

/* On the way out, packets that pod_egress marked. 0, or a drop reason. */
static __always_inline int snat__translate(struct __sk_buff *skb, struct packet *pkt)
{
	struct snat_choice to = {};
	struct flow flow = {};
	int reason;

	if (pkt->is_icmp_error)
		return snat__translate_error(skb, pkt);
	ct__lookup(pkt, &flow);
	if (!flow.entry)
		return DROP_FLOW_UNKNOWN;
	if (unlikely(!ct__read_translation(flow.entry, &to.addr, &to.port_be))) {
		reason = snat__allocate(skb, pkt, flow.entry, &to);
		if (reason)
			return reason;
	}
	return rewrite__end(skb, pkt, &to.addr, to.port_be, true);
}
