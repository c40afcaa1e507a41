// SPDX-License-Identifier: Apache-2.0
// The agent's settings: every error names file, line, field and what is allowed.
#include "agent/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/config/fields.h"
#include "agent/config/flags.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kEverything = R"(nodeName: worker-1
standaloneDir: objects
operator: {addresses: ["192.0.2.1:4250", "[fd00::1]:4250", "op-2.example:4250"], authoritiesFile: /a.crt, tokenFile: /token}
routing: vxlan
devices: [eth0, "ens*"]
ipv4: true
ipv6: false
mtu: 9000
snat: {enabled: true, portMin: 20000, portMax: 20999}
noTranslateCidrs: [10.0.0.0/8, "fd00::/8"]
tunnel:
  vni: 77
bpffs: /tmp/bpf
stateDir: /tmp/state
runDir: /tmp/run
cniConfDir: /tmp/conf
cniBinDir: /tmp/bin
cniBinary: /tmp/cni
installCni: false
conntrack: {maxEntries: 4096, tcpNewSeconds: 1, tcpEstablishedSeconds: 2, tcpClosingSeconds: 3, tcpClosedSeconds: 4, udpSeconds: 5, icmpSeconds: 6, otherSeconds: 7}
metricsAddress: "[::]:9000"
flowsBufferEntries: 1023
logLevel: debug
attach: clsact
)";

TEST(ParseConfig, ReadsEveryField) {
  AgentConfig config;

  const auto parsed = parse_config("agent.yaml", kEverything, config);

  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  EXPECT_EQ(config.node.node_name, "worker-1");
  EXPECT_EQ(config.standalone_dir, "objects");
  EXPECT_THAT(config.operator_access.addresses,
              ElementsAre("192.0.2.1:4250", "[fd00::1]:4250", "op-2.example:4250"));
  EXPECT_EQ(config.operator_access.authorities_file, "/a.crt");
  EXPECT_EQ(config.operator_access.token_file, "/token");
  EXPECT_EQ(config.node.routing, Routing::kVxlan);
  EXPECT_THAT(config.devices, ElementsAre("eth0", "ens*"));
  EXPECT_FALSE(config.node.ipv6);
  EXPECT_EQ(config.node.mtu, 9000U);
  EXPECT_EQ(config.node.snat_port_min, 20000);
  EXPECT_EQ(config.node.snat_port_max, 20999);
  EXPECT_THAT(config.node.no_translate,
              ElementsAre(*parse_prefix("10.0.0.0/8"), *parse_prefix("fd00::/8")));
  EXPECT_EQ(config.node.tunnel_id, 77U);
  EXPECT_FALSE(config.install_cni);
  EXPECT_EQ(config.conntrack_max_entries, 4096U);
  EXPECT_EQ(config.conntrack_timeouts.tcp_new_s, 1U);
  EXPECT_EQ(config.conntrack_timeouts.other_s, 7U);
  EXPECT_EQ(config.metrics_address, "[::]:9000");
  EXPECT_EQ(config.attach, AttachMode::kClsact);
}

TEST(ParseConfig, AbsentFieldsAndEmptyFilesKeepDefaults) {
  AgentConfig config;

  EXPECT_TRUE(parse_config("a", "", config).has_value());
  EXPECT_TRUE(parse_config("a", "# nothing\n", config).has_value());
  EXPECT_TRUE(
      parse_config("a", "metricsAddress: \"\"\nsnat: {portMin: 11000}\n", config).has_value());

  EXPECT_EQ(config.metrics_address, "");
  EXPECT_EQ(config.node.snat_port_min, 11000);
  EXPECT_EQ(config.node.snat_port_max, 29999);
  EXPECT_EQ(config.conntrack_timeouts.tcp_established_s, 3600U);
}

struct BadConfig {
  const char* name;
  const char* text;
  const char* expected;
};

class BadConfigs : public testing::TestWithParam<BadConfig> {};

