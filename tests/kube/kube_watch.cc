// SPDX-License-Identifier: Apache-2.0
// The Kubernetes source alone: prints each change as a line of JSON, and answers commands on its
// standard input (metrics, objects, request METHOD TARGET CONTENT_TYPE BODY), each with one line.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/read_until.hpp>
#include <asio/streambuf.hpp>
#include <cstdio>
#include <istream>
#include <random>
#include <sstream>

#include "operator/source/kube/curl_http.h"
#include "operator/source/kube/kubeconfig.h"
#include "tests/kube/print.h"

namespace sluice {
namespace {

using nlohmann::json;

struct Options {
  std::string kubeconfig;
  std::string pod_folder;
  std::vector<std::string> servers;
  std::vector<std::string> kinds{"Node", "Namespace", "Pod"};
  std::vector<std::string> custom;  // KIND,GROUP/VERSION,PLURAL
  int64_t silence_ms = 150'000;
  int64_t watch_s = 300;
  int64_t deadline_ms = 30'000;
  int64_t absent_ms = 30'000;
  uint32_t page = 500;
};

void print(const json& line) {
  std::puts(line.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
  std::fflush(stdout);
}

Result<ClusterAccess> access_of(const Options& options) {
  if (!options.pod_folder.empty())
    return pod_access({.folder = options.pod_folder}, options.servers);
  auto access = read_kubeconfig(options.kubeconfig);
  if (access && !options.servers.empty()) access->servers = options.servers;
  return access;
}

class Program {
 public:
  Program(asio::io_context& loop, Http& http, Timers& timers, Credentials credentials,
          const Options& options)
      : input_(loop, ::dup(STDIN_FILENO)),
        client_(http, timers, std::move(credentials), random(),
                {.deadline = std::chrono::milliseconds(options.deadline_ms)}),
        source_(
            client_, timers, random(),
            [](std::vector<ObjectChange> changes) {
              for (const ObjectChange& change : changes) {
                json line = to_json(change.object);
                line["change"] = change.removed ? "remove" : "upsert";
                print(line);
              }
            },
            [] { print({{"change", "synced"}}); }) {}

  KubeSource& source() { return source_; }

  void read_commands() {
    asio::async_read_until(input_, buffer_, '\n', [this](const asio::error_code& error, size_t) {
      if (error) return static_cast<void>(::_exit(0));
      std::istream stream(&buffer_);
      std::string line;
      std::getline(stream, line);
      run(line);
      read_commands();
    });
  }

 private:
  static Random random() {
    return [engine = std::make_shared<std::mt19937_64>(std::random_device{}())] {
      return std::uniform_real_distribution<double>(0, 1)(*engine);
    };
  }

  void run(const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "metrics") {
      json answer{{"answer", "metrics"}, {"client", to_json(client_.metrics())}};
      for (const auto& kind : source_.kinds()) answer[kind->spec().kind] = to_json(*kind);
      answer["server"] = client_.server();
      answer["credential_problem"] = client_.credential_problem();
      print(answer);
    } else if (verb == "objects") {
      json all = json::array();
      for (const auto& kind : source_.kinds())
        kind->store().for_each([&](const SourceObject& object) { all.push_back(to_json(object)); });
      print({{"answer", "objects"}, {"objects", all}});
    } else if (verb == "request") {
      ApiCall call;
      words >> call.method >> call.target >> call.content_type;
      std::getline(words >> std::ws, call.body);
      if (call.content_type == "-") call.content_type.clear();
      client_.request(call, [call](const Result<ApiAnswer>& answer) {
        json out{{"answer", "request"}};
        if (!answer) out["error"] = answer.error().message();
        if (answer) out["status"] = answer->status;
        if (answer) out["body"] = answer->body;
        if (answer && !answer->good())
          out["error"] = error_of(call.method, call.target, *answer).message();
        print(out);
      });
    }
  }

  asio::posix::stream_descriptor input_;
  asio::streambuf buffer_;
  ApiClient client_;
  KubeSource source_;
};

int run(const Options& options) {
  asio::io_context loop;
  LoopTimers timers(loop);
  auto http = CurlHttp::open(loop);
  auto access = access_of(options);
  if (!http || !access) {
    std::fprintf(stderr, "kube_watch: %s\n",
                 (http ? access.error() : http.error()).message().c_str());
    return 1;
  }
  auto credentials = Credentials::open(*access);
  if (!credentials) {
    std::fprintf(stderr, "kube_watch: %s\n", credentials.error().message().c_str());
    return 1;
  }
  Program program(loop, **http, timers, std::move(*credentials), options);
  const Reflector::Timing timing{
      .backoff = {.first = std::chrono::milliseconds(100), .longest = std::chrono::seconds(2)},
      .page_limit = options.page,
      .watch_time = std::chrono::seconds(options.watch_s),
      .watch_silence = std::chrono::milliseconds(options.silence_ms),
      .absent_retry = std::chrono::milliseconds(options.absent_ms)};
  for (const std::string& kind : options.kinds) {
    auto spec = built_in_kind(kind);
    if (!spec) {
      std::fprintf(stderr, "kube_watch: %s\n", spec.error().message().c_str());
      return 1;
    }
    program.source().add(*spec, timing);
  }
  for (const std::string& text : options.custom) {
    std::istringstream parts(text);
    std::string kind;
    std::string group_version;
    std::string plural;
    std::getline(std::getline(std::getline(parts, kind, ','), group_version, ','), plural);
    program.source().add(custom_kind(kind, group_version, plural), timing);
  }
  program.source().start();
  program.read_commands();
  loop.run();
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  CLI::App app("prints what the Kubernetes API server has, and each change of it");
  sluice::Options options;
  app.add_option("--kubeconfig", options.kubeconfig);
  app.add_option("--pod-folder", options.pod_folder);
  app.add_option("--server", options.servers);
  app.add_option("--kind", options.kinds);
  app.add_option("--custom", options.custom);
  app.add_option("--silence-ms", options.silence_ms);
  app.add_option("--watch-s", options.watch_s);
  app.add_option("--deadline-ms", options.deadline_ms);
  app.add_option("--absent-ms", options.absent_ms);
  app.add_option("--page", options.page);
  CLI11_PARSE(app, argc, argv);
  spdlog::set_default_logger(spdlog::stderr_logger_mt("kube_watch"));
  return sluice::run(options);
}
