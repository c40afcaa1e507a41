// SPDX-License-Identifier: Apache-2.0
// Objects of the intent as records of the control stream.
#include "operator/stream/codec.h"

#include <algorithm>

#include "control/v1/control.pb.h"

namespace sluice {
namespace {

namespace wire = control::v1;

constexpr uint32_t kMaxPrefixLength = 128;
constexpr std::string_view kNode = "node";
constexpr std::string_view kPod = "pod";

std::string bytes_of(const Address& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()};
}

Result<Address> address_of(const std::string& bytes) {
  Address address;
  if (bytes.size() != address.bytes.size()) {
    return fail(ErrorCode::kInvalid, std::to_string(bytes.size()) + " bytes, an address has " +
                                         std::to_string(address.bytes.size()));
  }
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return address;
}

template <class List>
Status read_addresses(const List& from, std::vector<Address>& addresses) {
  for (int i = 0; i < from.size(); ++i) {
    auto address = address_of(from[i]);
    if (!address) {
      return fail(within("addresses[" + std::to_string(i) + "]", address.error()));
    }
    addresses.push_back(*address);
  }
  return {};
}

Result<Prefix> prefix_of(const wire::Prefix& from) {
  auto address = address_of(from.address());
  if (!address) return fail(address.error());
  if (from.length() > kMaxPrefixLength) {
    return fail(ErrorCode::kInvalid,
                "length " + std::to_string(from.length()) + ", allowed are 0 to 128");
  }
  const Prefix prefix{.address = *address, .length = static_cast<uint8_t>(from.length())};
  if (prefix_around(*address, prefix.length) != prefix)
    return fail(ErrorCode::kInvalid, to_string(prefix) + " has host bits");
  return prefix;
}

void fill(const PodIntent& from, wire::Pod& pod) {
  pod.set_namespace_name(from.namespace_name);
  pod.set_name(from.name);
  pod.set_uid(from.uid);
  pod.set_node(from.node);
  pod.set_host_network(from.host_network);
  for (const Address& address : from.addresses) pod.add_addresses(bytes_of(address));
  for (const auto& [key, value] : from.labels) {
    wire::Label* label = pod.add_labels();
    label->set_key(key);
    label->set_value(value);
  }
  pod.set_identity(from.identity);
  pod.set_workload_kind(from.workload_kind);
  pod.set_workload_name(from.workload_name);
}

Record record_of(std::string key, const wire::OperatorMessage& message) {
  Record record{.key = std::move(key), .bytes = message.SerializeAsString()};
  record.hash = content_hash(record.bytes);
  record.bucket = bucket_of(record.key);
  return record;
}

}  // namespace

Record encode(const NodeIntent& node) {
  wire::OperatorMessage message;
  wire::Node* to = message.add_changes()->mutable_node();
  to->set_name(node.name);
  for (const Address& address : node.addresses) to->add_addresses(bytes_of(address));
  for (const Prefix& cidr : node.pod_cidrs) {
    wire::Prefix* prefix = to->add_pod_cidrs();
    prefix->set_address(bytes_of(cidr.address));
    prefix->set_length(cidr.length);
  }
  return record_of(node_key(node.name), message);
}

Record encode(const PodIntent& pod) {
  wire::OperatorMessage message;
  fill(pod, *message.add_changes()->mutable_pod());
  return record_of(pod_key({pod.namespace_name, pod.name}), message);
}

std::string encode_removal(std::string_view key) {
  wire::OperatorMessage message;
  wire::Change* change = message.add_changes();
  change->set_removed(true);
  const size_t kind = key.find('\0');
  const std::string_view names = key.substr(kind + 1);
  if (key.substr(0, kind) == kNode) {
    change->mutable_node()->set_name(std::string(names));
  } else {
    const size_t end = names.find('\0');
    change->mutable_pod()->set_namespace_name(std::string(names.substr(0, end)));
    change->mutable_pod()->set_name(std::string(names.substr(end + 1)));
  }
  return message.SerializeAsString();
}

Result<NodeIntent> decode(const wire::Node& node) {
  const std::string object = "Node " + node.name();
  if (node.name().empty()) return fail(ErrorCode::kInvalid, object + ": name: empty");
  NodeIntent intent{.name = node.name()};
  if (auto read = read_addresses(node.addresses(), intent.addresses); !read)
    return fail(within(object, read.error()));
  for (int i = 0; i < node.pod_cidrs_size(); ++i) {
    auto prefix = prefix_of(node.pod_cidrs(i));
    if (!prefix) {
      return fail(within(object, within("pod_cidrs[" + std::to_string(i) + "]", prefix.error())));
    }
    intent.pod_cidrs.push_back(*prefix);
  }
  return intent;
}

Result<PodIntent> decode(const wire::Pod& pod) {
  const std::string object = "Pod " + pod.namespace_name() + "/" + pod.name();
  if (pod.namespace_name().empty())
    return fail(ErrorCode::kInvalid, object + ": namespace_name: empty");
  if (pod.name().empty()) return fail(ErrorCode::kInvalid, object + ": name: empty");
  PodIntent intent{.namespace_name = pod.namespace_name(),
                   .name = pod.name(),
                   .uid = pod.uid(),
                   .node = pod.node(),
                   .host_network = pod.host_network(),
                   .addresses = {},
                   .labels = {},
                   .identity = pod.identity(),
                   .workload_kind = pod.workload_kind(),
                   .workload_name = pod.workload_name()};
  for (const wire::Label& label : pod.labels()) intent.labels[label.key()] = label.value();
  if (auto read = read_addresses(pod.addresses(), intent.addresses); !read)
    return fail(within(object, read.error()));
  return intent;
}

std::string node_key(const std::string& name) {
  return std::string(kNode) + '\0' + name;
}

std::string pod_key(const PodKey& key) {
  return std::string(kPod) + '\0' + key.first + '\0' + key.second;
}

}  // namespace sluice
