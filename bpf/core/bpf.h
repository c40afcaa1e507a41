/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every eBPF file starts from: kernel types and helpers, verdict codes, small compiler help. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi/types.h"
#include "bpf/abi/limits.h"

/* On to the next program of the hook, then the stack; the same number under TCX and clsact. */
#define ACT_NEXT (-1)
#define ACT_SHOT 2
#define ACT_REDIRECT 7

#define PACKET_OTHERHOST 3 /* skb->pkt_type: the frame is for another MAC */

#define AF_INET 2
#define AF_INET6 10

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* A stage that is a function of its own: its frame and its verification are apart. Not every program calls every stage. */
#define __stage __attribute__((noinline, unused))

static __always_inline __u64 now_ns(void)
{
	return bpf_ktime_get_coarse_ns();
}

static __always_inline bool addr__equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->halves[1] == b->halves[1] && a->halves[0] == b->halves[0];
}

static __always_inline bool addr__is_set(const struct ip_addr *a)
{
	return a->halves[0] | a->halves[1];
}

static __always_inline void addr__from_ipv4(struct ip_addr *addr, __be32 ipv4)
{
	addr->halves[0] = 0;
	addr->words_be[2] = bpf_htonl(0xffff);
	addr->words_be[3] = ipv4;
}

/* fe80::/10 */
static __always_inline bool addr__is_link_local(const struct ip_addr *a)
{
	return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/* ff00::/8, 224.0.0.0/4, 255.255.255.255 */
static __always_inline bool addr__is_multicast(const struct ip_addr *a, bool is_v6)
{
	return is_v6 ? a->bytes[0] == 0xff : a->bytes[12] >= 224;
}
