/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one parser, and the only code that compares with data_end. Both families end in the same struct packet. */
#pragma once

#include "bpf/core/bpf.h"
#include "bpf/abi/verdict.h"

#define L3_OFFSET ETH_HLEN
#define L4_OFFSET_MAX 1023 /* options and extension headers beyond this are refused */

#define FRAGMENT_FIRST 1
#define FRAGMENT_LATER 2

#define VLAN_NUMBER_MASK 0x0fff

#define IP_FLAG_MF 0x2000
#define IP_OFFSET_MASK 0x1fff

#define ICMP4_ECHO_REPLY 0
#define ICMP4_UNREACHABLE 3
#define ICMP4_QUENCH 4
#define ICMP4_ECHO_REQUEST 8
#define ICMP4_TIME_EXCEEDED 11
#define ICMP4_PARAMETER 12
#define ICMP6_ERROR_MAX 127
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY 129
#define ICMP6_MLD_QUERY 130
#define ICMP6_RS 133
#define ICMP6_RA 134
#define ICMP6_NS 135
#define ICMP6_NA 136
#define ICMP6_REDIRECT 137
#define ICMP6_MLD2_REPORT 143

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

struct packet {
	struct ip_addr src;
	struct ip_addr dst;
	__be32 fragment_id_be;
	__be16 sport_be; /* ICMP echo: see abi/ct.h */
	__be16 dport_be;
	__u16 l4_offset; /* from the start of the frame */
	__u16 len;	 /* bytes, from the network header */
	__u8 proto;
	__u8 is_v6;
	__u8 hops;     /* TTL or hop limit */
	__u8 fragment; /* 0, FRAGMENT_* */
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 is_icmp_error; /* carries the head of the packet that it is about */
	__u8 fragment_proto; /* what the fragment header names; a later fragment's `proto` until its first one is found */
};

/* `len` bytes at `offset`, or NULL. Offset at most L4_OFFSET_MAX plus small constants. */
static __always_inline void *packet__at(struct __sk_buff *skb, __u32 offset, __u32 len)
{
	void *data_end = (void *)(long)skb->data_end;
	void *p = (void *)(long)skb->data + offset;

	/* The pointer that is checked must be the one that is used: clang would add the offset twice (6.1 to 6.18, clang 19). */
	asm volatile("" : "+r"(p));
	if (p + len > data_end)
		return NULL;
	return p;
}

/* The same, and fetches what the driver left in pages. Pointers that were taken before are gone. */
static __always_inline void *packet__need(struct __sk_buff *skb, __u32 offset, __u32 len)
{
	void *p = packet__at(skb, offset, len);

	if (likely(p))
		return p;
	if (bpf_skb_pull_data(skb, offset + len))
		return NULL;
	return packet__at(skb, offset, len);
}