TEST_P(BadConfigs, AreNamedWithLineFieldAndWhatIsAllowed) {
  AgentConfig config;

  const auto parsed = parse_config("agent.yaml", GetParam().text, config);

  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(parsed.error().message(), HasSubstr(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    Agent, BadConfigs,
    testing::Values(
        BadConfig{"Syntax", "mtu: [\n", "agent.yaml:2:1: not YAML"},
        BadConfig{"NoMapping", "- a\n", "agent.yaml:1:1: must be a mapping"},
        BadConfig{"Unknown", "ipv4: true\nroutting: auto\n",
                  "agent.yaml:2:1: routting: unknown field; the nearest known field is routing"},
        BadConfig{
            "UnknownInGroup", "snat:\n  portMn: 1\n",
            "agent.yaml:2:3: snat.portMn: unknown field; the nearest known field is snat.portMin"},
        BadConfig{"InnerNameOutside", "vni: 3\n",
                  "vni: unknown field; the nearest known field is tunnel.vni"},
        BadConfig{"CaseOfName", "MTU: 3\n", "MTU: unknown field; the nearest known field is mtu"},
        BadConfig{"NothingNear", "zzzzzzzzzzzzzzzzzzzzzzzzz: 3\n",
                  "zzzzzzzzzzzzzzzzzzzzzzzzz: unknown field"},
        BadConfig{"GroupNoMapping", "snat: true\n", "agent.yaml:1:7: snat: must be a mapping"},
        BadConfig{"Twice", "mtu: 1500\nmtu: 1400\n", "agent.yaml:2:1: mtu: is given twice"},
        BadConfig{"Routing", "routing: bgp\n",
                  "agent.yaml:1:10: routing: \"bgp\" is none of them; allowed: one of auto, "
                  "native, vxlan"},
        BadConfig{"Bool", "ipv4: yep\n", "ipv4: \"yep\" is neither; allowed: true or false"},
        BadConfig{"Number", "mtu: big\n", "mtu: \"big\" is not a number; allowed: bytes"},
        BadConfig{"NegativeNumber", "mtu: -1\n", "mtu: \"-1\" is not a number"},
        BadConfig{"OutOfRange", "snat: {portMax: 65536}\n",
                  "snat.portMax: \"65536\" is out of range; allowed: a port, 1024 to 65535"},
        BadConfig{"HugeNumber", "tunnel: {vni: 99999999999999999999999}\n", "tunnel.vni"},
        BadConfig{"ListWhereValue", "mtu: [1]\n", "mtu: must be one value"},
        BadConfig{"ValueWhereList", "devices: eth0\n", "devices: must be a list"},
        BadConfig{"NullValue", "mtu:\n", "mtu: must be one value"},
        BadConfig{"Device", "devices: [a-name-that-is-too-long]\n",
                  "devices: \"a-name-that-is-too-long\" is no device name"},
        BadConfig{"Cidr", "noTranslateCidrs: [10.0.0.1/8]\n", "noTranslateCidrs: "},
        BadConfig{"RelativePath", "stateDir: state\n",
                  "stateDir: \"state\" is not allowed; allowed: an absolute path"},
        BadConfig{"Metrics", "metricsAddress: localhost:1\n",
                  "metricsAddress: \"localhost:1\" is not allowed; allowed: ADDRESS:PORT"},
        BadConfig{"MetricsBareIpv6", "metricsAddress: \"::1:9962\"\n", "metricsAddress"},
        BadConfig{"LogLevel", "logLevel: loud\n",
                  "logLevel: \"loud\" is not allowed; allowed: one of trace"}),
    [](const auto& row) { return row.param.name; });

TEST(ParseConfig, OnlyOneDocumentIsRead) {
  AgentConfig config;
  const auto second = parse_config("agent.yaml", "mtu: 1400\n---\nmtu: 1300\n", config);
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error().message(), HasSubstr("agent.yaml:2:"));
  EXPECT_THAT(second.error().message(), HasSubstr("a second YAML document"));
  EXPECT_FALSE(parse_config("agent.yaml", ",", config).has_value());
  EXPECT_FALSE(parse_config("agent.yaml", "mtu: 1400\n,\n", config).has_value());
  for (const char* text : {"", "# nothing\n", "---\nmtu: 1400\n", "mtu: 1400\n...\n"})
    EXPECT_TRUE(parse_config("agent.yaml", text, config).has_value()) << text;
}

TEST(ParseConfig, ReportsAllErrorsAtOnce) {
  AgentConfig config;

  const auto parsed = parse_config("f", "mtu: x\nrouting: y\nfoo: z\n", config);

  ASSERT_FALSE(parsed.has_value());
  const std::string message = parsed.error().message();
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 2);
}

