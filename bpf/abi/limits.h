/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Loop bounds, default table sizes and the layout number that names the pin directory. */
#pragma once

/* Raised when the meaning or the shape of a pinned map changes; pins live in <bpffs>/sluice/v<layout>/. */
#define SLUICE_LAYOUT 1

#define IPV6_EXT_HEADERS_MAX 6 /* extension headers walked before the packet is refused */
#define SNAT_TRIES_MAX 64      /* ports tried before a translation is refused */
#define TUNNEL_PORT 8472       /* UDP port of the overlay, the same on every node */
#define CT_SWEEP_BATCH 256     /* keys that one run of ct_sweep looks at */

/* Default max_entries; the agent may set others before load. Tables are not preallocated: the figure is a bound, not a cost. */
#define ENDPOINT_MAX_DEFAULT 4096
#define DEVICE_MAX_DEFAULT 256
#define IDENTITY_MAX_DEFAULT 1048576
#define CT_MAX_DEFAULT 524288
#define NAT_MAX_DEFAULT 524288
#define FRAG_MAX_DEFAULT 8192
#define DROPS_MAX_DEFAULT 65536
#define DROP_LIMIT_MAX_DEFAULT 16384
#define EVENTS_BYTES_DEFAULT (2 * 1024 * 1024)

/* At most one event per dropped flow and reason in this time. */
#define DROP_REPORT_INTERVAL_NS 1000000000ULL
/* A flow's route is looked up again after this time: a change of the node's routes needs nobody to tell. */
#define ROUTE_LIFETIME_NS 500000000ULL
/* An open flow reports its counters this often. */
#define FLOW_REPORT_INTERVAL_NS 30000000000ULL
