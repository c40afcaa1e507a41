// SPDX-License-Identifier: Apache-2.0
// The plugin's side of CNI: what it refuses and how, and the shape of its results in every version.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cni/plugin.h"
#include "cni/result.h"
#include "lib/fd/fd.h"

namespace sluice::cni_plugin {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Environment environment(const std::string& command) {
  return {.command = command,
          .container_id = "c1",
          .netns = "/run/netns/a",
          .ifname = "eth0",
          .args = {}};
}

const char* const kAbsent = R"("socket": "/tmp/cni_test.absent/agent.sock")";

std::string config(const std::string& version, const std::string& more = {}) {
  return R"({"cniVersion": ")" + version + R"(", "name": "net", "type": "sluice-cni", )" + kAbsent +
         (more.empty() ? "" : ", ") + more + "}";
}

json refused(const Environment& env, const std::string& text) {
  const Outcome outcome = run(env, text);
  EXPECT_NE(outcome.exit_code, 0) << text;
  return json::parse(outcome.output);
}

cni::v1::CniResponse sample_response() {
  cni::v1::CniResponse response;
  auto* host = response.add_interfaces();
  host->set_name("sl0123456789ab");
  host->set_mac("02:53:4c:00:00:01");
  host->set_mtu(1500);
  auto* pod = response.add_interfaces();
  pod->set_name("eth0");
  pod->set_mac("06:00:00:00:00:02");
  pod->set_sandbox("/run/netns/a");
  pod->set_mtu(1500);
  auto* ip4 = response.add_ips();
  ip4->set_address("10.1.0.2/32");
  ip4->set_gateway("169.254.1.1");
  ip4->set_interface_index(1);
  auto* ip6 = response.add_ips();
  ip6->set_address("fd00::2/128");
  ip6->set_gateway("fe80::1");
  ip6->set_interface_index(1);
  auto* route = response.add_routes();
  route->set_destination("0.0.0.0/0");
  route->set_gateway("169.254.1.1");
  route->set_mtu(1450);
  return response;
}

json result_in(const std::string& version, const std::string& more = {}) {
  const auto conf = parse_netconf(config(version, more));
  EXPECT_TRUE(conf) << conf.error().message;
  return json::parse(add_result(*conf, sample_response()));
}

TEST(CniResult, HasExactlyTheVersionOfTheConfiguration) {
  for (const std::string& version : supported_versions()) {
    EXPECT_EQ(result_in(version)["cniVersion"], version);
  }
}

TEST(CniResult, OldVersionsNameTheFamilyNewOnesDoNot) {
  EXPECT_EQ(result_in("0.4.0")["ips"][0]["version"], "4");
  EXPECT_EQ(result_in("0.4.0")["ips"][1]["version"], "6");
  EXPECT_FALSE(result_in("1.0.0")["ips"][0].contains("version"));
}

TEST(CniResult, OnlyNewestVersionHasMtu) {
  EXPECT_FALSE(result_in("1.0.0")["interfaces"][0].contains("mtu"));
  EXPECT_FALSE(result_in("1.0.0")["routes"][0].contains("mtu"));
  EXPECT_EQ(result_in("1.1.0")["interfaces"][0]["mtu"], 1500);
  EXPECT_EQ(result_in("1.1.0")["routes"][0]["mtu"], 1450);
}

TEST(CniResult, PreviousResultStandsInFrontAndIndicesFollow) {
  const json result = result_in("1.0.0", R"("prevResult": {"cniVersion": "1.0.0",
      "interfaces": [{"name": "dummy0"}], "ips": [{"address": "192.0.2.1/24", "interface": 0}],
      "routes": [{"dst": "192.0.2.0/24"}], "dns": {"nameservers": ["192.0.2.53"]}})");

  EXPECT_EQ(result["interfaces"].size(), 3U);
  EXPECT_EQ(result["interfaces"][0]["name"], "dummy0");
  EXPECT_EQ(result["ips"][0]["address"], "192.0.2.1/24");
  EXPECT_EQ(result["ips"][1]["address"], "10.1.0.2/32");
  EXPECT_EQ(result["ips"][1]["interface"], 2);
  EXPECT_EQ(result["routes"].size(), 2U);
  EXPECT_EQ(result["dns"]["nameservers"][0], "192.0.2.53");
}

