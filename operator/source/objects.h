// SPDX-License-Identifier: Apache-2.0
// The Kubernetes objects that Sluice reads, reduced to the fields it uses: what every source gives
// and resolve takes. Plain data.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/ip/ip.h"

namespace sluice {

// Where an object was read. Line and column count from 1; 0: not known.
struct Origin {
  std::string file{};  // name inside the manifest folder; empty: not from a file
  uint32_t line = 0;
  uint32_t column = 0;

  bool operator==(const Origin&) const = default;
};

struct NodeObject {
  std::string name{};
  std::vector<Address> internal_addresses{};  // status.addresses of type InternalIP, in their order
  std::vector<Prefix> pod_cidrs{};            // spec.podCIDRs, else spec.podCIDR
  Origin origin{};

  bool operator==(const NodeObject&) const = default;
};

struct NamespaceObject {
  std::string name{};
  std::map<std::string, std::string> labels{};
  Origin origin{};

  bool operator==(const NamespaceObject&) const = default;
};

struct PodObject {
  std::string namespace_name{};  // metadata.namespace, "default" where it is absent
  std::string name{};
  std::string uid{};
  std::string node{};         // spec.nodeName
  bool host_network = false;  // spec.hostNetwork
  bool finished =
      false;  // status.phase Succeeded or Failed: its addresses may belong to another pod by now
  std::vector<Address> addresses{};  // status.podIPs, else status.podIP
  std::map<std::string, std::string> labels{};
  std::string owner_kind{};  // of the owner reference that is the controller; empty: none
  std::string owner_name{};
  Origin origin{};

  bool operator==(const PodObject&) const = default;
};

struct ServicePort {
  std::string name{};      // empty where the service has one port without a name
  std::string protocol{};  // "TCP", "UDP", "SCTP"
  uint16_t port = 0;
  uint16_t node_port = 0;  // 0: none

  bool operator==(const ServicePort&) const = default;
};

struct ServiceObject {
  std::string namespace_name{};
  std::string name{};
  std::string type{};                  // spec.type: ClusterIP, NodePort, LoadBalancer, ExternalName
  std::vector<Address> cluster_ips{};  // none: headless or ExternalName
  std::vector<Address> external_ips{};  // spec.externalIPs
  std::vector<Address> ingress_ips{};   // status.loadBalancer.ingress of ipMode VIP
  std::vector<Prefix> source_ranges{};  // spec.loadBalancerSourceRanges
  std::vector<ServicePort> ports{};     // in their order
  bool external_local = false;          // spec.externalTrafficPolicy: Local
  bool internal_local = false;          // spec.internalTrafficPolicy: Local
  uint32_t affinity_seconds = 0;        // spec.sessionAffinity: ClientIP; 0: none
  uint16_t health_check_node_port = 0;  // 0: none

  bool operator==(const ServiceObject&) const = default;
};

// An object of a custom resource. Its `spec` stays text for who knows the kind.
struct CustomObject {
  std::string kind{};
  std::string namespace_name{};  // empty for kinds without one
  std::string name{};
  std::string uid{};
  int64_t generation = 0;  // grows with each change of the spec
  std::string spec{};      // JSON, its keys in order

  bool operator==(const CustomObject&) const = default;
};

// Complete: what is not in it does not exist. No order is promised, and no key occurs twice.
struct Objects {
  std::vector<NodeObject> nodes{};
  std::vector<NamespaceObject> namespaces{};
  std::vector<PodObject> pods{};

  bool operator==(const Objects&) const = default;
};

// Something wrong with the input that an operator has to mend. The rest of the input goes on.
struct SourceProblem {
  Origin origin{};
  std::string kind{};            // "Pod"; empty where the object could not be read at all
  std::string namespace_name{};  // empty for kinds without one
  std::string name{};
  std::string field{};  // "spec.podCIDRs[0]"; empty: the object or the file as a whole
  std::string what{};   // what is wrong, with the value, and what is allowed

  bool operator==(const SourceProblem&) const = default;
};

// One line of UTF-8, whatever the input held: "\xff" stands for a byte that is no character.
// "pods.yaml:12:5: Pod demo/web: status.podIP: "10.0.0" is not an IP address"
std::string to_string(const SourceProblem& problem);

}  // namespace sluice
