// SPDX-License-Identifier: Apache-2.0
// Traffic control filters by rtnetlink: only whether there are any.
#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "lib/netlink/message.h"
#include "lib/netlink/netlink.h"

namespace sluice {

Result<bool> Netlink::has_clsact_filters(uint32_t ifindex) {
  bool found = false;
  for (const uint32_t side : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS}) {
    netlink_message::Message message(RTM_GETTFILTER, NLM_F_DUMP);
    auto* fixed = message.put<tcmsg>();
    fixed->tcm_family = AF_UNSPEC;
    fixed->tcm_ifindex = static_cast<int>(ifindex);
    fixed->tcm_parent = TC_H_MAKE(TC_H_CLSACT, side);
    auto done = dump(message.header(), "list filters of device " + std::to_string(ifindex),
                     [&found](const nlmsghdr* header) {
                       found = found || header->nlmsg_type == RTM_NEWTFILTER;
                     });
    if (!done) return fail(done.error());
  }
  return found;
}

}  // namespace sluice