TEST(CniVersion, ListsWhatIsSupportedWithoutAnAgent) {
  const Outcome outcome = run(environment("VERSION"), R"({"cniVersion": "0.4.0"})");

  EXPECT_EQ(outcome.exit_code, 0);
  const json result = json::parse(outcome.output);
  EXPECT_EQ(result["cniVersion"], "0.4.0");
  EXPECT_THAT(result["supportedVersions"].get<std::vector<std::string>>(),
              testing::ElementsAre("0.4.0", "1.0.0", "1.1.0"));
}

TEST(CniRefusal, UnsupportedVersionIsCode1OnStdout) {
  for (const char* version : {"0.2.0", "0.3.0", "0.3.1", "1.2.0", "2.0.0", "banana"}) {
    const json error = refused(environment("ADD"), config(version));
    EXPECT_EQ(error["code"], 1) << version;
    EXPECT_THAT(error["msg"], HasSubstr(version));
    EXPECT_EQ(error["details"], "supported are 0.4.0, 1.0.0, 1.1.0");
  }
  EXPECT_EQ(refused(environment("ADD"), R"({"name": "net"})")["code"], 1);
}

TEST(CniRefusal, MalformedJsonIsCode6) {
  for (const char* text : {"", "{", "[]", "7", "{\"cniVersion\": \"1.0.0\",}", "\xff\xfe"}) {
    EXPECT_EQ(refused(environment("ADD"), text)["code"], 6) << text;
  }
}

TEST(CniRefusal, MissingVariablesAreCode4AndAllNamed) {
  Environment env = environment("ADD");
  env.netns.clear();
  env.container_id.clear();

  const json error = refused(env, config("1.0.0"));

  EXPECT_EQ(error["code"], 4);
  EXPECT_THAT(error["msg"], HasSubstr("CNI_CONTAINERID, CNI_NETNS"));
}

TEST(CniRefusal, UnknownAndMissingCommandsAreCode4) {
  EXPECT_THAT(refused(environment(""), config("1.0.0"))["msg"], HasSubstr("CNI_COMMAND"));
  EXPECT_EQ(refused(environment("NOPE"), config("1.0.0"))["code"], 4);
}

TEST(CniRefusal, InterfaceNameOf16CharactersIsCode4AndNamed) {
  Environment env = environment("ADD");
  env.ifname = "abcdefghijklmnop";
  EXPECT_EQ(refused(env, config("1.0.0"))["code"], 4);
  EXPECT_THAT(refused(env, config("1.0.0"))["msg"],
              HasSubstr("CNI_IFNAME: 'abcdefghijklmnop' has 16"));
  env.ifname = "abcdefghijklmno";
  EXPECT_EQ(refused(env, config("1.0.0"))["code"], 11) << "15 characters are fine";
}

TEST(CniRefusal, WrongNamesAndFieldsAreNamed) {
  struct Row {
    const char* title;
    const char* more;
    int code;
    const char* named;
  };
  const Row rows[] = {
      {"socket is relative", R"("socket": "agent.sock")", 7, "socket"},
      {"queueDir is a number", R"("queueDir": 7)", 7, "queueDir"},
      {"timeout is zero", R"("timeoutSeconds": 0)", 7, "timeoutSeconds"},
      {"timeout is text", R"("timeoutSeconds": "9")", 7, "timeoutSeconds"},
      {"mtu too small", R"("mtu": 576)", 7, "mtu"},
      {"mtu negative", R"("mtu": -1)", 7, "mtu"},
      {"ipam of another plugin", R"("ipam": {"type": "host-local"})", 2, "ipam"},
      {"prevResult is a list", R"("prevResult": [])", 7, "prevResult"},
      {"ips is a number", R"("prevResult": {"ips": 7})", 7, "prevResult.ips"},
      {"interfaces are numbers", R"("prevResult": {"interfaces": [{}, 2]})", 7,
       "prevResult.interfaces[1]"},
      {"interfaces is an object", R"("prevResult": {"interfaces": {}})", 7,
       "prevResult.interfaces"},
      {"routes are texts", R"("prevResult": {"routes": ["0.0.0.0/0"]})", 7, "prevResult.routes[0]"},
  };
  for (const Row& row : rows) {
    const json error = refused(environment("ADD"), config("1.0.0", row.more));
    EXPECT_EQ(error["code"], row.code) << row.title;
    EXPECT_THAT(error["msg"], HasSubstr(row.named)) << row.title;
    EXPECT_EQ(error["cniVersion"], "1.0.0") << row.title;
  }
  EXPECT_EQ(refused(environment("ADD"), R"({"cniVersion": "1.0.0", "name": "a/b"})")["code"], 7);
}

