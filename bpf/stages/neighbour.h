/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The pod's gateway, answered at the pod's own device: ARP for 169.254.1.1, NDP for fe80::1 (N15). Nothing is flooded and
 * no other address is ever answered for. Ways out: a drop reason (> 0), NEIGHBOUR_*.
 */
#pragma once

#include "bpf/core/packet.h"
#include "bpf/maps/endpoint.h"
#include "bpf/stages/source.h"

#define NEIGHBOUR_NOT_OURS 0	/* not neighbour discovery: goes on through the stages */
#define NEIGHBOUR_ANSWERED (-1) /* the frame is the answer now: send it back */
#define NEIGHBOUR_STACK (-2)	/* the host's stack is the one to hear it */

#define ARP_REQUEST 1
#define ARP_REPLY 2

struct arp_ipv4 {
	__be16 hardware_be;
	__be16 protocol_be;
	__u8 hardware_len;
	__u8 protocol_len;
	__be16 operation_be;
	__u8 sender_mac[6];
	__u8 sender_ip[4];
	__u8 target_mac[6];
	__u8 target_ip[4];
} __attribute__((packed));

static __always_inline __be32 neighbour__read_ipv4(const __u8 *p)
{
	return (__be32)p[0] | (__be32)p[1] << 8 | (__be32)p[2] << 16 | (__be32)p[3] << 24;
}

/* Leaves the addresses in *pkt, for whoever reports a drop. */
static __always_inline int neighbour__arp(struct __sk_buff *skb, struct packet *pkt, const struct endpoint_row *ep,
					  const struct node_row *node)
{
	struct arp_ipv4 *arp = packet__need(skb, L3_OFFSET, sizeof(*arp));
	__be32 sender;

	if (!arp || arp->hardware_be != bpf_htons(1) || arp->protocol_be != bpf_htons(ETH_P_IP) ||
	    arp->hardware_len != ETH_ALEN || arp->protocol_len != 4)
		return DROP_INVALID_PACKET;
	sender = neighbour__read_ipv4(arp->sender_ip);
	addr__from_ipv4(&pkt->src, sender);
	addr__from_ipv4(&pkt->dst, neighbour__read_ipv4(arp->target_ip));
	if (sender && sender != ep->ipv4.words_be[3])
		return DROP_SPOOFED_SOURCE;
	if (arp->operation_be == bpf_htons(ARP_REPLY))
		return sender ? NEIGHBOUR_STACK : DROP_INVALID_PACKET;
	if (arp->operation_be != bpf_htons(ARP_REQUEST))
		return DROP_INVALID_PACKET;
	if (neighbour__read_ipv4(arp->target_ip) != node->gateway4.words_be[3])
		return DROP_NOT_THE_GATEWAY;
	arp->operation_be = bpf_htons(ARP_REPLY);
	__builtin_memcpy(arp->target_mac, arp->sender_mac, ETH_ALEN);
	__builtin_memcpy(arp->target_ip, arp->sender_ip, 4);
	__builtin_memcpy(arp->sender_mac, ep->host_mac, ETH_ALEN);
	__builtin_memcpy(arp->sender_ip, &node->gateway4.words_be[3], 4);
	if (!packet__set_macs(skb, ep->pod_mac, ep->host_mac))
		return DROP_WRITE_FAILED;
	return NEIGHBOUR_ANSWERED;
}

/* Neighbour solicitation and advertisement, RFC 4861 4.3 and 4.4, with room for one link-layer address option. */
struct neighbour_message {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 flags_be;
	struct ip_addr target;
	__u8 option_type;
	__u8 option_len; /* in 8 bytes */
	__u8 mac[6];
};
ABI_ASSERT(sizeof(struct neighbour_message) == 32);

#define NA_ROUTER_SOLICITED_OVERRIDE 0xe0000000
#define ND_TARGET_LINK_ADDRESS 2

struct neighbour_answer {
	struct ethhdr eth;
	__u8 pad[2]; /* keeps the addresses aligned on the stack; not sent */
	struct ipv6hdr ip;
	struct neighbour_message message;
};

