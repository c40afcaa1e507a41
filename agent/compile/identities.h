// SPDX-License-Identifier: Apache-2.0
// Who owns which address, and how it is reached: the rows of sl_identity. Pure; a step of compile.
#pragma once

#include <map>

#include "agent/compile/underlay.h"
#include "agent/desired/desired.h"
#include "bpf/abi/endpoint.h"

namespace sluice {

// Where two things claim the same prefix, what is nearer wins: this node's pods, its addresses,
// other nodes' addresses, pods of other nodes, pod CIDRs, the fixed ranges.
std::map<Prefix, identity_row> identity_rows(const Desired& desired, const Underlay& underlay);
// The same, from rows that were right before these pods, and nothing but pods, changed.
void change_identity_rows(const Desired& desired, const Underlay& underlay,
                          const PodChanges& changes, std::map<Prefix, identity_row>& rows);

}  // namespace sluice
