// SPDX-License-Identifier: Apache-2.0
// The join of events with the node's state: who an address is, what time it was, what survives a
// new snapshot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "agent/desired/state.h"
#include "agent/enrich/directory.h"
#include "agent/enrich/enricher.h"
#include "bpf/abi/endpoint.h"

namespace sluice {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

Address address(const char* text) {
  return parse_address(text).value();
}

Desired sample_desired() {
  Desired desired;
  desired.settings.node_name = "node-a";
  desired.intent.nodes = {
      {.name = "node-a", .addresses = {address("192.168.0.1")}, .pod_cidrs = {}},
      {.name = "node-b", .addresses = {address("192.168.0.2")}, .pod_cidrs = {}}};
  PodIntent web;
  web.namespace_name = "demo";
  web.name = "web-0";
  web.node = "node-a";
  web.labels = {{"app", "web"}};
  web.identity = "namespace=demo;app=web";
  web.workload_kind = "Deployment";
  web.workload_name = "web";
  PodIntent db = web;
  db.name = "db-0";
  db.node = "node-b";
  db.labels = {{"app", "db"}};
  db.identity = "namespace=demo;app=db";
  db.addresses = {address("10.0.1.9"), address("fd00:1::9")};
  PodIntent agent = web;
  agent.name = "agent";
  agent.host_network = true;
  agent.addresses = {address("192.168.0.1")};
  desired.intent.pods = {agent, db, web};
  LocalEndpoint endpoint;
  endpoint.pod_namespace = "demo";
  endpoint.pod_name = "web-0";
  endpoint.host_device = "sl0123456789ab";
  endpoint.ifindex = 17;
  endpoint.ipv4 = address("10.0.0.5");
  endpoint.ipv6 = address("fd00::5");
  desired.endpoints = {endpoint};
  desired.uplinks = {{.name = "eth0", .ifindex = 2, .mtu = 1500, .subnets = {}, .addresses = {}}};
  desired.host_addresses = {address("192.168.0.1")};
  desired.identity_numbers = {{"namespace=demo;app=web", 256}, {"namespace=shop;app=x", 300}};
  desired.overlay_ifindex = 9;
  return desired;
}

flow_event event_between(const char* source, const char* destination) {
  flow_event event{};
  event.kind = EVENT_FLOW_OPEN;
  event.ifindex = 17;
  event.time_ns = 5'000'000'000;
  event.src = to_abi(address(source));
  event.dst = to_abi(address(destination));
  event.src_identity = IDENTITY_WORLD;
  event.dst_identity = IDENTITY_WORLD;
  return event;
}

TEST(Directory, NamesALocalPodByEachOfItsAddresses) {
  const auto directory = Directory::build(sample_desired());
  for (const char* text : {"10.0.0.5", "fd00::5"}) {
    const auto party = directory->party(address(text), 256);
    EXPECT_EQ(party->endpoint_id, 17U) << text;
    EXPECT_EQ(party->namespace_name, "demo");
    EXPECT_EQ(party->pod_name, "web-0");
    EXPECT_EQ(party->workload_name, "web");
    EXPECT_EQ(party->node, "node-a");
    EXPECT_EQ(party->identity, identity_hash("namespace=demo;app=web"));
    EXPECT_THAT(party->labels, ElementsAre("k8s:app=web", "k8s:io.kubernetes.pod.namespace=demo"));
  }
}

TEST(Directory, NamesAPodOfAnotherNode) {
  const auto directory = Directory::build(sample_desired());
  const auto party = directory->party(address("fd00:1::9"), IDENTITY_WORLD);
  EXPECT_EQ(party->pod_name, "db-0");
  EXPECT_EQ(party->node, "node-b");
  EXPECT_EQ(party->endpoint_id, 0U);
}

TEST(Directory, NodesAreReservedIdentitiesAlsoWithPodsOnTheHostNetwork) {
  const auto directory = Directory::build(sample_desired());
  const auto host = directory->party(address("192.168.0.1"), IDENTITY_HOST);
  EXPECT_EQ(host->identity, uint32_t{IDENTITY_HOST});
  EXPECT_EQ(host->pod_name, "");
  EXPECT_THAT(host->labels, ElementsAre("reserved:host"));
  const auto remote = directory->party(address("192.168.0.2"), IDENTITY_REMOTE_NODE);
  EXPECT_THAT(remote->labels, ElementsAre("reserved:remote-node"));
  EXPECT_EQ(remote->node, "node-b");
}

TEST(Directory, AnUnknownAddressIsWhatTheKernelTookItFor) {
  const auto directory = Directory::build(sample_desired());
  EXPECT_THAT(directory->party(address("8.8.8.8"), IDENTITY_WORLD)->labels,
              ElementsAre("reserved:world"));
  EXPECT_THAT(directory->party(address("8.8.8.8"), IDENTITY_UNKNOWN)->labels,
              ElementsAre("reserved:unknown"));
  EXPECT_EQ(directory->party(address("10.0.3.3"), 300)->namespace_name, "shop");
  EXPECT_EQ(directory->party(address("10.0.3.3"), 300)->identity,
            identity_hash("namespace=shop;app=x"));
  EXPECT_THAT(directory->party(address("10.0.3.3"), 99999)->labels,
              ElementsAre("reserved:unknown"));
}

TEST(Directory, AnEndpointWithoutItsPodObjectKeepsTheNameThatCniGave) {
  Desired desired = sample_desired();
  desired.intent.pods.clear();
  const auto party = Directory::build(desired)->party(address("10.0.0.5"), IDENTITY_INIT);
  EXPECT_EQ(party->pod_name, "web-0");
  EXPECT_EQ(party->identity, uint32_t{IDENTITY_INIT});
}

TEST(Directory, APodThatWasMadeAnewDoesNotLendItsLabelsToTheOldInterface) {
  Desired desired = sample_desired();
  desired.endpoints[0].pod_uid = "old";
  desired.intent.pods[2].uid = "new";
  const auto party = Directory::build(desired)->party(address("10.0.0.5"), IDENTITY_INIT);
  EXPECT_THAT(party->labels, ElementsAre("reserved:init"));
}

TEST(Directory, ANewSnapshotSharesWhatDidNotChange) {
  Desired desired = sample_desired();
  const auto first = Directory::build(desired);
  desired.intent.pods[1].labels["tier"] = "gold";

  const auto second = Directory::build(desired, first.get());

  EXPECT_EQ(first->party(address("10.0.0.5"), 0), second->party(address("10.0.0.5"), 0));
  EXPECT_NE(first->party(address("10.0.1.9"), 0), second->party(address("10.0.1.9"), 0));
  EXPECT_EQ(first->device(17), second->device(17));
}

PodIntent cluster_pod(int number, int address, const std::string& label) {
  PodIntent pod;
  pod.namespace_name = "demo";
  pod.name = "p" + std::to_string(1000 + number);
  pod.node = "node-b";
  pod.labels = {{"app", label}};
  pod.identity = "namespace=demo";
  if (address >= 0) {
    const std::string text =
        "10.0." + std::to_string(address / 256) + "." + std::to_string(address % 256);
    pod.addresses = {*parse_address(text)};
  }
  return pod;
}

// Who follows the changes knows what one knows who reads it all.
TEST(Directory, ChangesLeadToWhatTheWholeSays) {
  std::string folder = "/tmp/sluice-enrich-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  NodeSettings settings;
  settings.node_name = "node-a";
  auto state = std::move(*DesiredState::open(settings, folder));
  Intent first;
  first.nodes = sample_desired().intent.nodes;
  first.nodes[1].addresses.push_back(address("10.0.0.7"));  // a pod may have it, and lose it
  ASSERT_TRUE(state->change_intent(everything(first)).has_value());
  state->set_endpoints(sample_desired().endpoints);  // has 10.0.0.5
  std::mt19937 random(11);
  const auto pick = [&](int count) { return static_cast<int>(random() % count); };
  auto directory = Directory::build(state->desired());
  (void)state->take_pod_changes();
  std::map<int, int> owner;  // of each address
  for (int round = 0; round < 300; ++round) {
    std::map<PodKey, std::shared_ptr<const PodIntent>> changed;
    for (int i = pick(6) == 0 ? 40 : pick(4); i > 0; --i) {
      const int number = pick(900);
      std::erase_if(owner, [&](const auto& each) { return each.second == number; });
      int at = pick(5) == 0 ? -1 : pick(600);
      if (owner.contains(at)) at = -1;
      if (at >= 0) owner[at] = number;
      const auto pod = cluster_pod(number, at, std::to_string(pick(3)));
      changed[key_of(pod)] =
          pick(8) == 0 && at < 0 ? nullptr : std::make_shared<const PodIntent>(pod);
    }
    IntentDelta delta;
    for (const auto& [key, pod] : changed)
      pod ? delta.pods.push_back(pod) : delta.removed_pods.push_back(key);
    ASSERT_TRUE(state->change_intent(delta).has_value());
    if (pick(3) == 0) continue;  // two changes are told together
    directory = Directory::build(state->desired(), directory.get(), state->take_pod_changes());
    const auto whole = Directory::build(state->desired());
    for (int at = 0; at < 600; ++at) {
      const Address a = cluster_pod(0, at, "").addresses[0];
      ASSERT_EQ(*directory->party(a, IDENTITY_WORLD), *whole->party(a, IDENTITY_WORLD))
          << "round " << round << " " << to_string(a);
    }
  }
  std::filesystem::remove_all(folder);
}

TEST(Directory, KnowsDevicesAndSaysWhichIsTheOverlay) {
  const auto directory = Directory::build(sample_desired());
  EXPECT_EQ(directory->device(17)->name, "sl0123456789ab");
  EXPECT_EQ(directory->device(2)->name, "eth0");
  EXPECT_TRUE(directory->device(9)->overlay);
  EXPECT_EQ(directory->device(4711)->ifindex, 4711U);
  EXPECT_EQ(directory->device(4711)->name, "");
}

TEST(IdentityHash, IsStableAndNeverAReservedNumber) {
  EXPECT_EQ(identity_hash(""), 2166136261U);
  EXPECT_EQ(identity_hash("a"), 0xe40c292cU);  // the published test vector of FNV-1a
  EXPECT_GE(identity_hash("namespace=demo"), uint32_t{IDENTITY_FIRST_LOCAL});
}

TEST(Enrich, JoinsBothEndsDeviceAndTime) {
  const auto directory = Directory::build(sample_desired());
  const flow_event event = event_between("10.0.0.5", "8.8.8.8");

  const EnrichedFlow flow = enrich(event, *directory, 1'700'000'000'000'000'000, {1, 2});

  EXPECT_EQ(flow.source->pod_name, "web-0");
  EXPECT_THAT(flow.destination->labels, Contains("reserved:world"));
  EXPECT_EQ(flow.device->name, "sl0123456789ab");
  EXPECT_EQ(flow.time_unix_ns, 1'700'000'005'000'000'000);
}

TEST(Enrich, NamesThePodBehindTheDeviceThatDroppedWhateverItsSource) {
  const auto directory = Directory::build(sample_desired());
  for (const char* source : {"203.0.113.9", "10.0.1.9", "10.0.0.5"}) {
    flow_event event = event_between(source, "8.8.8.8");
    event.kind = EVENT_DROP;
    event.hook = HOOK_POD_EGRESS;

    const EnrichedFlow flow = enrich(event, *directory, 0, {});

    EXPECT_EQ(flow.source->pod_name, "web-0") << source;
    EXPECT_EQ(from_abi(flow.event.src), address(source));
  }
  flow_event other = event_between("203.0.113.9", "10.0.0.5");
  other.kind = EVENT_DROP;
  other.hook = HOOK_POD_INGRESS;
  EXPECT_EQ(enrich(other, *directory, 0, {}).source->pod_name, "");
  other.hook = HOOK_POD_EGRESS;
  other.ifindex = 99;
  EXPECT_EQ(enrich(other, *directory, 0, {}).source->pod_name, "");
}

TEST(Enricher, FollowsAStepOfTheWallClockWithinTenSeconds) {
  ClockReading now{.monotonic_ns = 0, .unix_ns = 100'000'000'000};
  Enricher enricher(Directory::build(sample_desired()), [&] { return now; }, 1);
  flow_event event = event_between("10.0.0.5", "8.8.8.8");
  now = {.monotonic_ns = 11'000'000'000, .unix_ns = 9'011'000'000'000};

  event.time_ns = 5'000'000'000;
  EXPECT_EQ(enricher.enrich(event).time_unix_ns, 105'000'000'000);
  event.time_ns = 11'000'000'000;
  EXPECT_EQ(enricher.enrich(event).time_unix_ns, 9'011'000'000'000);
}

TEST(Enricher, GivesEachFlowItsOwnVersion4Uuid) {
  Enricher enricher(Directory::build(sample_desired()), read_clocks, 1);
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid =
        format_uuid(enricher.enrich(event_between("10.0.0.5", "8.8.8.8")).uuid);
    EXPECT_THAT(
        uuid, ::testing::MatchesRegex("[0-9a-f]+-[0-9a-f]+-4[0-9a-f]+-[89ab][0-9a-f]+-[0-9a-f]+"));
    seen.insert(uuid);
  }
  EXPECT_EQ(seen.size(), 1000U);
}

TEST(Enricher, UsesTheSnapshotThatWasPublishedLast) {
  Enricher enricher(Directory::build(sample_desired()), read_clocks, 1);
  Desired desired = sample_desired();
  desired.intent.pods[1].name = "db-1";
  enricher.publish(Directory::build(desired, enricher.directory().get()));
  EXPECT_EQ(enricher.enrich(event_between("10.0.0.5", "10.0.1.9")).destination->pod_name, "db-1");
}

}  // namespace
}  // namespace sluice