static __always_inline __u16 neighbour__checksum(struct neighbour_answer *answer)
{
	__be32 pseudo[2] = { bpf_htonl(sizeof(answer->message)), bpf_htonl(IPPROTO_ICMPV6) };
	__s64 sum;

	sum = bpf_csum_diff(NULL, 0, (void *)&answer->ip.saddr, 32, 0);
	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), sum);
	sum = bpf_csum_diff(NULL, 0, (void *)&answer->message, sizeof(answer->message), sum);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Turns a solicitation for the gateway into the advertisement. */
static __stage int neighbour__advertise(struct __sk_buff *skb, struct packet *pkt, struct endpoint_row *ep,
					struct node_row *node)
{
	struct neighbour_answer answer = {};

	__builtin_memcpy(answer.eth.h_dest, ep->pod_mac, ETH_ALEN);
	__builtin_memcpy(answer.eth.h_source, ep->host_mac, ETH_ALEN);
	answer.eth.h_proto = bpf_htons(ETH_P_IPV6);
	answer.ip.version = 6;
	answer.ip.payload_len = bpf_htons(sizeof(answer.message));
	answer.ip.nexthdr = IPPROTO_ICMPV6;
	answer.ip.hop_limit = 255;
	__builtin_memcpy(&answer.ip.saddr, &node->gateway6, sizeof(answer.ip.saddr));
	__builtin_memcpy(&answer.ip.daddr, &pkt->src, sizeof(answer.ip.daddr));
	answer.message.type = ICMP6_NA;
	answer.message.flags_be = bpf_htonl(NA_ROUTER_SOLICITED_OVERRIDE);
	answer.message.target = node->gateway6;
	answer.message.option_type = ND_TARGET_LINK_ADDRESS;
	answer.message.option_len = 1;
	__builtin_memcpy(answer.message.mac, ep->host_mac, ETH_ALEN);
	answer.message.checksum = neighbour__checksum(&answer);
	if (bpf_skb_change_tail(skb, L3_OFFSET + sizeof(answer.ip) + sizeof(answer.message), 0) ||
	    bpf_skb_store_bytes(skb, 0, &answer.eth, sizeof(answer.eth), 0) ||
	    bpf_skb_store_bytes(skb, L3_OFFSET, &answer.ip, sizeof(answer.ip) + sizeof(answer.message), 0))
		return DROP_WRITE_FAILED;
	return NEIGHBOUR_ANSWERED;
}

static __always_inline int neighbour__ndp(struct __sk_buff *skb, struct packet *pkt, struct endpoint_row *ep,
					  struct node_row *node)
{
	struct ip_addr *target;

	if (!pkt->is_v6 || pkt->proto != IPPROTO_ICMPV6)
		return NEIGHBOUR_NOT_OURS;
	if (pkt->icmp_type != ICMP6_NS && pkt->icmp_type != ICMP6_NA)
		return NEIGHBOUR_NOT_OURS;
	if (pkt->hops != 255 || pkt->icmp_code)
		return DROP_INVALID_PACKET;
	target = packet__need(skb, pkt->l4_offset & L4_OFFSET_MAX, 24);
	if (!target)
		return DROP_INVALID_PACKET;
	target = (void *)target + 8;
	if (pkt->icmp_type == ICMP6_NA)
		return (addr__equal(target, &ep->ipv6) || addr__is_link_local(target)) &&
				       !addr__equal(target, &node->gateway6)
			       ? NEIGHBOUR_STACK
			       : DROP_NOT_THE_GATEWAY;
	if (!addr__is_set(&pkt->src))
		return NEIGHBOUR_STACK; /* duplicate address detection: nobody shares this link with the pod */
	/* The stack learns the sender from it: an invented one would fill the table that all of the machine shares. */
	if (!addr__equal(&pkt->src, &ep->ipv6) && !source__is_own_link_local(&pkt->src, ep))
		return DROP_SPOOFED_SOURCE;
	if (!addr__equal(target, &node->gateway6))
		return addr__is_link_local(target) ? NEIGHBOUR_STACK : DROP_NOT_THE_GATEWAY;
	return neighbour__advertise(skb, pkt, ep, node);
}
