// SPDX-License-Identifier: Apache-2.0
// agent/apply without the kernel: differences of tables, hooks, timeouts, preconditions.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "agent/apply/conntrack_ager.h"
#include "agent/apply/preconditions.h"
#include "agent/apply/programs.h"
#include "agent/apply/table.h"

namespace sluice {
namespace {

using Devices = TableContent<uint32_t, device_row>;

device_row with_flags(uint32_t flags) {
  device_row row = {};
  row.flags = flags;
  return row;
}

TEST(TableDifference, IsEmptyBetweenEqualTables) {
  const Devices table = {{1, with_flags(0)}, {7, with_flags(1)}};

  const auto changes = difference(table, table);

  EXPECT_TRUE(changes.upserts.empty());
  EXPECT_TRUE(changes.deletes.empty());
}

TEST(TableDifference, NamesNewChangedAndGoneRows) {
  const Devices have = {
      {1, with_flags(0)}, {2, with_flags(0)}, {4, with_flags(0)}, {9, with_flags(0)}};
  const Devices want = {
      {0, with_flags(0)}, {2, with_flags(1)}, {4, with_flags(0)}, {5, with_flags(0)}};

  const auto changes = difference(have, want);

  ASSERT_EQ(changes.upserts.size(), 3U);
  EXPECT_EQ(changes.upserts[0].first, 0U);
  EXPECT_EQ(changes.upserts[1].first, 2U);
  EXPECT_EQ(changes.upserts[2].first, 5U);
  EXPECT_EQ(changes.deletes, (std::vector<uint32_t>{1, 9}));
}

TEST(TableDifference, OfNothingIsEverything) {
  const Devices table = {{1, with_flags(0)}, {2, with_flags(0)}};

  EXPECT_EQ(difference(Devices{}, table).upserts.size(), 2U);
  EXPECT_EQ(difference(table, Devices{}).deletes.size(), 2U);
}

TEST(KeyOrder, OfIdentitiesIsThatOfPrefixes) {
  const char* texts[] = {"::/0",        "10.0.0.0/8", "10.0.0.0/16",
                         "10.0.0.1/32", "fd00::/64",  "fd00::1/128"};
  for (const char* a : texts) {
    for (const char* b : texts) {
      const auto key = [](const Prefix& prefix) {
        identity_key out = {};
        out.prefix_bits = prefix.length;
        std::copy(prefix.address.bytes.begin(), prefix.address.bytes.end(), out.addr);
        return out;
      };
      EXPECT_EQ(key_less(key(*parse_prefix(a)), key(*parse_prefix(b))),
                *parse_prefix(a) < *parse_prefix(b))
          << a << " " << b;
    }
  }
}

TEST(RowIfindex, AttributesALocalPodsIdentityToItsDevice) {
  identity_row row = {};
  row.ifindex = 12;
  row.flags = ADDRESS_LOCAL_POD;
  EXPECT_EQ(row_ifindex(identity_key{}, row), 12U);
  row.flags = ADDRESS_REMOTE_POD;
  EXPECT_EQ(row_ifindex(identity_key{}, row), 0U);
  EXPECT_EQ(row_ifindex(7U, device_row{}), 7U);
}

TEST(HookAt, WhatEntersAPodsHostSideDeviceLeavesThePod) {
  EXPECT_EQ(hook_at(DeviceRole::kPod, Direction::kIngress), HOOK_POD_EGRESS);
  EXPECT_EQ(hook_at(DeviceRole::kPod, Direction::kEgress), HOOK_POD_INGRESS);
  EXPECT_EQ(hook_at(DeviceRole::kUplink, Direction::kIngress), HOOK_UPLINK_INGRESS);
  EXPECT_EQ(hook_at(DeviceRole::kOverlay, Direction::kEgress), HOOK_UPLINK_EGRESS);
}

TEST(TimeoutSeconds, DependsOnProtocolAndForTcpOnState) {
  const ct_timeouts timeouts = CT_TIMEOUTS_DEFAULT;
  const struct {
    uint8_t proto;
    uint8_t state;
    uint32_t seconds;
  } rows[] = {{IPPROTO_TCP, CT_STATE_NEW, 20},      {IPPROTO_TCP, CT_STATE_ESTABLISHED, 3600},
              {IPPROTO_TCP, CT_STATE_CLOSING, 120}, {IPPROTO_TCP, CT_STATE_CLOSED, 40},
              {IPPROTO_UDP, CT_STATE_NEW, 60},      {IPPROTO_ICMP, CT_STATE_NEW, 5},
              {IPPROTO_ICMPV6, CT_STATE_NEW, 5},    {IPPROTO_SCTP, CT_STATE_NEW, 600}};
  for (const auto& row : rows) {
    EXPECT_EQ(timeout_seconds(timeouts, row.proto, row.state), row.seconds) << int{row.proto};
  }
}

TEST(CheckCapabilities, NamesEveryMissingOne) {
  EXPECT_TRUE(check_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"));

  const auto none = check_capabilities("CapEff:\t0000000000000000\n");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kPermission);
  for (const char* label : {"CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_BPF"}) {
    EXPECT_NE(none.error().context.find(label), std::string::npos) << label;
  }

  const auto no_bpf = check_capabilities("CapEff:\t0000007fffffffff\n");
  ASSERT_FALSE(no_bpf);
  EXPECT_EQ(no_bpf.error().context.find("CAP_NET_ADMIN"), std::string::npos);
  EXPECT_FALSE(check_capabilities("no such line"));
}

TEST(CheckBpffs, SaysHowToMountIt) {
  for (const char* path : {"/", "/no/such/folder"}) {
    const auto status = check_bpffs(path);

    ASSERT_FALSE(status) << path;
    EXPECT_EQ(status.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(status.error().context.find(std::string("mount -t bpf bpf ") + path),
              std::string::npos);
  }
}

TEST(CheckOptions, NamesTheField) {
  EXPECT_TRUE(check_options(DatapathOptions{}));

  DatapathOptions attach;
  attach.attach = "xdp";
  EXPECT_NE(check_options(attach).error().context.find("attach \"xdp\""), std::string::npos);
  DatapathOptions size;
  size.ct_max_entries = 0;
  EXPECT_NE(check_options(size).error().context.find("ct_max_entries"), std::string::npos);
  DatapathOptions ring;
  ring.events_bytes = 5000;
  EXPECT_NE(check_options(ring).error().context.find("events_bytes"), std::string::npos);
}

TEST(NodeFailure, IsWhatNoPodAloneIsHitBy) {
  Rows rows;
  rows.attachments = {{7, DeviceRole::kPod}, {2, DeviceRole::kUplink}, {3, DeviceRole::kOverlay}};
  const struct {
    const char* title;
    uint32_t ifindex;
    bool fails;
  } cases[] = {{"a pod's device", 7, false},
               {"a device that no row knows", 99, false},
               {"no device", 0, true},
               {"an uplink", 2, true},
               {"the overlay device", 3, true}};
  for (const auto& one : cases) {
    ApplyReport report;
    report.failed = 2;
    report.errors.push_back({.object = "pod", .ifindex = 7, .error = from_errno("x", ENODEV)});
    report.errors.push_back(
        {.object = "it", .ifindex = one.ifindex, .error = from_errno("y", ENODEV)});
    const auto failure = node_failure(report, rows);
    EXPECT_EQ(failure.has_value(), one.fails) << one.title;
    if (failure) {
      EXPECT_EQ(failure->find("it: y"), 0U) << *failure;
    }
  }
  EXPECT_FALSE(node_failure({}, rows));
}

TEST(ApplyReport, JoinsWhatFailed) {
  ApplyReport report;
  EXPECT_TRUE(report.status());
  report.failed = 3;
  report.errors.push_back({.object = "a", .error = from_errno("first", E2BIG)});
  report.errors.push_back({.object = "b", .error = from_errno("second", ENODEV)});

  const auto status = report.status();

  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kExhausted);
  EXPECT_NE(status.error().context.find("second"), std::string::npos);
  EXPECT_NE(status.error().context.find("1 more"), std::string::npos);
}

}  // namespace
}  // namespace sluice
