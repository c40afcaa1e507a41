// SPDX-License-Identifier: Apache-2.0
// Completion scripts for three shells. Each finds the command that the words before the cursor
// name, then offers what may follow there.
#include <functional>

#include "cli/tree.h"

namespace sluice::cli {

namespace {

// In single quotes for any of the shells.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string words(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& word : list) text += (text.empty() ? "" : " ") + word;
  return text;
}

// What may stand after the command itself: its children, its options, values of a positional.
std::vector<std::string> followers(const CommandNode& node) {
  std::vector<std::string> list;
  for (const CommandNode& child : node.children) list.push_back(child.name);
  for (const OptionNode& option : node.options) {
    const auto& more = option.names.empty() ? option.choices : option.names;
    list.insert(list.end(), more.begin(), more.end());
  }
  return list;
}

// 'sluice status'|'sluice drops'|...: the arms of a case that steps into a command.
std::string known_paths(const CommandNode& root, const char* between) {
  std::string text;
  for (const CommandNode* node : flattened(root)) {
    if (node == &root) continue;
    text += (text.empty() ? "" : between) + quoted(node->path);
  }
  return text;
}

// For each option that takes a value: act(pattern of "path|name" arms, option).
void each_value(const CommandNode& root,
                const std::function<void(const std::string&, const OptionNode&)>& act) {
  for (const CommandNode* node : flattened(root)) {
    for (const OptionNode& option : node->options) {
      if (option.type.empty() || option.names.empty()) continue;
      std::string pattern;
      for (const std::string& name : option.names) {
        pattern += (pattern.empty() ? "" : "|") + quoted(node->path + "|" + name);
      }
      act(pattern, option);
    }
  }
}

}  // namespace

std::string bash_completion(const CommandNode& root) {
  std::string script =
      "# bash completion of sluice; load it with: source <(sluice completion bash)\n"
      "_sluice() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at=sluice i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case \"$at ${COMP_WORDS[i]}\" in\n"
      "      " +
      known_paths(root, "|") +
      ") at=\"$at ${COMP_WORDS[i]}\" ;;\n"
      "    esac\n"
      "  done\n"
      "  COMPREPLY=()\n"
      "  case \"$at|$prev\" in\n";
  each_value(root, [&script](const std::string& pattern, const OptionNode& option) {
    const std::string offer =
        option.type == "PATH" ? "compgen -f" : "compgen -W " + quoted(words(option.choices));
    script += "    " + pattern + ") COMPREPLY=($(" + offer + " -- \"$cur\")); return ;;\n";
  });
  script += "  esac\n  case \"$at\" in\n";
  for (const CommandNode* node : flattened(root)) {
    script += "    " + quoted(node->path) + ") COMPREPLY=($(compgen -W " +
              quoted(words(followers(*node))) + " -- \"$cur\")) ;;\n";
  }
  return script + "  esac\n}\ncomplete -F _sluice sluice\n";
}

std::string zsh_completion(const CommandNode& root) {
  std::string script =
      "#compdef sluice\n"
      "# zsh completion of sluice; load it with: source <(sluice completion zsh)\n"
      "_sluice() {\n"
      "  local at=sluice prev=${words[CURRENT-1]} i\n"
      "  local -a offer\n"
      "  for ((i = 2; i < CURRENT; i++)); do\n"
      "    case \"$at ${words[i]}\" in\n"
      "      (" +
      known_paths(root, "|") +
      ") at=\"$at ${words[i]}\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$at|$prev\" in\n";
  each_value(root, [&script](const std::string& pattern, const OptionNode& option) {
    std::string offer = option.type == "PATH" ? "_files; " : "";
    if (!option.choices.empty()) offer = "compadd -- " + words(option.choices) + "; ";
    script += "    (" + pattern + ") " + offer + "return ;;\n";
  });
  script += "  esac\n  case \"$at\" in\n";
  for (const CommandNode* node : flattened(root)) {
    script += "    (" + quoted(node->path) + ") offer=(";
    const auto item = [&script](const std::string& name, const std::string& description) {
      script += " " + quoted(name + ":" + description);
    };
    for (const CommandNode& child : node->children) item(child.name, child.description);
    for (const OptionNode& option : node->options) {
      for (const std::string& name : option.names) item(name, option.description);
      if (!option.names.empty()) continue;
      for (const std::string& choice : option.choices) item(choice, option.description);
    }
    script += " ) ;;\n";
  }
  return script +
         "  esac\n"
         "  _describe sluice offer\n"
         "}\n"
         "if [[ $funcstack[1] == _sluice ]]; then _sluice \"$@\"; else compdef _sluice sluice; "
         "fi\n";
}

std::string fish_completion(const CommandNode& root) {
  std::string script =
      "# fish completion of sluice; load it with: sluice completion fish | source\n"
      "set -g __sluice_commands " +
      known_paths(root, " ") +
      "\n"
      "function __sluice_at\n"
      "  set -l at sluice\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    contains -- \"$at $word\" $__sluice_commands; and set at \"$at $word\"\n"
      "  end\n"
      "  test \"$at\" = \"$argv\"\n"
      "end\n"
      "complete -c sluice -f\n";
  for (const CommandNode* node : flattened(root)) {
    const std::string start = "complete -c sluice -n " + quoted("__sluice_at " + node->path);
    for (const CommandNode& child : node->children) {
      script += start + " -a " + child.name + " -d " + quoted(child.description) + "\n";
    }
    for (const OptionNode& option : node->options) {
      std::string line = start;
      for (const std::string& name : option.names) {
        line += name.rfind("--", 0) == 0 ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (!option.names.empty() && !option.type.empty())
        line += option.type == "PATH" ? " -r -F" : " -x";
      if (!option.choices.empty()) line += " -a " + quoted(words(option.choices));
      if (option.names.empty() && option.choices.empty()) continue;
      script += line + " -d " + quoted(option.description) + "\n";
    }
  }
  return script;
}

}  // namespace sluice::cli
