/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every header of abi/ is made of: fixed-width types, one address form, layout asserts. Compiles as C and C++. */
#pragma once

#include <linux/types.h>

#ifdef __cplusplus
#define ABI_ASSERT(cond) static_assert(cond, #cond)
#define ABI_OFFSETOF(type, field) __builtin_offsetof(struct type, field)
#else
#define ABI_ASSERT(cond) _Static_assert(cond, #cond)
#define ABI_OFFSETOF(type, field) __builtin_offsetof(struct type, field)
#endif

/* An address of either family, in network order. IPv4 is mapped: ::ffff:a.b.c.d. */
struct ip_addr {
	union {
		__u8 bytes[16];
		__be32 words_be[4];
		__u64 halves[2];
	};
};
ABI_ASSERT(sizeof(struct ip_addr) == 16);

/* Bits that an IPv4 prefix length gains in the mapped form: 10.0.0.0/8 is ::ffff:10.0.0.0/104. */
#define IPV4_MAPPED_BITS 96