TEST(CheckConfig, FindsContradictions) {
  AgentConfig config;
  config.node.node_name = "Bad_Name";
  config.node.ipv4 = config.node.ipv6 = false;
  config.node.snat_port_min = config.node.snat_port_max;
  config.node.mtu = 500;

  const auto checked = check_config(config);

  ASSERT_FALSE(checked.has_value());
  EXPECT_THAT(
      checked.error().message(),
      testing::AllOf(HasSubstr("nodeName: \"Bad_Name\""), HasSubstr("ipv4, ipv6: one of them"),
                     HasSubstr("snat.portMin: 29999 must be below"),
                     HasSubstr("mtu: 500 is below 576")));
  config = AgentConfig{};
  config.node.node_name = "n1";
  EXPECT_TRUE(check_config(config).has_value());
  config.node.snat_port_min = 8000;
  EXPECT_THAT(check_config(config).error().message(), HasSubstr("the tunnel's UDP port"));
  config.node.routing = Routing::kNative;
  EXPECT_TRUE(check_config(config).has_value());
  config.node.mtu = 1279;
  EXPECT_THAT(check_config(config).error().message(), HasSubstr("below 1280"));
}

TEST(CheckConfig, RunningNeedsASourceOfIntent) {
  AgentConfig config;
  config.node.node_name = "n1";

  EXPECT_TRUE(check_config(config).has_value());
  EXPECT_THAT(check_runnable(config).error().message(),
              testing::AllOf(HasSubstr("standaloneDir"), HasSubstr("--standalone DIR"),
                             HasSubstr("--operator HOST:PORT")));
  config.standalone_dir = "/objects";
  EXPECT_TRUE(check_runnable(config).has_value());
  config.operator_access.addresses = {"192.0.2.1:4250"};
  EXPECT_THAT(check_runnable(config).error().message(),
              HasSubstr("standaloneDir, operator.addresses: intent comes from one of them"));
  config.standalone_dir.clear();
  EXPECT_TRUE(check_runnable(config).has_value());
}

TEST(ParseConfig, OperatorsAreHostsWithPorts) {
  for (const char* wrong : {"192.0.2.1", "192.0.2:4250", "fd00::1:4250", "[fd00::1]", "op:0",
                            "op:65536", ":4250", "https://op:4250", "Op:4250"}) {
    AgentConfig config;
    const std::string text = std::string("operator: {addresses: [\"") + wrong + "\"]}";

    const auto parsed = parse_config("agent.yaml", text, config);

    ASSERT_FALSE(parsed.has_value()) << wrong;
    EXPECT_THAT(parsed.error().message(),
                HasSubstr(std::string("operator.addresses: \"") + wrong + "\" is not HOST:PORT"));
    EXPECT_THAT(config.operator_access.addresses, IsEmpty());
  }
}

TEST(LoadConfig, FlagsWinOverTheFileAndTheFileOverDefaults) {
  char folder[] = "/tmp/sluice-config-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/agent.yaml";
  std::ofstream(path) << "mtu: 1400\nrouting: native\n";

  const auto config =
      load_config({.path = path, .flags = {{"routing", {"vxlan"}}}, .hostname = "host-1"});

  ASSERT_TRUE(config.has_value()) << config.error().message();
  EXPECT_EQ(config->node.mtu, 1400U);
  EXPECT_EQ(config->node.routing, Routing::kVxlan);
  EXPECT_EQ(config->node.node_name, "host-1");
  std::filesystem::remove_all(folder);
}

