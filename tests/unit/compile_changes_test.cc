// SPDX-License-Identifier: Apache-2.0
// Rows that follow the changes of pods: the same as those compiled from everything.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <random>

#include "agent/compile/compile.h"
#include "agent/desired/state.h"

namespace sluice {
namespace {

Address ip(const std::string& text) {
  return *parse_address(text);
}

std::string text_of(const Rows& rows) {
  std::string text;
  for (const auto& [prefix, row] : rows.identities) {
    text += to_string(prefix) + " " + std::to_string(row.identity) + " " +
            std::to_string(row.flags) + " " + std::to_string(row.ifindex) + " " +
            to_string(from_abi(row.node)) + "\n";
  }
  for (const auto& [ifindex, row] : rows.endpoints)
    text += std::to_string(ifindex) + " " + std::to_string(row.identity) + "\n";
  text += std::to_string(rows.routes.size()) + " routes, revision " +
          std::to_string(rows.node.policy_revision) + ", MTU " + std::to_string(rows.pod_mtu) +
          " " + std::to_string(rows.pod_route_mtu) + (rows.needs_overlay ? ", overlay" : "");
  return text;
}

Intent two_nodes() {
  Intent intent;
  intent.nodes = {
      {.name = "n1", .addresses = {ip("192.0.2.1")}, .pod_cidrs = {*parse_prefix("10.1.0.0/24")}},
      {.name = "n2",
       .addresses = {ip("198.51.100.2"), ip("10.2.0.4")},  // a pod may claim it
       .pod_cidrs = {*parse_prefix("10.2.0.0/24"), *parse_prefix("10.2.0.9/32")}}};
  return intent;
}

LocalEndpoint endpoint(uint32_t ifindex) {
  LocalEndpoint endpoint;
  endpoint.ifindex = ifindex;
  endpoint.pod_namespace = "a";
  endpoint.pod_name = "p" + std::to_string(ifindex);
  endpoint.ipv4 = ip("10.1.0." + std::to_string(ifindex));
  return endpoint;
}

// Addresses of n1, of n2 and of nobody's range.
Address address_at(int at) {
  return ip("10." + std::to_string(1 + at % 3) + ".0." + std::to_string(at / 3));
}

class CompileChanges : public testing::Test {
 protected:
  CompileChanges() {
    folder_ = "/tmp/sluice-compile-XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    NodeSettings settings;
    settings.node_name = "n1";
    state_ = std::move(*DesiredState::open(settings, folder_));
    EXPECT_TRUE(state_->change_intent(everything(two_nodes())).has_value());
    state_->set_endpoints({endpoint(5), endpoint(6)});
    state_->set_host({{.name = "eth0",
                       .ifindex = 2,
                       .mtu = 1500,
                       .subnets = {*parse_prefix("192.0.2.0/24")},
                       .addresses = {ip("192.0.2.1")}}},
                     {ip("192.0.2.1"), ip("10.3.0.7")});
  }
  ~CompileChanges() override { std::filesystem::remove_all(folder_); }
  int pick(int count) { return static_cast<int>(random_() % static_cast<unsigned>(count)); }
  void change_pods();

  std::string folder_;
  std::unique_ptr<DesiredState> state_;
  std::mt19937 random_{7};
  std::map<int, int> owner_;  // of each address
};

// As resolve: no two pods have one address.
void CompileChanges::change_pods() {
  std::map<PodKey, std::shared_ptr<const PodIntent>> changed;
  for (int i = pick(5); i > 0; --i) {
    const int number = pick(30);
    PodIntent pod;
    pod.namespace_name = "a";
    pod.name = "p" + std::to_string(number);
    pod.node = std::vector<std::string>{"", "n1", "n2", "gone"}[static_cast<size_t>(pick(4))];
    pod.identity = "namespace=a;app=" + std::to_string(pick(4));
    pod.host_network = pick(8) == 0;
    std::erase_if(owner_, [&](const auto& each) { return each.second == number; });
    for (int at = pick(60); pick(3) != 0 && !owner_.contains(at); at = pick(60)) {
      owner_[at] = number;
      pod.addresses.push_back(address_at(at));
    }
    const bool gone = pod.addresses.empty() && pick(2) == 0;
    changed[key_of(pod)] = gone ? nullptr : std::make_shared<const PodIntent>(pod);
  }
  IntentDelta delta;
  for (const auto& [key, pod] : changed)
    pod ? delta.pods.push_back(pod) : delta.removed_pods.push_back(key);
  ASSERT_TRUE(state_->change_intent(delta).has_value());
}

TEST_F(CompileChanges, AnyChangesLeadToTheRowsOfTheWhole) {
  Rows rows = compile(state_->desired(), state_->take_pod_changes(), Rows{});
  int followed = 0;
  for (int round = 0; round < 600; ++round) {
    change_pods();
    if (pick(10) == 0) state_->set_endpoints({endpoint(5 + static_cast<uint32_t>(pick(3)))});
    if (pick(40) == 0) {
      IntentDelta delta;
      NodeIntent n2 = *find_node(state_->desired().intent, "n2");
      n2.pod_cidrs[0] = *parse_prefix(pick(2) == 0 ? "10.2.0.0/24" : "10.2.0.0/25");
      delta.nodes = {std::make_shared<const NodeIntent>(n2)};
      ASSERT_TRUE(state_->change_intent(delta).has_value());
    }
    if (pick(3) == 0) continue;  // the next one tells of both
    const PodChanges changes = state_->take_pod_changes();
    if (!changes.all && !changes.besides) ++followed;
    rows = compile(state_->desired(), changes, std::move(rows));
    ASSERT_EQ(text_of(rows), text_of(compile(state_->desired()))) << "round " << round;
  }
  EXPECT_GT(followed, 200);
}

// What it costs: rows that no change names are taken over as they are, and not made again.
TEST_F(CompileChanges, OnlyWhatAChangeNamesIsCompiledAgain) {
  IntentDelta delta;
  for (int number = 10; number < 30; ++number) {
    auto pod = std::make_shared<PodIntent>();
    pod->namespace_name = "a";
    pod->name = "p" + std::to_string(number);
    pod->node = "n2";
    pod->addresses = {ip("10.2.0." + std::to_string(number))};
    pod->identity = "namespace=a";
    delta.pods.push_back(pod);
  }
  ASSERT_TRUE(state_->change_intent(delta).has_value());
  Rows rows = compile(state_->desired(), state_->take_pod_changes(), Rows{});
  const auto is_marked = [](const auto& entry) { return entry.second.pad == 77; };
  for (auto& [prefix, row] : rows.identities) row.pad = 77;
  const auto total = rows.identities.size();

  auto moved = std::make_shared<PodIntent>(*delta.pods[0]);
  moved->addresses = {ip("10.2.0.200")};
  delta.pods = {moved};
  ASSERT_TRUE(state_->change_intent(delta).has_value());
  const PodChanges changes = state_->take_pod_changes();
  EXPECT_EQ(changes.by_address.size(), 2U);
  rows = compile(state_->desired(), changes, std::move(rows));

  // The old address's row went, the new one's came; the two endpoints are always made.
  const auto kept = std::count_if(rows.identities.begin(), rows.identities.end(), is_marked);
  EXPECT_EQ(static_cast<size_t>(kept), total - 3);
  EXPECT_EQ(rows.identities.size(), total);
}

}  // namespace
}  // namespace sluice
