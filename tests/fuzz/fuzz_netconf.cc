// SPDX-License-Identifier: Apache-2.0
// What a runtime sends to sluice-cni: refused with a code, or a request that can be made of it.
#include <cstdlib>
#include <string>

#include "cni/netconf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace plugin = sluice::cni_plugin;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto conf = plugin::parse_netconf(text);
  (void)plugin::version_of(text);
  (void)plugin::parse_args(text);
  if (!conf) {
    if (conf.error().code == 0 || conf.error().message.empty()) std::abort();
    return 0;
  }
  if (!plugin::is_supported(conf->version)) std::abort();
  (void)plugin::make_request(
      {.command = "ADD", .container_id = "c", .netns = "/n", .ifname = "eth0", .args = {}}, *conf);
  return 0;
}