TEST(LoadConfig, FileThatWasAskedForMustBeThere) {
  const auto asked = load_config({.path = "/nowhere/agent.yaml", .flags = {}, .hostname = "n"});

  ASSERT_FALSE(asked.has_value());
  EXPECT_EQ(asked.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(asked.error().message(), HasSubstr("/nowhere/agent.yaml"));
  if (!std::filesystem::exists(kDefaultConfigPath)) {
    EXPECT_TRUE(load_config({.path = std::nullopt, .flags = {}, .hostname = "n"}).has_value());
  }
}

TEST(Flags, SetFieldsByKebabCase) {
  ConfigSources sources;
  CLI::App app;
  add_flags(app, sources);

  app.parse(
      "--config /etc/x --standalone /objects --snat-port-min 12000 --devices eth0,eth1 --devices "
      "eth2 --ipv6 false");

  EXPECT_EQ(sources.path, "/etc/x");
  EXPECT_EQ(sources.flags, (FieldValues{{"standaloneDir", {"/objects"}},
                                        {"snat.portMin", {"12000"}},
                                        {"devices", {"eth0", "eth1", "eth2"}},
                                        {"ipv6", {"false"}}}));
  AgentConfig config;
  ASSERT_TRUE(apply_flags(sources.flags, config).has_value());
  EXPECT_EQ(config.standalone_dir, "/objects");
  EXPECT_FALSE(config.node.ipv6);
}

TEST(Flags, ErrorsNameTheFlag) {
  AgentConfig config;

  const auto applied = apply_flags({{"snat.portMin", {"low"}}}, config);

  ASSERT_FALSE(applied.has_value());
  EXPECT_EQ(applied.error().message(),
            "flag --snat-port-min: \"low\" is not a number; allowed: a port, 1024 to 65535");
  EXPECT_FALSE(apply_flags({{"foo", {"1"}}}, config).has_value());
}

TEST(Describe, CanBeReadBack) {
  AgentConfig config;
  ASSERT_TRUE(parse_config("a", kEverything, config).has_value());

  const std::string text = describe(config);
  AgentConfig again;
  const auto parsed = parse_config("described", text, again);

  ASSERT_TRUE(parsed.has_value()) << parsed.error().message() << "\n" << text;
  EXPECT_EQ(describe(again), text);
  EXPECT_EQ(again.node, config.node);
  EXPECT_THAT(text, HasSubstr("snat:\n  enabled: true\n  portMin: 20000\n"));
  AgentConfig defaults;
  defaults.node.node_name = "n";
  EXPECT_TRUE(parse_config("defaults", describe(defaults), again).has_value());
}

TEST(ConfigFields, EachValueIsWrittenBackByItself) {
  AgentConfig everything;
  ASSERT_TRUE(parse_config("a", kEverything, everything).has_value());
  for (const FieldSpec& field : config_fields()) {
    AgentConfig config;
    EXPECT_EQ(field.set(config, field.get(everything)), "") << field.path;
    EXPECT_EQ(field.get(config), field.get(everything)) << field.path;
  }
}

TEST(SnatPorts, MustNotBeThoseOfTheHostsSockets) {
  NodeSettings node;
  node.snat_port_min = 10240;
  node.snat_port_max = 29999;

  EXPECT_THAT(*check_snat_ports(node, "32768\t60999\n", "\n"), IsEmpty());
  const auto taken = check_snat_ports(node, "20000\t60999\n", "");
  ASSERT_FALSE(taken.has_value());
  EXPECT_THAT(taken.error().message(),
              testing::AllOf(HasSubstr("snat.portMin"), HasSubstr("port 20000 of 10240-29999"),
                             HasSubstr("ip_local_port_range 20000-60999")));
  EXPECT_TRUE(check_snat_ports(node, "20000 60999", "80,20000-24999,25000-29999\n").has_value());
  const auto hole = check_snat_ports(node, "20000 60999", "20000-24999,25001-29999\n");
  ASSERT_FALSE(hole.has_value());
  EXPECT_THAT(hole.error().message(), HasSubstr("port 25000"));
}

TEST(SnatPorts, OverlapWithNodePortsIsAWarning) {
  NodeSettings node;
  node.snat_port_min = 32767;
  node.snat_port_max = 40000;

  const auto warnings = check_snat_ports(node, "50000 60999", "");

  ASSERT_TRUE(warnings.has_value());
  EXPECT_THAT(*warnings, ElementsAre(HasSubstr("overlaps 30000-32767")));
}

TEST(SnatPorts, UnreadableSysctlsAreErrorsAndNoTranslationNeedsNone) {
  NodeSettings node;

  EXPECT_THAT(check_snat_ports(node, "", "").error().message(), HasSubstr("ip_local_port_range"));
  EXPECT_THAT(check_snat_ports(node, "9 8", "").error().message(),
              HasSubstr("ip_local_port_range"));
  EXPECT_THAT(check_snat_ports(node, "32768 60999", "80,,x").error().message(),
              HasSubstr("ip_local_reserved_ports"));
  node.translate = false;
  EXPECT_TRUE(check_snat_ports(node, "", "").has_value());
}

}  // namespace
}  // namespace sluice
