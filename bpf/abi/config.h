/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Settings that are fixed while a program is loaded: rodata, so that the verifier removes what is off. */
#pragma once

#include "types.h"

/* `const volatile struct datapath_config config` of every packet program. Defaults are on; the agent writes all fields. */
struct datapath_config {
	__u8 ipv4;	/* pods have IPv4 */
	__u8 ipv6;	/* pods have IPv6 */
	__u8 overlay;	/* some node may be reached through VXLAN */
	__u8 translate; /* packets to the outside carry the node's address */
	__u8 events;	/* write flow and drop events */
	__u8 pad[3];
};
ABI_ASSERT(sizeof(struct datapath_config) == 8);
