// SPDX-License-Identifier: Apache-2.0
// What the operator's store of objects costs: bytes for each Pod and Service that it keeps, and the
// time to decode a Pod. Prints one line of JSON.
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "operator/source/kube/body.h"
#include "operator/source/kube/kinds.h"

namespace sluice {
namespace {

constexpr uint32_t kPods = 50'000;
constexpr uint32_t kServices = 5'000;
constexpr uint32_t kNamespaces = 200;
constexpr uint32_t kNodes = 1'000;
constexpr uint32_t kReplicas = 20;

std::string number(uint32_t value) {
  return std::to_string(value);
}

Address address_of(const char* base, uint32_t offset) {
  return *advance(*parse_address(base), offset);
}

// 20 replicas share their labels, but each tenth set is a StatefulSet, whose pods are labelled by
// name. Dual stack.
PodObject pod(uint32_t index) {
  const uint32_t set = index / kReplicas;
  const std::string app = "service-" + number(set);
  char uid[40];
  std::snprintf(uid, sizeof(uid), "9a1c62c5-5a4b-4d5a-9a0e-%012x", index + 1);
  PodObject object{.namespace_name = "team-" + number(set % kNamespaces),
                   .name = app + "-7d9f8c6b5-x" + number(index % kReplicas) + "qz",
                   .uid = uid,
                   .node = "node-" + number(index % kNodes) + ".example.org",
                   .addresses = {address_of("10.0.0.1", index), address_of("fd00::1", index)},
                   .labels = {{"app.kubernetes.io/name", app},
                              {"app.kubernetes.io/part-of", "product-" + number(set % 50)},
                              {"pod-template-hash", "7d9f8c6b5"},
                              {"team", "team-" + number(set % kNamespaces)}},
                   .owner_kind = "ReplicaSet",
                   .owner_name = app + "-7d9f8c6b5"};
  if (set % 10 == 0) {
    object.owner_kind = "StatefulSet";
    object.labels["statefulset.kubernetes.io/pod-name"] = object.name;
  }
  return object;
}

ServiceObject service(uint32_t index) {
  ServiceObject object{
      .namespace_name = "team-" + number(index % kNamespaces),
      .name = "service-" + number(index),
      .type = "ClusterIP",
      .cluster_ips = {address_of("10.96.0.1", index), address_of("fd96::1", index)},
      .ports = {{"http", "TCP", 80, 0}, {"metrics", "TCP", 9090, 0}}};
  if (index % 20 == 0) object.ingress_ips = {address_of("203.0.113.1", index)};
  return object;
}

double heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

template <class T, class Make>
double bytes_in_store(uint32_t count, const Make& make) {
  const double before = heap_bytes();
  StorePools pools;
  double bytes = 0;
  {
    const auto store = make_store<T>(pools);
    for (uint32_t i = 0; i < count; ++i) store->put(make(i), 1);
    bytes = heap_bytes() - before;
  }
  return bytes / count;
}

template <class T, class Make>
double bytes_as_they_are(uint32_t count, const Make& make) {
  const double before = heap_bytes();
  std::vector<std::unique_ptr<T>> all;
  for (uint32_t i = 0; i < count; ++i) all.push_back(std::make_unique<T>(make(i)));
  return (heap_bytes() - before) / count;
}

// Nanoseconds for a Pod, as the real API server sends one; negative where the file holds none.
double decode_ns(const std::string& sample) {
  std::ifstream file(sample, std::ios::binary);
  const std::string body{std::istreambuf_iterator<char>(file), {}};
  const auto page = parse_list(Encoding::kProtobuf, body);
  if (!page || page->items.empty()) return -1;
  constexpr int kRounds = 100'000;
  google::protobuf::Arena arena;
  size_t decoded = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) {
    decoded += decode_pod("Pod", page->items[0], arena).object ? 1 : 0;
    arena.Reset();
  }
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return decoded == kRounds ? took.count() / kRounds : -1;
}

}  // namespace
}  // namespace sluice

int main() {
  using namespace sluice;  // NOLINT(google-build-using-namespace)
  const double decode = decode_ns(SLUICE_POD_SAMPLE);
  if (decode < 0) {
    std::fprintf(stderr, "objectbench: %s holds no pod that decodes\n", SLUICE_POD_SAMPLE);
    return 1;
  }
  std::printf(
      "{\"pods\": %u, \"services\": %u, \"bytes_per_pod\": %.0f, \"bytes_per_pod_unpacked\": %.0f, "
      "\"bytes_per_service\": %.0f, \"bytes_per_service_unpacked\": %.0f, \"decode_pod_ns\": "
      "%.0f}\n",
      kPods, kServices, bytes_in_store<PodObject>(kPods, pod),
      bytes_as_they_are<PodObject>(kPods, pod), bytes_in_store<ServiceObject>(kServices, service),
      bytes_as_they_are<ServiceObject>(kServices, service), decode);
  return 0;
}
