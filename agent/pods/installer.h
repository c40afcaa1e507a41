// SPDX-License-Identifier: Apache-2.0
// Puts sluice-cni and its network configuration where the container runtime looks, once the agent
// is ready to serve.
#pragma once

#include <string>

#include "lib/result/result.h"

namespace sluice {

struct InstallSettings {
  std::string binary;  // sluice-cni to copy; default_cni_binary() where empty
  std::string bin_dir = "/opt/cni/bin";
  std::string conf_dir = "/etc/cni/net.d";
  std::string network = "sluice";
  std::string socket;     // as far as not sluice-cni's own default
  std::string queue_dir;  // likewise
};

// sluice-cni beside the running executable. Fails where /proc is not there.
Result<std::string> default_cni_binary();

// Content of 05-sluice.conflist. Pure.
std::string conflist(const InstallSettings& settings);

// Binary first, then the list, each atomically; a file that is as it should be is not touched (the
// runtime would load it anew). Errors name the file.
Status install_cni(const InstallSettings& settings);
// Removes both; what is not there is success.
Status uninstall_cni(const InstallSettings& settings);

}  // namespace sluice
