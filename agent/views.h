// SPDX-License-Identifier: Apache-2.0
// The data plane's reader and the agent's figures in the shapes that admin and metrics ask for.
#pragma once

#include "agent/admin/admin.h"
#include "agent/apply/reader.h"
#include "agent/events/reader.h"
#include "agent/flows/flow_log.h"
#include "agent/metrics/metrics.h"
#include "agent/published.h"

namespace sluice {

// The sources that come from the kernel; the caller sets the others. The reader must outlive them.
AdminSources datapath_sources(const DatapathReader& reader);

// All arguments must outlive the result, which is called on metrics threads.
MetricsSources metrics_sources(const DatapathReader& reader, const Published& published,
                               const FlowLog& flows, const EventReader& events);

// Records that the ring had no room for, of all kinds; 0 where they cannot be read.
uint64_t total_event_losses(const DatapathReader& reader);

// Resident memory of this process.
uint64_t resident_bytes();

}  // namespace sluice
