// SPDX-License-Identifier: Apache-2.0
// Who we are to the API server: kubeconfig files, the folder of a service account, files that
// change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "lib/fd/fd.h"
#include "operator/source/kube/credentials.h"
#include "operator/source/kube/kubeconfig.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// base64 of "-----BEGIN CERTIFICATE-----\nx\n"
constexpr const char* kPem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCngK";

std::string config(const std::string& cluster, const std::string& user) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
         "contexts: [{name: other, context: {cluster: no}}, "
         "{name: x, context: {cluster: c, user: u}}]\n"
         "clusters: [{name: c, cluster: {" +
         cluster +
         "}}]\n"
         "users: [{name: u, user: {" +
         user + "}}]\n";
}

const std::string kServer = "server: \"https://192.0.2.1:6443\"";

std::string error_of_config(const std::string& text) {
  const auto access = parse_kubeconfig("/etc/k/config", text);
  return access ? "" : access.error().message();
}

TEST(Kubeconfig, GivesServerAuthorityAndClientCertificate) {
  const auto access = parse_kubeconfig(
      "/etc/k/config",
      config("server: \"https://192.0.2.1:6443/\", certificate-authority: ca.crt, "
             "tls-server-name: kubernetes",
             "client-certificate: /abs/c.crt, client-key-data: " + std::string(kPem)));

  ASSERT_TRUE(access) << access.error().message();
  EXPECT_THAT(access->servers, ElementsAre("https://192.0.2.1:6443"));
  EXPECT_EQ(access->server_name, "kubernetes");
  EXPECT_EQ(access->authority.file, "/etc/k/ca.crt");
  EXPECT_EQ(access->certificate.file, "/abs/c.crt");
  EXPECT_EQ(access->key.text, "-----BEGIN CERTIFICATE-----\nx\n");
}

TEST(Kubeconfig, TokenFileWinsOverToken) {
  const auto access =
      parse_kubeconfig("/etc/k/config", config(kServer, "token: abc, tokenFile: tok"));

  ASSERT_TRUE(access);
  EXPECT_EQ(access->token, (PemSource{.file = "/etc/k/tok", .text = ""}));
}

TEST(Kubeconfig, DataWinsOverFile) {
  const auto access = parse_kubeconfig(
      "/etc/k/config",
      config(kServer + ", certificate-authority: ca, certificate-authority-data: " + kPem,
             "token: abc"));

  ASSERT_TRUE(access);
  EXPECT_EQ(access->authority.file, "");
  EXPECT_THAT(access->authority.text, HasSubstr("BEGIN CERTIFICATE"));
}

TEST(Kubeconfig, ContextWithoutUserIsAllowed) {
  const auto access = parse_kubeconfig("c",
                                       "current-context: x\n"
                                       "contexts: [{name: x, context: {cluster: c}}]\n"
                                       "clusters: [{name: c, cluster: {" +
                                           kServer + "}}]\n");

  EXPECT_TRUE(access);
}

struct BadConfig {
  const char* name;
  std::string text;
  std::string says;
};

class BadKubeconfig : public testing::TestWithParam<BadConfig> {};