TEST(CniRefusal, APreviousResultThatIsWrongHoldsNoDelUp) {
  const auto conf = parse_netconf(config("1.0.0", R"("prevResult": {"ips": 7})"));
  ASSERT_TRUE(conf);
  EXPECT_TRUE(make_request(environment("DEL"), *conf));
  EXPECT_FALSE(make_request(environment("CHECK"), *conf));
}

TEST(CniRefusal, NamesThatTheKernelWouldChangeOrATerminalObeyAreCode4) {
  for (const char* ifname : {"eth%d",
                             "a\x01"
                             "b",
                             "a\x1b[31m", "a\x7f"}) {
    Environment env = environment("ADD");
    env.ifname = ifname;
    const json error = refused(env, config("1.0.0"));
    EXPECT_EQ(error["code"], 4) << ifname;
    EXPECT_THAT(error["msg"], HasSubstr("CNI_IFNAME: '")) << ifname;
  }
}

TEST(CniRefusal, ARelativeNamespaceIsCode4ButForDel) {
  for (const char* command : {"ADD", "CHECK"}) {
    Environment env = environment(command);
    env.netns = "run/netns/x";
    const json error = refused(env, config("1.0.0"));
    EXPECT_EQ(error["code"], 4) << command;
    EXPECT_THAT(error["msg"], HasSubstr("CNI_NETNS: 'run/netns/x'")) << command;
  }
  Environment env = environment("DEL");
  env.netns = "run/netns/x";
  EXPECT_FALSE(check_environment(env));
}

