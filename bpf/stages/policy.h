/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a pod's policies let a new flow pass. Asked once per flow and again when the policy revision moves on. */
#pragma once

#include "bpf/maps/endpoint.h"

/* From the pod to `peer`. An isolated pod with no rule that matches is denied; rules are not part of this layout. */
static __always_inline bool policy__allows_egress(const struct endpoint_row *ep)
{
	return !(ep->flags & ENDPOINT_ISOLATED_EGRESS);
}

/* To the pod from `peer`. The node itself always may: kubelet's probes (P7). */
static __always_inline bool policy__allows_ingress(const struct endpoint_row *ep, __u32 peer)
{
	return peer == IDENTITY_HOST || !(ep->flags & ENDPOINT_ISOLATED_INGRESS);
}