TEST_P(BadKubeconfig, IsRefusedWithFileAndField) {
  EXPECT_THAT(error_of_config(GetParam().text),
              AllOf(HasSubstr("kubeconfig /etc/k/config: "), HasSubstr(GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadKubeconfig,
    testing::Values(
        BadConfig{"Text", "a: [", "not YAML"},
        BadConfig{"List", "[a]", "kubeconfig: must be a mapping"},
        BadConfig{"Empty", "", "kubeconfig: must be a mapping"},
        BadConfig{"Kind", "kind: Pod", "kind: \"Pod\" is not Config"},
        BadConfig{"NoContext", "kind: Config", "current-context: is missing"},
        BadConfig{"ContextType", "current-context: [a]", "current-context: must be a string"},
        BadConfig{"ContextAway", "current-context: y\ncontexts: [{name: x}]",
                  "contexts: has no entry \"y\""},
        BadConfig{"ContextsNoList", "current-context: y\ncontexts: y", "contexts: must be a list"},
        BadConfig{"ContextEmpty", "current-context: x\ncontexts: [{name: x}]",
                  "contexts[0].context: must be a mapping"},
        BadConfig{"ClusterAway", "current-context: x\ncontexts: [{name: x, context: {cluster: q}}]",
                  "clusters: has no entry \"q\""},
        BadConfig{"UserAway",
                  "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: q}}]\n"
                  "clusters: [{name: c, cluster: {" +
                      kServer + "}}]",
                  "users: has no entry \"q\""},
        BadConfig{"NoServer", config("a: b", ""), "clusters[0].cluster.server: is missing"},
        BadConfig{"Http", config("server: \"http://a\"", ""), "server: \"http://a\" is not https"},
        BadConfig{"Path", config("server: \"https://a/b\"", ""), "more than https://HOST:PORT"},
        BadConfig{"Port", config("server: \"https://a:99999\"", ""), "no port of 1 to 65535"},
        BadConfig{"Bare6", config("server: \"https://fd00::1\"", ""), "needs brackets"},
        BadConfig{"NoHost", config("server: \"https://:443\"", ""), "has no host"},
        BadConfig{"Insecure", config(kServer + ", insecure-skip-tls-verify: true", ""),
                  "insecure-skip-tls-verify: is refused"},
        BadConfig{"Proxy", config(kServer + ", proxy-url: \"http://p\"", ""),
                  "proxy-url: is refused"},
        BadConfig{"Data", config(kServer + ", certificate-authority-data: \"%%\"", ""),
                  "certificate-authority-data: is not base64 of a PEM text"},
        BadConfig{"Exec", config(kServer, "exec: {command: aws}"),
                  "users[0].user.exec: is refused"},
        BadConfig{"Plugin", config(kServer, "auth-provider: {name: gcp}"),
                  "users[0].user.auth-provider: is refused"},
        BadConfig{"Password", config(kServer, "username: a, password: b"),
                  "users[0].user.username: is refused"},
        BadConfig{"As", config(kServer, "token: t, as: root"), "users[0].user.as: is refused"},
        BadConfig{"KeyAlone", config(kServer, "client-key: k"),
                  "client-certificate: is missing beside"},
        BadConfig{"CertificateAlone", config(kServer, "client-certificate: k"),
                  "client-key: is missing beside"},
        BadConfig{"TokenBreaks", config(kServer, "token: \"a\\nb\""), "token: has spaces"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Kubeconfig, FileThatIsNotThereIsNamed) {
  const auto access = read_kubeconfig("/nowhere/config");

  ASSERT_FALSE(access);
  EXPECT_THAT(access.error().message(), HasSubstr("/nowhere/config"));
}

TEST(PodAccess, TakesTheEnvironmentOrAGivenList) {
  const auto own = pod_access({.host = "fd00::1", .port = "443"}, {});
  const auto given = pod_access({}, {"https://a:1/", "https://b:2"});

  ASSERT_TRUE(own && given);
  EXPECT_THAT(own->servers, ElementsAre("https://[fd00::1]:443"));
  EXPECT_EQ(own->token.file, "/var/run/secrets/kubernetes.io/serviceaccount/token");
  EXPECT_THAT(given->servers, ElementsAre("https://a:1", "https://b:2"));
}

TEST(PodAccess, OutsideOfAPodSaysWhatToDo) {
  const auto access = pod_access({}, {});

  ASSERT_FALSE(access);
  EXPECT_THAT(access.error().message(), HasSubstr("KUBERNETES_SERVICE_HOST"));
  EXPECT_FALSE(pod_access({}, {"http://a"}));
}

class CredentialFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/sluice_test_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    write("ca.crt", "CA");
    write("token", "one\n");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(write_file(folder_ + "/" + name, text));
  }
  Result<Credentials> open() {
    return Credentials::open(*pod_access({.folder = folder_}, {"https://a"}));
  }
  std::string folder_;
};

TEST_F(CredentialFiles, TokenThatChangesIsReadAgain) {
  auto credentials = open();
  ASSERT_TRUE(credentials) << credentials.error().message();
  const auto before = credentials->current();
  EXPECT_EQ(before->token, "one");
  EXPECT_EQ(credentials->current(), before) << "unchanged: connections stay";

  write("token", "two");

  EXPECT_EQ(credentials->current()->token, "two");
  EXPECT_EQ(credentials->current()->authority, "CA");
  EXPECT_EQ(credentials->reloads(), 1U);
}

TEST_F(CredentialFiles, FileThatGoesLeavesWhatWasKnown) {
  auto credentials = open();
  ASSERT_TRUE(credentials);
  std::filesystem::remove(folder_ + "/token");

  EXPECT_EQ(credentials->current()->token, "one");
  EXPECT_THAT(credentials->problem(), HasSubstr(folder_ + "/token"));

  write("token", "three");
  EXPECT_EQ(credentials->current()->token, "three");
  EXPECT_EQ(credentials->problem(), "");
}

TEST_F(CredentialFiles, DistrustReadsWhatSeemsUnchanged) {
  auto credentials = open();
  ASSERT_TRUE(credentials);
  const auto path = folder_ + "/token";
  const auto time = std::filesystem::last_write_time(path);
  {  // in place, same size, same time: no stamp tells
    std::FILE* file = std::fopen(path.c_str(), "r+");
    std::fputs("TWO", file);
    std::fclose(file);
    std::filesystem::last_write_time(path, time);
  }
  ASSERT_EQ(credentials->current()->token, "one");

  credentials->distrust();

  EXPECT_EQ(credentials->current()->token, "TWO");
}

TEST_F(CredentialFiles, EmptyOrBrokenTokenIsRefusedAtTheStart) {
  write("token", "\n");
  EXPECT_THAT(open().error().message(), HasSubstr("token is empty"));
  write("token", "a\r\nX-Evil: 1");
  EXPECT_THAT(open().error().message(), HasSubstr("token is no token"));
  std::filesystem::remove(folder_ + "/ca.crt");
  EXPECT_THAT(open().error().message(), HasSubstr("ca.crt"));
}

}  // namespace
}  // namespace sluice