static __always_inline bool packet__is_icmp(const struct packet *pkt)
{
	return pkt->proto == (pkt->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

static __always_inline bool packet__is_echo_request(const struct packet *pkt)
{
	return packet__is_icmp(pkt) && pkt->icmp_type == (pkt->is_v6 ? ICMP6_ECHO_REQUEST : ICMP4_ECHO_REQUEST);
}

static __always_inline bool packet__has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP || proto == IPPROTO_UDPLITE;
}

/* Type, code and echo id from the 8 bytes at `h`. */
static __always_inline void packet__read_icmp(struct packet *pkt, const __u8 *h)
{
	__be16 id = *(const __be16 *)(h + 4);
	__u8 type = h[0];

	pkt->icmp_type = type;
	pkt->icmp_code = h[1];
	if (pkt->is_v6) {
		pkt->is_icmp_error = type >= 1 && type <= 4;
		if (type == ICMP6_ECHO_REQUEST)
			pkt->sport_be = id;
		else if (type == ICMP6_ECHO_REPLY)
			pkt->dport_be = id;
		return;
	}
	pkt->is_icmp_error = type == ICMP4_UNREACHABLE || type == ICMP4_QUENCH || type == ICMP4_TIME_EXCEEDED ||
			     type == ICMP4_PARAMETER;
	if (type == ICMP4_ECHO_REQUEST)
		pkt->sport_be = id;
	else if (type == ICMP4_ECHO_REPLY)
		pkt->dport_be = id;
}

static __always_inline int packet__parse_l4(struct __sk_buff *skb, struct packet *pkt)
{
	__u32 offset = pkt->l4_offset, need, room;
	__u8 *h;

	if (pkt->fragment == FRAGMENT_LATER)
		return 0;
	if (offset > L4_OFFSET_MAX)
		return DROP_INVALID_PACKET;
	/* What follows the packet in the frame is padding, not its header. */
	room = pkt->len + L3_OFFSET;
	need = pkt->proto == IPPROTO_TCP ? 20 : packet__has_ports(pkt->proto) || packet__is_icmp(pkt) ? 8 : 0;
	if (offset + need > room)
		return DROP_INVALID_PACKET;
	if (pkt->proto == IPPROTO_TCP) {
		h = packet__need(skb, offset, 20);
		if (!h || (h[12] >> 4) < 5)
			return DROP_INVALID_PACKET;
		pkt->tcp_flags = h[13];
		pkt->sport_be = *(__be16 *)h;
		pkt->dport_be = *(__be16 *)(h + 2);
	} else if (packet__has_ports(pkt->proto)) {
		h = packet__need(skb, offset, 8);
		if (!h)
			return DROP_INVALID_PACKET;
		pkt->sport_be = *(__be16 *)h;
		pkt->dport_be = *(__be16 *)(h + 2);
	} else if (packet__is_icmp(pkt)) {
		h = packet__need(skb, offset, 8);
		if (!h)
			return DROP_INVALID_PACKET;
		packet__read_icmp(pkt, h);
	}
	return 0;
}

static __always_inline int packet__parse_ipv4(struct __sk_buff *skb, struct packet *pkt)
{
	struct iphdr *ip = packet__need(skb, L3_OFFSET, sizeof(*ip));
	__u32 header, fragment;

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return DROP_INVALID_PACKET;
	header = ip->ihl * 4;
	pkt->len = bpf_ntohs(ip->tot_len);
	if (unlikely(!pkt->len && skb->gso_size))
		pkt->len = 0xffff; /* BIG TCP: longer than the field */
	else if (pkt->len < header || pkt->len > skb->len - L3_OFFSET)
		return DROP_INVALID_PACKET;
	addr__from_ipv4(&pkt->src, ip->saddr);
	addr__from_ipv4(&pkt->dst, ip->daddr);
	pkt->proto = ip->protocol;
	pkt->hops = ip->ttl;
	pkt->l4_offset = L3_OFFSET + header;
	fragment = bpf_ntohs(ip->frag_off);
	if (unlikely(fragment & (IP_FLAG_MF | IP_OFFSET_MASK))) {
		pkt->fragment = fragment & IP_OFFSET_MASK ? FRAGMENT_LATER : FRAGMENT_FIRST;
		pkt->fragment_id_be = ip->id;
		pkt->fragment_proto = ip->protocol;
	}
	return packet__parse_l4(skb, pkt);
}

#define EXTENSION_BITS                                                                                                 \
	(1ULL << IPPROTO_HOPOPTS | 1ULL << IPPROTO_ROUTING | 1ULL << IPPROTO_FRAGMENT | 1ULL << IPPROTO_AH |           \
	 1ULL << IPPROTO_DSTOPTS)

/* A mask and not five comparisons: each would double what the verifier walks, at every header. */
static __always_inline bool packet__is_extension(__u8 proto)
{
	return proto < 64 && EXTENSION_BITS >> proto & 1;
}

/* Steps over one extension header at *offset. 1: stepped, 0: `pkt->proto` is no extension, below 0: a drop reason, negated. */
static __always_inline int packet__skip_extension(struct __sk_buff *skb, struct packet *pkt, __u32 *offset)
{
	__u8 *h;

	if (!packet__is_extension(pkt->proto))
		return 0;
	if (*offset > L4_OFFSET_MAX)
		return -DROP_IPV6_EXTENSION;
	h = packet__need(skb, *offset, 8);
	if (!h)
		return -DROP_INVALID_PACKET;
	if (pkt->proto == IPPROTO_FRAGMENT) {
		__u16 field = bpf_ntohs(*(__be16 *)(h + 2));

		pkt->fragment_id_be = *(__be32 *)(h + 4);
		pkt->fragment_proto = h[0];
		if (field & 0xfff9) /* an atomic fragment (neither offset nor more) is a whole packet */
			pkt->fragment = field & 0xfff8 ? FRAGMENT_LATER : FRAGMENT_FIRST;
		*offset += 8;
	} else if (pkt->proto == IPPROTO_AH) {
		*offset += (h[1] + 2) * 4;
	} else {
		if (pkt->proto == IPPROTO_ROUTING && h[2] == 0)
			return -DROP_IPV6_EXTENSION; /* type 0 is forbidden, RFC 5095 */
		*offset += (h[1] + 1) * 8;
	}
	/* Beyond its length there is padding at most. */
	if (*offset > (__u32)pkt->len + L3_OFFSET)
		return -DROP_INVALID_PACKET;
	pkt->proto = h[0];
	return 1;
}

static __always_inline int packet__parse_ipv6(struct __sk_buff *skb, struct packet *pkt)
{
	struct ipv6hdr *ip = packet__need(skb, L3_OFFSET, sizeof(*ip));
	__u32 offset = L3_OFFSET + sizeof(*ip), len;
	int i, rc = 0;

	if (!ip || ip->version != 6)
		return DROP_INVALID_PACKET;
	len = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (unlikely(len == sizeof(*ip) && skb->gso_size))
		len = 0xffff;
	else if (len > skb->len - L3_OFFSET)
		return DROP_INVALID_PACKET;
	pkt->len = len > 0xffff ? 0xffff : len;
	__builtin_memcpy(&pkt->src, &ip->saddr, sizeof(pkt->src));
	__builtin_memcpy(&pkt->dst, &ip->daddr, sizeof(pkt->dst));
	pkt->proto = ip->nexthdr;
	pkt->hops = ip->hop_limit;
	pkt->is_v6 = 1;
	for (i = 0; i <= IPV6_EXT_HEADERS_MAX; i++) {
		rc = packet__skip_extension(skb, pkt, &offset);
		if (rc <= 0 || pkt->fragment == FRAGMENT_LATER)
			break;
	}
	if (rc < 0)
		return -rc;
	if (rc && pkt->fragment != FRAGMENT_LATER)
		return DROP_IPV6_EXTENSION;
	if (offset > L4_OFFSET_MAX)
		return DROP_IPV6_EXTENSION;
	pkt->l4_offset = offset;
	return packet__parse_l4(skb, pkt);
}

/*
 * Of a VLAN, and so not for the device it was seen at: the kernel takes the tag off before programs run, what is left looks
 * untagged. A tag without a number carries a priority only, and the stack takes its frame as if it had none.
 */
static __always_inline bool packet__is_of_vlan(const struct __sk_buff *skb)
{
	return skb->vlan_present && skb->vlan_tci & VLAN_NUMBER_MASK;
}

/* Fills *pkt (zeroed by the caller) from an IPv4 or IPv6 frame. 0, or a drop reason. */
static __always_inline int packet__parse(struct __sk_buff *skb, struct packet *pkt, bool ipv4, bool ipv6)
{
	if (unlikely(packet__is_of_vlan(skb)))
		return DROP_UNSUPPORTED_L2;
	if (ipv4 && skb->protocol == bpf_htons(ETH_P_IP))
		return packet__parse_ipv4(skb, pkt);
	if (ipv6 && skb->protocol == bpf_htons(ETH_P_IPV6))
		return packet__parse_ipv6(skb, pkt);
	return DROP_UNSUPPORTED_L2;
}

/* One hop less; the caller has seen that hops > 1. False where the packet cannot be written. */
static __always_inline bool packet__decrement_hops(struct __sk_buff *skb, const struct packet *pkt)
{
	if (pkt->is_v6) {
		struct ipv6hdr *ip6 = packet__at(skb, L3_OFFSET, sizeof(*ip6));

		if (!ip6)
			return false;
		ip6->hop_limit--;
		/* No header checksum absorbs it: a sum of the whole packet that the card delivered must follow. */
		bpf_csum_update(skb, (__u16)~bpf_htons(1));
	} else {
		struct iphdr *ip = packet__at(skb, L3_OFFSET, sizeof(*ip));
		__u32 check;

		if (!ip)
			return false;
		/* RFC 1141: the header's word with the TTL falls by 0x0100, so the sum rises by it. */
		check = ip->check + (__u32)bpf_htons(0x0100);
		ip->check = (__u16)(check + (check >= 0xffff));
		ip->ttl--;
	}
	return true;
}

/* Kernels from 6.16 know this flag: an IPv6 address and the checksum over it cancel out in the whole packet's sum. */
#define CSUM_IPV6 (1ULL << 7)

/* Puts the change of an IPv6 address into the transport checksum at `offset`. 0, or what the helper returned. */
static __always_inline long packet__replace_ipv6_sum(struct __sk_buff *skb, __u32 offset, __s64 diff, __u64 flags)
{
	long rc = bpf_l4_csum_replace(skb, offset, 0, diff, flags | BPF_F_PSEUDO_HDR | CSUM_IPV6);

	if (unlikely(rc == -22 /* EINVAL: an older kernel */))
		rc = bpf_l4_csum_replace(skb, offset, 0, diff, flags | BPF_F_PSEUDO_HDR);
	return rc;
}

/* Writes both MAC addresses. False where the frame is too short. */
static __always_inline bool packet__set_macs(struct __sk_buff *skb, const __u8 *dst, const __u8 *src)
{
	struct ethhdr *eth = packet__at(skb, 0, sizeof(*eth));

	if (!eth)
		return false;
	__builtin_memcpy(eth->h_dest, dst, ETH_ALEN);
	__builtin_memcpy(eth->h_source, src, ETH_ALEN);
	return true;
}