TEST(CniRefusal, ConfigurationNestedTooDeeplyIsCode6) {
  const auto nested = [](size_t levels) {
    return config("1.0.0", R"("prevResult": {"x": )" + std::string(levels, '[') +
                               std::string(levels, ']') + "}");
  };
  for (const size_t levels : {255U, 80'000U, 2'000'000U}) {
    const json error = refused(environment("ADD"), nested(levels));
    EXPECT_EQ(error["code"], 6) << levels;
    EXPECT_THAT(error["msg"], HasSubstr("nested too deeply")) << levels;
    EXPECT_EQ(error["cniVersion"], "1.0.0") << levels;
  }
  EXPECT_EQ(refused(environment("ADD"), nested(254))["code"], 11) << "no agent is there";
}

TEST(CniRefusal, ArgsWithoutAValueAreCode4) {
  Environment env = environment("ADD");
  env.args = "K8S_POD_NAME=web;oops";
  const json error = refused(env, config("1.0.0"));
  EXPECT_EQ(error["code"], 4);
  EXPECT_THAT(error["msg"], HasSubstr("'oops'"));
}

TEST(CniRefusal, BytesThatAreNoTextNameTheirVariable) {
  for (const auto& [variable, member] :
       {std::pair{"CNI_ARGS", &Environment::args}, std::pair{"CNI_NETNS", &Environment::netns},
        std::pair{"CNI_IFNAME", &Environment::ifname}}) {
    Environment env = environment("ADD");
    env.*member = "K8S_POD_NAME=a\xff";

    const json error = refused(env, config("1.0.0"));

    EXPECT_EQ(error["code"], 4) << variable;
    EXPECT_THAT(error["msg"], HasSubstr(std::string(variable) + ": 'K8S_POD_NAME=a\\xff'"));
  }
}

TEST(CniArgs, ValuesMayHoldEqualSigns) {
  const auto args = parse_args("A=b;C=d=e;;F=");
  ASSERT_TRUE(args);
  EXPECT_EQ(*args, (std::map<std::string, std::string>{{"A", "b"}, {"C", "d=e"}, {"F", ""}}));
}

TEST(CniVerb, IsRefusedWhereTheVersionDoesNotKnowIt) {
  EXPECT_EQ(
      refused(environment("GC"), config("1.0.0", R"("cni.dev/valid-attachments": [])"))["code"], 1);
  EXPECT_EQ(refused(environment("STATUS"), config("0.4.0"))["code"], 1);
  EXPECT_EQ(refused(environment("CHECK"), config("0.3.1"))["code"], 1);
}

TEST(CniGc, WithoutTheListIsRefusedAndNullIsAnEmptyList) {
  EXPECT_EQ(refused(environment("GC"), config("1.1.0"))["code"], 7);
  const auto conf = parse_netconf(config("1.1.0", R"("cni.dev/valid-attachments": null)"));
  ASSERT_TRUE(conf);
  EXPECT_TRUE(conf->has_valid_attachments);
  EXPECT_TRUE(conf->valid_attachments.empty());
}

TEST(CniGc, HandsOverEachAttachment) {
  const auto conf = parse_netconf(
      config("1.1.0", R"("cni.dev/valid-attachments": [{"containerID": "x", "ifname": "net1"}])"));
  ASSERT_TRUE(conf);
  const auto request = make_request(environment("GC"), *conf);
  ASSERT_TRUE(request);
  ASSERT_EQ(request->valid_attachments_size(), 1);
  EXPECT_EQ(request->valid_attachments(0).container_id(), "x");
  EXPECT_EQ(request->valid_attachments(0).ifname(), "net1");
  EXPECT_EQ(request->network(), "net");
  EXPECT_EQ(refused(environment("GC"),
                    config("1.1.0", R"("cni.dev/valid-attachments": [{"ifname": "a"}])"))["code"],
            7);
}

TEST(CniAgentAway, AddFailsFastAsRetryableAndSaysWhatToDo) {
  for (const char* command : {"ADD", "CHECK"}) {
    const json error = refused(environment(command), config("1.0.0"));
    EXPECT_EQ(error["code"], 11) << command;
    EXPECT_THAT(error["msg"], HasSubstr("away")) << command;
    EXPECT_THAT(error["msg"], HasSubstr("/tmp/cni_test.absent/agent.sock")) << command;
    EXPECT_THAT(error["msg"], HasSubstr("see that")) << command;
  }
  EXPECT_EQ(
      refused(environment("GC"), config("1.1.0", R"("cni.dev/valid-attachments": [])"))["code"],
      11);
}

TEST(CniAgentAway, StatusIsNotAvailable) {
  EXPECT_EQ(refused(environment("STATUS"), config("1.1.0"))["code"], 50);
}

TEST(CniAgentAway, DelIsQueuedAndSucceeds) {
  char folder[] = "/tmp/cni_test.XXXXXX";
  const std::string queue = std::string(mkdtemp(folder)) + "/new/queue";
  Environment env = environment("DEL");
  env.netns.clear();

  const Outcome outcome = run(env, config("1.0.0", R"("queueDir": ")" + queue + "\""));

  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(outcome.output, "");
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(queue)) {
    ++files;
    cni::v1::CniRequest request;
    ASSERT_TRUE(request.ParseFromString(*read_file(entry.path())));
    EXPECT_EQ(request.command(), "DEL");
    EXPECT_EQ(request.container_id(), "c1");
    EXPECT_EQ(request.network(), "net");
  }
  EXPECT_EQ(files, 1U);
  std::filesystem::remove_all(folder);
}

TEST(CniAgentAway, DelThatCannotBeQueuedAnywhereSaysAllReasons) {
  const json error = refused(environment("DEL"),
                             R"({"cniVersion": "1.0.0", "name": "net", "type": "sluice-cni",
      "socket": "/proc/none/agent.sock", "queueDir": "/proc/nowhere"})");
  EXPECT_EQ(error["code"], 11);
  EXPECT_THAT(error["msg"], HasSubstr("/proc/nowhere"));
  EXPECT_THAT(error["msg"], HasSubstr("mkdir /proc/none"));
  EXPECT_THAT(error["msg"], HasSubstr("away"));
}

}  // namespace
}  // namespace sluice::cni_plugin
